// Package scaletest measures lists and searches of a large store against those of a
// small one, both filled by examples/fill.
package scaletest

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// Filled is a store that examples/fill has filled.
type Filled struct {
	ticket.Store
	// Before, if set, is called before each list that is timed. It may replace
	// the Store.
	Before   func()
	tickets  int
	orders   int
	rnd      *rand.Rand
	channels []channel.ID
}

// Open returns the store with its number of tickets, of which the first orders
// have an order number.
func Open(b *testing.B, s ticket.Store, tickets, orders int) *Filled {
	b.Helper()
	f := &Filled{Store: s, tickets: tickets, orders: orders, rnd: rand.New(rand.NewPCG(1, 1))}
	list, _, err := f.Tickets(b.Context(), ticket.TicketFilter{}, ticket.Page{Limit: 200})
	if err != nil {
		b.Fatal(err)
	}
	for _, t := range list {
		if !slices.Contains(f.channels, t.Channel) {
			f.channels = append(f.channels, t.Channel)
		}
	}
	slices.Sort(f.channels)
	return f
}

// some returns one of the newest n tickets.
func (f *Filled) some(b *testing.B, n int) *ticket.Ticket {
	b.Helper()
	list, _, err := f.Tickets(b.Context(), ticket.TicketFilter{Number: int64(f.tickets - f.rnd.IntN(n))}, ticket.Page{})
	if err != nil || len(list) != 1 {
		b.Fatal(len(list), err)
	}
	return list[0]
}

func (f *Filled) order() string { return fmt.Sprintf("dh%08d", f.rnd.IntN(f.orders)) }

// List is a list that is measured. What prepare returns is what is timed.
type List struct {
	Name    string
	atLeast int // entries
	prepare func(b *testing.B, f *Filled) func(ctx context.Context) (int, error)
}

// small is a store that has few tickets.
const small = 10_000

// recent is how many tickets are the ones that people work on.
const recent = 900

// Lists are those that are to take about the same in stores of all sizes.
func Lists() []List {
	return []List{
		{"newest open of a queue", 50, tickets(ticket.TicketFilter{Queue: "support", Statuses: []ticket.Status{ticket.Open}})},
		{"latest open of a queue", 50, tickets(ticket.TicketFilter{Queue: "support", Statuses: []ticket.Status{ticket.Open}, Order: ticket.LatestUpdate})},
		{"newest of all", 50, tickets(ticket.TicketFilter{})},
		{"latest of all", 50, tickets(ticket.TicketFilter{Order: ticket.LatestUpdate})},
		{"newest unassigned of a queue", 50, tickets(ticket.TicketFilter{Queue: "support", Unassigned: true})},
		{"newest of an agent", 50, tickets(ticket.TicketFilter{Assignee: "agent-01"})},
		{"latest of an agent", 50, tickets(ticket.TicketFilter{Assignee: "agent-01", Order: ticket.LatestUpdate})},
		{"latest open of an agent", 15, tickets(ticket.TicketFilter{Assignee: "agent-01", Statuses: []ticket.Status{ticket.Open}, Order: ticket.LatestUpdate})},
		{"newest of a channel", 50, func(b *testing.B, f *Filled) func(context.Context) (int, error) {
			return tickets(ticket.TicketFilter{Channel: f.channels[0]})(b, f)
		}},
		{"latest of a channel", 50, func(b *testing.B, f *Filled) func(context.Context) (int, error) {
			return tickets(ticket.TicketFilter{Channel: f.channels[0], Order: ticket.LatestUpdate})(b, f)
		}},
		{"of a customer", 1, func(b *testing.B, f *Filled) func(context.Context) (int, error) {
			return tickets(ticket.TicketFilter{Contact: f.some(b, f.tickets).Contact})(b, f)
		}},
		{"a page far down", 50, farDown(500)},
		{"search/rare word", 1, func(b *testing.B, f *Filled) func(context.Context) (int, error) {
			return tickets(ticket.TicketFilter{}.WithQuery(f.order()))(b, f)
		}},
		{"search/common word", 50, tickets(ticket.TicketFilter{}.WithQuery("the"))},
		{"search/less common word", 50, tickets(ticket.TicketFilter{}.WithQuery("subscription"))},
		{"search/beginning", 50, tickets(ticket.TicketFilter{}.WithQuery("deliv"))},
		{"search/two words", 50, tickets(ticket.TicketFilter{}.WithQuery("order delivery"))},
		{"search/no such word", 0, tickets(ticket.TicketFilter{}.WithQuery("the xylophone"))},
		{"search/in a queue and status", 50, tickets(ticket.TicketFilter{Queue: "support", Statuses: []ticket.Status{ticket.Closed}}.WithQuery("order"))},
		{"search/latest", 50, tickets(ticket.TicketFilter{Order: ticket.LatestUpdate}.WithQuery("the"))},
		{"search/of an agent", 50, tickets(ticket.TicketFilter{Assignee: "agent-01"}.WithQuery("the"))},
		{"timeline/messages", 1, messages(recent)},
		{"timeline/events", 1, events(recent)},
		{"timeline/decisions", 1, decisions(recent)},
		{"what waits in a queue", 50, func(_ *testing.B, f *Filled) func(context.Context) (int, error) {
			return func(ctx context.Context) (int, error) {
				list, err := f.Waiting(ctx, "support", 50)
				return len(list), err
			}
		}},
	}
}

