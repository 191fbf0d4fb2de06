package account

import (
	"bufio"
	"bytes"
	"io"
)

// dotWriter puts a mail on the wire as RFC 5321 section 4.5.2 wants: every line
// ends in CRLF, whatever it ended in before, and a dot at the start of a line is
// doubled. A bare CR or LF that reached a server which takes it for a line end
// would let content pass for commands.
type dotWriter struct {
	w       *bufio.Writer
	start   bool // at the start of a line
	cr      bool // the last byte was a CR, not yet written
	plain   bool // dots are left alone: only the line ends matter
	written int64
	err     error // of the connection
}

const blockSize = 32 << 10

func newDotWriter(w io.Writer) *dotWriter {
	return &dotWriter{w: bufio.NewWriterSize(w, blockSize), start: true}
}

func (d *dotWriter) Write(p []byte) (int, error) {
	n := len(p)
	for len(p) > 0 && d.err == nil {
		d.byte(p[0])
		p = p[1:]
		if d.start || d.cr {
			continue
		}
		// The rest of a line needs no attention.
		rest := bytes.IndexAny(p, "\r\n")
		if rest < 0 {
			rest = len(p)
		}
		if _, err := d.w.Write(p[:rest]); err != nil && d.err == nil {
			d.err = err
		}
		d.written += int64(rest)
		p = p[rest:]
	}
	return n - len(p), d.err
}

func (d *dotWriter) byte(c byte) {
	if d.cr {
		d.cr = false
		d.newline()
		if c == '\n' {
			return
		}
	}
	switch c {
	case '\r':
		d.cr = true
		return
	case '\n':
		d.newline()
		return
	case '.':
		if d.start && !d.plain {
			d.put('.')
		}
	}
	d.put(c)
	d.written++
	d.start = false
}

func (d *dotWriter) newline() {
	d.put('\r')
	d.put('\n')
	d.written += 2
	d.start = true
}

func (d *dotWriter) put(c byte) {
	if err := d.w.WriteByte(c); err != nil && d.err == nil {
		d.err = err
	}
}

// finish ends the last line and sends what is buffered, but not the final dot.
func (d *dotWriter) finish() error {
	if d.cr || !d.start {
		d.cr = false
		d.newline()
	}
	if d.err == nil {
		d.err = d.w.Flush()
	}
	return d.err
}

// survey learns of a mail what must be known before it is sent.
type survey struct {
	dotWriter
	inBody     bool
	last       byte
	headerUTF8 bool
	bodyUTF8   bool
}

func newSurvey() *survey {
	return &survey{dotWriter: dotWriter{w: bufio.NewWriter(io.Discard), start: true}}
}

func (v *survey) Write(p []byte) (int, error) {
	for _, c := range p {
		if c >= 0x80 {
			v.headerUTF8 = v.headerUTF8 || !v.inBody
			v.bodyUTF8 = v.bodyUTF8 || v.inBody
		}
		if c != '\r' {
			v.inBody = v.inBody || c == '\n' && v.last == '\n'
			v.last = c
		}
	}
	return v.dotWriter.Write(p)
}
