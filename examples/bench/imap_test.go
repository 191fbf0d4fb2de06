package bench

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/dirblob"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

const imapUser, imapPassword = "help@shop.example", "geheim"

// mailServer is where mail is fetched from.
type mailServer interface {
	Host() string
	Port() int
	Addr() string
	ClientTLS() *tls.Config
}

// BenchmarkIMAP has a folder of a Dovecot read from the first mail to the last,
// by all in turns, from the dial to the last mail: the same folder over the same
// TLS, with a login. One of b.N is a turn of each. What each does with a mail:
//
//	bare       parses it with go-message: addresses, subject, ids, decoded bodies.
//	           Nothing is kept.
//	null       understands it: besides that the text of HTML, what is new in it,
//	           whether it is automatic, a SHA-256 over what it says. The sink
//	           keeps nothing, so the cursor means nothing either.
//	desk       besides that decides about it, makes contact, conversation and
//	           ticket, and keeps all with a search index in SQLite, durably, some
//	           100 mails a transaction; then saves the cursor durably.
//	mbsync     changes line ends and writes a file of its own, durably: FSync is
//	           yes unless said otherwise. It looks at the header only.
//	unsynced   is mbsync with FSync no, which leaves to the kernel when the
//	           files get to the disk.
//
// So desk and mbsync are durable, and null, bare and unsynced are not. What was
// measured stands in ticket/DESIGN.md under What a mail costs.
func BenchmarkIMAP(b *testing.B) {
	for _, m := range []struct {
		name    string
		compose func(serial int64) []byte
	}{{"text-2KB", text()}, {"alternative-30KB", html(true)}} {
		b.Run(m.name, func(b *testing.B) {
			n := 3000
			if testing.Short() {
				n = 200
			}
			srv := emailtest.StartDovecot(b, emailtest.DovecotOptions{User: imapUser, Password: imapPassword})
			received := time.Now().Add(-time.Hour)
			for i := range n {
				srv.Put(b, "INBOX", m.compose(int64(i)), received)
			}
			mbsync := ""
			if path, err := exec.LookPath("mbsync"); err == nil {
				mbsync = path
			} else {
				b.Log("mbsync (package isync) is not installed, and left out")
			}
			fetchBare(b, srv, n) // the server's own index is written
			var null, durable, bare, synced, unsynced time.Duration
			b.SetBytes(int64(n * len(m.compose(1))))
			b.ResetTimer()
			for range b.N {
				bare += fetchBare(b, srv, n)
				null += fetchNull(b, srv, n)
				durable += fetchDurable(b, srv, n)
				if mbsync != "" {
					synced += fetchSync(b, mbsync, srv, n, "yes")
					unsynced += fetchSync(b, mbsync, srv, n, "no")
				}
			}
			b.StopTimer()
			of := func(x, y time.Duration) float64 { return y.Seconds() / x.Seconds() }
			rate := func(d time.Duration) float64 { return float64(n*b.N) / d.Seconds() }
			b.ReportMetric(of(null, bare), "of-bare")
			b.ReportMetric(of(durable, bare), "desk-of-bare")
			if mbsync != "" {
				b.ReportMetric(of(null, synced), "of-mbsync")
				b.ReportMetric(of(null, unsynced), "of-unsynced")
				b.ReportMetric(of(durable, synced), "desk-of-mbsync")
			}
			b.ReportMetric(rate(null), "mails/s")
			b.ReportMetric(rate(durable), "desk-mails/s")
			b.ReportMetric(0, "ns/op")
		})
	}
}

// fetchBare is what a good programmer would write who needs nothing else: one
// command for all, each mail parsed as it comes.
func fetchBare(b *testing.B, srv mailServer, want int) time.Duration {
	began := time.Now()
	c, err := imapclient.DialTLS(srv.Addr(), &imapclient.Options{TLSConfig: srv.ClientTLS()})
	require.NoError(b, err)
	defer c.Close()
	require.NoError(b, c.Login(imapUser, imapPassword).Wait())
	_, err = c.Select("INBOX", &imap.SelectOptions{ReadOnly: true}).Wait()
	require.NoError(b, err)
	var all imap.UIDSet
	all.AddRange(1, 0)
	cmd := c.Fetch(all, &imap.FetchOptions{UID: true, InternalDate: true, BodySection: []*imap.FetchItemBodySection{{Peek: true}}})
	n := 0
	for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
		for item := msg.Next(); item != nil; item = msg.Next() {
			section, ok := item.(imapclient.FetchItemDataBodySection)
			if !ok {
				continue
			}
			raw, err := io.ReadAll(section.Literal)
			require.NoError(b, err)
			_, err = parse(raw)
			require.NoError(b, err)
			n++
		}
	}
	require.NoError(b, cmd.Close())
	require.Equal(b, want, n)
	return time.Since(began)
}

// imapAccount is the account as it is saved.
func imapAccount(srv mailServer, security account.Security) account.Account {
	return account.Account{
		Address: imapUser, Password: imapPassword,
		SMTP: account.Server{Host: srv.Host(), Port: 1, Security: account.None}, // nothing is sent
		IMAP: &account.IMAP{Server: account.Server{Host: srv.Host(), Port: srv.Port(), Security: security}, FirstSync: "all"},
	}
}

