package hosted

import (
	"context"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// bareSession is what go-smtp costs with the same parsing and nothing else.
type bareSession struct{}

func (bareSession) Reset()                               {}
func (bareSession) Logout() error                        { return nil }
func (bareSession) Mail(string, *smtp.MailOptions) error { return nil }
func (bareSession) Rcpt(string, *smtp.RcptOptions) error { return nil }

func (bareSession) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	m, err := email.Read(channel.Bytes(raw))
	if err != nil {
		return err
	}
	email.Item(channel.Bytes(raw), m, email.Context{Channel: "c1"})
	return nil
}

// BenchmarkIntake sends mails of 2 KB over 20 connections, to this server and to
// a bare one. The metric bare-ratio is how many times longer this one takes.
func BenchmarkIntake(b *testing.B) {
	bare := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return bareSession{}, nil }))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	go bare.Serve(l)
	defer bare.Close()

	r := start(b, &Server{Limits: Limits{
		Messages: -1, Lifetime: time.Hour, ConnectionRate: -1, ConnectionsPerIP: -1,
	}})
	r.mailbox("support", channel.SinkFunc(func(context.Context, ...*channel.Item) error { return nil }))

	body := msg("bench") + strings.Repeat("The parcel has not arrived yet, please look.\r\n", 40)
	b.SetBytes(int64(len(body)))
	// Taken in turns, so that a noisy machine is noisy for both.
	var here, there time.Duration
	b.ResetTimer()
	for left := b.N; left > 0; left -= 2000 {
		n := min(left, 2000)
		there += intake(b, l.Addr().String(), body, n)
		here += intake(b, r.addr, body, n)
	}
	b.ReportMetric(float64(here)/float64(there), "bare-ratio")
	b.ReportMetric(float64(b.N)/here.Seconds(), "mails/s")
}

// intake sends n mails over 20 connections and returns how long that took.
func intake(b *testing.B, addr, body string, n int) time.Duration {
	const connections = 20
	clients := make([]*smtp.Client, connections)
	for i := range clients {
		c, err := smtp.Dial(addr)
		require.NoError(b, err)
		defer c.Close()
		require.NoError(b, c.Hello("client.example"))
		clients[i] = c
	}
	from := time.Now()
	var wg sync.WaitGroup
	for i, c := range clients {
		wg.Go(func() {
			for k := i; k < n; k += connections {
				err := c.SendMail(fmt.Sprintf("jane%d@customer.example", k), []string{"support@help.example"}, strings.NewReader(body))
				if err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(from)
}
