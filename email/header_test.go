package email_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email"
)

func TestEncodedWordsAreDecodedLeniently(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"plain":                                      "plain",
		"=?utf-8?q?Ch=C3=A0o?=":                      "Chào",
		"=?UTF-8?B?Q2jDoG8=?=":                       "Chào",
		"=?utf-8?B?Q2jDoG8?=":                        "Chào",
		"=?utf-8*vi?q?Ch=C3=A0o?=":                   "Chào",
		"=?utf-8?q?a?= =?utf-8?q?b?=":                "ab",
		"=?utf-8?q?a?==?utf-8?q?b?=":                 "ab",
		"=?utf-8?q?a?= b =?utf-8?q?c?=":              "a b c",
		"x=?utf-8?q?a?=y":                            "xay",
		"=?utf-8?q?a b?=":                            "a b",
		"=?utf-8?q?Ch=C3?= =?utf-8?q?=A0o?=":         "Chào",
		"=?utf-8?q?Ch=C3?= =?iso-8859-1?q?=E9?=":     "ChÃé",
		"=?windows-1258?q?Ti=EA=ECng?=":              "Tiếng",
		"=?iso-8859-1?q?=93x=94?=":                   "“x”",
		"=?gb18030?b?xOO6ww==?=":                     "你好",
		"=?koi8-r?b?8NLJ18XU?=":                      "Привет",
		"=?iso-2022-jp?b?GyRCJDMkcyRLJEEkTxsoQg==?=": "こんにちは",
		"=?x-none?q?abc?=":                           "abc",
		"=?utf-8?x?abc?=":                            "=?utf-8?x?abc?=",
		"=?utf-8?q?abc":                              "=?utf-8?q?abc",
		"=?utf-8?q?a=ZZb=?=":                         "a=ZZb=",
		"=?utf-8?q?a=0D=0ABcc:_x?=":                  "a  Bcc: x",
		"=?utf-8?q?a=00b?=":                          "ab",
		"=?utf-7?q?+AOk-t+AOk-?=":                    "été",
	} {
		require.Equal(t, want, read(t, "Subject: "+in+"\r\n\r\n").Subject, in)
	}
}

func TestMessageIDListsAreReadLeniently(t *testing.T) {
	t.Parallel()
	for in, want := range map[string][]string{
		"<a@x> <b@x>":                           {"a@x", "b@x"},
		"<a@x>,<b@x>":                           {"a@x", "b@x"},
		"a@x b@x":                               {"a@x", "b@x"},
		"<a@b@c>":                               {"a@b@c"},
		"<no-at>":                               {"no-at"},
		"Your message of Mon <a@x>":             {"a@x"},
		"<a@x":                                  {"a@x"},
		"<<a@x>>":                               {"a@x"},
		"<a\r\n @x>":                            {"a@x"},
		"nothing here":                          nil,
		"<" + strings.Repeat("a", 2000) + "@x>": nil,
	} {
		require.Equal(t, want, read(t, "References: "+in+"\r\n\r\n").References, in)
	}
	m := read(t, "References: "+strings.Repeat("<a@x> ", 2000)+"<last@x>\r\n\r\n")
	require.Len(t, m.References, email.MaxIDs)
	require.Equal(t, "last@x", m.References[email.MaxIDs-1])
}

