// Package sqlitestore keeps the data of portals in one SQLite file, without cgo.
//
// # Durability
//
// A commit that has returned is on disk: the file is in WAL mode with
// synchronous=FULL. All writes of a process, of all portals, go through one
// connection. Those that wait while a transaction is under way go into the next
// one together, each in a savepoint, so that one that conflicts fails alone.
// There is no timer: an idle store writes at once. [Open] settles what a process
// that died has left in the log before anything is written after it.
//
// # Concurrency
//
// All methods are safe for concurrent use. Reads use connections of their own
// and neither wait for writers nor hold them up. Several processes may open the
// same file of a local disk; they take turns at writing. A call whose context
// ends before its write was begun has written nothing; one that was begun
// finishes, and tells its result.
//
// # Searching
//
// A search reads the messages that match if they are few, and tickets in the
// order of the list if they are many, so it takes no longer in a large store. A
// page looks at some 10,000 tickets and 25,000 messages that match at the most,
// then it ends short; its Next goes on there. It does not matter in which order
// messages came: history may be imported after newer tickets.
//
// A term of which more than 256 words begin, in more than 10,000 messages, as many
// do with a letter or two, stands for the first 256 of them, by the alphabet:
// the word itself is one. Words of which each is in many messages, but that are
// hardly ever together, take time in proportion to those messages, and a rare
// word beside a beginning of many common ones takes some of it for each of them.
//
// # Errors
//
// Operations fail as [ticket.Store] says. A full disk, a read-only file and the
// like come out as wrapped errors of the driver.
//
// # Privacy
//
// What is redacted or dropped is overwritten by new content in place
// (secure_delete=fast) as far as that costs nothing; the words of a redacted
// message leave the search index's file with its later merges.
package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	_ "modernc.org/sqlite" // the driver "sqlite"

	"github.com/anteroom/anteroom/ticket"
)

// Backend is an opened file. Make one with [Open].
type Backend struct {
	writer  *writer
	readers chan struct{} // as many as may read at the same time
	ended   chan struct{} // closed when there are no readers any more
	options options
	search  searchBounds

	mu     sync.RWMutex
	ids    map[string]int64 // of portals, committed ones only
	closed bool
	// idle are the open connections that nobody reads with, the last used
	// last. It is taken first: a connection forgets what it has read of the file
	// when it reads for the first time after a commit.
	idle []*conn
}

var _ ticket.Backend = (*Backend)(nil)

type options struct {
	path     string
	readers  int
	cache    int64 // bytes
	unsynced bool
	busy     time.Duration
}

// An Option changes how [Open] opens a file.
type Option func(*options)

// Readers sets how many connections read, which is how many reads run at the
// same time; others wait. The default is 4. Each has a cache of up to 8 MB.
func Readers(n int) Option { return func(o *options) { o.readers = max(1, n) } }

// WriterCache sets how many bytes of the file the connection that writes may
// keep in memory. The default is 32 MB. More helps where very much is written at
// once to a large store: keys are spread over all of their table. It may take
// twice as much memory.
func WriterCache(bytes int64) Option { return func(o *options) { o.cache = max(0, bytes) } }

// Unsynced is for a program that fills a store which nothing depends on yet: its
// commits are not on disk when they return, but when [Backend.Close] has returned
// no error. If power is lost before that, the file may be damaged, and is to be
// made anew; a process that is killed harms nothing. It saves waiting for the
// disk, and writing what changes often each time. Do not receive mail into such a
// store: what was acknowledged could be lost. The default is that each commit is
// on disk when it returns.
func Unsynced() Option { return func(o *options) { o.unsynced = true } }

// BusyTimeout sets how long a write waits for another process that writes to
// the same file. The default is 10 seconds.
func BusyTimeout(d time.Duration) Option { return func(o *options) { o.busy = d } }

