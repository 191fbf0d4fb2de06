package email

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"golang.org/x/net/html"
)

// markupSeeds are the places where tokenizers differ.
var markupSeeds = []string{
	"", "<", "a<", "a</", "</", "</>", "</ x>y", "<1>", "<a", "<a ", "<a href", "<a href=", "<a href=x", "<a href='x", "<a href='x'", "<a/>", "<br/>x", "<p a=/>x", "<p a=/ a=/>x", "<p a=x b=/>", "<p a= />",
	"<p =a>", "<p ==a=b>", "<p / a=1>", "<p a / b = 'c'd=e>", "<P ID=x id=y HIDDEN>z</P a=b>", "<a\x00b c\x00d='e\x00f'>\x00", "<p\n\tid\r=\r\n'a\rb\r\nc'>a\rb\r\nc",
	"a<!>b", "a<!", "a<!-", "a<!--", "a<!-->b", "a<!--->b", "a<!---->b", "a<!---!>b-->c", "a<!--x--!>b", "a<!--x--!-->b", "a<!--x--!-->b", "a<!--x--!!>b-->c", "a<!--x-->b", "a<!doctype html>b", "a<!doctype", "a<![CDATA[x]]>b", "a<?xml x?>b", "a<?", "a<?>b",
	"<title>a&amp;<b></title>c", "<TITLE>a</title", "<textarea>&lt;</TEXTAREA/>x", "<style>a</style\n>b", "<style></style>b", "<style>a</styleb</style>c", "<xmp>a\x00&amp;</xmp>b", "<noscript><p></noscript>", "<plaintext>a</plaintext>", "<script/>a</script>b",
	"<script>a</script>b", "<script><!--</script>b", "<script><!--<script></script>--></script>b", "<script><!--<script></script></script>b", "<script><!--<script>--></script>b", "<script><!--<scrip></script>b", "<script><!-- <!--></script>b",
	"<script><!-</script>b", "<script><!--><script></script>b</script>c", "<script><!---><script></script>b</script>c", "<script><!--a--></script>b", "<script><!--a->b--></script>c", "<script><!--<1</script>b", "<script><!--<-<script>x</script>y</script>z", "<script><!--<script <!-- </script/ --></script>z", "<script><!-", "<script><!--<script>-", "<script><", "<script></", "<script><!--</", "<script><!--<script></",
	"a &amp; b &lt;c&gt; &notit; &copy=1 &copy; &#38; &#x26; &#xzz; &# & &; &semi; &fjlig; &nvlt; &amp&amp", "<a href='?a=1&copy=2&amp;b&lt&notit;&not;&#38=&semi;&fjlig;&nvlt;&ampx&x'>x</a>",
}

func TestTokensAreThoseOfTheStandard(t *testing.T) {
	t.Parallel()
	for _, s := range markupSeeds {
		require.Equal(t, standardTokens(s), ownTokens(s), "%q", s)
		for i := range s {
			require.Equal(t, standardTokens(s[:i]), ownTokens(s[:i]), "%q", s[:i])
		}
	}
}

func FuzzTokens(f *testing.F) {
	for _, s := range markupSeeds {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		require.Equal(t, standardTokens(s), ownTokens(s))
	})
}

// shown is a token as both write it.
type shown struct {
	kind htmlKind
	data string
	attr map[string]string
}

func ownTokens(s string) []shown {
	z := newHTMLTokens(s)
	var out []shown
	for at := 0; ; at = z.pos {
		kind := z.next()
		if kind != htmlEnd && z.pos <= at {
			return append(out, shown{data: "a token that takes nothing off the text"})
		}
		switch kind {
		case htmlEnd:
			return out
		case htmlText, htmlRaw:
			text := htmlNewlines(z.text)
			if kind == htmlText {
				text = unescaped(text)
			}
			out = append(out, shown{kind: htmlText, data: text})
		default:
			w := shown{kind: kind, data: z.name}
			if kind != htmlEndTag {
				w.attr = map[string]string{}
				a := z.attr
				for bit, v := range []struct{ key, value string }{{"id", a.id}, {"class", a.class}, {"href", a.href}, {"alt", a.alt}, {"name", a.name}, {"type", a.typ}, {"style", a.style}} {
					if a.seen&(1<<bit) != 0 {
						w.attr[v.key] = z.value(v.value)
					}
				}
				if a.hidden {
					w.attr["hidden"] = ""
				}
			}
			out = append(out, w)
		}
	}
}

// unescaped joins the pieces that the text writer gets.
func unescaped(s string) string {
	var b strings.Builder
	for s != "" {
		text, entity, rest := cutEntity(s)
		b.WriteString(text + html.UnescapeString(entity))
		s = rest
	}
	return b.String()
}

func standardTokens(s string) []shown {
	kinds := map[html.TokenType]htmlKind{html.TextToken: htmlText, html.StartTagToken: htmlStartTag, html.SelfClosingTagToken: htmlVoidTag, html.EndTagToken: htmlEndTag}
	z := html.NewTokenizer(strings.NewReader(s))
	var out []shown
	for {
		tt := z.Next()
		if tt == html.ErrorToken {
			return out
		}
		kind, ok := kinds[tt]
		if !ok {
			continue
		}
		token := z.Token()
		w := shown{kind: kind, data: token.Data}
		if kind == htmlStartTag || kind == htmlVoidTag {
			w.attr = map[string]string{}
			for _, a := range token.Attr {
				switch a.Key {
				case "hidden":
					w.attr[a.Key] = ""
				case "id", "class", "href", "alt", "name", "type", "style":
					w.attr[a.Key] = a.Val
				}
			}
		}
		out = append(out, w)
	}
}
