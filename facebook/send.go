package facebook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Limits of the platform
// (https://developers.facebook.com/docs/messenger-platform/reference/send-api).
const (
	maxText    = 1999 // of a message: less than 2000 characters; whether these are UTF-16 units is not said, so they are
	maxComment = 7900 // of a comment; some 8000
	maxParts   = 20   // of one message

	maxImage = 8 << 20 // bytes
	maxFile  = 25 << 20

	responseWindow = 24 * time.Hour
	humanWindow    = 7 * 24 * time.Hour
	privateWindow  = 7 * 24 * time.Hour
)

// SendableUntil implements channel.Windowed. Comments can be answered in public
// for ever.
func (p *page) SendableUntil(conversation string, lastAct time.Time) (time.Time, bool) {
	t, ok := readConversation(conversation)
	if !ok || t.kind != "m" || lastAct.IsZero() {
		return time.Time{}, false
	}
	if p.app.HumanAgent {
		return lastAct.Add(humanWindow), true
	}
	return lastAct.Add(responseWindow), true
}

// part is one message or comment on its way: a text or a file, or of a comment
// both.
type part struct {
	n    int // from 1
	name string
	text string
	file *channel.Attachment
}

// partName is the recipient under which a part stands among the deliveries.
func partName(who string, n int) string {
	if n <= 1 {
		return who
	}
	return who + " (" + strconv.Itoa(n) + ")"
}

// metadata is what comes back in the echo of a part.
func metadata(token string, n int) string {
	if n <= 1 {
		return token
	}
	return token + "." + strconv.Itoa(n)
}

