package channel

import (
	"bufio"
	"encoding/hex"
	"io"
	"strings"
)

// Decode undoes a content transfer encoding (RFC 2045 section 6), leniently: it
// fails only where r does. An unknown encoding is passed through.
func Decode(r io.Reader, encoding string) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return &lenientBase64{r: bufio.NewReader(r)}
	case "quoted-printable":
		return &lenientQuoted{r: bufio.NewReader(r)}
	}
	return r
}

// lenientBase64 decodes base64, skipping bytes outside the alphabet and ending
// at the padding, since list software appends footers after it.
type lenientBase64 struct {
	r   *bufio.Reader
	acc uint32
	n   int // bits in acc
	end bool
}

func (d *lenientBase64) Read(p []byte) (int, error) {
	out := 0
	for out < len(p) && !d.end {
		c, err := d.r.ReadByte()
		if err != nil {
			if err != io.EOF {
				return out, err
			}
			d.end = true
			break
		}
		if c == '=' {
			d.end = true
			break
		}
		v := base64Value[c]
		if v == 0xff {
			continue
		}
		d.acc = d.acc<<6 | uint32(v)
		d.n += 6
		if d.n >= 8 {
			d.n -= 8
			p[out] = byte(d.acc >> d.n)
			out++
		}
	}
	if out == 0 && d.end && len(p) > 0 {
		return 0, io.EOF
	}
	return out, nil
}

var base64Value = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	for i := range len(alphabet) {
		t[alphabet[i]] = byte(i)
	}
	return t
}()

// lenientQuoted decodes quoted-printable (RFC 2045 section 6.7) and never fails:
// what is no escape is text.
type lenientQuoted struct {
	r      *bufio.Reader
	blanks []byte // blanks that may turn out to end a line
	out    []byte
	err    error
}

func (q *lenientQuoted) Read(p []byte) (int, error) {
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
func (q *lenientQuoted) step() {
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
func (q *lenientQuoted) emit(b ...byte) {
	q.out = append(append(q.out[:0], q.blanks...), b...)
	q.blanks = q.blanks[:0]
}

// escape decodes what follows an equals sign.
func (q *lenientQuoted) escape() {
	next, _ := q.r.Peek(2)
	if len(next) == 2 {
		if v, ok := unhex(next); ok {
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

func (q *lenientQuoted) discard(n int) {
	if _, err := q.r.Discard(n); err != nil {
		q.err = err
	}
}

// unhex returns the byte that two hexadecimal digits stand for, in upper or
// lower case.
func unhex(digits []byte) (byte, bool) {
	var b [1]byte
	_, err := hex.Decode(b[:], digits)
	return b[0], err == nil
}
