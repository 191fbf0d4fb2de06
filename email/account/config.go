package account

import (
	"encoding/json"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// Kind is the kind of channels made by [Connector].
const Kind channel.Kind = "email.account"

// Security says how a connection is protected.
type Security string

// Values of Security.
const (
	TLS      Security = "tls"      // TLS from the first byte (RFC 8314), usually port 465
	STARTTLS Security = "starttls" // clear text at first, then TLS or nothing; usually port 587
	None     Security = "none"     // clear text; see [Server].Insecure
	// Opportunistic is for a [Relay] only: STARTTLS if the server offers it,
	// clear text if it does not. Who stands in between can take the offer
	// away, so it protects against listeners only.
	Opportunistic Security = "opportunistic"
)

// Auth says how an account logs in.
type Auth string

// Values of Auth.
const (
	AuthPassword Auth = "password" // PLAIN or LOGIN; the default
	AuthOAuth2   Auth = "oauth2"   // XOAUTH2 or OAUTHBEARER; see [Connector].TokenSource
	AuthNone     Auth = "none"     // not at all, for servers that know us by our network
)

// Server is where and how to connect.
type Server struct {
	Host string `json:"host"`
	// Port; 0 means 465 for TLS and 587 otherwise, for IMAP 993 and 143.
	Port int `json:"port,omitempty"`
	// Security; empty means STARTTLS on ports other than 465 (IMAP: 993),
	// else TLS.
	Security Security `json:"security,omitempty"`
	// Insecure allows Security None for a server that is not on this
	// machine. The password then crosses the network in clear.
	Insecure bool `json:"insecure,omitempty"`
}

// service is what is spoken with a server.
type service struct {
	name  string
	tls   int // the port on which TLS comes first
	clear int // the port on which STARTTLS is usual
}

func smtpService() service { return service{"SMTP", 465, 587} }
func imapService() service { return service{"IMAP", 993, 143} }

func (s Server) withDefaults(v service) Server {
	s.Host = strings.TrimSpace(s.Host)
	if s.Security == "" {
		s.Security = STARTTLS
		if s.Port == 0 || s.Port == v.tls {
			s.Security = TLS
		}
	}
	if s.Port == 0 {
		s.Port = v.clear
		if s.Security == TLS {
			s.Port = v.tls
		}
	}
	return s
}

// validate checks s, whose defaults are filled in. field is what the caller
// calls it.
func (s Server) validate(field string, v service) error {
	switch {
	case s.Host == "":
		return channel.BadField(field+".host", "is missing; give the provider's %s server, such as %s.example.com", v.name, strings.ToLower(v.name))
	case !isHostName(s.Host):
		return channel.BadField(field+".host", "%q is no host name or IP address; give it without scheme and port", s.Host)
	case s.Port < 1 || s.Port > 65535:
		return channel.BadField(field+".port", "must be from 1 to 65535; usual are %d and %d", v.tls, v.clear)
	}
	switch s.Security {
	case TLS, STARTTLS:
		return nil
	case None:
		if !isLoopback(s.Host) && !s.Insecure {
			return channel.BadField(field+".security",
				"none would send everything in clear to another machine; choose tls or starttls, or set insecure if that is really meant")
		}
		return nil
	}
	return channel.BadField(field+".security", "must be tls, starttls or none")
}

func (s Server) address() string { return net.JoinHostPort(s.Host, strconv.Itoa(s.Port)) }

// isLoopback reports whether host is surely this machine.
func isLoopback(host string) bool {
	if strings.EqualFold(strings.TrimSuffix(host, "."), "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// isHostName is lenient: it keeps out what would break a command or an
// address, not every name that DNS would refuse.
func isHostName(s string) bool {
	if _, err := netip.ParseAddr(s); err == nil {
		return true
	}
	return len(s) <= 253 && s != "" && !strings.ContainsFunc(s, func(r rune) bool {
		return r <= ' ' || r == 0x7f || strings.ContainsRune(`/:@<>"\[],;()%`, r)
	})
}

// Reports says of what an account asks to be told, where its server offers it
// (RFC 3461).
type Reports string

// Values of Reports.
const (
	// ReportFailures asks for what could not be delivered, or is late; the default.
	ReportFailures Reports = "failures"
	// ReportAll asks for deliveries as well, so that a message becomes delivered
	// for each recipient of whom a report comes. Each is a mail to the account
	// that lies in its mailbox, where people see it; taken in by IMAP or by a
	// forward it is news of its message, and never a ticket. What was passed on
	// to a server that sends no reports, as most do not, stays sent, and the
	// delivery's detail has that server's words.
	ReportAll Reports = "all"
)

// Account is the configuration of one mailbox: a [channel.Config] of kind
// [Kind]. It prints and marshals without its password; unmarshalling reads one.
type Account struct {
	// Address is the mailbox's address. All mail of the account leaves with
	// it as envelope sender, since providers insist on that.
	Address string `json:"address"`
	// Name is the display name. Empty means the address.
	Name string `json:"name,omitempty"`
	// Username to log in with. Empty means the address.
	Username string `json:"username,omitempty"`
	// Password goes to the account's credentials, never to its Config.
	Password string `json:"password,omitempty"`
	// Auth; empty means AuthPassword.
	Auth Auth `json:"auth,omitempty"`

	// Reports; empty means ReportFailures. What is automatic asks for none.
	Reports Reports `json:"reports,omitempty"`

	SMTP Server `json:"smtp"`
	IMAP *IMAP  `json:"imap,omitempty"`
	// ForwardedTo is the hosted mailbox to which the mail server forwards the
	// account's mail. Empty, and without IMAP: the account only sends.
	ForwardedTo channel.ID `json:"forwarded_to,omitempty"`
}

// secretPassword names the password in the credentials.
const secretPassword = "password"

// Account validates a and returns the account to save. A bad value is a
// [*channel.FieldError] whose field is named as in JSON: "smtp.port".
func (a Account) Account() (channel.Account, error) {
	a = a.withDefaults()
	if err := a.validate(); err != nil {
		return channel.Account{}, err
	}
	saved := a
	// What stands elsewhere in the account must not stand here too.
	saved.Name, saved.Password, saved.ForwardedTo = "", "", ""
	config, err := json.Marshal(saved)
	if err != nil {
		return channel.Account{}, fmt.Errorf("account: encode configuration: %w", err)
	}
	out := channel.Account{Kind: Kind, Name: a.Name, Config: config, ReceivesVia: a.ForwardedTo}
	if a.Password != "" {
		out.Credentials = channel.NewCredentials(map[string]string{secretPassword: a.Password})
	}
	return out, nil
}

// Load is the reverse of [Account.Account]: it returns the configuration of a
// saved account, password included.
func Load(acct channel.Account) (Account, error) {
	if acct.Kind != Kind {
		return Account{}, channel.BadField("kind", "is %q, not %q", acct.Kind, Kind)
	}
	var a Account
	if err := json.Unmarshal(acct.Config, &a); err != nil {
		return Account{}, channel.BadField("config", "is not the configuration of a mail account")
	}
	a.Name, a.ForwardedTo = acct.Name, acct.ReceivesVia
	a.Password = acct.Credentials.Get(secretPassword)
	a = a.withDefaults()
	return a, a.validate()
}

func (a Account) withDefaults() Account {
	a.Address = strings.TrimSpace(a.Address)
	if a.Auth == "" {
		a.Auth = AuthPassword
	}
	if a.Username == "" {
		a.Username = a.Address
	}
	if a.Name == "" {
		a.Name = a.Address
	}
	a.SMTP = a.SMTP.withDefaults(smtpService())
	if a.IMAP != nil {
		in := a.IMAP.withDefaults()
		a.IMAP = &in
	}
	return a
}

func (a Account) validate() error {
	if err := checkAddress(a.Address); err != nil {
		return channel.BadField("address", "%s", err)
	}
	for _, f := range []struct{ name, value string }{
		{"name", a.Name}, {"username", a.Username}, {"password", a.Password},
	} {
		// NUL divides the parts of AUTH PLAIN, and line breaks divide
		// commands and header fields.
		if strings.ContainsAny(f.value, "\x00\r\n") || len(f.value) > 1000 {
			return channel.BadField(f.name, "must be one line of at most 1000 bytes")
		}
	}
	switch a.Auth {
	case AuthPassword:
		if a.Password == "" {
			return channel.BadField("password", "is missing")
		}
	case AuthOAuth2:
		if strings.Contains(a.Username, "\x01") {
			return channel.BadField("username", "has a control character")
		}
	case AuthNone:
	default:
		return channel.BadField("auth", "must be password, oauth2 or none")
	}
	switch a.Reports {
	case "", ReportFailures, ReportAll:
	default:
		return channel.BadField("reports", "must be failures or all")
	}
	if err := a.SMTP.validate("smtp", smtpService()); err != nil {
		return err
	}
	if a.IMAP != nil {
		return a.IMAP.validate("imap")
	}
	return nil
}

// String returns the address: an account prints without its password.
func (a Account) String() string { return string(Kind) + " " + a.Address }

// Format prints a without its password, whatever the verb.
func (a Account) Format(f fmt.State, _ rune) { fmt.Fprint(f, a.String()) }

// LogValue returns the address.
func (a Account) LogValue() slog.Value { return slog.StringValue(a.String()) }

// MarshalJSON leaves the password out.
func (a Account) MarshalJSON() ([]byte, error) {
	type plain Account
	a.Password = ""
	return json.Marshal(plain(a))
}
