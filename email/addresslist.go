package email

import (
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// parseParties reads a list of addresses leniently (RFC 5322 section 3.4, and
// what is written in its place): names with commas and brackets, semicolons,
// comments, groups, missing and unclosed angle brackets. hint is the charset of
// raw 8-bit bytes.
func parseParties(raw, hint string) []channel.Party {
	if p, ok := commonParty(raw); ok {
		return []channel.Party{p}
	}
	return otherParties(raw, hint)
}

// otherParties reads the lists that commonParty does not.
func otherParties(raw, hint string) []channel.Party {
	var out []channel.Party
	pending := "" // text before a comma that belongs to the next name
	entries := splitList(raw)
	for i, e := range entries {
		if !e.hasAddress() && i+1 < len(entries) && entries[i+1].angle && e.sep == ',' {
			pending += e.text + ", "
			continue
		}
		e.text = pending + e.text
		pending = ""
		if p, ok := e.party(hint); ok {
			out = append(out, p)
		}
		if len(out) >= MaxParties {
			break
		}
	}
	return out
}

// commonParty reads one address in the forms that most have, in which nothing
// needs to be decoded or guessed: "a@b", "Name <a@b>" and the same with quotes
// around the name.
func commonParty(s string) (channel.Party, bool) {
	s = strings.Trim(s, " ")
	name, addr := "", s
	if i := strings.IndexByte(s, '<'); i >= 0 {
		if s[len(s)-1] != '>' {
			return channel.Party{}, false
		}
		name, addr = strings.Trim(s[:i], " "), s[i+1:len(s)-1]
		if n := len(name); n > 2 && name[0] == '"' && name[n-1] == '"' {
			name = strings.Trim(name[1:n-1], " ")
		}
	}
	ok := isPlain(name) && !strings.ContainsAny(name, `"'\\<>()@,;:=?`) && plainAddress(addr)
	return channel.Party{Name: name, Address: addr}, ok
}

// plainAddress reports whether s is an address of dots and atoms.
func plainAddress(s string) bool {
	at := strings.IndexByte(s, '@')
	if at <= 0 || at == len(s)-1 || len(s) > 254 || s[0] == '\'' || s[len(s)-1] == '\'' {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAtext(c) && c != '.' && i != at {
			return false
		}
	}
	return !strings.Contains(s, "=?")
}

// listEntry is one entry of an address list, before decoding.
type listEntry struct {
	text    string // without comments
	comment string // the last comment
	angle   bool   // it has an angle bracket
	sep     byte   // what ended it
}

func (e listEntry) hasAddress() bool { return e.angle || strings.Contains(e.text, "@") }

// splitList cuts at commas and semicolons outside of quotes, comments and angle
// brackets, and drops the names of groups.
func splitList(s string) []listEntry {
	var out []listEntry
	var cur listEntry
	var text strings.Builder
	flush := func(sep byte) {
		cur.text, cur.sep = strings.TrimSpace(text.String()), sep
		if cur.text != "" || cur.comment != "" {
			out = append(out, cur)
		}
		cur = listEntry{}
		text.Reset()
	}
	inAngle := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			end := closing(s, i, '"')
			if end < 0 {
				text.WriteByte(' ') // a quote that is never closed means nothing
				continue
			}
			text.WriteString(s[i : end+1])
			i = end
		case c == '(' && !inAngle:
			end := closingComment(s, i)
			if end < 0 {
				text.WriteByte(c)
				continue
			}
			cur.comment = s[i+1 : end]
			text.WriteByte(' ')
			i = end
		case c == '<':
			// Without its end, the bracket ends at the next comma.
			ahead := s[i+1 : min(len(s), i+maxQuoted)]
			next := strings.IndexAny(ahead, "<>,;")
			inAngle = next >= 0 && ahead[next] == '>' || strings.HasPrefix(ahead, "@") && strings.IndexByte(ahead, '>') >= 0
			cur.angle = true
			text.WriteByte(c)
		case c == '>':
			inAngle = false
			text.WriteByte(c)
		case (c == ',' || c == ';') && !inAngle:
			flush(c)
		case c == ':' && !inAngle && !cur.angle && groupName(text.String()):
			text.Reset()
			cur = listEntry{}
		default:
			text.WriteByte(c)
		}
	}
	flush(0)
	return out
}