// Open opens the file at path, making it if it does not exist, and brings its
// schema up to date; several processes may do so at the same time. It fails if
// the file was written by a newer version of this package. The folder must
// exist. A store in memory is package memstore's.
func Open(path string, opts ...Option) (*Backend, error) {
	o := options{path: path, readers: 4, cache: 32 << 20, busy: 10 * time.Second}
	for _, opt := range opts {
		opt(&o)
	}
	if path == "" || path == ":memory:" {
		return nil, fmt.Errorf("sqlitestore: open: %q is not the path of a file", path)
	}
	b := &Backend{options: o, search: defaultSearchBounds(), readers: make(chan struct{}, o.readers), ended: make(chan struct{}), ids: map[string]int64{}}
	w, err := openWriter(o)
	if err != nil {
		return nil, fmt.Errorf("sqlitestore: open %s: %w", path, err)
	}
	b.writer = w
	for range o.readers {
		b.readers <- struct{}{}
	}
	return b, nil
}

// Portal returns the store of one portal.
func (b *Backend) Portal(name string) ticket.Store { return &portal{b: b, name: name} }

// Close waits for what is under way and closes the file. Later operations fail.
// A second Close does nothing.
func (b *Backend) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	b.mu.Unlock()
	b.writer.stop()
	var errs []error
	for range b.options.readers {
		<-b.readers
	}
	for _, c := range b.idle { // which are nobody else's any more
		errs = append(errs, c.close())
	}
	if b.options.unsynced {
		errs = append(errs, syncAll(b.writer.c))
	}
	errs = append(errs, b.writer.c.close())
	close(b.ended) // for reads that saw the store open and come for a connection now
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("sqlitestore: close: %w", err)
	}
	return nil
}

var errClosed = errors.New("the store is closed")

// read calls f with a connection that nobody else uses meanwhile.
func (b *Backend) read(ctx context.Context, f func(c *conn) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.RLock()
	closed := b.closed
	b.mu.RUnlock()
	if closed {
		return errClosed
	}
	select {
	case <-b.readers:
	case <-b.ended:
		return errClosed
	case <-ctx.Done():
		return ctx.Err()
	}
	c := b.takeIdle()
	defer func() {
		if c != nil {
			b.mu.Lock()
			b.idle = append(b.idle, c)
			b.mu.Unlock()
		}
		b.readers <- struct{}{}
	}()
	if c == nil {
		opened, err := openConn(ctx, b.options, true)
		if err != nil {
			return err
		}
		c = opened
	}
	err := f(c)
	if err != nil {
		// It may have been left in any state.
		_ = c.close()
		c = nil
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	return err
}

// takeIdle returns the connection that was used last, nil if none is open.
func (b *Backend) takeIdle() (c *conn) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.idle); n > 0 {
		c, b.idle[n-1], b.idle = b.idle[n-1], nil, b.idle[:n-1]
	}
	return c
}

// portalID returns the number of a portal, or 0 if nothing was written to it.
func (b *Backend) portalID(c *conn, name string) (int64, error) {
	b.mu.RLock()
	id, ok := b.ids[name]
	b.mu.RUnlock()
	if ok {
		return id, nil
	}
	found, err := c.one("SELECT id FROM portals WHERE name = ?", []any{name}, &id)
	if err != nil || !found {
		return 0, err
	}
	b.mu.Lock()
	b.ids[name] = id
	b.mu.Unlock()
	return id, nil
}

// portal is the store of one portal.
type portal struct {
	b    *Backend
	name string
}

var _ ticket.Store = (*portal)(nil)

// view calls f with a connection and the portal's number, unless nothing was
// ever written to the portal.
func (p *portal) view(ctx context.Context, what string, f func(c *conn, id int64) error) error {
	err := p.b.read(ctx, func(c *conn) error {
		id, err := p.b.portalID(c, p.name)
		if err != nil || id == 0 {
			return err
		}
		return f(c, id)
	})
	return wrap(what, err)
}

// wrap says what was attempted, except for errors of the context, which are
// returned as they are.
func wrap(what string, err error) error {
	if err == nil || errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	return fmt.Errorf("sqlitestore: %s: %w", what, err)
}
