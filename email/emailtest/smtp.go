package emailtest

import (
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// SMTP is an SMTP server for tests: it listens on loopback, keeps what it is
// given in memory, and fails as its script says. It is stricter than most real
// servers: it refuses bare line feeds, mail without recipients and commands out of order.
// Safe for concurrent use.
type SMTP struct {
	endpoint
	script

	ln     net.Listener
	conf   smtpConf
	inbox  *inbox
	closed chan struct{}
	wg     sync.WaitGroup

	mu       sync.Mutex
	hidden   map[string]bool
	commands []string
	conns    map[net.Conn]bool
	accepted int
}

type smtpConf struct {
	hostname   string
	implicit   bool
	startTLS   bool
	users      map[string]string
	tokens     map[string]string
	mechanisms []string
	extensions []string
	maxSize    int
	certNames  []string
	cert       *tls.Certificate
	sent       func(raw []byte)
}

// SMTPOption configures a fake server.
type SMTPOption func(*smtpConf)

// WithTLS makes the server speak TLS from the first byte.
func WithTLS() SMTPOption { return func(c *smtpConf) { c.implicit = true } }

// WithSTARTTLS makes the server offer STARTTLS.
func WithSTARTTLS() SMTPOption { return func(c *smtpConf) { c.startTLS = true } }

// WithCertificate replaces the server's certificate, which otherwise is one of
// its own authority for 127.0.0.1 and localhost.
func WithCertificate(cert tls.Certificate) SMTPOption {
	return func(c *smtpConf) { c.cert = &cert }
}

// WithCertificateFor makes the server's certificate one for other names than
// its own.
func WithCertificateFor(names ...string) SMTPOption {
	return func(c *smtpConf) { c.certNames = names }
}

// WithUser adds a user with a password. Once there is a user, mail is taken
// only after a login.
func WithUser(name, password string) SMTPOption {
	return func(c *smtpConf) { c.users[name] = password }
}

// WithToken adds a user with an OAuth access token.
func WithToken(name, token string) SMTPOption {
	return func(c *smtpConf) { c.tokens[name] = token }
}

// WithMechanisms sets which of PLAIN, LOGIN, XOAUTH2 and OAUTHBEARER are
// offered. The default is those that the users can use. Others may be named, and are
// offered but always refused.
func WithMechanisms(names ...string) SMTPOption {
	return func(c *smtpConf) { c.mechanisms = names }
}

// WithMaxSize sets the largest message in bytes, announced by SIZE. The default
// is 10 MiB.
func WithMaxSize(n int) SMTPOption { return func(c *smtpConf) { c.maxSize = n } }

// WithHostname sets the name in greeting and EHLO. The default is "fake.test".
func WithHostname(name string) SMTPOption { return func(c *smtpConf) { c.hostname = name } }

// WithExtensions replaces the extensions that are announced besides SIZE, AUTH and
// STARTTLS. The default is 8BITMIME, SMTPUTF8, DSN, ENHANCEDSTATUSCODES and PIPELINING.
func WithExtensions(lines ...string) SMTPOption {
	return func(c *smtpConf) { c.extensions = lines }
}

// WithSentFolder makes the server put what it takes into a folder of in, before
// it answers, as some providers do.
func WithSentFolder(in *IMAP, folder string) SMTPOption {
	return func(c *smtpConf) {
		c.sent = func(raw []byte) { in.Add(folder, raw, time.Now()) }
	}
}

// NewSMTP starts a server that ends with the test.
func NewSMTP(t testing.TB, opts ...SMTPOption) *SMTP {
	t.Helper()
	s, err := StartSMTP(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// StartSMTP starts a server outside of tests, for demonstrations. Close ends it.
func StartSMTP(opts ...SMTPOption) (*SMTP, error) {
	conf := smtpConf{
		hostname: "fake.test", users: map[string]string{}, tokens: map[string]string{},
		extensions: []string{"8BITMIME", "SMTPUTF8", "DSN", "ENHANCEDSTATUSCODES", "PIPELINING"},
		maxSize:    10 << 20, certNames: []string{"127.0.0.1", "localhost"},
	}
	for _, o := range opts {
		o(&conf)
	}
	if conf.mechanisms == nil {
		if len(conf.users) > 0 {
			conf.mechanisms = append(conf.mechanisms, "PLAIN", "LOGIN")
		}
		if len(conf.tokens) > 0 {
			conf.mechanisms = append(conf.mechanisms, "XOAUTH2", "OAUTHBEARER")
		}
	}
	ca, err := NewCA()
	if err != nil {
		return nil, err
	}
	if conf.cert == nil {
		cert, err := ca.Certificate(conf.certNames...)
		if err != nil {
			return nil, err
		}
		conf.cert = &cert
	}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("emailtest: listen: %w", err)
	}
	s := &SMTP{
		endpoint: endpoint{ln.Addr().String(), ca}, ln: ln, conf: conf, inbox: newInbox(), closed: make(chan struct{}),
		hidden: map[string]bool{}, conns: map[net.Conn]bool{},
	}
	s.wg.Go(s.serve)
	return s, nil
}

// Next returns the next message not yet returned, waiting for it if need be.
func (s *SMTP) Next(ctx context.Context) (*Message, error) { return s.inbox.take(ctx, s.closed) }

// Messages returns every message taken in so far, also those whose answer was lost.
func (s *SMTP) Messages() []*Message { return s.inbox.messages() }

// Commands returns every line that clients have sent outside of content, logins
// included, verbatim.
func (s *SMTP) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// Connections returns how many connections were made so far.
func (s *SMTP) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Open returns how many connections are open now.
func (s *SMTP) Open() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.conns)
}

// Hide stops announcing an extension, such as "STARTTLS", as somebody in
// between would do it.
func (s *SMTP) Hide(keyword string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	hidden := maps.Clone(s.hidden)
	hidden[strings.ToUpper(keyword)] = true
	s.hidden = hidden
}

// Close ends the server and its connections. It may be called twice.
func (s *SMTP) Close() {
	s.mu.Lock()
	select {
	case <-s.closed:
	default:
		close(s.closed)
	}
	for c := range s.conns {
		c.Close()
	}
	s.mu.Unlock()
	s.ln.Close()
	s.wg.Wait()
}

func (s *SMTP) serve() {
	for {
		c, err := s.ln.Accept()
		if err != nil {
			return
		}
		s.mu.Lock()
		select {
		case <-s.closed:
			s.mu.Unlock()
			c.Close()
			return
		default:
		}
		s.accepted++
		s.conns[c] = true
		s.mu.Unlock()
		s.wg.Go(func() {
			newConversation(s, c).run()
			c.Close()
			s.mu.Lock()
			delete(s.conns, c)
			s.mu.Unlock()
		})
	}
}

func (s *SMTP) note(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = append(s.commands, line)
}

func (s *SMTP) shows(keyword string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return !s.hidden[keyword]
}

func (s *SMTP) tlsConfig() *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{*s.conf.cert}}
}
