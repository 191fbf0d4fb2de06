// Package pgstore keeps the data of portals in PostgreSQL, version 15 or later,
// for any number of processes at once.
//
// # Durability
//
// A commit that has returned is as durable as PostgreSQL makes it: with its
// default settings, flushed to disk. All statements of a commit are sent at once
// and need one round trip; there is no moment at which a process that pauses or
// dies leaves a transaction open behind it. The commits of one portal that wait
// while others are under way go into the next transaction together; one that
// conflicts fails alone.
//
// # Concurrency
//
// All methods are safe for concurrent use, in any number of processes. A call
// whose context ends before its commit was begun has written nothing; one that
// was begun finishes, and tells its result. Numbers of tickets and cursors of
// events are given under the lock of the portal's row, which a commit takes last
// and holds until it is durable.
//
// # Errors
//
// Operations fail as [ticket.Store] says. Deadlocks and failed serialization are
// conflicts. When a connection breaks during a commit, or the server does not
// answer in time, nobody knows whether it was written; the error is then neither a
// conflict nor a limit, nor a context's. No error holds the connection string's
// password.
//
// # Database
//
// The database has the encoding UTF8 and the user the default_transaction_isolation
// "read committed"; locale and time zone do not matter.
// What a connection string leaves out comes from the variables that psql knows
// (PGHOST, PGPASSWORD ...), the password also from ~/.pgpass. [Configure] is for
// passwords that change, and for tracing.
//
// The user that migrates owns the schema, or may create it (CREATE on the
// database). Others, with [WithoutMigrations], need USAGE on the schema, and
// SELECT, INSERT, UPDATE and DELETE on its tables:
//
//	GRANT USAGE ON SCHEMA anteroom TO desk;
//	GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA anteroom TO desk;
//	ALTER DEFAULT PRIVILEGES IN SCHEMA anteroom GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO desk;
//
// # Proxies
//
// Nothing but the listener keeps state in a session: it may be used through
// PgBouncer in transaction mode. Before version 1.21, and wherever prepared
// statements are not passed on, say so in the connection string, with
// default_query_exec_mode=exec, and give the listener a way of its own with
// [Listen]. Without notifications other processes' writes are seen by polling.
//
// # Search
//
// Common words are found by looking at the first tickets of the list, up to some
// thousand; others by an index of words, newest first among the tickets of some
// days or weeks where that fills a page; words that few messages of those weeks
// have, among all. So common words cost no more than rare ones. Words that are
// common but never meet, or not where the filter selects, make pages that are
// short and yet have a Next. What costs more the larger the store is: words that
// few messages have now and many had once, and a word with a beginning that
// begins very many others.
//
// # What it rests on
//
// That nothing acknowledged is lost rests on fsync and synchronous_commit being
// on, and across a failover on a standby that is synchronous. Connection strings
// of several servers name them all with target_session_attrs=read-write;
// connections to one that takes no more writes are left by themselves. That
// nothing is done twice rests on revisions, keys and leases in the database, not
// on clocks: a clock that is wrong takes leases early or late, and should be
// within seconds of the others. A node that vanishes from the network in the
// middle of a large commit holds its locks until the server notices, after two
// hours by default: set tcp_keepalives_idle to a minute there.
//
// # Sizing
//
// A message of some fifty words takes 12 KB with all that belongs to it, so that a
// million tickets of 1.7 messages need about 21 GB; larger bodies than
// ticket.Limits.InlineBody are in Blobs. A node has up to 16 connections and a
// listener. DESIGN.md has the arithmetic, and the way to 100 million messages.
//
// # Upgrade and backup
//
// A new version of a program migrates when it starts, while older ones go on:
// migrations only add. An older one does not start on a newer schema. An index
// that is added keeps its table from being written while it is built, some
// seconds for a million tickets; who cannot wait applies migrations/ by hand, with
// CREATE INDEX CONCURRENTLY, before. For a backup any of PostgreSQL's ways does;
// copy Blobs after it, and keep the key elsewhere. Going back to an old backup
// also forgets what was sent since, and what was pending in it is sent again:
// archive the log (PITR), or switch the channels off first.
//
// # The host's own rows
//
// See [WithTx] for writing them and the library's in one transaction; the host
// reaches the database by a pool of its own.
package pgstore

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/anteroom/anteroom/ticket"
)

// Backend is an opened database. Make one with [Open].
type Backend struct {
	pool    *pgxpool.Pool
	options options
	sql     *statements
	news    *herald

	mu      sync.Mutex
	ids     map[string]int64 // of portals that exist
	groups  map[string]*group
	closed  bool
	writing sync.WaitGroup // transactions under way
}

var _ ticket.Backend = (*Backend)(nil)

type options struct {
	schema  string
	conns   int
	timeout time.Duration
	listen  string
	migrate bool
	writers int // transactions of a portal under way at a time
	walks   walks
	// listenCheck is how long the listener hears nothing before it asks whether
	// its connection is still there, and how long the answer may take.
	listenCheck time.Duration
	// configure is the host's, nil if there is none.
	configure func(*pgxpool.Config)
}

// An Option changes how [Open] opens a database.
type Option func(*options)

// Schema sets the schema that the tables are in, which is made if it does not
// exist: lower-case letters, digits and underscores. The default is "anteroom".
func Schema(name string) Option { return func(o *options) { o.schema = name } }

