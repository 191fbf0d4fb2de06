package account

import (
	"context"
	"crypto/tls"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/oauth2"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// Connector opens mail accounts. The zero value works; its fields must not
// change once it is in use.
type Connector struct {
	// TLS is the base of every TLS configuration: trusted authorities, and
	// what else a host wants. ServerName is filled in. Nil means the
	// system's authorities and TLS 1.2 or later.
	TLS *tls.Config
	// TokenSource returns where the access tokens of an account with
	// AuthOAuth2 come from. It is called for each login: keep the source, so
	// that tokens are reused, and do not tie it to ctx. Renewed refresh
	// tokens must be saved before they are used. Nil: such accounts are refused.
	TokenSource func(ctx context.Context, acct channel.Account) (oauth2.TokenSource, error)
	// HelloName is what to call ourselves in EHLO, a full host name. Empty
	// means this machine's, or its address.
	HelloName string
	Timeouts  Timeouts
	// Receiving is about accounts that receive by IMAP.
	Receiving Receiving
}

var _ channel.Connector = (*Connector)(nil)

// Kind returns [Kind].
func (c Connector) Kind() channel.Kind { return Kind }

// Open validates the account and returns its channel, a [channel.Sender] and
// [channel.Checker]; if it has IMAP a [channel.Receiver] and [channel.Finder], too, and
// a [channel.Filer] if it is to put copies into the Sent folder (see [IMAP].Sent).
func (c Connector) Open(_ context.Context, acct channel.Account, env channel.Env) (channel.Channel, error) {
	conf, err := Load(acct)
	if err != nil {
		return nil, err
	}
	if conf.Auth == AuthOAuth2 && c.TokenSource == nil {
		return nil, channel.BadField("auth", "oauth2 is not set up in this installation; use a password")
	}
	if c.HelloName != "" && !isHelloName(c.HelloName) {
		return nil, channel.BadField("hello_name", "%q is no host name", c.HelloName)
	}
	m := &mailbox{conf: conf, info: infoOf(acct, conf), env: env}
	m.mailer = mailer{
		link: link{
			server: conf.SMTP, tls: c.TLS, hello: c.HelloName,
			timeouts: c.Timeouts.withDefaults(), dial: env.Dial,
		},
		login: login{
			auth: conf.Auth, username: conf.Username, password: conf.Password,
			tokens: &tokens{source: func(ctx context.Context) (oauth2.TokenSource, error) {
				src, err := c.TokenSource(ctx, acct)
				if err == nil && src == nil {
					err = fmt.Errorf("account: no token source for channel %s", acct.ID)
				}
				return src, err
			}},
		},
		report: m.report,
	}
	// The channel keeps it in the login, where nothing prints it.
	m.conf.Password = ""
	if conf.IMAP == nil {
		return m, nil
	}
	r := &receivingMailbox{mailbox: m, link: imapLink{
		server: conf.IMAP.Server, tls: c.TLS, connect: m.mailer.link.timeouts.Connect,
		pace: c.Receiving.withDefaults(), dial: env.Dial, login: m.mailer.login,
		muted: &atomic.Bool{},
	}}
	if conf.IMAP.files() == sentAppend {
		return &filingMailbox{r}, nil
	}
	return r, nil
}

func isHelloName(s string) bool {
	return isHostName(s) || (len(s) > 2 && s[0] == '[' && s[len(s)-1] == ']' && isASCII(s) && len(oneLine(s, nil)) == len(s))
}

func infoOf(acct channel.Account, conf Account) channel.Info {
	return channel.Info{
		ID: acct.ID, Kind: Kind, Name: conf.Name, Address: conf.Address, Scheme: "mailto",
		CanSend: true, CanStart: true, CanReceive: acct.ReceivesVia != "" || conf.IMAP != nil,
		Exclusive: conf.IMAP != nil, Mail: true,
		SelfAddressed: conf.IMAP != nil && conf.IMAP.Folder == "INBOX",
	}
}

// mailbox is one opened account. It keeps no connection between messages that
// it sends.
type mailbox struct {
	conf   Account
	info   channel.Info
	env    channel.Env
	mailer mailer
	board  board
}

var (
	_ channel.Sender  = (*mailbox)(nil)
	_ channel.Checker = (*mailbox)(nil)
)

// Info says who the account is.
func (m *mailbox) Info() channel.Info { return m.info }

// String keeps the login out of what prints a channel.
func (m *mailbox) String() string { return m.conf.String() }

// Format prints m without its login, whatever the verb.
func (m *mailbox) Format(f fmt.State, _ rune) { fmt.Fprint(f, m.String()) }

// Send submits one mail. The envelope sender is always the account's address,
// also for automatic replies: providers take no other.
func (m *mailbox) Send(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
	return m.mailer.send(ctx, m.outgoing(out))
}

// outgoing is how the account's mails are made.
func (m *mailbox) outgoing(out *channel.Outbound) outgoing {
	o := *out
	if o.From.Address == "" {
		o.From = channel.Party{Name: o.From.Name, Address: m.conf.Address}
		if o.From.Name == "" && m.info.Name != m.conf.Address {
			o.From.Name = m.info.Name
		}
	}
	_, domain, _ := cutAddress(m.conf.Address)
	return outgoing{
		from: m.conf.Address, outbound: &o, reports: m.conf.Reports,
		compose: email.ComposeOptions{Domain: domain, XLoop: m.conf.Address},
	}
}

// report turns the end of a login into the channel's status.
func (m *mailbox) report(f *failure) {
	if f == nil {
		m.board.put(m.env, sending, channel.Status{State: channel.StateLive, LastSeen: m.env.Now()})
		return
	}
	if st, ok := f.status(m.env.Now()); ok {
		m.board.put(m.env, sending, st)
	}
}

// status returns what f says about the channel; false if nothing, because it
// was we who broke off.
func (f *failure) status(now time.Time) (channel.Status, bool) {
	switch {
	case f.code == "interrupted":
		return channel.Status{}, false
	case f.authorization:
		return channel.Status{State: channel.StateNeedsAuthorization, Reason: f.text}, true
	}
	return channel.Status{State: channel.StateDegraded, Reason: f.text, NextTry: now.Add(retryConnect)}, true
}
