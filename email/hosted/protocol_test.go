package hosted

import (
	"crypto/tls"
	"errors"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

func TestExtensionsAreOfferedAndAuthIsNot(t *testing.T) {
	t.Parallel()
	r := start(t, &Server{TLS: testTLS(), Hostname: "mx.help.example", Limits: Limits{MessageBytes: 12345, Recipients: 7}})
	p := r.dial()
	require.Contains(t, p.expect(220), "mx.help.example")
	got := strings.Split(p.do("EHLO client.example", 250), "\n")[1:]
	require.ElementsMatch(t, []string{
		"PIPELINING", "8BITMIME", "ENHANCEDSTATUSCODES", "CHUNKING", "STARTTLS", "SMTPUTF8", "SIZE 12345", "LIMITS RCPTMAX=7",
	}, got)
	p.send("AUTH PLAIN AGEAYg==\r\n")
	code, _, err := p.answer()
	require.NoError(t, err)
	require.GreaterOrEqual(t, code, 500)
	require.NotContains(t, p.startTLS().do("EHLO client.example", 250), "AUTH")
}

func TestEnvelopeGoesWithTheItem(t *testing.T) {
	t.Parallel()
	r, sink := support(t, &Server{TLS: testTLS()})
	p := r.hello()
	code, text := p.mail(msg("1"), "Support+x@help.example")
	require.Equal(t, 250, code)
	require.Contains(t, text, "queued as ")
	q := r.hello().startTLS()
	q.do("MAIL FROM:<> SMTPUTF8 BODY=8BITMIME SIZE=100", 250)
	q.do("RCPT TO:<support@help.example>", 250)
	q.do("DATA", 354)
	q.do(msg("2")+".", 250)

	got := sink.got()
	require.Len(t, got, 2)
	require.Equal(t, msg("1"), got[0].raw, "byte for byte, with no trace field of ours")
	require.Equal(t, channel.Envelope{
		From: "jane@customer.example", To: "Support+x@help.example", Known: true,
		RemoteIP: "127.0.0.1", Helo: "client.example", Transport: "smtp",
	}, got[0].Message.Received)
	require.Equal(t, channel.Envelope{
		To: "support@help.example", Known: true, NullPath: true, SMTPUTF8: true, TLS: true,
		RemoteIP: "127.0.0.1", Helo: "client.example", Transport: "smtp",
	}, got[1].Message.Received)
	require.Equal(t, channel.ID("support"), got[0].Channel)
	require.Empty(t, got[0].Via)
	require.NotEmpty(t, got[0].Keys)
}

func TestVietnameseMailInSMTPUTF8(t *testing.T) {
	t.Parallel()
	var sink recorder
	r := start(t, &Server{Domains: map[string]string{"main": "hỗtrợ.example"}})
	_, _ = r.mailbox("support", &sink)
	raw := "From: Nguyễn Thị Hương <hương@khách.example>\r\nTo: support@hỗtrợ.example\r\n" +
		"Subject: Đơn hàng số 42 chưa giao\r\nContent-Type: text/plain; charset=utf-8\r\n" +
		"Content-Transfer-Encoding: 8bit\r\n\r\nXin chào, đơn hàng của tôi ở đâu?\r\n"
	p := r.hello()
	p.do("MAIL FROM:<hương@khách.example> SMTPUTF8 BODY=8BITMIME", 250)
	p.do("RCPT TO:<support@hỗtrợ.example>", 250)
	p.do("RCPT TO:<support@"+normalizeDomain("hỗtrợ.example")+">", 250)
	p.do("DATA", 354)
	p.do(raw+".", 250)
	got := sink.got()
	require.Len(t, got, 1, "both recipients are one mailbox")
	require.Equal(t, raw, got[0].raw)
	require.Equal(t, "hương@khách.example", got[0].Message.Received.From)
	require.Equal(t, "Đơn hàng số 42 chưa giao", got[0].Message.Subject)
	require.Equal(t, "hương@khách.example", got[0].Message.From.Address)
	require.Contains(t, got[0].Message.Text, "đơn hàng của tôi")
}

func TestDotStuffingIsUndone(t *testing.T) {
	t.Parallel()
	r, sink := support(t, &Server{RefuseBareNewlines: true})
	p := r.hello()
	p.envelope("support@help.example")
	p.do("DATA", 354)
	p.do(msg("1")+"..hidden\r\n...\r\n.", 250)
	require.Equal(t, msg("1")+".hidden\r\n..\r\n", sink.got()[0].raw)
}

func TestWhatWasSaidBeforeTheHandshakeIsForgotten(t *testing.T) {
	t.Parallel()
	r, sink := support(t, &Server{TLS: testTLS()})
	p := r.hello()
	p.envelope("support@help.example")
	p.do("STARTTLS", 503) // not within a transaction
	p.do("RSET", 250)
	p.send("STARTTLS\r\nMAIL FROM:<ceo@bank.example>\r\nRCPT TO:<support@help.example>\r\nDATA\r\nforged\r\n.\r\n")
	p.expect(220)
	c := tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, c.Handshake(), "the injected commands are dropped")
	q := newPeer(t, c)
	q.do("MAIL FROM:<jane@customer.example>", 503)
	q.do("RCPT TO:<support@help.example>", 503)
	q.do("DATA", 503)
	require.NotContains(t, q.do("EHLO client.example", 250), "STARTTLS")
	q.do("STARTTLS", 503)
	code, _ := q.mail(msg("1"), "support@help.example")
	require.Equal(t, 250, code)
	require.Len(t, sink.got(), 1)
}