// Connections sets how many connections are open at the most, besides the
// listener's. The default is 16, or pool_max_conns of the connection string.
func Connections(n int) Option { return func(o *options) { o.conns = max(1, n) } }

// Timeout sets how long one operation may take in the database. A commit that
// takes longer is rolled back. 0 or less means the default, 30 seconds.
func Timeout(d time.Duration) Option {
	return func(o *options) {
		if o.timeout = d; d <= 0 {
			o.timeout = defaultTimeout
		}
	}
}

const defaultTimeout = 30 * time.Second

// Configure has f change how connections are made, after the connection string
// and [Connections]: BeforeConnect for a password that changes, a tracer for
// metrics and traces of statements, TLS, a dialer. The listener's connection is
// made with the same, and is not one of the pool: f is called again, from another
// goroutine, whenever it connects anew. A second Configure takes the
// place of the first.
func Configure(f func(*pgxpool.Config)) Option { return func(o *options) { o.configure = f } }

// Listen sets the connection string of the listener, for when the other one goes
// through a proxy that does not pass on notifications. An empty one means that
// there is none, and that writes of other processes are seen by polling.
func Listen(connString string) Option { return func(o *options) { o.listen = connString } }

// WithoutMigrations leaves the schema alone. Open then fails unless it is up to
// date. It is for hosts that apply the files of migrations/ themselves.
func WithoutMigrations() Option { return func(o *options) { o.migrate = false } }

// Open connects to a database, such as "postgres://user:password@host/name", and
// brings its schema up to date; several processes may do so at the same time. It
// fails if the schema is of a newer version of this package.
func Open(ctx context.Context, connString string, opts ...Option) (*Backend, error) {
	o := options{
		schema: "anteroom", timeout: defaultTimeout, listen: connString, migrate: true, writers: 1,
		walks: walks{256, 4096, 250}, listenCheck: 30 * time.Second,
	}
	for _, opt := range opts {
		opt(&o)
	}
	if !regexp.MustCompile(`^[a-z_][a-z0-9_]{0,40}$`).MatchString(o.schema) {
		return nil, fmt.Errorf("pgstore: open: schema %q: want lower-case letters, digits and underscores, 41 at the most", o.schema)
	}
	cfg, err := parse(connString, o)
	if err != nil {
		return nil, err
	}
	if o.listen != "" {
		// It is a mistake that would else be found by looking for late events.
		if _, err := parse(o.listen, o); err != nil {
			return nil, err
		}
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("pgstore: open: %w", err)
	}
	b := &Backend{pool: pool, options: o, sql: newStatements(o.schema), ids: map[string]int64{}, groups: map[string]*group{}}
	b.news = newHerald(b)
	if err := b.migrate(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("pgstore: open: %w%s", err, advice(err))
	}
	return b, nil
}

// Portal returns the store of one portal. The name holds no U+0000.
func (b *Backend) Portal(name string) ticket.Store { return &portal{b: b, name: name} }

// Close waits for what is under way and closes the connections. Later operations
// fail. A second Close does nothing.
func (b *Backend) Close() error {
	b.mu.Lock()
	if b.closed {
		b.mu.Unlock()
		return nil
	}
	b.closed = true
	b.mu.Unlock()
	b.writing.Wait()
	b.news.close()
	b.pool.Close()
	return nil
}

// Stat returns the numbers of the connections, for metrics.
func (b *Backend) Stat() *pgxpool.Stat { return b.pool.Stat() }

var errClosed = errors.New("the store is closed")

// begin is called before a write, and end after it.
func (b *Backend) begin() error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.closed {
		return errClosed
	}
	b.writing.Add(1)
	return nil
}

func (b *Backend) end() { b.writing.Done() }

// portal is the store of one portal.
type portal struct {
	b    *Backend
	name string
}

var (
	_ ticket.Store   = (*portal)(nil)
	_ ticket.Watcher = (*portal)(nil)
	_ ticket.Joiner  = (*portal)(nil)
)

// id returns the portal's number, 0 if nothing was written to it.
func (p *portal) id(ctx context.Context) (id int64, err error) {
	p.b.mu.Lock()
	id, known := p.b.ids[p.name]
	p.b.mu.Unlock()
	if known {
		return id, nil
	}
	err = p.b.read(ctx, func(ctx context.Context, c conn) error {
		err := c.QueryRow(ctx, p.b.sql.portalID, p.name).Scan(&id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil
		}
		return err
	})
	if err == nil && id != 0 && joined(ctx) == nil {
		p.b.know(p.name, id)
	}
	return id, err
}

func (b *Backend) know(name string, id int64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ids[name] = id
}

// made returns the portal's number, having made it if there was none.
func (p *portal) made(ctx context.Context) (int64, error) {
	id, err := p.id(ctx)
	if err != nil || id != 0 {
		return id, err
	}
	err = p.write(ctx, func(ctx context.Context, to conn) error {
		_, err := to.Exec(ctx, p.b.sql.makePortal, p.name)
		return err
	})
	if err != nil {
		return 0, err
	}
	return p.id(ctx)
}

// view calls f with a connection and the portal's number, unless nothing was ever
// written to the portal. f may be called again after a connection broke.
func (p *portal) view(ctx context.Context, what string, f func(ctx context.Context, c conn, id int64) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	id, err := p.id(ctx)
	if err == nil && id != 0 {
		err = p.b.read(ctx, func(ctx context.Context, c conn) error { return f(ctx, c, id) })
	}
	return wrap(ctx, what, err)
}