// Slow are the others: what is to be read is on pages that nobody has read
// before, or grows with the store. They are measured for the record.
func Slow() []List {
	return []List{
		{"slow/a page anywhere", 50, farDown(0)},
		{"slow/messages of any ticket", 1, messages(0)},
		{"slow/events of any ticket", 1, events(0)},
		{"slow/decisions of any ticket", 1, decisions(0)},
		{"slow/common and rare", 0, func(b *testing.B, f *Filled) func(context.Context) (int, error) {
			return tickets(ticket.TicketFilter{}.WithQuery("order "+f.order()))(b, f)
		}},
		{"slow/beginning of a hundred words and a rare word", 1, func(b *testing.B, f *Filled) func(context.Context) (int, error) {
			return tickets(ticket.TicketFilter{}.WithQuery("customer "+f.order()))(b, f)
		}},
		{"slow/common words that never meet", 0, tickets(ticket.TicketFilter{}.WithQuery("produto parcel"))},
		{"slow/two letters", 50, tickets(ticket.TicketFilter{}.WithQuery("de"))},
		{"slow/order numbers by their beginning", 50, tickets(ticket.TicketFilter{}.WithQuery("dh000"))},
		{"slow/common word in a small queue", 1, tickets(ticket.TicketFilter{Queue: "legal"}.WithQuery("the"))},
		{"slow/by update, less common word", 50, tickets(ticket.TicketFilter{Order: ticket.LatestUpdate}.WithQuery("subscription"))},
	}
}

// farDown is the page after one of the n tickets in the middle of what a small
// store has, or after any if n is 0.
func farDown(n int) func(*testing.B, *Filled) func(context.Context) (int, error) {
	return func(b *testing.B, f *Filled) func(context.Context) (int, error) {
		number := f.tickets - min(small, f.tickets)/2 + f.rnd.IntN(cmp.Or(n, 1))
		if n == 0 {
			number = 100 + f.rnd.IntN(f.tickets-100)
		}
		list, _, err := f.Tickets(b.Context(), ticket.TicketFilter{Number: int64(max(number, 1))}, ticket.Page{})
		if err != nil || len(list) == 0 {
			b.Fatal(len(list), err)
		}
		after := driver.Place{List: "tickets", ID: string(list[0].ID)}.Next()
		return func(ctx context.Context) (int, error) {
			list, _, err := f.Tickets(ctx, ticket.TicketFilter{}, ticket.Page{After: after})
			return len(list), err
		}
	}
}

// messages are those of one of the newest n tickets, or of any if n is 0; events
// and decisions are the same.
func messages(n int) func(*testing.B, *Filled) func(context.Context) (int, error) {
	return func(b *testing.B, f *Filled) func(context.Context) (int, error) {
		id := f.some(b, cmp.Or(n, f.tickets)).ID
		return func(ctx context.Context) (int, error) {
			list, _, err := f.Messages(ctx, ticket.MessageFilter{Ticket: id}, ticket.Page{})
			return len(list), err
		}
	}
}

func events(n int) func(*testing.B, *Filled) func(context.Context) (int, error) {
	return func(b *testing.B, f *Filled) func(context.Context) (int, error) {
		id := f.some(b, cmp.Or(n, f.tickets)).ID
		return func(ctx context.Context) (int, error) {
			list, err := f.Events(ctx, ticket.EventFilter{Ticket: id, Newest: true}, 50)
			return len(list), err
		}
	}
}

func decisions(n int) func(*testing.B, *Filled) func(context.Context) (int, error) {
	return func(b *testing.B, f *Filled) func(context.Context) (int, error) {
		id := f.some(b, cmp.Or(n, f.tickets)).ID
		return func(ctx context.Context) (int, error) {
			list, err := f.Decisions(ctx, ticket.DecisionFilter{Ticket: id}, 50)
			return len(list), err
		}
	}
}

func tickets(filter ticket.TicketFilter) func(*testing.B, *Filled) func(context.Context) (int, error) {
	return func(_ *testing.B, f *Filled) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			list, _, err := f.Tickets(ctx, filter, ticket.Page{})
			return len(list), err
		}
	}
}

// Measure reads the list in both stores, in turns, and reports the ratio of the
// medians.
func (l *List) Measure(b *testing.B, stores [2]*Filled) float64 {
	var took, used [2][]time.Duration
	for i := range b.N + 3 {
		for s, f := range stores {
			list := l.prepare(b, f)
			if f.Before != nil {
				f.Before()
			}
			before, start := processorTime(), time.Now()
			n, err := list(b.Context())
			d, cpu := time.Since(start), processorTime()-before
			if err != nil || !testing.Short() && s > 0 && n < l.atLeast {
				b.Fatal(n, err)
			}
			if i >= 3 { // the first ones make statements and fill caches
				took[s], used[s] = append(took[s], d), append(used[s], cpu)
			}
		}
	}
	small, large := Median(took[0]), Median(took[1])
	ratio := large.Seconds() / small.Seconds()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(small.Microseconds()), "small-µs")
	b.ReportMetric(float64(large.Microseconds()), "large-µs")
	b.ReportMetric(Median(used[1]).Seconds()/Median(used[0]).Seconds(), "cpu-ratio")
	b.ReportMetric(ratio, "ratio")
	return ratio
}

// Median returns the median.
func Median(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}
