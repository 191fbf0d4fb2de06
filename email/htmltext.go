package email

import (
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/html"
	"golang.org/x/net/html/atom"
)

// TextFromHTML returns HTML as plain text: paragraphs by empty lines, quotes
// with "> ", list items with "- ", cells by blanks, links as "text (url)". What
// is not shown (head, style, script, comments, hidden elements) is left out. At
// most 2 MB of the HTML are read.
func TextFromHTML(s string) string {
	lines := htmlLines(s)
	var b strings.Builder
	for i, l := range lines {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(l.text)
	}
	return b.String()
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
	cur   strings.Builder
	mark  textLine // marks of the line that is being written
	blank bool     // an empty line is due
	space bool     // a blank is due

	open   []htmlElement // elements that change the state
	skip   int           // index+1 of the open element whose content is left out
	quote  int           // depth of blockquotes
	marked int           // depth of elements marked as quote
	signed int
	pre    int
	after  bool
	link   string
	linkAt [2]int // line and column where the link's text begins
	size   int    // bytes written
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
	z := html.NewTokenizer(strings.NewReader(s))
	for {
		token := z.Next()
		if w.size > maxSanitize {
			token = html.ErrorToken // quoting can make text longer than its HTML
		}
		switch token {
		case html.ErrorToken:
			w.newline()
			return w.trimmed()
		case html.TextToken:
			w.text(string(z.Text()))
		case html.StartTagToken:
			t := z.Token()
			w.start(t)
		case html.SelfClosingTagToken:
			t := z.Token()
			w.start(t)
			if !voidElement(t.DataAtom) && t.DataAtom != 0 && len(w.open) > 0 && w.open[len(w.open)-1].tag == t.DataAtom {
				w.end(t.DataAtom, t.Data)
			}
		case html.EndTagToken:
			t := z.Token()
			w.end(t.DataAtom, t.Data)
		}
	}
}

// start handles an opening tag.
func (w *textWriter) start(t html.Token) {
	if w.skip > 0 {
		if !voidElement(t.DataAtom) && t.DataAtom == w.open[w.skip-1].tag && t.Data == w.open[w.skip-1].name && len(w.open) < maxOpen {
			w.open = append(w.open, htmlElement{tag: t.DataAtom, name: t.Data})
		}
		return
	}
	e := htmlElement{tag: t.DataAtom, name: t.Data}
	marks := attributesOf(t)
	switch t.DataAtom {
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
		if t.DataAtom != atom.Table {
			w.blank = true
		}
	case atom.Li:
		w.breakLine()
		w.word("-")
		w.space = true
	case atom.Td, atom.Th:
		w.space = w.cur.Len() > 0
	case atom.Pre:
		w.breakLine()
		w.pre++
		e.pre = true
	case atom.Blockquote:
		w.breakLine()
		w.quote++
		e.quote = true
	case atom.A:
		w.link, w.linkAt = marks.href, [2]int{len(w.lines), w.cur.Len()}
	case atom.Img:
		if marks.alt != "" {
			w.text("[" + marks.alt + "]")
		}
	default:
		if isBlock(t.DataAtom) {
			w.breakLine()
		}
	}
	e.skip = e.skip || marks.hidden
	e.marked, e.signed = marks.quote && t.DataAtom != atom.Body, marks.signature
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
	shown := strings.TrimSpace(w.cur.String()[min(from, w.cur.Len()):])
	trim := func(s string) string {
		s = strings.TrimPrefix(strings.TrimPrefix(s, "http://"), "https://")
		return strings.TrimSuffix(strings.TrimPrefix(s, "www."), "/")
	}
	if shown == "" || trim(shown) == trim(href) {
		return
	}
	w.word(" (" + href + ")")
}

// text writes the characters of a text node.
func (w *textWriter) text(s string) {
	if w.skip > 0 {
		return
	}
	if w.pre > 0 {
		for i, l := range strings.Split(s, "\n") {
			if i > 0 {
				w.newline()
			}
			w.word(l)
		}
		return
	}
	for s != "" {
		r, n := utf8.DecodeRuneInString(s)
		if isHTMLSpace(r) {
			w.space = w.space || w.cur.Len() > 0
			s = s[n:]
			continue
		}
		end := strings.IndexFunc(s, isHTMLSpace)
		if end < 0 {
			end = len(s)
		}
		w.word(s[:end])
		s = s[end:]
	}
}

func isHTMLSpace(r rune) bool {
	return r == ' ' || r == '\t' || r == '\n' || r == '\r' || r == '\f'
}

// word writes a word onto the current line.
func (w *textWriter) word(s string) {
	if !isASCII(s) || strings.IndexByte(s, 0) >= 0 {
		s = invisible.Replace(s)
	}
	if s == "" {
		return
	}
	if w.blank {
		w.blank = false
		if n := len(w.lines); n > 0 && strings.Trim(w.lines[n-1].text, "> ") != "" {
			w.emit("")
		}
	}
	if w.space && w.cur.Len() > 0 {
		w.cur.WriteByte(' ')
	}
	w.space = false
	if w.cur.Len() == 0 {
		w.mark = w.marks()
	}
	w.cur.WriteString(s)
}

// invisible drops characters that only fill the preview of a mail, and makes
// no-break spaces plain.
var invisible = strings.NewReplacer("\u00a0", " ", "\u200b", "", "\u034f", "", "\u00ad", "", "\ufeff", "", "\x00", "")

func (w *textWriter) marks() textLine {
	return textLine{quoted: w.marked > 0, after: w.after, sign: w.signed > 0}
}

// breakLine ends the line if anything is on it.
func (w *textWriter) breakLine() {
	w.space = false
	if w.cur.Len() > 0 {
		w.newline()
	}
}

// newline ends the line, also an empty one.
func (w *textWriter) newline() {
	s := strings.TrimRight(w.cur.String(), " \t")
	if w.cur.Len() == 0 {
		w.mark = w.marks()
	}
	w.cur.Reset()
	w.space = false
	l := w.mark
	l.text = w.prefixed(s)
	w.size += len(l.text) + 1
	w.lines = append(w.lines, l)
}

// emit writes a line of its own.
func (w *textWriter) emit(s string) {
	l := w.marks()
	l.text = w.prefixed(s)
	w.size += len(l.text) + 1
	w.lines = append(w.lines, l)
}

func (w *textWriter) prefixed(s string) string {
	if w.quote <= 0 {
		return s
	}
	// No person quotes deeper than this.
	return strings.TrimRight(strings.Repeat("> ", min(w.quote, 20))+s, " ")
}

// trimmed returns the lines without empty ones at both ends and without more
// than two empty ones in a row.
func (w *textWriter) trimmed() []textLine {
	out := w.lines[:0]
	empty := 0
	for _, l := range w.lines {
		if l.text == "" {
			empty++
			if len(out) == 0 || empty > 2 {
				continue
			}
		} else {
			empty = 0
		}
		out = append(out, l)
	}
	for len(out) > 0 && out[len(out)-1].text == "" {
		out = out[:len(out)-1]
	}
	return slices.Clip(out)
}
