package email_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

func TestParseAddressIsStrict(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]channel.Party{
		"ann@example.com":                  {Address: "ann@example.com"},
		" Ann <ann@example.com> ":          {Name: "Ann", Address: "ann@example.com"},
		`"Doe, \"J\"" <j@example.com>`:     {Name: `Doe, "J"`, Address: "j@example.com"},
		"Nguyễn An <an@example.vn>":        {Name: "Nguyễn An", Address: "an@example.vn"},
		"jösé@münchen.example":             {Address: "jösé@münchen.example"},
		"a+tag@sub.example.com":            {Address: "a+tag@sub.example.com"},
		`"quoted local"@example.com`:       {Address: `"quoted local"@example.com`},
		"ann@[192.0.2.1]":                  {Address: "ann@[192.0.2.1]"},
		"ann@[IPv6:2001:db8::1]":           {Address: "ann@[IPv6:2001:db8::1]"},
		"=?utf-8?q?J=C3=B6rg?= <j@ex.com>": {Name: "Jörg", Address: "j@ex.com"},
	} {
		got, err := email.ParseAddress(in)
		require.NoError(t, err, in)
		require.Equal(t, want, got, in)
	}
	for _, in := range []string{
		"", "ann", "@example.com", "ann@", "a b@example.com", "ann@exa mple.com", "a@b@c", ".a@example.com", "a.@example.com", "a..b@example.com",
		"ann@-x.example", "ann@x..example", "ann@example.com, b@example.com", "Ann <ann@example.com", "<a@b.c> <d@e.f>", "ann@example.com\r\nBcc: x@y", "a\x00@example.com",
		"ann@[300.1.1.1]", "a\u202e@example.com", "\xff@example.com", strings.Repeat("a", 65) + "@example.com", "a@" + strings.Repeat("b.", 130) + "com", `"a"b"@example.com`, `"a\"@example.com`,
		"ann@exam!ple.com", "ann@example.com>",
	} {
		_, err := email.ParseAddress(in)
		requireField(t, err, "address")
	}
}

func TestNormalizeAddressUndoesWhatHidesTheOwner(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"Ann@Example.COM":                                       "ann@example.com",
		"ann+tag+more@example.com":                              "ann@example.com",
		"+tag@example.com":                                      "+tag@example.com",
		"<ann@example.com>":                                     "ann@example.com",
		"SRS0=ab12=XY=example.com=Ann@fwd.example":              "ann@example.com",
		"SRS0+ab12=XY=example.com=ann+x@fwd.example":            "ann@example.com",
		"SRS1=zz=fwd.example==ab12=XY=example.com=ann@fwd2.exa": "ann@example.com",
		"prvs=12ab=ann@example.com":                             "ann@example.com",
		"SRS0=ab=XY=example.com=prvs=12=ann@fwd.example":        "ann@example.com",
		"srs0@example.com":                                      "srs0@example.com",
		"SRS0=broken@example.com":                               "srs0=broken@example.com",
		"prvs=@example.com":                                     "prvs=@example.com",
		"nobody":                                                "nobody",
		"":                                                      "",
		"ann@example.com.":                                      "ann@example.com",
	} {
		require.Equal(t, want, email.NormalizeAddress(in), in)
	}
}

func TestAddressListsAreReadLeniently(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]channel.Party{
		"a@x.example, b@x.example":                         {{Address: "a@x.example"}, {Address: "b@x.example"}},
		"a@x.example; b@x.example;":                        {{Address: "a@x.example"}, {Address: "b@x.example"}},
		"John Doe, Inc. <j@x.example>":                     {{Name: "John Doe, Inc.", Address: "j@x.example"}},
		"a@b.example <a@b.example>":                        {{Name: "a@b.example", Address: "a@b.example"}},
		"J [Support] <j@x.example>":                        {{Name: "J [Support]", Address: "j@x.example"}},
		"MAILER-DAEMON (Mail Delivery System)":             {{Name: "Mail Delivery System", Address: "MAILER-DAEMON"}},
		"<>":                                               nil,
		"j.@x.example":                                     {{Address: "j.@x.example"}},
		"Ann <ann@x.example":                               {{Name: "Ann", Address: "ann@x.example"}},
		"Ann <ann@x.example, Bob <bob@x.example>":          {{Name: "Ann", Address: "ann@x.example"}, {Name: "Bob", Address: "bob@x.example"}},
		`"=?utf-8?Q?J=C3=B6rg?=" <j@x.example>`:            {{Name: "Jörg", Address: "j@x.example"}},
		`"unclosed <j@x.example>`:                          {{Name: "unclosed", Address: "j@x.example"}},
		"ann@x.example (Ann Lee)":                          {{Name: "Ann Lee", Address: "ann@x.example"}},
		"Ann (Sales) <ann@x.example>":                      {{Name: "Ann (Sales)", Address: "ann@x.example"}},
		"undisclosed-recipients:;":                         nil,
		"Team: a@x.example, B <b@x.example>;, c@x.example": {{Address: "a@x.example"}, {Name: "B", Address: "b@x.example"}, {Address: "c@x.example"}},
		"<mailto:ann@x.example>":                           {{Address: "ann@x.example"}},
		"'ann@x.example' <ann@x.example>":                  {{Name: "ann@x.example", Address: "ann@x.example"}},
		"<@a.example,@b.example:ann@x.example>":            {{Address: "ann@x.example"}},
		"=?utf-8?q?Doe=2C_John?= <j@x.example>":            {{Name: "Doe, John", Address: "j@x.example"}},
		"Ann Lee ann@x.example":                            {{Name: "Ann Lee", Address: "ann@x.example"}},
		"x <a@x.example> <b@x.example>":                    {{Name: "x <a@x.example>", Address: "b@x.example"}},
		`"a\"b" <ab@x.example>`:                            {{Name: `a"b`, Address: "ab@x.example"}},
		"\"\u202eevil\" <e@x.example>":                     {{Name: "evil", Address: "e@x.example"}},
		", ,":                                              nil,
	} {
		m := read(t, "To: "+in+"\r\n\r\n")
		require.Equal(t, want, m.To, in)
	}
	m := read(t, "To: "+strings.Repeat("a@x.example,", 20_000)+"\r\n\r\n")
	require.Len(t, m.To, email.MaxParties)
}

func TestHostileAddressListsAreCheap(t *testing.T) {
	t.Parallel()
	for _, unit := range []string{"(", `"\`, "<@", "=?a?q?", `"`, "(\\", "a<", ":,", "=?utf-8?b?"} {
		m := read(t, "To: "+strings.Repeat(unit, 60_000/len(unit))+"\r\nSubject: "+strings.Repeat(unit, 6_000)+"\r\n\r\n")
		require.LessOrEqual(t, len(m.To), email.MaxParties)
	}
}
