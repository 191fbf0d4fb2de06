package sqlitestore

import (
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
)

// mixed writes runs of tickets with a message each, in the order in which they are
// given, which need not be that of their ids. Every n-th has the word.
func mixed(t *testing.T, s ticket.Store, runs ...run) {
	t.Helper()
	for _, r := range runs {
		for at := r.from; at < r.to; at += 1000 {
			c := &ticket.Changes{At: benchNow}
			for i := at; i < min(at+1000, r.to); i++ {
				id := fmt.Sprintf("%08d", i)
				m := &ticket.Message{ID: ticket.MessageID(fmt.Sprint(i, "/", r)), Ticket: ticket.TicketID(id), Search: "other"}
				if r.every > 0 && i%r.every == 0 {
					m.Search = "word"
				}
				c.Tickets = append(c.Tickets, &ticket.Ticket{ID: ticket.TicketID(id), Status: ticket.Open})
				c.Messages = append(c.Messages, m)
			}
			require.NoError(t, s.Commit(t.Context(), c))
		}
	}
}

type run struct{ from, to, every int }

// TestSearchesFillPagesWhateverOrderMessagesCameIn holds what is more than a store's
// promise: where messages lie in another order than their tickets, as they do after
// an import, pages are full all the same.
func TestSearchesFillPagesWhateverOrderMessagesCameIn(t *testing.T) {
	t.Parallel()
	for name, runs := range map[string][]run{
		"newer tickets came before older ones":         {{10_000, 11_000, 0}, {0, 2000, 2}},
		"newer tickets came between older ones":        {{0, 1000, 2}, {10_000, 11_000, 0}, {2000, 3000, 3}},
		"history came after tickets that rarely match": {{10_000, 12_000, 200}, {0, 2000, 2}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.search = searchBounds{messages: 16, first: 8, largest: 64, all: 256, words: 256, gathered: 10_000, nearby: 16, apart: 64}
			s := b.Portal("main")
			mixed(t, s, runs...)
			var want []ticket.TicketID
			for i := 12_000; i >= 0; i-- {
				for _, r := range runs {
					if i >= r.from && i < r.to && r.every > 0 && i%r.every == 0 {
						want = append(want, ticket.TicketID(fmt.Sprintf("%08d", i)))
					}
				}
			}
			var got []ticket.TicketID
			p := ticket.Page{Limit: 4}
			for len(got) < 80 {
				list, next, err := s.Tickets(t.Context(), ticket.TicketFilter{Terms: []string{"word"}}, p)
				require.NoError(t, err)
				require.Len(t, list, p.Limit)
				for _, v := range list {
					got = append(got, v.ID)
				}
				p.After = next
			}
			require.Equal(t, want[:len(got)], got)
		})
	}
}
