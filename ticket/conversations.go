package ticket

import (
	"context"
	"fmt"
	"time"

	"github.com/anteroom/anteroom/routing"
)

// AssignConversation gives a conversation that has no ticket to an agent,
// whatever their capacity; an empty agent puts it back to wait in its queue. One
// that was closed is work again. Errors: ErrNotFound, ErrState when it has a
// ticket, *channel.FieldError.
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
		c.ClosedAt = time.Time{}
		u.assign(&c.Assignment, a, true)
		u.saidAssigned(Event{Conversation: c.ID, Channel: c.Channel}, c.Assignment, v)
		return nil
	})
	return out, err
}

// CloseConversation says that there is nothing more to do in a conversation that
// has no ticket: it waits for nobody and is no agent's load any more. What is
// pending is sent all the same. When the customer writes again it is work again,
// and waits in its channel's queue; automatic mail leaves it closed. One that is
// closed already is returned as it is.
//
// Errors: ErrNotFound; ErrState when it has a ticket, whose status says the same
// (see [Desk.SetStatus]).
func (d *Desk) CloseConversation(ctx context.Context, by Actor, id ConversationID) (*Conversation, error) {
	var out *Conversation
	_, err := d.decide(ctx, by, func() Want { return Want{Conversations: []ConversationID{id}} }, func(u *unit) error {
		c := u.snap.Conversations[id]
		if c == nil {
			return fmt.Errorf("conversation %q: %w", id, ErrNotFound)
		}
		if c.Ticket != "" {
			return fmt.Errorf("conversation %q has a ticket, solve that: %w", id, ErrState)
		}
		out = c
		if !c.ClosedAt.IsZero() {
			return errNothing
		}
		u.editConversation(c)
		owner := c.Assignee
		c.give("")
		c.ClosedAt = u.now
		u.event(Event{Type: EventConversationClosed, Conversation: c.ID, Channel: c.Channel, Agent: owner})
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
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
		c.Assignment, c.Ticket, c.ClosedAt = Assignment{}, t.ID, time.Time{}
		u.editTicket(t)
		u.event(Event{Type: EventTicketCreated, Ticket: t.ID, Conversation: c.ID, Channel: c.Channel, Data: map[string]string{"queue": string(t.Queue)}})
		out = t
		return nil
	})
	return out, err
}
