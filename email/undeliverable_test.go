package email_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email"
)

func TestARefusalSaysWhetherTheAddressExists(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		status, text string
		gone         bool
	}{
		{"5.1.1", "550 5.1.1 The email account that you tried to reach does not exist", true},
		{"", "550 5.1.1 no such user", true},
		{"", "Sorry, no mailbox here by that name. (#5.1.1)", true},
		{"", "550 no such user here", true},
		{"5.0.0", "553 sorry, that domain isn't allowed", true},
		{"", "550 5.5.0 Requested action not taken: mailbox unavailable", true},
		{"5.1.2", "Host or domain name not found", true},
		{"5.1.10", "the domain takes no mail", true},
		{"5.4.4", "Host or domain name not found", true},
		{"5.4.310", "DNS domain does not exist", true},
		{"5.2.1", "550 5.2.1 The email account that you tried to reach is inactive", true},
		{"5.4.1", "550 5.4.1 Recipient address rejected: Access denied", true},
		{"5.4.1", "550 5.4.1 no answer from host", false},
		{"5.2.1", "550 5.2.1 The user is receiving mail at a rate that prevents it", false},
		{"5.2.2", "552 5.2.2 mailbox full", false},
		{"5.2.2", "mailbox over quota", false},
		{"5.3.4", "552 message too large", false},
		{"5.7.1", "550 5.7.1 message rejected", false},
		{"", "550 your message looks like spam", false},
		{"5.0.0", "550 blocked by our policy", false},
		{"5.1.0", "550 5.1.0 rejected: listed at Spamhaus", false},
		{"", "554 transaction failed", false},
		{"5.1.8", "553 5.1.8 sender's domain does not exist", false},
		{"4.1.1", "450 4.1.1 later", false},
		{"", "450 later", false},
		{"", "", false},
		{"nonsense", "550 5.1.1 gone", true},
	} {
		require.Equal(t, c.gone, email.Undeliverable(c.status, c.text), "%q %q", c.status, c.text)
	}
}
