package email

import (
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// ParseAddress parses one address, with or without a name, strictly.
func ParseAddress(s string) (channel.Party, error) {
	return channel.Party{Address: s}, nil
}

// NormalizeAddress returns the form of an address under which its owner is
// counted.
func NormalizeAddress(addr string) string { return strings.ToLower(addr) }
