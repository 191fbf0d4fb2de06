package memstore

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
)

func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add(string(place{"tickets", -5, "019ca000"}.next()))
	f.Add("dGlja2V0cyAxIHg")
	f.Add("dGlja2V0cw")
	f.Fuzz(func(t *testing.T, s string) {
		p, ok, err := parsePlace(ticket.Next(s), "tickets")
		if err != nil {
			require.ErrorIs(t, err, ticket.ErrBadCursor)
			return
		}
		if ok {
			again, ok, err := parsePlace(p.next(), "tickets")
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, p, again)
		}
	})
}
