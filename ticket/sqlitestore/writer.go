package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// maxBatch bounds how many writes go into one transaction.
const maxBatch = 256

// request is a write that waits for its transaction.
type request struct {
	ctx    context.Context
	portal string
	apply  func(t *tx) error // may be called twice, after a roll-back
	state  atomic.Int32
	err    error
	done   chan struct{} // closed when err is set
}

// States of a request. Whoever moves it from queued owns it.
const (
	queued int32 = iota
	picked
	abandoned
)

// writer is the only connection that writes, and the goroutine that uses it.
type writer struct {
	c    *conn
	wake chan struct{} // holds one, so that a wake-up is never lost
	end  chan struct{} // closed when the goroutine has ended

	// careful counts the transactions for which refusals are still expected.
	// It is the goroutine's own.
	careful int
	pending []pending // empty ones between transactions

	mu     sync.Mutex
	queue  []*request
	taken  int64 // how many were taken from the queue
	closed bool
}

func openWriter(o options) (w *writer, err error) {
	w = &writer{wake: make(chan struct{}, 1), end: make(chan struct{})}
	err = retryBusy(o.busy, func() (err error) {
		w.c, err = openConn(context.Background(), o, false)
		return err
	})
	if err == nil {
		err = settleLog(w.c, o.busy)
	}
	if err == nil {
		err = retryBusy(o.busy, func() error { return migrate(w.c) })
	}
	if err != nil {
		if w.c != nil {
			_ = w.c.close()
		}
		return nil, err
	}
	go w.run()
	return w, nil
}

// settleLog moves what the log holds into the file, and empties the log. A process
// that died may have left commits there whose sync had failed: whoever reads the
// log sees them, but they need not be on disk, and then nothing after them counts
// when power is lost. A process that has the file open knows better than the log
// what was committed, so then this is not done.
func settleLog(c *conn, patience time.Duration) error {
	if _, err := c.one("PRAGMA busy_timeout = 0", nil, new(int)); err != nil {
		return err
	}
	const tries = 5
	for try := 1; ; try++ {
		var busy, frames, moved int
		_, err := c.one("PRAGMA wal_checkpoint(TRUNCATE)", nil, &busy, &frames, &moved)
		if err != nil && !isBusy(err) {
			return fmt.Errorf("settle the log: %w", err)
		}
		if err == nil && busy == 0 || try == tries {
			break
		}
		time.Sleep(busyPause)
	}
	_, err := c.one(fmt.Sprintf("PRAGMA busy_timeout = %d", patience.Milliseconds()), nil, new(int))
	return err
}

// stop lets what waits be written, and ends the writer. Its connection is open
// still.
func (w *writer) stop() {
	w.mu.Lock()
	w.closed = true
	w.mu.Unlock()
	w.signal()
	<-w.end
}

// syncAll brings to disk what was written without synchronous. SQLite syncs when
// there is something in the log, so a value is written once more.
func syncAll(c *conn) error {
	var version, busy, frames, moved int
	if _, err := c.one("PRAGMA user_version", nil, &version); err != nil {
		return err
	}
	for _, statement := range []string{"PRAGMA synchronous = full", fmt.Sprintf("PRAGMA user_version = %d", version)} {
		if _, err := c.exec(statement); err != nil {
			return err
		}
	}
	if _, err := c.one("PRAGMA wal_checkpoint(TRUNCATE)", nil, &busy, &frames, &moved); err != nil {
		return err
	}
	if busy != 0 {
		return errors.New("what was written is not all on disk: the log is in use by another process")
	}
	return nil
}

