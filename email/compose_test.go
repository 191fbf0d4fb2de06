package email_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/mail"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

const token = "abcdefghij0123456789abcd"

// outbound returns a message that can be composed.
func outbound() *channel.Outbound {
	return &channel.Outbound{
		ID:      "m-1",
		From:    channel.Party{Name: "An via Support", Address: "support@help.example"},
		To:      []channel.Party{{Name: "Nguyễn Văn Bình", Address: "binh@example.vn"}},
		Subject: "Re: Đơn hàng",
		Text:    "Xin chào,\nđơn hàng đã gửi.",
		Token:   token,
		Date:    time.Date(2024, 11, 4, 10, 30, 0, 0, time.FixedZone("", 7*3600)),
	}
}

func compose(t testing.TB, out *channel.Outbound) string {
	t.Helper()
	var b bytes.Buffer
	id, err := email.Compose(&b, out, email.ComposeOptions{Domain: "help.example", XLoop: "support@help.example"})
	require.NoError(t, err)
	require.Equal(t, token+"@help.example", id)
	return b.String()
}

// recompose composes and reads.
func recompose(t testing.TB, out *channel.Outbound) (string, *email.Mail) {
	t.Helper()
	raw := compose(t, out)
	m, err := email.Read(channel.Bytes(raw))
	require.NoError(t, err)
	require.Empty(t, m.Defects)
	checkMail(t, channel.Bytes(raw), m)
	return raw, m
}

func TestComposeWritesATextMailThatOthersCanRead(t *testing.T) {
	t.Parallel()
	out := outbound()
	out.Cc = []channel.Party{{Address: "c@example.com"}}
	out.Bcc = []channel.Party{{Address: "hidden@example.com"}}
	raw, m := recompose(t, out)
	require.NotContains(t, raw, "hidden@example.com")
	require.NotContains(t, strings.ToLower(raw), "\r\nbcc:")
	require.Equal(t, out.To, m.To)
	require.Equal(t, out.Cc, m.Cc)
	require.Equal(t, []channel.Party{out.From}, m.From)
	require.Equal(t, out.Subject, m.Subject)
	require.Equal(t, out.Text, m.Text)
	require.True(t, out.Date.Equal(m.Date))
	require.Equal(t, "m-1", m.Header.Get(email.OutboxHeader))

	std, err := mail.ReadMessage(strings.NewReader(raw))
	require.NoError(t, err)
	to, err := std.Header.AddressList("To")
	require.NoError(t, err)
	require.Equal(t, "Nguyễn Văn Bình", to[0].Name)
	require.Equal(t, "text/plain; charset=utf-8", std.Header.Get("Content-Type"))
	for line := range strings.SplitSeq(raw, "\r\n") {
		require.LessOrEqual(t, len(line), 200)
		require.NotContains(t, line, "\n")
	}
}

func TestComposeIsDeterministic(t *testing.T) {
	t.Parallel()
	out := outbound()
	out.HTML = `<p>Xin chào <img src="cid:logo@x"></p>`
	out.Attachments = []channel.Attachment{
		{Name: "hóa đơn.pdf", Type: "application/pdf", Body: channel.Bytes("PDF")},
		{Name: "logo.png", Type: "image/png", Inline: true, ContentID: "logo@x", Body: channel.Bytes("PNG")},
	}
	first := compose(t, out)
	out.Attempt = 7
	require.Equal(t, first, compose(t, out))
	out.Token = strings.Repeat("b", 24)
	var other bytes.Buffer
	_, err := email.Compose(&other, out, email.ComposeOptions{Domain: "help.example"})
	require.NoError(t, err)
	require.NotEqual(t, first, other.String())
}

