package ticket_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

func TestTheObserverIsToldOfItemsSendsAndWork(t *testing.T) {
	var mu sync.Mutex
	told := map[string]int{}
	note := func(format string, args ...any) {
		mu.Lock()
		defer mu.Unlock()
		told[fmt.Sprintf(format, args...)]++
	}
	type span struct{}
	observer := ticket.Observer{
		Accepted: func(ctx context.Context, _ channel.ID, became ticket.Disposition, cause channel.Cause, _ time.Duration) {
			note("accepted %s %s in %v", became, cause, ctx.Value(span{}))
		},
		Sent: func(_ context.Context, ch channel.ID, id ticket.MessageID, state ticket.OutState, _ time.Duration) {
			note("sent %s %s %s", ch, id, state)
		},
		Worked: func(_ context.Context, w ticket.Work, _ time.Duration, err error) {
			note("worked %s %s %v", w.Kind, w.Ticket, err != nil)
		},
	}
	inOffice(t, func(c *ticket.Config) { c.Observer = observer }, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{Queue: "support"})
		item := &channel.Item{Channel: ch.ID, Keys: []channel.Key{"mail 1"}, Raw: channel.Bytes("x"),
			Message: &channel.Message{From: channel.Party{Address: "mai@c.example"}, Subject: "Hi", Text: "x"}}
		ctx := context.WithValue(o.ctx, span{}, "span 7")
		require.NoError(t, o.desk.Accept(ctx, item))
		require.NoError(t, o.desk.Accept(ctx, item))
		o.back.Fail(func(op string) error {
			if op == "commit" {
				return errors.New("disk full")
			}
			return nil
		})
		item.Keys = []channel.Key{"mail 2"}
		require.Error(t, o.desk.Accept(ctx, item), "nothing is told of what is not committed")
		o.back.Fail(nil)
		o.settle()
		m, err := o.desk.Reply(o.ctx, o.only().ID, ticket.Draft{By: "an", Text: "Hello"})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		o.settle()
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, 1, told["accepted message  in span 7"])
		require.Equal(t, 1, told["accepted duplicate  in span 7"])
		require.Equal(t, 1, told[fmt.Sprintf("sent %s %s sent", ch.ID, m.ID)])
		require.Equal(t, 1, told[fmt.Sprintf("worked send %s false", m.Ticket)])
	})
}

// Config.Observer feeds a host's metrics; what is left out is not told.
func ExampleObserver() {
	counts := make(chan string, 100) // in the place of a library for metrics
	network := channeltest.NewNetwork()
	desk, err := ticket.New(ticket.Config{
		Store: memstore.New().Portal("main"), Connectors: []channel.Connector{network},
		Observer: ticket.Observer{
			Accepted: func(_ context.Context, _ channel.ID, became ticket.Disposition, _ channel.Cause, _ time.Duration) {
				counts <- "accepted: " + string(became)
			},
		},
	})
	if err != nil {
		panic(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	_ = desk.PutAgent(ctx, routing.Agent{ID: "an", Name: "An"})
	_, err = desk.Connect(ctx, channeltest.MemoryAccount{Address: "help@example.com"}, ticket.Settings{})
	if err != nil {
		panic(err)
	}
	go func() { _ = desk.Run(ctx) }()
	_, err = network.Write(ctx, "help@example.com", channel.Message{From: channel.Party{Address: "mai@example.net"}, Text: "Hello"})
	fmt.Println(<-counts, err)
	// Output: accepted: message <nil>
}
