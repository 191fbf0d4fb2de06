package account

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"time"
)

// Timeouts bound each step of an exchange. Zero fields mean the default.
type Timeouts struct {
	// Connect bounds name lookup and connecting, and then the TLS handshake.
	// Default 30 s.
	Connect time.Duration
	// Command bounds each command's answer. Default 5 min, which RFC 5321
	// section 4.5.3.2 asks for.
	Command time.Duration
	// Block bounds each write of message content. Default 3 min.
	Block time.Duration
	// Final bounds the answer to the final dot. Default 10 min (RFC 5321
	// section 4.5.3.2.6); a shorter one makes more messages uncertain.
	Final time.Duration
	// Check bounds a whole check. Default 30 s.
	Check time.Duration
	// Find is how long a message is looked for that the provider may be about
	// to put into the Sent folder. Default 20 s.
	Find time.Duration
}

func (t Timeouts) withDefaults() Timeouts {
	set := func(d *time.Duration, v time.Duration) {
		if *d <= 0 {
			*d = v
		}
	}
	set(&t.Connect, 30*time.Second)
	set(&t.Command, 5*time.Minute)
	set(&t.Block, 3*time.Minute)
	set(&t.Final, 10*time.Minute)
	set(&t.Check, 30*time.Second)
	set(&t.Find, 20*time.Second)
	return t
}

// quitWait is how long the answer to QUIT is worth waiting for.
const quitWait = 2 * time.Second

// dialFunc is the shape of channel.Env.Dial.
type dialFunc func(ctx context.Context, network, address string) (net.Conn, error)

// session is one connection to a submission server. It carries one transaction
// after another, though today each message has a connection of its own. It is
// bound to the context it was opened with: when that ends, the connection is
// closed and every blocked call returns.
type session struct {
	ctx      context.Context
	server   Server
	timeouts Timeouts

	raw  net.Conn // as dialled
	conn net.Conn // raw, or TLS upon it
	r    *bufio.Reader
	stop func() bool

	encrypted bool
	ext       map[string]string // EHLO keywords in upper case, with their parameters
	secrets   []string          // what no text may contain
}

// link says how to reach and greet a server.
type link struct {
	server   Server
	tls      *tls.Config // nil means the default
	hello    string      // empty means a name of this machine
	timeouts Timeouts    // with defaults
	dial     dialFunc
}

// open connects, greets and encrypts, but does not log in.
func (l link) open(ctx context.Context) (*session, *failure) {
	dctx, cancel := context.WithTimeout(ctx, l.timeouts.Connect)
	raw, err := l.dial(dctx, "tcp", l.server.address())
	cancel()
	if err != nil {
		return nil, dialFailure(ctx, l.server, err)
	}
	s := &session{ctx: ctx, server: l.server, timeouts: l.timeouts, raw: raw}
	s.stop = context.AfterFunc(ctx, func() { raw.Close() })
	s.use(raw)
	if f := s.start(l); f != nil {
		s.close()
		return nil, f
	}
	return s, nil
}

func (s *session) use(c net.Conn) {
	s.conn = c
	s.r = bufio.NewReader(c)
}

// close ends the connection at once, without a farewell: in the middle of a
// message that is what keeps it from being delivered.
func (s *session) close() {
	s.stop()
	// Not s.conn: closing TLS would try to write.
	s.raw.Close()
}

// quit says goodbye and closes. What has been sent stays sent.
func (s *session) quit() {
	s.conn.SetDeadline(time.Now().Add(quitWait))
	if _, err := s.conn.Write([]byte("QUIT\r\n")); err == nil {
		_, _ = readReply(s.r)
	}
	s.close()
}

func (s *session) start(l link) *failure {
	if s.server.Security == TLS {
		if f := s.handshake(l); f != nil {
			return f
		}
	}
	s.conn.SetDeadline(time.Now().Add(s.timeouts.Command))
	greeting, err := readReply(s.r)
	if err != nil {
		return broken(s.ctx, stageGreeting, err)
	}
	if greeting.code != 220 {
		return refused(stageGreeting, greeting, nil)
	}
	name := helloName(l.hello, s.raw.LocalAddr())
	if f := s.hello(name); f != nil {
		return f
	}
	if s.server.Security != STARTTLS && s.server.Security != Opportunistic {
		return nil
	}
	if _, ok := s.ext["STARTTLS"]; !ok {
		if s.server.Security == Opportunistic {
			return nil
		}
		return &failure{
			stage: stageConnect, code: "starttls_missing",
			text: s.server.address() + " does not offer STARTTLS",
			fix:  "Use the provider's TLS port (465, security tls). If it did offer it before, somebody may be tampering with the connection; nothing was sent.",
		}
	}
	if f := s.startTLS(l); f != nil {
		return f
	}
	return s.hello(name)
}

