package ticket

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
)

// TicketPatch changes a ticket; nil fields stay.
type TicketPatch struct {
	Status   *Status
	Priority *Priority
	Tags     *[]string
	Subject  *string
	Fields   map[string]string // set; an empty value removes
	// Revision, if not 0, must be the ticket's: else ErrConflict.
	Revision int64
}

// UpdateTicket changes a ticket. Errors: ErrNotFound, ErrConflict for a stale
// revision, *channel.FieldError.
func (d *Desk) UpdateTicket(ctx context.Context, by Actor, id TicketID, p TicketPatch) (*Ticket, error) {
	if err := d.checkPatch(p); err != nil {
		return nil, err
	}
	return d.changeTicket(ctx, by, id, func(u *unit, t *Ticket) error {
		if p.Revision != 0 && p.Revision != t.Revision {
			return fmt.Errorf("ticket %q has revision %d, not %d: %w", id, t.Revision, p.Revision, errStale)
		}
		changed := map[string]string{}
		u.editTicket(t)
		if p.Status != nil && *p.Status != t.Status {
			changed["status"], changed["from"] = string(*p.Status), string(t.Status)
			u.setStatus(t, *p.Status)
		}
		if p.Priority != nil && *p.Priority != t.Priority {
			t.Priority = *p.Priority
			changed["priority"] = string(*p.Priority)
		}
		if p.Tags != nil && !slices.Equal(*p.Tags, t.Tags) {
			t.Tags = *p.Tags
			changed["tags"] = "changed"
		}
		if p.Subject != nil && *p.Subject != t.Subject {
			t.Subject = *p.Subject
			changed["subject"] = "changed"
		}
		for k, v := range p.Fields {
			if t.Fields == nil {
				t.Fields = map[string]string{}
			}
			if v == "" {
				delete(t.Fields, k)
			} else {
				t.Fields[k] = v
			}
			changed["fields"] = "changed"
		}
		if len(changed) == 0 {
			return errNothing
		}
		u.event(Event{Type: EventTicketUpdated, Ticket: t.ID, Conversation: t.Conversation, Channel: t.Channel, Data: changed})
		return nil
	})
}

// errStale is the ErrConflict of a caller's own revision, which reading again
// does not mend.
var errStale = fmt.Errorf("stale revision: %w", ErrConflict)

const (
	maxTags      = 50
	maxFields    = 100
	maxFieldSize = 4 << 10 // bytes of a field's value
)

func (d *Desk) checkPatch(p TicketPatch) error {
	if p.Status != nil && !slices.Contains([]Status{Open, Pending, Solved, Closed}, *p.Status) {
		return badField("status", "must be %q, %q, %q or %q", Open, Pending, Solved, Closed)
	}
	if p.Priority != nil && !slices.Contains([]Priority{Low, Normal, High, Urgent}, *p.Priority) {
		return badField("priority", "must be %q, %q, %q or %q", Low, Normal, High, Urgent)
	}
	if p.Tags != nil {
		if len(*p.Tags) > maxTags {
			return badField("tags", "must be at most %d", maxTags)
		}
		for _, t := range *p.Tags {
			if t == "" || clean(t, 101) != t || len([]rune(t)) > 100 {
				return badField("tags", "must be lines of 1 to 100 characters")
			}
		}
	}
	if err := d.checkContent(nil, nil, p.Subject); err != nil {
		return err
	}
	if len(p.Fields) > maxFields {
		return badField("fields", "must be at most %d", maxFields)
	}
	for k, v := range p.Fields {
		if err := checkID("fields", k); err != nil {
			return err
		}
		if len(v) > maxFieldSize || strings.ToValidUTF8(v, "") != v {
			return badField("fields."+k, "must be UTF-8 of at most %d bytes", maxFieldSize)
		}
	}
	return nil
}

