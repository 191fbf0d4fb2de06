package email

import (
	"bufio"
	"bytes"
	"errors"
	"io"
)

// lineBuffer is the longest piece of a line that is handled at once. Longer
// lines come in several pieces.
const lineBuffer = 64 << 10

// maxLineEnd is the longest line end: CRs before an LF, as gateways pile them up.
const maxLineEnd = 8

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
	r      *bufio.Reader
	term   byte
	offset int64
	inLine bool
	again  *piece // given back by unread
	err    error  // of the source; never io.EOF
}

func newLineReader(r io.Reader) *lineReader {
	l := &lineReader{r: bufio.NewReaderSize(r, lineBuffer), term: '\n'}
	head, _ := l.r.Peek(lineBuffer)
	if bytes.IndexByte(head, '\n') < 0 && bytes.IndexByte(head, '\r') >= 0 {
		l.term = '\r'
	}
	return l
}

// next returns the next piece, or false at the end of the mail.
func (l *lineReader) next() (piece, bool) {
	if l.again != nil {
		p := *l.again
		l.again = nil
		return p, true
	}
	b, err := l.r.ReadSlice(l.term)
	if err != nil && err != io.EOF && !errors.Is(err, bufio.ErrBufferFull) {
		l.err = err
	}
	if len(b) == 0 {
		return piece{}, false
	}
	p := piece{data: b, start: !l.inLine, offset: l.offset}
	l.offset += int64(len(b))
	l.inLine = err != nil
	if err == nil {
		n := len(b) - 1
		for n > 0 && b[n-1] == '\r' && len(b)-n < maxLineEnd {
			n--
		}
		p.data, p.end = b[:n], b[n:]
	} else if err != io.EOF {
		// A CR that ends a full buffer may belong to the line end.
		if n := len(b); b[n-1] == '\r' && n > 1 {
			if l.r.UnreadByte() == nil {
				p.data = b[:n-1]
				l.offset--
			}
		}
	}
	return p, true
}

// unread gives one whole line back. Only one may be given back at a time, and
// nothing may be read or peeked between next and unread.
func (l *lineReader) unread(p piece) { l.again = &p }

// peek returns up to n bytes that follow what was read.
func (l *lineReader) peek(n int) []byte {
	b, _ := l.r.Peek(min(n, lineBuffer))
	return b
}

// pos is the offset of what next returns next.
func (l *lineReader) pos() int64 {
	if l.again != nil {
		return l.again.offset
	}
	return l.offset
}
