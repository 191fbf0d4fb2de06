package channel

import (
	"encoding/json"
	"log/slog"
	"maps"
)

// Credentials are an account's secrets by name. They print, log and marshal as
// "[redacted]"; only Get, Reveal and the engine's sealed storage see them. The
// zero value is empty. Immutable, so safe for concurrent use.
//
// The secrets stand behind a function because fmt prints the fields of
// unexported struct fields without asking their String method.
type Credentials struct{ secrets func() map[string]string }

const redacted = "[redacted]"

// NewCredentials returns credentials holding a copy of secrets.
func NewCredentials(secrets map[string]string) Credentials {
	if len(secrets) == 0 {
		return Credentials{}
	}
	own := maps.Clone(secrets)
	return Credentials{secrets: func() map[string]string { return own }}
}

// Get returns the secret with the given name, or "".
func (c Credentials) Get(name string) string {
	if c.secrets == nil {
		return ""
	}
	return c.secrets()[name]
}

// Empty reports whether there is no secret.
func (c Credentials) Empty() bool { return c.secrets == nil }

// Reveal returns a copy of all secrets, for sealing.
func (c Credentials) Reveal() map[string]string {
	if c.secrets == nil {
		return nil
	}
	return maps.Clone(c.secrets())
}

// String returns "[redacted]".
func (c Credentials) String() string { return redacted }

// GoString returns "[redacted]".
func (c Credentials) GoString() string { return redacted }

// LogValue returns "[redacted]".
func (c Credentials) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalJSON returns "[redacted]".
func (c Credentials) MarshalJSON() ([]byte, error) { return json.Marshal(redacted) }
