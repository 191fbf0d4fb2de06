package email

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// htmlKind is what a token is. Comments and the like are no tokens.
type htmlKind int

const (
	htmlEnd      htmlKind = iota // of the document
	htmlText                     // to be unescaped
	htmlRaw                      // text that has no escapes
	htmlStartTag                 // <p>
	htmlVoidTag                  // <p/>
	htmlEndTag                   // </p>
)

// htmlTokens cuts HTML into the tokens that [html.Tokenizer] finds (a test holds
// it to that), without copying what is not asked for: of a mail's markup most is
// attributes that mean nothing here.
type htmlTokens struct {
	s   string
	pos int
	raw string // name of the element whose text comes next and holds no tags
	end int    // index behind the last attribute of the tag
	odd bool   // there are NULs or CRs

	text string // of texts
	tag  atom.Atom
	name string // of tags, in lower case
	attr htmlAttributes
}

// htmlAttributes are those that tell something about text, as they are written.
// The first of equals counts.
type htmlAttributes struct {
	id, class, href, alt, name, typ, style string
	seen                                   uint8
	hidden                                 bool
}

func newHTMLTokens(s string) *htmlTokens {
	return &htmlTokens{s: s, odd: strings.IndexByte(s, 0) >= 0 || strings.IndexByte(s, '\r') >= 0}
}

// next finds the next token.
func (z *htmlTokens) next() htmlKind {
	if z.raw != "" {
		if kind := z.rawText(); kind != htmlEnd {
			return kind
		}
	}
	for z.pos < len(z.s) {
		at := z.markup()
		if at > z.pos {
			z.text, z.pos = z.s[z.pos:at], at
			return htmlText
		}
		switch c := z.s[at+1]; {
		case c == '!':
			z.pos = z.declaration(at + 2)
		case c == '?':
			z.pos = z.after(at+2, '>')
		case c != '/':
			return z.startTag(at + 1)
		case at+2 == len(z.s):
			z.text, z.pos = z.s[at:], at+2
			return htmlText
		case isLetter(z.s[at+2]):
			kind := htmlEndTag
			if !z.tagName(at+2) || !z.attributes(false) {
				kind = htmlEnd
			}
			return kind
		default:
			z.pos = z.after(at+2, '>')
		}
	}
	return htmlEnd
}

// markup returns where the next markup begins, or the end.
func (z *htmlTokens) markup() int {
	at := z.pos
	for {
		i := strings.IndexByte(z.s[at:], '<')
		if i < 0 || at+i+1 == len(z.s) {
			return len(z.s)
		}
		at += i
		if c := z.s[at+1]; isLetter(c) || c == '/' || c == '!' || c == '?' {
			return at
		}
		at++
	}
}

func isLetter(c byte) bool { return 'a' <= c|0x20 && c|0x20 <= 'z' }

func isTagSpace(c byte) bool {
	return c == ' ' || c == '\n' || c == '\r' || c == '\t' || c == '\f'
}

// after returns the index behind the next c from i on, or the end.
func (z *htmlTokens) after(i int, c byte) int {
	if j := strings.IndexByte(z.s[i:], c); j >= 0 {
		return i + j + 1
	}
	return len(z.s)
}

// declaration returns the end of what begins with "<!" before i.
func (z *htmlTokens) declaration(i int) int {
	if strings.HasPrefix(z.s[i:], "--") {
		return commentEnd(z.s, i+2)
	}
	return z.after(i, '>')
}

// commentEnd returns the end of the comment whose content begins at i.
func commentEnd(s string, i int) int {
	dashes := 0
	for i < len(s) && s[i] == '-' {
		i++
		dashes++
	}
	if i < len(s) && s[i] == '>' {
		return i + 1 // <!-->
	}
	for i < len(s) {
		if dashes == 0 {
			j := strings.IndexByte(s[i:], '-')
			if j < 0 {
				break
			}
			i += j
		}
		c := s[i]
		i++
		if c == '!' && dashes >= 2 && i < len(s) {
			c = s[i]
			i++
			if c == '-' {
				dashes = 1
				continue
			}
		} else if c == '-' {
			dashes++
			continue
		}
		if c == '>' && dashes >= 2 {
			return i
		}
		dashes = 0
	}
	return len(s)
}

// startTag reads the tag whose name begins at i.
func (z *htmlTokens) startTag(i int) htmlKind {
	z.attr = htmlAttributes{}
	if !z.tagName(i) || !z.attributes(true) {
		return htmlEnd
	}
	switch z.name {
	case "iframe", "noembed", "noframes", "noscript", "plaintext", "script", "style", "textarea", "title", "xmp":
		z.raw = z.name
	}
	if z.s[z.pos-2] == '/' && (z.end != z.pos-1 || !z.slashInValue(i)) {
		return htmlVoidTag
	}
	return htmlStartTag
}

// tagName reads the name that begins at i and reports whether the document goes
// on behind it.
func (z *htmlTokens) tagName(i int) bool {
	end := i
	for end < len(z.s) && !isTagSpace(z.s[end]) && z.s[end] != '/' && z.s[end] != '>' {
		end++
	}
	z.name, z.pos = asciiLower(z.s[i:end]), end
	if z.odd {
		z.name = strings.ReplaceAll(z.name, "\x00", "\ufffd")
	}
	z.tag = atomOf(z.name)
	return z.skipSpace()
}

