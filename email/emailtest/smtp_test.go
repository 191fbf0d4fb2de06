package emailtest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
)

// dial returns a client that has been greeted.
func dial(t *testing.T, s *emailtest.SMTP) *smtp.Client {
	t.Helper()
	c, err := smtp.Dial(s.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { c.Close() })
	return c
}

func send(c *smtp.Client, body string, to ...string) error {
	if err := c.Mail("a@example.com"); err != nil {
		return err
	}
	for _, r := range to {
		if err := c.Rcpt(r); err != nil {
			return err
		}
	}
	w, err := c.Data()
	if err != nil {
		return err
	}
	fmt.Fprint(w, body)
	return w.Close()
}

func TestTheFakeTakesMailFromTheStandardClient(t *testing.T) {
	t.Parallel()
	s := emailtest.NewSMTP(t, emailtest.WithSTARTTLS(), emailtest.WithUser("u", "p"))
	c := dial(t, s)
	require.NoError(t, c.Hello("client.test"))
	require.ErrorContains(t, c.Mail("a@example.com"), "530")
	require.NoError(t, c.StartTLS(&tls.Config{RootCAs: s.CA().Pool(), ServerName: "localhost"}))
	require.ErrorContains(t, c.Auth(smtp.PlainAuth("", "u", "wrong", "127.0.0.1")), "535")

	c = dial(t, s)
	require.NoError(t, c.Hello("client.test"))
	require.NoError(t, c.StartTLS(&tls.Config{RootCAs: s.CA().Pool(), ServerName: "127.0.0.1"}))
	require.NoError(t, c.Auth(smtp.PlainAuth("", "u", "p", "127.0.0.1")))
	require.NoError(t, send(c, "Subject: x\r\n\r\n.dot\r\n", "b@example.com", "c@example.com"))
	require.NoError(t, send(c, "Subject: y\r\n\r\nsecond\r\n", "b@example.com"))
	require.NoError(t, c.Quit())
	m, err := s.Next(within(t))
	require.NoError(t, err)
	require.Equal(t, "a@example.com", m.From)
	require.Equal(t, []string{"b@example.com", "c@example.com"}, m.To)
	require.Equal(t, "Subject: x\r\n\r\n.dot\r\n", string(m.Raw))
	require.Equal(t, "u", m.User)
	require.True(t, m.TLS)
	require.Len(t, s.Messages(), 2)
	require.Contains(t, s.Commands(), "EHLO client.test")
	require.Equal(t, 2, s.Connections())
}

func TestAFaultStrikesAsOftenAsItShould(t *testing.T) {
	t.Parallel()
	s := emailtest.NewSMTP(t)
	s.Fault(emailtest.Fault{At: emailtest.AtRcpt, Recipient: "B@example.com", Reply: "450 4.2.0 later", Skip: 1, Times: 2})
	c := dial(t, s)
	require.NoError(t, c.Mail("a@example.com"))
	require.NoError(t, c.Rcpt("b@example.com"))
	require.ErrorContains(t, c.Rcpt("b@example.com"), "later")
	require.NoError(t, c.Rcpt("c@example.com"))
	require.ErrorContains(t, c.Rcpt("b@example.com"), "later")
	require.NoError(t, c.Rcpt("b@example.com"))
	s.Fault(emailtest.Fault{At: emailtest.AtRcpt, Reply: "550 5.1.1 never"})
	require.ErrorContains(t, c.Rcpt("b@example.com"), "never")
	s.Heal()
	require.NoError(t, c.Rcpt("b@example.com"))
}

func TestFaultsOnTheWayOfAMessage(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault  emailtest.Fault
		err    string
		stored int
	}{
		"none":                           {},
		"a refused sender":               {fault: emailtest.Fault{At: emailtest.AtMail, Reply: "451 4.0.0 no"}, err: "451"},
		"a dropped sender":               {fault: emailtest.Fault{At: emailtest.AtMail, Drop: true}, err: "EOF"},
		"refused data":                   {fault: emailtest.Fault{At: emailtest.AtData, Reply: "554 5.0.0 no"}, err: "554"},
		"dropped within the content":     {fault: emailtest.Fault{At: emailtest.AtBody, Drop: true, Bytes: 5}, err: "connection|EOF|pipe"},
		"dropped after the dot":          {fault: emailtest.Fault{At: emailtest.AtDot, Drop: true}, err: "EOF"},
		"refused after the dot":          {fault: emailtest.Fault{At: emailtest.AtDot, Reply: "452 4.3.1 full"}, err: "452"},
		"stored and the answer lost":     {fault: emailtest.Fault{At: emailtest.AtAnswer, Drop: true}, err: "EOF", stored: 1},
		"stored and something else said": {fault: emailtest.Fault{At: emailtest.AtAnswer, Reply: "451 4.0.0 no"}, err: "451", stored: 1},
		"slow":                           {fault: emailtest.Fault{At: emailtest.AtAnswer, Slow: time.Millisecond}, stored: 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := emailtest.NewSMTP(t)
			if c.fault.At == "" {
				c.stored = 1
			} else {
				s.Fault(c.fault)
			}
			err := send(dial(t, s), strings.Repeat("Subject: x\r\n", 10)+"\r\nhello\r\n", "b@example.com")
			if c.err == "" {
				require.NoError(t, err)
			} else {
				require.Error(t, err)
				require.Regexp(t, c.err, err.Error())
			}
			require.Len(t, s.Messages(), c.stored)
		})
	}
}

