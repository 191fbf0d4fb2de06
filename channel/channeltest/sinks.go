package channeltest

import (
	"context"
	"slices"
	"sync"

	"github.com/anteroom/anteroom/channel"
)

// RecordingSink accepts everything and remembers it. As a store does, it takes
// an item with a key that it has seen as a duplicate: a success without effect.
// The zero value is ready; safe for concurrent use.
type RecordingSink struct {
	mu         sync.Mutex
	seen       map[keyOf]bool
	items      []*channel.Item
	deliveries [][]channel.Key
	duplicates int
	changed    chan struct{}
}

type keyOf struct {
	channel channel.ID
	key     channel.Key
}

// Accept implements [channel.Sink].
func (s *RecordingSink) Accept(_ context.Context, items ...*channel.Item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.seen == nil {
		s.seen = map[keyOf]bool{}
	}
	for _, it := range items {
		s.deliveries = append(s.deliveries, slices.Clone(it.Keys))
		dup := slices.ContainsFunc(it.Keys, func(k channel.Key) bool { return s.seen[keyOf{it.Channel, k}] })
		for _, k := range it.Keys {
			s.seen[keyOf{it.Channel, k}] = true
		}
		if dup {
			s.duplicates++
		} else {
			s.items = append(s.items, it)
		}
	}
	if s.changed != nil {
		close(s.changed)
		s.changed = nil
	}
	return nil
}

// Items returns what was accepted, without duplicates, oldest first.
func (s *RecordingSink) Items() []*channel.Item {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.items)
}

// Deliveries returns the keys of each item that came, duplicates too.
func (s *RecordingSink) Deliveries() [][]channel.Key {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.deliveries)
}

// Duplicates returns how many duplicates came.
func (s *RecordingSink) Duplicates() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.duplicates
}

// Wait blocks until count items, duplicates aside, were accepted and returns
// them, or the error of ctx.
func (s *RecordingSink) Wait(ctx context.Context, count int) ([]*channel.Item, error) {
	for {
		s.mu.Lock()
		items := slices.Clone(s.items)
		if len(items) >= count {
			s.mu.Unlock()
			return items, nil
		}
		if s.changed == nil {
			s.changed = make(chan struct{})
		}
		changed := s.changed
		s.mu.Unlock()
		select {
		case <-ctx.Done():
			return items, ctx.Err()
		case <-changed:
		}
	}
}

// FailingSink returns a sink whose first n calls of Accept fail with err and
// which then passes on to next. Nothing of a failed call reaches next. Safe for
// concurrent use.
func FailingSink(n int, err error, next channel.Sink) channel.Sink {
	return firstCalls(n, next, func(context.Context) error { return err })
}

// PanickingSink returns a sink whose first n calls of Accept panic and which
// then passes on to next. Safe for concurrent use.
func PanickingSink(n int, next channel.Sink) channel.Sink {
	return firstCalls(n, next, func(context.Context) error {
		panic("channeltest: a panic that was asked for")
	})
}

func firstCalls(n int, next channel.Sink, do func(context.Context) error) channel.Sink {
	var mu sync.Mutex
	return channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error {
		mu.Lock()
		first := n > 0
		if first {
			n--
		}
		mu.Unlock()
		if first {
			return do(ctx)
		}
		return next.Accept(ctx, items...)
	})
}

// BlockingSink is a sink whose calls of Accept wait until they are released,
// whatever becomes of their context, and then pass on to the next sink: a
// commit that takes its time. Make one with [NewBlockingSink]. Safe for
// concurrent use.
type BlockingSink struct {
	next    channel.Sink
	entered chan struct{}
	release chan struct{}
	once    sync.Once
}

// NewBlockingSink returns a sink that blocks until Release.
func NewBlockingSink(next channel.Sink) *BlockingSink {
	return &BlockingSink{next: next, entered: make(chan struct{}, 1), release: make(chan struct{})}
}

// Accept implements [channel.Sink].
func (s *BlockingSink) Accept(ctx context.Context, items ...*channel.Item) error {
	select {
	case s.entered <- struct{}{}:
	default:
	}
	<-s.release
	return s.next.Accept(ctx, items...)
}

// Entered receives when a call of Accept has begun to wait. It holds one such
// event at a time.
func (s *BlockingSink) Entered() <-chan struct{} { return s.entered }

// Release lets all calls go on, now and later. It may be called more than once.
func (s *BlockingSink) Release() { s.once.Do(func() { close(s.release) }) }
