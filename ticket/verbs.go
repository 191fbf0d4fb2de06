package ticket

import (
	"context"
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
		if len(t.Fields) > maxFields {
			return badField("fields", "must be at most %d", maxFields)
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
