package account

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"golang.org/x/net/idna"

	"github.com/anteroom/anteroom/channel"
)

// checkAddress holds an address against what a command line can carry. Which
// addresses exist is for the server to say.
func checkAddress(addr string) error {
	local, domain, ok := cutAddress(addr)
	switch {
	case addr == "":
		return errors.New("is missing")
	case !ok || local == "" || domain == "":
		return errors.New("is no mail address")
	case len(addr) > 254: // RFC 5321 section 4.5.3.1.3
		return errors.New("is longer than 254 bytes")
	case strings.ContainsFunc(addr, func(r rune) bool {
		return r <= ' ' || r == 0x7f || (r >= 0x80 && r < 0xa0) || r == '<' || r == '>' || r == 0xfffd
	}):
		return errors.New("has a character that no address can have")
	}
	return nil
}

func cutAddress(addr string) (local, domain string, ok bool) {
	i := strings.LastIndexByte(addr, '@')
	if i < 0 {
		return "", "", false
	}
	return addr[:i], addr[i+1:], true
}

// wireAddress returns addr as it goes into a command: an international domain
// in its ASCII form, which every server understands.
func wireAddress(addr string) (string, error) {
	if err := checkAddress(addr); err != nil {
		return "", err
	}
	local, domain, _ := cutAddress(addr)
	if !isASCII(domain) {
		a, err := idna.Lookup.ToASCII(domain)
		if err != nil {
			return "", errors.New("has a domain that is not valid")
		}
		domain = a
	}
	return local + "@" + domain, nil
}

// recipient is one address that a message is for.
type recipient struct {
	address string // as the caller wrote it: what receipts call it
	wire    string
}

// recipientsOf returns whom out is still to be sent to, each once.
func recipientsOf(out *channel.Outbound) ([]recipient, error) {
	var all []recipient
	seen := map[string]bool{}
	for _, taken := range out.Taken {
		seen[strings.ToLower(taken)] = true
	}
	for _, list := range []struct {
		field   string
		parties []channel.Party
	}{{"to", out.To}, {"cc", out.Cc}, {"bcc", out.Bcc}} {
		for _, p := range list.parties {
			wire, err := wireAddress(p.Address)
			if err != nil {
				return nil, channel.BadField(list.field, "%q %s", oneLine(p.Address, nil), err)
			}
			if key := strings.ToLower(p.Address); !seen[key] {
				seen[key] = true
				all = append(all, recipient{p.Address, wire})
			}
		}
	}
	if len(all) == 0 && !slices.ContainsFunc([][]channel.Party{out.To, out.Cc, out.Bcc},
		func(ps []channel.Party) bool { return len(ps) > 0 }) {
		return nil, fmt.Errorf("account: %w", channel.BadField("to", "there is no recipient"))
	}
	return all, nil
}
