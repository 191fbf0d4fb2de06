package account_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

// patience is how long a test waits for what must happen.
const patience = 60 * time.Second

// imapServer is what the fake and Dovecot have in common.
type imapServer interface {
	Host() string
	Port() int
	ClientTLS() *tls.Config
	Put(t testing.TB, folder string, raw []byte, received time.Time)
	Count(t testing.TB, folder string) int
	Seen(t testing.TB, folder string) int
	Renumber(folder string)
	Disconnect()
}

// fakeIMAP is the fake as an imapServer.
type fakeIMAP struct{ *emailtest.IMAP }

func (f fakeIMAP) Put(_ testing.TB, folder string, raw []byte, received time.Time) {
	f.Add(folder, raw, received)
}
func (f fakeIMAP) Count(_ testing.TB, folder string) int { return len(f.Mails(folder)) }

func (f fakeIMAP) Seen(_ testing.TB, folder string) int {
	n := 0
	for _, m := range f.Mails(folder) {
		if slices.Contains(m.Flags, `\Seen`) {
			n++
		}
	}
	return n
}

// inbox is an account that receives from a server.
type inbox struct {
	srv       imapServer
	conf      account.Account
	connector account.Connector
	env       channel.Env
	sink      *channeltest.RecordingSink
	logs      *logBuffer

	mu       sync.Mutex
	state    []byte
	states   [][]byte
	statuses []channel.Status
	news     chan struct{}
}

// pace is fast, so that tests need not wait.
func pace() account.Receiving {
	return account.Receiving{
		Poll: 20 * time.Millisecond, Idle: 30 * time.Second, Command: 20 * time.Second, Fetch: 20 * time.Second,
		RetryMin: 5 * time.Millisecond, RetryMax: 40 * time.Millisecond, Refused: time.Hour,
	}
}

// newInbox returns an account with a fake of its own, over TLS.
func newInbox(t *testing.T) (*inbox, *emailtest.IMAP) {
	t.Helper()
	srv := emailtest.NewIMAP(t, emailtest.IMAPWithTLS(), emailtest.IMAPWithUser(address, password))
	return newInboxAt(t, fakeIMAP{srv}, account.TLS), srv
}

func newInboxAt(t *testing.T, srv imapServer, security account.Security) *inbox {
	t.Helper()
	w := setup(t) // for the rest of an account
	b := &inbox{
		srv: srv, env: w.env, logs: w.logs, conf: w.conf, news: make(chan struct{}, 1),
		connector: account.Connector{TLS: srv.ClientTLS(), Receiving: pace()},
		sink:      &channeltest.RecordingSink{},
	}
	b.conf.IMAP = &account.IMAP{
		Server: account.Server{Host: srv.Host(), Port: srv.Port(), Security: security}, FirstSync: "all",
	}
	b.env.LoadState = func(context.Context) ([]byte, error) {
		b.mu.Lock()
		defer b.mu.Unlock()
		return bytes.Clone(b.state), nil
	}
	b.env.SaveState = func(_ context.Context, s []byte) error {
		b.mu.Lock()
		defer b.mu.Unlock()
		b.state = bytes.Clone(s)
		b.states = append(b.states, b.state)
		return nil
	}
	b.env.Report = func(s channel.Status) {
		b.mu.Lock()
		b.statuses = append(b.statuses, s)
		b.mu.Unlock()
		select {
		case b.news <- struct{}{}:
		default:
		}
	}
	return b
}

// clock gives it a time of its own, which pass lets pass.
func (b *inbox) clock() (pass func(time.Duration)) {
	var mu sync.Mutex
	now := time.Now()
	b.env.Now = func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	return func(d time.Duration) { mu.Lock(); defer mu.Unlock(); now = now.Add(d) }
}

func (b *inbox) open(t *testing.T) channel.Channel {
	t.Helper()
	acct, err := b.conf.Account()
	require.NoError(t, err)
	acct.ID = "c1"
	ch, err := b.connector.Open(t.Context(), acct, b.env)
	require.NoError(t, err)
	return ch
}

// receive runs Receive until stop is called or the test ends.
func (b *inbox) receive(t *testing.T) (stop func()) { t.Helper(); return b.receiveTo(t, b.sink) }

func (b *inbox) receiveTo(t *testing.T, sink channel.Sink) (stop func()) {
	t.Helper()
	r, ok := b.open(t).(channel.Receiver)
	require.True(t, ok)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Receive(ctx, sink) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			select {
			case err := <-done:
				if err != nil {
					t.Errorf("Receive returned %v", err)
				}
			case <-time.After(patience):
				t.Error("Receive did not return")
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

// wait waits for n items.
func (b *inbox) wait(t *testing.T, n int) []*channel.Item {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	items, err := b.sink.Wait(ctx, n)
	require.NoError(t, err, "%d of %d came; %v", len(items), n, b.logs)
	return items
}

// until waits for a status.
func (b *inbox) until(t *testing.T, what string, ok func(channel.Status) bool) channel.Status {
	t.Helper()
	end := time.After(patience)
	for from := 0; ; {
		b.mu.Lock()
		for ; from < len(b.statuses); from++ {
			if s := b.statuses[from]; ok(s) {
				b.mu.Unlock()
				return s
			}
		}
		b.mu.Unlock()
		select {
		case <-b.news:
		case <-end:
			b.mu.Lock()
			defer b.mu.Unlock()
			t.Fatalf("the status was never %s: %+v", what, b.statuses)
		}
	}
}

func is(state channel.State) func(channel.Status) bool {
	return func(s channel.Status) bool { return s.State == state }
}

// letter is mail number n.
func letter(n int) []byte { return letterOf(n, fmt.Sprintf("thư số %d\r\n", n)) }

// addLetters puts letters 0 to n-1 into the inbox.
func addLetters(srv *emailtest.IMAP, n int) {
	for i := range n {
		srv.Add("INBOX", letter(i), time.Now())
	}
}

func letterOf(n int, body string) []byte {
	return fmt.Appendf(nil, "From: Mai <mai%d@c.example>\r\nTo: %s\r\nSubject: letter %d\r\nMessage-ID: <letter%d@c.example>\r\n"+
		"Date: Fri, 20 Nov 2026 10:00:00 +0000\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s", n, address, n, n, body)
}

// subjects returns what the messages are about, in the order of their coming.
func subjects(items []*channel.Item) []string {
	var out []string
	for _, it := range items {
		if it.Message != nil {
			out = append(out, strings.TrimPrefix(it.Message.Subject, "letter "))
		}
	}
	return out
}

// numbers returns "from" to "to" as subjects would.
func numbers(from, to int) []string {
	var out []string
	for n := from; n <= to; n++ {
		out = append(out, fmt.Sprint(n))
	}
	return out
}