func TestDatesAreReadLeniently(t *testing.T) {
	t.Parallel()
	want := time.Date(2024, 11, 4, 3, 30, 5, 0, time.UTC)
	for _, in := range []string{
		"Mon, 4 Nov 2024 10:30:05 +0700", "Mon, 04 Nov 2024 10:30:05 +0700 (ICT)", "4 Nov 2024 10:30:05 +0700", "4 Nov 24 03:30:05 GMT", "Mon, 4 Nov 2024 10:30:05 GMT+0700",
		"Mon, 4 Nov 2024 10:30:05 +07:00", "2024-11-04T10:30:05+07:00", "2024-11-04 03:30:05", "2024-11-04T03:30:05Z", "2024-11-04T03:30:05.123Z", "Mon Nov  4 03:30:05 2024",
		"Mon Nov 4 10:30:05 2024 +0700", "Mon, 4 Nov 2024 03.30.05 +0000", "lun., 4 nov. 2024 04:30:05 +0100", "Mo, 4 Nov 2024 04:30:05 CET", "Monday, November 4, 2024 3:30:05 AM",
		"seg, 4 nov 2024 03:30:05 +0000", "Sun, 3 Nov 2024 22:30:05 EST", "Mon, 4-Nov-2024 03:30:05 UTC", "Mon, 4 Nov 2024 10:30:05 ICT", "пн, 4 ноя 2024 06:30:05 +0300",
	} {
		got := read(t, "Date: "+in+"\r\n\r\n").Date
		require.True(t, want.Equal(got.Truncate(time.Second)), "%s: %s", in, got)
	}
	for _, in := range []string{"", "yesterday", "Mon, 99 Nov 2024 10:30:05 +0700", "1 Foo 2024", "Mon, 4 Nov 9999 10:30:05 +0700", strings.Repeat("1 Nov ", 1000)} {
		require.True(t, read(t, "Date: "+in+"\r\n\r\n").Date.IsZero(), in)
	}
}

func TestFileNamesAreClean(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		`attachment; filename="a.pdf"`:                                 "a.pdf",
		`attachment; filename=a b.pdf`:                                 "a b.pdf",
		`attachment; filename="../../etc/passwd"`:                      "passwd",
		`attachment; filename="C:\\dir\\a.exe"`:                        "a.exe",
		`attachment; filename=".."`:                                    "",
		`attachment; filename="a` + "\u202e" + `fdp.exe"`:              "afdp.exe",
		`attachment; filename="a` + "\u200b" + `.pdf"`:                 "a.pdf",
		`attachment; filename*=utf-8''h%C3%B3a%20%C4%91%C6%A1n.pdf`:    "hóa đơn.pdf",
		`attachment; filename*=windows-1252'en'caf%E9.pdf`:             "café.pdf",
		`attachment; filename*0="a"; filename*1="b.pdf"`:               "ab.pdf",
		`attachment; filename*1*=%C3%B3; filename*0*=utf-8''h`:         "hó",
		`attachment; filename="x.pdf"; filename*=utf-8''%C3%B3.pdf`:    "ó.pdf",
		`attachment; filename="=?utf-8?q?h=C3=B3a.pdf?="`:              "hóa.pdf",
		`attachment; filename="=?utf-8?q?h=C3?= =?utf-8?q?=B3a.pdf?="`: "hóa.pdf",
		`attachment; filename=hóa.pdf`:                                 "hóa.pdf",
		`attachment; filename="a/b=?utf-8?q?/c?="`:                     "c",
		`attachment; filename="a%2Fb"`:                                 "a%2Fb",
		`attachment; filename*=utf-8''a%2Fb%00c`:                       "bc",
		`attachment; filename="unclosed.pdf`:                           "unclosed.pdf",
		`attachment; filename="one"; filename="two"`:                   "one",
		`attachment`: "",
	} {
		m := read(t, "Content-Type: a/b\r\nContent-Disposition: "+in+"\r\n\r\nx")
		require.Len(t, m.Attachments, 1)
		require.Equal(t, want, m.Attachments[0].Name, in)
	}
}

func TestABadHeaderNeverLosesTheMail(t *testing.T) {
	t.Parallel()
	for name, raw := range map[string]string{
		"mbox line":           "From x Mon Nov 4\nSubject: S\nFrom: a@x.example\n\nHello",
		"empty field name":    ": x\nSubject: S\nFrom: a@x.example\n\nHello",
		"blank line of tabs":  "Subject: S\nFrom: a@x.example\n \t \nHello",
		"non-ASCII name":      "Sübject: x\nSubject: S\nFrom: a@x.example\n\nHello",
		"last line is a dash": "Subject: S\nFrom: a@x.example\n---\n\nHello",
		"folded by blanks":    "Subject:\n \n S\nFrom: a@x.example\n\nHello",
		"no space":            "Subject:S\nFrom:a@x.example\n\nHello",
	} {
		m := read(t, raw)
		require.Equal(t, "S", m.Subject, name)
		require.Equal(t, "a@x.example", m.From[0].Address, name)
		require.Equal(t, "Hello", m.Text, name)
	}
}
