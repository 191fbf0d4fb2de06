package ticket_test

import (
	"context"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

// receiving makes channels whose Receive gives away what it got.
type receiving struct {
	*channeltest.Network
	got chan received
}

type received struct {
	ctx  context.Context
	sink channel.Sink
}

func (r receiving) Open(ctx context.Context, a channel.Account, env channel.Env) (channel.Channel, error) {
	ch, err := r.Network.Open(ctx, a, env)
	return receivingChannel{ch, r.got}, err
}

type receivingChannel struct {
	channel.Channel
	got chan received
}

func (r receivingChannel) Receive(ctx context.Context, sink channel.Sink) error {
	r.got <- received{ctx, sink}
	<-ctx.Done()
	return nil
}

// A node that paused for longer than its lease, and wakes while another node
// receives, still believes that it may.
func TestAReceiverWhoseLeaseAnotherHasWritesNothing(t *testing.T) {
	r := receiving{got: make(chan received, 1)}
	inOffice(t, func(c *ticket.Config) {
		r.Network, _ = c.Connectors[0].(*channeltest.Network)
		c.Connectors[0] = r
	}, func(o *office) {
		const box = "help@office.example"
		ch := o.connect(channeltest.MemoryAccount{Address: box, Mail: true, Exclusive: true}, ticket.Settings{})
		got := <-r.got
		item := func() *channel.Item {
			it := o.net.Item(box, channel.Message{From: channel.Party{Address: "lan@customer.example"}, Subject: "Hi", Text: "Hi"})
			it.Channel = ch.ID
			return it
		}
		require.NoError(t, got.sink.Accept(got.ctx, item()))
		later := time.Now().Add(time.Hour)
		taken, err := o.cfg.Store.Lease(o.ctx, "receive:"+string(ch.ID), "another node", later, later.Add(time.Minute))
		require.NoError(t, err)
		require.True(t, taken)
		require.NoError(t, got.ctx.Err(), "it does not know yet")
		require.ErrorIs(t, got.sink.Accept(got.ctx, item()), ticket.ErrNotHeld)
		require.EqualValues(t, 1, o.ledger().Received)
		require.NoError(t, got.sink.Accept(context.WithoutCancel(o.ctx), item()), "a mailbox that is not exclusive needs no lease")
	})
}
