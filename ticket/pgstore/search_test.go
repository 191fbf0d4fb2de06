package pgstore

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

// ages are ids of tickets from years to minutes apart, the oldest first. A store
// is not told what ids look like: with odd there are some that begin with no time.
func ages(odd bool) (ids []ticket.TicketID) {
	for _, begin := range []string{"0000", "0172a", "018ff", "01900", "0190a", "0190b", "0190c", "0190ca", "0190cb", "01910", "01911", "01911f"} {
		for i := range 3 {
			hex := begin + strings.Repeat("0", 12-len(begin)-1) + fmt.Sprint(i)
			ids = append(ids, ticket.TicketID(hex[:8]+"-"+hex[8:12]+"-7000-8000-000000000000"))
		}
	}
	if odd {
		ids = append(ids, "odd", "zz", "\n\nodd")
	}
	return ids
}

func TestASearchFindsTheNewestFirstHoweverOldTheyAre(t *testing.T) {
	t.Parallel()
	for _, odd := range []bool{false, true} {
		// The store is small: with the first two most is found by an index.
		for _, w := range []walks{{1, 2, 0}, {1, 2, 100}, {2, 12, 1}, {256, 4096, 250}} {
			t.Run(fmt.Sprint("odd ids ", odd, w), func(t *testing.T) {
				t.Parallel()
				findsTheNewestFirst(t, ages(odd), w)
			})
		}
	}
}

func findsTheNewestFirst(t *testing.T, ages []ticket.TicketID, w walks) {
	t.Helper()
	const movedTo, alsoMovedTo = 17, 30 // whose only message was elsewhere
	s, mem := setup(t, func(o *options) { o.walks = w }).Portal("main"), memstore.New().Portal("main")
	commit := func(c func() *ticket.Changes) {
		require.NoError(t, mem.Commit(t.Context(), c()))
		require.NoError(t, s.Commit(t.Context(), c()))
	}
	for i, id := range ages {
		commit(func() *ticket.Changes {
			c := &ticket.Changes{Tickets: []*ticket.Ticket{{ID: id, Status: ticket.Open, Assignment: ticket.Assignment{Queue: "q"}, UpdatedAt: benchNow.Add(time.Duration(i*7%36) * time.Minute)}}}
			c.Messages = []*ticket.Message{{ID: ticket.MessageID(fmt.Sprint("m", i)), Ticket: id, Search: "common word" + fmt.Sprint(i%7)}}
			if i == movedTo || i == alsoMovedTo {
				c.Messages = nil
			}
			if i%5 == 0 {
				c.Tickets[0].Status = ticket.Solved
			}
			return c
		})
	}
	// Messages go to tickets of other times, and to one from none.
	commit(func() *ticket.Changes {
		return &ticket.Changes{Messages: []*ticket.Message{{ID: "lone", Search: "common wandering"}, {ID: "other", Ticket: ages[2], Search: "common wandering"}}}
	})
	commit(func() *ticket.Changes {
		return &ticket.Changes{Messages: []*ticket.Message{{ID: "lone", Ticket: ages[alsoMovedTo], Revision: 1}, {ID: "other", Ticket: ages[movedTo], Revision: 1}}}
	})
	walk := func(s ticket.Store, f ticket.TicketFilter, size int) (ids []ticket.TicketID) {
		for p := (ticket.Page{Limit: size}); ; {
			list, next, err := s.Tickets(t.Context(), f, p)
			require.NoError(t, err)
			for _, k := range list {
				ids = append(ids, k.ID)
			}
			if p.After = next; next == "" {
				return ids
			}
		}
	}
	for _, terms := range [][]string{{"common"}, {"co"}, {"word3"}, {"word"}, {"common", "word5"}, {"wandering"}, {"wand", "common"}, {"absent"}} {
		for _, f := range []ticket.TicketFilter{{}, {Queue: "q", Statuses: []ticket.Status{ticket.Solved}}, {Order: ticket.LatestUpdate}} {
			f.Terms = terms
			for _, size := range []int{1, 2, 5, 50} {
				want := walk(mem, f, size)
				require.Equal(t, want, walk(s, f, size), "%v by %d", f, size)
				require.True(t, f.Order == ticket.LatestUpdate || slices.IsSortedFunc(want, func(a, b ticket.TicketID) int { return -strings.Compare(string(a), string(b)) }))
			}
		}
	}
}