func TestComposeNestsTheParts(t *testing.T) {
	t.Parallel()
	out := outbound()
	out.HTML = `<p>Xin chào <img src="cid:logo@x"></p>`
	out.Attachments = []channel.Attachment{
		{Name: "hóa đơn.pdf", Type: "application/pdf", Body: channel.Bytes(strings.Repeat("P", 100_000))},
		{Name: "logo.png", Type: "image/png", Inline: true, ContentID: "logo@x", Body: channel.Bytes("PNG")},
		{Name: "mail.eml", Type: "message/rfc822", Body: channel.Bytes("From: a@b\r\n\r\nhi")},
		{Name: "bad", Type: "no type\"", Body: channel.Bytes("")},
	}
	raw, m := recompose(t, out)
	mixed, alternative, related := strings.Index(raw, "multipart/mixed"), strings.Index(raw, "multipart/alternative"), strings.Index(raw, "multipart/related")
	require.True(t, 0 < mixed && mixed < alternative && alternative < related)
	require.Equal(t, out.Text, m.Text)
	require.Equal(t, out.HTML, m.HTML)
	require.Len(t, m.Attachments, 4)
	require.Equal(t, "logo.png", m.Attachments[0].Name)
	require.True(t, m.Attachments[0].Inline)
	require.Equal(t, "logo@x", m.Attachments[0].ContentID)
	require.Equal(t, "hóa đơn.pdf", m.Attachments[1].Name)
	require.EqualValues(t, 100_000, m.Attachments[1].Size)
	require.Equal(t, "application/octet-stream", m.Attachments[2].Type)
	require.Equal(t, "application/octet-stream", m.Attachments[3].Type)
}

func TestComposeWithHTMLAloneMakesTheText(t *testing.T) {
	t.Parallel()
	out := outbound()
	out.Text, out.HTML = "", "<p>Hello <b>you</b></p>"
	_, m := recompose(t, out)
	require.Equal(t, "Hello you", m.Text)
	require.Equal(t, out.HTML, m.HTML)
}

func TestComposePutsTheSignatureOnceBelow(t *testing.T) {
	t.Parallel()
	out := outbound()
	out.Signature = channel.Signature{Text: "An\nSupport"}
	raw, m := recompose(t, out)
	require.Contains(t, raw, "\r\n--=20\r\nAn\r\nSupport")
	require.NotContains(t, raw, "text/html")
	require.Equal(t, out.Text, m.NewTextUnsigned)
	require.Equal(t, "An\nSupport", m.Signature)

	out.HTML = "<html><body><p>Hello</p></body></html>"
	out.Signature.HTML = "<b>An</b>"
	_, m = recompose(t, out)
	require.Equal(t, 1, strings.Count(m.HTML, "<b>An</b>"))
	require.True(t, strings.HasSuffix(m.HTML, "</div>\n</body></html>"))
	require.Equal(t, 1, strings.Count(m.Text, "Support"))

	out.Signature.HTML = ""
	out.Signature.Text = "<An>\nx"
	_, m = recompose(t, out)
	require.Contains(t, m.HTML, "&lt;An&gt;<br>\nx")

	out.Automatic = channel.AutoReplied
	_, m = recompose(t, out)
	require.NotContains(t, m.Text, "-- ")
	require.NotContains(t, m.HTML, "signature")
}

func TestComposeMarksAutomaticMail(t *testing.T) {
	t.Parallel()
	out := outbound()
	_, m := recompose(t, out)
	require.False(t, m.Automatic.Is())
	for _, name := range []string{"Auto-Submitted", "Precedence", "X-Loop", "X-Auto-Response-Suppress", email.ProbeHeader} {
		require.False(t, m.Header.Has(name), name)
	}
	out.Automatic = channel.AutoReplied
	_, m = recompose(t, out)
	require.Equal(t, "auto-replied", m.Header.Get("Auto-Submitted"))
	require.Equal(t, "All", m.Header.Get("X-Auto-Response-Suppress"))
	require.Equal(t, "auto_reply", m.Header.Get("Precedence"))
	require.Equal(t, "support@help.example", m.Header.Get("X-Loop"))
	require.Equal(t, channel.AutomaticReply, m.Automatic.Kind)

	out.Automatic = channel.AutoGenerated
	_, m = recompose(t, out)
	require.Equal(t, "auto-generated", m.Header.Get("Auto-Submitted"))
	require.False(t, m.Header.Has("X-Auto-Response-Suppress"))
	require.False(t, m.Header.Has(email.ProbeHeader))

	out.To = []channel.Party{out.From}
	_, m = recompose(t, out)
	require.Equal(t, token, m.Header.Get(email.ProbeHeader))
}

func TestComposeThreadsWithAnAnchorBeforeTheLastReference(t *testing.T) {
	t.Parallel()
	anchor := token + ".r@help.example"
	out := outbound()
	_, m := recompose(t, out)
	require.Empty(t, m.InReplyTo)
	require.Equal(t, []string{anchor}, m.References)

	out.References = []string{"first@x", "bad id\u00a0@x", "<second@x>"}
	_, m = recompose(t, out)
	require.Equal(t, []string{"second@x"}, m.InReplyTo)
	require.Equal(t, []string{"first@x", anchor, "second@x"}, m.References)

	out.References = nil
	for i := range 50 {
		out.References = append(out.References, fmt.Sprintf("%d@x", i))
	}
	_, m = recompose(t, out)
	require.Len(t, m.References, 22)
	require.Equal(t, "0@x", m.References[0])
	require.Equal(t, "30@x", m.References[1])
	require.Equal(t, []string{anchor, "49@x"}, m.References[20:])
}

