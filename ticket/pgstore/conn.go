package pgstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anteroom/anteroom/ticket"
)

// conn is what statements run on: the pool, or the host's transaction.
type conn interface {
	Exec(ctx context.Context, sql string, args ...any) (pgconn.CommandTag, error)
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	SendBatch(ctx context.Context, b *pgx.Batch) pgx.BatchResults
}

// maxReads is how often a read is tried when its connection breaks: a pool may
// hold several that a restart of the server has left behind.
const maxReads = 4

// read calls f, again if the connection broke.
func (b *Backend) read(ctx context.Context, f func(ctx context.Context, c conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	closed := b.closed
	b.mu.Unlock()
	if closed {
		return errClosed
	}
	tx := joined(ctx)
	if tx != nil {
		// To break it off would break the host's connection.
		ctx = context.WithoutCancel(ctx)
	}
	ctx, cancel := context.WithTimeoutCause(ctx, b.options.timeout, errSlow)
	defer cancel()
	if tx != nil {
		return slow(ctx, f(ctx, tx))
	}
	for try := 1; ; try++ {
		err := f(ctx, b.pool)
		if err == nil || ctx.Err() != nil || try == maxReads || !broken(err) {
			return slow(ctx, err)
		}
		pause := time.NewTimer(time.Duration(try*try) * 10 * time.Millisecond)
		select {
		case <-ctx.Done():
		case <-pause.C:
		}
		pause.Stop()
	}
}

var errSlow = errors.New("the database did not answer in time")

// slow says of an error when it was the store's own limit of time that ended ctx.
// It is not the error of a context, which says that nothing was done.
func slow(ctx context.Context, err error) error {
	switch {
	case err == nil || !errors.Is(context.Cause(ctx), errSlow):
		return err
	case errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("%w: %v", errSlow, err) //nolint:errorlint // see above
	default:
		return fmt.Errorf("%w: %w", errSlow, err)
	}
}

// broken reports whether err is of the connection, not of what was asked.
func broken(err error) bool {
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch cmp.Or(pg.SeverityUnlocalized, pg.Severity) {
		case "FATAL", "PANIC": // the server ends the connection with it
			return true
		}
		switch pg.Code {
		case "57P01", "57P02", "57P03": // the server shuts down, crashed, starts
			return true
		}
		return strings.HasPrefix(pg.Code, "08")
	}
	return !errors.Is(err, pgx.ErrNoRows) && !errors.As(err, new(*pgx.ScanArgError)) &&
		!errors.Is(err, ticket.ErrConflict) && !errors.Is(err, errDecode)
}

// errDecode is of what is in the database but cannot be understood.
var errDecode = errors.New("a document cannot be read")

// wrap says what was attempted. When the caller's context has ended that is the
// error.
func wrap(ctx context.Context, what string, err error) error {
	if err == nil {
		return nil
	}
	if ended := ctx.Err(); ended != nil && !errors.Is(err, ticket.ErrConflict) && !errors.Is(err, ticket.ErrLimit) {
		return ended
	}
	return fmt.Errorf("pgstore: %s: %w", what, err)
}

// undone reports whether err says that nothing was done, and that the same may
// succeed when it is tried again.
func (b *Backend) undone(err error) bool {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "25006" { // read_only_sql_transaction
		// After a failover connections may be left to a server that is a replica
		// now. New ones are made where the name leads to by now.
		b.pool.Reset()
		return true
	}
	return pgconn.SafeToRetry(err) || starting(err)
}
