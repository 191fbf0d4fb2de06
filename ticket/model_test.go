package ticket_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

// The life of one outgoing message, driven at random: agents' verbs, outcomes
// of the network, time, two nodes that die, are cut off and come back.

// step is one thing that happens.
type step struct {
	Do   string
	Node int
	For  time.Duration
	Pick int
}

func (s step) String() string { return fmt.Sprintf("%s/%d/%s/%d", s.Do, s.Node, s.For, s.Pick) }

// moves are what can happen. Of this and the next list rapid draws what stands
// in front more often.
var moves = []string{
	"sleep", "die", "cancel", "cut soon", "start", "crash", "sleep", "cancel", "cut soon", "now", "edit", "later", "heal", "resolve", "delete",
	"hold", "slow cancel", "release", "hold", "slow edit", "cut", "unsure", "bounce",
}

// polled is when all nodes have seen what is due after the undo window.
const polled = 61 * time.Second

// openings lead to where most can go wrong: a try under way, at whose end
// nobody is there.
var openings = [][]step{
	{{Do: "sleep", For: polled}, {Do: "die"}},
	{{Do: "sleep", For: polled}, {Do: "die"}, {Do: "sleep", For: 2 * polled}, {Do: "cancel"}},
	{{Do: "cut soon", Pick: 4}, {Do: "cut soon", Node: 1, Pick: 4}, {Do: "sleep", For: polled}},
	{{Do: "cut soon", Pick: 5}, {Do: "cut soon", Node: 1, Pick: 5}, {Do: "sleep", For: polled}},
	{{Do: "cut soon", Pick: 6}, {Do: "cut soon", Node: 1, Pick: 6}, {Do: "sleep", For: polled}},
	{{Do: "sleep", For: polled}},
	{},
}

func steps() *rapid.Generator[[]step] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) step {
		return step{
			Do:   rapid.SampledFrom(moves).Draw(t, "do"),
			Node: rapid.IntRange(0, 1).Draw(t, "node"),
			For:  rapid.SampledFrom([]time.Duration{polled, 2 * time.Minute, 10 * time.Second, time.Second, 20 * time.Minute}).Draw(t, "for"),
			Pick: rapid.IntRange(0, 11).Draw(t, "pick"),
		}
	}), 0, 12)
}

// outcomes are how a send can go.
var outcomes = []channeltest.Fault{
	{Hang: true, Arrives: true},
	{Hang: true},
	{Err: &channel.SendError{Outcome: channel.Unknown, Code: "lost"}, Arrives: true},
	{Err: &channel.SendError{Outcome: channel.NotSent, Code: "451"}},
	{Hang: true, Early: true},
	{Err: &channel.SendError{Outcome: channel.Unknown, Code: "lost"}},
	{Early: true, Err: &channel.SendError{Outcome: channel.NotSent, Code: "early"}},
	{Err: &channel.SendError{Outcome: channel.Rejected, Code: "550"}},
	{Err: errors.New("an error of no kind")},
	{Panic: true},
	{},
}

// follows holds the transitions that the feed may tell of. A message whose try
// ended unnoticed can be taken back, hence sending to pending and cancelled.
var follows = map[ticket.OutState][]ticket.OutState{
	ticket.StatePending:   {ticket.StateSending, ticket.StateCancelled},
	ticket.StateSending:   {ticket.StatePending, ticket.StateSending, ticket.StateSent, ticket.StateFailed, ticket.StateUncertain, ticket.StateCancelled, ticket.StateBounced},
	ticket.StateUncertain: {ticket.StateSent, ticket.StateFailed, ticket.StatePending, ticket.StateBounced},
	ticket.StateSent:      {ticket.StateBounced},
}

func TestOneMessageHasOneOutcomeWhateverHappens(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(rt *rapid.T) {
		faults := rapid.SliceOfN(rapid.IntRange(0, len(outcomes)-1), 1, 4).Draw(rt, "outcomes")
		script := slices.Concat(rapid.SampledFrom(openings).Draw(rt, "opening"), steps().Draw(rt, "steps"))
		var err error
		// The bubble has a goroutine of its own, in which rapid's own way of
		// ending a run does not work: the script is drawn before.
		synctest.Test(t, func(t *testing.T) { err = playMessage(t.Context(), faults, script) })
		if err != nil {
			rt.Fatal(err)
		}
	})
}

