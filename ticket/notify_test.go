package ticket_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

const sys = "sys@portal.example" // what notices leave by

// notified is an office with one agent, an, who is told of each assignment.
func notified(t *testing.T, change func(*ticket.Config), f func(o *office, system *channeltest.Network)) {
	t.Helper()
	var system *channeltest.Network
	inOffice(t, func(c *ticket.Config) {
		system, c.System = systemSender(t)
		if change != nil {
			change(c)
		}
	}, func(o *office) {
		require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "support", Agents: []routing.AgentID{"an"}}))
		o.mailbox(box, ticket.Settings{Queue: "support", NotifyAgent: true})
		f(o, system)
	})
}

// notices are the outcomes of the decisions on notices, over all tickets.
func (o *office) notices() map[string]int {
	o.t.Helper()
	out := map[string]int{}
	for _, tk := range o.allTickets() {
		why, err := o.desk.ExplainTicket(o.ctx, tk.ID)
		require.NoError(o.t, err)
		for _, d := range why {
			if d.Kind == "notify" {
				out[d.Outcome+" "+d.Steps[0].Rule]++
			}
		}
	}
	return out
}

// What answers a notice comes from another address than the agent's, and
// carries nothing of ours: prose of a relay, an alias, a mobile account.
func TestARelayThatBouncesNoticesInProseDoesNotLoop(t *testing.T) {
	var system *channeltest.Network
	inOffice(t, func(c *ticket.Config) { system, c.System = systemSender(t) }, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support", NotifyAgent: true})
		o.write(box, "mai@c.example", "Hi", "x")
		seen := 0
		for range 24 * 60 {
			for range system.Sent(sys)[seen:] {
				seen++
				_, err := o.net.Write(o.ctx, box, channel.Message{From: channel.Party{Address: "postmaster@office.example"}, Subject: "Your mail", Text: "could not be put into a box"})
				require.NoError(t, err)
			}
			time.Sleep(time.Minute)
		}
		require.Less(t, seen, 100, "notices in a day, of one human mail")
	})
}

func TestNoticesAreCapped(t *testing.T) {
	const many = 10
	each := func(i int) string { return fmt.Sprintf("c%d@customers%d.example", i, i) }
	one := func(int) string { return "loud@customers.example" }
	for name, tt := range map[string]struct {
		caps ticket.Caps
		from func(int) string
		rule string
	}{
		"of an agent in an hour":    {ticket.Caps{NoticeAgentHour: 3}, each, "cap_notice_agent_hour"},
		"of an agent in a day":      {ticket.Caps{NoticeAgentDay: 3}, each, "cap_notice_agent_day"},
		"of a domain in an hour":    {ticket.Caps{NoticeDomainHour: 3}, each, "cap_notice_domain_hour"},
		"of a channel in an hour":   {ticket.Caps{NoticeChannelHour: 3}, each, "cap_notice_channel_hour"},
		"about a customer, by hour": {ticket.Caps{NoticeCustomerHour: 3}, one, "cap_notice_customer_hour"},
		"about a customer, by day":  {ticket.Caps{NoticeCustomerHour: -1, NoticeCustomerDay: 3}, one, "cap_notice_customer_day"},
	} {
		t.Run(name, func(t *testing.T) {
			notified(t, func(c *ticket.Config) { c.Caps = tt.caps }, func(o *office, system *channeltest.Network) {
				for i := range many {
					o.write(box, tt.from(i), fmt.Sprint("Hi ", i), "x")
				}
				require.Len(t, system.Sent(sys), 3)
				require.Equal(t, map[string]int{"sent caps": 3, "capped " + tt.rule: many - 3}, o.notices(), "each is explained")
				require.Equal(t, map[ticketAgent]int{"an": many}, o.owners(), "and the work is assigned all the same")
				time.Sleep(28 * time.Hour)
				o.settle()
				require.Len(t, system.Sent(sys), 3, "what a cap stopped is not sent later")
				o.write(box, tt.from(many), "Hi again", "x")
				require.Len(t, system.Sent(sys), 4, "and the window ends")
			})
		})
	}
}

func TestANoticeThatWasNotSentDoesNotCount(t *testing.T) {
	notified(t, func(c *ticket.Config) { c.Caps = ticket.Caps{NoticeAgentHour: 1} }, func(o *office, system *channeltest.Network) {
		for range 3 { // refused at the final dot, which is past the mark
			system.Fail(sys, channeltest.Fault{Err: &channel.SendError{Outcome: channel.NotSent, Reason: "451 not now"}})
		}
		o.write(box, "mai@c.example", "Hi", "x")
		time.Sleep(time.Minute)
		require.Len(t, system.Sent(sys), 1)
		require.Equal(t, map[string]int{"sent caps": 1}, o.notices())
	})
}

// slow is a sender that takes its time before the point of no return.
type slow struct{ channel.Sender }

func (s slow) Send(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
	time.Sleep(10 * time.Second)
	return s.Sender.Send(ctx, out)
}

// Two workers, of one node or of two, have both seen room.
func TestACapOfNoticesHoldsForThoseUnderWayAtOnce(t *testing.T) {
	notified(t, func(c *ticket.Config) { c.Caps, c.System = ticket.Caps{NoticeAgentHour: 1}, slow{c.System} }, func(o *office, system *channeltest.Network) {
		o.write(box, "mai@c.example", "Hi", "x")
		o.write(box, "linh@d.example", "Hi", "x")
		time.Sleep(time.Hour)
		require.Len(t, system.Sent(sys), 1)
		require.Equal(t, map[string]int{"sent caps": 1, "capped caps": 1}, o.notices())
	})
}
