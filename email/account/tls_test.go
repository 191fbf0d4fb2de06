package account_test

import (
	"bufio"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

func TestSTARTTLSIsUsed(t *testing.T) {
	t.Parallel()
	w := setup(t, emailtest.WithSTARTTLS(), emailtest.WithUser(address, password))
	w.conf.SMTP.Security = account.STARTTLS
	_, err := w.open(t).Send(t.Context(), outbound("an@example.com"))
	require.NoError(t, err)
	require.True(t, w.srv.Messages()[0].TLS)
}

// TestTLSIsNeverDoneWithout plays everything that could make a client go on in
// clear text. In no case may a login or a mail leave.
func TestTLSIsNeverDoneWithout(t *testing.T) {
	t.Parallel()
	user := emailtest.WithUser(address, password)
	starttls := emailtest.WithSTARTTLS()
	expired := func(t *testing.T) (emailtest.SMTPOption, *emailtest.CA) {
		ca, err := emailtest.NewCA()
		require.NoError(t, err)
		cert, err := ca.CertificateUntil(time.Now().Add(-time.Hour), "127.0.0.1")
		require.NoError(t, err)
		return emailtest.WithCertificate(cert), ca
	}
	for name, c := range map[string]struct {
		security account.Security
		opts     []emailtest.SMTPOption
		prepare  func(*world)
		expired  bool
		code     string
		text     string
	}{
		"STARTTLS stripped": {
			security: account.STARTTLS, opts: []emailtest.SMTPOption{starttls},
			prepare: func(w *world) { w.srv.Hide("STARTTLS") }, code: "starttls_missing", text: "does not offer STARTTLS",
		},
		"STARTTLS refused": {
			security: account.STARTTLS, opts: []emailtest.SMTPOption{starttls},
			prepare: func(w *world) { w.srv.Fault(emailtest.Fault{At: emailtest.AtStartTLS, Reply: "454 4.7.0 no TLS now"}) },
			code:    "tls", text: "454 4.7.0 no TLS now",
		},
		"handshake dropped": {
			security: account.STARTTLS, opts: []emailtest.SMTPOption{starttls},
			prepare: func(w *world) { w.srv.Fault(emailtest.Fault{At: emailtest.AtStartTLS, Reply: "220 go\n220 ahead"}) },
			code:    "tls",
		},
		"certificate for another name": {
			security: account.TLS, opts: []emailtest.SMTPOption{emailtest.WithTLS(), emailtest.WithCertificateFor("mail.other.test")},
			code: "tls", text: "made out to another name",
		},
		"certificate for another name, STARTTLS": {
			security: account.STARTTLS, opts: []emailtest.SMTPOption{starttls, emailtest.WithCertificateFor("mail.other.test")},
			code: "tls", text: "made out to another name",
		},
		"unknown authority": {
			security: account.TLS, opts: []emailtest.SMTPOption{emailtest.WithTLS()},
			prepare: func(w *world) { w.connector.TLS = nil }, code: "tls", text: "not trusted",
		},
		"expired certificate": {
			security: account.TLS, opts: []emailtest.SMTPOption{emailtest.WithTLS()}, expired: true, code: "tls", text: "has expired",
		},
		"plain server on a TLS port": {
			security: account.TLS, code: "tls", text: "does not speak TLS from the start",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := append([]emailtest.SMTPOption{user}, c.opts...)
			var ca *emailtest.CA
			if c.expired {
				var opt emailtest.SMTPOption
				opt, ca = expired(t)
				opts = append(opts, opt)
			}
			w := setup(t, opts...)
			if ca != nil {
				w.connector.TLS.RootCAs = ca.Pool()
			}
			w.conf.SMTP.Security = c.security
			if c.prepare != nil {
				c.prepare(w)
			}
			// A hanging handshake must not take half a minute.
			w.connector.Timeouts.Connect = 3 * time.Second
			ch := w.open(t)
			_, err := ch.Send(t.Context(), outbound("an@example.com"))
			se := sendError(t, err)
			require.Equal(t, channel.NotSent, se.Outcome)
			require.Equal(t, c.code, se.Code)
			require.Contains(t, se.Reason, c.text)
			require.Positive(t, se.After)

			f := ch.(channel.Checker).Check(t.Context())
			require.Len(t, f, 1)
			require.Equal(t, c.code, f[0].Code)
			require.Equal(t, channel.SeverityError, f[0].Severity)
			require.Contains(t, f[0].Text, c.text)
			require.NotEmpty(t, f[0].Fix)

			for _, line := range w.srv.Commands() {
				require.NotContains(t, line, "AUTH")
				require.NotContains(t, line, "MAIL")
			}
			require.Empty(t, w.srv.Messages())
		})
	}
}

// TestWhatComesInClearAfterSTARTTLSIsNotTrusted plays the injection that
// RFC 3207 clients have fallen for: answers sent ahead of the handshake.
func TestWhatComesInClearAfterSTARTTLSIsNotTrusted(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	defer ln.Close()
	go func() {
		c, err := ln.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		r := bufio.NewReader(c)
		c.Write([]byte("220 evil ESMTP\r\n"))
		r.ReadString('\n')
		c.Write([]byte("250-evil\r\n250 STARTTLS\r\n"))
		r.ReadString('\n')
		c.Write([]byte("220 go\r\n250-evil\r\n250 AUTH PLAIN\r\n"))
		r.ReadString('\n')
	}()
	w := setup(t)
	w.conf.SMTP = account.Server{Host: "127.0.0.1", Port: ln.Addr().(*net.TCPAddr).Port, Security: account.STARTTLS}
	_, err = w.open(t).Send(t.Context(), outbound("an@example.com"))
	se := sendError(t, err)
	require.Equal(t, "tls", se.Code)
	require.Contains(t, se.Reason, "in clear")
}

func TestCredentialsGoInClearOnlyToThisMachine(t *testing.T) {
	t.Parallel()
	w := setup(t, emailtest.WithUser(address, password))
	w.conf.SMTP.Security = account.None
	_, err := w.open(t).Send(t.Context(), outbound("an@example.com"))
	require.NoError(t, err)

	relay := account.NewRelay("mail.example.test:25", account.RelayOptions{
		Security: account.None, Username: address, Password: password, Dial: w.dialTo(),
	})
	before := len(w.srv.Commands())
	_, err = relay.Send(t.Context(), outbound("an@example.com"))
	require.Equal(t, channel.NotSent, sendError(t, err).Outcome)
	require.NotContains(t, strings.Join(w.srv.Commands()[before:], "\n"), "AUTH")
}

func TestCredentialsGoInClearWhereTheConfigurationSaysSo(t *testing.T) {
	t.Parallel()
	w := setup(t, emailtest.WithUser(address, password))
	w.conf.SMTP = account.Server{Host: "mail.example.test", Port: 25, Security: account.None, Insecure: true}
	w.env.Dial = w.dialTo()
	ch := w.open(t)
	_, err := ch.Send(t.Context(), outbound("an@example.com"))
	require.NoError(t, err)
	f := ch.(channel.Checker).Check(t.Context())
	require.Len(t, f, 2)
	require.Equal(t, "ok", f[0].Code)
	require.Equal(t, "insecure", f[1].Code)
	require.Equal(t, channel.SeverityWarning, f[1].Severity)
}