// life is the model and what it is compared with.
type life struct {
	ctx   context.Context
	net   *channeltest.Network
	back  *memstore.Backend
	admin *ticket.Desk // never runs and is never cut off
	slow  *ticket.Desk // its verbs can be held between reading and writing
	held  link         // of slow
	late  chan error   // the answer of a verb that is held; nil if none is
	nodes [2]*node
	id    ticket.MessageID

	copiesAllowed int
	cancelled     bool // a verb said so
	atCancel      int  // copies then
	atResend      int  // copies when a person had it sent again, or 0
	byPerson      bool // a person settled it, rightly or not
	deleted       bool // its content is gone
}

// node is a desk that runs on a store that it can be cut off from.
type node struct {
	cfg  ticket.Config
	link link
	stop func()
}

func (n *node) start() error {
	if n.stop != nil {
		return nil
	}
	n.link.heal()
	d, err := ticket.New(n.cfg)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = d.Run(ctx) }()
	n.stop = func() { cancel(); <-done; n.stop = nil }
	synctest.Wait()
	return nil
}

// crash ends a node as death does: none of its last words reach the store.
func (n *node) crash() {
	if n.stop == nil {
		return
	}
	n.link.cut.Store(true)
	n.link.release()
	n.stop()
	n.link.heal()
}

func playMessage(ctx context.Context, faults []int, script []step) (err error) {
	l := &life{ctx: ctx, net: channeltest.NewNetwork(), back: memstore.New(), copiesAllowed: 1}
	cfg := ticket.Config{Store: l.back.Portal("main"), Connectors: []channel.Connector{l.net},
		Timing: ticket.Timing{Poll: 30 * time.Second, Refresh: 24 * time.Hour}}
	if l.admin, err = ticket.New(cfg); err != nil {
		return err
	}
	slow := cfg
	slow.Store = &severed{Store: cfg.Store, link: &l.held}
	if l.slow, err = ticket.New(slow); err != nil {
		return err
	}
	for i := range l.nodes {
		n := &node{cfg: cfg}
		n.cfg.Node = fmt.Sprint("node", i)
		n.cfg.Store = &severed{Store: cfg.Store, link: &n.link}
		l.nodes[i] = n
	}
	defer func() {
		_ = l.answer()
		for _, n := range l.nodes {
			n.crash()
		}
	}()
	if err := l.open(faults); err != nil {
		return err
	}
	for i, s := range script {
		if err := l.do(s); err != nil {
			return fmt.Errorf("step %d, %s: %w", i, s, err)
		}
		synctest.Wait()
		if err := l.check(); err != nil {
			return fmt.Errorf("after step %d, %s: %w", i, s, err)
		}
	}
	if err := l.answer(); err != nil {
		return err
	}
	for _, n := range l.nodes {
		n.link.heal()
		if err := n.start(); err != nil {
			return err
		}
	}
	time.Sleep(4 * time.Hour) // leases lapse, retries end, what was scheduled leaves
	synctest.Wait()
	if err := l.check(); err != nil {
		return fmt.Errorf("at the end: %w", err)
	}
	return l.checkEnd()
}

// open makes a customer, a ticket, an agent and the message.
func (l *life) open(faults []int) error {
	if err := l.admin.PutAgent(l.ctx, routing.Agent{ID: "an"}); err != nil {
		return err
	}
	if err := l.admin.PutQueue(l.ctx, routing.Queue{ID: "support", Agents: []routing.AgentID{"an"}}); err != nil {
		return err
	}
	if _, err := l.admin.Connect(l.ctx, mailAccount(box), ticket.Settings{Queue: "support"}); err != nil {
		return err
	}
	for _, n := range l.nodes {
		if err := n.start(); err != nil {
			return err
		}
	}
	if _, err := l.net.Write(l.ctx, box, channel.Message{From: from("mai@customer.example"), Subject: "Hi", Text: "x"}); err != nil {
		return err
	}
	for _, f := range faults {
		l.net.Fail(box, outcomes[f])
	}
	ts, _, err := l.admin.Tickets(l.ctx, ticket.TicketFilter{}, ticket.Page{})
	if err != nil {
		return err
	}
	m, err := l.admin.Reply(l.ctx, ts[0].ID, ticket.Draft{By: "an", Text: "Answer"})
	if err != nil {
		return err
	}
	l.id = m.ID
	return nil
}

