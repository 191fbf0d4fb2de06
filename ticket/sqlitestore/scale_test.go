package sqlitestore

import (
	"cmp"
	"context"
	flags "flag"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

var (
	scaleFolder = flags.String("scale.dir", "", "`folder` in which filled databases are kept for later runs")
	scaleSmall  = flags.Int("scale.small", 10_000, "tickets in the small store; 1000 with -short")
	scaleLarge  = flags.Int("scale.large", 1_000_000, "tickets in the large store; 4000 with -short")
)

// Bounds of what the large store takes, in multiples of what the small one does.
const (
	listBound   = 1.5 // time of a list, at the most
	intakeBound = 0.9 // rate of intake, at the least
)

// filled is a store that examples/fill has filled.
type filled struct {
	ticket.Store
	tickets  int
	rnd      *rand.Rand
	channels []channel.ID
}

// fillBoth returns the small store and the large one.
func fillBoth(b *testing.B) [2]*filled {
	small, large, dir := *scaleSmall, *scaleLarge, *scaleFolder
	if testing.Short() {
		small, large = 1000, 4000
	}
	if dir == "" {
		dir = b.TempDir()
	}
	var out [2]*filled
	for i, n := range []int{small, large} {
		path := filepath.Join(dir, strconv.Itoa(n)+".db")
		fill := exec.CommandContext(b.Context(), "go", "run", "github.com/anteroom/anteroom/examples/fill", "-store", path, "-tickets", strconv.Itoa(n))
		said, err := fill.CombinedOutput()
		require.NoError(b, err, "%s", said)
		db, err := Open(path)
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, db.Close()) })
		out[i] = &filled{Store: db.Portal("main"), tickets: n, rnd: rand.New(rand.NewPCG(1, 1))}
		list, _, err := out[i].Tickets(b.Context(), ticket.TicketFilter{}, ticket.Page{Limit: 200})
		require.NoError(b, err)
		for _, t := range list {
			if !slices.Contains(out[i].channels, t.Channel) {
				out[i].channels = append(out[i].channels, t.Channel)
			}
		}
		slices.Sort(out[i].channels)
	}
	return out
}

// some returns one of the newest n tickets.
func (f *filled) some(b *testing.B, n int) *ticket.Ticket {
	b.Helper()
	list, _, err := f.Tickets(b.Context(), ticket.TicketFilter{Number: int64(f.tickets - f.rnd.IntN(n))}, ticket.Page{})
	require.NoError(b, err)
	require.Len(b, list, 1)
	return list[0]
}

func (f *filled) order() string { return fmt.Sprintf("dh%08d", f.rnd.IntN(f.tickets)) }

// scaleList is a list that is measured. What prepare returns is what is timed.
type scaleList struct {
	name    string
	atLeast int // entries
	prepare func(b *testing.B, f *filled) func(ctx context.Context) (int, error)
}

// recent is how many tickets are the ones that people work on.
const recent = 900

// scaleLists are within listBound.
var scaleLists = []scaleList{
	{"newest open of a queue", 50, tickets(ticket.TicketFilter{Queue: "support", Statuses: []ticket.Status{ticket.Open}})},
	{"latest open of a queue", 50, tickets(ticket.TicketFilter{Queue: "support", Statuses: []ticket.Status{ticket.Open}, Order: ticket.LatestUpdate})},
	{"newest of all", 50, tickets(ticket.TicketFilter{})},
	{"latest of all", 50, tickets(ticket.TicketFilter{Order: ticket.LatestUpdate})},
	{"newest unassigned of a queue", 50, tickets(ticket.TicketFilter{Queue: "support", Unassigned: true})},
	{"newest of an agent", 50, tickets(ticket.TicketFilter{Assignee: "agent-01"})},
	{"latest of an agent", 50, tickets(ticket.TicketFilter{Assignee: "agent-01", Order: ticket.LatestUpdate})},
	{"latest open of an agent", 15, tickets(ticket.TicketFilter{Assignee: "agent-01", Statuses: []ticket.Status{ticket.Open}, Order: ticket.LatestUpdate})},
	{"newest of a channel", 50, func(b *testing.B, f *filled) func(context.Context) (int, error) {
		return tickets(ticket.TicketFilter{Channel: f.channels[0]})(b, f)
	}},
	{"latest of a channel", 50, func(b *testing.B, f *filled) func(context.Context) (int, error) {
		return tickets(ticket.TicketFilter{Channel: f.channels[0], Order: ticket.LatestUpdate})(b, f)
	}},
	{"of a customer", 1, func(b *testing.B, f *filled) func(context.Context) (int, error) {
		return tickets(ticket.TicketFilter{Contact: f.some(b, f.tickets).Contact})(b, f)
	}},
	{"a page far down", 50, farDown(500)},
	{"search/rare word", 1, func(b *testing.B, f *filled) func(context.Context) (int, error) {
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
	{"what waits in a queue", 50, func(_ *testing.B, f *filled) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			list, err := f.Waiting(ctx, "support", 50)
			return len(list), err
		}
	}},
}

