package ticket

import (
	"cmp"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Fold returns s as it is searched: compatibility-decomposed without marks,
// lower case, đ as d. Words are runs of letters and digits, joined by single
// blanks. It is the same for what is stored and for what is looked for, in
// every store.
func Fold(s string) string { return foldAll(s) }

// foldAll folds texts that stand beside each other.
func foldAll(texts ...string) string {
	n := 0
	for _, s := range texts {
		n += len(s) + 1
	}
	var b strings.Builder
	b.Grow(n)
	for _, s := range texts {
		foldTo(&b, s)
	}
	return b.String()
}

// foldTo folds s, which begins with a word of its own.
func foldTo(b *strings.Builder, s string) {
	gap := true // a blank is due before the next letter
	common := commonFolds()
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			i++
			switch {
			case 'a' <= c && c <= 'z' || '0' <= c && c <= '9':
			case 'A' <= c && c <= 'Z':
				c += 'a' - 'A'
			default:
				gap = true
				continue
			}
			if gap && b.Len() > 0 {
				b.WriteByte(' ')
			}
			gap = false
			b.WriteByte(c)
			continue
		}
		r, size := utf8.DecodeRuneInString(s[i:])
		var folded string
		if int(r) < len(common) {
			folded = common[r]
		} else {
			folded = foldRune(r)
		}
		i += size
		for j, f := range folded {
			if f == ' ' {
				gap = true
				continue
			}
			if gap && b.Len() > 0 {
				b.WriteByte(' ')
			}
			gap = false
			b.WriteString(folded[j : j+utf8.RuneLen(f)])
		}
	}
}

// commonFolds holds the folds of the alphabets whose letters have marks, since
// decomposing each time was most of the time that intake took.
var commonFolds = sync.OnceValue(func() []string {
	out := make([]string, 0x2000)
	for r := range out {
		out[r] = foldRune(rune(r))
	}
	return out
})

// foldRune returns the letters and digits that a rune folds to: "" for a mark,
// a blank for what parts words.
func foldRune(r rune) string {
	var b strings.Builder
	for _, r := range norm.NFKD.String(string(r)) {
		switch {
		case unicode.Is(unicode.Mn, r):
		case unicode.IsLetter(r) || unicode.IsDigit(r):
			switch r = unicode.ToLower(r); r {
			case 'đ':
				b.WriteByte('d')
			case 'ß':
				b.WriteString("ss")
			case 'ς':
				b.WriteRune('σ')
			default:
				b.WriteRune(r)
			}
		default:
			b.WriteByte(' ')
		}
	}
	return b.String()
}

// Terms returns the folded words of a query.
func Terms(query string) []string { return strings.Fields(Fold(query)) }

// searchText returns what a message is found by, at most limit bytes: its text,
// and in a quarter of that its subject, its parties and the names of its files.
func searchText(m *Message, limit int) string {
	var head strings.Builder
	room := limit / 4
	add := func(most int, parts ...string) {
		for _, p := range parts {
			if p = cut(p, min(most, room-head.Len()-1)); p != "" {
				head.WriteString(p)
				head.WriteByte(' ')
			}
		}
	}
	add(room/4, m.Subject, m.From.Name, m.From.Address)
	for _, a := range m.Attachments {
		if head.Len() >= room*3/4 {
			break
		}
		add(room/16, a.Name)
	}
	for _, p := range m.To {
		if head.Len() >= room-1 {
			break
		}
		add(room/4, p.Name, p.Address)
	}
	return cut(foldAll(head.String(), cut(m.Text, limit)), limit)
}

// searchAgain is searchText for a message that was indexed before: never empty,
// since stores then leave what was indexed.
func searchAgain(m *Message, limit int) string { return cmp.Or(searchText(m, limit), " ") }
