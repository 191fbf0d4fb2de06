package channel

import "time"

// State says how a channel is.
type State string

// States of a channel.
const (
	StateConnecting         State = "connecting"
	StateLive               State = "live"
	StateDegraded           State = "degraded"            // trouble; tries again by itself
	StateNeedsAuthorization State = "needs_authorization" // a person must renew the credentials
	StateInactive           State = "inactive"            // switched off
)

// Status is how a channel is, and since when.
type Status struct {
	State    State
	Since    time.Time // zero in a report: the engine fills it when State changes
	Reason   string    // for people; no secrets
	LastSeen time.Time // the last time the source was heard
	NextTry  time.Time // when degraded
}

// Severity of a finding.
type Severity string

// Severities.
const (
	SeverityOK      Severity = "ok"
	SeverityWarning Severity = "warning"
	SeverityError   Severity = "error"
)

// CodeForwardingConfirmation is the code of a finding that asks a person to
// confirm a forwarding at the provider; its Data has "code" and "link". It is of no
// more use once something has come through the forwarding.
const CodeForwardingConfirmation = "forwarding_confirmation"

// Finding is one result of a check.
type Finding struct {
	Code     string            `json:"code"` // "dns", "connect", "tls", "login", "scope_missing" ...
	Severity Severity          `json:"severity"`
	Text     string            `json:"text"`
	Fix      string            `json:"fix,omitempty"`
	Data     map[string]string `json:"data,omitempty"` // "code" and "link" of a confirmation, say
}
