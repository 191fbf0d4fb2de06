package sqlitestore

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

// crowd writes tickets with messages of few words, in a few commits, the same to
// each store. Some messages belong to tickets that are newer or much older.
func crowd(t *testing.T, n int, stores ...ticket.Store) {
	t.Helper()
	id := func(kind, i int) string { return fmt.Sprintf("019ca000-%04x-7000-8000-%012x", kind, i) }
	words := strings.Fields("a ab abc abd b ba bab c ca cab rare rarely được đơn")
	for at := 0; at < n; at += 100 {
		for _, s := range stores {
			rnd := rand.New(rand.NewPCG(1, uint64(at)))
			c := &ticket.Changes{At: benchNow}
			for i := at; i < at+100; i++ {
				tk := &ticket.Ticket{ID: ticket.TicketID(id(3, i*11%n)), Status: []ticket.Status{ticket.Open, ticket.Pending, ticket.Solved, ticket.Closed, "odd"}[rnd.IntN(5)],
					Channel: []channel.ID{"mail", "page"}[rnd.IntN(2)], Contact: []ticket.ContactID{"", "x", "y"}[rnd.IntN(3)], UpdatedAt: benchNow.Add(time.Duration(rnd.IntN(50)) * time.Second)}
				tk.Queue, tk.Assignee = []routing.QueueID{"", "q", "few"}[min(2, rnd.IntN(12)/5)], []routing.AgentID{"", "an"}[rnd.IntN(2)]
				if rnd.IntN(20) == 0 {
					tk.DeletedAt = benchNow
				}
				c.Tickets = append(c.Tickets, tk)
			}
			for i := at * 2; i < (at+100)*2; i++ {
				m := &ticket.Message{ID: ticket.MessageID(id(4, i)), Direction: ticket.In, State: ticket.StateReceived}
				switch rnd.IntN(12) {
				case 0:
				case 1:
					m.Ticket = ticket.TicketID(id(3, rnd.IntN(at+100)*11%n))
				default:
					m.Ticket = ticket.TicketID(id(3, i/2*11%n))
				}
				for range rnd.IntN(4) {
					m.Search += words[min(rnd.IntN(len(words)), rnd.IntN(len(words)))] + " "
				}
				if rnd.IntN(60) == 0 {
					m.Search += "rarest"
				}
				m.Search = ticket.Fold(m.Search)
				c.Messages = append(c.Messages, m)
			}
			require.NoError(t, s.Commit(t.Context(), c))
		}
	}
}

// all reads a list to its end and returns what it says of tickets and how many
// pages were shorter than they could be.
func all(t *testing.T, s ticket.Store, f ticket.TicketFilter, size int) (out []ticket.Ticket, short int) {
	t.Helper()
	p := ticket.Page{Limit: size}
	for range 10_000 {
		list, next, err := s.Tickets(t.Context(), f, p)
		require.NoError(t, err)
		require.LessOrEqual(t, len(list), size)
		for _, v := range list {
			out = append(out, *v)
		}
		if next == "" {
			return out, short
		}
		if len(list) < size {
			short++
		}
		p.After = next
	}
	t.Fatal("the list has no end")
	return nil, 0
}

func TestSearchesAgreeWhateverWayTheyAreRead(t *testing.T) {
	t.Parallel()
	const tickets = 100
	b := setup(t)
	mem := memstore.New().Portal("main")
	crowd(t, 100, b.Portal("other"))
	crowd(t, tickets, b.Portal("main"), mem)

	d := defaultSearchBounds()
	for name, bounds := range map[string]searchBounds{
		"as usual":            d,
		"sorted":              {messages: 1 << 20, first: 1, largest: 1, all: 1 << 20, few: 1 << 20, some: 1 << 20, words: 64, gathered: 1 << 20, nearby: 1, apart: 1},
		"looked at":           {messages: 4, first: 7, largest: 20, all: 1 << 20, words: 64, gathered: 1 << 20, nearby: 3, apart: 9},
		"in short pages":      {messages: 4, first: 3, largest: 4, all: 9, words: 64, gathered: 1 << 20, nearby: 200, apart: 9},
		"sorted at last":      {messages: 4, first: 5, largest: 5, all: 1 << 20, few: 3, some: 90, words: 64, gathered: 1 << 20, nearby: 3, apart: 9},
		"by beginnings":       {messages: 4, first: 7, largest: 30, all: 1 << 20, words: 1, gathered: 1 << 20, nearby: 3, apart: 9},
		"by both":             {messages: 4, first: 7, largest: 30, all: 1 << 20, words: 3, gathered: 1 << 20, nearby: 3, apart: 2},
		"by few of each":      {messages: 4, first: 7, largest: 10, all: 20, few: 10, some: 20, words: 2, gathered: 1 << 20, nearby: 0, apart: 3},
		"one after the other": {messages: 1, first: 1, largest: 1, all: 8, words: 64, gathered: 1 << 20, nearby: 0, apart: 1},
	} {
		b.search = bounds
		rnd := rand.New(rand.NewPCG(3, 4))
		short := 0
		for i := range 13 {
			f := ticket.TicketFilter{Terms: [][]string{
				{"a"}, {"ab"}, {"abc"}, {"a", "b"}, {"ab", "cab"}, {"rare"}, {"rarest"}, {"rar", "c"}, {"d"}, {"don", "a"}, {"zzz"}, {"a", "zzz"}, {"a", "ab", "abd"},
			}[i%13]}
			switch rnd.IntN(8) {
			case 0:
				f.Queue = "q"
			case 1:
				f.Queue, f.Statuses = "few", []ticket.Status{ticket.Open, "odd"}
			case 2:
				f.Statuses = []ticket.Status{ticket.Closed, ticket.Pending}
			case 3:
				f.Assignee, f.Channel = "an", "mail"
			case 4:
				f.Unassigned, f.Contact = true, "x"
			case 5:
				f.Number = int64(1 + rnd.IntN(tickets))
			}
			if rnd.IntN(2) == 0 {
				f.Order = ticket.LatestUpdate
			}
			size := 3 + rnd.IntN(30)
			want, _ := all(t, mem, f, size)
			got, n := all(t, b.Portal("main"), f, size)
			require.Equal(t, want, got, "%s: %+v", name, f)
			short += n
		}
		require.Equal(t, slices.Contains([]string{"in short pages", "by few of each", "one after the other"}, name), short > 0, name)
	}
}

func TestABeginningOfVeryManyWordsStandsForTheFirst(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.search.words, b.search.gathered = 3, 5
	c := &ticket.Changes{}
	for i, word := range strings.Fields("de dea deb dec ded ded dee") {
		id := fmt.Sprint(i)
		c.Tickets = append(c.Tickets, &ticket.Ticket{ID: ticket.TicketID(id)})
		c.Messages = append(c.Messages, &ticket.Message{ID: ticket.MessageID(id), Ticket: ticket.TicketID(id), Search: word})
	}
	require.NoError(t, b.Portal("main").Commit(t.Context(), c))
	ids := func(term string) (out []ticket.TicketID) {
		list, _ := all(t, b.Portal("main"), ticket.TicketFilter{Terms: []string{term}}, 10)
		for _, v := range list {
			out = append(out, v.ID)
		}
		return out
	}
	require.Equal(t, []ticket.TicketID{"2", "1", "0"}, ids("de"), "the word itself and those that follow it")
	require.Equal(t, []ticket.TicketID{"5", "4"}, ids("ded"))
	b.search.gathered = 7
	require.Len(t, ids("de"), 7)
}
