package email

import (
	"fmt"
	"net/url"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// Read understands a mail. It reads raw as a stream and holds a bounded amount
// of it, whatever the size: text up to [MaxText] a part, attachments only as
// windows. Everything wrong with the mail goes into Mail.Defects; the only
// errors are those of opening and reading raw, and the mail then holds what was
// understood before. It never returns a nil Mail.
//
// Safe for concurrent use.
func Read(raw channel.Body) (*Mail, error) {
	r := &reading{m: &Mail{}, raw: raw}
	err := r.open()
	r.step("header", r.header)
	r.step("body", r.body)
	r.step("new text", r.newText)
	r.step("bounce", r.bounce)
	r.step("report", r.reports)
	r.step("forward", r.forwarded)
	r.step("confirmation", r.confirmation)
	r.step("automatic", r.automatic)
	r.step("key", r.key)
	return r.m, err
}

// reading is a mail that is being understood, step by step. A step that fails
// leaves a defect, and the others go on.
type reading struct {
	m    *Mail
	raw  channel.Body
	root *part
	top  rawHeader
	hint string // charset of raw 8-bit headers
	html []textLine
	text []textLine // of Text, when asked for
	// derived says that Text was made from the HTML.
	derived bool
}

// step runs one step. A panic must never lose a mail: it becomes a defect.
func (r *reading) step(name string, f func()) {
	defer func() {
		if p := recover(); p != nil {
			r.defect(fmt.Sprintf("internal error while reading the %s: that step was left out", name))
		}
	}()
	f()
}

// defect notes what was wrong, once.
func (r *reading) defect(text string) {
	if slices.Contains(r.m.Defects, text) {
		return
	}
	if len(r.m.Defects) < MaxDefects {
		r.m.Defects = append(r.m.Defects, text)
	}
}

// open reads raw once and cuts it into parts.
func (r *reading) open() (err error) {
	if r.raw == nil {
		return fmt.Errorf("email: read: no mail")
	}
	f, err := r.raw.Open()
	if err != nil {
		return fmt.Errorf("email: open mail: %w", err)
	}
	defer f.Close()
	r.step("parts", func() {
		s := &splitter{lines: newLineReader(f), digest: newDigest(), defect: r.defect}
		r.root = s.split()
		s.digest.close()
		s.lines.close()
		if s.lines.err != nil {
			err = fmt.Errorf("email: read mail: %w", s.lines.err)
		}
	})
	if r.root != nil {
		r.top = r.root.header
	}
	return err
}

// header reads the fields of the mail. Of fields that must stand once the first
// counts, since others may have been added to deceive.
func (r *reading) header() {
	if r.root == nil {
		return
	}
	r.hint = charsetHint(r.root, 0)
	for _, name := range []string{"From", "Subject", "Message-ID", "Date", "To", "Cc", "Sender", "Reply-To", "In-Reply-To", "References", "Content-Type"} {
		if n := r.top.count(name); n > 1 {
			r.defect(fmt.Sprintf("%d %s fields: the first was taken", n, name))
		}
	}
	m := r.m
	m.Header = r.top.decode(r.hint)
	m.MessageID = firstID(r.top.get("Message-ID"))
	m.InReplyTo, _ = boundIDs(parseIDs(r.top.get("In-Reply-To")))
	refs, cut := boundIDs(parseIDs(r.top.get("References")))
	if m.References = refs; cut {
		r.defect(fmt.Sprintf("more than %d References: those in the middle were left out", MaxIDs))
	}
	if s := r.top.get("Date"); s != "" {
		if m.Date = parseDate(s); m.Date.IsZero() {
			r.defect("unreadable Date: left out")
		}
	}
	m.From = r.parties("From")
	m.Sender = r.parties("Sender")
	m.ReplyTo = r.parties("Reply-To")
	m.To = r.parties("To")
	m.Cc = r.parties("Cc")
	m.Subject = m.Header.Get("Subject")
	m.Received = r.top.count("Received")
	if r.top.count("Return-Path") > 0 {
		m.HasReturnPath = true
		m.ReturnPath = pathOf(r.top.get("Return-Path"))
	}
	if len(r.top) == 0 {
		r.defect("no header: all of it was read as text")
	} else if len(m.From) == 0 {
		r.defect("no readable From")
	}
	for _, f := range r.top {
		if isASCII(f.value) {
			continue
		}
		if _, d := decodeHeaderBytes(f.value, r.hint); d != "" {
			r.defect(d)
			break
		}
	}
}

func (r *reading) parties(name string) []channel.Party {
	v := r.top.get(name)
	if v == "" {
		return nil
	}
	return parseParties(v, r.hint)
}

// pathOf returns the address of a Return-Path, empty for the null path.
func pathOf(s string) string {
	if i := strings.LastIndexByte(s, '<'); i >= 0 {
		s, _, _ = strings.Cut(s[i+1:], ">")
	}
	return cleanAddress(s)
}

// charsetHint returns the first charset that the mail names: that of raw 8-bit
// headers, most likely.
func charsetHint(p *part, depth int) string {
	if cs := p.params.get("charset"); cs != "" || depth > MaxDepth {
		return cs
	}
	for _, c := range p.children {
		if cs := charsetHint(c, depth+1); cs != "" {
			return cs
		}
	}
	return ""
}

// body reads the text, the HTML and the attachments.
func (r *reading) body() {
	if r.root == nil {
		return
	}
	br := &bodyReader{defect: r.defect}
	b := br.read(r.root)
	m := r.m
	m.HTML = b.html
	m.Text = strings.TrimRight(b.text, " \t\n")
	if strings.TrimSpace(m.HTML) != "" {
		if len(m.HTML) > maxSanitize {
			r.defect("HTML over the limit: text was made from its beginning")
		}
		r.html = htmlLines(m.HTML)
		if strings.TrimSpace(m.Text) == "" {
			m.Text = textOf(r.html)
			r.derived = true
		}
	}
	for _, p := range b.files {
		if p.leaf != nil {
			m.Attachments = append(m.Attachments, attachment(p))
		}
	}
	markInline(m)
}

// markInline marks the images that the HTML shows.
func markInline(m *Mail) {
	if m.HTML == "" || len(m.Attachments) == 0 {
		return
	}
	shown := map[string]bool{}
	for rest := m.HTML; ; {
		_, after, ok := strings.Cut(rest, "cid:")
		if !ok {
			break
		}
		id := after[:min(len(after), maxID)]
		if i := strings.IndexAny(id, "\"'> )\n"); i >= 0 {
			id = id[:i]
		}
		if u, err := url.PathUnescape(id); err == nil {
			id = u
		}
		shown[id] = true
		rest = after
	}
	for i := range m.Attachments {
		a := &m.Attachments[i]
		a.Inline = a.Inline || a.ContentID != "" && shown[a.ContentID]
	}
}

// newText tells what is new from what is quoted, and from the signature.
func (r *reading) newText() {
	m := r.m
	forward := isForwardSubject(m.Subject)
	var lines []textLine
	var cut bool
	if r.derived {
		lines, cut = splitNew(r.html, forward)
	} else if lines, cut = splitNew(r.textLines(), forward); !cut && r.html != nil {
		// Mail programs mark in HTML what the text may not show.
		if h, ok := splitNew(r.html, forward); ok {
			lines, cut = h, ok
		}
	}
	m.NewText = m.Text
	if cut {
		m.NewText = textOf(lines)
	}
	text, sig := splitSignature(lines)
	m.NewTextUnsigned = m.NewText
	if sig != nil {
		m.NewTextUnsigned = textOf(text)
		m.Signature = textOf(sig)
	}
}

// textLines returns the lines of the text.
func (r *reading) textLines() []textLine {
	if r.text == nil {
		r.text = linesOf(r.m.Text)
	}
	return r.text
}

// walk calls f for each leaf.
func (r *reading) walk(f func(*part)) {
	var visit func(p *part, depth int)
	visit = func(p *part, depth int) {
		if !p.isMultipart() {
			f(p)
		}
		if depth > MaxDepth {
			return
		}
		for _, c := range p.children {
			visit(c, depth+1)
		}
	}
	if r.root != nil {
		visit(r.root, 0)
	}
}

// find returns the first leaf of one of the types, or nil.
func (r *reading) find(types ...string) *part {
	var found *part
	r.walk(func(p *part) {
		for _, t := range types {
			if found == nil && p.typ == t {
				found = p
			}
		}
	})
	return found
}
