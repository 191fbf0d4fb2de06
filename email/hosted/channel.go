package hosted

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

var (
	_ channel.Attacher  = (*Server)(nil)
	_ channel.Receiver  = (*box)(nil)
	_ channel.Forwardee = (*box)(nil)
	_ channel.Checker   = (*box)(nil)
	_ channel.Config    = Mailbox{}
)

// Kind returns [Kind].
func (s *Server) Kind() channel.Kind { return Kind }

// Open registers a mailbox and returns its channel: a [channel.Receiver], a
// [channel.Forwardee] and a [channel.Checker] that is also an io.Closer.
//
// From now on the mailbox's addresses exist: while Receive does not run, mail
// for them is answered with 450, so that senders keep it. Opening an account
// again replaces its registration with no gap. Close takes the registration
// away, after which the addresses are answered with 550: that is for a mailbox
// that is removed, or whose portal this server serves no more.
//
// A bad configuration, and an address that another account has, is a
// *channel.FieldError.
func (s *Server) Open(_ context.Context, acct channel.Account, env channel.Env) (channel.Channel, error) {
	if acct.Kind != "" && acct.Kind != Kind {
		return nil, fmt.Errorf("hosted: open account %q: its kind is %q", acct.ID, acct.Kind)
	}
	var m Mailbox
	if err := json.Unmarshal(acct.Config, &m); err != nil {
		return nil, fmt.Errorf("hosted: open account %q: read configuration: %w", acct.ID, err)
	}
	local, err := checkLocalPart(m.LocalPart)
	if err != nil {
		return nil, err
	}
	domain := s.portalDomain(env.Portal)
	if m.Domain != "" {
		if domain, err = checkDomain(m.Domain); err != nil {
			return nil, err
		}
		if s.foreignDomain(env.Portal, domain) {
			return nil, channel.BadField("domain", "is another portal's")
		}
	}
	if domain == "" {
		return nil, channel.BadField("domain", "is missing: the portal has no mail domain")
	}
	if env.Log == nil {
		env.Log = slog.New(slog.DiscardHandler)
	}
	if env.Report == nil {
		env.Report = func(channel.Status) {}
	}
	b := &box{
		server:  s,
		account: account{portal: env.Portal, id: acct.ID},
		name:    acct.Name,
		address: local + "@" + domain,
		domain:  domain,
		env:     env,
	}
	for _, f := range acct.Forwards {
		if !validToken(f.Token) {
			env.Log.Warn("hosted: a pair is left out: its token cannot stand in an address", "account", f.Channel)
			continue
		}
		b.forwards = append(b.forwards, f)
	}
	if err := s.register(b); err != nil {
		return nil, err
	}
	return b, nil
}

// box is an opened mailbox.
type box struct {
	server   *Server
	account  account
	name     string
	address  string
	domain   string
	forwards []channel.Forward
	env      channel.Env

	// Guarded by server.mu.
	sink   channel.Sink
	closed bool
}

func (b *box) Info() channel.Info {
	return channel.Info{
		ID: b.account.id, Kind: Kind, Name: b.name,
		Address:    b.address,
		Domains:    []string{b.domain},
		Scheme:     "mailto",
		CanReceive: true,
		Mail:       true,
	}
}

// Receive hands the mailbox's mail to sink until ctx ends.
func (b *box) Receive(ctx context.Context, sink channel.Sink) error {
	if sink == nil {
		return errors.New("hosted: receive: no sink")
	}
	if !b.server.receiving(b, sink) {
		return errors.New("hosted: receive: the mailbox is closed")
	}
	defer b.server.stopped(b)
	b.report(b.server.listening())
	<-ctx.Done()
	return nil
}

func (b *box) report(listening bool) {
	st := channel.Status{State: channel.StateLive}
	if !listening {
		st.State, st.Reason = channel.StateConnecting, "the mail server is not running here"
	}
	b.env.Report(st)
}

// ForwardAddress returns the address for a pair's token.
func (b *box) ForwardAddress(token string) string {
	return forwardPrefix + token + "@" + b.domain
}

// Close takes the mailbox's addresses away; see [Server.Open].
func (b *box) Close() error {
	b.server.unregister(b)
	return nil
}

// Check says whether mail can arrive.
func (b *box) Check(context.Context) []channel.Finding {
	s := b.server
	out := []channel.Finding{{Code: "listen", Severity: channel.SeverityOK, Text: "The mail server is running."}}
	if !s.listening() {
		out[0] = channel.Finding{
			Code: "listen", Severity: channel.SeverityError,
			Text: "The mail server is not running in this process.",
			Fix:  "Start it with ListenAndServe, Serve or ServeLMTP, here or on the node to which the MX record points.",
		}
	}
	if s.TLS != nil {
		out = append(out, channel.Finding{Code: "tls", Severity: channel.SeverityOK, Text: "STARTTLS is offered."})
	} else {
		out = append(out, channel.Finding{
			Code: "tls", Severity: channel.SeverityWarning,
			Text: "STARTTLS is not offered: mail arrives in clear text.",
			Fix:  "Give the mail server a certificate.",
		})
	}
	s.mu.RLock()
	reg := s.registrations[b.account]
	registered := reg != nil && !b.closed && len(reg.boxes) > 0
	receives := registered && reg.sink() != nil
	s.mu.RUnlock()
	f := channel.Finding{Code: "mailbox", Severity: channel.SeverityOK, Text: "Mail to " + b.address + " is taken in."}
	switch {
	case !registered:
		f.Severity, f.Text = channel.SeverityError, "The mailbox "+b.address+" is removed: mail to it is refused."
		f.Fix = "Connect it again."
	case !receives:
		f.Severity, f.Text = channel.SeverityWarning, "The mailbox "+b.address+" is off: senders are told to try again later."
		f.Fix = "Switch it on."
	}
	return append(out, f)
}

// own returns what is ours when a mail for t is read.
func (b *box) own(f *channel.Forward) email.Own {
	own := email.Own{Addresses: []string{b.address}, Domains: []string{b.domain}}
	if f != nil && f.Address != "" {
		own.Addresses = slices.Insert(own.Addresses, 0, f.Address)
	}
	return own
}
