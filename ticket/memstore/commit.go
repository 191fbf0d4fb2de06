package memstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// Commit writes c in the order releases, claims, entities, counts, and so
// reports a taken key before any other conflict, and a limit last.
func (p *portal) Commit(ctx context.Context, c *ticket.Changes) error {
	if err := p.backend.begin(ctx, "commit"); err != nil {
		return err
	}
	number, cursor, err := p.commit(c)
	if err != nil {
		return err
	}
	if err := p.backend.done("committed"); err != nil {
		return err
	}
	driver.Report(c, number, cursor)
	return nil
}

// tx is a commit under way: how to undo it.
type tx struct {
	*portal
	undo []func()
}

func (t *tx) onUndo(f func()) { t.undo = append(t.undo, f) }

func (p *portal) commit(c *ticket.Changes) (number, cursor int64, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	number, cursor = p.number+1, int64(len(p.events))+1
	t := &tx{portal: p}
	defer func() {
		if err != nil {
			for _, v := range slices.Backward(t.undo) {
				v()
			}
		}
	}()
	for _, step := range []func(*ticket.Changes) error{t.holds, t.claims, t.entities, t.tickets, t.messages, t.work, t.recordDocs, t.bodies, t.counts} {
		if err := step(c); err != nil {
			return 0, 0, err
		}
	}
	// Nothing fails from here on.
	for i, e := range c.Events {
		e = cloneEvent(e)
		e.Cursor = cursor + int64(i)
		p.events = append(p.events, e)
		if e.Ticket != "" {
			p.eventsOf[e.Ticket] = append(p.eventsOf[e.Ticket], e)
		}
	}
	return number, cursor, nil
}

func (t *tx) holds(c *ticket.Changes) error {
	for _, h := range c.Holds {
		if l, held := t.leases[h.Lease]; !held || l.owner != h.Owner {
			return fmt.Errorf("memstore: commit: lease %s: %w", h.Lease, ticket.ErrNotHeld)
		}
	}
	return nil
}

func (t *tx) claims(c *ticket.Changes) error {
	for _, k := range c.Releases {
		if ref, ok := t.keys[k]; ok {
			delete(t.keys, k)
			t.onUndo(func() { t.keys[k] = ref })
		}
	}
	for _, k := range c.Claims {
		if ref, ok := t.keys[k.Key]; ok {
			return &ticket.TakenError{Key: k.Key, Ref: ref}
		}
		t.keys[k.Key] = k.Ref
		t.onUndo(func() { delete(t.keys, k.Key) })
	}
	return nil
}

func conflict(what string, id any) error {
	return fmt.Errorf("memstore: commit: %s %v: %w", what, id, ticket.ErrConflict)
}

// write puts v, the new version of row id, if the row's revision is the one
// that v was made from.
func write[K ~string, V any](t *tx, tab *table[K, V], what string, id K, v *V, revision func(*V) *int64) error {
	old := tab.rows[id]
	var have int64
	if old != nil {
		have = *revision(old)
	}
	if have != *revision(v) {
		return conflict(what, id)
	}
	*revision(v)++
	tab.put(id, v)
	t.onUndo(func() { tab.put(id, old) })
	return nil
}

func (t *tx) entities(c *ticket.Changes) error {
	for _, v := range c.Contacts {
		err := write(t, t.contacts, "contact", v.ID, cloneContact(v), func(v *ticket.Contact) *int64 { return &v.Revision })
		if err != nil {
			return err
		}
	}
	for _, v := range c.Conversations {
		err := write(t, t.conversations, "conversation", v.ID, cloneConversation(v), func(v *ticket.Conversation) *int64 { return &v.Revision })
		if err != nil {
			return err
		}
	}
	for _, v := range c.Items {
		old := t.items.rows[v.ID]
		err := write(t, t.items, "item", v.ID, cloneItem(v), func(v *ticket.Item) *int64 { return &v.Revision })
		if err != nil {
			return err
		}
		if old != nil {
			t.count(ledgerKey{old.Channel, old.Day, old.Disposition, old.Cause}, -1)
		}
		t.count(ledgerKey{v.Channel, v.Day, v.Disposition, v.Cause}, 1)
	}
	for _, id := range c.DropDecisions {
		if old := t.decisions.put(id, nil); old != nil {
			t.onUndo(func() { t.decisions.put(id, old) })
		}
	}
	for _, v := range c.Decisions {
		if t.decisions.rows[v.ID] != nil {
			return conflict("decision", v.ID)
		}
		t.decisions.put(v.ID, cloneDecision(v))
		t.onUndo(func() { t.decisions.put(v.ID, nil) })
	}
	return nil
}