// startTLS encrypts the connection (RFC 3207). Once it was offered there is no
// way back to clear text.
func (s *session) startTLS(l link) *failure {
	r, f := s.command(stageConnect, "STARTTLS")
	if f != nil {
		return f
	}
	if r.code != 220 {
		f := refused(stageConnect, r, nil)
		f.code, f.text = "tls", "STARTTLS was refused: "+f.text
		return f
	}
	// What came in clear after the answer was not written by the server we
	// are about to authenticate.
	if s.r.Buffered() > 0 {
		return &failure{
			stage: stageConnect, code: "tls",
			text: s.server.address() + " sent data in clear after its answer to STARTTLS",
			fix:  "Somebody may be tampering with the connection; nothing was sent.",
		}
	}
	return s.handshake(l)
}

func (s *session) handshake(l link) *failure {
	cfg := &tls.Config{}
	if l.tls != nil {
		cfg = l.tls.Clone()
	}
	if cfg.ServerName == "" {
		cfg.ServerName = s.server.Host
	}
	if cfg.MinVersion == 0 {
		cfg.MinVersion = tls.VersionTLS12
	}
	if l.tls == nil && s.server.Security == Opportunistic && isLoopback(s.server.Host) {
		// Whoever could stand in between on this machine could take the
		// offer of STARTTLS away as well.
		cfg.InsecureSkipVerify = true
	}
	c := tls.Client(s.raw, cfg)
	ctx, cancel := context.WithTimeout(s.ctx, s.timeouts.Connect)
	defer cancel()
	if err := c.HandshakeContext(ctx); err != nil {
		return tlsFailure(s.ctx, s.server, err)
	}
	s.encrypted = true
	s.use(c)
	return nil
}

// hello introduces us and learns what the server can do.
func (s *session) hello(name string) *failure {
	r, f := s.command(stageGreeting, "EHLO "+name)
	if f != nil {
		return f
	}
	s.ext = map[string]string{}
	if r.code == 500 || r.code == 502 {
		// RFC 5321 section 3.2: a server from before extensions.
		if r, f = s.command(stageGreeting, "HELO "+name); f != nil {
			return f
		}
		r.lines = r.lines[:1]
	}
	if r.code != 250 {
		return refused(stageGreeting, r, nil)
	}
	for _, line := range r.lines[1:] {
		// "AUTH=LOGIN" is how some old servers write it.
		key, params, _ := strings.Cut(strings.Replace(line, "AUTH=", "AUTH ", 1), " ")
		key = strings.ToUpper(key)
		s.ext[key] = strings.TrimSpace(s.ext[key] + " " + params)
	}
	return nil
}

// offers reports whether the server announced an extension.
func (s *session) offers(keyword string) bool {
	_, ok := s.ext[keyword]
	return ok
}

// sizeLimit returns the largest message the server takes (RFC 1870), 0 if
// there is no limit known.
func (s *session) sizeLimit() int64 {
	n, err := strconv.ParseInt(s.ext["SIZE"], 10, 64)
	if err != nil || n < 0 {
		return 0
	}
	return n
}

// command sends one line and reads the answer, whatever it is. An error of the
// connection is a failure.
func (s *session) command(at stage, line string) (reply, *failure) {
	if strings.ContainsAny(line, "\r\n\x00") {
		return reply{}, &failure{stage: at, code: "invalid", rejected: true, text: "a line break in a command"}
	}
	s.conn.SetDeadline(time.Now().Add(s.timeouts.Command))
	if _, err := s.conn.Write([]byte(line + "\r\n")); err != nil {
		return reply{}, broken(s.ctx, at, err)
	}
	r, err := readReply(s.r)
	if err != nil {
		return reply{}, broken(s.ctx, at, err)
	}
	return r, nil
}

// helloName returns what to call ourselves: RFC 5321 section 4.1.4 wants a full
// host name, or the address where there is none.
func helloName(configured string, local net.Addr) string {
	if configured != "" {
		return configured
	}
	if name, err := os.Hostname(); err == nil && strings.Contains(name, ".") && isHostName(name) {
		return name
	}
	host, _, err := net.SplitHostPort(local.String())
	if err != nil {
		return "[127.0.0.1]"
	}
	host, _, _ = strings.Cut(host, "%")
	if strings.Contains(host, ":") {
		return "[IPv6:" + host + "]"
	}
	return fmt.Sprintf("[%s]", host)
}
