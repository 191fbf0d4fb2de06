package facebook_test

import (
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/facebook"
)

func TestNoCharacterIsCut(t *testing.T) {
	t.Parallel()
	for name, cluster := range map[string]string{
		"a mark":                   "e\u0301",
		"marks":                    "o\u0302\u0323\u0301",
		"a family":                 "👨\u200d👩\u200d👧\u200d👦",
		"a tone of skin":           "👍🏽",
		"a person at work":         "👩🏽\u200d💻",
		"a heart":                  "❤\ufe0f\u200d🔥",
		"a flag":                   "🇻🇳",
		"the flag of a region":     "🏴\U000e0067\U000e0062\U000e0073\U000e0063\U000e0074\U000e007f",
		"a key":                    "1\ufe0f\u20e3",
		"Hangul of parts":          "\u1112\u1161\u11ab",
		"Hangul with a tail":       "\uac00\u11a8",
		"consonants of Devanagari": "\u0915\u094d\u0937\u093f",
		"a vowel of Thai":          "น\u0e33",
		"a voiced mark":            "\uff76\uff9e",
	} {
		units := len(utf16.Encode([]rune(cluster)))
		for limit := max(units, 2); limit < 4*units; limit++ {
			text := strings.Repeat(cluster, 12)
			got := facebook.SplitText(text, limit)
			require.Equal(t, text, strings.Join(got, ""), name)
			for _, part := range got {
				require.LessOrEqual(t, len(utf16.Encode([]rune(part))), limit, name)
				require.Equal(t, strings.Repeat(cluster, len(part)/len(cluster)), part, "%s in parts of %d", name, limit)
			}
		}
	}
}

// FuzzSplit: parts are never too long or broken, and lose nothing but blanks.
func FuzzSplit(f *testing.F) {
	for _, s := range []string{"", " a b ", "word word\nline line", "🙂🙂🇻🇳🇻🇳", "e\u0301\u0301 x", "\u200d\u200d\u200d", "\xff\xfe a", "a\u00a0b\u2028c"} {
		f.Add(s, 3)
		f.Add(s, 10)
	}
	f.Fuzz(func(t *testing.T, s string, limit int) {
		if limit < 2 || limit > 10000 { // a character may be two units
			return
		}
		parts := facebook.SplitText(s, limit)
		for _, p := range parts {
			require.NotEmpty(t, strings.TrimSpace(p))
			require.LessOrEqual(t, len(utf16.Encode([]rune(p))), limit)
			require.Equal(t, utf8.ValidString(s), utf8.ValidString(p) && utf8.ValidString(s))
		}
		bare := func(s string) string { return strings.Join(strings.Fields(s), "") }
		require.Equal(t, bare(s), bare(strings.Join(parts, " ")))
	})
}
