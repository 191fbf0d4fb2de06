package hosted

import (
	"bytes"
	"errors"
	"io"
)

// errLongLine ends the reading of a message with a line over Limits.DataLine.
var errLongLine = errors.New("hosted: line of the message is too long")

// message is what a peer sends after 354, without the dots that were added for
// the transfer and without the end. It is read here and not by go-smtp, which
// loses the end after CR CR LF, drops a CR after a stuffed dot and goes byte by
// byte.
type message struct{ *conn }

// Read reads up to the end of the message, which is io.EOF. It needs room for
// two bytes.
func (m message) Read(p []byte) (int, error) {
	c := m.conn
	d := &c.feed.dots
	for {
		if d.at == dotsEnd {
			return 0, io.EOF
		}
		if err := c.ready(); err != nil {
			return 0, noEnd(err)
		}
		if len(p) < 2 {
			return 0, io.ErrShortBuffer
		}
		raw := p
		if d.at == dotsDotCR {
			raw = p[1:] // room for the CR that is held back
		}
		n, err := c.block(raw)
		if err != nil {
			return 0, noEnd(err)
		}
		out, used := d.decode(p, len(p)-len(raw), n)
		if rest := raw[used:n]; len(rest) > 0 {
			c.ahead = append(append(make([]byte, 0, len(rest)+len(c.ahead)), rest...), c.ahead...)
		}
		if d.tooLong(p[:out], c.limits.DataLine) {
			return out, errLongLine
		}
		if out > 0 {
			return out, nil
		}
	}
}

// block reads what is there. What of it is not used may be put before
// c.ahead, since the buffer above it is empty or keeps the rest itself.
func (c *conn) block(p []byte) (int, error) {
	if n := c.in.Buffered(); n > 0 {
		// It moves below the buffer, where the rest can be put back.
		buffered, _ := c.in.Peek(n)
		c.ahead = append(append(make([]byte, 0, n+len(c.ahead)), buffered...), c.ahead...)
		if _, err := c.in.Discard(n); err != nil {
			return 0, err
		}
	}
	return source{c}.Read(p)
}

// noEnd makes the end of the stream within a message an error like any other.
func noEnd(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}

// skip reads the rest of a message that nobody wants, within Limits.Discard.
func (c *conn) skip() error {
	if c.feed.dots.at == dotsEnd {
		return nil
	}
	buf := getCopyBuffer()
	defer copyBuffers.Put(buf)
	for left := max(c.limits.Discard, 0); left >= 0; {
		n, err := message{c}.Read(buf[:])
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, errLongLine) {
			return err
		}
		left -= int64(n)
	}
	return c.refuse(errTooMuch)
}

// dots undoes the transparency of RFC 5321 section 4.5.2 and finds the end of
// the message, which is CR LF dot CR LF and nothing else (section 4.1.1.4).
type dots struct {
	at   dotsAt
	line int // length of the line so far
}

// dotsAt is what came last.
type dotsAt int

const (
	dotsBegin dotsAt = iota // CR LF, or nothing yet
	dotsDot                 // a dot after that, which is dropped
	dotsDotCR               // a CR after that, which is held back
	dotsCR
	dotsText
	dotsEnd
)

// decode decodes n bytes that begin at p[from] in place. It returns how much of
// p is the message now, and how many of the n bytes were used: all, unless the
// message ended. A held CR needs a from of 1.
func (d *dots) decode(p []byte, from, n int) (out, used int) {
	in, end := from, from+n
	for in < end && d.at != dotsEnd {
		b := p[in]
		switch d.at {
		case dotsText:
			// Between here and the next line with a dot all stays as it is.
			run := bytes.Index(p[in:end], []byte("\r\n."))
			if run >= 0 {
				run += len("\r\n")
			} else {
				run = end - in
			}
			if out != in {
				copy(p[out:], p[in:in+run])
			}
			out, in = out+run, in+run
			d.at = endsLike(p[out-run : out])
			continue
		case dotsBegin:
			if b == '.' {
				d.at = dotsDot
				in++
				continue
			}
		case dotsDot:
			if b == '\r' {
				d.at = dotsDotCR
				in++
				continue
			}
		case dotsDotCR:
			if b == '\n' {
				d.at = dotsEnd
				in++
				continue
			}
			p[out] = '\r'
			out++
			d.at = dotsCR
		case dotsCR, dotsEnd:
		}
		switch {
		case b == '\r':
			d.at = dotsCR
		case b == '\n' && d.at == dotsCR:
			d.at = dotsBegin
		default:
			d.at = dotsText
		}
		p[out] = b
		out, in = out+1, in+1
	}
	return out, in - from
}

// endsLike returns what came last in text.
func endsLike(text []byte) dotsAt {
	switch {
	case bytes.HasSuffix(text, []byte("\r\n")):
		return dotsBegin
	case bytes.HasSuffix(text, []byte("\r")):
		return dotsCR
	}
	return dotsText
}

// tooLong measures the lines of p, the next bytes of the message, and reports
// whether one is longer than limit with its end.
func (d *dots) tooLong(p []byte, limit int) bool {
	for d.line+len(p) > limit {
		i := bytes.IndexByte(p, '\n')
		if i < 0 || d.line+i+1 > limit {
			d.line = 0
			return true
		}
		d.line, p = 0, p[i+1:]
	}
	if i := bytes.LastIndexByte(p, '\n'); i >= 0 {
		d.line, p = 0, p[i+1:]
	}
	d.line += len(p)
	return false
}
