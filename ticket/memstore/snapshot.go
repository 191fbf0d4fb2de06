package memstore

import (
	"bytes"
	"context"

	"github.com/anteroom/anteroom/ticket"
)

// Snapshot reads what is wanted.
func (p *portal) Snapshot(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error) {
	if err := p.backend.begin(ctx, "snapshot"); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	r := reader{p, ticket.NewSnapshot(), w.Follow}
	for _, k := range w.Keys {
		if ref, ok := p.keys[k]; ok {
			r.s.Refs[k] = ref
			if w.Follow {
				r.ref(ref)
			}
		}
	}
	for _, id := range w.Contacts {
		r.contact(id)
	}
	for _, id := range w.Conversations {
		r.conversation(id)
	}
	for _, id := range w.Tickets {
		r.ticket(id)
	}
	for _, id := range w.Messages {
		r.message(id)
	}
	for _, id := range w.Items {
		r.item(id)
	}
	for _, id := range w.Works {
		if v := p.works.rows[id]; v != nil {
			r.s.Works[id] = cloneWork(v)
		}
	}
	for _, ref := range w.Records {
		if v := p.records[ref.Kind][ref.ID]; v != nil {
			r.s.Records[ref] = cloneRecord(v)
		}
	}
	for _, kind := range w.Kinds {
		for id, v := range p.records[kind] {
			r.s.Records[ticket.RecordRef{Kind: kind, ID: id}] = cloneRecord(v)
		}
	}
	for _, name := range w.Counters {
		if c := p.counters[name]; c.value != 0 && !c.expired(w.Now) {
			r.s.Counters[name] = c.value
		}
	}
	for _, id := range w.Bodies {
		if b, ok := p.bodies[id]; ok {
			r.s.Bodies[id] = bytes.Clone(b)
		}
	}
	return r.s, nil
}

// reader fills a snapshot. What is in it already is not read again, which also
// ends the following of circles.
type reader struct {
	p      *portal
	s      *ticket.Snapshot
	follow bool
}

func (r *reader) ref(ref ticket.Ref) {
	switch ref.Kind {
	case ticket.RefContact:
		r.contact(ticket.ContactID(ref.ID))
	case ticket.RefConversation:
		r.conversation(ticket.ConversationID(ref.ID))
	case ticket.RefTicket:
		r.ticket(ticket.TicketID(ref.ID))
	case ticket.RefMessage:
		r.message(ticket.MessageID(ref.ID))
	case ticket.RefItem:
		r.item(ticket.ItemID(ref.ID))
	}
}

func (r *reader) contact(id ticket.ContactID) {
	if v := r.p.contacts.rows[id]; v != nil && r.s.Contacts[id] == nil {
		r.s.Contacts[id] = cloneContact(v)
	}
}

func (r *reader) conversation(id ticket.ConversationID) {
	v := r.p.conversations.rows[id]
	if v == nil || r.s.Conversations[id] != nil {
		return
	}
	r.s.Conversations[id] = cloneConversation(v)
	if r.follow {
		r.ticket(v.Ticket)
		r.contact(v.Contact)
	}
}

func (r *reader) ticket(id ticket.TicketID) {
	v := r.p.tickets.rows[id]
	if v == nil || r.s.Tickets[id] != nil {
		return
	}
	r.s.Tickets[id] = cloneTicket(v)
	if r.follow {
		r.conversation(v.Conversation)
	}
}

func (r *reader) message(id ticket.MessageID) {
	v := r.p.messages.rows[id]
	if v == nil || r.s.Messages[id] != nil {
		return
	}
	r.s.Messages[id] = messageOut(v)
	if r.follow {
		r.conversation(v.Conversation)
	}
}

func (r *reader) item(id ticket.ItemID) {
	if v := r.p.items.rows[id]; v != nil && r.s.Items[id] == nil {
		r.s.Items[id] = cloneItem(v)
	}
}
