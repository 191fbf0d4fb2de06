package account

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// imapConn is one connection to an IMAP server, with a folder open once it is
// logged in. This file and imapmail.go are all that knows the IMAP library. It
// is for one goroutine at a time and bound to the context it was opened with.
type imapConn struct {
	ctx     context.Context
	server  Server
	pace    Receiving
	raw     *meteredConn
	client  *imapclient.Client
	secrets []string
	changed chan struct{} // the server says that something changed
	stop    func() bool
	moved   bool   // no earlier move can have been interrupted
	next    uint32 // UIDNEXT of the open folder when it was opened, 0 if unknown
}

// imapLink says how to reach and enter a server.
type imapLink struct {
	server  Server
	tls     *tls.Config
	connect time.Duration
	pace    Receiving // with defaults
	dial    dialFunc
	login   login
	// muted says that a connection broke off when we said who we are.
	muted *atomic.Bool
}

// Bounds of what a server may send in answer to one command, besides content
// that was asked for.
const (
	maxAnswer = 16 << 20 // SEARCH over maxSpan numbers stays below it
	maxIdle   = 1 << 20
)

var errBudget = errors.New("the server sends more than was asked for")

// meteredConn bounds what is read between two calls of allow, since the library
// reads lines of any length into memory.
type meteredConn struct {
	net.Conn
	left  atomic.Int64
	first []byte // is read before anything else
}

func (c *meteredConn) allow(n int64) { c.left.Store(n) }

func (c *meteredConn) Read(p []byte) (int, error) {
	if c.left.Load() <= 0 {
		return 0, errBudget
	}
	if len(c.first) > 0 {
		n := copy(p, c.first)
		c.first = c.first[n:]
		return n, nil
	}
	n, err := c.Conn.Read(p)
	c.left.Add(int64(-n))
	return n, err
}

// open connects, encrypts, waits for the greeting and logs in.
func (l imapLink) open(ctx context.Context) (*imapConn, *failure) {
	dctx, cancel := context.WithTimeout(ctx, l.connect)
	raw, err := l.dial(dctx, "tcp", l.server.address())
	cancel()
	if err != nil {
		return nil, forIMAP(dialFailure(ctx, l.server, err))
	}
	c := &imapConn{ctx: ctx, server: l.server, pace: l.pace, changed: make(chan struct{}, 1)}
	c.stop = context.AfterFunc(ctx, func() { raw.Close() })
	f := c.start(raw, l)
	if f == nil {
		f = c.authenticate(l.login)
	}
	if f == nil {
		f = c.introduce(l.muted)
	}
	if f == nil {
		return c, nil
	}
	c.close()
	raw.Close()
	return nil, forIMAP(f)
}

// forIMAP puts IMAP's ports where the text names those of SMTP.
func forIMAP(f *failure) *failure {
	names := strings.NewReplacer("465", "993", "587", "143", "SMTP", "IMAP")
	f.fix = names.Replace(f.fix)
	return f
}

func (c *imapConn) start(raw net.Conn, l imapLink) *failure {
	cfg := &tls.Config{}
	if l.tls != nil {
		cfg = l.tls.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = l.server.Host
	}
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS12
	}
	conn, first := raw, []byte(nil)
	if l.server.Security == STARTTLS {
		// By our own hands: the library would neither tell what the server
		// said when it turned us away, nor wait for its greeting.
		if f := c.startTLS(raw, l.connect); f != nil {
			return f
		}
		first = []byte("* OK encrypted\r\n") // in place of the greeting that was read
	}
	if l.server.Security != None {
		t := tls.Client(raw, cfg)
		ctx, cancel := context.WithTimeout(c.ctx, l.connect)
		defer cancel()
		if err := t.HandshakeContext(ctx); err != nil {
			return tlsFailure(c.ctx, l.server, err)
		}
		conn = t
	}
	c.raw = &meteredConn{Conn: conn, first: first}
	err := c.guard(l.connect, maxIdle, func() error {
		c.client = imapclient.New(c.raw, &imapclient.Options{UnilateralDataHandler: &imapclient.UnilateralDataHandler{
			// They run where the connection is read, so they must not block.
			Mailbox: func(*imapclient.UnilateralDataMailbox) { c.notice() },
			Expunge: func(uint32) {},
		}})
		return c.client.WaitGreeting()
	})
	if err == nil {
		return nil
	}
	f := c.failed(stageGreeting, err)
	if strings.HasPrefix(err.Error(), "got error before greeting: in ") {
		f.text = l.server.address() + " does not speak IMAP"
	}
	return f
}

