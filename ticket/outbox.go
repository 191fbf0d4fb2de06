package ticket

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
)

// Draft is a message that an agent writes.
type Draft struct {
	By   routing.AgentID // required
	Text string
	HTML string
	// To, Cc and Bcc are addresses. Empty To means whoever wrote last.
	To, Cc, Bcc []channel.Party
	// ReplyAll, with To empty, also answers the others in the conversation,
	// without our own addresses and without unverified participants.
	ReplyAll    bool
	Subject     string // empty: that of the conversation, with "Re: "
	Attachments []channel.Attachment

	// SendAt schedules; zero means after the undo window.
	SendAt time.Time
	// Undo overrides the undo window; nil leaves it, 0 or less means none.
	Undo *time.Duration
	// Via names the channel to send by; empty means the conversation's, or the
	// account paired with it.
	Via channel.ID
	// How is the way to answer where the channel has several: a public comment
	// by another comment, or by a private message.
	How channel.How
	// Key makes the call repeatable: the same key again, on the same
	// conversation, gives the same message. Empty: every call is a new one.
	Key string
}

// sendWorkID is the id of the work that sends a message: there is one at most.
func sendWorkID(m MessageID) WorkID { return WorkID("send-" + string(m)) }

// lane is where a message waits to be sent.
func (m *Message) lane() string {
	if m.System {
		return laneSystem
	}
	return string(m.Channel)
}

// enqueue puts a message in the outbox: pending until NotBefore.
func (u *unit) enqueue(m *Message) {
	m.State = StatePending
	if m.NotBefore.IsZero() {
		m.NotBefore = u.now
	}
	if len(m.Deliveries) == 0 {
		for _, p := range uniqueParties(m.To, m.Cc, m.Bcc) {
			m.Deliveries = append(m.Deliveries, channel.Delivery{Recipient: p.Address, State: channel.DeliveryPending})
		}
	}
	u.addSend(m)
	u.event(Event{Type: EventMessageCreated, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID, Channel: m.Channel,
		Agent: m.Agent, Data: map[string]string{"state": string(StatePending), "auto": string(m.Auto)}})
}

// addSend adds the work of sending a message.
func (u *unit) addSend(m *Message) {
	m.Work = sendWorkID(m.ID)
	u.editMessage(m)
	u.addWork(&Work{ID: m.Work, Kind: WorkSend, Lane: m.lane(), Channel: m.Channel, Message: m.ID, Ticket: m.Ticket,
		Conversation: m.Conversation, NotBefore: m.NotBefore})
}

// sender returns the channel that answers on a conversation: its own if that
// sends; else the account paired with it, if there is exactly one; else its own
// by the portal's system sender, which is for what the portal itself writes.
func (v *deskView) sender(c *Conversation) (ch channel.ID, system bool) {
	usable := func(id channel.ID) bool {
		cv := v.channels[id]
		return cv != nil && cv.sends && !cv.settings.Inactive
	}
	if usable(c.Channel) {
		return c.Channel, false
	}
	return c.Channel, true
}

// replyChannel returns the channel that an agent's answer leaves by.
func (v *deskView) replyChannel(c *Conversation, named channel.ID) (channel.ID, error) {
	check := func(id channel.ID) error {
		cv := v.channels[id]
		switch {
		case cv == nil:
			return fmt.Errorf("channel %q: %w", id, ErrNotFound)
		case !cv.sends:
			return fmt.Errorf("channel %q: %w", id, ErrReceiveOnly)
		case cv.settings.Inactive:
			return fmt.Errorf("channel %q: %w", id, ErrInactive)
		}
		return nil
	}
	if named != "" {
		own := v.channels[c.Channel]
		if cv := v.channels[named]; cv != nil && own != nil && cv.info.Scheme != own.info.Scheme {
			return "", badField("via", "channel %q writes to %s addresses, the conversation is with a %s address", named, cv.info.Scheme, own.info.Scheme)
		}
		if v.channels[named] == nil {
			return "", badField("via", "there is no channel %q", named)
		}
		return named, check(named)
	}
	err := check(c.Channel)
	if err == nil {
		return c.Channel, nil
	}
	if cv := v.channels[c.Channel]; cv != nil && cv.sends {
		return "", err
	}
	var paired []channel.ID
	for id, cv := range v.channels {
		if cv.via == c.Channel && check(id) == nil {
			paired = append(paired, id)
		}
	}
	if len(paired) == 1 {
		return paired[0], nil
	}
	return "", err
}

