package hosted

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"github.com/emersion/go-smtp"
)

// phase is what a connection is doing; it decides how long a read may take.
type phase int

const (
	phaseGreeting phase = iota // until EHLO
	phaseCommand
	phaseData
)

// conn stands between the socket and go-smtp, below TLS. It owns all timing and
// makes the first read error the last: without that, go-smtp reads on after a
// timeout within DATA and takes the rest of the message for commands, and takes
// a chunk that was cut off for a whole one.
type conn struct {
	net.Conn
	limits   *Limits
	pregreet time.Duration // not positive: greet at once
	release  func()        // called once, by Close

	closeOnce sync.Once
	closeErr  error

	mu      sync.Mutex
	err     error // sticky
	held    error // came beside data: the error of the next read
	greeted bool
	sealed  bool // TLS runs above us

	phase    phase
	until    time.Time // end of the greeting or data phase
	lifetime time.Time
	started  time.Time // of the data phase
	received int64     // bytes of the data phase
	line     lineMeter
	replies  int

	busy      bool // a transaction is under way
	stopping  bool // ends as soon as it is not busy
	probing   bool // reads are refused for a moment, without harm
	writeTill time.Time
}

func newConn(raw net.Conn, limits *Limits, pregreet time.Duration, release func()) *conn {
	now := time.Now()
	return &conn{
		Conn: raw, limits: limits, pregreet: pregreet, release: release,
		until:    now.Add(limits.Hello + max(pregreet, 0)),
		lifetime: now.Add(limits.Lifetime),
	}
}

// Read reads within the limits of the phase.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.beforeRead(); err != nil {
		return 0, err
	}
	n, err := c.Conn.Read(p)
	return c.afterRead(p, n, err)
}

func (c *conn) beforeRead() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.probing:
		return errProbe
	case c.err != nil:
	case c.held != nil:
		c.err = c.held
	case c.stopping && !c.busy:
		c.err = errStopping
	case c.phase != phaseData && c.replies > c.limits.Replies:
		c.err = errTooMany
	default:
		return c.Conn.SetReadDeadline(c.deadline(time.Now()))
	}
	return c.err
}

// deadline of a read that begins now.
func (c *conn) deadline(now time.Time) time.Time {
	d := now.Add(c.limits.Idle)
	switch c.phase {
	case phaseGreeting:
		d = c.until
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

func (c *conn) afterRead(p []byte, n int, err error) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n > 0 {
		c.held = err
		if c.phase == phaseData {
			c.received += int64(n)
			return n, nil
		}
		if !c.sealed && c.line.add(p[:n]) > c.limits.CommandLine {
			c.err = smtp.ErrTooLongLine
			return 0, c.err
		}
		return n, nil
	}
	if err != nil && c.err == nil {
		c.err = err
	}
	return n, err
}

// Write writes an answer. The first one is the greeting.
func (c *conn) Write(p []byte) (int, error) {
	c.mu.Lock()
	first := !c.greeted
	c.greeted = true
	c.mu.Unlock()
	if first && c.pregreet > 0 {
		if err := c.listen(); err != nil {
			return 0, err
		}
	}
	c.mu.Lock()
	if c.phase != phaseData {
		c.replies++
	}
	c.line.reset()
	switch {
	case !first && !c.sealed && bytes.HasPrefix(p, []byte("220 ")):
		c.sealed = true // the answer to STARTTLS
	case c.sealed && bytes.HasPrefix(p, []byte("550 ")):
		// go-smtp would go on in clear text after a failed handshake.
		c.fail(io.EOF)
	}
	err := c.Conn.SetWriteDeadline(earlier(time.Now().Add(c.limits.Write), c.writeTill))
	c.mu.Unlock()
	if err != nil {
		return 0, err
	}
	return c.Conn.Write(p)
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
		say(c.Conn, "554 5.5.1 Wait for the greeting before you talk")
		err = errEarly
	case errors.As(err, &ne) && ne.Timeout():
		return nil
	}
	c.mu.Lock()
	c.fail(io.EOF)
	c.mu.Unlock()
	return err
}

