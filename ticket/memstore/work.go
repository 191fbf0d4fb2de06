package memstore

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

func (t *tx) work(c *ticket.Changes) error {
	for _, d := range c.Done {
		old := t.works.rows[d.ID]
		if old == nil || old.Revision != d.Revision {
			return conflict("work", d.ID)
		}
		t.putWork(d.ID, nil)
		t.onUndo(func() { t.putWork(d.ID, old) })
	}
	for _, v := range c.Works {
		old := t.works.rows[v.ID]
		var have int64
		if old != nil {
			have = old.Revision
		}
		if have != v.Revision {
			return conflict("work", v.ID)
		}
		w := cloneWork(v)
		w.Revision++
		t.putWork(v.ID, w)
		t.onUndo(func() { t.putWork(v.ID, old) })
	}
	return nil
}

// putWork keeps the lanes beside the table: what is not parked, in the order
// of claiming.
func (p *portal) putWork(id ticket.WorkID, w *ticket.Work) {
	if old := p.works.put(id, w); old != nil && !old.Parked {
		if i, found := slices.BinarySearchFunc(p.lanes[old.Lane], old, workOrder); found {
			lane := slices.Delete(p.lanes[old.Lane], i, i+1)
			if p.lanes[old.Lane] = lane; len(lane) == 0 {
				delete(p.lanes, old.Lane)
			}
		}
	}
	if w != nil && !w.Parked {
		i, _ := slices.BinarySearchFunc(p.lanes[w.Lane], w, workOrder)
		p.lanes[w.Lane] = slices.Insert(p.lanes[w.Lane], i, w)
	}
}

func workOrder(a, b *ticket.Work) int {
	return cmp.Or(a.NotBefore.Compare(b.NotBefore), cmp.Compare(a.ID, b.ID))
}

// Claim leases due work. next leaves out what this call has claimed.
func (p *portal) Claim(ctx context.Context, c ticket.Claim) ([]*ticket.Work, time.Time, error) {
	if err := p.backend.begin(ctx, "claim"); err != nil {
		return nil, time.Time{}, err
	}
	claimed, next := p.claim(c)
	if len(claimed) > 0 {
		if err := p.backend.done("claimed"); err != nil {
			return nil, time.Time{}, err
		}
	}
	return claimed, next, nil
}

func (p *portal) claim(c ticket.Claim) (claimed []*ticket.Work, next time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	lane := p.lanes[c.Lane]
	for i, w := range lane {
		if !next.IsZero() && !w.NotBefore.Before(next) {
			break // what follows is not due before next
		}
		due := w.NotBefore
		if w.LeaseUntil.After(due) {
			due = w.LeaseUntil
		}
		if due.After(c.Now) || len(claimed) >= c.Limit {
			if next.IsZero() || due.Before(next) {
				next = due
			}
			continue
		}
		w = cloneWork(w)
		w.Owner, w.LeaseUntil = c.Owner, cloneTime(c.Until)
		w.Attempts++
		w.Revision++
		p.works.put(w.ID, w)
		lane[i] = w // NotBefore and ID, which order the lane, are as before
		claimed = append(claimed, cloneWork(w))
	}
	return claimed, next
}

// Lease takes, renews or gives up a named lease.
func (p *portal) Lease(ctx context.Context, name, owner string, now, until time.Time) (bool, error) {
	if err := p.backend.begin(ctx, "lease"); err != nil {
		return false, err
	}
	ok := p.lease(name, owner, now, until)
	if ok {
		if err := p.backend.done("leased"); err != nil {
			return false, err
		}
	}
	return ok, nil
}

func (p *portal) lease(name, owner string, now, until time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	now, until = cloneTime(now), cloneTime(until)
	l, held := p.leases[name]
	if held && l.owner != owner && l.until.After(now) {
		return false
	}
	if until.After(now) {
		p.leases[name] = lease{owner, until}
	} else {
		delete(p.leases, name)
	}
	return true
}
