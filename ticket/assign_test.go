package ticket_test

import (
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

// owners counts the tickets of each agent.
func (o *office) owners() map[routing.AgentID]int {
	out := map[routing.AgentID]int{}
	for _, t := range o.tickets() {
		out[t.Assignee]++
	}
	return out
}

func (o *office) online(ids ...routing.AgentID) {
	o.t.Helper()
	for _, id := range ids {
		require.NoError(o.t, o.desk.SetPresence(o.ctx, id, routing.Online, 0))
	}
	o.settle()
}

func TestRoundRobinSharesEvenly(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		for i := range 10 {
			o.write(box, fmt.Sprintf("c%d@c.example", i), "Hi", "x")
		}
		require.Equal(t, map[routing.AgentID]int{"an": 5, "bo": 5}, o.owners())
	})
}

func TestWithNoneOnlineTheSettingDecides(t *testing.T) {
	for _, tt := range []struct {
		name string
		when routing.WhenNoneOnline
		want int // that wait
	}{{"a random agent by default", "", 0}, {"a random agent", routing.AnyAgent, 0}, {"or wait", routing.Wait, 3}} {
		t.Run(tt.name, func(t *testing.T) {
			inOffice(t, nil, func(o *office) {
				o.mailbox(box, ticket.Settings{Queue: "support", PreferOnline: true, WhenNoneOnline: tt.when})
				for i := range 3 {
					o.write(box, fmt.Sprintf("c%d@c.example", i), "Hi", "x")
				}
				require.Equal(t, tt.want, o.owners()[""])
			})
		})
	}
}

func TestWaitingWorkDrainsInOrderWhenAnAgentComesOnline(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		require.NoError(t, o.desk.PutAgent(o.ctx, routing.Agent{ID: "an", Name: "An", Capacity: 2}))
		o.mailbox(box, ticket.Settings{Queue: "support", PreferOnline: true, WhenNoneOnline: routing.Wait})
		for i := range 4 {
			o.write(box, fmt.Sprintf("c%d@c.example", i), "Hi", "x")
		}
		require.Equal(t, 4, o.owners()[""])
		o.online("an")
		ts := o.tickets() // newest first
		require.Equal(t, []routing.AgentID{"", "", "an", "an"}, []routing.AgentID{ts[0].Assignee, ts[1].Assignee, ts[2].Assignee, ts[3].Assignee})

		_, err := o.desk.SetStatus(o.ctx, ticket.Agent("an"), ts[3].ID, ticket.Solved)
		require.NoError(t, err)
		o.settle()
		ts = o.tickets()
		require.EqualValues(t, "an", ts[1].Assignee, "freed capacity takes the next")
		require.Empty(t, ts[0].Assignee)

		require.NoError(t, o.desk.PutAgent(o.ctx, routing.Agent{ID: "an", Name: "An", Capacity: 3}))
		o.settle()
		require.EqualValues(t, "an", o.tickets()[0].Assignee, "more capacity takes the last")
	})
}

func TestAnAgentWhoJoinsTheQueueTakesWhatWaits(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "empty", Name: "Empty"}))
		o.mailbox(box, ticket.Settings{Queue: "empty"})
		o.write(box, "a@c.example", "Hi", "x")
		require.Empty(t, o.only().Assignee)
		require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "empty", Name: "Empty", Agents: []routing.AgentID{"bo"}}))
		o.settle()
		require.EqualValues(t, "bo", o.only().Assignee)
	})
}

func TestCapacityHoldsUnderConcurrencyOnTwoNodes(t *testing.T) {
	inOffice(t, func(c *ticket.Config) { c.Timing.Poll = time.Second }, func(o *office) {
		for _, a := range []routing.AgentID{"an", "bo"} {
			require.NoError(t, o.desk.PutAgent(o.ctx, routing.Agent{ID: a, Name: "x", Capacity: 7}))
		}
		ch := o.mailbox(box, ticket.Settings{Queue: "support"})
		cfg := o.cfg
		other, err := ticket.New(cfg)
		require.NoError(t, err)
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				d := o.desk
				if i%2 == 0 {
					d = other
				}
				m := mail(fmt.Sprintf("c%d@c.example", i), fmt.Sprint(i))
				require.NoError(t, d.Accept(o.ctx, &channel.Item{Channel: ch.ID, Keys: []channel.Key{channel.Key(fmt.Sprint(i))}, Message: &m}))
			})
		}
		wg.Wait()
		time.Sleep(5 * time.Second)
		require.Equal(t, map[routing.AgentID]int{"an": 7, "bo": 7, "": 26}, o.owners())
		agents, err := o.desk.Agents(o.ctx)
		require.NoError(t, err)
		require.Equal(t, 7, agents[0].Load)

		// A person may go beyond.
		for _, tk := range o.tickets() {
			if tk.Assignee == "" {
				_, err := o.desk.Assign(o.ctx, ticket.Actor{}, tk.ID, "an")
				require.NoError(t, err)
				break
			}
		}
		require.Equal(t, 8, o.owners()["an"])
	})
}

func TestPresenceLapses(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support", PreferOnline: true, WhenNoneOnline: routing.Wait})
		require.NoError(t, o.desk.SetPresence(o.ctx, "an", routing.Online, time.Minute))
		o.write(box, "a@c.example", "Hi", "x")
		require.EqualValues(t, "an", o.only().Assignee)
		time.Sleep(2 * time.Minute)
		o.write(box, "b@c.example", "Hi", "x")
		require.Empty(t, o.tickets()[0].Assignee)
		require.ErrorIs(t, o.desk.SetPresence(o.ctx, "nobody", routing.Online, 0), ticket.ErrNotFound)
	})
}

