package facebook

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Where an event stands in an entry. The last two are ours: nodes of the Graph as
// a backfill read them.
const (
	inMessaging = "messaging"
	inStandby   = "standby"
	inChanges   = "changes"
	inFields    = "changed_fields"
	fromMessage = "message_node"
	fromNode    = "feed_node"
)

// event is one event of a Page.
type event struct {
	page   string
	source string
	sent   json.RawMessage // when the notification was sent
	body   json.RawMessage
	raw    []byte // the body that it came in, if that holds nothing else
}

func (e *entry) events() []*event {
	var out []*event
	for _, list := range []struct {
		source string
		bodies []json.RawMessage
	}{{inMessaging, e.Messaging}, {inStandby, e.Standby}, {inChanges, e.Changes}} {
		for _, b := range list.bodies {
			out = append(out, &event{page: string(e.ID), source: list.source, sent: e.Time, body: b})
		}
	}
	if len(e.ChangedFields) > 0 {
		out = append(out, &event{page: string(e.ID), source: inFields, sent: e.Time, body: e.ChangedFields})
	}
	return out
}

// rawBody is a webhook body of its own that holds the event as it came.
func (e *event) rawBody() []byte {
	if e.raw != nil {
		return e.raw
	}
	b := make([]byte, 0, len(e.body)+len(e.page)+80)
	b = append(b, `{"object":"page","entry":[{"id":`...)
	b = strconv.AppendQuote(b, e.page)
	if len(e.sent) > 0 {
		b = append(b, `,"time":`...)
		b = append(b, e.sent...)
	}
	b = append(b, `,"`...)
	b = append(b, e.source...)
	b = append(b, `":[`...)
	b = append(b, e.body...)
	return append(b, `]}]}`...)
}

// readRaw reads the one event of a raw body.
func readRaw(b []byte) (*event, bool) {
	var env struct {
		Entry []struct {
			entry

			Messages []json.RawMessage `json:"message_node"`
			Nodes    []json.RawMessage `json:"feed_node"`
		} `json:"entry"`
	}
	if json.Unmarshal(b, &env) != nil {
		return nil, false
	}
	var all []*event
	for i := range env.Entry {
		e := &env.Entry[i]
		all = append(all, e.events()...)
		for _, m := range e.Messages {
			all = append(all, &event{page: string(e.ID), source: fromMessage, sent: e.Time, body: m})
		}
		for _, n := range e.Nodes {
			all = append(all, &event{page: string(e.ID), source: fromNode, sent: e.Time, body: n})
		}
	}
	if len(all) != 1 || all[0].page == "" {
		return nil, false
	}
	return all[0], true
}

// kind is what an event is, as far as it is told by its members.
type kind string

const (
	kindMessage  kind = "message"
	kindEcho     kind = "echo"
	kindUnsend   kind = "unsend"
	kindPostback kind = "postback"
	kindReaction kind = "reaction"
	kindRead     kind = "read"
	kindDelivery kind = "delivery"
	kindEdit     kind = "edit"
	kindReferral kind = "referral"
	kindControl  kind = "thread_control"
	kindPolicy   kind = "policy"
	kindPost     kind = "post"
	kindComment  kind = "comment"
	kindFeedLike kind = "feed_reaction"
	kindUnknown  kind = "unknown"
)

// parsed is an event as it was read.
type parsed struct {
	kind   kind
	key    channel.Key // by whatever way it came
	at     time.Time
	detail string // of what is unknown
	msg    *messaging
	feed   *change
}

// messaging is an event of a conversation.
type messaging struct {
	Sender    party           `json:"sender"`
	Recipient party           `json:"recipient"`
	Timestamp instant         `json:"timestamp"`
	Message   *messageBody    `json:"message"`
	Postback  *postback       `json:"postback"`
	Reaction  *reaction       `json:"reaction"`
	Read      *watermark      `json:"read"`
	Delivery  *watermark      `json:"delivery"`
	Edit      *messageEdit    `json:"message_edit"`
	Referral  *referral       `json:"referral"`
	Pass      json.RawMessage `json:"pass_thread_control"`
	Take      json.RawMessage `json:"take_thread_control"`
	Request   json.RawMessage `json:"request_thread_control"`
	Policy    *policy         `json:"policy_enforcement"`
}

type party struct {
	ID   ident  `json:"id"`
	Name string `json:"name"` // of a node; webhooks have none
}