func readMetadata(s string) (token string, n int, ok bool) {
	token, num, more := strings.Cut(s, ".")
	n = 1
	if more {
		var err error
		if n, err = strconv.Atoi(num); err != nil || n < 2 || n > maxParts {
			return "", 0, false
		}
	}
	ok = token != "" && len(token) <= 60 && strings.Trim(token, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
	return token, n, ok
}

func refuse(code, reason, fix string) *channel.SendError {
	return &channel.SendError{Outcome: channel.Rejected, Code: code, Reason: reason, Fix: fix}
}

// Send implements channel.Sender. What the platform would surely refuse is
// refused before the call.
func (p *page) Send(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
	var none channel.Receipt
	if err := ctx.Err(); err != nil {
		return none, &channel.SendError{Outcome: channel.NotSent, Code: "cancelled", Reason: "it was cancelled before it was sent", Err: err}
	}
	s, err := p.sending(out)
	if err != nil {
		return none, err
	}
	if len(s.parts) == 0 {
		return none, nil // all have it
	}
	if p.token() == "" {
		return none, &channel.SendError{Outcome: channel.NotSent, Code: "token_missing", Reason: "there is no access token", Fix: fixReconnect, Authorization: true}
	}
	if s.private {
		if err := s.checkPrivate(ctx); err != nil {
			return none, sendError(err, false)
		}
	}
	if out.Handed != nil {
		if err := out.Handed(ctx); err != nil {
			return none, &channel.SendError{Outcome: channel.NotSent, Code: "not_handed", Reason: "the message was withheld", Err: err}
		}
	}
	for _, part := range s.parts {
		if err := s.send(ctx, part); err != nil {
			se := sendError(err, true)
			p.denied(se)
			s.pending(part.n)
			return s.receipt, se
		}
	}
	return s.receipt, nil
}

// sending is one try to send a message.
type sending struct {
	page    *page
	out     *channel.Outbound
	thread  thread
	who     string // the person
	target  string // the comment or post that is answered
	private bool
	kind    string // messaging_type
	tag     string
	parts   []part // that are not taken yet
	all     []part
	receipt channel.Receipt
	took    bool // control was taken
}

// sending prepares a try. The error is a *channel.SendError.
func (p *page) sending(out *channel.Outbound) (*sending, error) {
	t, ok := readConversation(out.Conversation)
	if !ok {
		return nil, refuse("no_conversation", "there is no conversation on Facebook to send it into", "")
	}
	s := &sending{page: p, out: out, thread: t, who: t.person}
	if len(out.To) > 0 {
		s.who = out.To[0].Address
	}
	switch {
	case t.kind == "m" && out.How == channel.Public:
		return nil, refuse("not_public", "a conversation in Messenger has no public answers", "")
	case t.kind == "m":
		if err := s.window(); err != nil {
			return nil, err
		}
	default:
		s.target, s.private = s.answers(), out.How == channel.Private
	}
	if err := s.split(); err != nil {
		return nil, err
	}
	for _, part := range s.all {
		if !slices.Contains(out.Taken, part.name) {
			s.parts = append(s.parts, part)
		}
	}
	return s, nil
}

// window computes how a message is sent, or refuses it
// (https://developers.facebook.com/documentation/business-messaging/messenger-platform/send-messages).
func (s *sending) window() error {
	age := s.page.app.now().Sub(s.out.LastAct)
	switch {
	case s.out.LastAct.IsZero() || age < responseWindow:
		s.kind = "RESPONSE"
	case s.page.app.HumanAgent && s.out.Automatic == channel.ByPerson && age < humanWindow:
		s.kind, s.tag = "MESSAGE_TAG", "HUMAN_AGENT"
	default:
		return refuse("window_closed", "the customer's last act is too long ago", fixWindow)
	}
	return nil
}

// answers is the comment or post that an answer goes under: what the customer
// wrote last, or else what the conversation is about. A reply to a reply goes
// under the head of the thread, as Facebook shows it.
func (s *sending) answers() string {
	if s.thread.kind == "c" && s.out.How != channel.Private {
		return s.thread.object
	}
	if n := len(s.out.References); n > 0 && plausibleNode(s.out.References[n-1]) {
		return s.out.References[n-1]
	}
	return s.thread.object
}

// split makes the parts.
func (s *sending) split() error {
	out := s.out
	text := strings.TrimSpace(out.Text)
	add := func(t string, f *channel.Attachment) {
		n := len(s.all) + 1
		s.all = append(s.all, part{n: n, name: partName(s.who, n), text: t, file: f})
	}
	limit := maxText
	if s.target != "" && !s.private {
		limit = maxComment
	}
	for _, t := range splitText(text, limit) {
		add(t, nil)
	}
	public := s.target != "" && !s.private
	for i := range out.Attachments {
		f := &out.Attachments[i]
		if err := checkFile(f); err != nil {
			return err
		}
		if last := len(s.all) - 1; public && i == 0 && last >= 0 {
			s.all[last].file = f // a comment has a text and a picture
			continue
		}
		add("", f)
	}
	switch {
	case len(s.all) == 0:
		return refuse("no_text", "there is neither a plain text nor a file in it", "Facebook has no HTML: write a plain text.")
	case len(s.all) > maxParts:
		return refuse("too_long", fmt.Sprintf("it would leave in %d parts; %d are allowed", len(s.all), maxParts), "Write less.")
	case s.private && len(s.all) > 1:
		return refuse("private_reply_long", "a private reply is one message: a text of less than 2000 characters, or one file", "Write less.")
	case public:
		return s.page.app.checkPictures(out.Attachments)
	}
	return nil
}

func checkFile(f *channel.Attachment) error {
	if f.Body == nil {
		return refuse("attachment", "a file has no content", "")
	}
	limit := int64(maxFile)
	if fileKind(f.Type) == "image" {
		limit = maxImage
	}
	if f.Body.Size() > limit {
		return refuse("attachment_too_large", fmt.Sprintf("a file has more than %d MB", limit>>20), "Send a smaller one.")
	}
	return nil
}

// fileKind is the kind of attachment that a media type is.
func fileKind(mediaType string) string {
	major, minor, _ := strings.Cut(strings.ToLower(mediaType), "/")
	switch {
	case major == "image" && slices.Contains([]string{"jpeg", "png", "gif", "webp"}, minor):
		return "image"
	case major == "audio", major == "video":
		return major
	}
	return "file"
}

// checkPrivate asks whether a comment or post can be answered privately, before
// its one answer is tried.
func (s *sending) checkPrivate(ctx context.Context) error {
	p := s.page
	fields := commentFields
	if s.isPost() {
		fields = "id,created_time"
	}
	n := &node{}
	err := p.app.read(ctx, p.call(s.target, poolPages, url.Values{"fields": {fields}}, n))
	switch {
	case err != nil:
		return err
	case n.CanReplyPrivately != nil && !*n.CanReplyPrivately:
		return refuse("private_reply_impossible", "it cannot be answered privately, or was answered so before", "Answer by a public comment.")
	case !n.Created.IsZero() && p.app.now().Sub(n.Created.Time) > privateWindow:
		return refuse("private_reply_late", "it is older than 7 days", "Answer by a public comment.")
	}
	return nil
}

// isPost reports whether the target is the post of the conversation.
func (s *sending) isPost() bool { return s.thread.kind == "p" && s.target == s.thread.object }

// send sends one part and notes what came of it.
func (s *sending) send(ctx context.Context, part part) error {
	if s.target != "" && !s.private {
		return s.comment(ctx, part)
	}
	err := s.message(ctx, part)
	if ge, ok := errors.AsType[*Error](err); ok && ge.Name() == "thread_owner" && s.page.noted(ge) && s.out.Automatic == channel.ByPerson && !s.took {
		// It was surely not delivered. Control is taken where that is allowed.
		s.took = true
		if s.page.takeControl(ctx, s.who) == nil {
			return s.message(ctx, part)
		}
	}
	return err
}

func (s *sending) message(ctx context.Context, part part) error {
	body := map[string]any{}
	if m := metadata(s.out.Token, part.n); s.out.Token != "" {
		body["metadata"] = m
	}
	if part.file != nil {
		body["attachment"] = map[string]any{"type": fileKind(part.file.Type), "payload": map[string]any{}}
	} else {
		body["text"] = part.text
	}
	recipient := map[string]string{"id": s.thread.person}
	if s.private {
		recipient = map[string]string{"comment_id": s.target}
		if s.isPost() {
			recipient = map[string]string{"post_id": s.target}
		}
	}
	params := url.Values{"recipient": {encode(recipient)}, "message": {encode(body)}}
	if s.kind != "" {
		params.Set("messaging_type", s.kind)
	} else {
		params.Set("messaging_type", "RESPONSE")
	}
	if s.tag != "" {
		params.Set("tag", s.tag)
	}
	var out struct {
		Recipient ident `json:"recipient_id"`
		Message   ident `json:"message_id"`
	}
	c := s.page.call(s.page.id+"/messages", poolMessenger, params, &out)
	c.method, c.file, c.says = http.MethodPost, part.file, true
	if err := s.page.app.do(ctx, c); err != nil {
		return err
	}
	if out.Message == "" {
		return &Error{Status: http.StatusOK, Message: "the answer names no message"}
	}
	if s.private && string(out.Recipient) != s.who {
		s.receipt.Address = string(out.Recipient)
	}
	s.note(part, string(out.Message))
	return nil
}

// note is sent, and keeps what the part is called.
func (s *sending) note(part part, id string) {
	if s.out.Token != "" {
		s.page.notedAs(id, metadata(s.out.Token, part.n))
	}
	s.page.allowed()
	s.sent(part, id)
}

// sent notes that a part was taken.
func (s *sending) sent(part part, id string) {
	s.receipt.ExternalIDs = append(s.receipt.ExternalIDs, id)
	s.receipt.Deliveries = append(s.receipt.Deliveries, channel.Delivery{Recipient: part.name, State: channel.DeliverySent, ExternalID: id})
}

// pending notes which parts were not taken, so that only those are tried again.
func (s *sending) pending(from int) {
	for _, part := range s.parts {
		if part.n >= from && len(s.all) > 1 {
			s.receipt.Deliveries = append(s.receipt.Deliveries, channel.Delivery{Recipient: part.name, State: channel.DeliveryPending})
		}
	}
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return "{}" // maps of strings marshal
	}
	return string(b)
}