// Reply answers on a ticket. The message is pending until its undo window ends.
//
// Errors: ErrNotFound, ErrReceiveOnly, ErrInactive, ErrNoRecipient,
// ErrWindowClosed, *channel.FieldError.
func (d *Desk) Reply(ctx context.Context, id TicketID, draft Draft) (*Message, error) {
	return d.reply(ctx, func() Want { return Want{Tickets: []TicketID{id}} }, func(u *unit) (*Conversation, *Ticket, error) {
		t := u.snap.Tickets[id]
		if t == nil || !t.DeletedAt.IsZero() {
			return nil, nil, fmt.Errorf("ticket %q: %w", id, ErrNotFound)
		}
		c := u.snap.Conversations[t.Conversation]
		if c == nil {
			return nil, nil, fmt.Errorf("conversation %q: %w", t.Conversation, ErrNotFound)
		}
		return c, t, nil
	}, draft)
}

// ReplyTo answers on a conversation, with or without a ticket. Errors as Reply.
func (d *Desk) ReplyTo(ctx context.Context, id ConversationID, draft Draft) (*Message, error) {
	return d.reply(ctx, func() Want { return Want{Conversations: []ConversationID{id}} }, func(u *unit) (*Conversation, *Ticket, error) {
		c := u.snap.Conversations[id]
		if c == nil {
			return nil, nil, fmt.Errorf("conversation %q: %w", id, ErrNotFound)
		}
		t := u.snap.Tickets[c.Ticket]
		if t != nil && !t.DeletedAt.IsZero() {
			t = nil
		}
		return c, t, nil
	}, draft)
}

func (d *Desk) reply(ctx context.Context, want func() Want, find func(*unit) (*Conversation, *Ticket, error), draft Draft) (*Message, error) {
	if err := d.checkDraft(draft); err != nil {
		return nil, err
	}
	files, bodies, err := d.keepFiles(ctx, draft.Attachments)
	if err != nil {
		return nil, err
	}
	var conv ConversationID
	var lastID MessageID
	var made *Message
	var asked []string // recipients whose standing is read
	_, err = d.decide(ctx, Agent(draft.By), func() Want {
		w := want()
		w.Follow = true
		if lastID != "" {
			w.Messages = append(w.Messages, lastID)
		}
		if conv != "" && draft.Key != "" {
			w.Keys = append(w.Keys, requestKey(conv, draft.Key))
		}
		w.standing(asked...)
		return w
	}, func(u *unit) error {
		c, t, err := find(u)
		if err != nil {
			return err
		}
		if conv == "" || c.LastIncoming != lastID {
			conv, lastID = c.ID, c.LastIncoming
			return errAgain // now with the key, and the message to answer
		}
		if draft.Key != "" {
			if ref, ok := u.snap.Refs[requestKey(conv, draft.Key)]; ok {
				made = u.snap.Messages[MessageID(ref.ID)]
				return errNothing
			}
		}
		made, err = d.composeReply(u, c, t, u.snap.Messages[lastID], draft, files)
		if err != nil {
			return err
		}
		if to := addressesOf(made.To, made.Cc, made.Bcc); d.mail(made.Channel) && !slices.Equal(to, asked) {
			asked = to
			return errAgain
		}
		u.c.Bodies = append(u.c.Bodies, bodies...)
		if draft.Key != "" {
			u.claim(requestKey(conv, draft.Key), RefMessage, string(made.ID))
		}
		return nil
	})
	used := err == nil && made != nil && (len(files) == 0 || len(made.Attachments) > 0 && made.Attachments[0].Body.ID == files[0].Body.ID)
	if !used {
		d.dropFiles(ctx, files, err)
	}
	if err != nil {
		return nil, err
	}
	return made, nil
}

func requestKey(c ConversationID, key string) Key { return NewKey("request", string(c), key) }

