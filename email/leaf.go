package email

import (
	"bytes"
	"crypto/sha256"
	"io"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// leaf is the body of a part, of which only what is needed is kept.
type leaf struct {
	offset, length int64             // encoded, in the raw mail
	encoding       string            // as in channel.Window
	size           int64             // decoded
	same           [sha256.Size]byte // over the bytes that every transport keeps

	text []byte // decoded, of text parts: up to a bound
	cut  bool   // text lacks the end
	head []byte // decoded, of enclosed messages and reports: up to a bound

	whole   []byte            // all decoded bytes, if they were kept
	sumOver [sha256.Size]byte // over the decoded bytes, if they were not
}

// sum is the SHA-256 of the decoded bytes. Few texts are files, so it is not
// computed for those that are held anyway.
func (l *leaf) sum() [sha256.Size]byte {
	if l.size == int64(len(l.whole)) {
		return sha256.Sum256(l.whole)
	}
	return l.sumOver
}

// leafReader reads the encoded bytes of a leaf up to the boundary that ends it.
// The line end before a boundary belongs to the boundary (RFC 2046 section 5.1).
type leafReader struct {
	s      *splitter
	adopt  int // 1 + level of the multipart whose preamble this is, 0 for none
	first  []byte
	buf    []byte
	held   [maxLineEnd + 1]byte // the line end that may belong to a boundary
	nheld  int
	out    [maxLineEnd + 1]byte // a line end on its way out
	done   bool
	length int64
}

// Read gives the bytes to a decoder.
func (r *leafReader) Read(p []byte) (int, error) {
	n := 0
	for n < len(p) {
		if len(r.first) == 0 {
			r.first, r.buf = r.buf, nil
		}
		if len(r.first) == 0 {
			if r.done {
				break
			}
			// The pieces lie in the line reader's buffer, so they must be out
			// before the next ones are fetched.
			r.first, r.buf = r.fetch()
			continue
		}
		c := copy(p[n:], r.first)
		r.first = r.first[c:]
		n += c
	}
	if n == 0 && len(p) > 0 {
		return 0, io.EOF
	}
	return n, nil
}

// copyTo writes the bytes to d without a copy between.
func (r *leafReader) copyTo(d *digest) {
	for !r.done {
		end, data := r.fetch()
		d.add(end)
		d.add(data)
	}
}

// fetch returns the line end that was held back, if the leaf goes on, and the
// bytes that follow. Both are valid until the next call.
func (r *leafReader) fetch() (lineEnd, data []byte) {
	data, end := r.next()
	if r.done && data == nil && r.s.hit.level >= 0 {
		return nil, nil
	}
	lineEnd = r.out[:copy(r.out[:], r.held[:r.nheld])]
	r.nheld = copy(r.held[:], end)
	r.length += int64(len(lineEnd) + len(data))
	return lineEnd, data
}

// next returns the next bytes and the line end behind them.
func (r *leafReader) next() (data, end []byte) {
	plain := r.adopt == 0 && !r.s.bounded()
	if data, end = r.s.lines.bulk(plain); len(data)+len(end) > 0 {
		return data, end
	}
	pc, ok := r.s.lines.next()
	if !ok {
		r.done = true
		r.s.hit = boundaryHit{level: -1}
		return nil, nil
	}
	if pc.start && len(pc.data) > 2 && pc.data[0] == '-' && pc.data[1] == '-' {
		if hit, ok := r.boundary(&pc); ok {
			r.s.hit = hit
			r.done = true
			return nil, nil
		}
	}
	return pc.data, pc.end
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
	d := s.digest
	d.begin(l, strings.HasPrefix(p.typ, "text/") || enc != "base64", max(keep, head))
	if enc == "" {
		r.copyTo(d)
	} else {
		if err := d.readFrom(channel.Decode(r, enc)); err != nil && s.lines.err == nil {
			s.defect("broken " + enc + ": read up to the error")
		}
		// What stands behind the end of the base64 is still the part's.
		for !r.done {
			r.fetch()
		}
	}
	d.finish()
	if head > 0 {
		l.head = l.whole
	} else {
		l.text, l.cut = l.whole, l.size > int64(len(l.whole))
		s.text -= len(l.text)
	}
	l.length = r.length
}
