package pgstore

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// tallied counts what becomes of the commits of items.
type tallied struct {
	*portal
	items, races, lost atomic.Int64
}

func (s *tallied) Commit(ctx context.Context, c *ticket.Changes) error {
	err := s.portal.Commit(ctx, c)
	if n := len(c.Items); n > 0 {
		s.races.Add(1)
		switch {
		case err == nil:
			s.items.Add(int64(n))
		case errors.Is(err, ticket.ErrConflict):
			s.lost.Add(1)
		}
	}
	return err
}

// A mailbox is read fifty mails at a time, while on other nodes customers write
// one by one in the conversations that those are of.
func TestAGroupOfMailsComesInWhileOthersWriteInItsConversations(t *testing.T) {
	t.Parallel()
	const hot, together, groups = 4, 50, 2
	var stores []*tallied
	o := openDesks(t, 3, func(c *ticket.Config) {
		p, ok := c.Store.(*portal)
		require.True(t, ok)
		stores = append(stores, &tallied{portal: p})
		c.Store = stores[len(stores)-1]
	})
	o.staff(routing.Queue{}, routing.Agent{ID: "a"})
	ch := o.connect(ticket.Settings{})
	letter := func(customer int) *channel.Item {
		n := o.n.Add(1)
		m := channel.Message{From: channel.Party{Address: fmt.Sprintf("c%d@c.example", customer)}, To: []channel.Party{{Address: deskBox}},
			Subject: "Question", Text: "Hi", ExternalID: fmt.Sprintf("m%d@c.example", n)}
		if n > hot {
			m.Evidence.IDs = []string{fmt.Sprintf("m%d@c.example", customer+1)}
		}
		it := o.net.Item(deskBox, m)
		it.Channel = ch.ID
		return it
	}
	for i := range hot {
		require.NoError(t, o.all[0].Accept(t.Context(), letter(i)))
	}
	for _, s := range stores {
		s.items.Store(0)
		s.races.Store(0)
		s.lost.Store(0)
	}

	ctx, stop := context.WithCancel(t.Context())
	var busy sync.WaitGroup
	defer busy.Wait()
	defer stop()
	var single atomic.Int64
	for _, d := range o.all[1:] {
		for first := range 2 {
			busy.Go(func() {
				for i := first; ctx.Err() == nil; i++ {
					it := letter(i % hot)
					for { // until it is taken, as a source does
						err := d.Accept(context.WithoutCancel(ctx), it)
						if err == nil {
							break
						}
						if !errors.Is(err, ticket.ErrBusy) {
							t.Error(err)
							return
						}
					}
					single.Add(1)
				}
			})
		}
	}
	began := time.Now()
	failed := 0
	for range groups {
		items := make([]*channel.Item, together)
		for i := range items {
			items[i] = letter(i % hot)
		}
		for o.all[0].Accept(t.Context(), items...) != nil {
			failed++
		}
	}
	took := time.Since(began)
	stop()
	busy.Wait()
	t.Logf("%d mails in %d groups in %v, after %d groups that were busy: %d of %d commits lost; meanwhile %d single mails: %d of %d lost", groups*together, groups,
		took.Round(time.Millisecond), failed, stores[0].lost.Load(), stores[0].races.Load(), single.Load(), stores[1].lost.Load()+stores[2].lost.Load(),
		stores[1].races.Load()+stores[2].races.Load())
	require.Zero(t, failed, "they are taken apart")
	ledger, err := o.all[0].Ledger(t.Context(), "", time.Time{})
	require.NoError(t, err)
	require.EqualValues(t, hot+groups*together+int(single.Load()), ledger.Messages)
	require.Zero(t, ledger.Duplicates)
	list, _, err := o.all[0].Tickets(t.Context(), ticket.TicketFilter{}, ticket.Page{})
	require.NoError(t, err)
	require.Len(t, list, hot)
}
