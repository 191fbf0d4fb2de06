package email

import (
	"slices"
	"sort"
	"strconv"
	"strings"
)

// parameters are those of a Content-Type or Content-Disposition, names in lower
// case, values decoded to UTF-8.
type parameters []param

type param struct{ name, value string }

// get returns the value of a parameter, or "".
func (p parameters) get(name string) string {
	for _, v := range p {
		if v.name == name {
			return v.value
		}
	}
	return ""
}

func (p parameters) index(name string) int {
	return slices.IndexFunc(p, func(v param) bool { return v.name == name })
}

// maxParameters is how many parameters of one field are read.
const maxParameters = 100

// parseParameters reads "value; name=value; ..." leniently (RFC 2045 section 5.1,
// RFC 2231): blanks in unquoted values, raw 8-bit, RFC 2047 words inside quotes,
// repeated and broken parameters. The first of equals counts.
func parseParameters(s string) (string, parameters) {
	main, rest, _ := strings.Cut(s, ";")
	main, _, _ = strings.Cut(main, "(")
	main = strings.ToLower(strings.TrimSpace(main))
	var raw parameters
	for rest != "" && len(raw) < maxParameters {
		var name, value string
		name, value, rest = cutParameter(rest)
		if name != "" && raw.index(name) < 0 {
			raw = append(raw, param{name, value})
		}
	}
	out := raw[:0]
	var joined map[string][]section
	for _, p := range raw {
		if base, sec, ok := splitSection(p.name, p.value); ok {
			if joined == nil {
				joined = map[string][]section{}
			}
			joined[base] = append(joined[base], sec)
		} else {
			out = append(out, param{p.name, decodeWords(p.value, "")})
		}
	}
	for name, secs := range joined {
		if v := joinSections(secs); v != "" {
			// What says its charset goes before what does not.
			if i := out.index(name); i >= 0 {
				out[i].value = v
			} else {
				out = append(out, param{name, v})
			}
		}
	}
	return main, out
}

// cutParameter takes one parameter off the front of s.
func cutParameter(s string) (name, value, rest string) {
	s = strings.TrimLeft(s, "; \t")
	i := strings.IndexAny(s, "=;")
	if i < 0 {
		return "", "", ""
	}
	if s[i] == ';' {
		return "", "", s[i+1:]
	}
	name = strings.ToLower(strings.TrimSpace(s[:i]))
	s = strings.TrimLeft(s[i+1:], " \t")
	if !strings.HasPrefix(s, `"`) {
		value, rest, _ = strings.Cut(s, ";")
		return name, strings.TrimSpace(value), rest
	}
	if end := strings.IndexAny(s[1:], "\"\\"); end >= 0 && s[1+end] == '"' {
		_, rest, _ = strings.Cut(s[end+2:], ";")
		return name, s[1 : 1+end], rest
	}
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\\' && i+1 < len(s) && (s[i+1] == '"' || s[i+1] == '\\'):
			i++
			b.WriteByte(s[i])
		case c == '"':
			_, rest, _ = strings.Cut(s[i+1:], ";")
			return name, b.String(), rest
		default:
			b.WriteByte(c)
		}
	}
	return name, b.String(), "" // the quote is never closed
}

// section is one piece of a continued parameter (RFC 2231 section 3).
type section struct {
	index   int
	encoded bool
	value   string
}

// splitSection reads "name*", "name*2" and "name*2*".
func splitSection(name, value string) (base string, sec section, ok bool) {
	base, tail, found := strings.Cut(name, "*")
	if !found || base == "" {
		return name, section{}, false
	}
	sec.value = value
	if tail == "" {
		sec.encoded = true
		return base, sec, true
	}
	if t, enc := strings.CutSuffix(tail, "*"); enc {
		sec.encoded, tail = true, t
	}
	n, err := strconv.Atoi(tail)
	if err != nil || n < 0 {
		return name, section{}, false
	}
	sec.index = n
	return base, sec, true
}

// joinSections puts a continued parameter together. The charset stands in the
// first section: charset'language'text.
func joinSections(secs []section) string {
	sort.SliceStable(secs, func(i, j int) bool { return secs[i].index < secs[j].index })
	charset := ""
	var b []byte
	for i, sec := range secs {
		v := sec.value
		if sec.encoded {
			if i == 0 {
				if cs, tail, ok := strings.Cut(v, "'"); ok {
					if _, text, ok := strings.Cut(tail, "'"); ok {
						charset, v = cs, text
					}
				}
			}
			v = percentDecode(v)
		}
		b = append(b, v...)
	}
	text, _ := decodeCharset(b, charset)
	return decodeWords(text, "")
}

// percentDecode undoes %XX and leaves everything else.
func percentDecode(s string) string {
	if !strings.Contains(s, "%") {
		return s
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			if c, ok := unhex(s[i+1], s[i+2]); ok {
				b.WriteByte(c)
				i += 2
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// unhex reads a byte of two hexadecimal digits of either case.
func unhex(a, b byte) (byte, bool) {
	x, ok1 := hexDigit(a)
	y, ok2 := hexDigit(b)
	return x<<4 | y, ok1 && ok2
}

func hexDigit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'A' <= c && c <= 'F':
		return c - 'A' + 10, true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}