// say writes one line to a connection that is about to be closed, and lets the
// peer read it: closing with unread input resets the connection, which can
// destroy the line on its way.
func say(raw net.Conn, line string) {
	raw.SetWriteDeadline(time.Now().Add(time.Second))
	io.WriteString(raw, line+"\r\n")
	if half, ok := raw.(interface{ CloseWrite() error }); ok && half.CloseWrite() == nil {
		raw.SetReadDeadline(time.Now().Add(time.Second))
		io.CopyN(io.Discard, raw, 64<<10)
	}
}

// Close closes the socket. It may be called more than once.
func (c *conn) Close() error {
	c.closeOnce.Do(func() {
		c.closeErr = c.Conn.Close()
		c.release()
	})
	return c.closeErr
}

// SetReadDeadline does nothing: the phases own the timing of reads.
func (c *conn) SetReadDeadline(time.Time) error { return nil }

// SetDeadline bounds writes only.
func (c *conn) SetDeadline(t time.Time) error { return c.SetWriteDeadline(t) }

// SetWriteDeadline bounds writes further than Limits.Write does.
func (c *conn) SetWriteDeadline(t time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.writeTill = t
	return c.Conn.SetWriteDeadline(t)
}

// hello ends the greeting phase.
func (c *conn) hello() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == phaseGreeting {
		c.phase = phaseCommand
	}
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
		c.line.reset()
	}
}

// progressed forgives the answers so far, because a message was accepted.
func (c *conn) progressed() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.replies = 0
}

// finish lets the connection end when it wants to read again.
func (c *conn) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail(io.EOF)
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

// cut reports whether the stream above c has ended. A TLS peer can end it with
// an alert that looks like data from down here, so over is asked for one more
// byte while nothing new can be read. If there was one, it is lost to go-smtp:
// spent is then true and no further command may be obeyed.
func (c *conn) cut(over net.Conn) (ended, spent bool) {
	if c.broken() {
		return true, false
	}
	t, ok := over.(*tls.Conn)
	if !ok {
		return false, false
	}
	c.setProbing(true)
	defer c.setProbing(false)
	var b [1]byte
	n, err := t.Read(b[:])
	return n == 0 && !errors.Is(err, errProbe), n > 0
}

func (c *conn) setProbing(on bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.probing = on
}

func earlier(a, b time.Time) time.Time {
	if b.IsZero() || a.Before(b) {
		return a
	}
	return b
}

// lineMeter measures the line that is coming in.
type lineMeter struct {
	n     int
	head  [4]byte
	chunk bool // the bytes of a BDAT command follow; they are no lines
}

// add returns the length of the longest line that p ended or goes on.
func (m *lineMeter) add(p []byte) (longest int) {
	for _, b := range p {
		if m.chunk {
			return longest
		}
		if b == '\n' {
			m.chunk = m.n >= len(m.head) && bytes.EqualFold(m.head[:], []byte("BDAT"))
			m.n = 0
			continue
		}
		if m.n < len(m.head) {
			m.head[m.n] = b
		}
		m.n++
		longest = max(longest, m.n)
	}
	return longest
}

// reset begins to look for lines again, since a chunk is answered at its end.
func (m *lineMeter) reset() {
	if m.chunk {
		*m = lineMeter{}
	}
}

// connError is why the wrapper itself ended a connection.
type connError struct {
	text      string
	temporary bool
}

var (
	errStopping = &connError{text: "hosted: shutting down"}
	errTooMany  = &connError{text: "hosted: too many commands"}
	errEarly    = &connError{text: "hosted: peer talked before the greeting"}
	// crypto/tls keeps no temporary error, so a probe leaves no trace.
	errProbe = &connError{text: "hosted: nothing to read", temporary: true}
)

func (e *connError) Error() string { return e.text }

// Timeout makes go-smtp answer 421.
func (e *connError) Timeout() bool   { return true }
func (e *connError) Temporary() bool { return e.temporary }
