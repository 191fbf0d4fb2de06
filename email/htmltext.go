package email

import (
	"strings"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// TextFromHTML returns HTML as plain text: paragraphs by empty lines, quotes
// with "> ", list items with "- ", cells by blanks, links as "text (url)". What
// is not shown (head, style, script, comments, hidden elements) is left out. At
// most 2 MB of the HTML are read.
func TextFromHTML(s string) string {
	return textOf(htmlLines(s))
}

// textLine is a line of text with what its HTML said about it.
type textLine struct {
	text   string
	quoted bool // inside of what a mail program marks as the quoted mail
	after  bool // below a mark that says: from here on all is quoted
	sign   bool // inside of what a mail program marks as the signature
}

// textWriter makes lines of HTML. It works on tokens, not on a tree, so that no
// depth of nesting hurts.
type textWriter struct {
	lines []textLine
	ends  []int    // of the lines, in out
	out   []byte   // their text
	cur   []byte   // the line that is being written
	mark  textLine // marks of the line that is being written
	blank bool     // an empty line is due
	space bool     // a blank is due

	open    []htmlElement // elements that change the state
	skip    int           // index+1 of the open element whose content is left out
	quote   int           // depth of blockquotes
	marked  int           // depth of elements marked as quote
	signed  int
	pre     int
	after   bool
	link    string
	linkAt  [2]int // line and column where the link's text begins
	size    int    // bytes written
	scratch []byte
}

// htmlElement is an open element that must undo something when it closes.
type htmlElement struct {
	tag                      atom.Atom
	name                     string
	skip, quote, marked, pre bool
	signed                   bool
}

// maxOpen bounds the elements that are kept track of; deeper ones change nothing.
const maxOpen = 2000

// htmlLines converts HTML.
func htmlLines(s string) []textLine {
	if len(s) > maxSanitize {
		s = s[:maxSanitize]
	}
	w := &textWriter{}
	// Of most markup less than half is text.
	w.out = make([]byte, 0, len(s)/4+64)
	z := newHTMLTokens(s)
	for {
		kind := z.next()
		if w.size > maxSanitize {
			kind = htmlEnd // quoting can make text longer than its HTML
		}
		switch kind {
		case htmlEnd:
			w.newline()
			return w.finish()
		case htmlText:
			if z.odd {
				z.text = htmlNewlines(z.text)
			}
			w.escaped(z.text)
		case htmlRaw:
			w.text(htmlNewlines(z.text))
		case htmlStartTag:
			w.start(z)
		case htmlVoidTag:
			w.start(z)
			if !voidElement(z.tag) && z.tag != 0 && len(w.open) > 0 && w.open[len(w.open)-1].tag == z.tag {
				w.end(z.tag, z.name)
			}
		case htmlEndTag:
			w.end(z.tag, z.name)
		}
	}
}

// start handles an opening tag.
func (w *textWriter) start(t *htmlTokens) {
	if w.skip > 0 {
		if !voidElement(t.tag) && t.tag == w.open[w.skip-1].tag && t.name == w.open[w.skip-1].name && len(w.open) < maxOpen {
			w.open = append(w.open, htmlElement{tag: t.tag, name: t.name})
		}
		return
	}
	e := htmlElement{tag: t.tag, name: t.name}
	marks := attributesOf(t, &w.scratch)
	switch t.tag {
	case atom.Head, atom.Style, atom.Script, atom.Title, atom.Noscript, atom.Template, atom.Svg, atom.Object, atom.Iframe, atom.Textarea, atom.Select:
		e.skip = true
	case atom.Body:
		// A head that is never closed ends here.
		w.skip = 0
	case atom.Br:
		w.newline()
	case atom.Hr:
		w.breakLine()
		if marks.id != "stopspelling" {
			w.word("---")
		}
		w.breakLine()
	case atom.P, atom.H1, atom.H2, atom.H3, atom.H4, atom.H5, atom.H6, atom.Ul, atom.Ol, atom.Dl, atom.Table:
		w.breakLine()
		if t.tag != atom.Table {
			w.blank = true
		}
	case atom.Li:
		w.breakLine()
		w.word("-")
		w.space = true
	case atom.Td, atom.Th:
		w.space = len(w.cur) > 0
	case atom.Pre:
		w.breakLine()
		w.pre++
		e.pre = true
	case atom.Blockquote:
		w.breakLine()
		w.quote++
		e.quote = true
	case atom.A:
		w.link, w.linkAt = marks.href, [2]int{len(w.lines), len(w.cur)}
	case atom.Img:
		if marks.alt != "" {
			w.text("[" + marks.alt + "]")
		}
	default:
		if isBlock(t.tag) {
			w.breakLine()
		}
	}
	e.skip = e.skip || marks.hidden
	e.marked, e.signed = marks.quote && t.tag != atom.Body, marks.signature
	if marks.after {
		w.breakLine()
		w.after = true
	}
	w.push(e)
}

// push opens an element that must be closed later.
func (w *textWriter) push(e htmlElement) {
	if voidElement(e.tag) || len(w.open) >= maxOpen {
		if e.quote {
			w.quote--
		}
		if e.pre {
			w.pre--
		}
		return
	}
	if !e.skip && !e.quote && !e.marked && !e.signed && !e.pre && !isContainer(e.tag) {
		return
	}
	if (e.marked || e.signed) && e.tag != atom.Span {
		w.breakLine()
	}
	if e.marked {
		w.marked++
	}
	if e.signed {
		w.signed++
	}
	w.open = append(w.open, e)
	if e.skip {
		w.skip = len(w.open)
	}
}

// end handles a closing tag.
func (w *textWriter) end(a atom.Atom, name string) {
	if w.skip > 0 {
		i := len(w.open) - 1
		if w.open[i].tag != a || w.open[i].name != name {
			return
		}
		w.open = w.open[:i]
		if w.skip > i {
			w.skip = 0
		}
		return
	}
	if a == atom.A {
		w.endLink()
	}
	switch {
	case a == atom.P || a == atom.Ul || a == atom.Ol || a == atom.H1 || a == atom.H2 || a == atom.H3 || a == atom.H4 || a == atom.H5 || a == atom.H6:
		w.breakLine()
		w.blank = true
	case isBlock(a) || a == atom.Table || a == atom.Li || a == atom.Pre || a == atom.Blockquote:
		w.breakLine()
	}
	w.pop(a, name)
}

// pop closes the innermost open element of the tag, if it is near: end tags
// that match nothing are common.
func (w *textWriter) pop(a atom.Atom, name string) {
	low := max(0, len(w.open)-50)
	for i := len(w.open) - 1; i >= low; i-- {
		if w.open[i].tag != a || w.open[i].name != name {
			continue
		}
		for _, e := range w.open[i:] {
			if e.quote || (e.marked || e.signed) && e.tag != atom.Span {
				w.breakLine()
			}
			if e.quote {
				w.quote--
			}
			if e.marked {
				w.marked--
			}
			if e.signed {
				w.signed--
			}
			if e.pre {
				w.pre--
			}
		}
		w.open = w.open[:i]
		return
	}
}

// endLink writes the target of a link behind its text.
func (w *textWriter) endLink() {
	href := w.link
	w.link = ""
	if href == "" || !strings.HasPrefix(href, "http://") && !strings.HasPrefix(href, "https://") || len(href) > 1000 {
		return
	}
	from := 0
	if w.linkAt[0] == len(w.lines) {
		from = w.linkAt[1]
	}
	shown := strings.TrimSpace(string(w.cur[min(from, len(w.cur)):]))
	trim := func(s string) string {
		s = strings.TrimPrefix(strings.TrimPrefix(s, "http://"), "https://")
		return strings.TrimSuffix(strings.TrimPrefix(s, "www."), "/")
	}
	if shown == "" || trim(shown) == trim(href) {
		return
	}
	w.word(" (" + href + ")")
}

// escaped writes the characters of a text node that may hold escapes. Each is
// written by itself: that cannot be told from writing them at once.
func (w *textWriter) escaped(s string) {
	if w.skip > 0 {
		return
	}
	for s != "" {
		text, entity, rest := cutEntity(s)
		w.text(text)
		switch entity {
		case "":
		case "&nbsp;":
			w.word(" ")
		case "&zwnj;":
			w.word("\u200c")
		case "&amp;":
			w.word("&")
		case "&lt;":
			w.word("<")
		case "&gt;":
			w.word(">")
		case "&quot;":
			w.word("\"")
		default:
			w.text(html.UnescapeString(entity))
		}
		s = rest
	}
}

// text writes characters.
func (w *textWriter) text(s string) {
	if w.skip > 0 {
		return
	}
	if w.pre > 0 {
		for i := 0; ; i++ {
			l, rest, more := strings.Cut(s, "\n")
			if i > 0 {
				w.newline()
			}
			w.word(l)
			if !more {
				return
			}
			s = rest
		}
	}
	for i := 0; i < len(s); {
		if isTagSpace(s[i]) {
			w.space = w.space || len(w.cur) > 0
			i++
			continue
		}
		from := i
		odd := false
		for i < len(s) && (s[i] > ' ' || !isTagSpace(s[i])) {
			odd = odd || s[i] == 0 || s[i] >= 0xc2
			i++
		}
		if odd {
			w.word(s[from:i])
		} else {
			w.put(s[from:i])
		}
	}
}