// SendableUntil returns when a conversation closes for messages by a person, as
// its network has it, and whether it closes at all. Error: ErrNotFound.
func (d *Desk) SendableUntil(ctx context.Context, id ConversationID) (until time.Time, closes bool, err error) {
	c, err := d.Conversation(ctx, id)
	if err != nil {
		return time.Time{}, false, err
	}
	cv := d.view().channels[c.Channel]
	if cv == nil || cv.window == nil {
		return time.Time{}, false, nil
	}
	until, closes = cv.window.SendableUntil(c.Key, c.LastActAt)
	return until, closes, nil
}

func (d *Desk) checkDraft(draft Draft) error {
	if _, ok := d.view().agents[draft.By]; !ok {
		return badField("agent", "there is no agent %q", draft.By)
	}
	if err := d.checkContent(&draft.Text, &draft.HTML, &draft.Subject); err != nil {
		return err
	}
	if strings.TrimSpace(draft.Text) == "" && strings.TrimSpace(draft.HTML) == "" && len(draft.Attachments) == 0 {
		return badField("text", "must not be empty")
	}
	if len(draft.Key) > maxNameLength {
		return badField("key", "must have at most %d bytes", maxNameLength)
	}
	switch draft.How {
	case "", channel.Public, channel.Private:
	default:
		return badField("how", "must be %q or %q", channel.Public, channel.Private)
	}
	if len(draft.Attachments) > d.cfg.Limits.Attachments {
		return badField("attachments", "must be at most %d", d.cfg.Limits.Attachments)
	}
	if n := len(draft.To) + len(draft.Cc) + len(draft.Bcc); n > d.cfg.Limits.Recipients {
		return badField("to", "there must be at most %d recipients", d.cfg.Limits.Recipients)
	}
	if !draft.SendAt.IsZero() && draft.SendAt.Sub(d.now()) > 366*24*time.Hour {
		return badField("send_at", "must be within a year")
	}
	return nil
}

func (d *Desk) checkContent(text, html, subject *string) error {
	for _, f := range []struct {
		name string
		s    *string
	}{{"text", text}, {"html", html}} {
		if f.s == nil {
			continue
		}
		switch {
		case len(*f.s) > d.cfg.Limits.Text:
			return badField(f.name, "must have at most %d bytes", d.cfg.Limits.Text)
		case !utf8.ValidString(*f.s):
			return badField(f.name, "must be valid UTF-8")
		case strings.ContainsRune(*f.s, 0):
			return badField(f.name, "must not hold NUL")
		}
	}
	if subject != nil {
		switch {
		case !utf8.ValidString(*subject):
			return badField("subject", "must be valid UTF-8")
		case utf8.RuneCountInString(*subject) > d.cfg.Limits.Subject:
			return badField("subject", "must have at most %d characters", d.cfg.Limits.Subject)
		case strings.ContainsFunc(*subject, func(r rune) bool { return r < 0x20 || r == 0x7f }):
			return badField("subject", "must be one line without control characters")
		}
	}
	return nil
}

// keepFiles stores the attachments of a draft.
func (d *Desk) keepFiles(ctx context.Context, in []channel.Attachment) ([]Attachment, []StoredBody, error) {
	var out []Attachment
	var bodies []StoredBody
	for i, a := range in {
		field := fmt.Sprintf("attachments[%d]", i)
		switch {
		case a.Body == nil:
			return nil, nil, badField(field, "has no content")
		case a.Name == "" || clean(a.Name, 256) != a.Name || strings.ContainsAny(a.Name, "/\\"):
			return nil, nil, badField(field+".name", "must be a file name of at most 255 characters, without folders or control characters")
		case clean(a.Type, 128) != a.Type:
			return nil, nil, badField(field+".type", "is no media type")
		case a.Body.Size() > d.cfg.Limits.Body:
			return nil, nil, badField(field, "must have at most %d bytes", d.cfg.Limits.Body)
		}
		ref, inline, err := d.keepBody(ctx, a.Body)
		if err != nil {
			return nil, nil, err
		}
		if !ref.Blob {
			bodies = append(bodies, StoredBody{ID: ref.ID, Data: inline})
		}
		t := a.Type
		if t == "" {
			t = "application/octet-stream"
		}
		out = append(out, Attachment{Name: a.Name, Type: t, Size: a.Body.Size(), Inline: a.Inline, ContentID: a.ContentID, Body: ref})
	}
	return out, bodies, nil
}