// groupName reports whether text before a colon names a group rather than being
// part of an address ("mailto:").
func groupName(s string) bool {
	s = strings.TrimSpace(s)
	return s != "" && !strings.Contains(s, "@") && !strings.Contains(s, "=?")
}

// maxQuoted is the longest quoted string or comment of an address in bytes. What
// is never closed must not cost a look at all the rest each time.
const maxQuoted = 1 << 10

// closing returns the index of the quote that closes the one at i, or -1.
func closing(s string, i int, q byte) int {
	for j := i + 1; j < min(len(s), i+maxQuoted); j++ {
		if s[j] == '\\' {
			j++
		} else if s[j] == q {
			return j
		}
	}
	return -1
}

// closingComment returns the end of the comment that begins at i, or -1.
// Comments nest.
func closingComment(s string, i int) int {
	depth := 0
	for j := i; j < min(len(s), i+maxQuoted); j++ {
		switch s[j] {
		case '\\':
			j++
		case '(':
			depth++
		case ')':
			if depth--; depth == 0 {
				return j
			}
		}
	}
	return -1
}

// party reads one entry.
func (e listEntry) party(hint string) (channel.Party, bool) {
	name, addr := e.text, ""
	if i := strings.LastIndexByte(e.text, '<'); i >= 0 && e.angle {
		name = e.text[:i]
		addr, _, _ = strings.Cut(e.text[i+1:], ">")
		// A source route (RFC 5321 section 4.1.2) is obsolete and means nothing.
		if strings.HasPrefix(addr, "@") {
			if _, tail, ok := strings.Cut(addr, ":"); ok {
				addr = tail
			}
		}
	} else if !strings.HasPrefix(e.text, `"`) || strings.HasSuffix(e.text, `"`) || strings.Contains(e.text, `"@`) {
		name, addr = tokenWithAt(e.text)
	}
	p := channel.Party{Name: partyName(name, hint), Address: cleanAddress(addr)}
	if c := partyName(e.comment, hint); p.Name == "" {
		p.Name = c
	} else if c != "" && e.angle {
		p.Name += " (" + c + ")"
	}
	if p.Address == "" && e.angle && strings.Contains(p.Name, "@") && !strings.ContainsAny(p.Name, " ") {
		p.Address, p.Name = p.Name, ""
	}
	if p.Address == "" && !e.angle && p.Name != "" && !strings.ContainsAny(p.Name, " ") {
		p.Address, p.Name = p.Name, partyName(e.comment, hint) // MAILER-DAEMON
	}
	return p, p.Address != "" || p.Name != ""
}

// tokenWithAt returns the first word that holds an @, and the other words.
func tokenWithAt(s string) (rest, addr string) {
	if strings.HasPrefix(s, `"`) && strings.Contains(s, `"@`) {
		return "", s // a quoted local part
	}
	var others []string
	for w := range strings.FieldsSeq(s) {
		if addr == "" && strings.Contains(w, "@") {
			addr = strings.Trim(w, `[]"`)
			continue
		}
		others = append(others, w)
	}
	return strings.Join(others, " "), addr
}

// partyName decodes a display name and takes the quotes off, those around it as
// well as those around one of its words.
func partyName(s, hint string) string {
	s = strings.TrimSpace(s)
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '"' {
			if end := closing(s, i, '"'); end > 0 {
				b.WriteString(unquote(s[i+1 : end]))
				i = end
				continue
			}
			continue
		}
		b.WriteByte(s[i])
	}
	name := cleanLine(decodeWords(b.String(), hint))
	if len(name) >= 2 && name[0] == '\'' && name[len(name)-1] == '\'' {
		name = name[1 : len(name)-1]
	}
	return strings.TrimSpace(name)
}

// cleanAddress takes blanks, controls and decoration off an address.
func cleanAddress(s string) string {
	s = strings.Map(func(r rune) rune {
		if r <= ' ' || r == 0x7f || isBidiControl(r) || r == '\u00a0' || r == '\u200b' || r == '\ufeff' {
			return -1
		}
		return r
	}, dropNUL(s))
	if len(s) > 7 && strings.EqualFold(s[:7], "mailto:") {
		s = s[7:]
	}
	s = strings.Trim(s, `'<>,;`)
	if len(s) > 1000 {
		return ""
	}
	return s
}
