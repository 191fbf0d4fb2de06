package hosted

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

var (
	acme  = channel.Forward{Channel: "acme", Address: "info@acme.example", Token: "k7q2m9x4k7q2m9x4"}
	other = channel.Forward{Channel: "other", Address: "Sales@Other.Example", Token: "zzzzzzzzzzzzzzzz"}
)

func TestEnvelopeOfAPairDecides(t *testing.T) {
	t.Parallel()
	var sink recorder
	r := start(t, &Server{})
	b, _ := r.mailbox("support", &sink, acme, other,
		channel.Forward{Channel: "bad", Address: "x@bad.example", Token: "Not a token\r\n"})
	p := r.hello()
	raw := "X-Forwarded-For: sales@other.example support@help.example\r\n" + msg("1")
	code, _ := p.mail(raw, b.ForwardAddress(acme.Token))
	require.Equal(t, 250, code)
	it := sink.got()[0]
	require.Equal(t, channel.ID("acme"), it.Channel)
	require.Equal(t, channel.ID("support"), it.Via)
	require.False(t, it.ViaInferred)

	code, _ = p.mail(raw, "FWD-K7Q2M9X4K7Q2M9X4+tag@help.example", "support@help.example")
	require.Equal(t, 250, code, "letter case and a tag do not matter")
	require.Len(t, sink.got(), 2, "the plain address leads to the other account by its headers")
	require.Equal(t, channel.ID("other"), sink.got()[1].Channel)
	require.True(t, sink.got()[1].ViaInferred)
	p.do("MAIL FROM:<>", 250)
	p.do("RCPT TO:<fwd-k7q2m9x4k7q2m9x@help.example>", 550)
}

func TestForwardToThePlainAddressIsPairedByHeaders(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, from, header string
		want               channel.ID // "" is the mailbox itself
	}{
		{"written to the mailbox", "jane@customer.example", "To: support@help.example\r\n", ""},
		{"written to the mailbox and the account", "jane@customer.example", "To: support@help.example, info@acme.example\r\n", ""},
		{"written to the account, mailbox in Cc", "jane@customer.example", "To: info@acme.example\r\nCc: Support <Support+x@help.example>\r\n", ""},
		{"written to somebody else", "jane@customer.example", "To: friend@elsewhere.example\r\n", ""},
		{"To is the account", "jane@customer.example", "To: Acme <INFO@acme.example>\r\n", "acme"},
		{"To is the account with a tag", "jane@customer.example", "To: info+web@acme.example\r\n", "acme"},
		{"Cc is the account", "jane@customer.example", "To: x@y.example\r\nCc: sales@other.example\r\n", "other"},
		{"Gmail", "jane@customer.example", "X-Forwarded-To: support@help.example\r\nX-Forwarded-For: info@acme.example support@help.example\r\nTo: list@x.example\r\n", "acme"},
		{"Gmail reverse-path", "info+caf_=support=help.example@acme.example", "To: list@x.example\r\n", "acme"},
		{"Exchange redirect", "jane@customer.example", "Resent-From: Acme <info@acme.example>\r\nTo: list@x.example\r\n", "acme"},
		{"Postfix", "jane@customer.example", "X-Original-To: info@acme.example\r\nTo: list@x.example\r\n", "acme"},
		{"Exim", "jane@customer.example", "Envelope-To: sales@other.example\r\nTo: list@x.example\r\n", "other"},
		{"delivered twice", "jane@customer.example", "Delivered-To: support@help.example\r\nDelivered-To: info@acme.example\r\nTo: support@help.example\r\n", "acme"},
		{"a trail goes before To", "jane@customer.example", "X-Forwarded-For: sales@other.example\r\nTo: info@acme.example\r\n", "other"},
		{"an address within another", "jane@customer.example", "X-Forwarded-For: xinfo@acme.example info@acme.example.evil.example\r\nTo: support@help.example\r\n", ""},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var sink recorder
			r := start(t, &Server{})
			r.mailbox("support", &sink, acme, other)
			p := r.hello()
			p.do("MAIL FROM:<"+tc.from+">", 250)
			p.do("RCPT TO:<support@help.example>", 250)
			p.do("DATA", 354)
			p.do("From: jane@customer.example\r\n"+tc.header+"Subject: x\r\n\r\nHello\r\n.", 250)
			it := sink.got()[0]
			if tc.want == "" {
				require.Equal(t, channel.ID("support"), it.Channel)
				require.Empty(t, it.Via)
				require.False(t, it.ViaInferred)
				return
			}
			require.Equal(t, tc.want, it.Channel)
			require.Equal(t, channel.ID("support"), it.Via)
			require.True(t, it.ViaInferred)
		})
	}
}

func TestEnvelopeGoesBeforeHeadersForTheSameAccount(t *testing.T) {
	t.Parallel()
	var sink recorder
	r := start(t, &Server{})
	b, _ := r.mailbox("support", &sink, acme)
	code, _ := r.hello().mail("X-Forwarded-For: info@acme.example\r\n"+msg("1"), "support@help.example", b.ForwardAddress(acme.Token))
	require.Equal(t, 250, code)
	require.Len(t, sink.got(), 1)
	require.False(t, sink.got()[0].ViaInferred)
	require.Equal(t, b.ForwardAddress(acme.Token), sink.got()[0].Message.Received.To)
}

func TestNewForwardsCountFromTheNextOpening(t *testing.T) {
	t.Parallel()
	var sink recorder
	r := start(t, &Server{Limits: Limits{UnknownDelay: -1}})
	b, off := r.mailbox("support", &sink, acme)
	p := r.hello()
	p.do("MAIL FROM:<jane@customer.example>", 250)
	p.do("RCPT TO:<"+b.ForwardAddress(other.Token)+">", 550)
	r.mailbox("support", &sink, other)
	off()
	p.do("RCPT TO:<"+b.ForwardAddress(other.Token)+">", 250)
	p.do("RCPT TO:<"+b.ForwardAddress(acme.Token)+">", 550)
}

func TestAForwardingConfirmationGoesToTheAccountItIsAbout(t *testing.T) {
	t.Parallel()
	var sink recorder
	r := start(t, &Server{})
	b, _ := r.mailbox("support", &sink, acme, other)
	p := r.hello()
	confirm := func(requester string) string {
		return "From: <forwarding-noreply@google.com>\r\nTo: support@help.example\r\nMessage-ID: <" + requester + "@mail.gmail.com>\r\n" +
			"Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n" +
			"Subject: (#123456789) Gmail Forwarding Confirmation - Receive Mail from " + requester + "\r\n\r\n" +
			"https://mail-settings.google.com/mail/vf-abc\r\n"
	}
	for i, c := range []struct {
		to, requester string
		channel       channel.ID
		unexpected    string
	}{
		{b.ForwardAddress(acme.Token), "info@acme.example", "acme", ""},
		{"support@help.example", "sales@other.example", "other", ""},
		{"support@help.example", "stranger@else.example", "support", "yes"},
		{b.ForwardAddress(acme.Token), "mallory@else.example", "acme", "yes"},
	} {
		code, _ := p.mail(confirm(c.requester), c.to)
		require.Equal(t, 250, code)
		it := sink.got()[i]
		require.Equal(t, c.channel, it.Channel)
		require.NotNil(t, it.Notice)
		require.Equal(t, "123456789", it.Notice.Data["code"])
		require.Equal(t, "https://mail-settings.google.com/mail/vf-abc", it.Notice.Data["link"])
		require.Equal(t, c.unexpected, it.Notice.Data["unexpected"])
	}
}
