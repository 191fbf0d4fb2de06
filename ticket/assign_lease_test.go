package ticket_test

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// Each queue whose lease a dead node holds would otherwise keep one of the few
// workers waiting for as long as the lease lasts.
func TestLeasesOfADeadNodeHoldUpNothingButTheirQueues(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		begun := time.Now()
		for i := range 8 {
			q := routing.QueueID(fmt.Sprint("queue", i))
			require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: q, Agents: []routing.AgentID{"an"}}))
			o.settle()
			held, err := o.cfg.Store.Lease(o.ctx, "assign:"+string(q), "dead", time.Now(), begun.Add(time.Minute))
			require.NoError(t, err)
			require.True(t, held)
			address := fmt.Sprintf("box%d@portal.example", i)
			o.mailbox(address, ticket.Settings{Queue: q})
			o.write(address, "a@c.example", "Hi", "x")
		}
		o.mailbox(box, answering())
		o.write(box, "b@c.example", "Hi", "x")
		time.Sleep(15 * time.Second)
		require.Less(t, time.Since(begun), 50*time.Second)
		require.Len(t, o.net.Sent(box), 1, "the automatic reply, and nobody waits for the dead")
		require.Equal(t, 8, o.owners()[""])
		time.Sleep(time.Minute)
		require.Zero(t, o.owners()[""], "its queues go on when the leases are over")
	})
}

// While one node looks at a queue for long, what else comes in makes no more and
// more work for the others.
func TestTriggersThatWaitForAnotherNodesLookBecomeOne(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		s := &triggers{Store: o.cfg.Store}
		o.stop()
		o.cfg.Store = s
		o.open()
		o.mailbox(box, ticket.Settings{Queue: "support"})
		begun := time.Now()
		held, err := s.Lease(o.ctx, "assign:support", "another", begun, begun.Add(time.Hour))
		require.NoError(t, err)
		require.True(t, held)
		const mails = 40
		for i := range mails {
			o.write(box, fmt.Sprintf("c%d@c%d.example", i, i), "Hi", "x")
		}
		time.Sleep(time.Minute)
		require.LessOrEqual(t, s.left(), 2)
		require.Equal(t, mails, o.owners()[""])
		time.Sleep(time.Hour)
		require.Zero(t, o.owners()[""])
		require.Zero(t, s.left())
	})
}

// triggers counts those that are in the store.
type triggers struct {
	ticket.Store
	mu  sync.Mutex
	ids map[ticket.WorkID]bool
}

func (s *triggers) Commit(ctx context.Context, c *ticket.Changes) error {
	err := s.Store.Commit(ctx, c)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ids == nil {
		s.ids = map[ticket.WorkID]bool{}
	}
	if err == nil {
		for _, w := range c.Works {
			if w.Kind == ticket.WorkAssign {
				s.ids[w.ID] = true
			}
		}
		for _, d := range c.Done {
			delete(s.ids, d.ID)
		}
	}
	return err
}

func (s *triggers) left() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ids)
}

// meanwhile calls a function before a commit that assigns something.
type meanwhile struct {
	ticket.Store
	f func()
}

func (s *meanwhile) Commit(ctx context.Context, c *ticket.Changes) error {
	if f := s.f; f != nil && slices.ContainsFunc(c.Events, func(e *ticket.Event) bool { return e.Type == ticket.EventAssigned }) {
		s.f = nil
		f()
	}
	return s.Store.Commit(ctx, c)
}

func TestCapacityThatIsTakenAwayWhileWorkIsGivenIsNotExceeded(t *testing.T) {
	t.Parallel()
	for _, by := range []string{"the policy", "a person"} {
		t.Run(by+" gave the work before", func(t *testing.T) {
			var s *meanwhile
			inOffice(t, func(c *ticket.Config) {
				s = &meanwhile{Store: c.Store}
				c.Store = s
			}, func(o *office) {
				agents := []routing.AgentID{"an"}
				if by == "a person" {
					agents = nil
				}
				require.NoError(t, o.desk.PutAgent(o.ctx, routing.Agent{ID: "an", Capacity: 5}))
				require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "support", Name: "Support", Agents: agents}))
				o.mailbox(box, ticket.Settings{Queue: "support"})
				o.write(box, "mai@c.example", "First", "Hi")
				if by == "a person" {
					_, err := o.desk.Assign(o.ctx, ticket.Actor{Kind: ticket.ActorHost}, o.only().ID, "an")
					require.NoError(t, err)
					require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "support", Name: "Support", Agents: []routing.AgentID{"an"}}))
				}
				require.Equal(t, map[routing.AgentID]int{"an": 1}, o.owners())
				s.f = func() { require.NoError(t, o.desk.PutAgent(o.ctx, routing.Agent{ID: "an", Capacity: 1})) }
				o.write(box, "nga@c.example", "Second", "Hi")
				require.Nil(t, s.f)
				require.Equal(t, map[routing.AgentID]int{"an": 1, "": 1}, o.owners())
			})
		})
	}
}
