package email

import (
	"math/rand/v2"
	"regexp"
	"regexp/syntax"
	"strings"
	"testing"
	"unicode"

	"github.com/stretchr/testify/require"
)

func TestWhatAnExpressionMatchesIsNotRuledOutBefore(t *testing.T) {
	t.Parallel()
	r := rand.New(rand.NewPCG(1, 2))
	for _, c := range []struct {
		name string
		re   *regexp.Regexp
		may  func(string) bool
	}{
		{"mobile", mobile, mayBeMobile},
		{"away", away, mayBeAway},
	} {
		tree, err := syntax.Parse(c.re.String(), syntax.Perl)
		require.NoError(t, err)
		matched := 0
		for range 3_000 {
			var b strings.Builder
			example(&b, r, tree)
			s := b.String()
			if r.IntN(3) == 0 {
				s = strings.ToUpper(s)
			}
			if c.re.MatchString(s) {
				matched++
				require.True(t, c.may(s), "%s: %q", c.name, s)
			}
		}
		require.Greater(t, matched, 1_000, c.name)
	}
	for _, s := range []string{"Re: Order", "Xin chào", "Thank you", "Cảm ơn bạn"} {
		require.False(t, mayBeMobile(s) && mayBeAway(s), s)
	}
	require.False(t, mayBeAway("Đơn hàng 17"), "letters that no alternative begins with")
}

// example writes a text that the expression matches.
func example(b *strings.Builder, r *rand.Rand, re *syntax.Regexp) {
	repeat := func(low, high int) {
		if high < 0 || high > low+3 {
			high = low + 3
		}
		for range low + r.IntN(high-low+1) {
			example(b, r, re.Sub[0])
		}
	}
	switch re.Op {
	case syntax.OpLiteral:
		for _, c := range re.Rune {
			if re.Flags&syntax.FoldCase != 0 {
				c = unicode.ToLower(c)
			}
			b.WriteRune(c)
		}
	case syntax.OpCharClass:
		i := 2 * r.IntN(len(re.Rune)/2)
		c := re.Rune[i]
		if unicode.IsControl(c) && re.Rune[i+1] > ' ' {
			c = '-'
		}
		b.WriteRune(c)
	case syntax.OpAnyCharNotNL, syntax.OpAnyChar:
		b.WriteByte("ab 1"[r.IntN(4)])
	case syntax.OpAlternate:
		example(b, r, re.Sub[r.IntN(len(re.Sub))])
	case syntax.OpConcat, syntax.OpCapture:
		for _, sub := range re.Sub {
			example(b, r, sub)
		}
	case syntax.OpStar:
		repeat(0, -1)
	case syntax.OpPlus:
		repeat(1, -1)
	case syntax.OpQuest:
		repeat(0, 1)
	case syntax.OpRepeat:
		repeat(re.Min, re.Max)
	}
}
