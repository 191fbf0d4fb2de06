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
// the transaction as it was before it.
func WithTx(ctx context.Context, tx pgx.Tx) context.Context {
	return context.WithValue(ctx, txKey{}, tx)
}

// joined returns the host's transaction, nil if there is none.
func joined(ctx context.Context) pgx.Tx {
	tx, _ := ctx.Value(txKey{}).(pgx.Tx)
	return tx
}
