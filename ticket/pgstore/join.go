package pgstore

import (
	"context"

	"github.com/jackc/pgx/v5"
)

type txKey struct{}

// WithTx makes the operations that are called with the context, of all stores of
// this package, part of a transaction of the host's: the verbs of a
// [ticket.Desk] then write in one with the host's own rows, or not at all.
//
//	tx, err := pool.Begin(ctx)
//	...
//	err = desk.Update(pgstore.WithTx(ctx, tx), by, id, patch)
//	_, err = tx.Exec(ctx, "UPDATE orders ...")
//	err = tx.Commit(ctx)
//
// The transaction must be of the same database, at the level read committed, and
// used by one goroutine at a time. From the first such write that makes events,
// tickets or items the portal's row is locked until the transaction ends, and all
// other writes of the portal wait: it should be short. A verb that fails has left
// the transaction as it was before it, and one that was begun in the database
// finishes, whatever becomes of the context.
//
// What a verb does outside of the database is not undone with the transaction:
// what it does on a network, and what it changes in the desk itself. So channels,
// queues and agents are configured without one. Bodies in Blobs to which nothing
// refers any more are removed later, by the sweep (ticket.Timing.Sweep).
func WithTx(ctx context.Context, tx pgx.Tx) context.Context {
	return context.WithValue(ctx, txKey{}, tx)
}

// Joined reports whether the context is of [WithTx].
func (p *portal) Joined(ctx context.Context) bool { return joined(ctx) != nil }

// joined returns the host's transaction, nil if there is none.
func joined(ctx context.Context) pgx.Tx {
	tx, _ := ctx.Value(txKey{}).(pgx.Tx)
	return tx
}
