package ticket_test

import (
	"context"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

// office is a desk with agents an and bo in queue support, and a network of
// in-memory channels, all in virtual time.
type office struct {
	t    *testing.T
	ctx  context.Context
	back *memstore.Backend
	net  *channeltest.Network
	cfg  ticket.Config
	desk *ticket.Desk
	stop func() // ends Run and waits for it
}

// inOffice runs f in virtual time. Goroutines that are left at its end fail the
// test, since the bubble then never ends.
func inOffice(t *testing.T, change func(*ticket.Config), f func(o *office)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		o := &office{t: t, ctx: t.Context(), back: memstore.New(), net: channeltest.NewNetwork()}
		o.cfg = ticket.Config{Store: o.back.Portal("main"), Connectors: []channel.Connector{o.net}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			// One node has nobody to poll for; virtual days are cheap then.
			Timing: ticket.Timing{Poll: time.Hour, Refresh: time.Hour}}
		if change != nil {
			change(&o.cfg)
		}
		o.open()
		defer func() { o.stop() }()
		for _, a := range []routing.Agent{{ID: "an", Name: "An", Email: "an@office.example"}, {ID: "bo", Name: "Bo", Email: "bo@office.example"}} {
			require.NoError(t, o.desk.PutAgent(o.ctx, a))
		}
		require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "support", Name: "Support", Agents: []routing.AgentID{"an", "bo"}}))
		f(o)
	})
}

// open makes the desk and runs it.
func (o *office) open() {
	o.t.Helper()
	var err error
	o.desk, err = ticket.New(o.cfg)
	require.NoError(o.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- o.desk.Run(ctx) }()
	synctest.Wait()
	o.stop = func() {
		cancel()
		require.NoError(o.t, <-done)
		o.stop = func() {}
	}
}

// restart ends the desk and opens another on the same store.
func (o *office) restart() {
	o.stop()
	o.open()
}

// mailbox connects a mail channel.
func (o *office) mailbox(address string, s ticket.Settings) *ticket.Channel {
	o.t.Helper()
	return o.connect(channeltest.MemoryAccount{Address: address, Name: "Help", Mail: true}, s)
}

func (o *office) connect(a channeltest.MemoryAccount, s ticket.Settings) *ticket.Channel {
	o.t.Helper()
	ch, err := o.desk.Connect(o.ctx, a, s)
	require.NoError(o.t, err)
	synctest.Wait()
	return ch
}

// write delivers a customer's message and waits until everything that follows
// from it at once is done.
func (o *office) write(box, from, subject, text string) {
	o.t.Helper()
	o.deliver(box, channel.Message{From: channel.Party{Name: name(from), Address: from}, Subject: subject, Text: text})
}

func (o *office) deliver(box string, m channel.Message) {
	o.t.Helper()
	require.NoError(o.t, o.net.Deliver(o.ctx, box, o.net.Item(box, m)))
	o.settle()
}

// settle lets what is due now be done.
func (o *office) settle() { time.Sleep(time.Second); synctest.Wait() }

func name(address string) string { return "Customer " + address[:1] }

// tickets lists all tickets, newest first.
func (o *office) tickets() []*ticket.Ticket {
	o.t.Helper()
	ts, _, err := o.desk.Tickets(o.ctx, ticket.TicketFilter{}, ticket.Page{})
	require.NoError(o.t, err)
	return ts
}

// only returns the one ticket there is.
func (o *office) only() *ticket.Ticket {
	o.t.Helper()
	ts := o.tickets()
	require.Len(o.t, ts, 1)
	return ts[0]
}

func (o *office) timeline(id ticket.TicketID) []*ticket.Message {
	o.t.Helper()
	ms, _, err := o.desk.Timeline(o.ctx, ticket.MessageFilter{Ticket: id}, ticket.Page{})
	require.NoError(o.t, err)
	return ms
}

func (o *office) message(id ticket.MessageID) *ticket.Message {
	o.t.Helper()
	m, err := o.desk.Message(o.ctx, id)
	require.NoError(o.t, err)
	return m
}

// reply answers on a ticket as an, and returns the pending message.
func (o *office) reply(id ticket.TicketID, text string) *ticket.Message {
	o.t.Helper()
	m, err := o.desk.Reply(o.ctx, id, ticket.Draft{By: "an", Text: text})
	require.NoError(o.t, err)
	return m
}

// events lists the types of all events.
func (o *office) events() []*ticket.Event {
	o.t.Helper()
	es, err := o.desk.Events(o.ctx, 0, 500)
	require.NoError(o.t, err)
	for i, e := range es {
		require.EqualValues(o.t, i+1, e.Cursor, "the feed has no gaps")
	}
	return es
}

func (o *office) ledger() ticket.Ledger {
	o.t.Helper()
	l, err := o.desk.Ledger(o.ctx, "", time.Time{})
	require.NoError(o.t, err)
	sum := l.Messages + l.Applied + l.Notices + l.Waiting
	for _, n := range l.Ignored {
		sum += n
	}
	for _, n := range l.Quarantined {
		sum += n
	}
	require.Equal(o.t, l.Received, sum, "the ledger adds up")
	return l
}

type ticketAgent = routing.AgentID

func mailAccount(address string) channeltest.MemoryAccount {
	return channeltest.MemoryAccount{Address: address, Mail: true}
}