// do makes one step. Answers that fit the state are no errors.
func (l *life) do(s step) error {
	n, by := l.nodes[s.Node], ticket.Agent("an")
	fits := func(err error) error {
		if errors.Is(err, ticket.ErrTooLate) || errors.Is(err, ticket.ErrState) {
			return nil
		}
		return err
	}
	edit := func(e ticket.Edit) error {
		m, err := l.admin.Edit(l.ctx, by, l.id, e)
		if err == nil && (m.State != ticket.StatePending || l.cancelled) {
			return fmt.Errorf("an edit was taken; state %s, cancelled %v", m.State, l.cancelled)
		}
		var bad *channel.FieldError
		if l.deleted && errors.As(err, &bad) {
			return nil // there is no text left to send
		}
		return fits(err)
	}
	switch s.Do {
	case "sleep":
		time.Sleep(s.For)
	case "cancel":
		return l.cancel()
	case "edit":
		text := "Answer, better"
		return edit(ticket.Edit{Text: &text})
	case "later":
		at := time.Now().Add(s.For)
		return edit(ticket.Edit{SendAt: &at})
	case "now":
		return edit(ticket.Edit{SendAt: &time.Time{}})
	case "delete":
		if _, err := l.admin.DeleteMessage(l.ctx, by, l.id); err != nil {
			return err
		}
		l.deleted = true
		return l.cancel() // says what deleting made of it
	case "resolve":
		as := []ticket.Resolution{ticket.AsSent, ticket.AsFailed, ticket.AsResend}[s.Pick%3]
		_, err := l.admin.Resolve(l.ctx, by, l.id, as)
		if err == nil && as == ticket.AsResend {
			l.copiesAllowed++
			l.atResend = len(l.net.Sent(box))
		}
		l.byPerson = l.byPerson || err == nil
		return fits(err)
	case "hold":
		n.link.hold(1 + s.Pick)
	case "release":
		n.link.release()
		return l.answer()
	case "slow cancel":
		return l.slowly(2, func() error { return l.cancelBy(l.slow) })
	case "slow edit":
		return l.slowly(2, func() error {
			_, err := l.slow.SendNow(l.ctx, by, l.id)
			var bad *channel.FieldError
			if l.deleted && errors.As(err, &bad) {
				return nil
			}
			return fits(err)
		})
	case "crash":
		n.crash()
	case "start":
		return n.start()
	case "die": // both
		for _, n := range l.nodes {
			n.crash()
		}
	case "cut":
		n.link.cut.Store(true)
	case "cut soon": // in the middle of something
		n.link.left.Store(int64(1 + s.Pick))
	case "heal":
		n.link.heal()
	case "unsure":
		l.net.AnswerFind(box, channel.FoundUnknown)
	case "bounce":
		return l.bounce()
	}
	return nil
}

// slowly begins a verb that is held before its nth operation; answer ends it.
func (l *life) slowly(n int, verb func() error) error {
	if err := l.answer(); err != nil {
		return err
	}
	l.held.hold(n)
	l.late = make(chan error, 1)
	go func() { l.late <- verb() }()
	return nil
}

// answer lets go the verb that is held, and waits for it.
func (l *life) answer() error {
	if l.late == nil {
		return nil
	}
	l.held.release()
	err := <-l.late
	l.late = nil
	return err
}

func (l *life) cancel() error { return l.cancelBy(l.admin) }

func (l *life) cancelBy(d *ticket.Desk) error {
	res, err := d.Cancel(l.ctx, ticket.Agent("an"), l.id)
	if err != nil {
		return err
	}
	if l.cancelled && !res.Cancelled {
		return fmt.Errorf("it was cancelled and now is %s", res.State)
	}
	if res.Cancelled != (res.State == ticket.StateCancelled) {
		return fmt.Errorf("two answers in one: %+v", res)
	}
	if res.Cancelled && !l.cancelled {
		l.cancelled, l.atCancel = true, len(l.net.Sent(box))
		if l.atCancel > l.atResend {
			return errors.New("it was cancelled, though it had arrived")
		}
	}
	return nil
}

// bounce returns the last copy to its sender.
func (l *life) bounce() error {
	sent := l.net.Sent(box)
	if len(sent) == 0 {
		return nil
	}
	it := sent[len(sent)-1].News(channel.UpdateBounce, channel.RecipientStatus{Address: "mai@customer.example", Status: "5.1.1", Permanent: true})
	// The node that takes it must not be held: the script would wait for ever.
	for _, n := range l.nodes {
		n.link.release()
	}
	err := l.net.Deliver(l.ctx, box, it)
	if errors.Is(err, channeltest.ErrNotReceiving) || errors.Is(err, errSevered) {
		return nil
	}
	return err
}