func TestComposeOnlyToHiddenRecipients(t *testing.T) {
	t.Parallel()
	out := outbound()
	out.To, out.Bcc = nil, []channel.Party{{Address: "hidden@example.com"}}
	raw, m := recompose(t, out)
	require.Contains(t, raw, "To: undisclosed-recipients:;")
	require.Empty(t, m.To)
}

func TestComposeWritesInternationalDomainsInASCII(t *testing.T) {
	t.Parallel()
	out := outbound()
	out.To = []channel.Party{{Address: "an@thư.example"}}
	raw, _ := recompose(t, out)
	require.Contains(t, raw, "<an@xn--")
}

func TestComposeRefusesWhatBreaksAHeader(t *testing.T) {
	t.Parallel()
	bad := map[string]string{"CR": "a\rb", "LF": "a\nBcc: x@y.example", "CRLF": "a\r\nBcc: x@y.example", "NUL": "a\x00b", "control": "a\x07b", "C1": "a\u0085b", "invalid": "a\xffb"}
	fields := map[string]func(o *channel.Outbound, v string){
		"from.name":                 func(o *channel.Outbound, v string) { o.From.Name = v },
		"from.address":              func(o *channel.Outbound, v string) { o.From.Address = v },
		"reply_to[0].name":          func(o *channel.Outbound, v string) { o.ReplyTo = []channel.Party{{Name: v, Address: "a@b.example"}} },
		"to[0].name":                func(o *channel.Outbound, v string) { o.To[0].Name = v },
		"to[0].address":             func(o *channel.Outbound, v string) { o.To[0].Address = v + "@x.example" },
		"cc[0].address":             func(o *channel.Outbound, v string) { o.Cc = []channel.Party{{Address: "a@" + v}} },
		"bcc[0].address":            func(o *channel.Outbound, v string) { o.Bcc = []channel.Party{{Address: v}} },
		"subject":                   func(o *channel.Outbound, v string) { o.Subject = v },
		"id":                        func(o *channel.Outbound, v string) { o.ID = v },
		"token":                     func(o *channel.Outbound, v string) { o.Token = v },
		"attachments[0].name":       func(o *channel.Outbound, v string) { o.Attachments[0].Name = v },
		"attachments[0].type":       func(o *channel.Outbound, v string) { o.Attachments[0].Type = v },
		"attachments[0].content_id": func(o *channel.Outbound, v string) { o.Attachments[0].ContentID = v },
	}
	for field, set := range fields {
		for kind, v := range bad {
			out := outbound()
			out.Attachments = []channel.Attachment{{Name: "a", Type: "a/b", Body: channel.Bytes("x")}}
			set(out, v)
			var b bytes.Buffer
			_, err := email.Compose(&b, out, email.ComposeOptions{Domain: "help.example"})
			var fe *channel.FieldError
			require.ErrorAs(t, err, &fe, "%s in %s", kind, field)
			require.Equal(t, field, fe.Field, kind)
			require.Zero(t, b.Len(), "nothing is written")
			require.NotContains(t, fe.Error(), "\n")
		}
	}
	out := outbound()
	out.References = []string{"a\r\nBcc: x@y"}
	_, err := email.Compose(io.Discard, out, email.ComposeOptions{Domain: "help.example"})
	requireField(t, err, "references[0]")
	out = outbound()
	out.Automatic = channel.AutoReplied
	_, err = email.Compose(io.Discard, out, email.ComposeOptions{Domain: "help.example", XLoop: "a\nb"})
	requireField(t, err, "x_loop")
	_, err = email.Compose(io.Discard, outbound(), email.ComposeOptions{Domain: "a\r\nb"})
	requireField(t, err, "domain")
}

func requireField(t testing.TB, err error, field string) {
	t.Helper()
	var fe *channel.FieldError
	require.ErrorAs(t, err, &fe)
	require.Equal(t, field, fe.Field)
}

