package email

import (
	"strings"
	"unicode/utf8"
)

// openers tells cheaply that a text cannot match one of the long expressions
// over many languages: nearly no text does, and trying each alternative is most
// of what reading a short mail would cost. It holds how their alternatives
// begin, in lower case: three bytes where these are ASCII, else the first
// letter.
type openers struct {
	heads   string // of three bytes, parted by blanks
	letters string // first letters, also in upper case, of those that are not ASCII within three bytes
}

// may reports whether s may begin with one of the alternatives.
func (o openers) may(s string) bool {
	if len(s) < 3 {
		return false
	}
	if isASCII(s[:3]) {
		var b [3]byte
		for i := range b {
			b[i] = s[i]
			if 'A' <= b[i] && b[i] <= 'Z' {
				b[i] |= 0x20
			}
		}
		for i := 0; i+3 <= len(o.heads); i += 4 {
			if o.heads[i:i+3] == string(b[:]) {
				return true
			}
		}
		return false
	}
	r, _ := utf8.DecodeRuneInString(s)
	return strings.ContainsRune(o.letters, r)
}
