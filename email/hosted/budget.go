package hosted

import (
	"context"
	"net/netip"
	"slices"
	"sync"

	"github.com/anteroom/anteroom/email"
)

const (
	// maxParsed is how much of one message can be held while it is read.
	maxParsed = email.MaxTextTotal + email.MaxHeaderBytes
	// freeParse is the size up to which messages wait for nothing: as many of
	// them as there may be connections are no danger, and hostile ones must not
	// stand before them in a queue.
	freeParse = 32 << 10
	// maxServed is how many peers' last turns are remembered.
	maxServed = 10_000
)

// budget shares a number of bytes among messages. The peers take turns, so that
// one who sends much waits for the others and not they for him.
type budget struct {
	all int64

	mu      sync.Mutex
	used    int64
	waiting []*turn                 // in the order they came
	served  map[netip.Prefix]uint64 // when a peer had its last turn, while some wait
	turns   uint64
}

type turn struct {
	peer netip.Prefix
	n    int64
	come chan struct{}
}

// take waits until a message of the given size may be read, and returns what to
// give back then.
func (b *budget) take(ctx context.Context, peer netip.Prefix, size int64) (n int64, err error) {
	if size <= freeParse {
		return 0, nil
	}
	t := &turn{peer: peer, n: min(size, maxParsed, b.all), come: make(chan struct{})}
	b.mu.Lock()
	b.waiting = append(b.waiting, t)
	b.advance()
	b.mu.Unlock()
	select {
	case <-t.come:
		return t.n, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if i := slices.Index(b.waiting, t); i >= 0 {
		b.waiting = slices.Delete(b.waiting, i, i+1)
		b.advance() // those behind it may be smaller
		return 0, ctx.Err()
	}
	return t.n, nil // its turn came at the same time
}

func (b *budget) give(n int64) {
	if n == 0 {
		return
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.advance()
}

// advance lets in whoever is next, as far as there is room. What does not fit
// holds up all others, or large messages would never come.
func (b *budget) advance() {
	for len(b.waiting) > 0 {
		next := 0
		for i, t := range b.waiting {
			if b.served[t.peer] < b.served[b.waiting[next].peer] {
				next = i
			}
		}
		t := b.waiting[next]
		if b.used+t.n > b.all {
			return
		}
		b.used += t.n
		b.waiting = slices.Delete(b.waiting, next, next+1)
		if b.served == nil {
			b.served = make(map[netip.Prefix]uint64)
		}
		if len(b.served) >= maxServed {
			clear(b.served) // of a siege from everywhere; all are equal again
		}
		b.turns++
		b.served[t.peer] = b.turns
		close(t.come)
	}
	b.served = nil
}
