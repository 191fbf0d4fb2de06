package facebook

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/cases"
	"golang.org/x/text/unicode/norm"
)

// keyword is a keyword in the form in which it is compared.
type keyword struct {
	text  string
	plain bool // it has no diacritics, and matches across them
}

// haystack is a text in both forms.
type haystack struct{ folded, stripped string }

// maxSearched bounds how much of a text is looked at, in bytes. Comments have up
// to some 8000 characters.
const maxSearched = 64 << 10

func newKeyword(s string) keyword {
	folded := fold(s)
	stripped := strip(folded)
	if stripped == folded {
		return keyword{text: stripped, plain: true}
	}
	return keyword{text: folded}
}

func newHaystack(s string) haystack {
	if len(s) > maxSearched {
		s = strings.ToValidUTF8(s[:maxSearched], "")
	}
	f := fold(s)
	return haystack{folded: f, stripped: strip(f)}
}

// words are the fields of a keyword that hold anything to be found.
func words(s string) []string { return strings.Fields(s) }

// fold takes letter case, Unicode form and runs of blanks away.
func fold(s string) string {
	return norm.NFKC.String(cases.Fold().String(norm.NFKC.String(strings.Join(strings.Fields(s), " "))))
}

// strip takes diacritics away, and the stroke of the Vietnamese đ.
func strip(s string) string {
	var b strings.Builder
	b.Grow(len(s))
	for _, r := range norm.NFD.String(s) {
		switch {
		case r == 'đ':
			b.WriteByte('d')
		case diacritic(r):
		default:
			b.WriteRune(r)
		}
	}
	return norm.NFC.String(b.String())
}

// diacritic reports whether r is a mark on letters of European scripts. Marks of
// other scripts are vowels and the like, without which a word is another.
func diacritic(r rune) bool {
	return unicode.Is(unicode.Mn, r) && (r >= 0x300 && r <= 0x36f || r >= 0x1ab0 && r <= 0x1aff || r >= 0x1dc0 && r <= 0x1dff)
}

// in reports whether the keyword stands in a text, as a word where its script
// has words.
func (k keyword) in(t haystack) bool {
	text := t.folded
	if k.plain {
		text = t.stripped
	}
	first, _ := utf8.DecodeRuneInString(k.text)
	last, _ := utf8.DecodeLastRuneInString(k.text)
	for from := 0; from <= len(text); {
		i := strings.Index(text[from:], k.text)
		if i < 0 {
			return false
		}
		i += from
		before, _ := utf8.DecodeLastRuneInString(text[:i])
		after, _ := utf8.DecodeRuneInString(text[i+len(k.text):])
		if !(i > 0 && spaced(first) && spaced(before)) && !(i+len(k.text) < len(text) && spaced(last) && spaced(after)) {
			return true
		}
		_, n := utf8.DecodeRuneInString(text[i:])
		from = i + n
	}
	return false
}

// unspaced are scripts that put no spaces between words.
var unspaced = []*unicode.RangeTable{unicode.Han, unicode.Hiragana, unicode.Katakana, unicode.Thai, unicode.Lao, unicode.Khmer, unicode.Myanmar, unicode.Tibetan}

// spaced reports whether r is part of a word in a script that puts spaces between
// words.
func spaced(r rune) bool {
	return (unicode.IsLetter(r) || unicode.IsDigit(r) || unicode.IsMark(r)) && !unicode.In(r, unspaced...)
}