type messageBody struct {
	MID           ident            `json:"mid"`
	Text          string           `json:"text"`
	QuickReply    *quickReply      `json:"quick_reply"`
	Attachments   []attachmentBody `json:"attachments"`
	Referral      *referral        `json:"referral"`
	IsEcho        bool             `json:"is_echo"`
	IsDeleted     bool             `json:"is_deleted"`
	IsUnsupported bool             `json:"is_unsupported"`
	AppID         ident            `json:"app_id"`
	Metadata      string           `json:"metadata"`
}

// quickReply is the button that was tapped to write a message. Its text is the
// message's.
type quickReply struct {
	Payload string `json:"payload"`
}

type postback struct {
	MID      ident     `json:"mid"`
	Title    string    `json:"title"`
	Payload  string    `json:"payload"`
	Referral *referral `json:"referral"`
}

type reaction struct {
	MID      ident  `json:"mid"`
	Action   string `json:"action"`
	Reaction string `json:"reaction"`
	Emoji    string `json:"emoji"`
}

type watermark struct {
	MIDs      []ident `json:"mids"`
	Watermark instant `json:"watermark"`
}

type messageEdit struct {
	MID  ident  `json:"mid"`
	Text string `json:"text"`
	Num  ident  `json:"num_edit"`
}

type referral struct {
	Ref    string `json:"ref"`
	Source string `json:"source"`
	Ad     struct {
		Title string `json:"ad_title"`
	} `json:"ads_context_data"`
}

type policy struct {
	Action string `json:"action"`
	Reason string `json:"reason"`
}

// change is an event of the feed.
type change struct {
	Item        string          `json:"item"`
	Verb        string          `json:"verb"`
	From        *author         `json:"from"`
	SenderID    ident           `json:"sender_id"`
	SenderName  string          `json:"sender_name"`
	PostID      ident           `json:"post_id"`
	CommentID   ident           `json:"comment_id"`
	ParentID    ident           `json:"parent_id"`
	CreatedTime instant         `json:"created_time"`
	EditedTime  instant         `json:"edited_time"`
	Message     string          `json:"message"`
	Link        string          `json:"link"`
	Photo       string          `json:"photo"`
	Video       string          `json:"video"`
	Reaction    string          `json:"reaction_type"`
	Published   json.RawMessage `json:"published"`
	Post        *struct {
		StatusType string    `json:"status_type"`
		Permalink  string    `json:"permalink_url"`
		Published  *flexBool `json:"is_published"`
	} `json:"post"`

	photos []string // of a node
	sent   time.Time
}

type author struct {
	ID   ident  `json:"id"`
	Name string `json:"name"`
}

// parse reads an event. What is not known, or not in its usual form, is of kind
// unknown.
func (e *event) parse() *parsed {
	p := &parsed{kind: kindUnknown, key: hashed(e)}
	var sent instant
	if len(e.sent) > 0 {
		_ = sent.UnmarshalJSON(e.sent)
	}
	switch e.source {
	case inMessaging, inStandby:
		p.messaging(e)
	case inChanges:
		p.change(e, sent.Time)
	case fromMessage:
		p.messageNode(e)
	case fromNode:
		p.feedNode(e)
	default:
		p.detail = "the app's subscription does not include values"
	}
	if p.at.IsZero() {
		p.at = sent.Time
	}
	return p
}

// hashed is the key of an event that has no other.
func hashed(e *event) channel.Key {
	sum := sha256.Sum256(e.body)
	return channel.Key("event:" + e.source + ":" + hex.EncodeToString(sum[:16]))
}

