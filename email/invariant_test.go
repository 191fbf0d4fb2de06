package email_test

import (
	"crypto/sha256"
	"encoding/hex"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// checkMail checks what holds for every mail, however broken.
func checkMail(t testing.TB, raw channel.Body, m *email.Mail) {
	t.Helper()
	require.NotNil(t, m)
	for _, d := range m.Defects {
		require.NotContains(t, d, "internal error")
		requireText(t, d)
	}
	for _, s := range []string{m.Text, m.HTML, m.NewText, m.NewTextUnsigned, m.Signature} {
		requireText(t, s)
		require.NotContains(t, s, "\r")
	}
	for _, f := range m.Header.Fields {
		requireLine(t, f.Name)
		requireLine(t, f.Value)
	}
	for _, list := range [][]channel.Party{m.From, m.Sender, m.ReplyTo, m.To, m.Cc} {
		for _, p := range list {
			requireLine(t, p.Name)
			requireLine(t, p.Address)
		}
	}
	requireLine(t, m.Subject)
	requireLine(t, m.MessageID)
	for _, id := range append(m.InReplyTo, m.References...) {
		require.NotContains(t, id, "<")
		require.NotContains(t, id, " ")
	}
	require.NotEmpty(t, m.ContentKey)
	require.LessOrEqual(t, len(m.Text), 4*email.MaxTextTotal)
	require.LessOrEqual(t, len(m.Attachments), email.MaxParts+1)
	for _, a := range m.Attachments {
		requireLine(t, a.Name)
		require.NotContains(t, a.Name, "/")
		require.NotContains(t, a.Name, `\`)
		require.LessOrEqual(t, len(a.Name), 210)
		checkWindow(t, raw, a)
	}
	for _, d := range []string{m.View().HTML} {
		requireText(t, d)
	}
}

// checkWindow checks that an attachment's window lies in the raw mail and gives
// the bytes that were measured and hashed.
func checkWindow(t testing.TB, raw channel.Body, a email.Attachment) {
	t.Helper()
	require.NotNil(t, a.Window)
	require.GreaterOrEqual(t, a.Window.Offset, int64(0))
	require.LessOrEqual(t, a.Window.Offset+a.Window.Length, raw.Size())
	r, err := a.Window.Open(raw)
	require.NoError(t, err)
	defer r.Close()
	h := sha256.New()
	n, err := io.Copy(h, r)
	if err != nil {
		return // broken quoted-printable is read up to the error
	}
	require.Equal(t, a.Size, n, "size of %q", a.Name)
	require.Equal(t, a.SHA256, hex.EncodeToString(h.Sum(nil)))
}

func requireText(t testing.TB, s string) {
	t.Helper()
	require.True(t, utf8.ValidString(s), "valid UTF-8: %q", s)
	require.NotContains(t, s, "\x00")
}

func requireLine(t testing.TB, s string) {
	t.Helper()
	requireText(t, s)
	require.False(t, strings.ContainsFunc(s, unicode.IsControl), "one line: %q", s)
}
