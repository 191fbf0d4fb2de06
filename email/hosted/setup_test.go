package hosted

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net"
	"net/textproto"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

// TestMain fails the package if a goroutine of ours or of go-smtp is left.
func TestMain(m *testing.M) {
	code := m.Run()
	var left string
	for range 200 {
		buf := make([]byte, 1<<20)
		left = string(buf[:runtime.Stack(buf, true)])
		if strings.Count(left, "email/hosted.") == strings.Count(left, "email/hosted.TestMain") &&
			!strings.Contains(left, "go-smtp.") {
			os.Exit(code)
		}
		time.Sleep(10 * time.Millisecond)
	}
	fmt.Fprintln(os.Stderr, "goroutines left:\n"+left)
	os.Exit(1)
}

// patience bounds every wait of a test that goes wrong.
const patience = 40 * time.Second

// taken is an item as a sink saw it.
type taken struct {
	*channel.Item
	raw string
}

// recorder is a sink that keeps what it accepts, and drops items with a key
// that it has seen.
type recorder struct {
	fail func(items []*channel.Item) error // may be nil

	mu    sync.Mutex
	items []taken
	calls int
	keys  map[channel.Key]bool
}

func (r *recorder) Accept(_ context.Context, items ...*channel.Item) error {
	if r.fail != nil {
		if err := r.fail(items); err != nil {
			return err
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.calls++
	for _, it := range items {
		raw, err := channel.ReadBody(it.Raw, 64<<20)
		if err != nil {
			return err
		}
		if r.keys == nil {
			r.keys = make(map[channel.Key]bool)
		}
		known := false
		for _, k := range it.Keys {
			k = channel.Key(it.Channel) + " " + k
			known = known || r.keys[k]
			r.keys[k] = true
		}
		if !known {
			r.items = append(r.items, taken{Item: it, raw: string(raw)})
		}
	}
	return nil
}

func (r *recorder) got() []taken {
	r.mu.Lock()
	defer r.mu.Unlock()
	return append([]taken(nil), r.items...)
}

// rig is a running server.
type rig struct {
	*Server
	t    testing.TB
	addr string
	stop func() error // ends Serve and returns what it returned
}

func start(t testing.TB, s *Server) *rig { return startProtocol(t, s, false) }

// support starts a server with one mailbox, support@help.example.
func support(t testing.TB, s *Server) (*rig, *recorder) {
	t.Helper()
	r, sink := start(t, s), &recorder{}
	r.mailbox("support", sink)
	return r, sink
}

func startProtocol(t testing.TB, s *Server, lmtp bool) *rig {
	t.Helper()
	if s.Domain == "" {
		s.Domain = "help.example"
	}
	if s.Limits.Pregreet == 0 {
		s.Limits.Pregreet = -1
	}
	if s.Limits.FreeDisk == 0 {
		s.Limits.FreeDisk = -1 // whatever machine this is
	}
	if s.SpoolDir == "" {
		s.SpoolDir = t.TempDir()
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.serve(ctx, l, lmtp) }()
	require.Eventually(t, s.listening, patience, time.Millisecond)
	stop := sync.OnceValue(func() error {
		cancel()
		select {
		case err := <-done:
			return err
		case <-time.After(patience):
			return fmt.Errorf("Serve did not return")
		}
	})
	t.Cleanup(func() {
		require.NoError(t, stop())
		left, err := os.ReadDir(s.SpoolDir)
		require.NoError(t, err)
		require.Empty(t, left, "spool files left")
		require.Zero(t, s.spooled.Load(), "spool bytes left")
	})
	return &rig{Server: s, t: t, addr: l.Addr().String(), stop: stop}
}

func acct(t testing.TB, id string, m Mailbox, forwards ...channel.Forward) channel.Account {
	t.Helper()
	a, err := m.Account()
	require.NoError(t, err)
	a.ID, a.Forwards = channel.ID(id), forwards
	return a
}

// mailbox opens an account in portal main and receives into sink.
func (r *rig) mailbox(local string, sink channel.Sink, forwards ...channel.Forward) (*box, func()) {
	r.t.Helper()
	return r.receive("main", acct(r.t, local, Mailbox{LocalPart: local}, forwards...), sink)
}

func (r *rig) receive(portal string, a channel.Account, sink channel.Sink) (*box, func()) {
	r.t.Helper()
	reported := make(chan struct{})
	begun := sync.OnceFunc(func() { close(reported) })
	ch, err := r.Open(context.Background(), a, channel.Env{Portal: portal, Report: func(channel.Status) { begun() }})
	require.NoError(r.t, err)
	b := ch.(*box)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- b.Receive(ctx, sink) }()
	select {
	case <-reported:
	case <-time.After(patience):
		r.t.Fatal("Receive did not begin")
	}
	off := sync.OnceFunc(func() {
		cancel()
		require.NoError(r.t, <-done)
	})
	r.t.Cleanup(off)
	return b, off
}

// peer is a raw SMTP dialogue.
type peer struct {
	t    testing.TB
	conn net.Conn
	r    *bufio.Reader
}

// dial connects without reading the greeting.
func (r *rig) dial() *peer {
	r.t.Helper()
	c, err := net.Dial("tcp", r.addr)
	require.NoError(r.t, err)
	r.t.Cleanup(func() { c.Close() })
	return newPeer(r.t, c)
}

func newPeer(t testing.TB, c net.Conn) *peer {
	return &peer{t: t, conn: c, r: bufio.NewReader(c)}
}

// hello connects, reads the greeting and says EHLO.
func (r *rig) hello() *peer {
	r.t.Helper()
	p := r.dial()
	p.expect(220)
	p.do("EHLO client.example", 250)
	return p
}

func (p *peer) send(s string) {
	p.t.Helper()
	p.conn.SetWriteDeadline(time.Now().Add(patience))
	_, err := io.WriteString(p.conn, s)
	require.NoError(p.t, err)
}

// try sends what the server may already refuse to read.
func (p *peer) try(s string) {
	p.conn.SetWriteDeadline(time.Now().Add(patience))
	io.WriteString(p.conn, s)
}

func (p *peer) answer() (int, string, error) {
	p.conn.SetReadDeadline(time.Now().Add(patience))
	return textproto.NewReader(p.r).ReadResponse(0)
}

func (p *peer) expect(code int) string {
	p.t.Helper()
	got, text, err := p.answer()
	require.NoError(p.t, err)
	require.Equal(p.t, code, got, text)
	return text
}

func (p *peer) do(line string, code int) string {
	p.t.Helper()
	p.send(line + "\r\n")
	return p.expect(code)
}

// closed reads to the end and returns the codes of the answers on the way.
func (p *peer) closed() (codes []int) {
	p.t.Helper()
	for {
		code, _, err := p.answer()
		if err != nil {
			var ne net.Error
			require.False(p.t, errors.As(err, &ne) && ne.Timeout(), "the connection was not closed")
			return codes
		}
		codes = append(codes, code)
	}
}

// envelope begins a transaction.
func (p *peer) envelope(to ...string) {
	p.t.Helper()
	p.do("MAIL FROM:<jane@customer.example>", 250)
	for _, addr := range to {
		p.do("RCPT TO:<"+addr+">", 250)
	}
}

// mail sends a message and returns the answer to it.
func (p *peer) mail(raw string, to ...string) (int, string) {
	p.t.Helper()
	p.envelope(to...)
	p.do("DATA", 354)
	p.send(raw + ".\r\n")
	code, text, err := p.answer()
	require.NoError(p.t, err)
	return code, text
}

// chunk sends one BDAT command.
func (p *peer) chunk(data string, last bool, code int) string {
	p.t.Helper()
	end := map[bool]string{true: " LAST"}[last]
	p.send(fmt.Sprintf("BDAT %d%s\r\n%s", len(data), end, data))
	return p.expect(code)
}

// startTLS begins TLS and says EHLO again.
func (p *peer) startTLS() *peer {
	p.t.Helper()
	p.do("STARTTLS", 220)
	c := tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true})
	require.NoError(p.t, c.Handshake())
	q := newPeer(p.t, c)
	q.do("EHLO client.example", 250)
	return q
}

func (p *peer) closeWrite() {
	p.t.Helper()
	require.NoError(p.t, p.conn.(interface{ CloseWrite() error }).CloseWrite())
}

// msg is a small mail.
func msg(id string) string {
	return "From: Jane <jane@customer.example>\r\nTo: support@help.example\r\n" +
		"Subject: Order " + id + "\r\nMessage-ID: <" + id + "@customer.example>\r\n" +
		"Date: Sun, 22 Nov 2026 10:00:00 +0000\r\n\r\nWhere is it?\r\n"
}

var testCertificate = sync.OnceValue(func() tls.Certificate { return newCertificate("mx.help.example") })

func newCertificate(name string) tls.Certificate {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), DNSNames: []string{name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

func testTLS() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{testCertificate()}}
}
