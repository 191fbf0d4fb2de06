package hosted

import (
	"encoding/json"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"github.com/anteroom/anteroom/channel"
)

// Kind is the kind of hosted mailboxes.
const Kind channel.Kind = "email.hosted"

// forwardPrefix begins the local part of the addresses to which other accounts'
// mail is forwarded. No mailbox may take one.
const forwardPrefix = "fwd-"

// Mailbox is the configuration of a hosted mailbox. It is receive only.
type Mailbox struct {
	// LocalPart is what stands before the at sign: letters, digits, and
	// single dots, hyphens and underscores within. At most 64 characters
	// (RFC 5321 section 4.5.3.1.1). It is kept in lower case.
	LocalPart string `json:"local_part"`
	// Domain is what stands after it. Empty means the domain of the portal,
	// see [Server]. Another portal's domain is refused.
	Domain string `json:"domain,omitempty"`
	// Name is the display name.
	Name string `json:"-"`
}

// Account returns the account to save. The error is a *channel.FieldError for
// "local_part" or "domain".
func (m Mailbox) Account() (channel.Account, error) {
	local, err := checkLocalPart(m.LocalPart)
	if err != nil {
		return channel.Account{}, err
	}
	domain := ""
	if strings.TrimSpace(m.Domain) != "" {
		if domain, err = checkDomain(m.Domain); err != nil {
			return channel.Account{}, err
		}
	}
	config, err := json.Marshal(Mailbox{LocalPart: local, Domain: domain})
	if err != nil {
		return channel.Account{}, err
	}
	return channel.Account{Kind: Kind, Name: m.Name, Config: config}, nil
}

func checkLocalPart(s string) (string, error) {
	bad := func(problem string) (string, error) {
		return "", channel.BadField("local_part", "%s", problem)
	}
	local := strings.ToLower(strings.TrimSpace(s))
	switch {
	case local == "":
		return bad("is empty: give the part of the address before the @")
	case len(local) > 64:
		return bad("is too long: at most 64 characters")
	case strings.Contains(local, "@"):
		return bad("must not contain an @: give only the part before it")
	case strings.Contains(local, "+"):
		return bad("must not contain a +: what follows a + is ignored in recipients")
	}
	for i, r := range local {
		switch {
		case r >= 'a' && r <= 'z', r >= '0' && r <= '9':
		case r != '.' && r != '-' && r != '_':
			return bad("may only have letters a to z, digits, dots, hyphens and underscores")
		case i == 0 || i == len(local)-1:
			return bad("must begin and end with a letter or digit")
		case r == '.' && local[i-1] == '.':
			return bad("must not have two dots in a row")
		}
	}
	if reserved(local) {
		return bad("is reserved: choose another")
	}
	return local, nil
}

// reserved reports whether a local part means something else to mail software
// (RFC 2142, RFC 3834 section 2) or to us: mail from such an address would never
// be answered.
func reserved(local string) bool {
	plain := strings.NewReplacer("-", "", "_", "", ".", "").Replace(local)
	return strings.HasPrefix(local, forwardPrefix) ||
		slices.Contains([]string{
			"postmaster", "abuse", "hostmaster", "mailerdaemon", "noreply", "donotreply",
			"bounce", "bounces", "daemon", "root", "wwwdata", "listserv", "majordomo",
		}, plain)
}

func checkDomain(s string) (string, error) {
	domain := normalizeDomain(s)
	labels := strings.Split(domain, ".")
	ok := domain != "" && len(domain) <= 253
	for _, label := range labels {
		ok = ok && label != "" && len(label) <= 63 &&
			strings.Trim(label, "abcdefghijklmnopqrstuvwxyz0123456789-") == "" &&
			label[0] != '-' && label[len(label)-1] != '-'
	}
	if !ok {
		return "", channel.BadField("domain", "is not a mail domain, such as help.example.com")
	}
	return domain, nil
}

// normalizeDomain returns the form in which domains are compared: lower case,
// ASCII, no final dot.
func normalizeDomain(s string) string {
	s = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(s), "."))
	for i := range len(s) {
		if s[i] >= 0x80 {
			if a, err := idna.Lookup.ToASCII(s); err == nil {
				return a
			}
			return s
		}
	}
	return s
}

// splitAddress returns the parts of a recipient in the form in which they are
// compared: lower case, without +tag. It reports false for what is no address.
func splitAddress(addr string) (local, domain string, ok bool) {
	at := strings.LastIndexByte(addr, '@')
	if at <= 0 || at == len(addr)-1 {
		return "", "", false
	}
	local, domain = strings.ToLower(addr[:at]), normalizeDomain(addr[at+1:])
	if plus := strings.IndexByte(local, '+'); plus > 0 {
		local = local[:plus]
	}
	return local, domain, true
}
