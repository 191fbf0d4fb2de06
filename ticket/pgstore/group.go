package pgstore

import (
	"context"
	"errors"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

const (
	maxGroup     = 64      // commits in one transaction
	maxGroupSize = 4 << 20 // bytes in one transaction, if it has several commits
)

// request is a commit that waits for its transaction.
type request struct {
	*prepared
	ctx            context.Context
	state          atomic.Int32
	number, cursor int64
	err            error
	done           chan struct{} // closed when the result is set
}

// States of a request. Whoever moves it from queued owns it.
const (
	queued int32 = iota
	picked
	abandoned
)

// group holds the commits of one portal. One transaction is under way at a time,
// as the next would wait for the lock of the portal's row anyway; whoever comes
// meanwhile goes into the next one together.
type group struct {
	b      *Backend
	portal int64
	name   string

	mu      sync.Mutex
	queue   []*request
	running int
}

func (b *Backend) group(name string, portal int64) *group {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.groups[name]
	if g == nil {
		g = &group{b: b, portal: portal, name: name}
		b.groups[name] = g
	}
	return g
}

// commit writes p and returns when it is durable, or when ctx ended before it
// was begun.
func (g *group) commit(ctx context.Context, p *prepared) (number, cursor int64, err error) {
	r := &request{prepared: p, ctx: ctx, done: make(chan struct{})}
	g.mu.Lock()
	g.queue = append(g.queue, r)
	if g.running < g.b.options.writers {
		g.running++
		go g.run()
	}
	g.mu.Unlock()
	select {
	case <-r.done:
	case <-ctx.Done():
		if r.state.CompareAndSwap(queued, abandoned) {
			return 0, 0, ctx.Err()
		}
		<-r.done
	}
	return r.number, r.cursor, r.err
}

// run writes until nothing waits.
func (g *group) run() {
	for {
		batch := g.pick()
		if len(batch) == 0 {
			return
		}
		g.write(batch)
	}
}

// pick takes what waits, in order, as far as it has nothing in common. When there
// is nothing, the caller runs no longer.
func (g *group) pick() (batch []*request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	touched := map[string]bool{}
	size := 0
	rest := g.queue[:0]
	for _, r := range g.queue {
		switch {
		case r.state.Load() == abandoned:
			continue
		case len(batch) >= maxGroup || len(batch) > 0 && size+r.size > maxGroupSize || meets(touched, r.touched):
			// What comes later must not overtake it.
			for k := range r.touched {
				touched[k] = true
			}
			rest = append(rest, r)
			continue
		case !r.state.CompareAndSwap(queued, picked):
			continue
		}
		for k := range r.touched {
			touched[k] = true
		}
		size += r.size
		batch = append(batch, r)
	}
	clear(g.queue[len(rest):])
	g.queue = rest
	if len(batch) == 0 {
		g.running--
	}
	return batch
}

func meets(touched map[string]bool, more map[string]int) bool {
	for k := range more {
		if touched[k] && !strings.HasPrefix(k, heldLease+" ") {
			return true
		}
	}
	return false
}

// canceled is the code of a statement that took too long.
const canceled = "57014"

// write writes a batch. Those that are refused are taken out, and the others
// tried again without them.
func (g *group) write(batch []*request) {
	alone := false
	for len(batch) > 0 {
		now := batch
		if alone {
			now = batch[:1]
		}
		t, err := g.transaction(now)
		if err == nil {
			for i, r := range now {
				r.number, r.cursor = t.places(i)
				close(r.done)
			}
			g.b.news.tell(g.name, now)
			batch = batch[len(now):]
			continue
		}
		var refused *refusedError
		var pg *pgconn.PgError
		switch {
		case len(now) == 1:
			now[0].err = err
			close(now[0].done)
			batch = batch[1:]
		case errors.As(err, &refused):
			left := refused.without(now)
			alone = len(left) == len(now) // it cannot be told which it was
			batch = left
		case errors.Is(err, errAgain) || errors.As(err, &pg) && !broken(err) && pg.Code != canceled:
			alone = true // one of them may be what the database does not take
		default:
			// Nobody knows whether it was done. Tried again it would be a
			// conflict with itself, which means that it surely was not. Or it
			// took too long, most likely since all of them wait for the same;
			// one after the other they would wait for that many times as long.
			for _, r := range now {
				r.err = err
				close(r.done)
			}
			return
		}
	}
}

// without ends the requests that were refused, and returns the others.
func (e *refusedError) without(batch []*request) (left []*request) {
	for _, r := range batch {
		mine := false
		for _, id := range e.ids {
			_, touched := r.touched[e.what+" "+id]
			mine = mine || touched
		}
		if mine {
			r.err = e
			close(r.done)
		} else {
			left = append(left, r)
		}
	}
	return left
}

// maxSends is how often a transaction is sent that did not reach the server.
const maxSends = 4

// transaction writes a batch in one transaction. It does not end with the
// context of any of its callers, so that what was begun finishes.
func (g *group) transaction(batch []*request) (t *transaction, err error) {
	b := g.b
	for try := 1; ; try++ {
		t = &transaction{portal: g.portal, commits: make([]*prepared, len(batch))}
		for i, r := range batch {
			t.commits[i] = r.prepared
		}
		// The server gives up first, and then it is known that nothing was written.
		ctx, cancel := context.WithTimeoutCause(context.Background(), b.options.timeout+5*time.Second, errSlow)
		err = slow(ctx, t.write(ctx, b.pool, b.sql, milliseconds(b.options.timeout)))
		cancel()
		if err == nil || try == maxSends || !b.undone(err) {
			return t, judge(err)
		}
		time.Sleep(time.Duration(try*try) * 10 * time.Millisecond)
	}
}

// starting reports whether the server refused the connection for the moment.
func starting(err error) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.Code == "57P03"
}
