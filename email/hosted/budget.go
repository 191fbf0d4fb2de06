package hosted

import (
	"context"
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
)

// budget shares a number of bytes among messages, first come, first served.
type budget struct {
	all int64

	mu      sync.Mutex
	used    int64
	waiting []*turn
}

type turn struct {
	n    int64
	come chan struct{}
}

// take waits until a message of the given size may be read, and returns what to
// give back then.
func (b *budget) take(ctx context.Context, size int64) (n int64, err error) {
	if size <= freeParse {
		return 0, nil
	}
	n = min(size, maxParsed, b.all)
	b.mu.Lock()
	if len(b.waiting) == 0 && b.used+n <= b.all {
		b.used += n
		b.mu.Unlock()
		return n, nil
	}
	t := &turn{n: n, come: make(chan struct{})}
	b.waiting = append(b.waiting, t)
	b.mu.Unlock()
	select {
	case <-t.come:
		return n, nil
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	for i, w := range b.waiting {
		if w == t {
			b.waiting = append(b.waiting[:i], b.waiting[i+1:]...)
			b.advance() // those behind it may be smaller
			return 0, ctx.Err()
		}
	}
	return n, nil // its turn came at the same time
}

func (b *budget) give(n int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.used -= n
	b.advance()
}

func (b *budget) advance() {
	for len(b.waiting) > 0 && b.used+b.waiting[0].n <= b.all {
		t := b.waiting[0]
		b.waiting = b.waiting[1:]
		b.used += t.n
		close(t.come)
	}
}
