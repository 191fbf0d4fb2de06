package channel

import (
	"bufio"
	"io"
	"strings"
)

// Decode undoes a content transfer encoding (RFC 2045 section 6), leniently: it
// fails only where r does. An unknown encoding is passed through.
func Decode(r io.Reader, encoding string) io.Reader {
	switch strings.ToLower(strings.TrimSpace(encoding)) {
	case "base64":
		return &lenientBase64{r: r}
	case "quoted-printable":
		return &lenientQuoted{r: bufio.NewReader(r)}
	}
	return r
}

// lenientBase64 decodes base64, skipping bytes outside the alphabet and ending
// at the padding, since list software appends footers after it.
type lenientBase64 struct {
	r   io.Reader
	acc uint32
	n   int // bits in acc
	err error
}

// Read decodes in p itself: what is decoded is never longer than its code.
func (d *lenientBase64) Read(p []byte) (int, error) {
	for d.err == nil && len(p) > 0 {
		n, err := d.r.Read(p)
		d.err = err
		if out := d.decode(p[:n]); out > 0 {
			return out, nil
		}
	}
	if len(p) == 0 {
		return 0, nil
	}
	return 0, d.err
}

// decode decodes b in its place and returns how long the outcome is.
func (d *lenientBase64) decode(b []byte) int {
	out := 0
	for i := 0; i < len(b); i++ {
		if d.n == 0 {
			// Whole groups, as most of a mail has them.
			for i+4 <= len(b) {
				v := base64Value[b[i]] | base64Value[b[i+1]] | base64Value[b[i+2]] | base64Value[b[i+3]]
				if v == 0xff {
					break
				}
				w := uint32(base64Value[b[i]])<<18 | uint32(base64Value[b[i+1]])<<12 | uint32(base64Value[b[i+2]])<<6 | uint32(base64Value[b[i+3]])
				b[out], b[out+1], b[out+2] = byte(w>>16), byte(w>>8), byte(w)
				i, out = i+4, out+3
			}
			if i == len(b) {
				break
			}
		}
		c := b[i]
		if c == '=' {
			d.err = io.EOF
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
			b[out] = byte(d.acc >> d.n)
			out++
		}
	}
	return out
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

// hexValue holds the values of the hexadecimal digits of either case.
var hexValue = func() (t [256]byte) {
	for i := range t {
		t[i] = 0xff
	}
	for i := range 16 {
		t["0123456789abcdef"[i]], t["0123456789ABCDEF"[i]] = byte(i), byte(i)
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
		if len(q.blanks) == 0 {
			c, err := q.plain(p[n:])
			n += c
			if c > 0 && err == nil {
				continue
			}
		}
		q.step()
	}
	if n == 0 && len(p) > 0 {
		return 0, q.err
	}
	return n, nil
}

// plain decodes what can be told from the buffered bytes alone, which is nearly
// all: no blanks before a line end, no soft line break, nothing broken.
func (q *lenientQuoted) plain(p []byte) (int, error) {
	b, err := q.r.Peek(q.r.Buffered())
	if err != nil {
		return 0, err
	}
	n, i := 0, 0
	for i < len(b) && n < len(p) {
		switch c := b[i]; c {
		case '=':
			if i+2 >= len(b) {
				return n, q.skip(i)
			}
			hi, lo := hexValue[b[i+1]], hexValue[b[i+2]]
			if hi|lo == 0xff {
				return n, q.skip(i)
			}
			p[n] = hi<<4 | lo
			i += 3
		case ' ', '\t':
			if i+1 >= len(b) || b[i+1] == '=' || b[i+1] <= ' ' {
				return n, q.skip(i)
			}
			p[n] = c
			i++
		default:
			p[n] = c
			i++
		}
		n++
	}
	return n, q.skip(i)
}

func (q *lenientQuoted) skip(n int) error {
	_, err := q.r.Discard(n)
	return err
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
	hi, lo := hexValue[digits[0]], hexValue[digits[1]]
	return hi<<4 | lo, hi|lo != 0xff
}
