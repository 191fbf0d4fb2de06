package account_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

// TestMain fails when a test leaves a goroutine of ours behind.
func TestMain(m *testing.M) {
	code := m.Run()
	if left := leftover(); code == 0 && left != "" {
		fmt.Fprintln(os.Stderr, "goroutines left behind:\n"+left)
		code = 1
	}
	os.Exit(code)
}

func leftover() string {
	var left string
	for range 100 {
		left = ""
		buf := make([]byte, 1<<20)
		for g := range strings.SplitSeq(string(buf[:runtime.Stack(buf, true)]), "\n\n") {
			if (strings.Contains(g, "/email/account.") || strings.Contains(g, "/go-imap/")) && !strings.Contains(g, "TestMain") {
				left += g + "\n\n"
			}
		}
		if left == "" {
			return ""
		}
		time.Sleep(20 * time.Millisecond)
	}
	return left
}

const (
	address  = "help@shop.test"
	password = "s3cr3t-Pa$$w0rd"
	token    = "ya29.a0AfH6SMBx-access-token"
)

// world is one opened account with its server.
type world struct {
	srv       *emailtest.SMTP
	connector account.Connector
	conf      account.Account
	env       channel.Env
	logs      *logBuffer

	mu       sync.Mutex
	statuses []channel.Status
}

type logBuffer struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// setup returns an account over TLS on a server of its own, unless opts say
// otherwise.
func setup(t *testing.T, opts ...emailtest.SMTPOption) *world {
	t.Helper()
	if len(opts) == 0 {
		opts = []emailtest.SMTPOption{emailtest.WithTLS(), emailtest.WithUser(address, password)}
	}
	w := &world{srv: emailtest.NewSMTP(t, opts...), logs: &logBuffer{}}
	w.connector = account.Connector{TLS: w.srv.ClientTLS()}
	w.conf = account.Account{
		Address: address, Name: "Shop", Password: password,
		SMTP: account.Server{Host: w.srv.Host(), Port: w.srv.Port(), Security: account.TLS},
	}
	w.env = channel.Env{
		Portal: "main", Log: slog.New(slog.NewTextHandler(w.logs, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Now: time.Now,
		Report: func(s channel.Status) {
			w.mu.Lock()
			defer w.mu.Unlock()
			w.statuses = append(w.statuses, s)
		},
		LoadState:       func(context.Context) ([]byte, error) { return nil, nil },
		SaveState:       func(context.Context, []byte) error { return nil },
		SaveCredentials: func(context.Context, channel.Credentials) error { return nil },
		Dial:            (&net.Dialer{}).DialContext,
	}
	return w
}

func (w *world) open(t *testing.T) channel.Sender {
	t.Helper()
	acct, err := w.conf.Account()
	require.NoError(t, err)
	acct.ID = "c1"
	// As it is saved and loaded again.
	acct.Config = json.RawMessage(string(acct.Config))
	ch, err := w.connector.Open(t.Context(), acct, w.env)
	require.NoError(t, err)
	return ch.(channel.Sender)
}

// state returns the last status reported.
func (w *world) state() channel.State {
	w.mu.Lock()
	defer w.mu.Unlock()
	if len(w.statuses) == 0 {
		return ""
	}
	return w.statuses[len(w.statuses)-1].State
}

// outbound returns a message to the given addresses.
func outbound(to ...string) *channel.Outbound {
	out := &channel.Outbound{
		ID: "m1", Channel: "c1", Subject: "Xin chào", Text: "Đơn hàng của bạn đã được gửi.\n.\n..hidden dots\n",
		From:  channel.Party{Name: "Nguyễn Thị Ánh", Address: address},
		Token: "tok3n0123456789abcdefghij", Date: time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC), Attempt: 1,
		Handed: func(context.Context) error { return nil },
	}
	for _, a := range to {
		out.To = append(out.To, channel.Party{Address: a})
	}
	return out
}

func sendError(t *testing.T, err error) *channel.SendError {
	t.Helper()
	require.Error(t, err)
	var se *channel.SendError
	require.ErrorAs(t, err, &se)
	return se
}

// stateOf returns what a receipt says about each recipient.
func stateOf(rec channel.Receipt) map[string]channel.DeliveryState {
	m := map[string]channel.DeliveryState{}
	for _, d := range rec.Deliveries {
		m[d.Recipient] = d.State
	}
	return m
}
