package memstore

import (
	"bytes"
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// Snapshot reads what is wanted.
func (p *portal) Snapshot(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error) {
	if err := p.backend.begin(ctx, "snapshot"); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	s := ticket.NewSnapshot()
	if err := driver.Follow(s, &w, reader{p}); err != nil {
		return nil, fmt.Errorf("memstore: snapshot: %w", err)
	}
	for _, id := range w.Works {
		if v := p.works.rows[id]; v != nil {
			s.Works[id] = cloneWork(v)
		}
	}
	for _, ref := range w.Records {
		if v := p.records[ref.Kind][ref.ID]; v != nil {
			s.Records[ref] = cloneRecord(v)
		}
	}
	for _, kind := range w.Kinds {
		for id, v := range p.records[kind] {
			s.Records[ticket.RecordRef{Kind: kind, ID: id}] = cloneRecord(v)
		}
	}
	if r := w.Range; r.Kind != "" {
		ids := slices.Sorted(maps.Keys(p.records[r.Kind]))
		at, exact := slices.BinarySearch(ids, r.After)
		if exact {
			at++
		}
		for _, id := range ids[at:min(len(ids), at+max(r.Limit, 0))] {
			s.Records[ticket.RecordRef{Kind: r.Kind, ID: id}] = cloneRecord(p.records[r.Kind][id])
		}
	}
	for _, name := range w.Counters {
		if c := p.counters[name]; c.value != 0 && !c.expired(w.Now) {
			s.Counters[name] = c.value
		}
	}
	for _, id := range w.Bodies {
		if b, ok := p.bodies[id]; ok {
			s.Bodies[id] = bytes.Clone(b)
		}
	}
	return s, nil
}

// reader gives copies of what is there. Its methods are called with the mutex
// held, and never fail.
type reader struct{ p *portal }

func (r reader) Ref(k ticket.Key) (ticket.Ref, bool, error) {
	ref, ok := r.p.keys[k]
	return ref, ok, nil
}

func copyOf[K ~string, V any](t *table[K, V], id K, clone func(*V) *V) *V {
	if v := t.rows[id]; v != nil {
		return clone(v)
	}
	return nil
}

func (r reader) Contact(id ticket.ContactID) (*ticket.Contact, error) {
	return copyOf(r.p.contacts, id, cloneContact), nil
}

func (r reader) Conversation(id ticket.ConversationID) (*ticket.Conversation, error) {
	return copyOf(r.p.conversations, id, cloneConversation), nil
}

func (r reader) Ticket(id ticket.TicketID) (*ticket.Ticket, error) {
	return copyOf(r.p.tickets, id, cloneTicket), nil
}

func (r reader) Message(id ticket.MessageID) (*ticket.Message, error) {
	return copyOf(r.p.messages, id, messageOut), nil
}

func (r reader) Item(id ticket.ItemID) (*ticket.Item, error) {
	return copyOf(r.p.items, id, cloneItem), nil
}
