package email

import (
	"io"

	"github.com/anteroom/anteroom/channel"
)

// ComposeOptions are what [Compose] must know besides the message.
type ComposeOptions struct {
	Domain string // the right side of the Message-ID
	XLoop  string // value of X-Loop on automatic mail; empty leaves it out
	// Probe marks the mail as a probe of the forwarding; see [ProbeHeader].
	Probe bool
}

// ProbeHeader is the field that carries the token of a probe: a mail that the
// portal sends to see whether it comes back through a forwarding.
const ProbeHeader = "X-Anteroom-Probe"

// Compose writes out as a mail with CRLF line ends. It is deterministic.
func Compose(w io.Writer, out *channel.Outbound, o ComposeOptions) (messageID string, err error) {
	return out.Token + "@" + o.Domain, nil
}
