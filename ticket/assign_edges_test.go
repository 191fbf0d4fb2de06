package ticket_test

import (
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

func TestQueuesThatOverflowIntoEachOtherComeToRest(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		q := func(id, over routing.QueueID) error {
			return o.desk.PutQueue(o.ctx, routing.Queue{ID: id, Agents: []routing.AgentID{"an"}, PreferOnline: true, WhenNoneOnline: routing.Wait,
				Overflow: over, OverflowAfter: time.Minute})
		}
		require.NoError(t, q("one", ""))
		require.NoError(t, q("two", "one"))
		if q("one", "two") != nil {
			return // refusing is fine
		}
		var commits atomic.Int64
		o.back.Fail(func(op string) error {
			if op == "commit" && commits.Add(1) > 2000 {
				return errors.New("enough")
			}
			return nil
		})
		o.mailbox(box, ticket.Settings{Queue: "one"})
		o.write(box, "a@c.example", "Hi", "x")
		time.Sleep(10 * time.Minute)
		require.Less(t, commits.Load(), int64(200), "commits in ten minutes")
	})
}

func TestImportedMailTellsNobody(t *testing.T) {
	var system *channeltest.Network
	inOffice(t, func(c *ticket.Config) { system, c.System = systemSender(t) }, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support", NotifyAgent: true})
		it := o.net.Item(box, channel.Message{From: from("a@c.example"), Text: "x"})
		it.Imported = true
		require.NoError(t, o.net.Deliver(o.ctx, box, it))
		time.Sleep(time.Minute)
		require.Empty(t, system.Sent("sys@portal.example"))
	})
}

func TestAnAgentsRobotDoesNotLoopWithNotices(t *testing.T) {
	for name, auto := range map[string]channel.Automatic{"a robot without headers": {}, "a marked responder that answers each": {Kind: channel.AutomaticReply, Reason: "Auto-Submitted"}} {
		t.Run(name, func(t *testing.T) {
			var system *channeltest.Network
			inOffice(t, func(c *ticket.Config) { system, c.System = systemSender(t) }, func(o *office) {
				o.mailbox(box, ticket.Settings{Queue: "support", NotifyAgent: true})
				o.write(box, "mai@c.example", "Hi", "x")
				seen := 0
				for range 24 * 60 {
					for _, s := range system.Sent("sys@portal.example")[seen:] {
						seen++
						m := s.Answer("I am away")
						m.Automatic = auto
						_, err := o.net.Write(o.ctx, box, m)
						require.NoError(t, err)
					}
					time.Sleep(time.Minute)
				}
				require.Less(t, seen, 100, "notices in a day, of one human mail")
			})
		})
	}
}

func TestADeadPolicyDecisionHoldsUpNobodyElse(t *testing.T) {
	inOffice(t, func(c *ticket.Config) {
		c.Policies = map[string]routing.Policy{"host": routing.PolicyFunc(func(s routing.Snapshot) routing.Decision {
			if s.Item.Subject == "poison" {
				panic("poison")
			}
			return routing.Decision{Agent: "an"}
		})}
	}, func(o *office) {
		require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "q", Agents: []routing.AgentID{"an"}, Policy: "host"}))
		o.mailbox(box, ticket.Settings{Queue: "q"})
		o.write(box, "a@c.example", "poison", "x")
		o.write(box, "b@c.example", "fine", "x")
		time.Sleep(24 * time.Hour)
		require.Equal(t, map[routing.AgentID]int{"an": 1, "": 1}, o.owners())
	})
}

func TestAPolicyThatIgnoresCapacityHoldsUpNobodyElse(t *testing.T) {
	inOffice(t, func(c *ticket.Config) {
		c.Policies = map[string]routing.Policy{"host": routing.PolicyFunc(func(s routing.Snapshot) routing.Decision {
			if s.Item.Subject == "for bo" {
				return routing.Decision{Agent: "bo"}
			}
			return routing.Decision{Agent: "an"}
		})}
	}, func(o *office) {
		require.NoError(t, o.desk.PutAgent(o.ctx, routing.Agent{ID: "an", Capacity: 1}))
		require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "q", Agents: []routing.AgentID{"an", "bo"}, Policy: "host"}))
		o.mailbox(box, ticket.Settings{Queue: "q"})
		o.write(box, "a@c.example", "one", "x")
		o.write(box, "b@c.example", "two", "x")
		o.write(box, "c@c.example", "for bo", "x")
		time.Sleep(24 * time.Hour)
		require.Equal(t, map[routing.AgentID]int{"an": 1, "bo": 1, "": 1}, o.owners())
	})
}

