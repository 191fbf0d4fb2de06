package pgstore

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// Polls are an hour apart here: what is seen was told.
func TestADeskSeesAtOnceWhatAnotherNodeDoes(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	net := channeltest.NewNetwork()
	desk := func(back *Backend) *ticket.Desk {
		d, err := ticket.New(ticket.Config{Store: back.Portal("main"), Connectors: []channel.Connector{net},
			Timing: ticket.Timing{Poll: time.Hour, Refresh: time.Hour}})
		require.NoError(t, err)
		return d
	}
	here, there := desk(a), desk(b)
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var running sync.WaitGroup
	running.Go(func() {
		if err := there.Run(ctx); err != nil {
			t.Error(err)
		}
	})
	defer running.Wait()
	defer stop()

	types := make(chan ticket.EventType, 100)
	running.Go(func() {
		for e, err := range there.Follow(ctx, 0) {
			if err != nil {
				t.Error(err)
				return
			}
			types <- e.Type
		}
	})
	await := func(want ticket.EventType) {
		for timeout := time.After(time.Minute); ; {
			select {
			case got := <-types:
				if got == want {
					return
				}
			case <-timeout:
				t.Fatalf("the other node did not see %s", want)
			}
		}
	}
	require.NoError(t, here.PutAgent(t.Context(), routing.Agent{ID: "an", Name: "An"}))
	await(ticket.EventAgentUpdated)
	require.NoError(t, here.PutQueue(t.Context(), routing.Queue{ID: "support", Name: "Support", Agents: []routing.AgentID{"an"}}))
	// A channel made here is opened there, which receives; the ticket is given
	// away there, since only there a desk runs.
	const box = "help@office.example"
	ch, err := here.Connect(t.Context(), channeltest.MemoryAccount{Address: box, Mail: true}, ticket.Settings{Queue: "support"})
	require.NoError(t, err)
	await(ticket.EventChannelCreated)
	it := net.Item(box, channel.Message{From: channel.Party{Address: "lan@customer.example"}, Subject: "Hi", Text: "Hi"})
	it.Channel = ch.ID
	require.NoError(t, here.Accept(t.Context(), it))
	await(ticket.EventTicketCreated)
	await(ticket.EventAssigned)
}