func (c *imapConn) notice() {
	select {
	case c.changed <- struct{}{}:
	default:
	}
}

// close ends the connection at once.
func (c *imapConn) close() {
	c.stop()
	if c.raw != nil {
		closeNow(c.raw)
	}
	if c.client != nil {
		_ = c.client.Close() // waits for the reading goroutine
	}
}

// closeNow closes without TLS's farewell, which would wait for the peer.
func closeNow(c *meteredConn) {
	if t, ok := c.Conn.(*tls.Conn); ok {
		t.NetConn().Close()
		return
	}
	c.Conn.Close()
}

// logout says goodbye and closes.
func (c *imapConn) logout() {
	_ = c.guard(quitWait, maxIdle, func() error { return c.client.Logout().Wait() })
	c.close()
}

var errSilent = errors.New("the server did not answer in time")

// guard runs one exchange, which blocks until the connection is closed if the
// server is silent: the library has no deadlines for answers. budget is how
// many bytes the server may send.
func (c *imapConn) guard(limit time.Duration, budget int64, exchange func() error) error {
	c.raw.allow(budget)
	var silent atomic.Bool
	t := time.AfterFunc(limit, func() {
		silent.Store(true)
		closeNow(c.raw)
	})
	err := exchange()
	t.Stop()
	if err != nil && silent.Load() {
		return errSilent
	}
	if err != nil && !isAnswer(err) && c.raw.left.Load() <= 0 {
		return errBudget // the library tells of an answer without its end
	}
	return err
}

// failed makes a failure of an error of an exchange.
func (c *imapConn) failed(at stage, err error) *failure {
	if c.ctx.Err() == nil {
		if errors.Is(err, errSilent) {
			err = os.ErrDeadlineExceeded
		}
		if e, ok := errors.AsType[*imap.Error](err); ok {
			text := oneLine(e.Text, c.secrets)
			if text == "" {
				text = string(e.Type)
			}
			f := &failure{stage: at, code: "imap_" + strings.ToLower(string(e.Type)), text: text}
			if at == stageGreeting {
				f.code = "greeting"
				f.fix = "The server turned the connection away. Ask its operator, or try later."
			}
			return f
		}
	}
	f := broken(c.ctx, at, err)
	f.text = oneLine(f.text, c.secrets)
	f.err = nil // the library's text may quote what the server sent
	return f
}

// authenticate logs in by the account's own mechanisms.
func (c *imapConn) authenticate(l login) *failure {
	if l.auth == AuthNone {
		return nil
	}
	if c.server.Security == None && !isLoopback(c.server.Host) && !c.server.Insecure {
		return &failure{
			stage: stageLogin, code: "login", fix: "Choose security tls or starttls.",
			text: "the connection is not encrypted, so the credentials were not sent",
		}
	}
	var caps imap.CapSet
	if err := c.guard(c.pace.Command, maxIdle, func() error {
		if caps = c.client.Caps(); caps == nil {
			return errSilent
		}
		return nil
	}); err != nil {
		return c.failed(stageLogin, err)
	}
	var possible []mechanism
	if l.auth == AuthOAuth2 {
		ctx, cancel := context.WithTimeout(c.ctx, c.pace.Command)
		defer cancel()
		token, err := l.tokens.get(ctx)
		if err == nil && strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			err = errors.New("not a token")
		}
		if err != nil {
			return tokenFailure(ctx, err)
		}
		possible = tokenMechanisms(c.server, l.username, token)
		c.secrets = forms(token, string(possible[0].initial), string(possible[1].initial))
	} else {
		possible = passwordMechanisms(l.username, l.password)
		c.secrets = forms(l.password, "\x00"+l.username+"\x00"+l.password)
	}
	for _, m := range possible {
		if caps.Has(imap.AuthCap(m.name)) {
			return c.loggedIn(c.guard(c.pace.Command, maxIdle, func() error { return c.client.Authenticate(&saslExchange{m: m}) }))
		}
	}
	if l.auth == AuthPassword && !caps.Has(imap.CapLoginDisabled) {
		return c.loggedIn(c.guard(c.pace.Command, maxIdle, func() error { return c.client.Login(l.username, l.password).Wait() }))
	}
	var offered []string
	for _, m := range caps.AuthMechanisms() {
		offered = append(offered, strings.ToUpper(m))
	}
	slices.Sort(offered)
	return noMechanism(l.auth, offered)
}