func TestAHangEndsWithTheServer(t *testing.T) {
	t.Parallel()
	s := emailtest.NewSMTP(t)
	s.Fault(emailtest.Fault{At: emailtest.AtConnect, Hang: true})
	c, err := net.Dial("tcp", s.Addr())
	require.NoError(t, err)
	defer c.Close()
	require.Eventually(t, func() bool { return s.Open() == 1 }, time.Minute, time.Millisecond)
	s.Close()
	_, err = bufio.NewReader(c).ReadString('\n')
	require.Error(t, err)
	require.Zero(t, s.Open())
	s.Close()
}

func TestTheFakeIsStrict(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct{ script, last string }{
		"bare line feed":         {"EHLO x|MAIL FROM:<a@b.test>|RCPT TO:<c@d.test>|DATA|Subject: x\n\r\n.", "550"},
		"bare carriage return":   {"EHLO x|MAIL FROM:<a@b.test>|RCPT TO:<c@d.test>|DATA|Subject: x\ry\r\n.", "550"},
		"no EHLO":                {"MAIL FROM:<a@b.test>", "503"},
		"no sender":              {"EHLO x|RCPT TO:<c@d.test>", "503"},
		"no recipient":           {"EHLO x|MAIL FROM:<a@b.test>|DATA", "503"},
		"two senders":            {"EHLO x|MAIL FROM:<a@b.test>|MAIL FROM:<a@b.test>", "503"},
		"letters unannounced":    {"EHLO x|MAIL FROM:<a@b.test>|RCPT TO:<ễ@d.test>", "553"},
		"too large by its word":  {"EHLO x|MAIL FROM:<a@b.test> SIZE=99999999", "552"},
		"no such command":        {"EHLO x|EXPLODE", "500"},
		"the null return path":   {"EHLO x|MAIL FROM:<>", "250"},
		"a hidden extension":     {"EHLO x|STARTTLS", "502"},
		"no address in brackets": {"EHLO x|MAIL FROM:a@b.test", "501"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := emailtest.NewSMTP(t, emailtest.WithSTARTTLS())
			s.Hide("starttls")
			conn, err := textproto.Dial("tcp", s.Addr())
			require.NoError(t, err)
			defer conn.Close()
			_, _, err = conn.ReadResponse(220)
			require.NoError(t, err)
			code := 0
			for line := range strings.SplitSeq(c.script, "|") {
				require.NoError(t, conn.PrintfLine("%s", line))
				code, _, _ = conn.ReadResponse(0)
			}
			require.Equal(t, c.last, fmt.Sprint(code))
			require.Empty(t, s.Messages())
		})
	}
}

func TestNextWaits(t *testing.T) {
	t.Parallel()
	s := emailtest.NewSMTP(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := s.Next(ctx)
	require.ErrorIs(t, err, context.Canceled)
	done := make(chan error, 1)
	go func() {
		_, err := s.Next(within(t))
		done <- err
	}()
	require.NoError(t, send(dial(t, s), "Subject: x\r\n\r\n", "b@example.com"))
	require.NoError(t, <-done)
	s.Close()
	_, err = s.Next(t.Context())
	require.Error(t, err)
}

func TestCertificates(t *testing.T) {
	t.Parallel()
	s := emailtest.NewSMTP(t, emailtest.WithTLS(), emailtest.WithCertificateFor("other.test"))
	conf := s.ClientTLS()
	_, err := tls.Dial("tcp", s.Addr(), conf)
	require.ErrorContains(t, err, "certificate")
	conf.ServerName = "other.test"
	c, err := tls.Dial("tcp", s.Addr(), conf)
	require.NoError(t, err)
	c.Close()
}
