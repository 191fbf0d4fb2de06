package email

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// part is a node of a mail's tree (RFC 2045): a multipart with children, or a
// leaf.
type part struct {
	header   rawHeader
	typ      string // media type in lower case; never empty
	params   parameters
	disp     string // Content-Disposition in lower case
	dparams  parameters
	children []*part
	leaf     *leaf // of a leaf
	preamble *leaf // of a multipart: what stood before its first part
	epilogue *leaf // of a multipart without parts: what stood after its end
}

func (p *part) isMultipart() bool { return p.leaf == nil }

// splitter cuts a mail into its parts while it reads it once. A broken part
// never ends the walk.
type splitter struct {
	lines  *lineReader
	digest *digest
	defect func(string)

	stack []string // boundaries of the multiparts that are open, outermost first
	hit   boundaryHit
	parts int
	text  int // bytes of text that may still be kept
}

// boundaryHit says which multipart a boundary line belongs to.
type boundaryHit struct {
	level   int // index into the stack; -1 at the end of the mail
	closing bool
}

// split reads the whole mail.
func (s *splitter) split() *part {
	s.text = MaxTextTotal
	h := (&headerReader{lines: s.lines, defect: s.defect, top: true}).read()
	root := s.entity(h, 0, "text/plain")
	return root
}

// match reports which open multipart a line at the start of a line ends or
// continues; the innermost wins.
func (s *splitter) match(line []byte) (boundaryHit, bool) {
	if len(s.stack) == 0 || len(line) < 3 || line[0] != '-' || line[1] != '-' {
		return boundaryHit{}, false
	}
	b := string(bytes.TrimRight(line[2:], " \t"))
	for i, v := range slices.Backward(s.stack) {
		switch v {
		case "":
		case b:
			return boundaryHit{level: i}, true
		case strings.TrimSuffix(b, "--"):
			return boundaryHit{level: i, closing: true}, true
		}
	}
	return boundaryHit{}, false
}

// bounded reports whether any line can be a boundary.
func (s *splitter) bounded() bool {
	for _, b := range s.stack {
		if b != "" {
			return true
		}
	}
	return false
}

func (s *splitter) stop(line []byte) bool {
	_, ok := s.match(line)
	return ok
}

// entity reads the body that follows h.
func (s *splitter) entity(h rawHeader, depth int, defaultType string) *part {
	p := newPart(h, defaultType)
	if !strings.HasPrefix(p.typ, "multipart/") {
		s.leaf(p)
		return p
	}
	if depth >= MaxDepth {
		s.defect(fmt.Sprintf("multiparts nested deeper than %d: the inner ones were left as one attachment", MaxDepth))
		s.leaf(p)
		return p
	}
	s.multipart(p, depth)
	return p
}

// newPart reads the fields that say what a part is.
func newPart(h rawHeader, defaultType string) *part {
	p := &part{header: h}
	p.typ, p.params = parseParameters(h.get("Content-Type"))
	if main, sub, ok := strings.Cut(p.typ, "/"); !ok || main == "" || sub == "" || strings.ContainsAny(p.typ, " \t\"<>") {
		switch p.typ {
		case "text", "html":
			p.typ = map[string]string{"text": "text/plain", "html": "text/html"}[p.typ]
		default:
			p.typ = defaultType
		}
	}
	p.disp, p.dparams = parseParameters(h.get("Content-Disposition"))
	return p
}

// multipart reads the parts of p until its end, or that of a multipart around it.
func (s *splitter) multipart(p *part, depth int) {
	level := len(s.stack)
	s.stack = append(s.stack, strings.TrimRight(p.params.get("boundary"), " \t"))
	defer func() { s.stack = s.stack[:level] }()
	if s.stack[level] == "" {
		s.defect("multipart without a boundary: it was guessed from the body")
	}
	// What stands before the first boundary is dropped, unless it is all
	// there is.
	pre := &part{typ: "text/plain", params: p.params}
	s.readLeaf(pre, &leafReader{s: s, adopt: level + 1})
	p.preamble = pre.leaf
	childType := "text/plain"
	if p.typ == "multipart/digest" {
		childType = "message/rfc822"
	}
	for s.hit.level == level && !s.hit.closing {
		if s.parts++; s.parts > MaxParts {
			s.defect(fmt.Sprintf("more than %d parts: the rest was not split", MaxParts))
			s.drain()
			return
		}
		h := (&headerReader{lines: s.lines, defect: s.defect, stop: s.stop}).read()
		p.children = append(p.children, s.entity(h, depth+1, childType))
	}
	if s.hit.level == level && s.hit.closing {
		s.stack[level] = "" // a closed boundary means nothing any more
		post := &part{typ: "text/plain", params: p.params}
		s.readLeaf(post, &leafReader{s: s})
		p.epilogue = post.leaf
		return
	}
	if len(p.children) > 0 {
		s.defect("multipart without an end: it was taken to end with what is around it")
	} else {
		s.defect("multipart without parts: read as text")
	}
}

// drain reads to the end without splitting.
func (s *splitter) drain() {
	for {
		if _, ok := s.lines.next(); !ok {
			s.hit = boundaryHit{level: -1}
			return
		}
	}
}

// adopt decides whether a line of a multipart's preamble is the boundary that
// its header failed to name: any boundary-like line where none is named, and
// one that is followed by the header of a part where another is named.
func (s *splitter) adopt(line []byte, level int) bool {
	if len(line) < 3 || line[0] != '-' || line[1] != '-' || bytes.ContainsAny(line, " \t") {
		return false
	}
	name := string(line[2:])
	if strings.Trim(name, "-") == "" || len(name) > 200 {
		return false
	}
	next := s.lines.peek(64)
	part := len(next) >= 8 && strings.EqualFold(string(next[:8]), "content-")
	if !part && s.stack[level] != "" {
		return false
	}
	if s.stack[level] != "" {
		s.defect("multipart without its boundary: another one was found in the body")
	}
	s.stack[level] = name
	return true
}
