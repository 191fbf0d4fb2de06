// Package memstore keeps the data of portals in memory. It is for tests,
// simulations and first steps: complete, quick and forgetful.
//
// # Concurrency
//
// All methods are safe for concurrent use. Each portal has one mutex, held for
// the length of one operation. There are no goroutines and no clock, so that a
// store can be shared with or live in a testing/synctest bubble.
//
// # Errors
//
// Operations fail as [ticket.Store] says, and with what a function given to
// [Backend.Fail] returns.
package memstore

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/anteroom/anteroom/ticket"
)

// Backend holds the stores of any number of portals. Make one with [New].
type Backend struct {
	mu      sync.Mutex
	portals map[string]*portal
	fail    func(op string) error
	closed  bool
}

var _ ticket.Backend = (*Backend)(nil)

// New returns an empty backend.
func New() *Backend {
	return &Backend{portals: map[string]*portal{}}
}

// Portal returns the store of one portal. The same name gives the same data.
func (b *Backend) Portal(name string) ticket.Store {
	b.mu.Lock()
	defer b.mu.Unlock()
	p := b.portals[name]
	if p == nil {
		p = newPortal(b)
		b.portals[name] = p
	}
	return p
}

// Close makes all later operations fail. The data is kept until the backend is
// collected. It returns nil, also when called again.
func (b *Backend) Close() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.closed = true
	return nil
}

// Fail makes f decide over each operation of all portals: an error from f is
// returned by the operation instead of a result. A nil f ends that. f may be
// called concurrently, and may use the store.
//
// Before an operation, op is its name: "snapshot", "commit", "claim", "lease",
// "events", "tickets", "conversations", "messages", "items", "decisions",
// "waiting" or "ledger"; an error then means that nothing happened. After an
// operation that wrote, op is "committed", "claimed" or "leased"; an error then
// hides that it was done, as a connection does that breaks at the wrong moment.
func (b *Backend) Fail(f func(op string) error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.fail = f
}

var errClosed = errors.New("backend is closed")

// begin is called at the start of each operation, without any lock held.
func (b *Backend) begin(ctx context.Context, op string) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	fail, closed := b.fail, b.closed
	b.mu.Unlock()
	if closed {
		return fmt.Errorf("memstore: %s: %w", op, errClosed)
	}
	if fail != nil {
		return fail(op)
	}
	return nil
}

// done is called after each operation that wrote.
func (b *Backend) done(op string) error {
	b.mu.Lock()
	fail := b.fail
	b.mu.Unlock()
	if fail != nil {
		return fail(op)
	}
	return nil
}
