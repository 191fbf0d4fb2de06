package hosted

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

// phase is what a connection is doing; it decides how long a read may take.
type phase int

const (
	phaseGreeting phase = iota // until EHLO
	phaseCommand
	phaseData
)

// conn stands between the socket, with TLS, and go-smtp. It owns all timing,
// makes the first read error the last, and feeds go-smtp one command or one
// message at a time. Without that go-smtp
//
//   - reads on after a timeout within DATA and takes the rest of the message for
//     commands;
//   - takes a chunk that was cut off for a whole one;
//   - obeys commands that were sent on ahead after it has closed the connection,
//     and can wait for ever for a result that went elsewhere.
type conn struct {
	net.Conn  // the socket
	limits    *Limits
	tlsConfig *tls.Config   // nil: no STARTTLS
	pregreet  time.Duration // not positive: greet at once
	release   func()        // called once, by Close

	closeOnce sync.Once
	closeErr  error

	// Known to the goroutine that reads.
	in       *bufio.Reader
	ahead    []byte // read beyond a message: comes before the socket
	feed     feed
	overSize bool // the last MAIL declared a size that no message may have

	mu      sync.Mutex
	top     net.Conn // the socket, or TLS on it
	sealed  bool     // TLS is on
	helloed bool     // EHLO was said since the greeting or STARTTLS
	err     error    // sticky
	held    error    // came beside data: the error of the next read
	greeted bool
	phase   phase
	until   time.Time // end of the greeting or data phase
	// lineUntil is when a command line must have come; zero while there is none
	// to come.
	lineUntil time.Time
	lifetime  time.Time
	started   time.Time // of the data phase
	received  int64     // bytes of the data phase
	replies   int
	busy      bool // a transaction is under way
	stopping  bool // ends as soon as it is not busy
	linger    bool // lets the peer read the last answer
}

func newConn(raw net.Conn, limits *Limits, cfg *tls.Config, pregreet time.Duration, release func()) *conn {
	now := time.Now()
	c := &conn{
		Conn: raw, top: raw, limits: limits, tlsConfig: cfg, pregreet: pregreet, release: release,
		until:    now.Add(limits.Hello + max(pregreet, 0)),
		lifetime: now.Add(limits.Lifetime),
	}
	c.in = bufio.NewReaderSize(source{c}, max(8<<10, limits.CommandLine)) // a line fits
	return c
}

// source reads from the peer within the limits of the phase.
type source struct{ c *conn }

func (s source) Read(p []byte) (int, error) {
	c := s.c
	if n := copy(p, c.ahead); n > 0 {
		if c.ahead = c.ahead[n:]; len(c.ahead) == 0 {
			c.ahead = nil
		}
		return n, nil
	}
	c.mu.Lock()
	if c.err == nil && c.held != nil {
		c.err = c.held
	}
	if c.err == nil {
		c.err = c.Conn.SetReadDeadline(c.deadline(time.Now()))
	}
	top, err := c.top, c.err
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	n, err := top.Read(p)
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.held = err
		c.received += int64(n)
		return n, nil
	}
	if err != nil {
		c.fail(err)
	}
	return n, err
}

// deadline of a read that begins now.
func (c *conn) deadline(now time.Time) time.Time {
	if c.stopping && !c.busy {
		return time.Unix(1, 0)
	}
	d := now.Add(c.limits.Idle)
	switch c.phase {
	case phaseGreeting:
		d = c.until
	case phaseCommand:
		if !c.lineUntil.IsZero() {
			d = c.lineUntil
		}
	case phaseData:
		d = earlier(now.Add(c.limits.DataIdle), c.until)
		if rate := c.limits.DataRate; rate > 0 {
			// The moment from which on the rate is too low if nothing more comes.
			earned := time.Duration(float64(c.received) / float64(rate) * float64(time.Second))
			d = earlier(d, c.started.Add(c.limits.DataGrace+earned))
		}
	}
	return earlier(d, c.lifetime)
}

// ready says whether go-smtp may be fed any more.
func (c *conn) ready() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.err != nil:
	case c.stopping && !c.busy:
		c.err = errStopping
	case c.phase != phaseData && c.replies > c.limits.Replies:
		c.err = errTooMany
	}
	return c.err
}

// Write writes an answer. The first one is the greeting.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	first := !c.greeted
	c.greeted = true
	if c.phase != phaseData {
		c.replies++
	}
	sealed := c.sealed
	c.mu.Unlock()
	if first && c.pregreet > 0 {
		if err := c.listen(); err != nil {
			return 0, err
		}
	}
	if sealed && bytes.Equal(p, []byte("250-STARTTLS\r\n")) {
		return len(p), nil // go-smtp does not know that TLS is on
	}
	if bytes.HasPrefix(p, []byte("354 ")) {
		c.feed = feed{unit: unitData}
		c.enterData()
	}
	if better := c.corrected(p); better != "" {
		_, err := c.put([]byte(better))
		return len(p), err
	}
	return c.put(p)
}

