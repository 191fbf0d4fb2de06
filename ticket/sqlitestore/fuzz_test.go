package sqlitestore

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/scaletest"
)

// FuzzSearch looks for anything: no query is an error, and what is found of a
// word by that word stays found.
func FuzzSearch(f *testing.F) {
	b := setup(f)
	s := b.Portal("main")
	t := scaletest.Intake(1)
	require.NoError(f, s.Commit(f.Context(), t))
	for _, seed := range []string{"parcel", `"parcel" OR x`, "NEAR(a b)", "*", "\x00", `"`, "search:parcel", "đ", "\xff"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		list, _, err := s.Tickets(t.Context(), ticket.TicketFilter{Terms: []string{text}}, ticket.Page{})
		require.NoError(t, err)
		for _, word := range ticket.Terms(text) {
			if strings.HasPrefix("parcel", word) && //nolint:gocritic // the word is the prefix
				len(ticket.Terms(text)) == 1 {
				require.Len(t, list, 1)
			}
		}
	})
}

func TestAQueryMayHaveManyTerms(t *testing.T) {
	t.Parallel()
	s := setup(t).Portal("main")
	var words []string
	for i := range 2000 {
		words = append(words, fmt.Sprintf("word%d", i))
	}
	c := &ticket.Changes{
		Tickets:  []*ticket.Ticket{{ID: "t"}},
		Messages: []*ticket.Message{{ID: "m", Ticket: "t", Search: strings.Join(words, " ")}},
	}
	require.NoError(t, s.Commit(t.Context(), c))
	for _, n := range []int{1, 100, 2000} {
		list, _, err := s.Tickets(t.Context(), ticket.TicketFilter{Terms: words[:n]}, ticket.Page{})
		require.NoError(t, err, n)
		require.Len(t, list, 1)
		list, _, err = s.Tickets(t.Context(), ticket.TicketFilter{Terms: append([]string{"absent"}, words[:n]...)}, ticket.Page{})
		require.NoError(t, err, n)
		require.Empty(t, list)
	}
}

func TestATermOfManyLettersIsNoError(t *testing.T) {
	t.Parallel()
	s := setup(t).Portal("main")
	require.NoError(t, s.Commit(t.Context(), scaletest.Intake(1)))
	_, _, err := s.Tickets(t.Context(), ticket.TicketFilter{Terms: []string{strings.Repeat("x", 1<<20)}}, ticket.Page{})
	require.NotErrorIs(t, err, ticket.ErrBadCursor)
	require.NoError(t, err)
}
