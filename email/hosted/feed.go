package hosted

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"strconv"
	"strings"
	"time"

	"github.com/emersion/go-smtp"
)

// unit is what go-smtp is being fed.
type unit int

const (
	unitLine unit = iota // one command line
	unitChunk
	unitData // the message after 354, of which it sees the end alone
)

// feed is how far it has been fed.
type feed struct {
	unit unit
	line []byte // what is left of a command line
	left int64  // what is left of a chunk
	cut  bool   // the chunk goes on after left
	dots dots   // where a message is
}

// Read returns bytes of one command line or one chunk, never beyond, so that
// go-smtp holds no command that it has not obeyed yet. Of a message it returns
// only an end, after the end was read here: go-smtp cannot see another one.
func (c *conn) Read(p []byte) (int, error) {
	if err := c.ready(); err != nil || len(p) == 0 {
		return 0, err
	}
	f := &c.feed
	switch f.unit {
	case unitChunk:
		if f.left == 0 && f.cut {
			return 0, c.refuse(errTooMuch)
		}
		n, err := c.in.Read(p[:min(int64(len(p)), f.left)])
		if f.left -= int64(n); f.left == 0 && !f.cut {
			f.unit = unitLine
		}
		if err != nil && !errors.Is(err, io.EOF) {
			err = replyBroken() // any other error go-smtp would answer with 554 and its text
		}
		return n, err
	case unitData:
		if err := c.skip(); err != nil {
			return 0, err
		}
		f.unit, f.line, f.left = unitLine, []byte(".\r\n"), 0
	}
	if len(f.line) == 0 {
		if err := c.nextLine(); err != nil {
			return 0, err
		}
	}
	n := copy(p, f.line)
	if f.line = f.line[n:]; len(f.line) == 0 && f.left > 0 {
		f.unit = unitChunk
	}
	return n, nil
}

// nextLine reads a command line and looks at those that concern the connection.
func (c *conn) nextLine() error {
	for {
		line, err := c.readLine()
		if err != nil {
			return err
		}
		c.feed.line = line
		// As go-smtp tells commands apart.
		upper := strings.ToUpper(string(line[:min(len(line), 16)]))
		switch {
		case strings.HasPrefix(upper, "STARTTLS") && c.tlsConfig != nil:
			if err := c.startTLS(); err != nil {
				return err
			}
			continue
		case strings.HasPrefix(upper, "EHLO "), strings.HasPrefix(upper, "HELO "), strings.HasPrefix(upper, "LHLO "):
			c.hello()
		case strings.HasPrefix(upper, "MAIL "):
			c.overSize = declaresTooMuch(string(line))
		case strings.HasPrefix(upper, "BDAT"):
			size, last, ok := parseChunk(string(line))
			switch {
			case !ok:
				// A chunk may follow, and nobody knows how much of it.
				c.finish()
			case size == 0 && !last:
				// go-smtp begins to take the message in beside the next
				// commands, and mixes up their results.
				return c.refuse(errEmptyChunk)
			}
			c.feed.left = size
			if over := max(c.limits.Discard, 0); size-over > c.limits.MessageBytes {
				c.feed.left, c.feed.cut = c.limits.MessageBytes+over, true // go-smtp refuses it
			}
		}
		return nil
	}
}

// readLine returns the next line, good until the read after it.
func (c *conn) readLine() ([]byte, error) {
	c.expectLine(time.Now().Add(c.limits.Idle))
	defer c.expectLine(time.Time{})
	for seen := 0; ; {
		if _, err := c.in.Peek(seen + 1); err != nil {
			return nil, err
		}
		got, _ := c.in.Peek(c.in.Buffered())
		if i := bytes.IndexByte(got[seen:], '\n'); i >= 0 && seen+i < c.limits.CommandLine {
			_, err := c.in.Discard(seen + i + 1)
			return got[:seen+i+1], err
		}
		if seen = len(got); seen >= c.limits.CommandLine {
			return nil, c.refuse(smtp.ErrTooLongLine)
		}
	}
}

func (c *conn) refuse(err error) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.fail(err)
	c.linger = true
	return c.err
}

// expectLine says until when a command line must have come.
func (c *conn) expectLine(until time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lineUntil = until
}

// parseChunk reads a BDAT command the way go-smtp does. It reports false for one
// that go-smtp does not understand.
func parseChunk(line string) (size int64, last, ok bool) {
	rest := strings.TrimRight(line, "\r\n")[len("BDAT"):]
	args := strings.Fields(rest)
	if len(args) == 0 || rest[0] != ' ' || len(args) > 2 || len(args) == 2 && !strings.EqualFold(args[1], "LAST") {
		return 0, false, false
	}
	n, err := strconv.ParseUint(args[0], 10, 32)
	if err != nil {
		return 0, false, false
	}
	return int64(n), len(args) == 2, true
}

// startTLS answers STARTTLS (RFC 3207) in go-smtp's place, since this must stand
// above TLS. What was sent in clear text after the command is dropped, and EHLO
// must be said again.
func (c *conn) startTLS() error {
	c.mu.Lock()
	refused := c.sealed || c.busy
	c.replies++
	c.mu.Unlock()
	if refused {
		_, err := c.put([]byte("503 5.5.1 STARTTLS is not possible now\r\n"))
		if err == nil {
			err = c.ready()
		}
		return err
	}
	c.in.Reset(source{c})
	c.ahead = nil
	if _, err := c.put([]byte("220 2.0.0 Ready to start TLS\r\n")); err != nil {
		return c.refuse(err)
	}
	c.mu.Lock()
	c.Conn.SetDeadline(earlier(time.Now().Add(c.limits.Hello), c.lifetime))
	if c.stopping {
		c.Conn.SetReadDeadline(time.Unix(1, 0))
	}
	c.mu.Unlock()
	t := tls.Server(c.Conn, c.tlsConfig)
	if err := t.HandshakeContext(context.Background()); err != nil {
		return c.refuse(io.EOF) // clear text can no longer be spoken
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.top, c.sealed, c.helloed = t, true, false
	c.phase, c.until = phaseGreeting, time.Now().Add(c.limits.Hello)
	return c.err
}

// declaresTooMuch reports whether a MAIL command has a SIZE that go-smtp cannot
// read because it is too large, and not because it is no number.
func declaresTooMuch(line string) bool {
	for arg := range strings.FieldsSeq(line) {
		name, value, _ := strings.Cut(arg, "=")
		if !strings.EqualFold(name, "SIZE") {
			continue
		}
		_, err := strconv.ParseUint(value, 10, 32)
		return errors.Is(err, strconv.ErrRange)
	}
	return false
}
