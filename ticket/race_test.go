package ticket_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// hammer does at random what admins, agents and customers do, all at once.
type hammer struct {
	o   *office
	rnd *rand.Rand
	id  int
	own channel.ID // a channel that this one connects and removes
	n   int
}

// one does one thing. Whether it succeeds depends on what the others do; what
// must hold is looked at when all is quiet.
func (h *hammer) one() {
	o, d, ctx := h.o, h.o.desk, h.o.ctx
	agent := []routing.AgentID{"an", "bo", "cy"}[h.rnd.IntN(3)]
	h.n++
	pick := func() *ticket.Ticket {
		ts, _, err := d.Tickets(ctx, ticket.TicketFilter{}, ticket.Page{Limit: 30})
		if err != nil || len(ts) == 0 {
			return nil
		}
		return ts[h.rnd.IntN(len(ts))]
	}
	switch h.rnd.IntN(13) {
	case 0:
		if h.own != "" {
			_ = d.Disconnect(ctx, h.own)
			h.own = ""
		} else if ch, err := d.Connect(ctx, mailAccount(fmt.Sprintf("box%d@portal.example", h.id)), ticket.Settings{Queue: "support"}); err == nil {
			h.own = ch.ID
		}
	case 1:
		name := fmt.Sprint("Name ", h.n)
		_, _ = d.Update(ctx, h.own, ticket.ChannelPatch{Name: &name, Settings: &ticket.Settings{Queue: "support", Inactive: h.n%4 == 0}})
	case 2, 3, 4:
		m := mail(fmt.Sprintf("c%d@c.example", h.rnd.IntN(20)), fmt.Sprint(h.id, ".", h.n), fmt.Sprint(h.id, ".", h.rnd.IntN(h.n+1)))
		to := box
		if h.own != "" && h.n%2 == 0 {
			to = fmt.Sprintf("box%d@portal.example", h.id)
		}
		_ = o.net.Deliver(ctx, to, o.net.Item(to, m))
	case 5:
		if tk := pick(); tk != nil {
			_, _ = d.Reply(ctx, tk.ID, ticket.Draft{By: agent, Text: "x"})
		}
	case 6:
		if tk := pick(); tk != nil {
			ms, _, _ := d.Timeline(ctx, ticket.MessageFilter{Ticket: tk.ID, NewestFirst: true}, ticket.Page{Limit: 3})
			for _, m := range ms {
				_, _ = d.Cancel(ctx, ticket.Agent(agent), m.ID)
			}
		}
	case 7:
		if tk := pick(); tk != nil {
			_, _ = d.Assign(ctx, ticket.Agent(agent), tk.ID, []routing.AgentID{agent, ""}[h.n%2])
		}
	case 8:
		if tk := pick(); tk != nil {
			_, _ = d.SetStatus(ctx, ticket.Agent(agent), tk.ID, []ticket.Status{ticket.Open, ticket.Pending, ticket.Solved, ticket.Closed}[h.rnd.IntN(4)])
		}
	case 9:
		_ = d.PutQueue(ctx, supportQueue([]string{"round_robin", "least_busy", "random"}[h.rnd.IntN(3)]))
	case 10:
		_ = d.SetPresence(ctx, agent, []routing.PresenceState{routing.Online, routing.Away, routing.Offline}[h.rnd.IntN(3)], time.Hour)
	case 11:
		_, _ = d.Channels(ctx)
	case 12:
		if tk := pick(); tk != nil && h.n%5 == 0 {
			_ = d.DeleteTicket(ctx, ticket.Agent(agent), tk.ID)
		}
	}
}

func supportQueue(policy string) routing.Queue {
	return routing.Queue{ID: "support", Name: "Support", Agents: []routing.AgentID{"an", "bo", "cy"}, Policy: policy,
		PreferOnline: true, WhenNoneOnline: routing.Wait}
}

