package pgstore

import (
	"context"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

const workColumns = "rev, owner, attempts, lease, doc"

// scanWork reads the columns of a row of works.
func scanWork(rows pgx.Rows) (*ticket.Work, error) {
	var rev, lease int64
	var attempts int
	var owner string
	var doc []byte
	if err := rows.Scan(&rev, &owner, &attempts, &lease, &doc); err != nil {
		return nil, err
	}
	return workOf(rev, lease, attempts, owner, doc)
}

func workOf(rev, lease int64, attempts int, owner string, doc []byte) (*ticket.Work, error) {
	w, err := decode[ticket.Work](doc)
	if err != nil {
		return nil, err
	}
	w.Revision, w.Owner, w.Attempts, w.LeaseUntil = rev, owner, attempts, driver.FromMicros(lease)
	return w, nil
}

// lockedPause is when work is asked for again that others were changing.
const lockedPause = 50 * time.Millisecond

// claim takes what nobody else is taking at the moment. Its last row, which has
// no id, says when more is due. The limit stands in the text, since a plan for any
// limit looks worse than one for a small one, and would not be kept.
const claim = `WITH c AS MATERIALIZED (
		SELECT id FROM anteroom.works WHERE portal = $1 AND lane = $2::text AND NOT parked AND not_before <= $3::bigint AND lease <= $3
		ORDER BY not_before, id LIMIT LIMITED FOR UPDATE SKIP LOCKED),
	u AS (UPDATE anteroom.works w SET owner = $4::text, lease = $5::bigint, due = greatest(w.not_before, $5), attempts = w.attempts + 1, rev = w.rev + 1
		FROM c WHERE w.portal = $1 AND w.id = c.id RETURNING w.not_before, w.id, w.rev, w.owner, w.attempts, w.lease, w.doc)
	(SELECT u.not_before, u.rev, u.owner, u.attempts, u.lease, u.doc FROM u ORDER BY u.not_before, u.id)
	UNION ALL
	(SELECT w.due, 0, '', 0, 0, NULL FROM anteroom.works w WHERE w.portal = $1 AND w.lane = $2 AND NOT w.parked
		AND w.id NOT IN (SELECT id FROM c) ORDER BY w.due LIMIT 1)`

// Claim leases due work. next leaves out what this call has claimed.
func (p *portal) Claim(ctx context.Context, c ticket.Claim) (claimed []*ticket.Work, next time.Time, err error) {
	err = p.change(ctx, "claim", func(ctx context.Context, to conn, id int64) error {
		claimed, next = nil, time.Time{}
		text := strings.Replace(p.b.sql.in(claim), "LIMITED", strconv.Itoa(max(c.Limit, 0)), 1)
		rows, err := to.Query(ctx, text, id, clean(c.Lane), driver.Micros(c.Now), clean(c.Owner), driver.Micros(c.Until))
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			var notBefore, rev, lease int64
			var attempts int
			var owner string
			var doc []byte
			if err := rows.Scan(&notBefore, &rev, &owner, &attempts, &lease, &doc); err != nil {
				return err
			}
			if doc == nil {
				next = driver.FromMicros(notBefore)
				continue
			}
			w, err := workOf(rev, lease, attempts, owner, doc)
			if err != nil {
				return err
			}
			claimed = append(claimed, w)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, time.Time{}, err
	}
	if len(claimed) < c.Limit && !next.IsZero() && !next.After(c.Now) {
		next = c.Now.UTC().Add(lockedPause)
	}
	return claimed, next, nil
}

// change calls f, which writes with one statement, unless nothing was ever
// written to the portal. What was begun finishes, whatever becomes of ctx.
func (p *portal) change(ctx context.Context, what string, f func(ctx context.Context, to conn, id int64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.b.begin(); err != nil {
		return wrap(ctx, what, err)
	}
	defer p.b.end()
	id, err := p.id(ctx)
	if err != nil || id == 0 {
		return wrap(ctx, what, err)
	}
	err = p.write(ctx, func(ctx context.Context, to conn) error { return f(ctx, to, id) })
	return wrap(context.WithoutCancel(ctx), what, err)
}

func (p *portal) write(ctx context.Context, f func(ctx context.Context, to conn) error) error {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), p.b.options.timeout, errSlow)
	defer cancel()
	if tx := joined(ctx); tx != nil {
		return slow(ctx, f(ctx, tx))
	}
	for try := 1; ; try++ {
		err := f(ctx, p.b.pool)
		if err == nil || try == maxSends || !p.b.undone(err) {
			return slow(ctx, judge(err))
		}
		time.Sleep(time.Duration(try*try) * 10 * time.Millisecond)
	}
}

// Lease takes, renews or gives up a named lease.
func (p *portal) Lease(ctx context.Context, name, owner string, now, until time.Time) (ok bool, err error) {
	if err := ctx.Err(); err != nil {
		return false, err
	}
	if _, err := p.made(ctx); err != nil {
		return false, wrap(ctx, "lease", err)
	}
	at, end := driver.Micros(now), driver.Micros(until)
	err = p.change(ctx, "lease", func(ctx context.Context, to conn, id int64) error {
		if end <= at {
			return to.QueryRow(ctx, p.b.sql.in(`WITH d AS (DELETE FROM anteroom.leases WHERE portal = $1 AND name = $2::text AND (owner = $3::text OR until <= $4::bigint))
				SELECT NOT EXISTS (SELECT 1 FROM anteroom.leases WHERE portal = $1 AND name = $2 AND owner <> $3 AND until > $4)`),
				id, clean(name), clean(owner), at).Scan(&ok)
		}
		tag, err := to.Exec(ctx, p.b.sql.in(`INSERT INTO anteroom.leases AS l (portal, name, owner, until) VALUES ($1, $2::text, $3::text, $5::bigint)
			ON CONFLICT (portal, name) DO UPDATE SET owner = excluded.owner, until = excluded.until WHERE l.owner = excluded.owner OR l.until <= $4::bigint`),
			id, clean(name), clean(owner), at, end)
		ok = tag.RowsAffected() == 1
		return err
	})
	return ok && err == nil, err
}
