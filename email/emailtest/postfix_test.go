package emailtest_test

import (
	"context"
	"io"
	"net"
	"net/smtp"
	"runtime"
	"testing"
	"time"

	gosmtp "github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
)

func within(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

func TestPostfixRelaysToItsSink(t *testing.T) {
	t.Parallel()
	p := emailtest.StartPostfix(t, emailtest.PostfixOptions{
		Refuse: map[string]string{"nobody@example.com": "550 5.1.1 no such user"},
	})
	err := smtp.SendMail(p.Addr(), nil, "a@example.com", []string{"b@example.com"}, []byte("Subject: x\r\n\r\nhello\r\n"))
	require.NoError(t, err)
	m, err := p.Sink().Next(within(t))
	require.NoError(t, err)
	require.Equal(t, "a@example.com", m.From)
	require.Equal(t, []string{"b@example.com"}, m.To)
	require.Contains(t, string(m.Raw), "\r\nhello\r\n")

	err = smtp.SendMail(p.Addr(), nil, "a@example.com", []string{"nobody@example.com"}, []byte("Subject: x\r\n\r\nhello\r\n"))
	require.ErrorContains(t, err, "no such user")
}

// lmtpSink is an LMTP server that passes on what it is given.
type lmtpSink chan string

func (s lmtpSink) NewSession(*gosmtp.Conn) (gosmtp.Session, error) { return s, nil }
func (s lmtpSink) Mail(string, *gosmtp.MailOptions) error          { return nil }
func (s lmtpSink) Rcpt(string, *gosmtp.RcptOptions) error          { return nil }
func (s lmtpSink) Reset()                                          {}
func (s lmtpSink) Logout() error                                   { return nil }
func (s lmtpSink) Data(r io.Reader) error {
	b, err := io.ReadAll(r)
	s <- string(b)
	return err
}

func TestPostfixHandsOnByLMTP(t *testing.T) {
	t.Parallel()
	got := make(lmtpSink, 1)
	srv := gosmtp.NewServer(got)
	srv.LMTP, srv.Domain = true, "lmtp.test"
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	go srv.Serve(ln)
	t.Cleanup(func() { srv.Close() })
	p := emailtest.StartPostfix(t, emailtest.PostfixOptions{NextHop: ln.Addr().String(), LMTP: true})
	require.Nil(t, p.Sink())
	err = smtp.SendMail(p.Addr(), nil, "a@example.com", []string{"b@example.com"}, []byte("Subject: x\r\n\r\nhello\r\n"))
	require.NoError(t, err)
	select {
	case raw := <-got:
		require.Contains(t, raw, "hello")
	case <-within(t).Done():
		t.Fatal("nothing came by LMTP")
	}
}

// tb is a test that notes how it ends.
type tb struct {
	testing.TB
	end string
}

func (t *tb) Helper()               {}
func (t *tb) Skip(...any)           { t.end = "skipped"; runtime.Goexit() }
func (t *tb) Fatalf(string, ...any) { t.end = "failed"; runtime.Goexit() }

func TestAMissingPostfixSkipsUnlessItIsRequired(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	for env, want := range map[string]string{"": "skipped", "all": "failed"} {
		t.Setenv("ANTEROOM_REQUIRE", env)
		fake, done := &tb{TB: t}, make(chan struct{})
		go func() {
			defer close(done)
			emailtest.StartPostfix(fake, emailtest.PostfixOptions{})
		}()
		<-done
		require.Equal(t, want, fake.end)
	}
}
