package ticket_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

var errSevered = errors.New("cut off from the store")

// link is what a node reaches its store by.
type link struct {
	cut  atomic.Bool
	left atomic.Int64 // operations until it is cut; 0 means never

	mu    sync.Mutex
	until int           // operations until one is held; 0 means never
	gate  chan struct{} // closed to let go what is held
}

// hold has the node stand still before its nth operation from now, or between
// the operation and its answer, while others go on.
func (l *link) hold(n int) {
	l.release()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until, l.gate = n, make(chan struct{})
}

func (l *link) release() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.until = 0
	if l.gate != nil {
		close(l.gate)
		l.gate = nil
	}
}

func (l *link) stand(ctx context.Context) {
	l.mu.Lock()
	gate := l.gate
	if l.until--; l.until != 0 {
		gate = nil
	}
	l.mu.Unlock()
	if gate == nil {
		return
	}
	select {
	case <-gate:
	case <-ctx.Done():
	}
}

func (l *link) heal() {
	l.release()
	l.left.Store(0)
	l.cut.Store(false)
}

func (l *link) check(ctx context.Context) error {
	l.stand(ctx)
	if l.left.Load() > 0 && l.left.Add(-1) == 0 {
		l.cut.Store(true)
	}
	if l.cut.Load() {
		return errSevered
	}
	return nil
}

// severed is a store that one node can be cut off from.
type severed struct {
	ticket.Store
	*link
}

func (s *severed) Snapshot(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error) {
	if err := s.check(ctx); err != nil {
		return nil, err
	}
	return s.Store.Snapshot(ctx, w)
}

// Commit may be cut off before, or after, so that nobody hears of it.
func (s *severed) Commit(ctx context.Context, c *ticket.Changes) error {
	if err := s.check(ctx); err != nil {
		return err
	}
	if err := s.Store.Commit(ctx, c); err != nil {
		return err
	}
	return s.check(ctx)
}

func (s *severed) Claim(ctx context.Context, c ticket.Claim) ([]*ticket.Work, time.Time, error) {
	if err := s.check(ctx); err != nil {
		return nil, time.Time{}, err
	}
	return s.Store.Claim(ctx, c)
}

func (s *severed) Lease(ctx context.Context, name, owner string, now, until time.Time) (bool, error) {
	if err := s.check(ctx); err != nil {
		return false, err
	}
	return s.Store.Lease(ctx, name, owner, now, until)
}
