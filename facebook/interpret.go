package facebook

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// maxRaw bounds a raw event that is read back, in bytes.
const maxRaw = 64 << 20

// Interpret says what a raw event means: it looks up who wrote what under which
// post, fetches media, and asks the rules. An error is one of the network, and
// means that it should be tried again.
func (p *page) Interpret(ctx context.Context, raw *channel.Item) ([]*channel.Item, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b, err := channel.ReadBody(raw.Raw, maxRaw)
	if err != nil {
		return nil, fmt.Errorf("facebook: read event: %w", err)
	}
	it := &channel.Item{Channel: raw.Channel, Via: raw.Via, At: raw.At, Imported: raw.Imported}
	e, ok := readRaw(b)
	if !ok || deeper(b, p.app.limits().Depth) {
		it.Keys = []channel.Key{"unreadable:" + firstKey(raw)}
		it.Quarantined, it.Detail = channel.CausePoison, "it is not in the form of an event"
		return []*channel.Item{it}, nil
	}
	in := e.parse()
	it.Keys = []channel.Key{in.key}
	if !in.at.IsZero() {
		it.At = in.at
	}
	switch in.kind {
	case kindMessage, kindPostback, kindReferral:
		err = p.message(ctx, it, in)
	case kindEcho:
		err = p.echo(ctx, it, in)
	case kindUnsend:
		it.Update = &channel.Update{Kind: channel.UpdateRemove, IDs: ids(in.msg.Message.MID), Item: mKey(in.msg.Message.MID), Wait: p.app.limits().Wait}
	case kindEdit:
		it.Update = &channel.Update{Kind: channel.UpdateEdit, IDs: ids(in.msg.Edit.MID), Text: plain(in.msg.Edit.Text), Item: mKey(in.msg.Edit.MID), Wait: p.app.limits().Wait}
	case kindRead, kindDelivery, kindReaction:
		p.receipt(it, in)
	case kindPolicy:
		it.Notice = &channel.Notice{Finding: channel.Finding{Code: "policy_enforcement", Severity: channel.SeverityError,
			Text: "Facebook enforces a policy on this Page: " + short(in.msg.Policy.Action) + ". " + plain(oneLine(in.msg.Policy.Reason)),
			Fix:  "See the Page's quality in its settings."}}
	case kindPost, kindComment:
		err = p.activity(ctx, it, in)
	case kindFeedLike:
		p.feedLike(it, in)
	default:
		it.Ignored, it.Detail = channel.CauseUnknown, plain(in.detail)
	}
	if err != nil {
		return nil, notNow(err)
	}
	return []*channel.Item{it}, nil
}

// notNow tells trouble of the network, or of the Page's authorization, from
// errors that the event itself has.
func notNow(err error) error {
	ge, ok := errors.AsType[*Error](err)
	switch {
	case !ok:
		return &channel.NotNowError{Err: err}
	case ge.Class() == ClassFinal:
		return err
	}
	return &channel.NotNowError{After: ge.pause(), Err: err}
}

func firstKey(it *channel.Item) channel.Key {
	if len(it.Keys) == 0 {
		return ""
	}
	return it.Keys[0]
}

// message takes in what a customer wrote or tapped.
func (p *page) message(ctx context.Context, it *channel.Item, in *parsed) error {
	m := in.msg
	who := string(m.Sender.ID)
	if who == "" || strings.Contains(who, ":") {
		it.Ignored, it.Detail = channel.CauseUnknown, "a message of somebody without an id"
		return nil
	}
	msg := &channel.Message{Conversation: messageConversation(who), To: []channel.Party{p.party()}}
	var ref *referral
	switch {
	case m.Message != nil:
		msg.ExternalID, msg.Text, ref = string(m.Message.MID), plain(m.Message.Text), m.Message.Referral
		if err := p.attach(ctx, it, msg, m.Message.Attachments); err != nil {
			return err
		}
		if m.Message.QuickReply != nil {
			setPayload(msg, m.Message.QuickReply.Payload)
		}
		if m.Message.IsUnsupported && msg.Text == "" && len(msg.Attachments) == 0 {
			msg.Text = "[A message of a kind that Facebook does not pass on]"
		}
	case m.Postback != nil:
		msg.ExternalID, msg.Text, ref = string(m.Postback.MID), plain(m.Postback.Title), m.Postback.Referral
		setPayload(msg, m.Postback.Payload)
	default:
		// A link into a conversation that exists: nothing was written.
		ref = m.Referral
		msg.Text = "[Came back by a link]"
		msg.Automatic = channel.Automatic{Kind: channel.AutomaticNotification, Reason: "referral"}
	}
	msg.Context = ref.describe()
	by := ByCustomer
	if p.rules.staff[who] {
		by = ByStaff
	}
	verdict := p.rules.decide(Activity{What: Message, Verb: Added, By: by, Text: msg.Text})
	msg.NoTicket = verdict.Outcome != MakeTicket || msg.Automatic.Is()
	it.Detail = verdict.Reason
	msg.From = channel.Party{Address: who, Name: p.name(ctx, who, m.Sender.Name)}
	it.Message = msg
	return nil
}

