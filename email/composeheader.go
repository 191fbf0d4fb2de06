package email

import (
	"fmt"
	"mime"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"

	"github.com/anteroom/anteroom/channel"
)

// headerWriter writes header fields. No value can break out of its field: each
// is checked before it is written, and the first bad one is the error.
type headerWriter struct {
	b   strings.Builder
	err error
}

// fail notes the first bad field.
func (h *headerWriter) fail(field, problem string) {
	if h.err == nil {
		h.err = channel.BadField(field, "%s", problem)
	}
}

// check refuses what must not stand in a header (RFC 5322 section 2.2).
func (h *headerWriter) check(field, value string) bool {
	switch {
	case !utf8.ValidString(value):
		h.fail(field, "must be valid UTF-8")
	case hasControl(value):
		h.fail(field, "must not hold line breaks or controls")
	default:
		return true
	}
	return false
}

// foldAt is the column after which a line is folded (RFC 5322 section 2.1.1).
const foldAt = 76

// line writes a field, folded at blanks. The value must be clean.
func (h *headerWriter) line(name, value string) {
	h.b.WriteString(name)
	h.b.WriteByte(':')
	col := len(name) + 1
	for i, w := range strings.Split(value, " ") {
		// A line must never consist of blanks, so an empty word stays.
		if i > 0 && w != "" && col+1+len(w) > foldAt {
			h.b.WriteString("\r\n")
			col = 0
		}
		h.b.WriteByte(' ')
		h.b.WriteString(w)
		col += 1 + len(w)
	}
	h.b.WriteString("\r\n")
}

// text writes a field whose value is ASCII without meaning.
func (h *headerWriter) text(name, field, value string) {
	if !h.check(field, value) {
		return
	}
	for w := range strings.SplitSeq(value, " ") {
		if len(w) > 900 {
			h.fail(field, "has a word that is too long")
			return
		}
	}
	if !isASCII(value) {
		h.encoded(name, field, value)
		return
	}
	h.line(name, value)
}

// encoded writes a field of free text, in encoded words where it needs them.
func (h *headerWriter) encoded(name, field, value string) {
	if h.check(field, value) {
		h.line(name, encodeText(value))
	}
}

// ids writes message ids.
func (h *headerWriter) ids(name string, ids []string) {
	h.line(name, "<"+strings.Join(ids, "> <")+">")
}

// parties writes a list of addresses, or nothing.
func (h *headerWriter) parties(name, field string, ps []channel.Party) {
	if len(ps) == 0 {
		return
	}
	var list []string
	for i, p := range ps {
		f := field
		if field != "from" {
			f = fmt.Sprintf("%s[%d]", field, i)
		}
		if !h.checkParty(f, p) {
			return
		}
		list = append(list, writeParty(p))
	}
	h.line(name, strings.Join(list, ", "))
}

// checkParty refuses bad names and addresses.
func (h *headerWriter) checkParty(field string, p channel.Party) bool {
	if !h.check(field+".name", p.Name) || !h.check(field+".address", p.Address) {
		return false
	}
	if problem := addressProblem(p.Address); problem != "" {
		h.fail(field+".address", problem)
		return false
	}
	if _, err := wireAddress(p.Address); err != nil {
		h.fail(field+".address", "has a bad domain")
		return false
	}
	return true
}

// writeParty writes a checked party.
func writeParty(p channel.Party) string {
	addr, err := wireAddress(p.Address)
	if err != nil {
		addr = p.Address
	}
	if strings.TrimSpace(p.Name) == "" {
		return "<" + addr + ">"
	}
	return encodePhrase(strings.TrimSpace(p.Name)) + " <" + addr + ">"
}

// wireAddress returns an address with its domain in ASCII. A local part in
// other letters needs SMTPUTF8 (RFC 6531) and stays.
func wireAddress(addr string) (string, error) {
	i := strings.LastIndexByte(addr, '@')
	domain, err := asciiDomain(addr[i+1:])
	return addr[:i+1] + domain, err
}

func asciiDomain(domain string) (string, error) {
	if isASCII(domain) {
		return domain, nil
	}
	return idna.Lookup.ToASCII(domain)
}

// encodePhrase writes a display name (RFC 5322 section 3.2.5).
func encodePhrase(s string) string {
	if needsEncoding(s) {
		return encodeText(s)
	}
	for i := range len(s) {
		if !isAtext(s[i]) && s[i] != ' ' {
			return quoteString(s)
		}
	}
	if strings.Contains(s, "  ") {
		return quoteString(s)
	}
	return s
}

func quoteString(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// encodeText writes free text or a name. The shorter of both encodings is taken.
func encodeText(s string) string {
	if !needsEncoding(s) {
		return s
	}
	q, b := encodeQ(s), mime.BEncoding.Encode("utf-8", s)
	if len(b) < len(q) && b != s {
		return b
	}
	return q
}

// encodeQ encodes text so that it may stand in a name too (RFC 2047 section 5):
// all but letters and digits is escaped, and no character is cut.
func encodeQ(s string) string {
	const maxWord = 60 // an encoded word has at most 75 characters, an escaped character 12
	var words []string
	for s != "" {
		var b strings.Builder
		b.WriteString("=?utf-8?q?")
		for s != "" && b.Len() < maxWord {
			_, n := utf8.DecodeRuneInString(s)
			for i := range n {
				switch c := s[i]; {
				case c == ' ':
					b.WriteByte('_')
				case isLetterDigit(c):
					b.WriteByte(c)
				default:
					fmt.Fprintf(&b, "=%02X", c)
				}
			}
			s = s[n:]
		}
		b.WriteString("?=")
		words = append(words, b.String())
	}
	return strings.Join(words, " ")
}

// needsEncoding reports whether text would not be read as it is: other letters,
// what looks like an encoded word, words too long for a line, outer blanks.
func needsEncoding(s string) bool {
	if !isASCII(s) || strings.Contains(s, "=?") || strings.TrimSpace(s) != s {
		return true
	}
	for w := range strings.SplitSeq(s, " ") {
		if len(w) > 800 {
			return true
		}
	}
	return false
}

func isASCII(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}

// parameter writes a parameter of Content-Type or Content-Disposition, in
// sections where it is long or has other letters (RFC 2231).
func parameter(name, value string) string {
	if isASCII(value) && len(value) <= 60 {
		return "; " + name + "=" + quoteString(value)
	}
	var enc []string // one escape or character each
	for i := range len(value) {
		if c := value[i]; isLetterDigit(c) || c == '.' || c == '-' || c == '_' {
			enc = append(enc, string(c))
		} else {
			enc = append(enc, fmt.Sprintf("%%%02X", c))
		}
	}
	var sections []string
	cur := "utf-8''"
	for _, e := range enc {
		if len(cur)+len(e) > 55 {
			sections = append(sections, cur)
			cur = ""
		}
		cur += e
	}
	sections = append(sections, cur)
	if len(sections) == 1 {
		return "; " + name + "*=" + sections[0]
	}
	var b strings.Builder
	for i, s := range sections {
		fmt.Fprintf(&b, "; %s*%d*=%s", name, i, s)
	}
	return b.String()
}
