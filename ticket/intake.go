package ticket

import (
	"encoding/json"
	"log/slog"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// intakeRules is what intake looks at besides its snapshot.
type intakeRules struct {
	view      *deskView
	ret       ReturnPolicy
	strangers StrangerPolicy
	limits    Limits
	log       *slog.Logger
}

// result is what became of an arrival.
type result struct {
	disposition Disposition
	cause       channel.Cause
	message     MessageID
}

// CauseNoticeAnswered is the cause of what an agent's mail program answered to a
// notice of ours. It is held, so that a robot there cannot make tickets of its
// own notices; a person's words can be released.
const CauseNoticeAnswered channel.Cause = "notice_answered"

// trace collects the steps of a decision.
type trace []Step

func (t *trace) add(rule, outcome, detail string) {
	*t = append(*t, Step{Rule: rule, Outcome: outcome, Detail: detail})
}

func (u *unit) isDuplicate(a *arrival) bool {
	for _, k := range a.dups {
		if ref, ok := u.snap.Refs[k]; ok && ref.ID != string(a.record) {
			return true
		}
	}
	return false
}

// isCommitted reports whether an earlier try of this very arrival is in the store.
func (u *unit) isCommitted(a *arrival) bool {
	for _, k := range a.dups {
		if ref, ok := u.snap.Refs[k]; ok && !u.claimed[k] && !a.existing && ref.ID == string(a.record) {
			return true
		}
	}
	return false
}

// record writes down what became of an arrival; for one that is new it claims
// the keys by which it is known again, for ever.
func (u *unit) record(a *arrival, r result, fill func(i *Item)) result {
	it := a.item
	i := &Item{ID: a.record, ReceivedAt: u.now, Day: u.now.Format(time.DateOnly)}
	if a.existing {
		if old := u.snap.Items[a.record]; old != nil {
			i = old
			if r.disposition != DisposedMessage && r.disposition != DisposedWaiting && r.disposition != DisposedQuarantined {
				u.dropHeld(old)
			}
			if r.disposition == DisposedIgnored && r.cause != channel.CauseUnknown {
				u.dropRaw(old)
			}
			i.Held = nil
		}
	}
	if r.disposition != DisposedDuplicate {
		for _, k := range a.dups {
			u.claim(k, RefItem, string(a.record))
		}
	}
	i.Channel, i.Via, i.Imported = it.Channel, it.Via, it.Imported
	i.Disposition, i.Cause, i.Message = r.disposition, r.cause, r.message
	i.Detail = clean(it.Detail, 500)
	if fill != nil {
		fill(i)
	}
	u.editItem(i)
	if a.released {
		u.event(Event{Type: EventItemReleased, Channel: it.Channel, Message: r.message, Data: map[string]string{
			"item": string(i.ID), "became": string(r.disposition)}})
	}
	return r
}

func (u *unit) duplicate(a *arrival) result {
	return u.record(a, result{disposition: DisposedDuplicate}, nil)
}

// keepRaw adds the raw body to the commit and returns where it is.
func (u *unit) keepRaw(a *arrival) BodyRef {
	if a.raw.inline != nil {
		u.c.Bodies = append(u.c.Bodies, StoredBody{ID: a.raw.ref.ID, Data: a.raw.inline})
	}
	return a.raw.ref
}

// held is the form in which an understood item is kept while it waits.
type held struct {
	Keys        []channel.Key    `json:"keys"`
	At          time.Time        `json:"at,omitzero"`
	ViaInferred bool             `json:"via_inferred,omitempty"`
	Message     *channel.Message `json:"message,omitempty"`
	Update      *channel.Update  `json:"update,omitempty"`
	Attachments []Attachment     `json:"attachments,omitempty"`
	Ignored     channel.Cause    `json:"ignored,omitempty"`
	Detail      string           `json:"detail,omitempty"`
}

func (u *unit) hold(a *arrival) []byte {
	h := held{Keys: a.item.Keys, At: a.item.At, ViaInferred: a.item.ViaInferred, Update: a.item.Update, Attachments: a.raw.attachments,
		Ignored: a.item.Ignored, Detail: a.item.Detail}
	if m := a.item.Message; m != nil {
		c := *m
		c.Attachments = nil // h.Attachments has them
		h.Message = &c
	}
	b, err := json.Marshal(h)
	if err != nil {
		return nil // its types marshal; the raw form is kept in any case
	}
	return b
}

// dropRaw drops the raw form of an item that is of no use any more, and that
// nobody would find when its author is to be forgotten. finish sees to those in
// Blobs.
func (u *unit) dropRaw(i *Item) {
	if i.Raw.ID != "" && !i.Raw.Blob {
		u.c.DropBodies = append(u.c.DropBodies, i.Raw.ID)
	}
	i.Raw = BodyRef{}
}

// dropHeld drops the attachments of an item that was held and of which only the
// raw form is kept from now on. finish sees to those in Blobs.
func (u *unit) dropHeld(i *Item) {
	for _, at := range i.heldAttachments() {
		if at.Body.ID != "" && !at.Body.Blob {
			u.c.DropBodies = append(u.c.DropBodies, at.Body.ID)
		}
	}
}

func (u *unit) quarantine(a *arrival, cause channel.Cause, detail string) result {
	u.c.Bodies = append(u.c.Bodies, a.raw.bodies...)
	r := u.record(a, result{disposition: DisposedQuarantined, cause: cause}, func(i *Item) {
		i.Raw, i.Held = u.keepRaw(a), u.hold(a)
		if detail != "" {
			i.Detail = clean(detail, 500)
		}
	})
	u.event(Event{Type: EventItemQuarantined, Channel: a.item.Channel, Actor: Actor{Kind: ActorSystem},
		Data: map[string]string{"item": string(a.record), "cause": string(cause)}})
	return r
}

// intake decides what becomes of an item.
func (u *unit) intake(a *arrival, rules intakeRules) result {
	it := a.item
	switch {
	case a.inactive:
		return u.record(a, result{disposition: DisposedIgnored, cause: channel.CauseInactive}, nil)
	case it.Quarantined != "" && !a.released:
		return u.quarantine(a, it.Quarantined, it.Detail)
	case it.Ignored != "" && it.Message == nil:
		return u.record(a, result{disposition: DisposedIgnored, cause: it.Ignored}, nil)
	case it.Probe != "":
		return u.probe(a)
	case it.Notice != nil:
		return u.notice(a)
	}
	if it.Update != nil {
		if r, ok := u.update(a, rules); ok {
			return r
		}
		if r, ok := u.await(a); ok {
			return r
		}
		if it.Message == nil {
			return u.record(a, result{disposition: DisposedIgnored, cause: channel.CauseUnmatched}, nil)
		}
		if !a.released && ofDelivery(it.Update.Kind) {
			return u.unmatched(a)
		}
	}
	if it.Message == nil {
		return u.waitForInterpretation(a)
	}
	if it.Ignored != "" && !u.begun(a) {
		return u.record(a, result{disposition: DisposedIgnored, cause: it.Ignored}, nil)
	}
	if own := u.ownMessage(a); own != nil {
		if it.Message.Direction != channel.Out {
			return u.record(a, result{disposition: DisposedIgnored, cause: channel.CauseOwn, message: own.ID}, nil)
		}
		u.applyEcho(own, &channel.Update{Kind: channel.UpdateEcho})
		return u.record(a, result{disposition: DisposedApplied, cause: channel.Cause(channel.UpdateEcho), message: own.ID}, nil)
	}
	if it.Message.Automatic.Kind == channel.AutomaticBounce && !a.released {
		if conv, _, _ := u.thread(a, rules, &trace{}); conv == nil {
			return u.unmatched(a)
		}
	}
	if a.answersNotice && rules.view.agentMail(it.Message.From.Address) {
		return u.quarantine(a, CauseNoticeAnswered, "an agent's mail program answered a notice of ours")
	}
	return u.message(a, rules)
}

// unmatched holds a bounce of a mail that we did not send, or cannot name: it
// opens no ticket, since it may be forged or backscatter. A person can release
// it.
func (u *unit) unmatched(a *arrival) result {
	return u.quarantine(a, channel.CauseUnmatched, "a delivery report that names no message of ours")
}

func (u *unit) notice(a *arrival) result {
	u.event(Event{Type: EventNotice, Channel: a.item.Channel, Actor: Actor{Kind: ActorSystem},
		Data: map[string]string{"code": a.item.Notice.Code, "item": string(a.record)}})
	return u.record(a, result{disposition: DisposedNotice}, func(i *Item) {
		i.Raw, i.Finding = u.keepRaw(a), a.item.Notice.Finding
	})
}

// begun reports whether the conversation of a message that the channel would
// ignore had begun when it was written: by the network's account, so that what
// comes out of order ends alike.
func (u *unit) begun(a *arrival) bool {
	m := a.item.Message
	if m.Conversation == "" {
		return false
	}
	ref, ok := u.snap.Refs[conversationKey(a.item.Channel, m.Conversation)]
	if !ok {
		return false
	}
	c := u.snap.Conversations[ConversationID(ref.ID)]
	return c != nil && (a.item.At.IsZero() || !c.Since.After(a.item.At))
}

func (u *unit) waitForInterpretation(a *arrival) result {
	r := u.record(a, result{disposition: DisposedWaiting}, func(i *Item) {
		i.Raw, i.Held = u.keepRaw(a), u.hold(a)
	})
	u.addWork(&Work{Kind: WorkInterpret, Lane: interpretLane(a.item.Channel), Channel: a.item.Channel, Item: a.record})
	return r
}

// ownMessage reports whether the item is a message that this portal sent,
// coming back: it carries our token as its own id, or an id that we know as
// that of something we sent. It is nil otherwise.
func (u *unit) ownMessage(a *arrival) *Message {
	m := a.item.Message
	if m.ExternalID == "" {
		return nil
	}
	if ref, ok := u.snap.Refs[externalKey(a.item.Channel, m.ExternalID)]; ok && ref.Kind == RefMessage {
		if own := u.snap.Messages[MessageID(ref.ID)]; own != nil && own.Direction == Out {
			return own
		}
	}
	if own := u.snap.Messages[a.self]; own != nil && own.Direction == Out {
		return own
	}
	return nil
}

// message takes a message into its conversation and ticket.
func (u *unit) message(a *arrival, rules intakeRules) result {
	it := a.item
	m := it.Message
	var why trace
	scheme := rules.view.scheme(it.Channel)
	out := m.Direction == channel.Out
	if reason := clean(it.Detail, 500); reason != "" {
		why.add("channel", "takes it in", reason) // by its own rules
	}

	conv, known, verified := u.thread(a, rules, &why)
	var contact *Contact
	if out {
		if conv != nil {
			contact = u.snap.Contacts[conv.Contact]
		}
		if contact == nil && len(m.To) > 0 {
			contact = u.contact(scheme, m.To[0])
		}
	} else {
		contact = u.contact(scheme, m.From)
	}
	contactID := ContactID("")
	if contact != nil {
		contactID = contact.ID
	}
	newConversation := conv == nil
	if newConversation {
		conv = &Conversation{
			ID: ConversationID(newID()), Channel: it.Channel, Via: it.Via, Key: m.Conversation, ThreadID: m.Evidence.ThreadID,
			Contact: contactID, Subject: clean(m.Subject, rules.limits.Subject), Context: m.Context, Group: m.Group, CreatedAt: u.now,
		}
		u.event(Event{Type: EventConversation, Conversation: conv.ID, Channel: it.Channel})
	}
	u.editConversation(conv)
	if it.Via != "" {
		conv.Via = it.Via
	}
	if conv.Group == "" {
		conv.Group = m.Group
	}
	if conv.ThreadID == "" && conv.Channel == it.Channel {
		conv.ThreadID = m.Evidence.ThreadID
	}

	settings := rules.view.settings(it.Channel, it.Via)
	msg := u.incoming(a, conv, contactID, rules)
	msg.Unverified = known && !verified
	tk := u.ticketFor(a, conv, msg, settings, rules, &why)
	if tk != nil {
		msg.Ticket = tk.ID
	}
	if conv.Since.IsZero() || msg.At.Before(conv.Since) {
		conv.Since = msg.At
	}
	if !out && !msg.Automatic.Is() && msg.At.After(conv.LastActAt) {
		conv.LastActAt = msg.At
	}
	u.join(conv, m, msg, rules)
	u.remember(a, conv, msg, rules)

	if !out && !msg.Automatic.Is() {
		conv.LastCustomerAt = u.now
	}
	if !out && scheme == schemeMail {
		u.heardFrom(a, msg)
	}
	if !out && !msg.Unverified && (conv.LastIncoming == "" || !msg.Automatic.Is()) {
		conv.LastIncoming = msg.ID
	}
	if !out && !msg.Automatic.Is() && !conv.ClosedAt.IsZero() {
		conv.ClosedAt = time.Time{}
		u.event(Event{Type: EventConversationReopened, Conversation: conv.ID, Message: msg.ID, Channel: it.Channel})
	}
	if tk == nil && !out && conv.Assignee == "" && conv.WaitingSince.IsZero() && settings.Queue != "" && !msg.Automatic.Is() {
		conv.wait(settings.Queue, u.now)
		why.add("queue", "waits in queue", string(settings.Queue))
	}

	u.event(Event{Type: EventMessageReceived, Ticket: msg.Ticket, Conversation: conv.ID, Message: msg.ID, Channel: it.Channel,
		Data: map[string]string{"automatic": string(msg.Automatic.Kind), "direction": string(msg.Direction)}})
	u.afterwards(a, msg, tk, settings, &why)
	u.explain(Decision{Kind: "intake", Ticket: msg.Ticket, Conversation: conv.ID, Message: msg.ID, Outcome: string(DisposedMessage), Steps: why})
	return u.record(a, result{disposition: DisposedMessage, message: msg.ID}, func(i *Item) { i.Raw = msg.Raw })
}

// afterwards adds the work that a message brings.
func (u *unit) afterwards(a *arrival, msg *Message, tk *Ticket, s Settings, why *trace) {
	switch {
	case msg.Direction != In || tk == nil:
	case !s.AutoReply.On:
		why.add("auto_reply", "no", "off for this channel")
	case a.item.Imported || a.released:
		why.add("auto_reply", "no", "imported or released")
	default:
		why.add("auto_reply", "later", "decided as work of its own")
		u.addWork(&Work{Kind: WorkAutoReply, Message: msg.ID, Ticket: tk.ID, Conversation: msg.Conversation, Channel: a.item.Channel})
	}
}

// incoming returns the message as it is kept.
func (u *unit) incoming(a *arrival, conv *Conversation, contact ContactID, rules intakeRules) *Message {
	it, m := a.item, a.item.Message
	msg := &Message{
		ID: MessageID(newID()), Conversation: conv.ID, Channel: it.Channel, Via: it.Via, Inferred: it.ViaInferred,
		Direction: In, State: StateReceived, Contact: contact,
		From: m.From, ReplyTo: m.ReplyTo, To: m.To, Cc: m.Cc,
		Subject: m.Subject, Text: m.Text, NewText: m.NewText, HTML: m.HTML, Payload: m.Payload,
		Automatic: m.Automatic, Quiet: m.Quiet, Auth: m.Auth, Defects: m.Defects, Envelope: m.Received,
		Imported: it.Imported, ThreadID: m.Evidence.ThreadID, At: it.At.UTC().Truncate(time.Microsecond), CreatedAt: u.now,
	}
	if it.At.IsZero() {
		msg.At = u.now
	}
	if m.Direction == channel.Out {
		msg.Direction, msg.State, msg.SentAt, msg.Contact = Out, StateSent, msg.At, ""
		if m.Conversation != "" && len(m.To) == 1 { // a chat, of which receipts may come
			msg.Deliveries = []channel.Delivery{{Recipient: m.To[0].Address, State: channel.DeliverySent, ExternalID: m.ExternalID}}
		}
	}
	if msg.NewText == msg.Text {
		msg.NewText = ""
	}
	if m.ExternalID != "" {
		msg.ExternalIDs = []string{m.ExternalID}
	}
	msg.Raw = u.keepRaw(a)
	u.c.Bodies = append(u.c.Bodies, a.raw.bodies...)
	for i, at := range a.raw.attachments {
		at.ID = attachmentID(msg.ID, i)
		msg.Attachments = append(msg.Attachments, at)
	}
	msg.Search = searchText(msg, rules.limits.Search)
	return u.editMessage(msg)
}

// contact finds or makes the contact of an address.
func (u *unit) contact(scheme string, p channel.Party) *Contact {
	key := contactKey(scheme, p.Address)
	if ref, ok := u.snap.Refs[key]; ok && ref.Kind == RefContact {
		c := u.snap.Contacts[ContactID(ref.ID)]
		if c != nil && c.Name == "" && p.Name != "" {
			u.editContact(c).Name = clean(p.Name, maxNameLength)
		}
		return c
	}
	if p.Address == "" {
		return nil
	}
	c := &Contact{ID: ContactID(newID()), Name: clean(p.Name, maxNameLength), CreatedAt: u.now,
		Identities: []Identity{{Scheme: scheme, Address: p.Address}}}
	u.claim(key, RefContact, string(c.ID))
	return u.editContact(c)
}