// maxPayload is how much of a button is kept, in bytes: the platform takes 1000
// characters.
const maxPayload = 4096

// setPayload keeps what the host put into the button that was tapped, whole or not
// at all.
func setPayload(msg *channel.Message, payload string) {
	if len(payload) > maxPayload {
		msg.Defects = append(msg.Defects, "the payload of a button is longer than the platform allows, and was left out")
		return
	}
	msg.Payload = plain(payload)
}

// describe says by what a customer came.
func (r *referral) describe() string {
	switch {
	case r == nil:
		return ""
	case r.Ad.Title != "":
		return "Came by the ad " + plain(oneLine(r.Ad.Title))
	case r.Ref != "":
		return "Came by the link " + plain(oneLine(r.Ref))
	}
	return ""
}

// party is the Page itself.
func (p *page) party() channel.Party { return channel.Party{Name: p.acct.Name, Address: p.id} }

// echo takes in what was written on the Page's side: by us, which is known by its
// token or id, or elsewhere.
func (p *page) echo(ctx context.Context, it *channel.Item, in *parsed) error {
	m := in.msg
	who := string(m.Recipient.ID)
	if who == "" || strings.Contains(who, ":") || m.Message.MID == "" {
		it.Ignored, it.Detail = channel.CauseUnknown, "an echo to somebody without an id"
		return nil
	}
	up := &channel.Update{Kind: channel.UpdateEcho, IDs: ids(m.Message.MID)}
	if token, part, ok := readMetadata(m.Message.Metadata); ok {
		up.Tokens = []string{token}
		up.Recipients = []channel.RecipientStatus{{Address: partName(who, part)}}
	}
	switch ours := string(m.Message.AppID) == p.app.ID; {
	case ours && len(up.Tokens) > 0:
		p.notedAs(string(m.Message.MID), m.Message.Metadata)
	case !ours && m.Message.AppID != "":
		p.notedAs(string(m.Message.MID), "")
	}
	msg := &channel.Message{Direction: channel.Out, Conversation: messageConversation(who), ExternalID: string(m.Message.MID),
		Text: plain(m.Message.Text), From: p.party(), To: []channel.Party{{Address: who, Name: p.name(ctx, who, m.Recipient.Name)}}}
	if len(up.Tokens) == 0 || string(m.Message.AppID) != p.app.ID { // else we have the files ourselves
		if err := p.attach(ctx, it, msg, m.Message.Attachments); err != nil {
			return err
		}
	}
	verdict := p.rules.decide(Activity{What: Message, Verb: Added, By: ByPage, Text: msg.Text})
	msg.OwnTicket = verdict.Outcome == MakeTicket
	it.Detail = verdict.Reason
	it.Update, it.Message = up, msg
	return nil
}

// attachmentBody is an attachment of a message.
type attachmentBody struct {
	Type    string `json:"type"`
	Title   string `json:"title"` // of fallbacks in echoes
	URL     string `json:"url"`
	Payload *struct {
		URL         string `json:"url"`
		Title       string `json:"title"`
		StickerID   ident  `json:"sticker_id"`
		Status      string `json:"status"`
		Coordinates *struct {
			Lat  float64 `json:"lat"`
			Long float64 `json:"long"`
		} `json:"coordinates"`
		Product *struct {
			Elements []struct {
				Title    string `json:"title"`
				Subtitle string `json:"subtitle"`
			} `json:"elements"`
		} `json:"product"`
	} `json:"payload"`
}

