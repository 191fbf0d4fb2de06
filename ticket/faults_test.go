package ticket_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// faultSeeds is how many runs each test of this file makes.
const faultSeeds = 6

const sales = "sales@portal.example"

// withFaults runs f on two nodes whose store fails at random, before or after
// having done what it was asked to, one time in rate, and then checks when all
// is well again.
func withFaults(t *testing.T, rate int, f func(o *office, other *ticket.Desk), check func(o *office)) {
	t.Helper()
	for seed := range uint64(faultSeeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			inOffice(t, func(c *ticket.Config) { c.Timing.Poll = 10 * time.Second }, func(o *office) {
				other, err := ticket.New(o.cfg)
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(o.ctx)
				done := make(chan error, 1)
				go func() { done <- other.Run(ctx) }()
				defer func() { cancel(); require.NoError(t, <-done) }()
				o.mailbox(box, answering())
				// A second queue of the same agents: both are drained at the same time.
				require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "sales", Agents: []routing.AgentID{"bo", "an"}}))
				o.mailbox(sales, ticket.Settings{Queue: "sales"})
				require.NoError(t, other.Refresh(o.ctx))

				var mu sync.Mutex
				rnd := rand.New(rand.NewPCG(seed, 1))
				o.back.Fail(func(op string) error {
					mu.Lock()
					defer mu.Unlock()
					if rnd.IntN(rate) == 0 {
						return errors.New("the store failed at " + op)
					}
					return nil
				})
				f(o, other)
				time.Sleep(10 * time.Minute) // what is later work meets the faults too
				o.back.Fail(nil)
				time.Sleep(3 * time.Hour)
				synctest.Wait()
				check(o)
				require.NoError(t, checkLoads(o.ctx, o.desk))
				_, err = allEvents(o.ctx, o.desk)
				require.NoError(t, err)
			})
		})
	}
}

// until repeats do until it succeeds. Virtual time passes between.
func until(ctx context.Context, do func() error) {
	for do() != nil && ctx.Err() == nil {
		time.Sleep(rand.N(300 * time.Millisecond))
	}
}

func TestWhatWasAcknowledgedIsExactlyOnceAMessageWhateverFails(t *testing.T) {
	const customers, each = 8, 3
	acked := make(chan map[string]bool, faultSeeds)
	withFaults(t, 8, func(o *office, other *ticket.Desk) {
		var chs []*ticket.Channel // in the order they were connected
		until(o.ctx, func() (err error) { chs, err = o.desk.Channels(o.ctx); return err })
		var mu sync.Mutex
		got := map[string]bool{}
		var wg sync.WaitGroup
		for c := range customers {
			for n := range each {
				address, id := fmt.Sprintf("c%d@c%d.example", c, c), fmt.Sprintf("%d-%d", c, n)
				var refs []string
				for r := n - 1; r >= 0; r-- {
					refs = append(refs, fmt.Sprintf("%d-%d", c, r))
				}
				m := mail(address, id, refs...)
				for path := range 4 { // over two nodes, two paths each, at once
					wg.Go(func() {
						d := []*ticket.Desk{o.desk, other}[path%2]
						it := &channel.Item{Channel: chs[0].ID, Message: &m, Raw: channel.Bytes("raw " + id),
							Keys: []channel.Key{channel.Key("message:" + id), channel.Key(fmt.Sprint("path:", path/2, id))}}
						for range 1 + rand.IntN(6) { // some sources give up
							if d.Accept(o.ctx, it) == nil {
								mu.Lock()
								got[id] = true
								mu.Unlock()
								return
							}
							time.Sleep(rand.N(300 * time.Millisecond))
						}
					})
				}
			}
		}
		wg.Wait()
		acked <- got
	}, func(o *office) {
		got := <-acked
		require.NotEmpty(t, got)
		seen := map[string]int{}
		tickets, answers := map[string]int{}, map[string]int{}
		ts := o.tickets()
		for _, tk := range ts {
			tickets[string(tk.Conversation)]++
			for _, m := range o.timeline(tk.ID) {
				if m.Direction != ticket.In {
					continue
				}
				seen[m.ExternalIDs[0]]++
				raw, err := o.desk.Raw(o.ctx, m.ID)
				require.NoError(t, err)
				require.Equal(t, channel.Bytes("raw "+m.ExternalIDs[0][:3]), raw)
			}
		}
		for id := range got {
			require.Equal(t, 1, seen[id+"@c"], "%s was acknowledged", id)
		}
		for id, n := range seen {
			require.Equal(t, 1, n, id)
		}
		for c, n := range tickets {
			require.Equal(t, 1, n, "tickets of conversation %s", c)
		}
		require.LessOrEqual(t, len(ts), customers, "a thread is one ticket")
		for _, s := range o.net.Sent(box) {
			answers[s.Recipients[0]]++
			require.Equal(t, channel.AutoReplied, s.Out.Automatic)
		}
		require.Len(t, answers, len(ts), "each ticket is answered")
		for to, n := range answers {
			require.Equal(t, 1, n, "automatic replies to %s", to)
		}
		l := o.ledger()
		require.EqualValues(t, len(seen), l.Received)
		require.EqualValues(t, len(seen), l.Messages)
	})
}

