package email_test

import (
	"bytes"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// FuzzRead: no mail makes Read fail, or gives invalid text, or windows outside
// of the mail.
func FuzzRead(f *testing.F) {
	for _, name := range tortureFiles(f) {
		raw, err := os.ReadFile(name)
		require.NoError(f, err)
		if len(raw) < 20_000 {
			f.Add(raw)
		}
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		m, err := email.Read(channel.Bytes(raw))
		require.NoError(t, err)
		checkMail(t, channel.Bytes(raw), m)
		checkSafe(t, m.View().HTML, false)
		it := email.Item(channel.Bytes(raw), m, email.Context{Own: ours})
		require.NotEmpty(t, it.Keys)
		again, err := email.Read(channel.Bytes(raw))
		require.NoError(t, err)
		require.Equal(t, m, again)
	})
}

// FuzzCompose: whatever the values, nothing gets into the header that was not
// asked for, and bad values are FieldErrors.
func FuzzCompose(f *testing.F) {
	f.Add("Ann", "ann@example.com", "Hello", "text", "<p>html</p>", "a.pdf", "ref@x", "id@x")
	f.Add("a\r\nBcc: x@y", "a@b\r\nBcc: x@y", "s\nX: y", "\r\n.\r\n", "", "a\r\nX: y", "a\r\nb", "a\nb")
	f.Add("=?utf-8?q?x?=", `"a b"@example.com`, " s ", "\x00\xff", "\x00", `a"b;c=d`, "<x>", "\u00a0")
	f.Fuzz(func(t *testing.T, name, address, subject, text, html, file, ref, cid string) {
		out := &channel.Outbound{
			From: channel.Party{Name: name, Address: "from@example.com"}, To: []channel.Party{{Name: name, Address: address}},
			Subject: subject, Text: text, HTML: html, Token: token, References: []string{ref}, Date: time.Unix(1730691000, 0),
			Attachments: []channel.Attachment{{Name: file, Type: "a/b", Inline: true, ContentID: cid, Body: channel.Bytes(text)}},
			Signature:   channel.Signature{Text: name},
		}
		var b bytes.Buffer
		_, err := email.Compose(&b, out, email.ComposeOptions{Domain: "help.example"})
		if err != nil {
			var fe *channel.FieldError
			require.ErrorAs(t, err, &fe)
			require.Zero(t, b.Len())
			return
		}
		checkWire(t, b.String())
		m, err := email.Read(channel.Bytes(b.Bytes()))
		require.NoError(t, err)
		checkMail(t, channel.Bytes(b.Bytes()), m)
		require.Equal(t, token+"@help.example", m.MessageID)
		require.Len(t, m.From, 1)
		require.Len(t, m.To, 1)
		require.Equal(t, strings.TrimSpace(subject), strings.TrimSpace(m.Subject))
		require.Len(t, m.Attachments, 1)
		r, err := m.Attachments[0].Window.Open(channel.Bytes(b.Bytes()))
		require.NoError(t, err)
		got, err := io.ReadAll(r)
		require.NoError(t, err)
		require.Equal(t, text, string(got))
	})
}

// checkWire checks the form of a composed mail: known fields only, CRLF, no long
// lines, ASCII but for SMTPUTF8 addresses.
func checkWire(t *testing.T, raw string) {
	t.Helper()
	head, _, ok := strings.Cut(raw, "\r\n\r\n")
	require.True(t, ok)
	for line := range strings.SplitSeq(raw, "\r\n") {
		require.NotContains(t, line, "\n")
		require.NotContains(t, line, "\r")
		require.NotContains(t, line, "\x00")
		require.LessOrEqual(t, len(line), 998)
	}
	known := map[string]bool{"Date": true, "From": true, "To": true, "Subject": true, "Message-ID": true, "In-Reply-To": true, "References": true, "MIME-Version": true, "Content-Type": true, "Content-Transfer-Encoding": true}
	for line := range strings.SplitSeq(head, "\r\n") {
		if strings.HasPrefix(line, " ") {
			require.NotEmpty(t, strings.TrimSpace(line))
			continue
		}
		name, _, ok := strings.Cut(line, ":")
		require.True(t, ok && known[name], "line %q", line)
	}
}

// FuzzSanitize: nothing that acts or loads comes out, and the text converter
// copes.
func FuzzSanitize(f *testing.F) {
	for _, s := range []string{
		`<p style="color:red">x</p>`, `<script>x</script>`, `<img src="cid:a">`, `<a href="javascript:x">`, `<svg><style><img src=x onerror=x>`, `<noscript><p title="</noscript><img src=x onerror=x>">`,
		`<!--><img src=x onerror=x>-->`, `<xmp><p title="</xmp><img src=x onerror=x>">`, `<math><mtext><table><mglyph><style><img src=x>`, `<table><td background=x>`, "<a href=\"\x01javascript:x\">", `<plaintext><b>`, `<title></b>`,
	} {
		f.Add(s, false)
		f.Add(s, true)
	}
	f.Fuzz(func(t *testing.T, s string, remote bool) {
		o := email.SanitizeOptions{RemoteImages: remote}
		got := email.SanitizeHTML(s, o)
		checkSafe(t, got, remote)
		checkSafe(t, email.SanitizeHTML(got, o), remote)
		requireText(t, strings.ToValidUTF8(email.TextFromHTML(got), ""))
	})
}