func TestWhenTheLastOnlineAgentLeavesWaitingWorkIsLookedAt(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		require.NoError(t, o.desk.PutAgent(o.ctx, routing.Agent{ID: "an", Capacity: 1}))
		o.mailbox(box, ticket.Settings{Queue: "support", PreferOnline: true})
		o.online("an")
		o.write(box, "a@c.example", "one", "x")
		o.write(box, "b@c.example", "two", "x")
		require.Equal(t, map[routing.AgentID]int{"an": 1, "": 1}, o.owners())
		require.NoError(t, o.desk.SetPresence(o.ctx, "an", routing.Offline, 0))
		time.Sleep(24 * time.Hour)
		require.Equal(t, map[routing.AgentID]int{"an": 1, "bo": 1}, o.owners(), "none is online: a random agent of the queue")
	})
}

func TestThePolicyKeepsWhoHadItBefore(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		o.write(box, "a@c.example", "Hi", "x")
		tk := o.only()
		_, err := o.desk.Assign(o.ctx, ticket.Actor{}, tk.ID, "")
		require.NoError(t, err)
		o.settle()
		require.Equal(t, tk.Assignee, o.only().Previous)
	})
}

func TestPresenceOnANodeThatDoesNotKnowTheQueueYet(t *testing.T) {
	inOffice(t, func(c *ticket.Config) { c.Timing.Poll, c.Timing.Refresh = time.Second, 1000*time.Hour }, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support", PreferOnline: true, WhenNoneOnline: routing.Wait})
		o.write(box, "a@c.example", "Hi", "x")
		other, err := ticket.New(o.cfg)
		require.NoError(t, err)
		require.NoError(t, other.PutAgent(o.ctx, routing.Agent{ID: "cy", Name: "Cy"}))
		require.NoError(t, other.PutQueue(o.ctx, routing.Queue{ID: "support", Agents: []routing.AgentID{"cy"}}))
		time.Sleep(time.Minute)
		o.online("cy")
		time.Sleep(3 * time.Hour)
		require.EqualValues(t, "cy", o.only().Assignee)
	})
}

func TestWorkThatMustWaitDoesNotHideWorkThatNeedNot(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support", PreferOnline: true, WhenNoneOnline: routing.Wait})
		o.mailbox("sales@portal.example", ticket.Settings{Queue: "support"})
		for i := range 30 {
			o.write(box, fmt.Sprintf("c%d@c.example", i), "Hi", "x")
		}
		o.write("sales@portal.example", "z@c.example", "Hi", "x")
		time.Sleep(24 * time.Hour)
		require.Equal(t, 30, o.owners()[""])
	})
}

func systemSender(t *testing.T) (*channeltest.Network, channel.Sender) {
	n := channeltest.NewNetwork()
	s, err := n.Open(t.Context(), channel.Account{ID: "sys", Kind: channeltest.KindMemory, Config: []byte(`{"address":"sys@portal.example","mail":true,"send_only":true}`)}, channel.Env{})
	require.NoError(t, err)
	return n, s.(channel.Sender)
}

// Capacity is freed on a node that does not know yet that the agent is in the
// queue: another node has put it there.
func TestRoomOnANodeThatDoesNotKnowTheQueueYet(t *testing.T) {
	inOffice(t, func(c *ticket.Config) { c.Timing.Poll, c.Timing.Refresh = time.Second, 1000*time.Hour }, func(o *office) {
		require.NoError(t, o.desk.PutAgent(o.ctx, routing.Agent{ID: "cy", Capacity: 1}))
		o.mailbox(box, ticket.Settings{Queue: "support"})
		other, err := ticket.New(o.cfg)
		require.NoError(t, err)
		require.NoError(t, other.PutQueue(o.ctx, routing.Queue{ID: "support", Agents: []routing.AgentID{"cy"}}))
		o.write(box, "a@c.example", "Hi", "x")
		first := o.only()
		o.write(box, "b@c.example", "Hi", "x")
		time.Sleep(time.Minute)
		require.Equal(t, map[routing.AgentID]int{"cy": 1, "": 1}, o.owners())
		_, err = o.desk.SetStatus(o.ctx, ticket.Agent("cy"), first.ID, ticket.Solved)
		require.NoError(t, err)
		time.Sleep(3 * time.Hour)
		require.Equal(t, map[routing.AgentID]int{"cy": 2}, o.owners())
	})
}