// slowLists are not within listBound: what is to be read is on pages that nobody
// has read before, or grows with the store. They are measured for the record.
var slowLists = []scaleList{
	{"slow/a page anywhere", 50, farDown(0)},
	{"slow/messages of any ticket", 1, messages(0)},
	{"slow/events of any ticket", 1, events(0)},
	{"slow/decisions of any ticket", 1, decisions(0)},
	{"slow/common and rare", 0, func(b *testing.B, f *filled) func(context.Context) (int, error) {
		return tickets(ticket.TicketFilter{}.WithQuery("order "+f.order()))(b, f)
	}},
	{"slow/beginning of a hundred words and a rare word", 1, func(b *testing.B, f *filled) func(context.Context) (int, error) {
		return tickets(ticket.TicketFilter{}.WithQuery("customer "+f.order()))(b, f)
	}},
	{"slow/common words that never meet", 0, tickets(ticket.TicketFilter{}.WithQuery("produto parcel"))},
	{"slow/two letters", 50, tickets(ticket.TicketFilter{}.WithQuery("de"))},
	{"slow/order numbers by their beginning", 50, tickets(ticket.TicketFilter{}.WithQuery("dh000"))},
	{"slow/common word in a small queue", 1, tickets(ticket.TicketFilter{Queue: "legal"}.WithQuery("the"))},
	{"slow/by update, less common word", 50, tickets(ticket.TicketFilter{Order: ticket.LatestUpdate}.WithQuery("subscription"))},
}

// farDown is the page after one of the n tickets in the middle of what a small
// store has, or after any if n is 0.
func farDown(n int) func(*testing.B, *filled) func(context.Context) (int, error) {
	return func(b *testing.B, f *filled) func(context.Context) (int, error) {
		number := f.tickets - *scaleSmall/2 + f.rnd.IntN(cmp.Or(n, 1))
		if n == 0 {
			number = 100 + f.rnd.IntN(f.tickets-100)
		}
		list, _, err := f.Tickets(b.Context(), ticket.TicketFilter{Number: int64(max(number, 1))}, ticket.Page{})
		require.NoError(b, err)
		after := driver.Place{List: "tickets", ID: string(list[0].ID)}.Next()
		return func(ctx context.Context) (int, error) {
			list, _, err := f.Tickets(ctx, ticket.TicketFilter{}, ticket.Page{After: after})
			return len(list), err
		}
	}
}

// messages are those of one of the newest n tickets, or of any if n is 0; events
// and decisions are the same.
func messages(n int) func(*testing.B, *filled) func(context.Context) (int, error) {
	return func(b *testing.B, f *filled) func(context.Context) (int, error) {
		id := f.some(b, cmp.Or(n, f.tickets)).ID
		return func(ctx context.Context) (int, error) {
			list, _, err := f.Messages(ctx, ticket.MessageFilter{Ticket: id}, ticket.Page{})
			return len(list), err
		}
	}
}

func events(n int) func(*testing.B, *filled) func(context.Context) (int, error) {
	return func(b *testing.B, f *filled) func(context.Context) (int, error) {
		id := f.some(b, cmp.Or(n, f.tickets)).ID
		return func(ctx context.Context) (int, error) {
			list, err := f.Events(ctx, ticket.EventFilter{Ticket: id, Newest: true}, 50)
			return len(list), err
		}
	}
}

func decisions(n int) func(*testing.B, *filled) func(context.Context) (int, error) {
	return func(b *testing.B, f *filled) func(context.Context) (int, error) {
		id := f.some(b, cmp.Or(n, f.tickets)).ID
		return func(ctx context.Context) (int, error) {
			list, err := f.Decisions(ctx, ticket.DecisionFilter{Ticket: id}, 50)
			return len(list), err
		}
	}
}

func tickets(filter ticket.TicketFilter) func(*testing.B, *filled) func(context.Context) (int, error) {
	return func(_ *testing.B, f *filled) func(context.Context) (int, error) {
		return func(ctx context.Context) (int, error) {
			list, _, err := f.Tickets(ctx, filter, ticket.Page{})
			return len(list), err
		}
	}
}

