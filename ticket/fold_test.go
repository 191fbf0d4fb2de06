package ticket_test

import (
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
	"golang.org/x/text/unicode/norm"

	"github.com/anteroom/anteroom/ticket"
)

func TestFold(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"":                          "",
		"Đơn hàng BỊ trễ!":          "don hang bi tre",
		norm.NFD.String("Đơn hàng"): "don hang",
		"Pedido não-chegou (nº 7)":  "pedido nao chegou no 7",
		"Straße ΛΌΓΟΣ":              "strasse λογοσ",
		"ＦＵＬＬ width ﬁne":            "full width fine",
		"한국어 日本語 ①":                 "한국어 日本語 1",
		"  a\t\u00a0b\u200bc  ":     "a b c",
		"a\x00b":                    "a b",
		"mai@c.example":             "mai c example",
		"İstanbul":                  "istanbul",
		"\u0301x":                   "x",
	} {
		require.Equal(t, norm.NFKD.String(want), norm.NFKD.String(ticket.Fold(in)), in)
	}
}

func FuzzFold(f *testing.F) {
	f.Add("Đơn hàng")
	f.Add("a\xffb ﷺ")
	f.Fuzz(func(t *testing.T, s string) {
		got := ticket.Fold(s)
		if !utf8.ValidString(got) {
			t.Errorf("not UTF-8: %q", got)
		}
		if again := ticket.Fold(got); again != got {
			t.Errorf("folding twice changes %q to %q", got, again)
		}
		if strings.Contains(got, "  ") || strings.TrimSpace(got) != got {
			t.Errorf("blanks in %q", got)
		}
		if ticket.Fold(norm.NFC.String(s)) != ticket.Fold(norm.NFD.String(s)) && utf8.ValidString(s) {
			t.Errorf("%q depends on its Unicode form", s)
		}
	})
}
