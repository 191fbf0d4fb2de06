package email

import (
	"strings"

	"golang.org/x/net/html"
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
func attributesOf(t html.Token) elementMarks {
	var m elementMarks
	var cite bool
	var class, style, name string
	for _, a := range t.Attr {
		switch a.Key {
		case "id":
			m.id = strings.ToLower(a.Val)
		case "class":
			class = a.Val
		case "href":
			m.href = strings.TrimSpace(a.Val)
		case "alt":
			m.alt = strings.TrimSpace(a.Val)
		case "name":
			name = strings.ToLower(a.Val)
		case "type":
			cite = strings.EqualFold(a.Val, "cite")
		case "style":
			style = a.Val
		case "hidden":
			m.hidden = true
		}
	}
	if style != "" && len(style) < 4096 {
		s := asciiLower(strings.ReplaceAll(style, " ", ""))
		m.hidden = m.hidden || strings.Contains(s, "display:none") || strings.Contains(s, "mso-hide:all") && strings.Contains(s, "max-height:0")
		// Outlook on the desktop draws this line above the mail it answers.
		if t.DataAtom == atom.Div && strings.Contains(s, "border:none;border-top:solid#") && strings.Contains(s, "1.0pt") {
			m.after = true
		}
	}
	id := strings.TrimPrefix(strings.TrimPrefix(m.id, "x_"), "m_")
	switch id {
	case "appendonsend", "divrplyfwdmsg", "replyblockquote", "mail-editor-reference-message-container", "zimbraeditorcontainer_quote":
		m.after = true
	case "stopspelling":
		m.after = true
	case "signature", "applemailsignature", "ms-outlook-mobile-signature", "ymail_android_signature":
		m.signature = true
	}
	if t.DataAtom == atom.A && (name == "_mailoriginal" || name == "_____replyseparator") {
		m.after = true
	}
	m.quote = cite && t.DataAtom == atom.Blockquote
	for c := range strings.FieldsSeq(class) {
		switch asciiLower(c) {
		case "gmail_quote", "gmail_quote_container", "yahoo_quoted", "moz-cite-prefix", "protonmail_quote", "zmail_extra", "ymail_quoted", "tutanota_quote", "front-blockquote", "outlookmessageheader":
			m.quote = true
		case "gmail_signature", "gmail_signature_prefix", "moz-signature", "protonmail_signature_block", "yahoo-signature":
			m.signature = true
		}
	}
	return m
}
