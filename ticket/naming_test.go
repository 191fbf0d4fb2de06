package ticket

import (
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"testing/iotest"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

func (s *tracer) of(address string) *tracer {
	s.found.Identities = []Identity{{Scheme: "mailto", Address: address}}
	return s
}

func TestATextNamesAnAddressAsAWhole(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]bool{
		"ann@c.example":                                     true,
		"Ann@C.Example is refused":                          true,
		"to <ann@c.example>, and others":                    true,
		"It is ann@c.example.":                              true,
		"It is ann@c.example...":                            true,
		"See...ann@c.example":                               true,
		"Von „ann@c.example“":                               true,
		"From \x93ann@c.example\x94":                        true,
		"(ann@c.example)":                                   true,
		"'ann@c.example'":                                   true,
		"- ann@c.example -- hi":                             true,
		"-ann@c.example\n-bob@c.example":                    true,
		"_ann@c.example_ and *ann@c.example*":               true,
		"a table |ann@c.example|":                           true,
		"{ann@c.example}":                                   true,
		"mailto:ann@c.example":                              true,
		"mailto:x@c.example?to=ann@c.example":               true,
		"mailto:x@c.example?cc=y@c.example,ann@c.example":   true,
		"https://h.example/?user=ann@c.example&x=1":         true,
		"https://h.example/?x=1&ann@c.example":              true,
		"https://h.example/unsubscribe?ann@c.example":       true,
		"https://h.example/users/ann@c.example/":            true,
		"https://h.example/#ann@c.example":                  true,
		"https://h.example/?user=ann%40c.example":           true,
		"https://h.example/?user=ANN%40C.EXAMPLE":           true,
		"https://h.example/?to=%3Cann%40c%2Eexample%3E":     true,
		"https://h.example/?to=%253Cann%2540c.example%253E": true,
		"https://h.example/?to=a%6En@c.example":             true,
		"imap://ann@c.example@imap.example/":                true,
		"?user=3Dann=40c.example":                           true,
		"Content: a=3Dann@c.example=3E":                     true,
		"https://h.example/?u=3Dann%40c.example":            true,
		"a line broken in ann@c.ex=\r\nample":               true,
		"a line broken in ann=  \n@c.example":               true,
		`{"text":"Hello\nann@c.example\nbye"}`:              true,
		`{"email":"ann\u0040c.example"}`:                    true,
		`{"to":"\u003cann@c.example\u003e"}`:                true,
		`{"in":"{\"to\":\"\\u003cann@c.example\\u003e\"}"}`: true,
		`{"url":"https:\/\/h.example\/ann%40c.example"}`:    true,
		"&lt;ann@c.example&gt;":                             true,
		"ann&#64;c.example, ann&#x40;c.example":             true,
		"ann&commat;c.example":                              true,
		"prvs=1234567890=ann@c.example":                     true,
		"ann+news@c.example":                                true,
		"<ann+a+b=x@c.example>":                             true,
		"bob@c.example ann@c.example":                       true,
		"lan@c.example, annann@c.example, ann@c.example":    true,
		"https://h.example/?q=write+to+ann%40c.example+now": true,
		"https://h.example/?q=3Dto+ann%40c.example":         true,
		"请联系ann@c.example谢谢":                                true,
		"ユーザーann@c.exampleさん":                               true,
		"메일은 ann@c.example으로":                               true,
		"อีเมลann@c.exampleครับ":                            true,
		"ann+标签@c.example":                                  true,
		"https://h.example/?q=jo%2Bann%40c.example":         false,
		"https://h.example/?q=to+joann%40c.example":         false,
		"https://h.example/?a=to+ann@c.example.org&b=%40":   false,
		"ann@c.example.公司":                                  false,
		"lan@c.example":                                     false,
		"joann@c.example":                                   false,
		"jo.ann@c.example":                                  false,
		"jo-ann@c.example":                                  false,
		"jo_ann@c.example":                                  false,
		"jo+ann@c.example":                                  false,
		"jo+ann+x@c.example":                                false,
		"From ừann@c.example":                               false,
		"ann@c.example.org":                                 false,
		"ann@c.examples":                                    false,
		"ann@c.example-shop.org":                            false,
		"ann@c.example--shop.org":                           false,
		"ann@c.example.ừ":                                   false,
		"annx@c.example":                                    false,
		"ann @c.example":                                    false,
		"ann+ @c.example":                                   false,
		"ann":                                               false,
		"@c.example":                                        false,
		"jo%2Eann%40c.example":                              false,
		"ann%40c.example%2Eorg":                             false,
		`{"to":"joann\u0040c.example"}`:                     false,
		"jo=2Eann=40c.example":                              false,
		strings.Repeat("+", 1000) + "ann" + strings.Repeat("+", 1000) + "@c.example": false,
	} {
		require.Equal(t, want, new(tracer).of("Ann@c.example").named(text), text)
	}
	for _, address := range []string{"adam@c.example", "ADAM@C.EXAMPLE", "adam+x@c.example"} {
		for _, text := range []string{"?to=adam@c.example", "?to=ADAM@c.example", "?to=adam%40c.example", "a=3Dadam=40c.example"} {
			require.True(t, new(tracer).of(address).named(text), "%s in %s", address, text)
		}
	}
	for text, want := range map[string]bool{
		"12345": true, `{"id":"12345"}`: true, "/v25.0/12345?fields=name": true, "psid=12345": true, "@12345": true, "It is 12345.": true,
		"123456": false, "012345": false, "12345@c.example": false, "x@12345": false, "x@12345 %40": false, "12345-6": false, "12345.6": false, "1234": false,
	} {
		require.Equal(t, want, new(tracer).of("12345").named(text), text)
	}
	require.False(t, new(tracer).of("").named("x"))
	require.False(t, new(tracer).of("a@b").named(""))
}

