// Package pgtest starts private PostgreSQL servers, and PgBouncers before them,
// for tests: on loopback, in temporary folders, on ports of their own. Nothing
// that runs on the machine is used or touched.
//
// A test binary has one [Cluster], and each test a database in it:
//
//	var cluster pgtest.Cluster
//
//	func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }
//
//	func TestX(t *testing.T) { url := cluster.Database(t) ... }
//
// Where PostgreSQL is not installed tests are skipped; with
// ANTEROOM_REQUIRE=all in the environment they fail instead.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Cluster is a PostgreSQL server with default settings of durability. The zero
// value is ready; the server is started when it is first needed. All methods are
// safe for concurrent use.
type Cluster struct {
	mu       sync.Mutex
	err      error // why it cannot be started
	lacks    string
	dir      string
	port     int
	password string
	server   *process
	names    int
}

// startTime bounds how long a start and a stop may take.
const startTime = time.Minute

// Main runs the tests of m and stops the server, if one was started. It returns
// the exit code.
func (c *Cluster) Main(m *testing.M) int {
	code := m.Run()
	if err := c.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return max(code, 1)
	}
	return code
}

// URL returns the connection string of the server's own database.
func (c *Cluster) URL(t testing.TB) string {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started(t)
	return c.url("postgres", c.port)
}

// Address returns what URL does, for code that has no test at hand; "" before
// the server was started.
func (c *Cluster) Address() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return ""
	}
	return c.url("postgres", c.port)
}

// Database makes a database that is dropped when the test ends, and returns its
// connection string.
func (c *Cluster) Database(t testing.TB) string {
	t.Helper()
	c.mu.Lock()
	c.started(t)
	c.names++
	name := fmt.Sprintf("test%d", c.names)
	admin, at := c.url("postgres", c.port), c.url(name, c.port)
	c.mu.Unlock()
	if err := run(context.WithoutCancel(t.Context()), admin, "CREATE DATABASE "+name); err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	t.Cleanup(func() {
		if err := run(context.WithoutCancel(t.Context()), admin, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			t.Errorf("pgtest: %v", err)
		}
	})
	return at
}

func run(ctx context.Context, at, sql string) error {
	ctx, cancel := context.WithTimeout(ctx, startTime)
	defer cancel()
	conn, err := pgx.Connect(ctx, at)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, sql)
	return errors.Join(err, conn.Close(ctx))
}

func (c *Cluster) url(database string, port int) string {
	u := url.URL{
		Scheme: "postgres", User: url.UserPassword("postgres", c.password),
		Host: net.JoinHostPort("127.0.0.1", strconv.Itoa(port)), Path: "/" + database, RawQuery: "sslmode=disable",
	}
	return u.String()
}

// started starts the server, once. c.mu is held.
func (c *Cluster) started(t testing.TB) {
	t.Helper()
	if c.server == nil && c.lacks == "" && c.err == nil {
		c.lacks, c.err = c.start()
	}
	if c.lacks != "" {
		lacking(t, c.lacks)
	}
	if c.err != nil {
		t.Fatalf("pgtest: start PostgreSQL: %v", c.err)
	}
}

// lacking ends a test that needs something this machine has not got.
func lacking(t testing.TB, reason string) {
	t.Helper()
	if os.Getenv("ANTEROOM_REQUIRE") == "all" {
		t.Fatalf("%s, and ANTEROOM_REQUIRE=all", reason)
	}
	t.Skip(reason)
}

func (c *Cluster) start() (lacks string, err error) {
	bin := binaries()
	if bin == "" {
		return "PostgreSQL 15 or later is not installed", nil
	}
	as, err := unprivileged()
	if err != nil {
		return err.Error(), nil //nolint:nilerr // it is what the machine lacks
	}
	if c.dir, err = os.MkdirTemp("", "pgtest"); err != nil {
		return "", err
	}
	c.password = rand.Text()
	secret := filepath.Join(c.dir, "secret")
	if err = os.WriteFile(secret, []byte(c.password), 0o600); err == nil {
		err = as.own(c.dir, secret)
	}
	if err == nil {
		err = as.run(c.dir, filepath.Join(bin, "initdb"), "-D", c.data(), "-U", "postgres", "-A", "scram-sha-256", "--pwfile", secret,
			"-E", "UTF8", "--locale=C", "--no-instructions", "--no-sync")
	}
	if err == nil {
		c.port, err = freePort()
	}
	if err == nil {
		err = c.serve(bin, as)
	}
	if err != nil {
		_ = os.RemoveAll(c.dir)
	}
	return "", err
}

func (c *Cluster) data() string { return filepath.Join(c.dir, "data") }

// serve starts the server on its data and waits until it answers.
func (c *Cluster) serve(bin string, as user) error {
	p, err := as.start(c.dir, "server.log", filepath.Join(bin, "postgres"), "-D", c.data(), "-p", strconv.Itoa(c.port), "-k", c.dir,
		"-c", "listen_addresses=127.0.0.1", "-c", "max_connections=300", "-c", "shared_buffers=128MB", "-c", "max_wal_size=2GB",
		"-c", "log_checkpoints=off", "-c", "timezone=UTC")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), startTime)
	defer cancel()
	if err := answers(ctx, c.url("postgres", c.port), p); err != nil {
		p.kill()
		return fmt.Errorf("%w\n%s", err, p.log())
	}
	c.server = p
	return nil
}

// answers waits until a server takes connections.
func answers(ctx context.Context, at string, p *process) error {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, at)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-p.ended:
			return errors.New("it ended by itself")
		case <-ctx.Done():
			return err
		}
	}
}

func freePort() (int, error) {
	l, err := (&net.ListenConfig{}).Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err := errors.Join(err, l.Close()); err != nil {
		return 0, err
	}
	return strconv.Atoi(port)
}

// Restart kills the server's processes as a crash would, and starts it anew on
// the same data and port.
func (c *Cluster) Restart(t testing.TB) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	c.started(t)
	as, err := unprivileged()
	if err == nil {
		err = c.server.stop(immediately)
	}
	if err == nil {
		c.server = nil
		err = c.serve(binaries(), as)
	}
	if err != nil {
		t.Fatalf("pgtest: restart PostgreSQL: %v", err)
	}
}

// Close stops the server, if it was started, and removes its data.
func (c *Cluster) Close() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.server == nil {
		return nil
	}
	err := errors.Join(c.server.stop(immediately), os.RemoveAll(c.dir))
	c.server, c.err = nil, errors.New("it was closed")
	if err != nil {
		return fmt.Errorf("pgtest: stop PostgreSQL: %w", err)
	}
	return nil
}
