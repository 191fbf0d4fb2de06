package ticket_test

import (
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// A policy that takes its time decides anew after a lost race; it holds its
// turn then.
func TestASlowPolicyHoldsUpNobodyElsesRetry(t *testing.T) {
	var asked atomic.Int32
	var lose func() // the next commit loses a race
	inOffice(t, func(c *ticket.Config) {
		c.Policies = map[string]routing.Policy{"slow": routing.PolicyFunc(func(routing.Snapshot) routing.Decision {
			switch asked.Add(1) {
			case 1:
				lose()
			case 2:
				time.Sleep(10 * time.Minute)
			}
			return routing.Decision{Agent: "an"}
		})}
	}, func(o *office) {
		lose = func() {
			var once atomic.Bool
			o.back.Fail(func(op string) error {
				if op == "commit" && !once.Swap(true) {
					return ticket.ErrConflict
				}
				return nil
			})
		}
		o.mailbox(box, ticket.Settings{Queue: "support"})
		require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "support", Agents: []routing.AgentID{"an"}, Policy: "slow"}))
		o.write(box, "mai@c.example", "Hi", "x")
		tk := o.only()
		require.EqualValues(t, 2, asked.Load(), "the policy is at it, with the turn")
		lose()
		began := time.Now()
		o.reply(tk.ID, "Answer")
		require.Less(t, time.Since(began), 5*time.Second)
		time.Sleep(time.Hour)
		require.EqualValues(t, "an", o.only().Assignee)
	})
}

// A race that is lost again and again is nothing that a caller could mend by
// reading again: it is told apart from a stale revision.
func TestAVerbThatLosesEveryRaceSaysBusyAndChangesNothing(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		o.back.Fail(func(op string) error {
			if op == "commit" {
				return ticket.ErrConflict
			}
			return nil
		})
		by := ticket.Agent("an")
		_, err := o.desk.SetStatus(o.ctx, by, tk.ID, ticket.Solved)
		require.ErrorIs(t, err, ticket.ErrBusy)
		require.NotErrorIs(t, err, ticket.ErrConflict)
		_, err = o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "x"})
		require.ErrorIs(t, err, ticket.ErrBusy)
		err = o.net.Deliver(o.ctx, box, o.net.Item(box, mail("linh@c.example", "2")))
		require.Error(t, err)
		require.NotErrorIs(t, err, channel.ErrRejected, "the source sends it again")
		_, err = o.desk.UpdateTicket(o.ctx, by, tk.ID, ticket.TicketPatch{Revision: tk.Revision + 1})
		require.ErrorIs(t, err, ticket.ErrConflict)
		o.back.Fail(nil)
		require.Len(t, o.timeline(tk.ID), 1)
		_, err = o.desk.SetStatus(o.ctx, by, tk.ID, ticket.Solved)
		require.NoError(t, err)
		o.deliver(box, mail("linh@c.example", "2"))
		require.Len(t, o.tickets(), 2)
	})
}
