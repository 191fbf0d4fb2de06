package email

import (
	"bytes"
	"encoding/hex"
	"html"
	"strings"
	"unicode/utf8"

	"github.com/anteroom/anteroom/channel"
)

// body is what a tree of parts shows: its text, its HTML, and the rest.
type body struct {
	text, html string
	has        bool // there is a text, perhaps an empty one
	files      []*part
}

// reader turns a tree of parts into the body of a mail.
type bodyReader struct {
	defect func(string)
	shown  bool // a text was shown already, so that a named text is a file
}

// read returns what p shows.
func (r *bodyReader) read(p *part) body {
	if !p.isMultipart() {
		return r.leaf(p)
	}
	if len(p.children) == 0 {
		return r.rest(p)
	}
	var b body
	switch p.typ {
	case "multipart/alternative":
		b = r.alternative(p)
	case "multipart/related":
		b = r.related(p)
	default:
		b = r.mixed(p.children)
	}
	if !b.has && len(b.files) == 0 {
		return r.rest(p)
	}
	return b
}

// rest returns what stands outside of the parts, where there are none.
func (r *bodyReader) rest(p *part) body {
	for _, l := range []*leaf{p.preamble, p.epilogue} {
		if l == nil || strings.TrimSpace(string(l.text)) == "" {
			continue
		}
		r.defect("multipart without parts: read as text")
		typ := "text/plain"
		if looksHTML(l.text) {
			typ = "text/html"
		}
		return r.leaf(&part{typ: typ, params: p.params, leaf: l})
	}
	return body{}
}

// leaf returns a part as text or as a file.
func (r *bodyReader) leaf(p *part) body {
	if !r.isText(p) {
		return body{files: []*part{p}}
	}
	r.shown = true
	l := p.leaf
	if l.cut {
		r.defect("text over the limit: the end was cut off")
	}
	if p.typ == "text/html" || looksHTML(l.text) && !strings.Contains(string(l.text[:min(len(l.text), 4096)]), "\n\n") && p.params.get("charset") == "" && p.typ == "text/plain" {
		h := r.decode(l.text, htmlCharset(p.params.get("charset"), l.text), l.cut)
		return body{html: h, has: true}
	}
	t := r.decode(l.text, p.params.get("charset"), l.cut)
	if strings.EqualFold(p.params.get("format"), "flowed") {
		t = unflow(t, strings.EqualFold(p.params.get("delsp"), "yes"))
	}
	return body{text: t, has: true}
}

// isText reports whether a leaf is shown as text rather than as a file.
func (r *bodyReader) isText(p *part) bool {
	if p.disp == "attachment" || !strings.HasPrefix(p.typ, "text/") {
		return false
	}
	switch p.typ {
	case "text/plain", "text/html", "text/enriched", "text/richtext":
	case "text/calendar", "text/csv", "text/vcard", "text/x-vcard", "text/directory", "text/rfc822-headers", "text/xml", "text/css", "text/javascript":
		return false
	default:
		if r.shown {
			return false
		}
	}
	// Some writers name their text; but a named text after another is a file.
	return fileName(p) == "" || !r.shown
}

// decode turns the bytes of a text into text with LF line ends.
func (r *bodyReader) decode(b []byte, charset string, cut bool) string {
	if s, ok := plainUTF8(b, charset); ok {
		return s
	}
	t, defect := decodeCharset(b, charset)
	if defect != "" && !cut {
		r.defect(defect)
	}
	return lineFeeds(t)
}

// plainUTF8 does what decode does for text that is UTF-8 and says so, in one go.
func plainUTF8(b []byte, charset string) (string, bool) {
	switch charset {
	case "utf-8", "UTF-8", "us-ascii", "US-ASCII", "":
	default:
		return "", false
	}
	if !utf8.Valid(b) || bytes.IndexByte(b, 0) >= 0 || bytes.IndexByte(b, 0x1b) >= 0 || bytes.HasPrefix(b, []byte("\xef\xbb\xbf")) {
		return "", false
	}
	var s strings.Builder
	s.Grow(len(b))
	for len(b) > 0 {
		i := bytes.IndexByte(b, '\r')
		if i < 0 {
			s.Write(b)
			break
		}
		s.Write(b[:i])
		s.WriteByte('\n')
		b = b[i+1:]
		// CRs before an LF belong to it; a lone CR is a line end.
		if n := len(b) - len(bytes.TrimLeft(b, "\r")); n < len(b) && b[n] == '\n' {
			b = b[n+1:]
		}
	}
	return s.String(), true
}