// changeTicket reads a ticket and decides on its change.
func (d *Desk) changeTicket(ctx context.Context, by Actor, id TicketID, change func(u *unit, t *Ticket) error) (*Ticket, error) {
	var out *Ticket
	_, err := d.decide(ctx, by, func() Want { return Want{Tickets: []TicketID{id}, Follow: true} }, func(u *unit) error {
		t := u.snap.Tickets[id]
		if t == nil || !t.DeletedAt.IsZero() {
			return fmt.Errorf("ticket %q: %w", id, ErrNotFound)
		}
		out = t
		return change(u, t)
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// setStatus changes the status and what hangs on it.
func (u *unit) setStatus(t *Ticket, s Status) {
	t.Status = s
	switch s {
	case Solved:
		t.SolvedAt, t.ClosedAt = u.now, time.Time{}
	case Closed:
		t.ClosedAt = u.now
	default:
		t.SolvedAt, t.ClosedAt = time.Time{}, time.Time{}
	}
	switch {
	case !s.Active():
		t.WaitingSince = time.Time{}
	case t.Assignee == "" && t.Queue != "" && t.WaitingSince.IsZero():
		t.wait(t.Queue, u.now)
	}
}

// SetStatus changes a ticket's status. Errors as UpdateTicket.
func (d *Desk) SetStatus(ctx context.Context, by Actor, id TicketID, s Status) (*Ticket, error) {
	return d.UpdateTicket(ctx, by, id, TicketPatch{Status: &s})
}

// Assign gives a ticket to an agent, whatever their capacity; an empty agent
// puts it back to wait in its queue. Errors: ErrNotFound, *channel.FieldError.
func (d *Desk) Assign(ctx context.Context, by Actor, id TicketID, a routing.AgentID) (*Ticket, error) {
	v := d.view()
	if _, ok := v.agents[a]; a != "" && !ok {
		return nil, badField("agent", "there is no agent %q", a)
	}
	return d.changeTicket(ctx, by, id, func(u *unit, t *Ticket) error {
		u.editTicket(t)
		u.assign(&t.Assignment, a, t.Status.Active())
		u.saidAssigned(Event{Ticket: t.ID, Conversation: t.Conversation, Channel: t.Channel}, t.Assignment, v)
		return nil
	})
}

// AssignConversation does the same for a conversation that has no ticket.
func (d *Desk) AssignConversation(ctx context.Context, by Actor, id ConversationID, a routing.AgentID) (*Conversation, error) {
	v := d.view()
	if _, ok := v.agents[a]; a != "" && !ok {
		return nil, badField("agent", "there is no agent %q", a)
	}
	var out *Conversation
	_, err := d.decide(ctx, by, func() Want { return Want{Conversations: []ConversationID{id}, Follow: true} }, func(u *unit) error {
		c := u.snap.Conversations[id]
		if c == nil {
			return fmt.Errorf("conversation %q: %w", id, ErrNotFound)
		}
		if c.Ticket != "" {
			return fmt.Errorf("conversation %q has a ticket, assign that: %w", id, ErrState)
		}
		out = u.editConversation(c)
		u.assign(&c.Assignment, a, true)
		u.saidAssigned(Event{Conversation: c.ID, Channel: c.Channel}, c.Assignment, v)
		return nil
	})
	return out, err
}

func (u *unit) assign(at *Assignment, a routing.AgentID, active bool) {
	at.give(a)
	if a == "" && active && at.Queue != "" {
		at.wait(at.Queue, u.now)
	}
}

func (u *unit) saidAssigned(e Event, at Assignment, v *deskView) {
	if at.Assignee == "" {
		e.Type, e.Data = EventQueued, map[string]string{"queue": string(at.Queue)}
		u.event(e)
		return
	}
	e.Type, e.Agent, e.Data = EventAssigned, at.Assignee, map[string]string{"queue": string(at.Queue), "by": "person"}
	u.event(e)
	if u.by.Kind != ActorAgent || u.by.ID != string(at.Assignee) {
		u.tellAgent(at.Assignee, e, v)
	}
}

// Move puts a ticket into a queue, without an agent, to be routed there.
// Errors: ErrNotFound, *channel.FieldError.
func (d *Desk) Move(ctx context.Context, by Actor, id TicketID, q routing.QueueID) (*Ticket, error) {
	v := d.view()
	if _, ok := v.queues[q]; !ok {
		return nil, badField("queue", "there is no queue %q", q)
	}
	return d.changeTicket(ctx, by, id, func(u *unit, t *Ticket) error {
		u.editTicket(t)
		t.Queue = q
		u.assign(&t.Assignment, "", t.Status.Active())
		u.saidAssigned(Event{Ticket: t.ID, Conversation: t.Conversation, Channel: t.Channel}, t.Assignment, v)
		return nil
	})
}

// Note adds an internal note to a ticket. Errors: ErrNotFound,
// *channel.FieldError.
func (d *Desk) Note(ctx context.Context, by routing.AgentID, id TicketID, text string) (*Message, error) {
	if _, ok := d.view().agents[by]; !ok {
		return nil, badField("agent", "there is no agent %q", by)
	}
	if err := d.checkContent(&text, nil, nil); err != nil {
		return nil, err
	}
	if strings.TrimSpace(text) == "" {
		return nil, badField("text", "must not be empty")
	}
	var note *Message
	_, err := d.changeTicket(ctx, Agent(by), id, func(u *unit, t *Ticket) error {
		note = &Message{ID: MessageID(newID()), Conversation: t.Conversation, Ticket: t.ID, Channel: t.Channel, Direction: Note,
			Agent: by, Text: text, State: StateReceived, CreatedAt: u.now, At: u.now}
		note.Search = searchText(note, d.cfg.Limits.Search)
		u.editMessage(note)
		u.editTicket(t).MessageCount++
		u.event(Event{Type: EventNoteAdded, Ticket: t.ID, Conversation: t.Conversation, Message: note.ID, Agent: by})
		return nil
	})
	return note, err
}

// MakeTicket makes a ticket of a conversation that has none; if it has one
// already, that is returned. Error: ErrNotFound.
func (d *Desk) MakeTicket(ctx context.Context, by Actor, id ConversationID) (*Ticket, error) {
	var out *Ticket
	_, err := d.decide(ctx, by, func() Want { return Want{Conversations: []ConversationID{id}, Follow: true} }, func(u *unit) error {
		c := u.snap.Conversations[id]
		if c == nil {
			return fmt.Errorf("conversation %q: %w", id, ErrNotFound)
		}
		if t := u.snap.Tickets[c.Ticket]; t != nil && t.DeletedAt.IsZero() && t.Status != Closed {
			out = t
			return errNothing
		}
		u.editConversation(c)
		subject := c.Subject
		if subject == "" {
			subject = c.Context
		}
		t := &Ticket{ID: TicketID(newID()), Subject: clean(subject, d.cfg.Limits.Subject), Status: Open, Priority: Normal, Channel: c.Channel,
			Conversation: c.ID, Conversations: []ConversationID{c.ID}, Contact: c.Contact, FollowUpOf: c.Ticket,
			Assignment: c.Assignment, LastCustomerAt: c.LastCustomerAt, CreatedAt: u.now}
		if t.Queue == "" {
			t.Queue = d.view().settings(c.Channel, c.Via).Queue
		}
		if t.Assignee == "" && t.Queue != "" && t.WaitingSince.IsZero() {
			t.wait(t.Queue, u.now)
		}
		c.Assignment, c.Ticket = Assignment{}, t.ID
		u.editTicket(t)
		u.event(Event{Type: EventTicketCreated, Ticket: t.ID, Conversation: c.ID, Channel: c.Channel, Data: map[string]string{"queue": string(t.Queue)}})
		out = t
		return nil
	})
	return out, err
}

// DeleteTicket deletes a ticket with the content of its messages. What stays on
// record: its id and number, who deleted it and when (in the feed), the headless
// messages, and the keys that keep what was received from coming in again.
// Pending messages are cancelled. Error: ErrNotFound.
func (d *Desk) DeleteTicket(ctx context.Context, by Actor, id TicketID) error {
	// Content goes first, so that a crash between leaves a ticket that can be
	// deleted again and not content that nobody finds; and once more after,
	// for what came meanwhile.
	if err := d.redactTicket(ctx, by, id); err != nil {
		return err
	}
	_, err := d.changeTicket(ctx, by, id, func(u *unit, t *Ticket) error {
		u.editTicket(t)
		t.DeletedAt, t.Subject, t.Tags, t.Fields = u.now, "", nil, nil
		t.WaitingSince, t.Status = time.Time{}, Closed
		if c := u.snap.Conversations[t.Conversation]; c != nil && c.Ticket == t.ID {
			u.editConversation(c)
			c.Ticket, c.Subject = "", ""
		}
		u.event(Event{Type: EventTicketDeleted, Ticket: t.ID, Conversation: t.Conversation, Channel: t.Channel})
		return nil
	})
	if err != nil {
		return err
	}
	return d.redactTicket(ctx, by, id)
}

// redactTicket cancels and redacts the messages of a ticket.
func (d *Desk) redactTicket(ctx context.Context, by Actor, id TicketID) error {
	var after Next
	for {
		ms, next, err := d.store.Messages(ctx, MessageFilter{Ticket: id}, Page{Limit: 200, After: after})
		if err != nil {
			return fmt.Errorf("ticket: read messages: %w", err)
		}
		for _, m := range ms {
			if m.Direction == Out {
				if _, err := d.Cancel(ctx, by, m.ID); err != nil {
					return err
				}
			}
			if err := d.redactMessage(ctx, by, m.ID); err != nil {
				return err
			}
		}
		if next == "" {
			return nil
		}
		after = next
	}
}

// DeleteMessage withdraws a message where the network can, and redacts what is
// stored, leaving who and when. A pending one is cancelled. withdrawn reports
// whether the network took it back. Error: ErrNotFound.
func (d *Desk) DeleteMessage(ctx context.Context, by Actor, id MessageID) (withdrawn bool, err error) {
	m, err := d.Message(ctx, id)
	if err != nil {
		return false, err
	}
	if m.Direction == Out {
		if _, err := d.Cancel(ctx, by, id); err != nil {
			return false, err
		}
		left := m.State == StateSent || m.State == StateDelivered || m.State == StateRead
		if left && d.Act(ctx, by, id, channel.VerbWithdraw) == nil {
			withdrawn = true
		}
	}
	return withdrawn, d.redactMessage(ctx, by, id)
}

func (d *Desk) redactMessage(ctx context.Context, by Actor, id MessageID) error {
	_, err := d.decide(ctx, by, wantOutgoing(id), func(u *unit) error {
		m := u.snap.Messages[id]
		if m == nil {
			return fmt.Errorf("message %q: %w", id, ErrNotFound)
		}
		if !m.RedactedAt.IsZero() {
			return errNothing
		}
		u.redact(m, by)
		return nil
	})
	return err
}

// redact removes a message's content and keeps who and when.
func (u *unit) redact(m *Message, by Actor) {
	u.editMessage(m)
	refs := []BodyRef{m.Raw}
	for _, a := range m.Attachments {
		refs = append(refs, a.Body)
	}
	for _, ref := range refs {
		switch {
		case ref.Blob:
			u.freed = append(u.freed, ref)
		case ref.ID != "":
			u.c.DropBodies = append(u.c.DropBodies, ref.ID)
		}
	}
	m.Subject, m.Text, m.NewText, m.HTML, m.Search = "", "", "", "", ""
	m.Attachments, m.Raw, m.Signature, m.Defects = nil, BodyRef{}, channel.Signature{}, nil
	m.RedactedAt, m.RedactedBy = u.now, string(by.Kind)+":"+by.ID
	u.event(Event{Type: EventMessageRedacted, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID})
}

// Act does something to a message on its network: like, hide, seen and so on,
// as the channel's Can lists. Errors: ErrNotFound, ErrNotAble, ErrInactive, or
// the channel's.
func (d *Desk) Act(ctx context.Context, by Actor, id MessageID, verb channel.Verb) error {
	snap, err := d.store.Snapshot(ctx, Want{Messages: []MessageID{id}, Follow: true})
	if err != nil {
		return fmt.Errorf("ticket: read message: %w", err)
	}
	m := snap.Messages[id]
	if m == nil {
		return fmt.Errorf("message %q: %w", id, ErrNotFound)
	}
	d.mu.Lock()
	o := d.channels[m.Channel]
	d.mu.Unlock()
	if o == nil || o.ch == nil || !slices.Contains(o.ch.Info().Can, verb) {
		return fmt.Errorf("%s: %w", verb, ErrNotAble)
	}
	doer, ok := o.ch.(channel.Doer)
	if !ok {
		return fmt.Errorf("%s: %w", verb, ErrNotAble)
	}
	if c := d.view().channels[m.Channel]; c != nil && c.settings.Inactive {
		return fmt.Errorf("%s: %w", verb, ErrInactive)
	}
	act := channel.Action{Verb: verb}
	if c := snap.Conversations[m.Conversation]; c != nil {
		act.Conversation = c.Key
	}
	if len(m.ExternalIDs) > 0 {
		act.Message = m.ExternalIDs[0]
	}
	if err := doer.Do(ctx, act); err != nil {
		return err
	}
	// It is done; who did it is written down even if ctx ends meanwhile.
	_, err = d.decide(context.WithoutCancel(ctx), by, func() Want { return Want{} }, func(u *unit) error {
		u.event(Event{Type: EventMessageAction, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID, Channel: m.Channel,
			Data: map[string]string{"verb": string(verb)}})
		return nil
	})
	return err
}

// Quarantine lists what is held, newest first.
func (d *Desk) Quarantine(ctx context.Context, p Page) ([]*Item, Next, error) {
	return d.store.Items(ctx, ItemFilter{Disposition: DisposedQuarantined}, p)
}

// Release takes a quarantined item in as a message; one that was never
// understood is given to its channel to be interpreted once more. Nothing
// automatic is sent for it. It returns the item as it then is. Errors:
// ErrNotFound, and ErrState when it is not quarantined, its channel is gone, or
// its channel interprets nothing.
func (d *Desk) Release(ctx context.Context, by Actor, id ItemID) (*Item, error) {
	snap, err := d.store.Snapshot(ctx, Want{Items: []ItemID{id}})
	if err != nil {
		return nil, fmt.Errorf("ticket: read item: %w", err)
	}
	rec := snap.Items[id]
	if rec == nil {
		return nil, fmt.Errorf("item %q: %w", id, ErrNotFound)
	}
	if rec.Disposition != DisposedQuarantined {
		return nil, fmt.Errorf("item %q is not quarantined: %w", id, ErrState)
	}
	if d.view().channels[rec.Channel] == nil {
		return nil, fmt.Errorf("item %q is of a channel that was removed: %w", id, ErrState)
	}
	it, err := d.heldItem(ctx, rec)
	if err != nil {
		return nil, err
	}
	if it.Message == nil {
		return d.replay(ctx, by, rec)
	}
	it.Imported = true
	revision := rec.Revision
	err = d.take(ctx, []*arrival{d.revive(it, rec, true)}, d.now(), func(u *unit) error {
		if cur := u.snap.Items[id]; cur == nil || cur.Revision != revision {
			return fmt.Errorf("item %q: %w", id, errStale)
		}
		u.by = by
		for _, e := range u.c.Events {
			e.Actor = by
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	snap, err = d.store.Snapshot(ctx, Want{Items: []ItemID{id}})
	if err != nil {
		return nil, fmt.Errorf("ticket: read item: %w", err)
	}
	return snap.Items[id], nil
}

// replay gives a quarantined item to its channel to be interpreted again.
func (d *Desk) replay(ctx context.Context, by Actor, rec *Item) (*Item, error) {
	d.mu.Lock()
	o := d.channels[rec.Channel]
	d.mu.Unlock()
	if o == nil || o.ch == nil {
		return nil, fmt.Errorf("channel %q: %w", rec.Channel, ErrNotFound)
	}
	if _, ok := o.ch.(channel.Interpreter); !ok {
		return nil, fmt.Errorf("item %q was never understood; its raw form is kept: %w", rec.ID, ErrState)
	}
	var out *Item
	_, err := d.decide(ctx, by, func() Want { return Want{Items: []ItemID{rec.ID}} }, func(u *unit) error {
		i := u.snap.Items[rec.ID]
		if i == nil || i.Revision != rec.Revision {
			return fmt.Errorf("item %q: %w", rec.ID, errStale)
		}
		i.Disposition, i.Cause, i.Detail, i.Imported = DisposedWaiting, "", "", true
		u.editItem(i)
		u.addWork(&Work{Kind: WorkInterpret, Lane: string(i.Channel), Channel: i.Channel, Item: i.ID})
		u.event(Event{Type: EventItemReleased, Channel: i.Channel, Data: map[string]string{"item": string(i.ID), "became": string(DisposedWaiting)}})
		out = i
		return nil
	})
	return out, err
}

// heldItem returns a stored item in the channel's terms.
func (d *Desk) heldItem(ctx context.Context, rec *Item) (*channel.Item, error) {
	var h held
	if len(rec.Held) > 0 {
		if err := json.Unmarshal(rec.Held, &h); err != nil {
			return nil, fmt.Errorf("ticket: read held item: %w", err)
		}
	}
	it := &channel.Item{Channel: rec.Channel, Via: rec.Via, ViaInferred: h.ViaInferred, Keys: h.Keys, At: h.At, Imported: rec.Imported,
		Message: h.Message, Update: h.Update}
	if !rec.Raw.IsZero() {
		raw, err := d.body(ctx, rec.Raw)
		if err != nil {
			return nil, err
		}
		it.Raw = raw
	}
	return it, nil
}

// revive returns the arrival of an item that has a record already.
func (d *Desk) revive(it *channel.Item, rec *Item, released bool) *arrival {
	a := &arrival{item: it, record: rec.ID, existing: true, released: released}
	a.raw.ref = rec.Raw
	d.identify(a)
	var h held
	if len(rec.Held) > 0 && json.Unmarshal(rec.Held, &h) == nil && it.Message != nil && len(it.Message.Attachments) == 0 {
		a.raw.attachments = h.Attachments
		if a.raw.attachments == nil {
			a.raw.attachments = []Attachment{}
		}
	}
	return a
}
