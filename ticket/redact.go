package ticket

import (
	"context"
	"fmt"
	"time"

	"github.com/anteroom/anteroom/channel"
)

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
		if ref.ID != "" && !ref.Blob { // finish sees to those in Blobs
			u.c.DropBodies = append(u.c.DropBodies, ref.ID)
		}
	}
	m.Subject, m.Text, m.NewText, m.HTML, m.Payload, m.Search = "", "", "", "", "", ""
	m.Attachments, m.Raw, m.Signature, m.Defects = nil, BodyRef{}, channel.Signature{}, nil
	m.RedactedAt, m.RedactedBy = u.now, string(by.Kind)+":"+by.ID
	u.event(Event{Type: EventMessageRedacted, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID})
}