// lineFeeds makes every line end an LF.
func lineFeeds(s string) string {
	if strings.IndexByte(s, '\r') < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s))
	for i := 0; i < len(s); i++ {
		if s[i] != '\r' {
			b.WriteByte(s[i])
			continue
		}
		// CRs before an LF belong to it; a lone CR is a line end.
		j := i
		for j < len(s) && s[j] == '\r' {
			j++
		}
		if j < len(s) && s[j] == '\n' {
			i = j
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// alternative takes the last of the forms that can be shown, of text and of
// HTML each.
func (r *bodyReader) alternative(p *part) body {
	var out body
	before := r.shown
	for _, c := range p.children {
		r.shown = before
		switch c.typ {
		case "text/x-amp-html", "text/watch-html", "text/enriched", "text/richtext", "text/rtf":
			if c.disp != "attachment" && len(p.children) > 1 {
				continue // another form of the same
			}
		}
		b := r.read(c)
		if strings.TrimSpace(b.text) != "" || out.text == "" {
			out.text = b.text
		}
		if strings.TrimSpace(b.html) != "" {
			out.html = b.html
		}
		out.has = out.has || b.has
		out.files = append(out.files, b.files...)
	}
	r.shown = before || out.has
	return out
}

// related takes the text from the root part; the others are its images (RFC
// 2387).
func (r *bodyReader) related(p *part) body {
	root := 0
	if start := firstID(p.params.get("start")); start != "" {
		for i, c := range p.children {
			if firstID(c.header.get("Content-ID")) == start {
				root = i
			}
		}
	}
	var out body
	for i, c := range p.children {
		if i == root {
			b := r.read(c)
			out.text, out.html, out.has = b.text, b.html, b.has
			out.files = append(out.files, b.files...)
			continue
		}
		if c.isMultipart() {
			out.files = append(out.files, r.read(c).files...)
			continue
		}
		if root == 0 && i == 1 && !out.has && r.isText(c) {
			b := r.read(c)
			out.text, out.html, out.has = b.text, b.html, b.has
			continue
		}
		out.files = append(out.files, c)
	}
	return out
}

// mixed joins the texts in order, as mailers do that put images between them.
func (r *bodyReader) mixed(parts []*part) body {
	var out body
	var shown []body
	anyHTML := false
	for _, c := range parts {
		b := r.read(c)
		out.files = append(out.files, b.files...)
		if b.has {
			out.has = true
			shown = append(shown, b)
			anyHTML = anyHTML || b.html != ""
		}
	}
	var texts, htmls []string
	for _, b := range shown {
		t := b.text
		if t == "" && b.html != "" && len(shown) > 1 {
			t = TextFromHTML(b.html)
		}
		if strings.TrimSpace(t) != "" {
			texts = append(texts, t)
		}
		switch {
		case b.html != "":
			htmls = append(htmls, b.html)
		case anyHTML && strings.TrimSpace(b.text) != "":
			htmls = append(htmls, `<div style="white-space:pre-wrap">`+html.EscapeString(b.text)+"</div>")
		}
	}
	out.text = joinTexts(texts)
	out.html = strings.Join(htmls, "\n")
	return out
}

// joinTexts puts texts below each other.
func joinTexts(texts []string) string {
	var b strings.Builder
	for _, t := range texts {
		if b.Len() > 0 && !strings.HasSuffix(b.String(), "\n") {
			b.WriteByte('\n')
		}
		b.WriteString(t)
	}
	return b.String()
}

// attachment describes a file part.
func attachment(p *part) Attachment {
	l := p.leaf
	sum := l.sum()
	a := Attachment{SHA256: hex.EncodeToString(sum[:])}
	a.Type = p.typ
	a.Size = l.size
	a.Name = fileName(p)
	a.ContentID = firstID(p.header.get("Content-ID"))
	// An image that the HTML may show has an id or says so.
	a.Inline = p.disp == "inline" || p.disp == "" && a.ContentID != "" && strings.HasPrefix(p.typ, "image/")
	if a.Name == "" && (p.typ == "message/rfc822" || p.typ == "message/global") {
		a.Name = enclosedName(l.head)
	}
	a.Window = &channel.Window{Offset: l.offset, Length: l.length, Encoding: l.encoding}
	return a
}

// enclosedName names an enclosed message after its subject.
func enclosedName(head []byte) string {
	name := cleanFileName(strings.NewReplacer("/", "-", "\\", "-", ":", "-").Replace(headerOf(head).Get("Subject")))
	if name == "" {
		name = "message"
	}
	return name + ".eml"
}

// looksHTML reports whether text begins like an HTML document.
func looksHTML(b []byte) bool {
	b = bytes.TrimSpace(b[:min(len(b), 512)])
	if len(b) == 0 || b[0] != '<' {
		return false
	}
	s := strings.ToLower(string(b))
	return strings.HasPrefix(s, "<!doctype html") || strings.HasPrefix(s, "<html") || strings.HasPrefix(s, "<head") || strings.HasPrefix(s, "<body")
}

// htmlCharset returns the charset of HTML: the one of the part, else the one in
// the document's own head.
func htmlCharset(label string, b []byte) string {
	if charsetLabel(label) != "" {
		return label
	}
	head := strings.ToLower(string(b[:min(len(b), 2048)]))
	before, after, ok := strings.Cut(head, "charset=")
	if !ok || !strings.Contains(before, "<meta") {
		return label
	}
	v := strings.TrimLeft(after, `"' `)
	if j := strings.IndexAny(v, `"'>; /`); j >= 0 {
		v = v[:j]
	}
	if strings.HasPrefix(v, "utf-16") || charsetLabel(v) == "utf-7" {
		return label // the document was readable as ASCII, so this cannot be
	}
	return v
}
