package ticket

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// Fold returns s as it is searched: compatibility-decomposed without marks,
// lower case, đ as d. Words are runs of letters and digits, joined by single
// blanks. It is the same for what is stored and for what is looked for, in
// every store.
func Fold(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	blank := false
	for _, r := range norm.NFKD.String(s) {
		switch {
		case unicode.Is(unicode.Mn, r):
			continue
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			if blank && b.Len() > 0 {
				b.WriteByte(' ')
			}
			blank = false
			switch r = unicode.ToLower(r); r {
			case 'đ':
				r = 'd'
			case 'ß':
				b.WriteByte('s')
				r = 's'
			case 'ς':
				r = 'σ'
			}
			b.WriteRune(r)
		default:
			blank = true
		}
	}
	return b.String()
}

// Terms returns the folded words of a query.
func Terms(query string) []string { return strings.Fields(Fold(query)) }