func TestEverythingAtOnceOnARunningDesk(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		for i, a := range []routing.AgentID{"an", "bo", "cy"} {
			require.NoError(t, o.desk.PutAgent(o.ctx, routing.Agent{ID: a, Name: string(a), Capacity: 4 + 2*i}))
		}
		require.NoError(t, o.desk.PutQueue(o.ctx, supportQueue("")))
		o.mailbox(box, answering())

		ctx, cancel := context.WithCancel(o.ctx)
		var followed []int64
		var following, wg sync.WaitGroup
		following.Go(func() {
			for e, err := range o.desk.Follow(ctx, 0) {
				if err != nil {
					return
				}
				followed = append(followed, e.Cursor)
			}
		})
		for i := range 8 {
			wg.Go(func() {
				h := &hammer{o: o, id: i, rnd: rand.New(rand.NewPCG(uint64(i), 7))}
				for range 80 {
					h.one()
					time.Sleep(time.Duration(h.rnd.IntN(200)) * time.Millisecond)
				}
			})
		}
		wg.Wait()
		time.Sleep(10 * time.Minute) // what was under way ends
		synctest.Wait()
		require.NoError(t, checkLoads(o.ctx, o.desk))
		requireNobodyWaitsInVain(o)

		all := []routing.AgentID{"an", "bo", "cy"}
		for _, a := range all {
			require.NoError(t, o.desk.SetPresence(o.ctx, a, routing.Offline, 0))
		}
		for _, tk := range o.allTickets()[20:] {
			_, err := o.desk.SetStatus(o.ctx, ticket.Actor{}, tk.ID, ticket.Closed)
			require.NoError(t, err)
		}
		for i := range 8 {
			o.deliver(box, mail(fmt.Sprintf("late%d@c.example", i), fmt.Sprint("late", i)))
		}
		require.GreaterOrEqual(t, o.owners()[""], 8, "none is online, so all wait")
		for _, a := range all {
			require.NoError(t, o.desk.SetPresence(o.ctx, a, routing.Online, 0))
		}
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		require.NoError(t, checkLoads(o.ctx, o.desk))
		requireNobodyWaitsInVain(o)

		cancel()
		following.Wait()
		events, err := allEvents(o.ctx, o.desk)
		require.NoError(t, err)
		require.Len(t, followed, len(events), "who followed has seen all")
		require.True(t, slices.IsSorted(followed))
		requireMessagesAtRest(o, events)
		o.ledger()
	})
}

// requireNobodyWaitsInVain holds that nothing waits while an agent is online
// and has room.
func requireNobodyWaitsInVain(o *office) {
	o.t.Helper()
	waiting := 0
	for _, tk := range o.allTickets() {
		if !tk.WaitingSince.IsZero() {
			require.Empty(o.t, tk.Assignee)
			require.True(o.t, tk.Status.Active())
			waiting++
		}
	}
	agents, err := o.desk.Agents(o.ctx)
	require.NoError(o.t, err)
	for _, a := range agents {
		if a.Presence.State == routing.Online && a.Load < a.Capacity {
			require.Zero(o.t, waiting, "%s is online with %d of %d", a.ID, a.Load, a.Capacity)
		}
	}
}

// requireMessagesAtRest holds that what was written is cancelled, or arrived
// once; only what a removed or inactive channel holds may still be pending.
func requireMessagesAtRest(o *office, events []*ticket.Event) {
	o.t.Helper()
	copies := map[string]int{}
	boxes := []string{box}
	for i := range 8 {
		boxes = append(boxes, fmt.Sprintf("box%d@portal.example", i))
	}
	for _, b := range boxes {
		for _, s := range o.net.Sent(b) {
			copies[s.Out.ID]++
		}
	}
	live := map[channel.ID]bool{}
	chs, err := o.desk.Channels(o.ctx)
	require.NoError(o.t, err)
	for _, c := range chs {
		live[c.ID] = !c.Settings.Inactive
	}
	for _, e := range events {
		if e.Type != ticket.EventMessageCreated {
			continue
		}
		m := o.message(e.Message)
		switch m.State {
		case ticket.StateSent:
			require.Equal(o.t, 1, copies[string(m.ID)])
		case ticket.StateCancelled:
			require.Zero(o.t, copies[string(m.ID)])
		default:
			require.Equal(o.t, ticket.StatePending, m.State)
			require.False(o.t, live[m.Channel], "%s is held by a channel that is on", m.ID)
		}
	}
}