func TestCapacityHoldsAndNobodyIsLostWhateverFails(t *testing.T) {
	const customers = 24
	capacity := map[routing.AgentID]int{"an": 3, "bo": 4}
	// A look at a queue is many operations, each of which may fail.
	withFaults(t, 40, func(o *office, other *ticket.Desk) {
		for id, n := range capacity {
			until(o.ctx, func() error { return o.desk.PutAgent(o.ctx, routing.Agent{ID: id, Capacity: n}) })
		}
		var wg sync.WaitGroup
		for c := range customers {
			wg.Go(func() {
				to := []string{box, sales}[c%2]
				it := o.net.Item(to, mail(fmt.Sprintf("c%d@c.example", c), fmt.Sprint(c)))
				until(o.ctx, func() error { return o.net.Deliver(o.ctx, to, it) })
			})
		}
		wg.Wait()
		// Agents solve what they have, by either node, until all is solved.
		solved := 0
		for round := 0; round < 200 && solved < customers; round++ {
			var open []*ticket.Ticket
			until(o.ctx, func() (err error) {
				open, _, err = other.Tickets(o.ctx, ticket.TicketFilter{Statuses: []ticket.Status{ticket.Open}}, ticket.Page{})
				return err
			})
			load := map[routing.AgentID]int{}
			for _, tk := range open {
				load[tk.Assignee]++
			}
			for id, n := range capacity {
				require.LessOrEqual(t, load[id], n, "tickets of %s", id)
			}
			solved = customers - len(open)
			for i, tk := range open {
				if tk.Assignee == "" || i%2 == round%2 && len(open) > 3 {
					continue
				}
				wg.Go(func() {
					until(o.ctx, func() error {
						_, err := o.desk.SetStatus(o.ctx, ticket.Agent(tk.Assignee), tk.ID, ticket.Solved)
						return err
					})
				})
			}
			wg.Wait()
			time.Sleep(2 * time.Minute)
		}
	}, func(o *office) {
		ts := o.tickets()
		require.Len(t, ts, customers)
		for _, tk := range ts {
			require.NotEmpty(t, tk.Assignee)
			require.Equal(t, ticket.Solved, tk.Status)
			n := 0
			es, err := allEvents(o.ctx, o.desk)
			require.NoError(t, err)
			for _, e := range es {
				if e.Type == ticket.EventAssigned && e.Ticket == tk.ID {
					n++
				}
			}
			require.Equal(t, 1, n, "each was given away once")
		}
	})
}

func TestCountersOfTicketsHoldWhateverFails(t *testing.T) {
	withFaults(t, 8, func(o *office, other *ticket.Desk) {
		it := o.net.Item(box, mail("mai@c.example", "0"))
		until(o.ctx, func() error { return o.net.Deliver(o.ctx, box, it) })
		var ts []*ticket.Ticket
		until(o.ctx, func() (err error) {
			ts, _, err = o.desk.Tickets(o.ctx, ticket.TicketFilter{}, ticket.Page{})
			return err
		})
		id := ts[0].ID
		var wg sync.WaitGroup
		for i := range 8 {
			d := []*ticket.Desk{o.desk, other}[i%2]
			again := func(do func() error) { wg.Go(func() { until(o.ctx, do) }) }
			again(func() error {
				return o.net.Deliver(o.ctx, box, o.net.Item(box, mail("mai@c.example", fmt.Sprint("m", i), "0")))
			})
			again(func() error {
				_, err := d.Reply(o.ctx, id, ticket.Draft{By: "an", Text: "x", Key: fmt.Sprint("key", i)})
				return err
			})
			again(func() error {
				_, err := d.Assign(o.ctx, ticket.Actor{}, id, []routing.AgentID{"an", "bo", ""}[i%3])
				return err
			})
			again(func() error {
				_, err := d.SetStatus(o.ctx, ticket.Actor{}, id, []ticket.Status{ticket.Open, ticket.Pending, ticket.Solved}[i%3])
				return err
			})
			// A note has no key: what failed may have been done.
			wg.Go(func() { _, _ = d.Note(o.ctx, "bo", id, "note") })
		}
		wg.Wait()
	}, func(o *office) {
		tk := o.only()
		ms := o.timeline(tk.ID)
		require.Equal(t, len(ms), tk.MessageCount)
		count := map[ticket.Direction]int{}
		for _, m := range ms {
			count[m.Direction]++
		}
		require.Equal(t, 9, count[ticket.In])
		require.Equal(t, 8+1, count[ticket.Out], "each answer once, and the automatic one")
		c, err := o.desk.Conversation(o.ctx, tk.Conversation)
		require.NoError(t, err)
		require.Equal(t, 18, c.MessageCount, "notes aside")
		require.Len(t, o.net.Sent(box), 9)
	})
}