func TestAnAddressIsFoundWhereverItStandsInALongText(t *testing.T) {
	t.Parallel()
	s := new(tracer).of("ann@c.example")
	for _, edge := range []int{256 << 10, 264 << 10} { // where the second part begins, and the first ends
		for shift := -26; shift <= 2; shift += 2 {
			for text, want := range map[string]bool{"<ann%40c.example>": true, "lan.joann@c.example.org": false, "joann@c.example ": false, " ann@c.example.org": false} {
				r := io.MultiReader(strings.NewReader(strings.Repeat(".", edge+shift)+text+"."), strings.NewReader("the end"))
				got, err := s.namedIn(r)
				require.NoError(t, err)
				require.Equal(t, want, got, "%q at %d%+d", text, edge, shift)
			}
		}
	}
	_, err := s.namedIn(iotest.ErrReader(io.ErrClosedPipe))
	require.ErrorIs(t, err, io.ErrClosedPipe)
}

func FuzzNamed(f *testing.F) {
	f.Add("ann", "c.example", "before ", " after")
	f.Add("a.n+n'", "xn--c-1ga.example", "%", "%2E")
	f.Add("adam", "d", "=\r\n\\u", "&#")
	f.Fuzz(func(t *testing.T, local, domain, before, after string) {
		address := local + "@" + domain
		s := new(tracer).of(address)
		s.named(before + address + after) // ends, whatever it says
		if local == "" || domain == "" || !utf8.ValidString(address) || strings.ContainsAny(address, " \t\r\n%=\\&+@") && strings.Count(address, "@") > 1 || strings.TrimSpace(address) != address {
			return
		}
		if strings.IndexFunc(local+domain, func(c rune) bool { return !inWord(c) && c != '.' || c > 0x7f }) >= 0 {
			return
		}
		quoted := strings.NewReplacer("@", "=40", ".", "=2E").Replace(address)
		for form, text := range map[string]string{
			"as it is":         address,
			"in a URL":         "https://h.example/?x=1&user=" + url.QueryEscape(address) + "&y=2",
			"in JSON":          fmt.Sprintf(`{"text":"x\n%s\n"}`, strings.ReplaceAll(address, "@", `\u0040`)),
			"in HTML":          "<p>&lt;" + strings.ReplaceAll(address, "@", "&#64;") + "&gt;</p>",
			"quoted-printable": "x =3C" + quoted + "=3E",
			"as it came":       "<" + address + ">",
		} {
			if !s.named(text) {
				t.Fatalf("%s: %q is not found in %q", form, address, text)
			}
		}
		if longer := new(tracer).of("x" + address); longer.named("<" + address + ">") {
			t.Fatalf("x%s is found in %s", address, address)
		}
		if s.named("<x" + address + ">") {
			t.Fatalf("%s is found in x%s", address, address)
		}
	})
}
