package driver_test

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

func FuzzCursor(f *testing.F) {
	f.Add("")
	f.Add(string(driver.Place{List: "tickets", At: -5, ID: "019ca000"}.Next()))
	f.Add("dGlja2V0cyAxIHg")
	f.Add("dGlja2V0cw")
	f.Fuzz(func(t *testing.T, s string) {
		p, ok, err := driver.ParsePlace(ticket.Next(s), "tickets")
		if err != nil {
			require.ErrorIs(t, err, ticket.ErrBadCursor)
			return
		}
		if ok {
			again, ok, err := driver.ParsePlace(p.Next(), "tickets")
			require.NoError(t, err)
			require.True(t, ok)
			require.Equal(t, p, again)
		}
	})
}