// skipSpace reports whether anything follows.
func (z *htmlTokens) skipSpace() bool {
	for z.pos < len(z.s) && isTagSpace(z.s[z.pos]) {
		z.pos++
	}
	return z.pos < len(z.s)
}

// attributes reads up to the end of the tag, and reports whether there is one.
func (z *htmlTokens) attributes(keep bool) bool {
	z.end = -1
	for {
		if z.s[z.pos] == '>' {
			z.pos++
			return true
		}
		key, value, end := z.attribute()
		z.end = end
		if keep {
			z.attr.set(key, value)
		}
		if !z.skipSpace() {
			z.pos = len(z.s)
			return false
		}
	}
}

// attribute reads one attribute. end is the index behind its value.
func (z *htmlTokens) attribute() (key, value string, end int) {
	from := z.pos
	for z.pos < len(z.s) {
		c := z.s[z.pos]
		if isTagSpace(c) || c == '/' || c == '>' || c == '=' && z.pos > from {
			break
		}
		z.pos++
	}
	key, end = z.s[from:z.pos], z.pos
	if !z.skipSpace() {
		return key, "", end
	}
	switch z.s[z.pos] {
	case '/':
		z.pos++
		return key, "", end
	case '=':
		z.pos++
	default:
		return key, "", end
	}
	if !z.skipSpace() || z.s[z.pos] == '>' {
		return key, "", end
	}
	if q := z.s[z.pos]; q == '"' || q == '\'' {
		from = z.pos + 1
		z.pos = z.after(from, q)
		end = z.pos - 1
		if end < from || z.s[end] != q {
			end = z.pos
		}
		return key, z.s[from:end], end
	}
	from = z.pos
	for z.pos < len(z.s) && !isTagSpace(z.s[z.pos]) && z.s[z.pos] != '>' {
		z.pos++
	}
	return key, z.s[from:z.pos], z.pos
}

// slashInValue reports whether the slash before the end of the tag at i is the
// end of its last attribute. Attributes that were there before do not count.
func (z *htmlTokens) slashInValue(i int) bool {
	again := htmlTokens{s: z.s[:z.pos]}
	if !again.tagName(i) {
		return false
	}
	seen := map[string]bool{}
	last := -1
	for again.s[again.pos] != '>' {
		key, _, end := again.attribute()
		if key = asciiLower(key); key != "" && !seen[key] {
			seen[key] = true
			last = end
		}
		if !again.skipSpace() {
			break
		}
	}
	return last == z.pos-1
}

// set keeps an attribute that tells something.
func (a *htmlAttributes) set(key, value string) {
	if len(key) < 2 || len(key) > 6 {
		return
	}
	var to *string
	var bit uint8
	switch asciiLower(key) {
	case "id":
		to, bit = &a.id, 1
	case "class":
		to, bit = &a.class, 2
	case "href":
		to, bit = &a.href, 4
	case "alt":
		to, bit = &a.alt, 8
	case "name":
		to, bit = &a.name, 16
	case "type":
		to, bit = &a.typ, 32
	case "style":
		to, bit = &a.style, 64
	case "hidden":
		a.hidden = true
		return
	default:
		return
	}
	if a.seen&bit == 0 {
		*to = value
		a.seen |= bit
	}
}

// value undoes the escapes in an attribute's value.
func (z *htmlTokens) value(s string) string {
	if z.odd {
		s = htmlNewlines(strings.ReplaceAll(s, "\x00", "\ufffd"))
	}
	if strings.IndexByte(s, '&') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for s != "" {
		text, entity, rest := cutEntity(s)
		b.WriteString(text)
		if entity != "" {
			b.WriteString(attributeEntity(entity, rest))
		}
		s = rest
	}
	return b.String()
}

// attributeEntity decodes an entity in a value, where only whole names count: a
// link's "&copy=1" is no copyright sign.
func attributeEntity(entity, rest string) string {
	if entity[len(entity)-1] != ';' && strings.HasPrefix(rest, "=") && !strings.HasPrefix(entity, "&#") {
		return entity
	}
	out := html.UnescapeString(entity)
	// A name that only begins like one leaves its end behind.
	if len(out) > 1 && out[len(out)-1] == entity[len(entity)-1] && !strings.HasPrefix(entity, "&#") {
		return entity
	}
	return out
}

// cutEntity returns the text before the first ampersand, what may be an entity,
// and the rest.
func cutEntity(s string) (text, entity, rest string) {
	i := strings.IndexByte(s, '&')
	if i < 0 {
		return s, "", ""
	}
	end := i + 1
	if end < len(s) && s[end] == '#' {
		end++
	}
	for end < len(s) && isLetterDigit(s[end]) {
		end++
	}
	if end < len(s) && s[end] == ';' {
		end++
	}
	return s[:i], s[i:end], s[end:]
}

// htmlNewlines makes every line end an LF, as reading HTML does before escapes
// are undone.
func htmlNewlines(s string) string {
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	return strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\r", "\n")
}