func (p *parsed) messaging(e *event) {
	m := &messaging{}
	if err := json.Unmarshal(e.body, m); err != nil {
		p.detail = "it is not in the form of a messaging event"
		return
	}
	p.msg, p.at = m, m.Timestamp.Time
	set := func(k kind, parts ...string) {
		p.kind = k
		if parts[len(parts)-1] != "" {
			p.key = channel.Key(strings.Join(parts, ":"))
		}
	}
	who := string(m.Sender.ID)
	stamp := strconv.FormatInt(m.Timestamp.UnixMilli(), 10)
	switch {
	case m.Message != nil && m.Message.IsDeleted:
		set(kindUnsend, "unsend", string(m.Message.MID))
	case m.Message != nil && m.Message.IsEcho:
		set(kindEcho, "m", string(m.Message.MID))
	case m.Message != nil:
		set(kindMessage, "m", string(m.Message.MID))
	case m.Postback != nil:
		set(kindPostback, "m", string(m.Postback.MID))
		if m.Postback.MID == "" {
			set(kindPostback, "postback", who, m.Postback.Title, stamp)
		}
	case m.Reaction != nil:
		set(kindReaction, "reaction", string(m.Reaction.MID), who, m.Reaction.Action, m.Reaction.Reaction+m.Reaction.Emoji, stamp)
	case m.Read != nil:
		set(kindRead, "read", who, strconv.FormatInt(m.Read.Watermark.UnixMilli(), 10))
	case m.Delivery != nil:
		mids := sha256.New()
		for _, id := range m.Delivery.MIDs {
			mids.Write([]byte(id + "\n"))
		}
		set(kindDelivery, "delivery", who, hex.EncodeToString(mids.Sum(nil)[:8]), strconv.FormatInt(m.Delivery.Watermark.UnixMilli(), 10))
	case m.Edit != nil:
		set(kindEdit, "edit", string(m.Edit.MID), string(m.Edit.Num))
	case m.Policy != nil:
		p.kind = kindPolicy
	case m.Pass != nil || m.Take != nil || m.Request != nil:
		p.kind = kindControl
	case m.Referral != nil:
		set(kindReferral, "referral", who, stamp)
	default:
		p.detail = "a messaging event of an unknown kind"
	}
}

// The items of a feed that are posts.
var postItems = map[string]bool{"post": true, "status": true, "photo": true, "video": true, "share": true, "link": true, "note": true, "album": false}

// verbs, in one word for each.
var verbs = map[string]Verb{
	"add": Added, "edit": Edited, "edited": Edited, "update": Edited, "delete": Removed, "remove": Removed, "hide": Hidden, "unhide": Shown,
}

func (p *parsed) change(e *event, sent time.Time) {
	var c struct {
		Field string          `json:"field"`
		Value json.RawMessage `json:"value"`
	}
	v := &change{sent: sent}
	if json.Unmarshal(e.body, &c) != nil || c.Field == "feed" && json.Unmarshal(c.Value, v) != nil {
		p.detail = "it is not in the form of a change"
		return
	}
	if c.Field != "feed" {
		p.detail = "a change of " + short(c.Field)
		return
	}
	p.fromChange(v)
}

func (p *parsed) fromChange(v *change) {
	p.feed, p.at = v, v.CreatedTime.Time
	verb := verbs[v.Verb]
	id := v.PostID
	switch {
	case v.Item == "reaction" || v.Item == "like":
		p.kind = kindFeedLike
	case verb == "":
	case v.Item == "comment" && v.CommentID != "":
		p.kind, id = kindComment, v.CommentID
	case postItems[v.Item] && v.PostID != "":
		p.kind = kindPost
	}
	if p.kind == kindUnknown {
		p.detail = "a feed event: " + short(v.Item) + " " + short(v.Verb)
		return
	}
	if v.From == nil && v.SenderID != "" {
		v.From = &author{ID: v.SenderID, Name: v.SenderName}
	}
	when := v.CreatedTime.Time
	switch {
	case p.kind == kindFeedLike:
		who := ""
		if v.From != nil {
			who = string(v.From.ID)
		}
		p.key = channel.Key(strings.Join([]string{"like", string(v.PostID), string(v.CommentID), who, v.Verb, v.Reaction, strconv.FormatInt(when.Unix(), 10)}, ":"))
	case verb == Added:
		p.key = nodeKey(p.kind, string(id))
	default:
		// What is edited or removed keeps its own created_time.
		if at := v.EditedTime.Time; !at.IsZero() {
			when = at
		} else if !v.sent.IsZero() && verb != Removed {
			when = v.sent
		}
		p.at = when
		p.key = nodeKey(p.kind, string(id)) + channel.Key(":"+string(verb))
		if verb != Removed {
			p.key += channel.Key(":" + strconv.FormatInt(when.Unix(), 10))
		}
	}
}

// nodeKey is the key of a post or comment that came in.
func nodeKey(k kind, id string) channel.Key {
	if k == kindComment {
		return channel.Key("c:" + id)
	}
	return channel.Key("p:" + id)
}

// short bounds what is written of an unknown event.
func short(s string) string {
	s = oneLine(s)
	if r := []rune(s); len(r) > 60 {
		return string(r[:60])
	}
	return s
}

// oneLine makes controls blanks.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < 0x20 || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			return ' '
		}
		return r
	}, s)
}

// plain makes text valid: UTF-8 without NUL.
func plain(s string) string {
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "")
}
