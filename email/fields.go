package email

import (
	"bytes"
	"strings"
)

// rawField is a header field before decoding.
type rawField struct {
	name  string
	value string // unfolded: line ends are dropped, the blanks after them kept
}

// rawHeader is a header block before decoding.
type rawHeader []rawField

// get returns the first value of a field, trimmed.
func (h rawHeader) get(name string) string {
	for _, f := range h {
		if sameName(f.name, name) {
			return strings.TrimSpace(f.value)
		}
	}
	return ""
}

// count returns how often a field occurs.
func (h rawHeader) count(name string) (n int) {
	for _, f := range h {
		if sameName(f.name, name) {
			n++
		}
	}
	return n
}

// sameName reports whether two field names, which are ASCII, are one.
func sameName(a, b string) bool { return len(a) == len(b) && strings.EqualFold(a, b) }

// headerReader reads one header block leniently (RFC 5322 section 2.2).
type headerReader struct {
	lines  *lineReader
	stop   func(line []byte) bool // a boundary ends the block too
	defect func(string)
	top    bool // the header of the mail itself

	text []byte // names and values behind each other
	ends []int  // of names and values in text, in turns
	size int
	open bool // a continuation line may follow
	full bool // a bound was hit; what follows is skipped
}

// read reads up to and including the empty line. A boundary line and the
// beginning of a body are left unread.
func (h *headerReader) read() rawHeader {
	h.text = make([]byte, 0, h.lines.headerSize())
	h.block()
	all := string(h.text)
	out := make(rawHeader, 0, h.count())
	from := 0
	for i := 0; i < len(h.ends); i += 2 {
		out = append(out, rawField{all[from:h.ends[i]], all[h.ends[i]:h.ends[i+1]]})
		from = h.ends[i+1]
	}
	return out
}

func (h *headerReader) count() int { return len(h.ends) / 2 }

// last returns the value of the last field, as far as it was read.
func (h *headerReader) last() []byte {
	n := len(h.ends)
	return h.text[h.ends[n-2]:h.ends[n-1]]
}

// block reads the lines of the block.
func (h *headerReader) block() {
	first := true
	for {
		p, ok := h.lines.next()
		if !ok {
			return
		}
		if !p.start {
			h.extend(p.data)
			continue
		}
		if first && h.top {
			p.data = bytes.TrimPrefix(p.data, []byte("\xef\xbb\xbf"))
			if len(p.data) == 0 && len(p.end) > 0 && h.blankThenField() {
				h.defect("empty line before the header: skipped")
				continue
			}
			if isMboxLine(p.data) {
				first = false
				h.defect("mbox line before the header: skipped")
				continue
			}
		}
		if !h.line(p, first) {
			return
		}
		first = false
	}
}

// line takes one line and reports whether the header goes on.
func (h *headerReader) line(p piece, first bool) bool {
	if len(p.data) == 0 {
		return false
	}
	if h.stop != nil && h.stop(p.data) {
		h.lines.unread(p)
		return false
	}
	blank := p.data[0] == ' ' || p.data[0] == '\t'
	if blank && !first {
		if len(bytes.TrimSpace(p.data)) > 0 {
			h.extend(p.data)
			return true
		}
		// A line of blanks folds by the letter of the standard, but most
		// writers meant the empty line.
		return h.headerFollows()
	}
	if name, value, ok := cutField(p.data); ok {
		h.add(name, value)
		return true
	}
	return h.badLine(p)
}

// badLine decides what a line that is no field means: the beginning of the
// body, or rubbish.
func (h *headerReader) badLine(p piece) bool {
	h.open = false
	if isMboxLine(bytes.TrimPrefix(p.data, []byte(">"))) {
		h.defect("mbox line inside the header: skipped")
		return true
	}
	// Looking ahead moves the buffer in which p lies.
	p.data, p.end = bytes.Clone(p.data), bytes.Clone(p.end)
	if h.bodyBegins(p.data) {
		h.defect("header ends without an empty line: the body was taken to begin at the first line that is no field")
		h.lines.unread(p)
		return false
	}
	h.defect("header line without a field name: skipped")
	return true
}

