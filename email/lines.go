package email

import (
	"bytes"
	"errors"
	"io"
	"sync"
)

// lineBuffer is the longest piece of a line that is handled at once. Longer
// lines come in several pieces.
const lineBuffer = 64 << 10

// maxLineEnd is the longest line end: CRs before an LF, as gateways pile them up.
const maxLineEnd = 8

// maxEmptyReads is how often a source may return nothing and no error in a row.
const maxEmptyReads = 100

// lineBuffers are used again, since most mails are far smaller than a buffer.
var lineBuffers = sync.Pool{New: func() any { return new([lineBuffer]byte) }}

// piece is a line, or a part of one that is too long for the buffer. Its bytes
// are valid until the next read.
type piece struct {
	data   []byte // without the line end
	end    []byte // the line end: "\n", "\r\n", "\r\r\n" ..., empty inside a long line and at the end
	start  bool   // it begins a line
	offset int64  // of data in the raw mail
}

// lineReader reads lines of any length and knows where they stand. A mail
// without a single LF near its start but with CR is read with CR line ends.
type lineReader struct {
	src    io.Reader
	pooled *[lineBuffer]byte // buf lies in it, unless nil
	buf    []byte
	r, w   int  // what was read and not yet taken: buf[r:w]
	ended  bool // src has no more
	term   byte
	offset int64
	inLine bool
	again  *piece // given back by unread
	err    error  // of the source; never io.EOF
}

// newLineReader reads from r. Close gives its buffer back.
func newLineReader(r io.Reader) *lineReader {
	b, ok := lineBuffers.Get().(*[lineBuffer]byte)
	if !ok {
		b = new([lineBuffer]byte)
	}
	l := &lineReader{src: r, pooled: b, buf: b[:]}
	l.begin()
	return l
}

// linesIn reads the lines of b, which is not copied and must not change.
func linesIn(b []byte) *lineReader {
	l := &lineReader{buf: b, w: len(b), ended: true}
	l.begin()
	return l
}

func (l *lineReader) begin() {
	l.term = '\n'
	head := l.peek(lineBuffer)
	if bytes.IndexByte(head, '\n') < 0 && bytes.IndexByte(head, '\r') >= 0 {
		l.term = '\r'
	}
}

// close gives the buffer back; nothing read from it may be used any more.
func (l *lineReader) close() {
	if l.pooled != nil {
		lineBuffers.Put(l.pooled)
	}
	l.pooled, l.buf, l.r, l.w, l.ended, l.again = nil, nil, 0, 0, true, nil
}

// more reads on, unless there is no room or nothing to read. It reports whether
// anything came.
func (l *lineReader) more() bool {
	if l.ended || l.w-l.r >= len(l.buf) {
		return false
	}
	if l.r > 0 {
		l.w = copy(l.buf, l.buf[l.r:l.w])
		l.r = 0
	}
	for range maxEmptyReads {
		n, err := l.src.Read(l.buf[l.w:])
		l.w += n
		if err != nil {
			l.fail(err)
		}
		if n > 0 || err != nil {
			return n > 0
		}
	}
	l.fail(io.ErrNoProgress)
	return false
}

func (l *lineReader) fail(err error) {
	l.ended = true
	if !errors.Is(err, io.EOF) {
		l.err = err
	}
}

// next returns the next piece, or false at the end of the mail.
func (l *lineReader) next() (piece, bool) {
	if l.again != nil {
		p := *l.again
		l.again = nil
		return p, true
	}
	n, terminated := l.find()
	if n == 0 {
		return piece{}, false
	}
	b := l.buf[l.r : l.r+n]
	p := piece{data: b, start: !l.inLine, offset: l.offset}
	switch {
	case terminated:
		p.data, p.end = splitEnd(b)
	case n == lineBuffer && b[n-1] == '\r':
		// A CR that ends a full buffer may belong to the line end.
		n--
		p.data = b[:n]
	}
	l.inLine = !terminated
	l.offset += int64(n)
	l.r += n
	return p, true
}

// find returns how long the next piece is, and whether a line ends in it.
func (l *lineReader) find() (n int, terminated bool) {
	seen := 0
	for {
		have := l.buf[l.r:min(l.w, l.r+lineBuffer)]
		if i := bytes.IndexByte(have[seen:], l.term); i >= 0 {
			return seen + i + 1, true
		}
		seen = len(have)
		if seen == lineBuffer || !l.more() {
			return seen, false
		}
	}
}

// splitEnd cuts the line end off b, which ends in one.
func splitEnd(b []byte) (data, end []byte) {
	n := len(b) - 1
	for n > 0 && b[n-1] == '\r' && len(b)-n < maxLineEnd {
		n--
	}
	return b[:n], b[n:]
}

// bulk returns many bytes at once of which no line begins with two dashes, the
// last line end apart, or nothing where only next can tell. With plain, dashes
// mean nothing and all that is there is returned.
func (l *lineReader) bulk(plain bool) (data, end []byte) {
	if l.again != nil || l.inLine || l.term != '\n' && !plain {
		return nil, nil
	}
	if l.r == l.w && !l.more() {
		return nil, nil
	}
	b := l.buf[l.r:l.w]
	if plain {
		l.take(len(b))
		return b, nil
	}
	if b[0] == '-' {
		return nil, nil
	}
	// The line end belongs to the boundary that may follow, so it is told apart.
	n := bytes.Index(b, []byte("\n--")) + 1
	if n == 0 {
		n = bytes.LastIndexByte(b, '\n') + 1
	}
	if n == 0 {
		return nil, nil
	}
	l.take(n)
	last := bytes.LastIndexByte(b[:n-1], '\n') + 1
	line, end := splitEnd(b[last:n])
	return b[:last+len(line)], end
}

func (l *lineReader) take(n int) {
	l.r += n
	l.offset += int64(n)
}

// maxHeaderGuess bounds how far headerSize looks.
const maxHeaderGuess = 16 << 10

// headerSize guesses how long a header is that begins here, in bytes.
func (l *lineReader) headerSize() int {
	b := l.buf[l.r:min(l.w, l.r+maxHeaderGuess)]
	if i := bytes.Index(b, []byte("\n\r\n")); i >= 0 {
		return i
	}
	if i := bytes.Index(b, []byte("\n\n")); i >= 0 {
		return i
	}
	return 0
}

// unread gives one whole line back. Only one may be given back at a time, and
// nothing may be read or peeked between next and unread.
func (l *lineReader) unread(p piece) { l.again = &p }

// peek returns up to n bytes that follow what was read.
func (l *lineReader) peek(n int) []byte {
	n = min(n, lineBuffer)
	for l.w-l.r < n && l.more() {
	}
	return l.buf[l.r:min(l.w, l.r+n)]
}

// pos is the offset of what next returns next.
func (l *lineReader) pos() int64 {
	if l.again != nil {
		return l.again.offset
	}
	return l.offset
}