func (t *tx) count(k ledgerKey, n int64) {
	add := func(n int64) {
		if t.ledger[k] += n; t.ledger[k] == 0 {
			delete(t.ledger, k)
		}
	}
	add(n)
	t.onUndo(func() { add(-n) })
}

func (t *tx) tickets(c *ticket.Changes) error {
	for _, v := range c.Tickets {
		v := cloneTicket(v)
		if old := t.portal.tickets.rows[v.ID]; old != nil {
			v.Number = old.Number
		} else {
			number := t.number + 1
			v.Number = number
			t.number, t.byNumber[number] = number, v.ID
			t.onUndo(func() { t.number--; delete(t.byNumber, number) })
		}
		err := write(t, t.portal.tickets, "ticket", v.ID, v, func(v *ticket.Ticket) *int64 { return &v.Revision })
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) messages(c *ticket.Changes) error {
	for _, v := range c.Messages {
		v := cloneMessage(v)
		if old := t.portal.messages.rows[v.ID]; old != nil && v.Search == "" && v.RedactedAt.IsZero() {
			v.Search = old.Search
		}
		err := write(t, t.portal.messages, "message", v.ID, v, func(v *ticket.Message) *int64 { return &v.Revision })
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) recordDocs(c *ticket.Changes) error {
	for _, v := range c.Records {
		kind := t.records[v.Kind]
		old := kind[v.ID]
		var have int64
		if old != nil {
			have = old.Revision
		}
		if have != v.Revision {
			return conflict("record", v.ID)
		}
		if kind == nil {
			kind = map[string]*ticket.Record{}
			t.records[v.Kind] = kind
		}
		if v.Doc == nil {
			delete(kind, v.ID)
		} else {
			r := cloneRecord(v)
			r.Revision++
			kind[v.ID] = r
		}
		t.onUndo(func() {
			if old == nil {
				delete(kind, v.ID)
			} else {
				kind[v.ID] = old
			}
		})
	}
	return nil
}

func (t *tx) bodies(c *ticket.Changes) error {
	for _, id := range c.DropBodies {
		if old, ok := t.portal.bodies[id]; ok {
			delete(t.portal.bodies, id)
			t.onUndo(func() { t.portal.bodies[id] = old })
		}
	}
	for _, b := range c.Bodies {
		if _, ok := t.portal.bodies[b.ID]; ok {
			return conflict("body", b.ID)
		}
		t.portal.bodies[b.ID] = append([]byte{}, b.Data...)
		t.onUndo(func() { delete(t.portal.bodies, b.ID) })
	}
	return nil
}

func (t *tx) counts(c *ticket.Changes) error {
	for _, n := range c.Counts {
		old, existed := t.counters[n.Name]
		now := old
		if now.expired(c.At) {
			now = counter{}
		}
		var err error
		if now.value, err = driver.Add(now.value, &n); err != nil {
			return fmt.Errorf("memstore: commit: %w", err)
		}
		if !n.Expires.IsZero() {
			now.expires = cloneTime(n.Expires)
		}
		if t.counters[n.Name] = now; now.expired(c.At.Add(-time.Hour)) {
			delete(t.counters, n.Name)
		}
		t.onUndo(func() {
			if existed {
				t.counters[n.Name] = old
			} else {
				delete(t.counters, n.Name)
			}
		})
	}
	t.forget(len(c.Counts), c.At)
	return nil
}

// forget drops expired counters once in a while. It is not undone: whoever
// counts on one of them later starts from 0 anyway. An hour is left for
// callers whose clocks are behind.
func (t *tx) forget(n int, at time.Time) {
	if t.counted += n; t.counted < 4096 {
		return
	}
	t.counted = 0
	for name, c := range t.counters {
		if c.expired(at.Add(-time.Hour)) {
			delete(t.counters, name)
		}
	}
}
