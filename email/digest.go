package email

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"sync"
)

// decodeBuffer is how many decoded bytes are handled at once.
const decodeBuffer = 16 << 10

// digests are used again by all mails, since their buffers are larger than most
// mails are.
var digests = sync.Pool{New: func() any { return new(digest) }}

// digest measures and hashes the decoded bytes of one leaf after the other, and
// keeps the first of each.
type digest struct {
	l     *leaf
	lines bool // the line ends may differ between copies of the mail
	limit int
	sum   hash.Hash
	same  lineHash
	over  bool // there was more than is kept
	buf   [decodeBuffer]byte
}

func newDigest() *digest {
	d, ok := digests.Get().(*digest)
	if !ok {
		d = new(digest)
	}
	return d
}

// close gives the digest back; the leaves it was used for stay.
func (d *digest) close() {
	d.l = nil
	digests.Put(d)
}

// begin makes d ready for the bytes of l.
func (d *digest) begin(l *leaf, lines bool, limit int) {
	d.l, d.lines, d.limit, d.over = l, lines, limit, false
	d.same.begin()
}

// readFrom adds all that r gives. It returns any error but io.EOF.
func (d *digest) readFrom(r io.Reader) error {
	for {
		n, err := r.Read(d.buf[:])
		d.add(d.buf[:n])
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
	}
}

// add takes the next bytes.
func (d *digest) add(p []byte) {
	if len(p) == 0 {
		return
	}
	d.l.size += int64(len(p))
	if d.lines {
		d.same.add(p)
	}
	if d.over {
		d.sum.Write(p)
		return
	}
	n := min(len(p), d.limit-len(d.l.whole))
	if n < len(p) {
		d.overflow()
		d.sum.Write(p)
	}
	if n > 0 {
		d.l.whole = append(d.l.whole, p[:n]...)
	}
}

// overflow begins to hash what cannot be kept.
func (d *digest) overflow() {
	d.over = true
	if d.sum == nil {
		d.sum = sha256.New()
	}
	d.sum.Reset()
	d.sum.Write(d.l.whole)
}

func (d *digest) finish() {
	if d.over {
		d.sum.Sum(d.l.sumOver[:0])
	}
	if d.lines {
		d.same.finish(&d.l.same)
	} else {
		d.l.same = d.l.sum()
	}
}

// lineHash hashes text so that copies come out the same that differ in line
// ends, or in the number of line ends at the end.
type lineHash struct {
	h    hash.Hash // nil until some text is longer than buf
	long bool      // this text is, and h holds its beginning
	buf  []byte    // text that is not hashed yet
	crs  int       // CRs not yet written
	lfs  int       // LFs not yet written
}

// lineHashBuffer is how much text is hashed at once, in bytes.
const lineHashBuffer = 4 << 10

func (l *lineHash) begin() {
	l.long, l.buf, l.crs, l.lfs = false, l.buf[:0], 0, 0
}

func (l *lineHash) add(p []byte) {
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		p = rest
		text := line
		for len(text) > 0 && text[len(text)-1] == '\r' {
			text = text[:len(text)-1]
		}
		if len(text) > 0 {
			l.flush()
			l.write(text)
		}
		l.crs += len(line) - len(text)
		if ended {
			l.crs = 0
			l.lfs++
		}
	}
}

// flush writes what was held back, now that it is inside the text.
func (l *lineHash) flush() {
	for ; l.lfs > 0; l.lfs-- {
		l.write([]byte{'\n'})
	}
	for ; l.crs > 0; l.crs-- {
		l.write([]byte{'\r'})
	}
}

func (l *lineHash) write(p []byte) {
	if l.buf == nil {
		l.buf = make([]byte, 0, lineHashBuffer)
	}
	if len(l.buf)+len(p) > lineHashBuffer {
		l.spill()
		l.buf = l.buf[:0]
		if len(p) > lineHashBuffer {
			l.h.Write(p)
			return
		}
	}
	l.buf = append(l.buf, p...)
}

// spill hashes what is in the buffer.
func (l *lineHash) spill() {
	if l.h == nil {
		l.h = sha256.New()
	}
	if !l.long {
		l.long = true
		l.h.Reset()
	}
	l.h.Write(l.buf)
}

func (l *lineHash) finish(sum *[sha256.Size]byte) {
	if !l.long {
		*sum = sha256.Sum256(l.buf)
		return
	}
	l.h.Write(l.buf)
	l.h.Sum(sum[:0])
}