// check is what must hold at any time.
func (l *life) check() error {
	m, err := l.admin.Message(l.ctx, l.id)
	if err != nil {
		return err
	}
	copies := len(l.net.Sent(box))
	switch {
	case copies > l.copiesAllowed:
		return fmt.Errorf("%d copies arrived, %d were asked for", copies, l.copiesAllowed)
	case l.cancelled && copies > l.atCancel:
		return errors.New("it was cancelled and arrived")
	case l.cancelled && m.State != ticket.StateCancelled && m.State != ticket.StateBounced:
		return fmt.Errorf("it was cancelled and is %s", m.State)
	}
	if err := l.checkFeed(m); err != nil {
		return err
	}
	return checkLoads(l.ctx, l.admin)
}

// checkFeed holds that the feed has no gap, and that it tells a way of the
// message through the states that the machine has.
func (l *life) checkFeed(m *ticket.Message) error {
	events, err := allEvents(l.ctx, l.admin)
	if err != nil {
		return err
	}
	at := ticket.StatePending
	for _, e := range events {
		if e.Message != l.id || e.Type != ticket.EventMessageState || e.Data["state"] == "" {
			continue
		}
		to := ticket.OutState(e.Data["state"])
		if l.cancelled && at == ticket.StateCancelled {
			continue // a bounce of an earlier copy; see checkEnd
		}
		if !slices.Contains(follows[at], to) {
			return fmt.Errorf("the feed goes from %s to %s", at, to)
		}
		at = to
	}
	if at != m.State && !(at == ticket.StateSending && m.State == ticket.StatePending) && !l.cancelled {
		return fmt.Errorf("the feed ends with %s, the message is %s", at, m.State)
	}
	return nil
}

// checkEnd is what must hold when all had time to end.
func (l *life) checkEnd() error {
	m, err := l.admin.Message(l.ctx, l.id)
	if err != nil {
		return err
	}
	copies := len(l.net.Sent(box))
	switch m.State {
	case ticket.StateSent, ticket.StateBounced:
		if copies == 0 && !l.byPerson {
			return fmt.Errorf("it is %s, and nothing arrived", m.State)
		}
	case ticket.StateFailed:
		if copies > 0 && !l.byPerson {
			return errors.New("it failed, and arrived")
		}
	case ticket.StateCancelled, ticket.StateUncertain:
	default:
		return fmt.Errorf("it is still %s after %d attempts: %s", m.State, m.Attempts, m.StateDetail)
	}
	if m.Work != "" {
		return fmt.Errorf("it is %s and has work", m.State)
	}
	return nil
}

// allEvents reads the whole feed and holds that it has no gap.
func allEvents(ctx context.Context, d *ticket.Desk) ([]*ticket.Event, error) {
	var out []*ticket.Event
	for {
		es, err := d.Events(ctx, int64(len(out)), 500)
		if err != nil || len(es) == 0 {
			return out, err
		}
		for _, e := range es {
			if e.Cursor != int64(len(out)+1) {
				return out, fmt.Errorf("the feed goes from %d to %d", len(out), e.Cursor)
			}
			out = append(out, e)
		}
	}
}

// checkLoads compares each agent's load with what they own.
func checkLoads(ctx context.Context, d *ticket.Desk) error {
	truth := map[routing.AgentID]int{}
	var after ticket.Next
	for {
		ts, next, err := d.Tickets(ctx, ticket.TicketFilter{Statuses: []ticket.Status{ticket.Open, ticket.Pending}}, ticket.Page{Limit: 500, After: after})
		if err != nil {
			return err
		}
		for _, t := range ts {
			truth[t.Assignee]++
		}
		if after = next; next == "" {
			break
		}
	}
	for {
		cs, next, err := d.Conversations(ctx, ticket.ConversationFilter{WithoutTicket: true}, ticket.Page{Limit: 500, After: after})
		if err != nil {
			return err
		}
		for _, c := range cs {
			truth[c.Assignee]++
		}
		if after = next; next == "" {
			break
		}
	}
	agents, err := d.Agents(ctx)
	for _, a := range agents {
		if a.Load != truth[a.ID] {
			return fmt.Errorf("the load of %s is %d, and they own %d", a.ID, a.Load, truth[a.ID])
		}
	}
	return err
}
