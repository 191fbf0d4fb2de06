package pgstore

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// Commit writes c with all its statements at once. The order is keys, entities,
// and then, under the lock of the portal's row, new tickets, events and counts:
// so a taken key is reported before any other conflict, and a limit last.
func (p *portal) Commit(ctx context.Context, c *ticket.Changes) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if err := p.b.begin(); err != nil {
		return wrap(ctx, "commit", err)
	}
	defer p.b.end()
	id, err := p.made(ctx)
	if err != nil {
		return wrap(ctx, "commit", err)
	}
	changes, err := prepare(id, c)
	if err != nil {
		return fmt.Errorf("pgstore: commit: %w", err)
	}
	var number, cursor int64
	if tx := joined(ctx); tx != nil {
		number, cursor, err = p.join(ctx, tx, id, changes)
	} else {
		number, cursor, err = p.b.group(p.name, id).commit(ctx, changes)
	}
	if err != nil {
		// What was begun tells its result: that the caller has gone would say that
		// nothing was written.
		return wrap(context.WithoutCancel(ctx), "commit", p.taken(ctx, id, changes, err))
	}
	driver.Report(c, number, cursor)
	return nil
}

// taken returns the error of a key that is taken as a TakenError.
func (p *portal) taken(ctx context.Context, id int64, c *prepared, err error) error {
	var refused *refusedError
	if !errors.As(err, &refused) || refused.what != "key" {
		return err
	}
	for _, name := range refused.ids {
		key, mine := c.claims[name]
		if !mine {
			continue
		}
		e := &ticket.TakenError{Key: key}
		read := p.b.read(ctx, func(ctx context.Context, c conn) error {
			return c.QueryRow(ctx, p.b.sql.in("SELECT kind, ref FROM anteroom.keys WHERE portal = $1 AND key = $2::bytea"), id, key[:]).
				Scan(&e.Ref.Kind, &e.Ref.ID)
		})
		if read == nil {
			return e
		}
		// It was released meanwhile, or is claimed twice in the same changes.
		if !errors.Is(read, pgx.ErrNoRows) {
			return errors.Join(err, read)
		}
	}
	return err
}

// join writes within the host's transaction. What fails is undone to a savepoint.
// It does not end with the context of the caller, which would break the
// connection and take what the host has written with it.
func (p *portal) join(ctx context.Context, tx pgx.Tx, id int64, c *prepared) (number, cursor int64, err error) {
	ctx, cancel := context.WithTimeoutCause(context.WithoutCancel(ctx), p.b.options.timeout, errSlow)
	defer cancel()
	inner, err := tx.Begin(ctx)
	if err != nil {
		return 0, 0, err
	}
	t := &transaction{portal: id, commits: []*prepared{c}}
	if err = judge(t.write(ctx, inner, p.b.sql)); err == nil {
		err = p.b.news.tellIn(ctx, inner, p.name, c.hint)
	}
	if err != nil {
		err = errors.Join(slow(ctx, err), inner.Rollback(ctx))
		if errors.Is(err, errAgain) && !readCommitted(ctx, tx) {
			// It would lose the same race again as often as it is tried.
			err = errors.New("the host's transaction met another one, and is not at the level read committed, which it must be")
		}
		return 0, 0, err
	}
	number, cursor = t.places(0)
	return number, cursor, inner.Commit(ctx)
}

// readCommitted reports whether a transaction is at that level, as far as it can
// be asked.
func readCommitted(ctx context.Context, tx pgx.Tx) bool {
	var level string
	err := tx.QueryRow(ctx, "SELECT current_setting('transaction_isolation')").Scan(&level)
	return err != nil || level == "read committed"
}
