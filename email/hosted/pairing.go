package hosted

import (
	"strings"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// trailFields are left by forwarders and name the address that a mail was
// forwarded from, the most telling first.
var trailFields = [...]string{
	"X-Forwarded-For", "Resent-From", "X-Original-To", "X-Envelope-To", "Envelope-To",
	"Delivered-To", "X-Original-Recipient",
}

// maxTrail bounds how many addresses of a mail are compared.
const maxTrail = 200

// pairing returns the paired account from which a mail to the mailbox's plain
// address was forwarded, as far as its headers show, or nil. They choose the
// address to answer from and prove nothing.
func (b *box) pairing(m *email.Mail, env channel.Envelope) *channel.Forward {
	if len(b.forwards) == 0 {
		return nil
	}
	accounts := make(map[string]*channel.Forward, len(b.forwards))
	for i := range b.forwards {
		if addr := email.NormalizeAddress(b.forwards[i].Address); addr != "" && addr != b.address {
			accounts[addr] = &b.forwards[i]
		}
	}
	if c := m.Confirmation; c != nil {
		// The question whether to forward comes before anything is forwarded.
		return accounts[email.NormalizeAddress(c.Address)]
	}
	left := maxTrail
	match := func(addr string) *channel.Forward {
		if left--; left < 0 {
			return nil
		}
		return accounts[email.NormalizeAddress(addr)]
	}
	for _, field := range trailFields {
		for _, v := range m.Header.Values(field) {
			for _, addr := range addressesIn(v) {
				if f := match(addr); f != nil {
					return f
				}
			}
		}
	}
	for _, path := range []string{env.From, m.ReturnPath} {
		if addr, ok := gmailForwarder(path); ok {
			if f := match(addr); f != nil {
				return f
			}
		}
	}
	var found *channel.Forward
	for _, parties := range [][]channel.Party{m.To, m.Cc} {
		for _, p := range parties {
			if email.NormalizeAddress(p.Address) == b.address {
				return nil // it was written to us
			}
			if f := match(p.Address); f != nil && found == nil {
				found = f
			}
		}
	}
	return found
}

// addressesIn returns the words of a field that look like addresses.
func addressesIn(value string) []string {
	words := strings.FieldsFunc(value, func(r rune) bool {
		return r <= ' ' || strings.ContainsRune(",;<>()\"", r)
	})
	out := words[:0]
	for _, w := range words {
		if at := strings.IndexByte(w, '@'); at > 0 && at < len(w)-1 {
			out = append(out, w)
		}
	}
	return out
}

// gmailForwarder returns whose mail Gmail forwarded with a reverse-path such as
// user+caf_=support=help.example.com@gmail.com.
func gmailForwarder(path string) (string, bool) {
	at := strings.LastIndexByte(path, '@')
	if at < 0 {
		return "", false
	}
	user, _, ok := strings.Cut(path[:at], "+caf_=")
	return user + path[at:], ok && user != ""
}
