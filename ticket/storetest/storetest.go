// Package storetest proves that a [ticket.Store] keeps its contract. Its checks
// read as the specification of a store; a host that brings its own database runs
//
//	func TestStore(t *testing.T) {
//		storetest.Run(t, func(t *testing.T) ticket.Backend { ... })
//	}
//
// The checks need nothing but the interface. They use no clock of the store's,
// no sleeps, and no ids that are not UUIDs of version 7. Strings that a store may
// want as columns (ids, lanes, names of counters) hold no U+0000; other text does.
package storetest

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"sync/atomic"
	"testing"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// Options say how to run the checks. Open is required.
type Options struct {
	// Open returns a new and empty backend. The suite closes it.
	Open func(t *testing.T) ticket.Backend
	// Reopen, for stores that last, closes a backend and opens its data anew.
	// The suite closes what it returns. nil leaves out the checks on that.
	Reopen func(t *testing.T, b ticket.Backend) ticket.Backend
	// Sequential runs the checks one after the other instead of in parallel.
	Sequential bool
}

// Run checks the stores of the backends that open returns, each of which is new
// and empty. It is RunWith for stores that do not last.
func Run(t *testing.T, open func(t *testing.T) ticket.Backend) {
	t.Helper()
	RunWith(t, Options{Open: open})
}

// RunWith checks stores as o says. Each check is a subtest with a backend of
// its own.
func RunWith(t *testing.T, o Options) {
	t.Helper()
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) {
			if !o.Sequential {
				t.Parallel()
			}
			b := o.Open(t)
			defer closeBackend(t, b)
			c.run(newKit(t, b))
		})
	}
	if o.Reopen == nil {
		return
	}
	for _, c := range durableChecks() {
		t.Run(c.name, func(t *testing.T) {
			if !o.Sequential {
				t.Parallel()
			}
			b := o.Open(t)
			defer func() { closeBackend(t, b) }()
			k := newKit(t, b)
			c.run(k, func() {
				b = o.Reopen(t, b)
				k.use(b)
			})
		})
	}
}

func closeBackend(t *testing.T, b ticket.Backend) {
	if err := b.Close(); err != nil {
		t.Errorf("Close: %v", err)
	}
}

// check is one sentence of the contract.
type check struct {
	name string
	run  func(k *kit)
}

func checks() []check {
	var all []check
	for _, part := range [][]check{
		keyChecks(), revisionChecks(), atomicChecks(), counterChecks(), claimChecks(), workChecks(), leaseChecks(),
		eventChecks(), recordChecks(), snapshotChecks(), valueChecks(), copyChecks(), ticketListChecks(),
		conversationListChecks(), messageListChecks(), itemChecks(), decisionChecks(), waitingChecks(),
		searchChecks(), pageChecks(), portalChecks(), contextChecks(), randomChecks(), dumpChecks(),
	} {
		all = append(all, part...)
	}
	return all
}

// tb is what the checks need of a *testing.T. The suite's own tests run the
// checks on broken stores with another one.
type tb interface {
	Helper()
	Errorf(format string, args ...any)
	Fatalf(format string, args ...any)
}

// kit is what a check works with: a backend, the store of one portal, and ids.
// Its methods end the check when something fails that the check relies on.
type kit struct {
	tb
	ctx context.Context
	b   ticket.Backend
	s   ticket.Store
	n   *atomic.Int64
	now time.Time
}

func newKit(t tb, b ticket.Backend) *kit {
	k := &kit{tb: t, ctx: context.Background(), n: new(atomic.Int64), now: time.Date(2026, 3, 1, 12, 0, 0, 123456000, time.UTC)}
	k.use(b)
	return k
}

func (k *kit) use(b ticket.Backend) { k.b, k.s = b, b.Portal("main") }

// in returns the kit for another portal.
func (k *kit) in(portal string) *kit {
	o := *k
	o.s = k.b.Portal(portal)
	return &o
}

// id returns a new id, above all before.
func (k *kit) id() string {
	return fmt.Sprintf("019ca000-0000-7000-8000-%012x", k.n.Add(1))
}

// after returns the kit's time and d.
func (k *kit) after(d time.Duration) time.Time { return k.now.Add(d) }

// try commits c.
func (k *kit) try(c *ticket.Changes) error {
	if c.At.IsZero() {
		c.At = k.now
	}
	return k.s.Commit(k.ctx, c)
}

// commit commits c, which must succeed.
func (k *kit) commit(c *ticket.Changes) {
	k.Helper()
	if err := k.try(c); err != nil {
		k.Fatalf("Commit: %v", err)
	}
}

// refuse commits c, which must fail with target.
func (k *kit) refuse(c *ticket.Changes, target error, why string) {
	k.Helper()
	err := k.try(c)
	if err == nil {
		k.Fatalf("%s: Commit succeeded, want %v", why, target)
	}
	if !errors.Is(err, target) {
		k.Fatalf("%s: Commit failed with %v, want %v", why, err, target)
	}
}

// read takes a snapshot.
func (k *kit) read(w ticket.Want) *ticket.Snapshot {
	k.Helper()
	if w.Now.IsZero() {
		w.Now = k.now
	}
	s, err := k.s.Snapshot(k.ctx, w)
	if err != nil {
		k.Fatalf("Snapshot: %v", err)
	}
	if s == nil || s.Refs == nil || s.Contacts == nil || s.Conversations == nil || s.Tickets == nil || s.Messages == nil ||
		s.Items == nil || s.Works == nil || s.Records == nil || s.Counters == nil || s.Bodies == nil {
		k.Fatalf("Snapshot: has nil maps")
	}
	return s
}

// ok ends the check if err is not nil.
func (k *kit) ok(err error, what string) {
	k.Helper()
	if err != nil {
		k.Fatalf("%s: %v", what, err)
	}
}

// same compares two values deeply.
func (k *kit) same(what string, got, want any) {
	k.Helper()
	if !reflect.DeepEqual(got, want) {
		k.Errorf("%s:\n got %s\nwant %s", what, show(got), show(want))
	}
}

// must ends the check unless cond holds.
func (k *kit) must(cond bool, format string, args ...any) {
	k.Helper()
	if !cond {
		k.Fatalf(format, args...)
	}
}
