package account

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"strconv"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// KindRelay is the kind of a [Relay].
const KindRelay channel.Kind = "email.relay"

// RelayOptions says how a [Relay] sends. The zero value is that of a mail
// server next door: no login, STARTTLS if it is offered.
type RelayOptions struct {
	// Security; empty means Opportunistic. None sends in clear, to wherever
	// the host has pointed the relay.
	Security Security
	// TLS is the base of the TLS configuration; nil means the system's
	// authorities. Certificates are verified, with one exception: without
	// TLS here, an opportunistic relay on this machine, where mail servers
	// mostly have self-signed ones and clear text would be taken as well.
	// For a relay elsewhere with a certificate of its own, put its authority
	// into RootCAs, or set InsecureSkipVerify knowingly.
	TLS *tls.Config
	// Username and Password log in if Username is set. That wants TLS, or a
	// relay on this machine.
	Username, Password string
	// From is used where a message names no sender.
	From channel.Party
	// Domain is the right side of Message-IDs. Empty means that of the
	// message's sender.
	Domain    string
	HelloName string // as in [Connector]
	Timeouts  Timeouts
	// Dial opens connections. Nil means a [net.Dialer].
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
	// Report, if set, is told how the relay is after each attempt.
	Report func(channel.Status)
}

// Relay sends what a portal itself writes, such as automatic replies and
// notices, through a mail server that takes any sender. Automatic replies leave
// with a null return path (RFC 3834 section 3.3), other mails with their From.
// Safe for concurrent use.
type Relay struct {
	opts   RelayOptions
	mailer mailer
	bad    error
}

var (
	_ channel.Sender  = (*Relay)(nil)
	_ channel.Checker = (*Relay)(nil)
)

// NewRelay returns a sender through the SMTP server at addr, "host:port"; port
// 25 if there is none. It does not connect. Something wrong with addr or opts
// is what every Send and Check then says.
func NewRelay(addr string, opts RelayOptions) *Relay {
	r := &Relay{opts: opts}
	server, err := relayServer(addr, opts.Security)
	r.bad = err
	dial := opts.Dial
	if dial == nil {
		dial = (&net.Dialer{}).DialContext
	}
	if opts.HelloName != "" && !isHelloName(opts.HelloName) {
		r.bad = channel.BadField("hello_name", "%q is no host name", opts.HelloName)
	}
	r.mailer = mailer{
		link: link{
			server: server, tls: opts.TLS, hello: opts.HelloName,
			timeouts: opts.Timeouts.withDefaults(), dial: dial,
		},
		login:  login{auth: AuthNone},
		report: r.report,
	}
	if opts.Username != "" {
		r.mailer.login = login{auth: AuthPassword, username: opts.Username, password: opts.Password}
	}
	r.opts.Password = ""
	return r
}

func relayServer(addr string, sec Security) (Server, error) {
	s := Server{Host: addr, Port: 25, Security: sec}
	if host, port, err := net.SplitHostPort(addr); err == nil {
		n, err := strconv.Atoi(port)
		if err != nil || n < 1 || n > 65535 {
			return s, channel.BadField("relay", "%q has no valid port", addr)
		}
		s.Host, s.Port = host, n
	}
	if !isHostName(s.Host) {
		return s, channel.BadField("relay", "%q is no host:port", addr)
	}
	switch sec {
	case "":
		s.Security = Opportunistic
	case Opportunistic, STARTTLS, TLS, None:
	default:
		return s, channel.BadField("security", "must be tls, starttls, opportunistic or none")
	}
	return s, nil
}

// Info says what the relay is.
func (r *Relay) Info() channel.Info {
	return channel.Info{
		Kind: KindRelay, Name: r.opts.From.Name, Address: r.opts.From.Address,
		Scheme: "mailto", CanSend: true, CanStart: true, Mail: true,
	}
}

// Send sends one mail from any address.
func (r *Relay) Send(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
	if r.bad != nil {
		return channel.Receipt{}, &channel.SendError{
			Outcome: channel.NotSent, Code: "invalid", Reason: oneLine(r.bad.Error(), nil), After: retryConnect, Err: r.bad,
		}
	}
	o := *out
	if o.From.Address == "" {
		name := o.From.Name
		o.From = r.opts.From
		if name != "" {
			o.From.Name = name
		}
	}
	if err := checkAddress(o.From.Address); err != nil {
		return channel.Receipt{}, unsendable(channel.BadField("from", "%s", err))
	}
	domain := r.opts.Domain
	if domain == "" {
		_, domain, _ = cutAddress(o.From.Address)
	}
	from := o.From.Address
	if o.Automatic == channel.AutoReplied {
		from = ""
	}
	return r.mailer.send(ctx, outgoing{
		from: from, outbound: &o,
		compose: email.ComposeOptions{Domain: domain, XLoop: o.From.Address},
	})
}

// Check connects, and logs in where a login is set; its findings are those of an
// account.
func (r *Relay) Check(ctx context.Context) []channel.Finding {
	if r.bad != nil {
		return []channel.Finding{{Code: "invalid", Severity: channel.SeverityError, Text: oneLine(r.bad.Error(), nil)}}
	}
	findings, f := r.mailer.check(ctx, r.opts.From.Address)
	r.report(f)
	return findings
}

func (r *Relay) report(f *failure) {
	if r.opts.Report == nil {
		return
	}
	now := time.Now()
	if f == nil {
		r.opts.Report(channel.Status{State: channel.StateLive, LastSeen: now})
		return
	}
	if st, ok := f.status(now); ok {
		r.opts.Report(st)
	}
}

// String returns the relay's address.
func (r *Relay) String() string {
	return string(KindRelay) + " " + r.mailer.link.server.address()
}

// Format prints r without its login, whatever the verb.
func (r *Relay) Format(f fmt.State, _ rune) { fmt.Fprint(f, r.String()) }
