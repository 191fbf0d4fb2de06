package email

import (
	"bytes"
	"crypto/sha256"
	"hash"
	"io"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// leaf is the body of a part, of which only what is needed is kept.
type leaf struct {
	offset, length int64  // encoded, in the raw mail
	encoding       string // as in channel.Window
	size           int64  // decoded
	sum            [sha256.Size]byte
	same           [sha256.Size]byte // over the bytes that every transport keeps

	text []byte // decoded, of text parts: up to a bound
	cut  bool   // text lacks the end
	head []byte // decoded, of enclosed messages and reports: up to a bound
}

// leafReader reads the encoded bytes of a leaf up to the boundary that ends it.
// The line end before a boundary belongs to the boundary (RFC 2046 section 5.1).
type leafReader struct {
	s      *splitter
	adopt  int // 1 + level of the multipart whose preamble this is, 0 for none
	buf    []byte
	held   [maxLineEnd + 1]byte // the line end that may belong to a boundary
	nheld  int
	done   bool
	length int64
}

func (r *leafReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(r.buf) > 0 {
			c := copy(p[n:], r.buf)
			r.buf = r.buf[c:]
			n += c
			continue
		}
		if r.done {
			break
		}
		// What is held must be out before the next line is fetched, since
		// buf lies in the line reader's buffer.
		n += r.fill(p[n:])
	}
	r.length += int64(n)
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// fill fetches the next piece; it writes the line end held back into p if the
// piece goes on with the leaf.
func (r *leafReader) fill(p []byte) int {
	if len(p) < len(r.held) {
		return r.fillSmall(p)
	}
	pc, ok := r.s.lines.next()
	if !ok {
		r.done = true
		r.s.hit = boundaryHit{level: -1}
		return r.release(p)
	}
	if pc.start && len(pc.data) > 2 && pc.data[0] == '-' && pc.data[1] == '-' {
		if hit, ok := r.boundary(&pc); ok {
			r.s.hit = hit
			r.done = true
			return 0
		}
	}
	n := r.release(p)
	r.buf = pc.data
	r.nheld = copy(r.held[:], pc.end)
	return n
}

// fillSmall is fill for a p that is too small for a line end.
func (r *leafReader) fillSmall(p []byte) int {
	var tmp [maxLineEnd + 1]byte
	n := r.fill(tmp[:])
	if n == 0 {
		return 0
	}
	r.buf = append(bytes.Clone(tmp[:n]), r.buf...)
	c := copy(p, r.buf)
	r.buf = r.buf[c:]
	return c
}

func (r *leafReader) release(p []byte) int {
	n := copy(p, r.held[:r.nheld])
	r.nheld = 0
	return n
}

// boundary reports whether a line ends the leaf.
func (r *leafReader) boundary(pc *piece) (boundaryHit, bool) {
	if hit, ok := r.s.match(pc.data); ok {
		return hit, true
	}
	if r.adopt > 0 {
		pc.data, pc.end = bytes.Clone(pc.data), bytes.Clone(pc.end)
		if r.s.adopt(pc.data, r.adopt-1) {
			return boundaryHit{level: r.adopt - 1}, true
		}
	}
	return boundaryHit{}, false
}

// leaf reads the body of p, which has no parts.
func (s *splitter) leaf(p *part) { s.readLeaf(p, &leafReader{s: s}) }

// readLeaf reads the body of p from r.
func (s *splitter) readLeaf(p *part, r *leafReader) {
	l := &leaf{offset: s.lines.pos()}
	p.leaf = l
	enc, ok := transferEncoding(p.header.get("Content-Transfer-Encoding"))
	if !ok {
		s.defect("unknown transfer encoding " + quoteShort(p.header.get("Content-Transfer-Encoding")) + ": left as it is")
	}
	l.encoding = enc
	keep, head := 0, 0
	switch {
	case strings.HasPrefix(p.typ, "text/") && p.typ != "text/rfc822-headers" && p.disp != "attachment":
		keep = min(MaxText, s.text)
	case strings.HasPrefix(p.typ, "message/") || p.typ == "text/rfc822-headers":
		head = maxEnclosed
	}
	decoded := channel.Decode(r, enc)
	d := newDigest(l, strings.HasPrefix(p.typ, "text/") || enc != "base64", max(keep, head))
	if _, err := io.Copy(d, decoded); err != nil && s.lines.err == nil {
		s.defect("broken " + enc + ": read up to the error")
	}
	if _, err := io.Copy(io.Discard, r); err != nil {
		s.defect("part could not be read to its end")
	}
	d.finish()
	if head > 0 {
		l.head = d.kept
	} else {
		l.text, l.cut = d.kept, l.size > int64(len(d.kept))
		s.text -= len(l.text)
	}
	l.length = r.length
}

// digest measures and hashes decoded bytes and keeps the first of them.
type digest struct {
	l     *leaf
	sum   hash.Hash
	same  *lineHash // nil where it equals sum
	limit int
	kept  []byte
}

func newDigest(l *leaf, lines bool, limit int) *digest {
	d := &digest{l: l, sum: sha256.New(), limit: limit}
	if lines {
		d.same = &lineHash{h: sha256.New()}
	}
	return d
}

func (d *digest) Write(p []byte) (int, error) {
	d.l.size += int64(len(p))
	d.sum.Write(p)
	if d.same != nil {
		d.same.Write(p)
	}
	if n := min(len(p), d.limit-len(d.kept)); n > 0 {
		d.kept = append(d.kept, p[:n]...)
	}
	return len(p), nil
}

func (d *digest) finish() {
	d.sum.Sum(d.l.sum[:0])
	if d.same != nil {
		d.same.h.Sum(d.l.same[:0])
	} else {
		d.l.same = d.l.sum
	}
}

// lineHash hashes text so that copies come out the same that differ in line
// ends, or in the number of line ends at the end.
type lineHash struct {
	h   hash.Hash
	crs int // CRs not yet written
	lfs int // LFs not yet written
}

func (l *lineHash) Write(p []byte) {
	for len(p) > 0 {
		line, rest, ended := bytes.Cut(p, []byte{'\n'})
		p = rest
		text := bytes.TrimRight(line, "\r")
		if len(text) > 0 {
			l.flush()
			l.h.Write(text)
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
		l.h.Write([]byte{'\n'})
	}
	for ; l.crs > 0; l.crs-- {
		l.h.Write([]byte{'\r'})
	}
}