// BenchmarkScale reads lists of fifty in a store with a million tickets and in
// one with ten thousand, in turns, and compares the medians. Filling takes
// minutes, once if the databases are kept:
//
//	go test -run='^$' -bench=Scale -benchtime=200x -timeout=2h -scale.dir=/var/tmp/scale ./ticket/sqlitestore
func BenchmarkScale(b *testing.B) {
	stores := fillBoth(b)
	for _, l := range scaleLists {
		b.Run(l.name, func(b *testing.B) {
			r := l.measure(b, stores)
			if b.N >= 20 && !testing.Short() && r > listBound {
				b.Errorf("the ratio %.2f is over %.1f", r, listBound)
			}
		})
	}
	for _, l := range slowLists {
		b.Run(l.name, func(b *testing.B) { l.measure(b, stores) })
	}
}

// measure reads the list in both stores, in turns, and reports the ratio of the
// medians.
func (l *scaleList) measure(b *testing.B, stores [2]*filled) float64 {
	var took, used [2][]time.Duration
	for i := range b.N + 3 {
		for s, f := range stores {
			list := l.prepare(b, f)
			before, start := processorTime(b), time.Now()
			n, err := list(b.Context())
			d, cpu := time.Since(start), processorTime(b)-before
			require.NoError(b, err)
			if !testing.Short() && s > 0 {
				require.GreaterOrEqual(b, n, l.atLeast)
			}
			if i >= 3 { // the first ones make statements and fill caches
				took[s], used[s] = append(took[s], d), append(used[s], cpu)
			}
		}
	}
	small, large := middle(took[0]), middle(took[1])
	ratio := large.Seconds() / small.Seconds()
	b.ReportMetric(0, "ns/op")
	b.ReportMetric(float64(small.Microseconds()), "small-µs")
	b.ReportMetric(float64(large.Microseconds()), "large-µs")
	b.ReportMetric(middle(used[1]).Seconds()/middle(used[0]).Seconds(), "cpu-ratio")
	b.ReportMetric(ratio, "ratio")
	return ratio
}

// middle returns the median.
func middle(d []time.Duration) time.Duration {
	slices.Sort(d)
	return d[len(d)/2]
}

// BenchmarkScaleIntake commits first mails to the same two stores, in turns. The
// ratio is that of their rates, the higher the better. What it wrote is left
// there.
func BenchmarkScaleIntake(b *testing.B) {
	stores := fillBoth(b)
	base := time.Now().UnixMilli() << 6
	for _, writers := range []int{1, 20} {
		b.Run(strconv.Itoa(writers), func(b *testing.B) {
			var took [2]time.Duration
			var cpu [2]time.Duration
			var bytes [2]uint64
			var each [2][]time.Duration
			const turn = 100 // commits
			for range b.N {
				for s, f := range stores {
					var mu sync.Mutex
					var wg sync.WaitGroup
					allocated, used, start := allocatedBytes(), processorTime(b), time.Now()
					for w := range writers {
						wg.Go(func() {
							for i := w; i < turn; i += writers {
								mu.Lock()
								base++
								n := base
								mu.Unlock()
								from := time.Now()
								if err := f.Commit(b.Context(), intake(n)); err != nil {
									b.Error(err)
									return
								}
								mu.Lock()
								each[s] = append(each[s], time.Since(from))
								mu.Unlock()
							}
						})
					}
					wg.Wait()
					took[s] += time.Since(start)
					cpu[s] += processorTime(b) - used
					bytes[s] += allocatedBytes() - allocated
				}
			}
			commits := float64(b.N * turn)
			for s, name := range []string{"small", "large"} {
				slices.Sort(each[s])
				b.ReportMetric(commits/took[s].Seconds(), name+"/s")
				b.ReportMetric(float64(each[s][len(each[s])*99/100].Microseconds()), name+"-p99-µs")
				b.ReportMetric(float64(each[s][len(each[s])-1].Microseconds()), name+"-max-µs")
				b.ReportMetric(float64(cpu[s].Microseconds())/commits, name+"-cpu-µs")
				b.ReportMetric(float64(bytes[s])/commits, name+"-B")
			}
			b.ReportMetric(0, "ns/op")
			b.ReportMetric(cpu[0].Seconds()/cpu[1].Seconds(), "cpu-ratio")
			ratio := took[0].Seconds() / took[1].Seconds()
			b.ReportMetric(ratio, "ratio")
			if b.N >= 20 && !testing.Short() && ratio < intakeBound {
				b.Errorf("the ratio %.2f is under %.1f", ratio, intakeBound)
			}
		})
	}
}

func allocatedBytes() uint64 {
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.TotalAlloc
}

// processorTime is what the process used so far, the garbage collector included.
func processorTime(b *testing.B) time.Duration {
	b.Helper()
	var r syscall.Rusage
	require.NoError(b, syscall.Getrusage(syscall.RUSAGE_SELF, &r))
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