func TestWindowsAreTheNewestIDs(t *testing.T) {
	t.Parallel()
	five, four := scope{'c', 5}, scope{'b', 4}
	for top, want := range map[string][]string{
		"019ca000-": {"019ca", "019c9"}, "01000000": {"01000", "00fff"}, "00000000": {"00000"}, "ab": nil, "ABCDEF": nil, "zzzzzz": nil, "+1234567": nil, "": nil,
	} {
		got, ok := five.window(top)
		require.Equal(t, want != nil, ok, top)
		require.Equal(t, want, got, top)
	}
	got, ok := four.window("019ca000")
	require.True(t, ok)
	require.Equal(t, []string{"019c", "019b"}, got)
}

func TestWordsThatAreVeryLongOrManyAreTaken(t *testing.T) {
	t.Parallel()
	s := setup(t).Portal("main")
	long := strings.Repeat("ж", 3000)
	var many []string
	for i := range 40_000 {
		many = append(many, fmt.Sprintf("w%d", i))
	}
	require.NoError(t, s.Commit(t.Context(), &ticket.Changes{
		Tickets:  []*ticket.Ticket{{ID: "t"}},
		Messages: []*ticket.Message{{ID: "1", Ticket: "t", Search: long}, {ID: "2", Ticket: "t", Search: strings.Join(many, " ")}},
	}))
	// Searched as they are kept: folded.
	for _, terms := range [][]string{{long}, {long[:200]}, {"w1"}, {long, "w1"}} {
		list, _, err := s.Tickets(t.Context(), ticket.TicketFilter{Terms: terms}, ticket.Page{})
		require.NoError(t, err)
		require.Len(t, list, map[bool]int{true: 0, false: 1}[len(terms) > 1], "%.20q", terms)
	}
}

func TestMoreTicketsAreLookedAtOnlyWhereThatFillsAPage(t *testing.T) {
	t.Parallel()
	w := walks{256, 4096, 250}
	for _, tc := range []struct {
		hits  int
		order ticket.Order
		want  int
	}{{0, ticket.NewestFirst, 0}, {0, ticket.LatestUpdate, 0}, {4, ticket.LatestUpdate, 0}, {5, ticket.LatestUpdate, 3916}, {5, ticket.NewestFirst, 0}, {20, ticket.NewestFirst, 979}, {50, ticket.NewestFirst, 391}} {
		require.Equal(t, tc.want, w.enough(tc.hits, 51, tc.order), "%d hits, %q", tc.hits, tc.order)
	}
}

// What a page costs must not grow with the store: words that many messages have
// are not asked of all of the index, and a rare word leads to those that it meets.
func TestOnlyRareWordsAreLookedForEverywhere(t *testing.T) {
	t.Parallel()
	rec := &recorder{had: map[string]bool{}}
	s := setup(t, func(o *options) { o.walks = walks{2, 12, 0} }, traced(rec)).Portal("main")
	all := ages(false)
	c := &ticket.Changes{}
	for i, id := range all {
		text := fmt.Sprint("common half", i%2)
		if i == 1 {
			text += " rare"
		}
		c.Tickets = append(c.Tickets, &ticket.Ticket{ID: id, Status: ticket.Open, UpdatedAt: benchNow.Add(time.Duration(i) * time.Minute)})
		c.Messages = append(c.Messages, &ticket.Message{ID: ticket.MessageID(fmt.Sprint("m", i)), Ticket: id, Search: text})
	}
	require.NoError(t, s.Commit(t.Context(), c))
	everywhere := func() (args [][]any) {
		rec.mu.Lock()
		defer rec.mu.Unlock()
		for _, q := range rec.ran {
			if strings.Contains(q.sql, " ticket FROM") && slices.ContainsFunc(q.args, func(v any) bool { s, ok := v.(string); return ok && strings.HasPrefix(s, "('a") }) {
				args = append(args, q.args)
			}
		}
		return args
	}
	for _, order := range []ticket.Order{ticket.NewestFirst, ticket.LatestUpdate} {
		rec.clear()
		f := ticket.TicketFilter{Order: order, Terms: []string{"half0", "half1"}}
		pages := 0
		for p := (ticket.Page{}); ; pages++ {
			list, next, err := s.Tickets(t.Context(), f, p)
			require.NoError(t, err)
			require.Empty(t, list)
			if p.After = next; next == "" {
				break
			}
		}
		require.Positive(t, pages)
		require.Empty(t, everywhere())

		rec.clear()
		f.Terms = []string{"common", "rare"}
		list, next, err := s.Tickets(t.Context(), f, ticket.Page{})
		require.NoError(t, err)
		require.Empty(t, next)
		require.Equal(t, all[1], list[0].ID)
		args := everywhere()
		require.Len(t, args, 1)
		require.True(t, slices.ContainsFunc(args[0], func(v any) bool {
			s, ok := v.(string)
			return ok && strings.Contains(s, "rare") && !strings.Contains(s, "common")
		}))
	}
}