func TestOverflow(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "vip", Name: "VIP", Agents: []routing.AgentID{"an"}, PreferOnline: true,
			WhenNoneOnline: routing.Wait, Overflow: "support", OverflowAfter: 10 * time.Minute}))
		o.mailbox(box, ticket.Settings{Queue: "vip"})
		o.write(box, "a@c.example", "Hi", "x")
		time.Sleep(9 * time.Minute)
		require.EqualValues(t, "vip", o.only().Queue)
		require.Empty(t, o.only().Assignee)
		time.Sleep(2 * time.Minute)
		require.EqualValues(t, "support", o.only().Queue)
		require.NotEmpty(t, o.only().Assignee)
	})
}

func TestAHostsOwnPolicyAndItsReason(t *testing.T) {
	inOffice(t, func(c *ticket.Config) {
		c.Policies = map[string]routing.Policy{"bo_only": routing.PolicyFunc(func(routing.Snapshot) routing.Decision {
			return routing.Decision{Agent: "bo", Reason: "always Bo"}
		})}
	}, func(o *office) {
		require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "support", Name: "S", Agents: []routing.AgentID{"an", "bo"}, Policy: "bo_only"}))
		o.mailbox(box, ticket.Settings{Queue: "support"})
		o.write(box, "a@c.example", "Hi", "x")
		require.EqualValues(t, "bo", o.only().Assignee)
		why, err := o.desk.Explain(o.ctx, o.timeline(o.only().ID)[0].ID)
		require.NoError(t, err)
		last := why[len(why)-1]
		require.Equal(t, "assign", last.Kind)
		require.Equal(t, "always Bo", last.Steps[0].Detail)
	})
}

func TestAPolicyThatPanicsParksNothingAndLosesNothing(t *testing.T) {
	var broken atomic.Bool
	broken.Store(true)
	inOffice(t, func(c *ticket.Config) {
		c.Policies = map[string]routing.Policy{"broken": routing.PolicyFunc(func(routing.Snapshot) routing.Decision {
			if broken.Load() {
				panic("policy")
			}
			return routing.Decision{Agent: "an"}
		})}
	}, func(o *office) {
		require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "support", Name: "S", Agents: []routing.AgentID{"an"}, Policy: "broken"}))
		o.mailbox(box, ticket.Settings{Queue: "support"})
		o.write(box, "a@c.example", "Hi", "x")
		require.Empty(t, o.only().Assignee)
		broken.Store(false)
		time.Sleep(time.Hour)
		require.EqualValues(t, "an", o.only().Assignee)
	})
}

func TestAConversationWithoutATicketIsWorkToo(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{Queue: "support"})
		o.deliver("page", channel.Message{From: from("psid1"), Text: "hello", NoTicket: true})
		require.Empty(t, o.tickets())
		cs, _, err := o.desk.Conversations(o.ctx, ticket.ConversationFilter{WithoutTicket: true}, ticket.Page{})
		require.NoError(t, err)
		require.Len(t, cs, 1)
		require.NotEmpty(t, cs[0].Assignee, "it is queued and assigned")
		_, err = o.desk.ReplyTo(o.ctx, cs[0].ID, ticket.Draft{By: "an", Text: "Hi"})
		require.NoError(t, err)
		time.Sleep(15 * time.Second)
		require.Len(t, o.net.Sent("page"), 1)

		tk, err := o.desk.MakeTicket(o.ctx, ticket.Agent("an"), cs[0].ID)
		require.NoError(t, err)
		require.Equal(t, cs[0].Assignee, tk.Assignee)
		again, err := o.desk.MakeTicket(o.ctx, ticket.Agent("an"), cs[0].ID)
		require.NoError(t, err)
		require.Equal(t, tk.ID, again.ID)
		o.deliver("page", channel.Message{From: from("psid1"), Text: "more", NoTicket: true})
		require.Len(t, o.timeline(tk.ID), 1, "what comes now goes to the ticket")
		agents, err := o.desk.Agents(o.ctx)
		require.NoError(t, err)
		require.Equal(t, 1, agents[0].Load+agents[1].Load)
	})
}

func TestTheAgentIsToldByEmail(t *testing.T) {
	system := channeltest.NewNetwork()
	inOffice(t, func(c *ticket.Config) {
		sender, err := system.Open(t.Context(), channel.Account{ID: "sys", Kind: channeltest.KindMemory, Config: []byte(`{"address":"sys@portal.example","mail":true,"send_only":true}`)}, channel.Env{})
		require.NoError(t, err)
		c.System = sender.(channel.Sender)
	}, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support", NotifyAgent: true})
		system.Fail("sys@portal.example", channeltest.Fault{Early: true, Err: &channel.SendError{Outcome: channel.NotSent}})
		o.write(box, "a@c.example", "Question", "x")
		time.Sleep(time.Minute)
		sent := system.Sent("sys@portal.example")
		require.Len(t, sent, 1)
		require.Equal(t, channel.AutoGenerated, sent[0].Out.Automatic)
		require.Equal(t, string(o.only().Assignee)+"@office.example", sent[0].Recipients[0])
		require.Contains(t, sent[0].Out.Subject, "#1")
		o.restart()
		time.Sleep(time.Hour)
		require.Len(t, system.Sent("sys@portal.example"), 1)
	})
}
