package sqlitestore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

const (
	workColumns = "id, rev, owner, attempts, lease, doc"
	selectWork  = "SELECT " + workColumns + " FROM works WHERE portal = ? AND id = ?"
)

// scanWork reads a row of selectWork.
func scanWork(scan func(...any) error) (*ticket.Work, error) {
	var id, owner string
	var doc []byte
	var rev, lease int64
	var attempts int
	if err := scan(&id, &rev, &owner, &attempts, &lease, &doc); err != nil {
		return nil, err
	}
	w, err := driver.Decode[ticket.Work](doc)
	if err != nil {
		return nil, err
	}
	w.Revision, w.Owner, w.Attempts, w.LeaseUntil = rev, owner, attempts, driver.FromMicros(lease)
	return w, nil
}

// Claim leases due work. next leaves out what this call has claimed. A lane
// without due work costs a read only.
func (p *portal) Claim(ctx context.Context, c ticket.Claim) (claimed []*ticket.Work, next time.Time, err error) {
	due := false
	err = p.view(ctx, "claim", func(conn *conn, id int64) error {
		next, err = nextDue(conn, id, c.Lane, nil)
		due = !next.IsZero() && !next.After(c.Now)
		return err
	})
	if err != nil || !due || c.Limit <= 0 {
		return nil, next, err
	}
	err = p.b.writer.do(ctx, p.name, func(t *tx) (err error) {
		s, err := t.portal(p.name)
		if err != nil {
			return err
		}
		claimed, next, err = t.claim(s.id, c)
		return err
	})
	if err != nil {
		return nil, time.Time{}, wrap("claim", err)
	}
	return claimed, next, nil
}

func (t *tx) claim(portal int64, c ticket.Claim) (claimed []*ticket.Work, next time.Time, err error) {
	now, until := driver.Micros(c.Now), driver.Micros(c.Until)
	var ids []string
	err = t.each(context.Background(), `SELECT id FROM works WHERE portal = ? AND lane = ? AND parked = 0 AND not_before <= ? AND lease <= ?
		ORDER BY not_before, id LIMIT ?`, []any{portal, c.Lane, now, now, c.Limit}, func(scan func(...any) error) error {
		ids = append(ids, "")
		return scan(&ids[len(ids)-1])
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	for _, id := range ids {
		_, err := t.exec(`UPDATE works SET owner = ?, lease = ?, due = max(not_before, ?), attempts = attempts + 1, rev = rev + 1
			WHERE portal = ? AND id = ?`, c.Owner, until, until, portal, id)
		if err != nil {
			return nil, time.Time{}, err
		}
		err = t.each(context.Background(), selectWork, []any{portal, id}, func(scan func(...any) error) error {
			w, err := scanWork(scan)
			claimed = append(claimed, w)
			return err
		})
		if err != nil {
			return nil, time.Time{}, err
		}
	}
	next, err = nextDue(t.conn, portal, c.Lane, ids)
	return claimed, next, err
}

// nextDue returns when the first work of a lane is due that is not among
// claimed, zero if there is none.
func nextDue(c *conn, portal int64, lane string, claimed []string) (next time.Time, err error) {
	err = c.each(context.Background(), "SELECT id, due FROM works WHERE portal = ? AND lane = ? AND parked = 0 ORDER BY due LIMIT ?",
		[]any{portal, lane, len(claimed) + 1}, func(scan func(...any) error) error {
			var id string
			var due int64
			if err := scan(&id, &due); err != nil {
				return err
			}
			if next.IsZero() && !slices.Contains(claimed, id) {
				next = driver.FromMicros(due)
			}
			return nil
		})
	return next, err
}

// Lease takes, renews or gives up a named lease.
func (p *portal) Lease(ctx context.Context, name, owner string, now, until time.Time) (ok bool, err error) {
	err = p.b.writer.do(ctx, p.name, func(t *tx) error {
		s, err := t.portal(p.name)
		if err != nil {
			return err
		}
		ok, err = t.lease(s, name, owner, driver.Micros(now), driver.Micros(until))
		return err
	})
	return ok && err == nil, wrap("lease", err)
}

// hold returns ErrNotHeld if the lease is not its owner's. Commits of one
// transaction ask for the same few, and are answered once, without inserting
// what waits.
func (t *tx) hold(s *portalState, h ticket.Hold) error {
	if slices.Contains(s.held, h) {
		return nil
	}
	held, err := t.conn.one("SELECT 1 FROM leases WHERE portal = ? AND name = ? AND owner = ?", []any{s.id, h.Lease, h.Owner}, new(int))
	if err != nil {
		return err
	}
	if !held {
		return fmt.Errorf("lease %s: %w", h.Lease, ticket.ErrNotHeld)
	}
	s.held = append(s.held, h)
	return nil
}

func (t *tx) lease(portal *portalState, name, owner string, now, until int64) (bool, error) {
	portal.held = nil
	var have string
	var lasts int64
	found, err := t.one("SELECT owner, until FROM leases WHERE portal = ? AND name = ?", []any{portal.id, name}, &have, &lasts)
	if err != nil {
		return false, err
	}
	if found && have != owner && lasts > now {
		return false, nil
	}
	if until <= now {
		_, err = t.exec("DELETE FROM leases WHERE portal = ? AND name = ?", portal.id, name)
		return err == nil, err
	}
	_, err = t.exec(`INSERT INTO leases (portal, name, owner, until) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET owner = excluded.owner, until = excluded.until`, portal.id, name, owner, until)
	return err == nil, err
}