// loggedIn turns the end of a login into nil or a failure. RFC 5530 tells a
// server in trouble from credentials that do not work.
func (c *imapConn) loggedIn(err error) *failure {
	if err == nil {
		return nil
	}
	f := c.failed(stageLogin, err)
	e, ok := errors.AsType[*imap.Error](err)
	if !ok {
		return f
	}
	f.code = "login"
	if passes(e) {
		f.fix = "The server is in trouble. It is tried again by itself."
		return f
	}
	f.authorization = true
	f.fix = "Check user name and password, and that the provider allows IMAP. Many want an app password, or OAuth, for programs."
	return f
}

// passes reports whether a refusal says that the server is in trouble, or had
// enough of us for now, rather than that something is wrong with what we ask.
func passes(e *imap.Error) bool {
	switch e.Code {
	case imap.ResponseCodeUnavailable, imap.ResponseCodeServerBug, imap.ResponseCodeInUse, imap.ResponseCodeLimit, "THROTTLED", "OVERQUOTA":
		return true
	case "", imap.ResponseCodeAlert:
	default:
		return false
	}
	// Many say it in words only: Gmail "[ALERT] Too many simultaneous
	// connections", Courier "Temporary problem", Exchange "User is
	// authenticated but not connected".
	text := strings.ToLower(e.Text)
	return slices.ContainsFunc([]string{
		"too many", "simultaneous", "temporar", "unavailable", "server error", "internal error", "bandwidth", "not connected",
	}, func(words string) bool { return strings.Contains(text, words) })
}

// saslExchange is a mechanism as the library wants it.
type saslExchange struct {
	m mechanism
	n int
}

// Start returns what the client says first.
func (s *saslExchange) Start() (string, []byte, error) { return s.m.name, s.m.initial, nil }

// Next answers a challenge.
func (s *saslExchange) Next(challenge []byte) ([]byte, error) {
	answer, err := s.m.next(s.n, challenge)
	s.n++
	return answer, err
}

// introduce asks what the server can do for who has logged in, and says who we
// are (RFC 2971): Google asks for it, and some servers let nobody in without.
// What they answer does not matter, but the library may not understand it, and
// break off; the next connection then does without.
func (c *imapConn) introduce(muted *atomic.Bool) *failure {
	// The library forgets what was offered before the login only after it has
	// told that we are in.
	err := c.guard(c.pace.Command, maxIdle, func() error {
		_, err := c.client.Capability().Wait()
		return err
	})
	if err == nil && !muted.Swap(false) {
		err = c.guard(c.pace.Command, maxIdle, func() error {
			if !c.client.Caps().Has(imap.CapID) {
				return nil
			}
			_, err := c.client.ID(&imap.IDData{Name: "Anteroom", Vendor: "Anteroom"}).Wait()
			return err
		})
		if err != nil && c.ctx.Err() == nil && !isAnswer(err) {
			muted.Store(true)
		}
	}
	if err != nil && !isAnswer(err) {
		return c.failed(stageLogin, err)
	}
	return nil
}

// isAnswer reports whether an error is a server's NO or BAD, after which the
// connection goes on.
func isAnswer(err error) bool {
	_, ok := errors.AsType[*imap.Error](err)
	return ok
}

// String keeps secrets out of what prints a connection.
func (c *imapConn) String() string { return fmt.Sprintf("imap %s", c.server.address()) }