// dropFiles removes the files of a draft that became nothing, or may have.
func (d *Desk) dropFiles(ctx context.Context, files []Attachment, err error) {
	var ids []BodyID
	for _, f := range files {
		if f.Body.Blob {
			ids = append(ids, f.Body.ID)
		}
	}
	if errors.Is(err, errMaybeCommitted) {
		d.collectAll(ctx, ids)
	} else {
		d.deleteBlobs(ctx, ids)
	}
}

// composeReply is the pure part of a reply: who, by which channel, with what
// subject, and until when it waits.
func (d *Desk) composeReply(u *unit, c *Conversation, t *Ticket, last *Message, draft Draft, files []Attachment) (*Message, error) {
	v := d.view()
	by, err := v.replyChannel(c, draft.Via)
	if err != nil {
		return nil, err
	}
	cv := v.channels[by]
	m := &Message{
		ID: MessageID(newID()), Conversation: c.ID, Channel: by, Direction: Out, Agent: draft.By,
		To: draft.To, Cc: draft.Cc, Bcc: draft.Bcc, Text: draft.Text, HTML: draft.HTML, CreatedAt: u.now, At: u.now,
		References: c.References, From: channel.Party{Name: cv.info.Name, Address: cv.info.Address}, How: draft.How,
	}
	if by == c.Channel {
		m.Group = c.Group
	}
	if c.Key != "" && last != nil && len(last.ExternalIDs) > 0 {
		m.References = last.ExternalIDs[:1]
	}
	if t != nil {
		m.Ticket = t.ID
	}
	if by == c.Channel {
		m.ThreadID = c.ThreadID
	}
	if len(m.To) == 0 {
		m.To, m.Cc = d.answerTo(c, last, draft)
	}
	switch n := len(m.To) + len(m.Cc) + len(m.Bcc); {
	case n == 0:
		return nil, ErrNoRecipient
	case n > d.cfg.Limits.Recipients:
		return nil, badField("to", "the answer would go to %d recipients; name at most %d", n, d.cfg.Limits.Recipients)
	}
	if err := checkParties(cv.info, "to", m.To, "cc", m.Cc, "bcc", m.Bcc); err != nil {
		return nil, err
	}
	if cv.info.Mail {
		m.Subject = replySubject(draft.Subject, c, t)
		m.Signature = cv.settings.Signatures.For(draft.By)
	}
	if n := cv.info.MaxText; n > 0 && utf8.RuneCountInString(m.Text) > n*20 {
		return nil, badField("text", "is too long for this channel")
	}
	for i, f := range files {
		f.ID = attachmentID(m.ID, i)
		m.Attachments = append(m.Attachments, f)
	}
	m.NotBefore = d.sendTime(u.now, draft.SendAt, draft.Undo, cv.settings)
	if cv.window != nil && by == c.Channel {
		if until, closes := cv.window.SendableUntil(c.Key, c.LastActAt); closes && m.NotBefore.After(until) {
			return nil, fmt.Errorf("conversation %q: %w", c.ID, ErrWindowClosed)
		}
	}
	m.Search = searchAgain(m, d.cfg.Limits.Search)
	u.warn(m)
	u.enqueue(m)
	u.editConversation(c).MessageCount++
	d.addRecipients(c, m)
	if t != nil {
		u.editTicket(t).MessageCount++
		if t.FirstReplyAt.IsZero() {
			t.FirstReplyAt = u.now
		}
	}
	return m, nil
}

// sendTime is when a message leaves: at its time, or after the undo window.
func (d *Desk) sendTime(now, at time.Time, undo *time.Duration, s Settings) time.Time {
	if !at.IsZero() {
		return at.UTC().Truncate(time.Microsecond)
	}
	window := d.cfg.Undo
	if s.Undo != 0 {
		window = s.Undo
	}
	if undo != nil {
		window = *undo
	}
	return now.Add(max(window, 0))
}