// likeSticker is the thumb.
const likeSticker = "369239263222822"

// attach adds the attachments: files are fetched, all else becomes lines of text.
func (p *page) attach(ctx context.Context, it *channel.Item, msg *channel.Message, list []attachmentBody) error {
	stickers := map[string]bool{}
	for _, a := range list {
		if a.Type == "sticker" && a.Payload != nil {
			stickers[string(a.Payload.StickerID)], stickers[a.Payload.URL] = true, true
		}
	}
	for _, a := range list {
		address, title := a.URL, a.Title
		sticker := ""
		if pl := a.Payload; pl != nil {
			sticker = string(pl.StickerID)
			if pl.URL != "" {
				address = pl.URL
			}
			if pl.Title != "" {
				title = pl.Title
			}
		}
		switch a.Type {
		case "image", "video", "audio", "file", "sticker":
			if a.Type == "image" && (sticker != "" && stickers[sticker] || len(stickers) > 0 && stickers[address]) {
				continue // the sticker stands there too
			}
			if sticker == likeSticker {
				addLine(msg, "👍")
				continue
			}
			if err := p.addFile(ctx, it, msg, address, a.Type); err != nil {
				return err
			}
		default:
			addLine(msg, a.line(title, address))
		}
	}
	return nil
}

// line is what an attachment without a file says.
func (a *attachmentBody) line(title, address string) string {
	parts := []string{}
	add := func(s string) {
		if s = strings.TrimSpace(plain(oneLine(s))); s != "" {
			parts = append(parts, s)
		}
	}
	if pl := a.Payload; pl != nil && pl.Coordinates != nil {
		add(fmt.Sprintf("%.6f,%.6f", pl.Coordinates.Lat, pl.Coordinates.Long))
	}
	if pl := a.Payload; pl != nil && pl.Product != nil {
		for _, e := range pl.Product.Elements {
			add(e.Title)
			add(e.Subtitle)
		}
	}
	if pl := a.Payload; pl != nil {
		add(pl.Status)
	}
	add(title)
	add(address)
	if a.Type == "fallback" {
		if len(parts) == 0 {
			return "[Something shared that Facebook does not pass on]"
		}
		return strings.Join(parts, " ")
	}
	return strings.TrimSpace("[" + short(plain(a.Type)) + "] " + strings.Join(parts, " "))
}

func addLine(msg *channel.Message, line string) {
	switch {
	case line == "" || strings.Contains(msg.Text, line):
	case msg.Text == "":
		msg.Text = line
	default:
		msg.Text += "\n" + line
	}
}

// addFile fetches a file. One that cannot be had any more, or not for long, is a
// defect of the message.
func (p *page) addFile(ctx context.Context, it *channel.Item, msg *channel.Message, address, kind string) error {
	if address == "" || len(msg.Attachments)+len(msg.Defects) >= p.app.limits().MediaCount {
		msg.Defects = append(msg.Defects, "an attachment ("+kind+") was left out")
		return nil
	}
	at, err := p.fetch(ctx, address, kind)
	switch {
	case err == nil:
		msg.Attachments = append(msg.Attachments, at)
		return nil
	case errors.Is(err, errNoMedia), ctx.Err() == nil && p.failsFor(it) >= p.app.limits().MediaWait:
		msg.Defects = append(msg.Defects, "an attachment ("+kind+") could not be fetched: "+strings.TrimSuffix(err.Error(), ": "+errNoMedia.Error()))
		return nil
	}
	return err
}

// failsFor is how long ago fetching the files of an item failed first. When the
// message was written says nothing of it: events come late, too.
func (p *page) failsFor(it *channel.Item) time.Duration {
	key, now := p.id+"/"+string(it.Keys[0]), p.app.now()
	if v, ok := p.app.cache.failing.get(now, key); ok {
		since, _ := v.(time.Time)
		return now.Sub(since)
	}
	p.app.cache.failing.put(key, now, now.Add(2*p.app.limits().MediaWait))
	return 0
}
