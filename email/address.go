package email

import (
	"net"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/anteroom/anteroom/channel"
)

// ParseAddress parses one address, "user@example.com" or "Name
// <user@example.com>", strictly. Letters of any language are allowed in both
// sides (RFC 6531). The error is a [*channel.FieldError] with the field
// "address".
func ParseAddress(s string) (channel.Party, error) {
	bad := func(problem string) (channel.Party, error) {
		return channel.Party{}, channel.BadField("address", "%s", problem)
	}
	if !utf8.ValidString(s) || hasControl(s) {
		return bad("must be text without line breaks and controls")
	}
	s = strings.TrimSpace(s)
	name, addr := "", s
	if rest, ok := strings.CutSuffix(s, ">"); ok {
		i := strings.LastIndexByte(rest, '<')
		if i < 0 {
			return bad("has no opening angle bracket")
		}
		name, addr = strings.TrimSpace(rest[:i]), strings.TrimSpace(rest[i+1:])
		if len(name) >= 2 && name[0] == '"' && name[len(name)-1] == '"' {
			name = unquote(name[1 : len(name)-1])
		} else if strings.ContainsAny(name, `<>"`) {
			return bad("has more than one address, or a quote that is not closed")
		}
	}
	if problem := addressProblem(addr); problem != "" {
		return bad(problem)
	}
	return channel.Party{Name: decodeWords(name, ""), Address: addr}, nil
}

// addressProblem says what is wrong with an address, or nothing (RFC 5321
// section 4.1.2 and its limits in 4.5.3.1).
func addressProblem(addr string) string {
	i := strings.LastIndexByte(addr, '@')
	switch {
	case addr == "":
		return "is empty"
	case i <= 0 || i == len(addr)-1:
		return "must have the form user@example.com"
	case i > 64 || len(addr) > 254:
		return "is too long"
	}
	if p := localProblem(addr[:i]); p != "" {
		return p
	}
	return domainProblem(addr[i+1:])
}

func localProblem(local string) string {
	if len(local) >= 2 && local[0] == '"' && local[len(local)-1] == '"' {
		in := local[1 : len(local)-1]
		for i := 0; i < len(in); i++ {
			if in[i] == '\\' {
				i++
			} else if in[i] == '"' {
				return "has a quote inside the part before the @"
			}
		}
		if strings.HasSuffix(strings.ReplaceAll(in, `\\`, ""), `\`) {
			return "ends in a backslash before the @"
		}
		return ""
	}
	if strings.HasPrefix(local, ".") || strings.HasSuffix(local, ".") || strings.Contains(local, "..") {
		return "has a misplaced dot before the @"
	}
	for _, r := range local {
		if r >= 0x80 {
			if unicode.IsSpace(r) || !unicode.IsPrint(r) {
				return "has a character that is not allowed before the @"
			}
			continue
		}
		if !isAtext(byte(r)) && r != '.' {
			return "has a character that is not allowed before the @"
		}
	}
	return ""
}

func domainProblem(domain string) string {
	if lit, ok := strings.CutPrefix(domain, "["); ok {
		lit, ok = strings.CutSuffix(lit, "]")
		lit = strings.TrimPrefix(lit, "IPv6:")
		if !ok || net.ParseIP(lit) == nil {
			return "has a bad address literal"
		}
		return ""
	}
	for label := range strings.SplitSeq(domain, ".") {
		if label == "" || len(label) > 63*4 || strings.HasPrefix(label, "-") || strings.HasSuffix(label, "-") {
			return "has a bad domain"
		}
		for _, r := range label {
			if r < 0x80 && !isLetterDigit(byte(r)) && r != '-' && r != '_' || r >= 0x80 && !unicode.IsLetter(r) && !unicode.IsMark(r) && !unicode.IsDigit(r) && !unicode.IsSymbol(r) {
				return "has a bad domain"
			}
		}
	}
	return ""
}

func isLetterDigit(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c|0x20 && c|0x20 <= 'z'
}

// isAtext reports whether c may stand in an atom (RFC 5322 section 3.2.3).
func isAtext(c byte) bool {
	return isLetterDigit(c) || c < 0x80 && strings.IndexByte("!#$%&'*+-/=?^_`{|}~", c) >= 0
}

func hasControl(s string) bool {
	return strings.ContainsFunc(s, unicode.IsControl)
}

// unquote undoes the backslashes of a quoted string.
func unquote(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			i++
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// NormalizeAddress returns the form of an address under which its owner is
// counted: in lower case, without +tag, and with the wrappings of forwarders
// (SRS0, SRS1) and signers (BATV: prvs=) undone. Text that is no address comes
// back in lower case.
func NormalizeAddress(addr string) string {
	addr = strings.ToLower(strings.Trim(strings.TrimSpace(addr), "<>"))
	for range 4 { // wrappings may be nested
		next := unwrap(addr)
		if next == addr {
			break
		}
		addr = next
	}
	i := strings.LastIndexByte(addr, '@')
	if i <= 0 {
		return addr
	}
	local, domain := addr[:i], strings.TrimSuffix(addr[i+1:], ".")
	if j := strings.IndexByte(local, '+'); j > 0 {
		local = local[:j]
	}
	if len(local)+1+len(domain) == len(addr) {
		return addr
	}
	return local + "@" + domain
}

// unwrap undoes one wrapping of a lower-case address.
func unwrap(addr string) string {
	i := strings.LastIndexByte(addr, '@')
	if i <= 0 {
		return addr
	}
	local := addr[:i]
	// BATV: prvs=tag=local@domain, also prvs=local/tag=... in old drafts.
	if rest, ok := strings.CutPrefix(local, "prvs="); ok {
		if tag, l, ok := strings.Cut(rest, "="); ok && tag != "" && l != "" {
			return l + addr[i:]
		}
	}
	if len(local) > 5 && (local[:4] == "srs0" || local[:4] == "srs1") && strings.IndexByte("=+-", local[4]) >= 0 {
		return unwrapSRS(local, addr)
	}
	return addr
}

// unwrapSRS undoes SRS0=hash=tt=domain=local and
// SRS1=hash=forwarder==hash=tt=domain=local.
func unwrapSRS(local, addr string) string {
	f := strings.SplitN(local[5:], "=", 4)
	if local[3] == '1' {
		_, inner, ok := strings.Cut(local[5:], "==")
		if !ok {
			return addr
		}
		f = strings.SplitN(inner, "=", 4)
	}
	if len(f) < 4 || f[2] == "" || f[3] == "" || strings.Contains(f[2], "@") {
		return addr
	}
	return f[3] + "@" + f[2]
}