func (w *writer) signal() {
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// do runs apply in a transaction and returns when it is durable, or when ctx
// ended before it was begun.
func (w *writer) do(ctx context.Context, portal string, apply func(t *tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	r := &request{ctx: ctx, portal: portal, apply: apply, done: make(chan struct{})}
	w.mu.Lock()
	if w.closed {
		w.mu.Unlock()
		return errClosed
	}
	w.queue = append(w.queue, r)
	w.mu.Unlock()
	w.signal()
	select {
	case <-r.done:
		return r.err
	case <-ctx.Done():
		if r.state.CompareAndSwap(queued, abandoned) {
			return ctx.Err()
		}
		<-r.done
		return r.err
	}
}

func (w *writer) run() {
	defer close(w.end)
	for range w.wake {
		for {
			w.gather()
			batch, closed := w.pick()
			if len(batch) == 0 {
				if closed {
					return
				}
				break
			}
			w.write(batch)
			for _, r := range batch {
				close(r.done)
			}
		}
	}
}

// gather lets those go on who are about to write, so that they share the
// transaction: what it costs is mostly beginning and ending it. It waits for
// nobody who waits himself, and for no time.
func (w *writer) gather() {
	for before := -1; ; {
		w.mu.Lock()
		n := len(w.queue)
		w.mu.Unlock()
		if n <= before || n >= maxBatch {
			return
		}
		before = n
		runtime.Gosched()
	}
}

// pick takes what waits, in order. closed says that no more will come.
func (w *writer) pick() (batch []*request, closed bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for len(w.queue) > 0 && len(batch) < maxBatch {
		r := w.queue[0]
		w.queue[0] = nil
		w.queue = w.queue[1:]
		w.taken++
		if r.ctx.Err() == nil && r.state.CompareAndSwap(queued, picked) {
			batch = append(batch, r)
		} else if r.state.CompareAndSwap(queued, abandoned) {
			r.err = r.ctx.Err()
			close(r.done)
		}
	}
	return batch, w.closed && len(w.queue) == 0
}

// write writes a batch in one transaction. If that meets trouble, of the disk or
// with one request, each is tried in a transaction of its own. If it meets another
// process, the batch has waited for that one together, and fails together: were
// each to wait as long, the last would be there for an hour.
func (w *writer) write(batch []*request) {
	err := w.transaction(batch)
	if err == nil {
		return
	}
	if len(batch) == 1 || isBusy(err) {
		fail(batch, err)
		return
	}
	for i := range batch {
		if err := w.transaction(batch[i : i+1]); isBusy(err) {
			fail(batch[i:], err)
			return
		} else if err != nil {
			batch[i].err = err
		}
	}
}

func fail(batch []*request, err error) {
	for _, r := range batch {
		r.err = err
	}
}

// refused reports whether err is a precondition's, which harms nobody else.
func refused(err error) bool {
	return errors.Is(err, ticket.ErrConflict) || errors.Is(err, ticket.ErrLimit)
}

// carefully is for how many transactions after a refusal another is expected.
const carefully = 32

// transaction writes a batch. It returns an error if nothing of it was written:
// because of trouble, or because a batch of one was refused. Else refusals are
// in the requests' err. They count only once the transaction is durable, since
// they may rest on what another request has written.
//
// Refusals are rare, and being ready to undo one request of many costs a copy of
// each page that it touches. So it is first tried without, and again if one is
// refused.
func (w *writer) transaction(batch []*request) error {
	if w.careful == 0 {
		err := w.attempt(batch, false)
		if err == nil || !refused(err) {
			return err
		}
		w.careful = carefully
	}
	w.careful--
	return w.attempt(batch, true)
}

// attempt is one try of transaction. Unless careful it is undone, and returns a
// refusal, when any request is refused.
func (w *writer) attempt(batch []*request, careful bool) error {
	if err := w.begin(); err != nil {
		return err
	}
	t := &tx{conn: w.c, portals: map[string]*portalState{}, careful: careful, pending: w.pending}
	err := t.all(batch)
	w.pending = t.pending
	if err != nil {
		t.drop()
	}
	if err == nil {
		if _, err = w.c.exec("COMMIT"); err == nil {
			return nil
		}
	}
	// This fails if SQLite has rolled back by itself, and that is fine.
	_, _ = w.c.exec("ROLLBACK")
	return err
}

// begin begins a transaction, also if the one before could not be ended.
func (w *writer) begin() error {
	_, err := w.c.exec("BEGIN IMMEDIATE")
	if err == nil {
		return nil
	}
	if _, end := w.c.exec("ROLLBACK"); end != nil {
		return err // there was none
	}
	_, err = w.c.exec("BEGIN IMMEDIATE")
	return err
}

// tx is a transaction under way.
type tx struct {
	*conn
	portals map[string]*portalState
	index   []indexed // what to write into the search index at the end
	ledger  []tally   // what to add to the ledger at the end
	pending []pending // rows that wait to be inserted together
	waits   bool      // whether any do
	// careful says that a refusal must be exact and undone alone; else it undoes
	// all, and the transaction is tried again.
	careful bool
}

// portalState is the row of a portal.
type portalState struct {
	id, event, number, message int64
	dirty                      bool
	held                       []ticket.Hold // that are known to be in this transaction
}

func (t *tx) all(batch []*request) error {
	savepoints := t.careful && len(batch) > 1
	for _, r := range batch {
		r.err = nil
		state, err := t.portal(r.portal)
		if err != nil {
			return err
		}
		before, indexed, counted := *state, len(t.index), len(t.ledger)
		if savepoints {
			if _, err := t.exec("SAVEPOINT one"); err != nil {
				return err
			}
		}
		err = r.apply(t)
		if err != nil {
			if !refused(err) || !savepoints {
				return err
			}
			r.err = err
			*state, t.index, t.ledger = before, t.index[:indexed], t.ledger[:counted]
			if _, err := t.exec("ROLLBACK TO one"); err != nil {
				return err
			}
		}
		if savepoints {
			if _, err := t.exec("RELEASE one"); err != nil {
				return err
			}
		}
	}
	for _, s := range t.portals {
		if !s.dirty {
			continue
		}
		if _, err := t.exec("UPDATE portals SET event = ?, number = ?, message = ? WHERE id = ?", s.event, s.number, s.message, s.id); err != nil {
			return err
		}
	}
	if err := t.writeLedger(); err != nil {
		return err
	}
	return t.writeIndex()
}

// portal returns the state of a portal, which it makes if there is none.
func (t *tx) portal(name string) (*portalState, error) {
	if s := t.portals[name]; s != nil {
		return s, nil
	}
	s := &portalState{}
	const query = "SELECT id, event, number, message FROM portals WHERE name = ?"
	found, err := t.one(query, []any{name}, &s.id, &s.event, &s.number, &s.message)
	if err == nil && !found {
		if _, err = t.exec("INSERT INTO portals (name) VALUES (?)", name); err == nil {
			_, err = t.one(query, []any{name}, &s.id, &s.event, &s.number, &s.message)
		}
	}
	if err != nil {
		return nil, err
	}
	t.portals[name] = s
	return s, nil
}