// put writes within the limit.
func (c *conn) put(p []byte) (int, error) {
	c.mu.Lock()
	top := c.top
	c.mu.Unlock()
	if err := c.Conn.SetWriteDeadline(time.Now().Add(c.limits.Write)); err != nil {
		return 0, err
	}
	return top.Write(p)
}

// listen holds the greeting back and refuses a peer that talks before it.
func (c *conn) listen() error {
	c.mu.Lock()
	err := c.err
	if err == nil && !c.stopping {
		err = c.Conn.SetReadDeadline(time.Now().Add(c.pregreet))
	}
	c.mu.Unlock()
	if err != nil {
		return err
	}
	var b [1]byte
	n, err := c.Conn.Read(b[:])
	var ne net.Error
	switch {
	case n > 0:
		_, _ = c.put([]byte("554 5.5.1 Wait for the greeting before you talk\r\n"))
		err = errEarly
	case errors.As(err, &ne) && ne.Timeout():
		return nil
	}
	c.finish()
	return err
}

// Close closes the connection. It may be called more than once.
func (c *conn) Close() error {
	c.closeOnce.Do(func() {
		c.mu.Lock()
		c.fail(net.ErrClosed)
		top, linger := c.top, c.linger
		c.mu.Unlock()
		if linger {
			c.settle(top)
		}
		c.closeErr = top.Close()
		c.release()
	})
	return c.closeErr
}

// settle lets the peer read the last answer: closing with unread input resets
// the connection, which can destroy the answer on its way.
func (c *conn) settle(top net.Conn) {
	c.Conn.SetDeadline(time.Now().Add(time.Second))
	for _, layer := range []net.Conn{top, c.Conn} {
		if half, ok := layer.(interface{ CloseWrite() error }); ok {
			_ = half.CloseWrite()
		}
	}
	_, _ = io.CopyN(io.Discard, c.Conn, 1<<20)
}

// abort closes the socket at once, whatever goes on.
func (c *conn) abort() { c.Conn.Close() }

// The phases own the timing.

// SetDeadline does nothing.
func (c *conn) SetDeadline(time.Time) error { return nil }

// SetReadDeadline does nothing.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline does nothing.
func (c *conn) SetWriteDeadline(time.Time) error { return nil }

// hello ends the greeting phase.
func (c *conn) hello() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.helloed = true
	if c.phase == phaseGreeting {
		c.phase = phaseCommand
	}
}

// state says whether TLS is on, and whether the peer has said EHLO under it.
func (c *conn) state() (sealed, helloed bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sealed, c.helloed
}

// begin says that a transaction is under way. It reports false if none may
// begin any more.
func (c *conn) begin() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping || c.err != nil {
		return false
	}
	c.busy = true
	return true
}

// enterData begins the transfer of a message.
func (c *conn) enterData() {
	c.mu.Lock()
	defer c.mu.Unlock()
	now := time.Now()
	c.phase = phaseData
	c.started, c.received = now, 0
	c.until = now.Add(c.limits.Data)
	c.Conn.SetReadDeadline(c.deadline(now))
}

// end ends the transaction, and any transfer with it.
func (c *conn) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.busy = false
	if c.phase == phaseData {
		c.phase = phaseCommand
	}
}

// progressed forgives the answers so far, because a message was accepted.
func (c *conn) progressed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replies = 0
}

// finish ends the connection after the answer that is being given.
func (c *conn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail(io.EOF)
	c.linger = true
}

// stop ends the connection now if it is idle, else after its transaction.
func (c *conn) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	if !c.busy {
		c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
}

func (c *conn) fail(err error) {
	if c.err == nil {
		c.err = err
	}
}

// broken reports whether reading has failed.
func (c *conn) broken() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err != nil
}

func earlier(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// connError is why the wrapper itself ended a connection.
type connError string

const (
	errStopping   connError = "hosted: shutting down"
	errTooMany    connError = "hosted: too many commands"
	errEmptyChunk connError = "hosted: empty chunk"
	errTooMuch    connError = "hosted: a refused message goes on and on"
	errEarly      connError = "hosted: peer talked before the greeting"
)

func (e connError) Error() string { return string(e) }

// Timeout makes go-smtp answer 421.
func (e connError) Timeout() bool   { return true }
func (e connError) Temporary() bool { return false }