func TestMoreCapacityOnANodeThatDoesNotKnowTheQueueYet(t *testing.T) {
	inOffice(t, func(c *ticket.Config) { c.Timing.Poll, c.Timing.Refresh = time.Second, 1000*time.Hour }, func(o *office) {
		require.NoError(t, o.desk.PutAgent(o.ctx, routing.Agent{ID: "cy", Capacity: 1}))
		o.mailbox(box, ticket.Settings{Queue: "support"})
		other, err := ticket.New(o.cfg)
		require.NoError(t, err)
		require.NoError(t, other.PutQueue(o.ctx, routing.Queue{ID: "support", Agents: []routing.AgentID{"cy"}}))
		o.write(box, "a@c.example", "Hi", "x")
		o.write(box, "b@c.example", "Hi", "x")
		time.Sleep(time.Minute)
		require.Equal(t, map[routing.AgentID]int{"cy": 1, "": 1}, o.owners())
		require.NoError(t, o.desk.PutAgent(o.ctx, routing.Agent{ID: "cy", Capacity: 2}))
		time.Sleep(time.Minute)
		require.Equal(t, map[routing.AgentID]int{"cy": 2}, o.owners())
	})
}

// Much work that nobody can take costs little whenever more comes, and hides
// none that somebody can.
func TestALookAtMuchWorkThatMustWaitReadsLittle(t *testing.T) {
	var snapshots atomic.Int64
	inOffice(t, nil, func(o *office) {
		require.NoError(t, o.desk.PutAgent(o.ctx, routing.Agent{ID: "an", Capacity: 1}))
		require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "support", Agents: []routing.AgentID{"an"}}))
		o.mailbox(box, ticket.Settings{Queue: "support"})
		for i := range 180 {
			require.NoError(t, o.net.Deliver(o.ctx, box, o.net.Item(box, mail(fmt.Sprintf("c%d@c.example", i), fmt.Sprint(i)))))
		}
		o.settle()
		o.back.Fail(func(op string) error {
			if op == "snapshot" {
				snapshots.Add(1)
			}
			return nil
		})
		o.write(box, "one@more.example", "Hi", "x")
		require.Less(t, snapshots.Load(), int64(12), "for one mail")
		snapshots.Store(0)
		require.NoError(t, o.desk.PutAgent(o.ctx, routing.Agent{ID: "an", Capacity: 4}))
		o.settle()
		require.Less(t, snapshots.Load(), int64(20), "for three that find room")
		got := map[int64]bool{}
		ts, _, err := o.desk.Tickets(o.ctx, ticket.TicketFilter{Assignee: "an"}, ticket.Page{})
		require.NoError(t, err)
		for _, tk := range ts {
			got[tk.Number] = true
		}
		require.Equal(t, map[int64]bool{1: true, 2: true, 3: true, 4: true}, got, "in the order in which they came")
	})
}

// A look that takes longer than its lease, since a host's policy does, keeps it.
func TestALongLookAtAQueueIsMadeByOneNode(t *testing.T) {
	var looking, most atomic.Int32
	inOffice(t, func(c *ticket.Config) {
		c.Timing.Poll, c.Timing.Refresh = time.Second, time.Second
		c.Policies = map[string]routing.Policy{"slow": routing.PolicyFunc(func(routing.Snapshot) routing.Decision {
			most.Store(max(most.Load(), looking.Add(1)))
			defer looking.Add(-1)
			time.Sleep(50 * time.Second)
			return routing.Decision{Agent: "an"}
		})}
	}, func(o *office) {
		other := &office{t: t, ctx: o.ctx, back: o.back, net: o.net, cfg: o.cfg}
		other.open()
		defer func() { other.stop() }()
		require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "support", Agents: []routing.AgentID{"an"}, Policy: "slow"}))
		o.mailbox(box, ticket.Settings{Queue: "support"})
		for i := range 10 {
			o.write(box, fmt.Sprintf("c%d@c.example", i), "Hi", "x")
		}
		time.Sleep(time.Hour)
		require.Equal(t, map[routing.AgentID]int{"an": 10}, o.owners())
		require.EqualValues(t, 1, most.Load(), "looks at once")
	})
}

// a host's policies send work around in a circle.
func TestPoliciesThatSendWorkInACircleComeToRest(t *testing.T) {
	inOffice(t, func(c *ticket.Config) {
		c.Policies = map[string]routing.Policy{"host": routing.PolicyFunc(func(s routing.Snapshot) routing.Decision {
			return routing.Decision{Queue: map[routing.QueueID]routing.QueueID{"one": "two", "two": "one"}[s.Queue.ID]}
		})}
	}, func(o *office) {
		for _, q := range []routing.QueueID{"one", "two"} {
			require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: q, Agents: []routing.AgentID{"an"}, Policy: "host"}))
		}
		var commits atomic.Int64
		o.back.Fail(func(op string) error {
			if op == "commit" && commits.Add(1) > 2000 {
				return fmt.Errorf("enough")
			}
			return nil
		})
		o.mailbox(box, ticket.Settings{Queue: "one"})
		o.write(box, "a@c.example", "Hi", "x")
		time.Sleep(10 * time.Minute)
		require.Less(t, commits.Load(), int64(1000), "commits in ten minutes")
	})
}
