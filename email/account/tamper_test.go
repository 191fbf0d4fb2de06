package account_test

import (
	"bufio"
	"context"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

// tamper changes what goes over a connection, line by line: a server that
// behaves as no fake would.
type tamper struct {
	mu sync.Mutex
	// down changes what the server says, up what it is told.
	down, up func(line string) string
}

func (tp *tamper) set(down, up func(line string) string) {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	tp.down, tp.up = down, up
}

func (tp *tamper) change(down bool, line string) string {
	tp.mu.Lock()
	defer tp.mu.Unlock()
	switch {
	case down && tp.down != nil:
		return tp.down(line)
	case !down && tp.up != nil:
		return tp.up(line)
	}
	return line
}

type tamperedConn struct {
	net.Conn
	by   *tamper
	r    *bufio.Reader
	left string
	tls  atomic.Bool // from now on it is none of ours; written by who reads, read by who writes
}

func (c *tamperedConn) Read(p []byte) (int, error) {
	if c.tls.Load() && c.left == "" {
		return c.r.Read(p)
	}
	for c.left == "" {
		line, err := c.r.ReadString('\n')
		if line == "" {
			return 0, err
		}
		c.left = c.by.change(true, line)
		c.tls.Store(strings.HasPrefix(line, "S OK"))
	}
	n := copy(p, c.left)
	c.left = c.left[n:]
	return n, nil
}

func (c *tamperedConn) Write(p []byte) (int, error) {
	if c.tls.Load() {
		return c.Conn.Write(p)
	}
	if _, err := c.Conn.Write([]byte(c.by.change(false, string(p)))); err != nil {
		return 0, err
	}
	return len(p), nil
}

// newTampered returns an account whose server is tampered with.
func newTampered(t *testing.T, opts ...emailtest.IMAPOption) (*inbox, *emailtest.IMAP, *tamper) {
	t.Helper()
	srv := emailtest.NewIMAP(t, append([]emailtest.IMAPOption{emailtest.IMAPWithUser(address, password)}, opts...)...)
	b := newInboxAt(t, fakeIMAP{srv}, account.None)
	tp := &tamper{}
	dial := b.env.Dial
	b.env.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		if err != nil || addr != srv.Addr() {
			return c, err
		}
		return &tamperedConn{Conn: c, by: tp, r: bufio.NewReader(c)}, nil
	}
	return b, srv, tp
}

// replaced returns a change of one text to another.
func replaced(from, to string) func(string) string {
	return func(line string) string { return strings.Replace(line, from, to, 1) }
}
