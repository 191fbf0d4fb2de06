package ticket_test

import (
	"fmt"
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
