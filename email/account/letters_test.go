package account_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/emailtest"
)

func TestAddressesOfOtherAlphabets(t *testing.T) {
	t.Parallel()
	t.Run("a domain goes in its ASCII form", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		rec, err := w.open(t).Send(t.Context(), outbound("an@bücher.example"))
		require.NoError(t, err)
		require.Equal(t, []string{"an@xn--bcher-kva.example"}, w.srv.Messages()[0].To)
		require.Equal(t, channel.DeliverySent, stateOf(rec)["an@bücher.example"])
	})
	t.Run("a local part wants SMTPUTF8", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		_, err := w.open(t).Send(t.Context(), outbound("nguyễn@example.com"))
		require.NoError(t, err)
		m := w.srv.Messages()[0]
		require.Equal(t, []string{"nguyễn@example.com"}, m.To)
		require.Contains(t, m.MailParams, "SMTPUTF8")
		require.NotContains(t, m.RcptParams[0], "ORCPT")
	})
	t.Run("also of one that no field shows", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		out := outbound("an@example.com")
		out.Bcc = []channel.Party{{Address: "nguyễn@example.com"}}
		_, err := w.open(t).Send(t.Context(), out)
		require.NoError(t, err)
		require.Equal(t, []string{"an@example.com", "nguyễn@example.com"}, w.srv.Messages()[0].To)
	})
	t.Run("without SMTPUTF8 it is rejected before anything is told", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.srv.Hide("SMTPUTF8")
		rec, err := w.open(t).Send(t.Context(), outbound("nguyễn@example.com"))
		se := sendError(t, err)
		require.Equal(t, channel.Rejected, se.Outcome)
		require.Equal(t, "needs_smtputf8", se.Code)
		require.Equal(t, channel.DeliveryFailed, stateOf(rec)["nguyễn@example.com"])
		require.NotContains(t, strings.Join(w.srv.Commands(), "\n"), "MAIL")
	})
	t.Run("names want nothing", func(t *testing.T) {
		t.Parallel()
		w := setup(t)
		w.srv.Hide("SMTPUTF8")
		w.srv.Hide("8BITMIME")
		out := outbound("an@example.com")
		out.To[0].Name = "Trần Văn Bình"
		_, err := w.open(t).Send(t.Context(), out)
		require.NoError(t, err)
		mail, err := w.srv.Messages()[0].Mail()
		require.NoError(t, err)
		require.Equal(t, "Trần Văn Bình", mail.To[0].Name)
		require.Equal(t, "Nguyễn Thị Ánh", mail.From[0].Name)
	})
}

func TestAMailOverTheServersLimitIsRejectedBeforehand(t *testing.T) {
	t.Parallel()
	w := setup(t, emailtest.WithTLS(), emailtest.WithUser(address, password), emailtest.WithMaxSize(2000))
	out := outbound("an@example.com")
	out.Text = strings.Repeat("0123456789\n", 1000)
	_, err := w.open(t).Send(t.Context(), out)
	se := sendError(t, err)
	require.Equal(t, channel.Rejected, se.Outcome)
	require.Equal(t, "too_large", se.Code)
	require.Contains(t, se.Reason, "2000")
	require.NotContains(t, strings.Join(w.srv.Commands(), "\n"), "MAIL")
}

func TestNothingIsInjected(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*channel.Outbound){
		"recipient with a command":  func(o *channel.Outbound) { o.To[0].Address = "a@b.test>\r\nRCPT TO:<x@y.test" },
		"recipient with parameters": func(o *channel.Outbound) { o.To[0].Address = "a@b.test> NOTIFY=NEVER <x@y.test" },
		"recipient with a blank":    func(o *channel.Outbound) { o.Bcc = []channel.Party{{Address: "a b@c.test"}} },
		"recipient with NUL":        func(o *channel.Outbound) { o.Cc = []channel.Party{{Address: "a\x00@c.test"}} },
		"recipient that is none":    func(o *channel.Outbound) { o.To[0].Address = "nobody" },
		"empty recipient":           func(o *channel.Outbound) { o.To[0].Address = "" },
		"no recipient":              func(o *channel.Outbound) { o.To = nil },
		"subject with a field":      func(o *channel.Outbound) { o.Subject = "x\r\nBcc: x@y.test" },
		"name with a field":         func(o *channel.Outbound) { o.From.Name = "x\r\nBcc: x@y.test" },
		"reply-to with a field":     func(o *channel.Outbound) { o.ReplyTo = []channel.Party{{Address: "a@b.test\r\nBcc: x@y.test"}} },
		"bad domain":                func(o *channel.Outbound) { o.To[0].Address = "a@\u00ad\u200d.test" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			out := outbound("an@example.com")
			change(out)
			_, err := w.open(t).Send(t.Context(), out)
			se := sendError(t, err)
			require.Equal(t, channel.Rejected, se.Outcome)
			require.Equal(t, "invalid", se.Code)
			require.NotContains(t, se.Reason, "\n")
			require.NotContains(t, se.Reason, "\x00")
			require.Zero(t, w.srv.Connections())
		})
	}
}

func TestWhatAServerSaysIsMadeFitToShow(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.srv.Fault(emailtest.Fault{At: emailtest.AtRcpt, Reply: "550-5.1.1 \x1b[31mred\u202e\x07\xff\n550 5.1.1 " + strings.Repeat("ệ", 500)})
	_, err := w.open(t).Send(t.Context(), outbound("an@example.com"))
	se := sendError(t, err)
	require.True(t, strings.HasPrefix(se.Reason, "550 5.1.1 [31mred ? ệ"), se.Reason)
	require.Len(t, []rune(se.Reason), 300)
}

func TestAServerThatNeverStopsTalkingIsCutOff(t *testing.T) {
	t.Parallel()
	for name, reply := range map[string]string{
		"one long line":   "250 " + strings.Repeat("x", 100_000),
		"lines for ever":  strings.Repeat("250 x\n", 5000) + "250 x",
		"codes that vary": "250 x\n251 y\n250 z",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.srv.Fault(emailtest.Fault{At: emailtest.AtHello, Reply: reply})
			_, err := w.open(t).Send(t.Context(), outbound("an@example.com"))
			se := sendError(t, err)
			require.Equal(t, channel.NotSent, se.Outcome)
			require.Equal(t, "greeting", se.Code)
		})
	}
}
