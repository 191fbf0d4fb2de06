package email

import (
	"bufio"
	"io"
	"strings"
)

// transferEncoding returns the encoding that a Content-Transfer-Encoding names,
// as [channel.Window] knows it, and whether it was understood. Common
// misspellings are.
func transferEncoding(value string) (string, bool) {
	v := strings.ToLower(strings.TrimSpace(value))
	if i := strings.IndexAny(v, " \t;("); i > 0 {
		v = v[:i]
	}
	v = strings.Trim(v, `"'`)
	switch v {
	case "base64", "base-64", "b", "base64encoded":
		return "base64", true
	case "quoted-printable", "quotedprintable", "quoted_printable", "quoted", "q", "qp":
		return "quoted-printable", true
	case "", "7bit", "8bit", "binary", "7-bit", "8-bit", "7bits", "8bits", "none", "identity", "us-ascii", "utf-8", "utf8":
		return "", true
	}
	return "", false
}

// quotedReader decodes quoted-printable (RFC 2045 section 6.7) and never fails:
// what is no escape is text.
type quotedReader struct {
	r      *bufio.Reader
	blanks []byte // blanks that may turn out to end a line
	out    []byte
	err    error
}

func newQuotedReader(r io.Reader) *quotedReader { return &quotedReader{r: bufio.NewReader(r)} }

func (q *quotedReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(q.out) > 0 {
			c := copy(p[n:], q.out)
			q.out = q.out[c:]
			n += c
			continue
		}
		if q.err != nil {
			break
		}
		q.step()
	}
	if n == 0 && len(p) > 0 {
		return 0, q.err
	}
	return n, nil
}

// maxBlanks bounds the blanks that are held back; more of them are text.
const maxBlanks = 4096

// step decodes the next byte or escape into q.out.
func (q *quotedReader) step() {
	c, err := q.r.ReadByte()
	if err != nil {
		q.err = err
		return
	}
	switch {
	case c == ' ' || c == '\t':
		q.blanks = append(q.blanks, c)
		if len(q.blanks) > maxBlanks {
			q.emit()
		}
	case c == '\n' || c == '\r':
		q.blanks = q.blanks[:0]
		q.emit(c)
	case c == '=':
		q.escape()
	default:
		q.emit(c)
	}
}

// emit puts out the blanks held back and then b.
func (q *quotedReader) emit(b ...byte) {
	q.out = append(append(q.out[:0], q.blanks...), b...)
	q.blanks = q.blanks[:0]
}

// escape decodes what follows an equals sign.
func (q *quotedReader) escape() {
	next, _ := q.r.Peek(2)
	if len(next) == 2 {
		if v, ok := unhex(next[0], next[1]); ok {
			q.discard(2)
			q.emit(v)
			return
		}
	}
	if len(next) == 0 {
		return // the text ends in a soft break
	}
	// A soft line break, perhaps with blanks before the line end.
	for n := 1; n <= 64; n++ {
		ahead, _ := q.r.Peek(n)
		if len(ahead) < n {
			break
		}
		switch c := ahead[n-1]; c {
		case '\n':
			q.discard(n)
			q.emit()
			return
		case ' ', '\t', '\r':
		default:
			n = 64
		}
	}
	q.emit('=')
}

func (q *quotedReader) discard(n int) {
	if _, err := q.r.Discard(n); err != nil {
		q.err = err
	}
}
