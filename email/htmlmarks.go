package email

import (
	"bytes"
	"strings"

	"golang.org/x/net/html/atom"
)

// elementMarks is what the attributes of an element say about its content.
type elementMarks struct {
	id, href, alt string
	hidden        bool
	quote         bool // the element holds the quoted mail
	after         bool // all that follows is the quoted mail
	signature     bool
}

// attributesOf reads the marks by which mail programs tell quotes and signatures
// apart. They are field knowledge: class and id names that the programs write.
// The scratch space is kept between calls.
func attributesOf(z *htmlTokens, scratch *[]byte) elementMarks {
	a, tag := &z.attr, z.tag
	m := elementMarks{hidden: a.hidden}
	if a.seen == 0 {
		return m
	}
	if a.id != "" {
		m.id = strings.ToLower(z.value(a.id))
		m.program()
	}
	if a.href != "" {
		m.href = strings.TrimSpace(z.value(a.href))
	}
	if a.alt != "" {
		m.alt = strings.TrimSpace(z.value(a.alt))
	}
	if a.style != "" {
		m.style(tag, z.value(a.style), scratch)
	}
	if tag == atom.A && a.name != "" {
		if name := strings.ToLower(z.value(a.name)); name == "_mailoriginal" || name == "_____replyseparator" {
			m.after = true
		}
	}
	m.quote = a.typ != "" && tag == atom.Blockquote && strings.EqualFold(z.value(a.typ), "cite")
	if a.class != "" {
		m.classes(z.value(a.class))
	}
	return m
}

// program reads what ids say.
func (m *elementMarks) program() {
	id := strings.TrimPrefix(strings.TrimPrefix(m.id, "x_"), "m_")
	switch id {
	case "appendonsend", "divrplyfwdmsg", "replyblockquote", "mail-editor-reference-message-container", "zimbraeditorcontainer_quote":
		m.after = true
	case "stopspelling":
		m.after = true
	case "signature", "applemailsignature", "ms-outlook-mobile-signature", "ymail_android_signature":
		m.signature = true
	}
}

// classes reads what classes say.
func (m *elementMarks) classes(class string) {
	for c := range strings.FieldsSeq(class) {
		switch asciiLower(c) {
		case "gmail_quote", "gmail_quote_container", "yahoo_quoted", "moz-cite-prefix", "protonmail_quote", "zmail_extra", "ymail_quoted", "tutanota_quote", "front-blockquote", "outlookmessageheader":
			m.quote = true
		case "gmail_signature", "gmail_signature_prefix", "moz-signature", "protonmail_signature_block", "yahoo-signature":
			m.signature = true
		}
	}
}

// maxMarkStyle bounds the style that is looked into, in bytes.
const maxMarkStyle = 4 << 10

// style reads what a style says about whether the element is shown.
func (m *elementMarks) style(tag atom.Atom, style string, scratch *[]byte) {
	if len(style) >= maxMarkStyle {
		return
	}
	s := (*scratch)[:0]
	for i := range len(style) {
		c := style[i]
		if 'A' <= c && c <= 'Z' {
			c |= 0x20
		}
		if c != ' ' {
			s = append(s, c)
		}
	}
	*scratch = s
	has := func(what string) bool { return bytes.Contains(s, []byte(what)) }
	m.hidden = m.hidden || has("display:none") || has("mso-hide:all") && has("max-height:0")
	// Outlook on the desktop draws this line above the mail it answers.
	if tag == atom.Div && has("border:none;border-top:solid#") && has("1.0pt") {
		m.after = true
	}
}