func TestFailedHandshakeEndsTheConnection(t *testing.T) {
	t.Parallel()
	r := start(t, &Server{TLS: testTLS()})
	p := r.hello()
	p.do("STARTTLS", 220)
	p.try("NOOP\r\nNOOP\r\nMAIL FROM:<a@b.example>\r\n")
	require.NotContains(t, p.closed(), 250)
}

func TestNothingIsRelayed(t *testing.T) {
	t.Parallel()
	r, sink := support(t, &Server{Limits: Limits{UnknownDelay: -1, Unknown: -1}})
	p := r.hello()
	p.do("MAIL FROM:<support@help.example>", 250)
	for _, to := range []string{
		"jane@customer.example", "jane@localhost", "jane@127.0.0.1", "jane%customer.example@help.example",
		"@help.example:jane@customer.example", "nobody@help.example", "support@sub.help.example", "fwd-abc@help.example",
	} {
		p.do("RCPT TO:<"+to+">", 550)
	}
	p.do("DATA", 503)
	p.do("VRFY support", 252)
	p.do("EXPN support", 502)
	require.Empty(t, sink.got())
}

func TestClientOfTheLibraryIsServed(t *testing.T) {
	t.Parallel()
	r, sink := support(t, &Server{TLS: testTLS()})
	c, err := smtp.DialStartTLS(r.addr, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, err)
	defer c.Close()
	require.NoError(t, c.SendMail("jane@customer.example", []string{"support@help.example"}, strings.NewReader(msg("1"))))
	require.NoError(t, c.Quit())
	require.Equal(t, msg("1"), sink.got()[0].raw)
	require.True(t, sink.got()[0].Message.Received.TLS)
}

func TestCertificateIsAskedForAtEachHandshake(t *testing.T) {
	t.Parallel()
	var current atomic.Pointer[tls.Certificate]
	var asked atomic.Value
	r := start(t, &Server{Hostname: "mx.help.example", TLS: &tls.Config{
		NextProtos: []string{"h2"},
		GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
			asked.Store(h.ServerName)
			if c := current.Load(); c != nil {
				return c, nil
			}
			return nil, errors.New("no certificate yet")
		},
	}})
	name := func() string {
		p := r.hello()
		p.do("STARTTLS", 220)
		c := tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"smtp"}})
		if c.Handshake() != nil {
			return ""
		}
		return c.ConnectionState().PeerCertificates[0].DNSNames[0]
	}
	require.Empty(t, name())
	for _, want := range []string{"one.example", "two.example"} {
		cert := newCertificate(want)
		current.Store(&cert)
		require.Equal(t, want, name())
	}
	require.Equal(t, "mx.help.example", asked.Load(), "a peer that names no host is taken to mean ours")

	p := r.hello()
	p.do("STARTTLS", 220)
	old := tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
	require.Error(t, old.Handshake())
}