// How many messages have a word takes the time that a busy store's weeks have
// messages, so it is not asked where the last days fill the page.
func TestWhatTheLastDaysFillIsNotCountedInWeeks(t *testing.T) {
	t.Parallel()
	rec := &recorder{had: map[string]bool{}}
	s := setup(t, func(o *options) { o.walks = walks{1, 2, 0} }, traced(rec)).Portal("main")
	c := &ticket.Changes{}
	for i := range 12 {
		id := ticket.TicketID(fmt.Sprintf("0190ca00-%04d-7000-8000-000000000000", i))
		c.Tickets = append(c.Tickets, &ticket.Ticket{ID: id, Status: ticket.Open})
		c.Messages = append(c.Messages, &ticket.Message{ID: ticket.MessageID(fmt.Sprint("m", i)), Ticket: id, Search: fmt.Sprint("common third", i%3)})
	}
	require.NoError(t, s.Commit(t.Context(), c))
	counted := func(words string) bool {
		rec.clear()
		list, _, err := s.Tickets(t.Context(), ticket.TicketFilter{Terms: strings.Fields(words)}, ticket.Page{Limit: 3})
		require.NoError(t, err)
		require.NotEmpty(t, list, words)
		rec.mu.Lock()
		defer rec.mu.Unlock()
		return slices.ContainsFunc(rec.ran, func(q ran) bool { return strings.Contains(q.sql, "count(*)") })
	}
	require.False(t, counted("common third0"), "four fill a page of three")
	require.False(t, counted("common"))
	c = &ticket.Changes{Tickets: []*ticket.Ticket{{ID: "0190ca00-0000-7000-8000-000000000001", Status: ticket.Open}}}
	c.Messages = []*ticket.Message{{ID: "rare", Ticket: c.Tickets[0].ID, Search: "common rare"}}
	require.NoError(t, s.Commit(t.Context(), c))
	require.True(t, counted("common rare"), "one fills none")
}

// meanwhile calls f once, before the statement that has a text.
type meanwhile struct {
	recorder
	text string
	once sync.Once
	f    func()
}

func (m *meanwhile) TraceQueryStart(ctx context.Context, c *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	if strings.Contains(d.SQL, m.text) {
		m.once.Do(m.f)
	}
	return m.recorder.TraceQueryStart(ctx, c, d)
}

func TestWhatLeavesAListWhileItIsSearchedHidesNothing(t *testing.T) {
	t.Parallel()
	name := schema(t)
	other := open(t, cluster.URL(t), Schema(name)).Portal("main").(*portal)
	defer func() { require.NoError(t, other.b.Close()) }()
	c := &ticket.Changes{}
	for i := range 10 {
		id := ticket.TicketID(fmt.Sprint(i))
		c.Tickets = append(c.Tickets, &ticket.Ticket{ID: id, Status: ticket.Open, UpdatedAt: benchNow.Add(-time.Duration(i) * time.Minute)})
		c.Messages = append(c.Messages, &ticket.Message{ID: ticket.MessageID(id), Ticket: id, Search: map[bool]string{true: "word"}[i >= 4]})
	}
	require.NoError(t, other.Commit(t.Context(), c))
	left := &meanwhile{text: "OFFSET 3", f: func() { // it has looked at 0 to 3 and asks where that was
		gone := &ticket.Ticket{ID: "1", Revision: 1, Status: ticket.Solved, UpdatedAt: benchNow}
		require.NoError(t, other.Commit(t.Context(), &ticket.Changes{Tickets: []*ticket.Ticket{gone}}))
	}}
	b := open(t, cluster.URL(t), Schema(name), func(o *options) { o.walks = walks{1, 4, 0} },
		Configure(func(cfg *pgxpool.Config) { cfg.ConnConfig.Tracer = left }))
	defer func() { require.NoError(t, b.Close()) }()
	var found []ticket.TicketID
	f := ticket.TicketFilter{Statuses: []ticket.Status{ticket.Open}, Order: ticket.LatestUpdate, Terms: []string{"word"}}
	for p := (ticket.Page{}); ; {
		list, next, err := b.Portal("main").Tickets(t.Context(), f, p)
		require.NoError(t, err)
		for _, k := range list {
			found = append(found, k.ID)
		}
		if p.After = next; next == "" {
			break
		}
	}
	require.Equal(t, []ticket.TicketID{"4", "5", "6", "7", "8", "9"}, found)
}