func TestComposeRefusesWhatIsMissing(t *testing.T) {
	t.Parallel()
	for field, set := range map[string]func(o *channel.Outbound){
		"from.address":   func(o *channel.Outbound) { o.From = channel.Party{} },
		"to":             func(o *channel.Outbound) { o.To = nil },
		"date":           func(o *channel.Outbound) { o.Date = time.Time{} },
		"token":          func(o *channel.Outbound) { o.Token, o.ID = "", "" },
		"attachments[0]": func(o *channel.Outbound) { o.Attachments = []channel.Attachment{{Name: "x"}} },
		"automatic":      func(o *channel.Outbound) { o.Automatic = "x" },
	} {
		out := outbound()
		set(out)
		_, err := email.Compose(io.Discard, out, email.ComposeOptions{Domain: "help.example"})
		requireField(t, err, field)
	}
	out := outbound()
	for range email.MaxRecipients {
		out.Cc = append(out.Cc, channel.Party{Address: "a@b.example"})
	}
	_, err := email.Compose(io.Discard, out, email.ComposeOptions{Domain: "help.example"})
	requireField(t, err, "to")
}

type failingBody struct{ channel.Bytes }

var errBroken = errors.New("broken")

func (failingBody) Open() (io.ReadCloser, error) { return nil, errBroken }

func TestComposeReportsAttachmentsThatCannotBeRead(t *testing.T) {
	t.Parallel()
	out := outbound()
	out.Attachments = []channel.Attachment{{Name: "x", Body: failingBody{}}}
	_, err := email.Compose(io.Discard, out, email.ComposeOptions{Domain: "help.example"})
	require.ErrorIs(t, err, errBroken)
}

func TestWhatIsComposedReadsTheSame(t *testing.T) {
	t.Parallel()
	letters := rapid.StringOfN(rapid.RuneFrom([]rune("ab Z9.,;:\"()<>@[]\\=?_'ăđươễßñ日本語Ж😀-")), 0, 80, -1)
	words := rapid.Custom(func(t *rapid.T) string { return strings.Trim(letters.Draw(t, "words"), " '") })
	party := rapid.Custom(func(t *rapid.T) channel.Party {
		local := rapid.StringMatching(`[a-z][a-z0-9+._-]{0,20}[a-z0-9]`).Filter(func(s string) bool { return !strings.Contains(s, "..") }).Draw(t, "local")
		return channel.Party{Name: words.Draw(t, "name"), Address: local + "@" + rapid.StringMatching(`[a-z0-9]{1,10}\.example`).Draw(t, "domain")}
	})
	rapid.Check(t, func(rt *rapid.T) {
		out := outbound()
		out.From = party.Draw(rt, "from")
		out.To = rapid.SliceOfN(party, 1, 5).Draw(rt, "to")
		out.Cc = rapid.SliceOfN(party, 0, 3).Draw(rt, "cc")
		out.Subject = words.Draw(rt, "subject")
		out.Text = strings.Trim(strings.Join(rapid.SliceOfN(letters, 1, 6).Draw(rt, "text"), "\n"), " \n\t")
		if rapid.Bool().Draw(rt, "with html") {
			out.HTML = "<p>" + strings.Trim(words.Draw(rt, "html"), "<>&") + "</p>"
		}
		data := rapid.SliceOfN(rapid.Byte(), 0, 300).Draw(rt, "data")
		out.Attachments = []channel.Attachment{{Name: rapid.StringMatching(`[a-z 0-9ăđễ()']{1,80}x\.(pdf|txt)`).Draw(rt, "file"), Type: "application/x-test", Body: channel.Bytes(data)}}

		var b bytes.Buffer
		_, err := email.Compose(&b, out, email.ComposeOptions{Domain: "help.example"})
		require.NoError(rt, err)
		m, err := email.Read(channel.Bytes(b.Bytes()))
		require.NoError(rt, err)
		require.Empty(rt, m.Defects)
		require.Equal(rt, []channel.Party{out.From}, m.From)
		require.Equal(rt, out.To, m.To)
		if len(out.Cc) > 0 {
			require.Equal(rt, out.Cc, m.Cc)
		}
		require.Equal(rt, out.Subject, m.Subject)
		if out.Text != "" {
			require.Equal(rt, out.Text, m.Text)
		}
		require.Equal(rt, out.HTML, m.HTML)
		require.Len(rt, m.Attachments, 1)
		require.Equal(rt, strings.TrimSpace(out.Attachments[0].Name), m.Attachments[0].Name)
		r, err := m.Attachments[0].Window.Open(channel.Bytes(b.Bytes()))
		require.NoError(rt, err)
		got, err := io.ReadAll(r)
		require.NoError(rt, err)
		require.True(rt, bytes.Equal(data, got))
	})
}
