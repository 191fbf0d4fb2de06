package pgstore

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// desks are nodes of one portal, each with a store and a clock of its own.
type desks struct {
	t      *testing.T
	all    []*ticket.Desk
	stores []*Backend
	net    *channeltest.Network
	ahead  []atomic.Int64 // nanoseconds that the clocks are ahead
	n      atomic.Int64   // letters so far
}

const deskBox = "help@office.example"

// start is in the middle of an hour and of a day, of which some caps are.
var start = time.Date(2026, 3, 2, 10, 5, 0, 0, time.UTC)

func openDesks(t *testing.T, nodes int, change func(*ticket.Config)) *desks {
	t.Helper()
	o := &desks{t: t, net: channeltest.NewNetwork(), ahead: make([]atomic.Int64, nodes)}
	name, began := schema(t), time.Now()
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	for i := range nodes {
		b := open(t, cluster.URL(t), Schema(name), Connections(6))
		t.Cleanup(func() { require.NoError(t, b.Close()) })
		o.stores = append(o.stores, b)
		cfg := ticket.Config{Store: b.Portal("main"), Connectors: []channel.Connector{o.net}, Undo: -1,
			Now: func() time.Time { return start.Add(time.Since(began) + time.Duration(o.ahead[i].Load())) }}
		if change != nil {
			change(&cfg)
		}
		d, err := ticket.New(cfg)
		require.NoError(t, err)
		o.all = append(o.all, d)
	}
	t.Cleanup(func() { stop(); running.Wait() })
	for _, d := range o.all {
		running.Go(func() {
			if err := d.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	return o
}

// staff makes agents and a queue of them.
func (o *desks) staff(q routing.Queue, agents ...routing.Agent) {
	o.t.Helper()
	q.ID, q.Name = "support", "Support"
	for _, a := range agents {
		a.Name = string(a.ID)
		require.NoError(o.t, o.all[0].PutAgent(o.t.Context(), a))
		q.Agents = append(q.Agents, a.ID)
	}
	require.NoError(o.t, o.all[0].PutQueue(o.t.Context(), q))
}

// connect makes the mailbox on the first node and waits until all have it.
func (o *desks) connect(s ticket.Settings) *ticket.Channel {
	o.t.Helper()
	s.Queue = "support"
	ch, err := o.all[0].Connect(o.t.Context(), channeltest.MemoryAccount{Address: deskBox, Mail: true}, s)
	require.NoError(o.t, err)
	for _, d := range o.all {
		require.NoError(o.t, d.Refresh(o.t.Context()))
	}
	return ch
}

// write has a node take a new mail.
func (o *desks) write(d *ticket.Desk, ch *ticket.Channel, from string) error {
	n := o.n.Add(1)
	it := o.net.Item(deskBox, channel.Message{From: channel.Party{Address: from}, Subject: fmt.Sprint("Mail ", n), Text: "Hi"})
	it.Channel = ch.ID
	return d.Accept(o.t.Context(), it)
}

// mails has all nodes take mails at once.
func (o *desks) mails(ch *ticket.Channel, each int, from func(node, i int) string) {
	o.t.Helper()
	var wg sync.WaitGroup
	for node, d := range o.all {
		for i := range each {
			wg.Go(func() {
				if err := o.write(d, ch, from(node, i)); err != nil {
					o.t.Errorf("node %d: %v", node, err)
				}
			})
		}
	}
	wg.Wait()
}

// owners counts the tickets of each agent, as a node sees them.
func (o *desks) owners(node int) map[routing.AgentID]int {
	o.t.Helper()
	list, next, err := o.all[node].Tickets(o.t.Context(), ticket.TicketFilter{}, ticket.Page{Limit: 500})
	require.NoError(o.t, err)
	require.Empty(o.t, next)
	out := map[routing.AgentID]int{}
	for _, k := range list {
		out[k.Assignee]++
	}
	return out
}

// eventually waits for what the nodes come to.
func (o *desks) eventually(what string, f func() bool) {
	o.t.Helper()
	require.Eventually(o.t, f, time.Minute, 20*time.Millisecond, what)
}

func stranger(node, i int) string { return fmt.Sprintf("c%d@c%d-%d.example", i, node, i) }

func TestRoundRobinIsOneForAllNodes(t *testing.T) {
	t.Parallel()
	o := openDesks(t, 3, nil)
	o.staff(routing.Queue{}, routing.Agent{ID: "a"}, routing.Agent{ID: "b"}, routing.Agent{ID: "c"}, routing.Agent{ID: "d"})
	ch := o.connect(ticket.Settings{})
	o.mails(ch, 8, stranger)
	o.eventually("all are given away", func() bool { return len(o.owners(0)) == 4 && o.owners(0)[""] == 0 })
	require.Equal(t, map[routing.AgentID]int{"a": 6, "b": 6, "c": 6, "d": 6}, o.owners(1))
}

func TestNoNodeGivesAnAgentMoreThanFits(t *testing.T) {
	t.Parallel()
	o := openDesks(t, 3, nil)
	o.staff(routing.Queue{}, routing.Agent{ID: "a", Capacity: 3}, routing.Agent{ID: "b", Capacity: 2})
	ch := o.connect(ticket.Settings{})
	o.mails(ch, 4, stranger)
	want := func(solved int) map[routing.AgentID]int {
		return map[routing.AgentID]int{"a": 3 + solved, "b": 2, "": 7 - solved}
	}
	o.eventually("they are full", func() bool { return o.owners(0)[""] == 7 })
	require.Equal(t, want(0), o.owners(1))
	// What becomes free on any node is filled once.
	list, _, err := o.all[2].Tickets(t.Context(), ticket.TicketFilter{Assignee: "a"}, ticket.Page{})
	require.NoError(t, err)
	for i, k := range list {
		_, err := o.all[i%3].SetStatus(t.Context(), ticket.Agent("a"), k.ID, ticket.Solved)
		require.NoError(t, err)
	}
	o.eventually("they are full again", func() bool { return o.owners(0)[""] == 7-len(list) })
	require.Equal(t, want(len(list)), o.owners(1))
	for _, a := range o.agents(2) {
		require.Equal(t, a.Capacity, a.Load, "%s", a.ID)
	}
}

// agents lists the agents, as a node sees them.
func (o *desks) agents(node int) []ticket.AgentStatus {
	o.t.Helper()
	list, err := o.all[node].Agents(o.t.Context())
	require.NoError(o.t, err)
	return list
}

func TestCapsOfAutomaticRepliesAreCountedByAllNodesTogether(t *testing.T) {
	t.Parallel()
	o := openDesks(t, 3, func(c *ticket.Config) { c.Caps.AddressHour, c.Caps.DomainHour = 2, 5 })
	o.staff(routing.Queue{}, routing.Agent{ID: "a"})
	ch := o.connect(ticket.Settings{AutoReply: ticket.AutoReply{On: true, Body: "We have it"}})
	// Six of one address, and twelve of one domain.
	o.mails(ch, 2, func(int, int) string { return "robot@machine.example" })
	o.mails(ch, 4, func(node, i int) string { return fmt.Sprintf("r%d-%d@robots.example", node, i) })
	decided := 0
	for ev, err := range o.all[1].Follow(t.Context(), 0) {
		require.NoError(t, err)
		if ev.Type == ticket.EventAutoReply {
			if decided++; decided == 18 {
				break
			}
		}
	}
	o.eventually("they are sent", func() bool { return len(o.net.Sent(deskBox)) == 7 })
	to := map[string]int{}
	for _, s := range o.net.Sent(deskBox) {
		if s.Recipients[0] == "robot@machine.example" {
			to["address"]++
		} else {
			to["domain"]++
		}
	}
	require.Equal(t, map[string]int{"address": 2, "domain": 5}, to)
}

func TestPresenceIsOneForAllNodesAndLapses(t *testing.T) {
	t.Parallel()
	o := openDesks(t, 3, nil)
	o.staff(routing.Queue{PreferOnline: true, WhenNoneOnline: routing.Wait}, routing.Agent{ID: "a"})
	ch := o.connect(ticket.Settings{})
	beat := func(node int) {
		require.NoError(t, o.all[node].SetPresence(t.Context(), "a", routing.Online, time.Minute))
	}
	// The agent's browser is balanced to one node, the mail to another.
	beat(0)
	require.NoError(t, o.write(o.all[1], ch, "one@c.example"))
	o.eventually("who is online gets it", func() bool { return o.owners(2)["a"] == 1 })
	pass := func(d time.Duration) {
		for i := range o.ahead {
			o.ahead[i].Add(int64(d))
		}
	}
	pass(45 * time.Second)
	beat(1)
	pass(45 * time.Second) // the second heartbeat still counts
	require.NoError(t, o.write(o.all[2], ch, "two@c.example"))
	o.eventually("a heartbeat on any node counts", func() bool { return o.owners(0)["a"] == 2 })
	pass(61 * time.Second)
	require.NoError(t, o.write(o.all[0], ch, "three@c.example"))
	for node := range o.all {
		for _, a := range o.agents(node) {
			require.Equal(t, routing.Offline, a.Presence.At(start.Add(10*time.Minute)))
		}
	}
	o.eventually("the queue was looked at, by whichever node", func() bool {
		var left int
		b := o.stores[0]
		require.NoError(t, b.pool.QueryRow(t.Context(), b.sql.in("SELECT count(*) FROM anteroom.works")).Scan(&left))
		return left == 0
	})
	require.Equal(t, map[routing.AgentID]int{"a": 2, "": 1}, o.owners(1))
	beat(2)
	o.eventually("what waits is given to who comes back", func() bool { return o.owners(0)["a"] == 3 })
}

// Clocks that differ by far more than a lease cost time and not correctness:
// what is written is decided by revisions and by who has the lease.
func TestClocksThatDifferSendNothingTwice(t *testing.T) {
	t.Parallel()
	o := openDesks(t, 3, func(c *ticket.Config) { c.Timing.Lease, c.Timing.Poll = 5*time.Second, 50*time.Millisecond })
	o.ahead[1].Store(int64(20 * time.Minute))
	o.ahead[2].Store(int64(-20 * time.Minute))
	o.staff(routing.Queue{}, routing.Agent{ID: "a"}, routing.Agent{ID: "b"})
	ch := o.connect(ticket.Settings{})
	const each = 6
	o.mails(ch, each, stranger)
	o.eventually("all are given away", func() bool { return o.owners(0)[""] == 0 && o.owners(0)["a"] == 3*each/2 })
	list, _, err := o.all[0].Tickets(t.Context(), ticket.TicketFilter{}, ticket.Page{})
	require.NoError(t, err)
	var wg sync.WaitGroup
	for i, k := range list {
		wg.Go(func() {
			if _, err := o.all[i%3].Reply(t.Context(), k.ID, ticket.Draft{By: "a", Text: "Yes"}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, k := range list {
		o.eventually("it is sent, or in doubt", func() bool {
			ms, _, err := o.all[0].Timeline(t.Context(), ticket.MessageFilter{Ticket: k.ID, NewestFirst: true}, ticket.Page{Limit: 1})
			require.NoError(t, err)
			return ms[0].State == ticket.StateSent || ms[0].State == ticket.StateUncertain
		})
	}
	sent := map[string]int{}
	for _, s := range o.net.Sent(deskBox) {
		sent[s.Out.ID]++
		require.Equal(t, 1, sent[s.Out.ID], "copies")
	}
	require.Equal(t, map[routing.AgentID]int{"a": 3 * each / 2, "b": 3 * each / 2}, o.owners(1))
}
