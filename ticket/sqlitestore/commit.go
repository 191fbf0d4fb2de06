package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// Commit writes c in the order releases, claims, entities, counts, and so
// reports a taken key before any other conflict, and a limit last.
func (p *portal) Commit(ctx context.Context, c *ticket.Changes) error {
	rows, err := prepare(c)
	if err != nil {
		return wrap("commit", err)
	}
	var number, cursor int64
	err = p.b.writer.do(ctx, p.name, func(t *tx) error {
		s, err := t.portal(p.name)
		if err != nil {
			return err
		}
		number, cursor = s.number+1, s.event+1
		return rows.write(t, s)
	})
	if err != nil {
		return wrap("commit", err)
	}
	driver.Report(c, number, cursor)
	return nil
}

// write writes the rows of one commit.
func (r *rows) write(t *tx, s *portalState) error {
	for _, h := range r.holds {
		if err := t.hold(s, h); err != nil {
			return err
		}
	}
	for i := range r.releases {
		if _, err := t.exec("DELETE FROM keys WHERE portal = ? AND key = ?", s.id, r.releases[i][:]); err != nil {
			return err
		}
	}
	if err := t.claimKeys(s, r.claims); err != nil {
		return err
	}
	for i := range r.steps {
		step := &r.steps[i]
		step.args[0] = s.id
		if step.before != nil {
			if err := step.before(t, s, step.args); err != nil {
				return err
			}
		}
		if err := t.step(step); err != nil {
			return err
		}
		if step.after != nil {
			if err := step.after(t, s, step.args); err != nil {
				return err
			}
		}
	}
	for i := range r.counts {
		if err := t.count(s, &r.counts[i], r.at); err != nil {
			return err
		}
	}
	if len(r.counts) > 0 {
		if err := t.forgetCounters(s, r.at); err != nil {
			return err
		}
	}
	for _, e := range r.events {
		s.event++
		s.dirty = true
		if err := t.insert(insertEvents, s.id<<placeBits|s.event, e.ticket, e.doc); err != nil {
			return err
		}
	}
	return nil
}

// step runs the statement of a step.
func (t *tx) step(s *step) error {
	if s.into != nil {
		err := t.insert(s.into, s.args...)
		if errors.Is(err, ticket.ErrConflict) {
			err = fmt.Errorf("%s %s: %w", s.what, s.id, err)
		}
		return err
	}
	n, err := t.exec(s.query, s.args...)
	if err == nil && n != 1 && s.what != "" {
		err = fmt.Errorf("%s %s: %w", s.what, s.id, ticket.ErrConflict)
	}
	return err
}

// claimKeys inserts keys. Which of them was taken is known only if they are
// inserted one by one.
func (t *tx) claimKeys(s *portalState, keys []ticket.KeyClaim) error {
	if t.careful {
		for i := range keys {
			if err := t.claimKey(s, &keys[i]); err != nil {
				return err
			}
		}
		return nil
	}
	for i := range keys {
		if err := t.insert(insertKeys, s.id, keys[i].Key[:], string(keys[i].Ref.Kind), keys[i].Ref.ID); err != nil {
			return err
		}
	}
	return nil
}

func (t *tx) claimKey(s *portalState, k *ticket.KeyClaim) error {
	n, err := t.exec("INSERT INTO keys (portal, key, kind, ref) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING",
		s.id, k.Key[:], string(k.Ref.Kind), k.Ref.ID)
	if err != nil || n == 1 {
		return err
	}
	taken := &ticket.TakenError{Key: k.Key}
	_, err = t.one("SELECT kind, ref FROM keys WHERE portal = ? AND key = ?", []any{s.id, k.Key[:]}, &taken.Ref.Kind, &taken.Ref.ID)
	if err != nil {
		return err
	}
	return taken
}

// count adds to a counter.
func (t *tx) count(s *portalState, n *ticket.Count, at time.Time) error {
	var value int64
	var expires *int64
	_, err := t.one("SELECT value, expires FROM counters WHERE portal = ? AND name = ?", []any{s.id, n.Name}, &value, &expires)
	if err != nil {
		return err
	}
	if expires != nil && *expires <= driver.Micros(at) {
		value, expires = 0, nil
	}
	if value, err = driver.Add(value, n); err != nil {
		return err
	}
	if !n.Expires.IsZero() {
		m := driver.Micros(n.Expires)
		expires = &m
	}
	_, err = t.exec(`INSERT INTO counters (portal, name, value, expires) VALUES (?, ?, ?, ?)
		ON CONFLICT DO UPDATE SET value = excluded.value, expires = excluded.expires`, s.id, n.Name, value, expires)
	return err
}

// forgetCounters drops a few counters that expired. An hour is left for callers
// whose clocks are behind.
func (t *tx) forgetCounters(s *portalState, at time.Time) error {
	_, err := t.exec(`DELETE FROM counters WHERE portal = ?1 AND name IN
		(SELECT name FROM counters WHERE portal = ?1 AND expires <= ?2 ORDER BY expires LIMIT 8)`, s.id, driver.Micros(at.Add(-time.Hour)))
	return err
}