// add begins a field, within the bounds.
func (h *headerReader) add(name, value []byte) {
	h.open = true
	if h.full || h.count() >= MaxHeaderFields || h.size+len(name)+len(value) > MaxHeaderBytes {
		if !h.full {
			h.defect("header over the limit of size or fields: the rest of it was skipped")
		}
		h.full = true
		return
	}
	h.size += len(name) + len(value)
	h.text = append(h.text, name...)
	h.ends = append(h.ends, len(h.text))
	h.text = append(h.text, value...)
	h.ends = append(h.ends, len(h.text))
}

// extend adds a continuation to the last field.
func (h *headerReader) extend(b []byte) {
	if !h.open || h.full || h.count() == 0 {
		return
	}
	if h.size+len(b) > MaxHeaderBytes {
		h.defect("header over the limit of size or fields: the rest of it was skipped")
		h.full = true
		return
	}
	h.size += len(b)
	h.text = append(h.text, b...)
	h.ends[len(h.ends)-1] = len(h.text)
}

// lookahead returns the next lines, up to n.
func (h *headerReader) lookahead(n int) [][]byte {
	rest := h.lines.peek(4 << 10)
	var out [][]byte
	for len(out) < n && len(rest) > 0 {
		line, after, _ := bytes.Cut(rest, []byte{h.lines.term})
		out = append(out, bytes.TrimRight(line, "\r"))
		rest = after
	}
	return out
}

// blankThenField reports whether a header begins right after an empty line
// that begins the mail.
func (h *headerReader) blankThenField() bool {
	for _, l := range h.lookahead(3) {
		if len(l) > 0 {
			return knownField(l)
		}
	}
	return false
}

// headerFollows reports whether the next line goes on with the header.
func (h *headerReader) headerFollows() bool {
	next := h.lookahead(1)
	if len(next) == 0 {
		return false
	}
	if h.open && h.count() > 0 && len(bytes.TrimSpace(h.last())) == 0 && len(next[0]) > 0 && (next[0][0] == ' ' || next[0][0] == '\t') {
		return true // the value of the last field is still to come
	}
	return knownField(next[0])
}

// bodyBegins decides whether the bad line is the first of the body. A single one
// right above the empty line is rubbish; markup, or several in a row without a
// field below, are text.
func (h *headerReader) bodyBegins(line []byte) bool {
	if line = bytes.TrimSpace(line); len(line) > 0 && line[0] == '<' {
		return true
	}
	for i, l := range h.lookahead(8) {
		if knownField(l) {
			return false
		}
		if len(l) == 0 {
			rubbish := i == 0 && (h.count() > 0 || !h.top && len(line) > 8 && bytes.EqualFold(line[:8], []byte("content-")))
			return !rubbish
		}
	}
	return true
}

// isMboxLine reports whether a line divides mails in an mbox file. A field may
// have a blank before its colon.
func isMboxLine(line []byte) bool {
	rest, ok := bytes.CutPrefix(line, []byte("From "))
	return ok && !bytes.HasPrefix(bytes.TrimLeft(rest, " \t"), []byte(":"))
}

// cutField splits "Name: value". Blanks before the colon are tolerated.
func cutField(line []byte) (name, value []byte, ok bool) {
	line = bytes.TrimLeft(line, " \t")
	i := bytes.IndexByte(line, ':')
	if i <= 0 || line[0] == '<' {
		return nil, nil, false
	}
	n := bytes.TrimRight(line[:i], " \t")
	if len(n) == 0 || len(n) > 200 {
		return nil, nil, false
	}
	for _, c := range n {
		if c <= ' ' || c >= 0x7f {
			return nil, nil, false
		}
	}
	return n, line[i+1:], true
}

// knownField reports whether a line begins with a field name that only a
// header has: common words with a colon also begin sentences.
func knownField(line []byte) bool {
	name, _, ok := cutField(line)
	if !ok {
		return false
	}
	switch strings.ToLower(string(name)) {
	case "from", "to", "cc", "bcc", "subject", "date", "sender", "received", "reply-to", "return-path", "references", "precedence",
		"organization", "importance", "sensitivity", "priority", "comments", "keywords", "status", "lines", "encrypted", "approved":
		return true
	}
	return bytes.IndexByte(name, '-') >= 0
}