// fetchNull has the account receive into a sink that keeps nothing.
func fetchNull(b *testing.B, srv mailServer, want int) time.Duration {
	acct, err := imapAccount(srv, account.TLS).Account()
	require.NoError(b, err)
	acct.ID = "c1"
	began := time.Now()
	ch, err := account.Connector{TLS: srv.ClientTLS()}.Open(b.Context(), acct, channel.Env{
		Portal: "main", Now: time.Now, Dial: (&net.Dialer{}).DialContext, Report: func(channel.Status) {},
		LoadState: func(context.Context) ([]byte, error) { return nil, nil },
		SaveState: func(context.Context, []byte) error { return nil },
	})
	require.NoError(b, err)
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	n := 0
	var took time.Duration
	err = ch.(channel.Receiver).Receive(ctx, channel.SinkFunc(func(_ context.Context, items ...*channel.Item) error {
		if n += len(items); n == want {
			took = time.Since(began)
			stop()
		}
		return nil
	}))
	require.NoError(b, err)
	require.Equal(b, want, n)
	return took
}

// counted passes items on and tells when all have come.
type counted struct {
	*ticket.Desk
	each chan struct{} // told of each call, if set

	mu   sync.Mutex
	left int
	done chan struct{}
}

// Accept passes on.
func (c *counted) Accept(ctx context.Context, items ...*channel.Item) error {
	err := c.Desk.Accept(ctx, items...)
	if err == nil && c.each != nil {
		c.each <- struct{}{}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if err == nil && c.left > 0 {
		if c.left -= len(items); c.left <= 0 {
			close(c.done)
		}
	}
	return err
}

// fetchDurable has the account receive into a desk on SQLite.
func fetchDurable(b *testing.B, srv mailServer, want int) time.Duration {
	dir, err := os.MkdirTemp(b.TempDir(), "desk")
	require.NoError(b, err)
	store, err := sqlitestore.Open(filepath.Join(dir, "portal.db"))
	require.NoError(b, err)
	defer store.Close()
	blobs, err := dirblob.Open(filepath.Join(dir, "blobs"))
	require.NoError(b, err)
	tap := &tapped{Connector: account.Connector{TLS: srv.ClientTLS()}, sinks: make(chan *counted, 1)}
	desk, err := ticket.New(ticket.Config{Store: store.Portal("main"), Blobs: blobs, Key: bytes.Repeat([]byte{7}, 32), Connectors: []channel.Connector{tap}})
	require.NoError(b, err)
	sink := &counted{Desk: desk, left: want, done: make(chan struct{})}
	tap.sinks <- sink
	_, err = desk.Connect(b.Context(), imapAccount(srv, account.TLS), ticket.Settings{})
	require.NoError(b, err)
	ctx, stop := context.WithCancel(b.Context())
	defer stop()
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	began := time.Now()
	wg.Go(func() { _ = desk.Run(ctx) })
	select {
	case <-sink.done:
	case <-time.After(4 * time.Minute):
		b.Fatal("the mails did not come")
	}
	return time.Since(began)
}

// tapped opens accounts whose items pass through a sink of ours.
type tapped struct {
	account.Connector
	sinks chan *counted
}

type tappedChannel struct {
	channel.Receiver
	channel.Sender
	sink *counted
}

// Open opens the account.
func (t *tapped) Open(ctx context.Context, acct channel.Account, env channel.Env) (channel.Channel, error) {
	ch, err := t.Connector.Open(ctx, acct, env)
	if err != nil {
		return nil, err
	}
	sink := <-t.sinks
	t.sinks <- sink
	return &tappedChannel{ch.(channel.Receiver), ch.(channel.Sender), sink}, nil
}

// Info is that of the account.
func (c *tappedChannel) Info() channel.Info { return c.Receiver.Info() }

// Receive receives into the sink of ours, which passes on to the desk.
func (c *tappedChannel) Receive(ctx context.Context, _ channel.Sink) error {
	return c.Receiver.Receive(ctx, c.sink)
}

// fetchSync has mbsync copy the folder to a maildir, with or without having each
// file on the disk.
func fetchSync(b *testing.B, program string, srv *emailtest.Dovecot, want int, fsync string) time.Duration {
	dir, err := os.MkdirTemp(b.TempDir(), "mbsync")
	require.NoError(b, err)
	ca := filepath.Join(dir, "ca.pem")
	require.NoError(b, os.WriteFile(ca, srv.CA().PEM(), 0o600))
	rc := filepath.Join(dir, "rc")
	require.NoError(b, os.WriteFile(rc, fmt.Appendf(nil, `FSync %s

IMAPAccount far
Host localhost
Port %d
User %s
Pass %s
SSLType IMAPS
CertificateFile %s
SystemCertificates no

IMAPStore far
Account far

MaildirStore near
Inbox %s/inbox
Path %s/

Channel all
Far :far:INBOX
Near :near:INBOX
Sync Pull
Create Near
SyncState *
`, fsync, srv.Port(), imapUser, imapPassword, ca, dir, dir), 0o600))
	cmd := exec.CommandContext(b.Context(), program, "-c", rc, "all")
	cmd.Env = []string{"HOME=" + dir}
	began := time.Now()
	out, err := cmd.CombinedOutput()
	took := time.Since(began)
	require.NoError(b, err, "%s", out)
	got, err := os.ReadDir(filepath.Join(dir, "inbox", "new"))
	require.NoError(b, err)
	if len(got) != want {
		seen, _ := os.ReadDir(filepath.Join(dir, "inbox", "cur"))
		require.Len(b, append(got, seen...), want)
	}
	return took
}
