package facebook_test

import (
	"context"
	"log/slog"
	"net/http"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

// world is a desk with a Page, and Facebook, in virtual time.
type world struct {
	t     *testing.T
	ctx   context.Context
	fb    *graphtest.Graph
	app   *facebook.App
	cfg   ticket.Config
	desk  *ticket.Desk
	page  *graphtest.Page
	admin *graphtest.Person
	ann   *graphtest.Person
	ch    *ticket.Channel
	stop  func()
	hold  func() // ends the deliveries of Facebook
	// broken makes the webhook fail.
	broken atomic.Bool
}

var everything = facebook.Rules{Messages: true, Posts: facebook.Everything}

// inVariants runs f with each variant of Facebook.
func inVariants(t *testing.T, rules facebook.Rules, f func(w *world)) {
	t.Helper()
	t.Parallel()
	for name, doubts := range graphtest.Variants() {
		t.Run(name, func(t *testing.T) { inWorld(t, graphtest.Options{Doubts: doubts}, rules, f) })
	}
}

func inWorld(t *testing.T, opts graphtest.Options, rules facebook.Rules, f func(w *world)) {
	t.Helper()
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		opts.RequireProof = true
		w := &world{t: t, ctx: t.Context(), fb: graphtest.New(opts)}
		w.app = newApp(w.fb)
		w.app.HumanAgent = opts.HumanAgent
		w.page, w.admin, w.ann = w.fb.AddPage("Shop"), w.fb.AddPerson("Admin"), w.fb.AddPerson("Ann Lê")
		hook := w.app.Webhook()
		require.NoError(t, w.fb.Subscribe(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
			if w.broken.Load() {
				rw.WriteHeader(http.StatusBadGateway)
				return
			}
			hook.ServeHTTP(rw, r)
		}), "verify"))
		w.cfg = ticket.Config{Store: memstore.New().Portal("main"), Connectors: []channel.Connector{w.app}, Undo: -1,
			Key: []byte("0123456789abcdef0123456789abcdef"), Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			Timing: ticket.Timing{Poll: time.Hour, Refresh: time.Hour}}
		w.open()
		defer func() { w.stop() }()
		require.NoError(t, w.desk.PutAgent(w.ctx, routing.Agent{ID: "an", Name: "An"}))
		require.NoError(t, w.desk.PutQueue(w.ctx, routing.Queue{ID: "q", Name: "Q", Agents: []routing.AgentID{"an"}}))
		w.ch = w.connect(w.page, rules)
		f(w)
	})
}

// open makes the desk and runs it, and Facebook's deliveries.
func (w *world) open() {
	w.t.Helper()
	var err error
	w.desk, err = ticket.New(w.cfg)
	require.NoError(w.t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done, delivered := make(chan error, 1), make(chan struct{})
	go func() { done <- w.desk.Run(ctx) }()
	running, hold := context.WithCancel(ctx)
	w.hold = func() { hold(); <-delivered }
	go func() { defer close(delivered); w.fb.Run(running) }()
	synctest.Wait()
	w.stop = func() {
		w.hold()
		cancel()
		require.NoError(w.t, <-done)
		w.stop = func() {}
	}
}

func (w *world) connect(page *graphtest.Page, rules facebook.Rules) *ticket.Channel {
	w.t.Helper()
	ch, err := w.desk.Connect(w.ctx, facebook.Page{ID: page.ID, Name: page.Name, Token: w.admin.PageToken(page.ID), User: w.admin.ID, Rules: rules},
		ticket.Settings{Queue: "q"})
	require.NoError(w.t, err)
	w.settle()
	return ch
}

// later lets time pass while nothing runs.
func (w *world) later(d time.Duration) {
	w.t.Helper()
	w.stop()
	time.Sleep(d)
	w.open()
	w.settle()
}

// settle lets what is due now be done.
func (w *world) settle() { time.Sleep(5 * time.Second); synctest.Wait() }

func (w *world) tickets() []*ticket.Ticket {
	w.t.Helper()
	ts, _, err := w.desk.Tickets(w.ctx, ticket.TicketFilter{}, ticket.Page{Limit: 500})
	require.NoError(w.t, err)
	return ts
}

func (w *world) only() *ticket.Ticket {
	w.t.Helper()
	ts := w.tickets()
	require.Len(w.t, ts, 1)
	return ts[0]
}

// timeline lists a ticket's messages by when they were written.
func (w *world) timeline(id ticket.TicketID) []*ticket.Message {
	w.t.Helper()
	return w.messages(ticket.MessageFilter{Ticket: id})
}

func (w *world) messages(f ticket.MessageFilter) []*ticket.Message {
	w.t.Helper()
	ms, _, err := w.desk.Timeline(w.ctx, f, ticket.Page{Limit: 500})
	require.NoError(w.t, err)
	slices.SortStableFunc(ms, func(a, b *ticket.Message) int { return a.At.Compare(b.At) })
	return ms
}

func (w *world) conversations() []*ticket.Conversation {
	w.t.Helper()
	cs, _, err := w.desk.Conversations(w.ctx, ticket.ConversationFilter{}, ticket.Page{Limit: 500})
	require.NoError(w.t, err)
	return cs
}

func (w *world) message(id ticket.MessageID) *ticket.Message {
	w.t.Helper()
	m, err := w.desk.Message(w.ctx, id)
	require.NoError(w.t, err)
	return m
}

func (w *world) reply(id ticket.TicketID, text string) *ticket.Message {
	w.t.Helper()
	return w.answer(id, ticket.Draft{By: "an", Text: text})
}

func (w *world) answer(id ticket.TicketID, d ticket.Draft) *ticket.Message {
	w.t.Helper()
	d.By = "an"
	m, err := w.desk.Reply(w.ctx, id, d)
	require.NoError(w.t, err)
	w.settle()
	return w.message(m.ID)
}

// ledger returns the ledger, which must add up.
func (w *world) ledger() ticket.Ledger {
	w.t.Helper()
	l, err := w.desk.Ledger(w.ctx, "", time.Time{})
	require.NoError(w.t, err)
	sum := l.Messages + l.Applied + l.Notices + l.Waiting
	for _, n := range l.Ignored {
		sum += n
	}
	for _, n := range l.Quarantined {
		sum += n
	}
	require.Equal(w.t, l.Received, sum)
	return l
}

func texts(ms []*ticket.Message) []string {
	var out []string
	for _, m := range ms {
		out = append(out, string(m.Direction)+": "+m.Text)
	}
	return out
}
