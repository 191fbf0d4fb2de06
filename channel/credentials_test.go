package channel_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

const secret = "hunter2-hunter2"

type (
	exported struct {
		Name  string
		Creds channel.Credentials
	}
	unexported struct {
		name  string
		creds channel.Credentials
	}
	deep struct {
		inner  *unexported
		Public []exported
		table  map[string]channel.Credentials
		any    any
	}
)

func TestCredentialsNeverPrint(t *testing.T) {
	t.Parallel()
	c := channel.NewCredentials(map[string]string{"password": secret})
	hidden := unexported{"n", c}
	for name, v := range map[string]any{
		"value":                   c,
		"pointer":                 &c,
		"exported field":          exported{"n", c},
		"unexported field":        hidden,
		"pointer to unexported":   &hidden,
		"slice":                   []channel.Credentials{c},
		"map":                     map[string]channel.Credentials{"x": c},
		"deep":                    deep{&hidden, []exported{{"n", c}}, map[string]channel.Credentials{"x": c}, c},
		"account":                 channel.Account{ID: "c1", Credentials: c},
		"pointer to account":      &channel.Account{ID: "c1", Credentials: c},
		"error with account in %": fmt.Errorf("open %v: %w", channel.Account{Credentials: c}, errors.ErrUnsupported),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%p"} {
				silent(t, verb, fmt.Sprintf(verb, v))
			}
			silent(t, "Sprint", fmt.Sprint(v))
			p, err := json.Marshal(v)
			require.NoError(t, err)
			silent(t, "JSON", string(p))
			for _, handler := range []func(*bytes.Buffer) slog.Handler{
				func(b *bytes.Buffer) slog.Handler { return slog.NewTextHandler(b, nil) },
				func(b *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(b, nil) },
			} {
				var b bytes.Buffer
				log := slog.New(handler(&b))
				log.With("with", v).WithGroup("group").Info("message", "value", v, slog.Group("inner", "value", v))
				require.NotEmpty(t, b.String())
				silent(t, "slog", b.String())
			}
		})
	}
}

// silent wants no form of the secret in the text.
func silent(t *testing.T, how, text string) {
	t.Helper()
	for _, form := range []string{secret, fmt.Sprintf("%x", secret), fmt.Sprintf("%X", secret)} {
		require.NotContains(t, text, form, how)
	}
}

func TestCredentialsSayThatTheyAreHidden(t *testing.T) {
	t.Parallel()
	c := channel.NewCredentials(map[string]string{"password": secret})
	require.Equal(t, "[redacted]", fmt.Sprint(c))
	require.Equal(t, "{n [redacted]}", fmt.Sprint(exported{"n", c}))
	p, err := json.Marshal(exported{"n", c})
	require.NoError(t, err)
	require.JSONEq(t, `{"Name":"n","Creds":"[redacted]"}`, string(p))
	require.Equal(t, "[redacted]", fmt.Sprint(channel.Credentials{}), "whether there is a secret is not told either")
}

func TestCredentialsGiveWhatTheyHold(t *testing.T) {
	t.Parallel()
	given := map[string]string{"password": secret}
	c := channel.NewCredentials(given)
	given["password"] = "changed"
	require.Equal(t, secret, c.Get("password"), "they hold a copy")
	require.Empty(t, c.Get("token"))
	require.False(t, c.Empty())
	revealed := c.Reveal()
	require.Equal(t, map[string]string{"password": secret}, revealed)
	revealed["password"] = "changed"
	require.Equal(t, secret, c.Get("password"), "they give a copy")
}

func TestEmptyCredentialsHoldNothing(t *testing.T) {
	t.Parallel()
	for _, c := range []channel.Credentials{{}, channel.NewCredentials(nil), channel.NewCredentials(map[string]string{})} {
		require.True(t, c.Empty())
		require.Empty(t, c.Get("password"))
		require.Nil(t, c.Reveal())
	}
}
