package ticket

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/anteroom/anteroom/routing"
)

// maxPassedOver is how many waiting tickets in a row a policy may leave waiting
// before the look at a queue ends.
const maxPassedOver = 200

// assignQueue gives away what waits in a queue, in order, as long as the policy
// finds agents. One node at a time looks at a queue, so that the order holds;
// the bounds of capacity hold in any case, by counters.
func (d *Desk) assignQueue(ctx context.Context, triggers []*Work) error {
	queue := triggers[0].Queue
	name := "assign:" + string(queue)
	// Not the trigger's id: the same trigger may be claimed again while a long
	// look goes on that it began.
	owner := d.cfg.Node + "/" + newID()
	for try := 1; ; try++ {
		held, err := d.store.Lease(ctx, name, owner, d.now(), d.now().Add(d.cfg.Timing.Lease))
		if err != nil {
			return fmt.Errorf("ticket: lease queue: %w", err)
		}
		if held {
			break
		}
		if try == maxLeaseTries {
			return d.lookLater(ctx, triggers)
		}
		if err := sleep(ctx, backoff(try, 10*time.Millisecond, time.Second)); err != nil {
			return err
		}
	}
	looking, release := d.whileHeld(ctx, name, owner)
	again, err := d.drain(looking, queue)
	lost := looking.Err() != nil && ctx.Err() == nil
	release()
	switch {
	case lost:
		return fmt.Errorf("ticket: the lease of queue %q was lost: %w", queue, ErrConflict)
	case err != nil:
		return err
	}
	_, err = d.decide(ctx, Actor{Kind: ActorSystem}, func() Want { return Want{} }, func(u *unit) error {
		for _, w := range triggers {
			u.done(w)
		}
		if !again.IsZero() {
			u.addWork(&Work{Kind: WorkAssign, Queue: queue, NotBefore: again})
		}
		return nil
	})
	return err
}

// maxLeaseTries is how often a look at a queue asks for the queue's lease, about
// a third of a second in all, before it gives its worker to others: who holds
// the lease may have died.
const maxLeaseTries = 6

// lookLater puts triggers back for up to a second, as one: they all say the same.
// During a long look each ticket that comes in makes another, and every node would
// ask for all of them again and again. They are due at whole seconds, to meet.
func (d *Desk) lookLater(ctx context.Context, triggers []*Work) error {
	_, err := d.decide(ctx, Actor{Kind: ActorSystem}, func() Want { return Want{} }, func(u *unit) error {
		again := *triggers[0]
		again.Owner, again.LeaseUntil = "", time.Time{}
		again.NotBefore = u.now.Truncate(time.Second).Add(time.Second)
		u.addWork(&again)
		for _, w := range triggers[1:] {
			u.done(w)
		}
		return nil
	})
	return err
}

// drain assigns until the queue is empty or its policy wants to wait. again is
// when to look once more at the latest; zero means when something changes.
func (d *Desk) drain(ctx context.Context, queue routing.QueueID) (again time.Time, err error) {
	passed := map[Waiter]bool{}
	pass := func(until time.Time, ws ...Waiter) {
		for _, w := range ws {
			passed[w] = true
		}
		if !until.IsZero() && (again.IsZero() || until.Before(again)) {
			again = until
		}
	}
	for {
		rest, err := d.store.Waiting(ctx, queue, 2*maxPassedOver)
		if err != nil {
			return again, fmt.Errorf("ticket: read queue: %w", err)
		}
		rest = slices.DeleteFunc(rest, func(w Waiter) bool { return passed[w] })
		progress := false
		for len(rest) > 0 && len(passed) < maxPassedOver {
			assigned, until, err := d.assignOne(ctx, queue, rest[0])
			if err != nil {
				return again, err
			}
			if assigned {
				progress, rest = true, rest[1:]
				continue
			}
			pass(until, rest[0])
			rest = rest[1:]
			// Where one must wait many may have to: they are looked at together,
			// up to the first that need not.
			n, until, err := d.thatWait(ctx, queue, rest[:min(len(rest), maxPassedOver-len(passed))])
			if err != nil {
				return again, err
			}
			pass(until, rest[:n]...)
			rest = rest[n:]
		}
		if !progress || len(passed) >= maxPassedOver {
			return again, nil
		}
	}
}

// lookedAt is how much waiting work is read at once.
const lookedAt = 100

// thatWait asks the policy about waiting work, in order, and returns how much of
// it must wait before the first that need not, or that is no longer waiting.
func (d *Desk) thatWait(ctx context.Context, queue routing.QueueID, ws []Waiter) (n int, again time.Time, err error) {
	for part := range slices.Chunk(ws, lookedAt) {
		want := d.wantWaiting(part...)
		want.Now = d.now()
		snap, err := d.store.Snapshot(ctx, want)
		if err != nil {
			return n, again, fmt.Errorf("ticket: read waiting work: %w", err)
		}
		u := newUnit(want.Now, snap, Actor{Kind: ActorSystem})
		facts, err := u.queueFacts(queue)
		if err != nil {
			return n, again, err
		}
		for _, w := range part {
			r := d.decideRoute(u, facts, w)
			if !r.waits() {
				return n, again, nil
			}
			n++
			if until := r.dec.Until; !until.IsZero() && (again.IsZero() || until.Before(again)) {
				again = until
			}
		}
	}
	return n, again, nil
}

// wantWaiting is what decisions on waiting work read.
func (d *Desk) wantWaiting(ws ...Waiter) Want {
	wt := Want{Follow: true, Kinds: []RecordKind{recordAgent, recordPresence, recordAssigned, recordQueue}}
	for _, w := range ws {
		if w.Ticket != "" {
			wt.Tickets = append(wt.Tickets, w.Ticket)
		} else {
			wt.Conversations = append(wt.Conversations, w.Conversation)
		}
	}
	for a := range d.view().agents {
		wt.Counters = append(wt.Counters, loadCounter(a))
	}
	return wt
}

// routeCase is a policy's decision on one piece of work, and what it was made
// of.
type routeCase struct {
	at     *Assignment // nil: it no longer waits in the queue
	queue  routing.Queue
	agents map[routing.AgentID]agentFacts
	dec    routing.Decision
}

// waits reports whether the work stays where it is.
func (r routeCase) waits() bool {
	return r.at != nil && r.dec.Agent == "" && (r.dec.Queue == "" || r.dec.Queue == r.queue.ID)
}

// decideRoute asks the queue's policy about one piece of work.
func (d *Desk) decideRoute(u *unit, f queueFacts, w Waiter) routeCase {
	at, item := u.waiting(w)
	if at == nil || at.Queue != f.id || at.WaitingSince.IsZero() {
		return routeCase{}
	}
	r := routeCase{at: at, agents: f.agents}
	if !f.exists {
		return r // there is nobody to ask
	}
	r.queue = withChannel(f.queue, d.view().settings(u.channelOf(w)))
	snap := routing.Snapshot{Item: item, Queue: r.queue, Agents: candidates(r.queue, f.agents), Now: u.now, Rand: seeded(item, at.WaitingSince)}
	r.dec = d.askPolicy(r.queue, snap, f.agents, !at.QueuedAt.Equal(at.WaitingSince))
	return r
}

// assignOne asks the policy about one piece of work and commits its answer.
func (d *Desk) assignOne(ctx context.Context, queue routing.QueueID, w Waiter) (moved bool, until time.Time, err error) {
	_, err = d.decide(ctx, Actor{Kind: ActorSystem}, func() Want { return d.wantWaiting(w) }, func(u *unit) error {
		moved, until = false, time.Time{}
		facts, err := u.queueFacts(queue)
		if err != nil {
			return err
		}
		r := d.decideRoute(u, facts, w)
		switch {
		case r.at == nil:
			moved = true // somebody was faster
			return errNothing
		case r.waits():
			until = r.dec.Until
			return errNothing
		}
		moved = true
		return u.route(w, r, d.view())
	})
	if errors.Is(err, ErrNotFound) {
		return true, until, nil
	}
	return moved, until, err
}

func (d *Desk) policy(name string) routing.Policy {
	if p, ok := d.policies[name]; ok {
		return p
	}
	return d.policies["round_robin"]
}

// askPolicy returns what the policy decides. One that panics, or that chooses
// what it may not, leaves this work waiting and holds up nothing else.
func (d *Desk) askPolicy(q routing.Queue, snap routing.Snapshot, agents map[routing.AgentID]agentFacts, moved bool) (dec routing.Decision) {
	again := snap.Now.Add(time.Minute)
	refuse := func(why string) routing.Decision {
		d.log.Warn("routing policy", "policy", policyName(q), "queue", q.ID, "problem", why)
		return routing.Decision{Wait: true, Until: again, Reason: why}
	}
	defer func() {
		if p := recover(); p != nil {
			dec = refuse(fmt.Sprint("panicked: ", p))
		}
	}()
	dec = d.policy(q.Policy).Decide(snap)
	if dec.Agent != "" {
		a, ok := agents[dec.Agent]
		switch {
		case !ok:
			return refuse("chose agent " + string(dec.Agent) + ", who does not exist")
		case a.Capacity > 0 && a.Load >= a.Capacity:
			return refuse("chose agent " + string(dec.Agent) + ", who has no room")
		}
	}
	if _, ok := d.view().queues[dec.Queue]; dec.Queue != "" && !ok {
		return refuse("chose queue " + string(dec.Queue) + ", which does not exist")
	}
	// Work that was moved before stays a while: queues may send it in a circle.
	if stay := snap.Item.WaitingSince.Add(time.Minute); dec.Queue != "" && moved && snap.Now.Before(stay) {
		return routing.Decision{Wait: true, Until: stay, Reason: "moved to this queue a moment ago"}
	}
	// What waits because somebody is online is looked at when they lapse.
	for _, c := range snap.Agents {
		if p := agents[c.ID].Presence; dec.Wait && c.Online() && !p.Until.IsZero() && (dec.Until.IsZero() || p.Until.Before(dec.Until)) {
			dec.Until = p.Until
		}
	}
	return dec
}

// seeded gives a policy a random source that depends on the work alone, so
// that the same snapshot gives the same decision.
func seeded(it routing.Item, since time.Time) *rand.Rand {
	h := fnv.New64a()
	h.Write([]byte(it.Ticket + it.Conversation))
	return rand.New(rand.NewPCG(h.Sum64(), uint64(since.UnixMicro())))
}

// withChannel applies a channel's settings to a queue's defaults.
func withChannel(q routing.Queue, s Settings) routing.Queue {
	if s.PreferOnline {
		q.PreferOnline = true
	}
	if s.WhenNoneOnline != "" {
		q.WhenNoneOnline = s.WhenNoneOnline
	}
	return q
}

// waiting returns the assignment of a waiter and how the policy sees it.
func (u *unit) waiting(w Waiter) (*Assignment, routing.Item) {
	if w.Ticket != "" {
		t := u.snap.Tickets[w.Ticket]
		if t == nil || !t.DeletedAt.IsZero() || !t.Status.Active() {
			return nil, routing.Item{}
		}
		return &t.Assignment, routing.Item{Ticket: string(t.ID), Conversation: string(t.Conversation), Channel: string(t.Channel),
			Contact: string(t.Contact), Subject: t.Subject, Priority: string(t.Priority), Tags: t.Tags, WaitingSince: t.QueuedAt, Previous: t.Previous}
	}
	c := u.snap.Conversations[w.Conversation]
	if c == nil || c.Ticket != "" {
		return nil, routing.Item{}
	}
	return &c.Assignment, routing.Item{Conversation: string(c.ID), Channel: string(c.Channel), Contact: string(c.Contact),
		Subject: c.Subject, Priority: string(Normal), WaitingSince: c.QueuedAt, Previous: c.Previous}
}

// editWaiting marks the waiter as changed and returns what an event names.
func (u *unit) editWaiting(w Waiter) Event {
	if w.Ticket != "" {
		t := u.editTicket(u.snap.Tickets[w.Ticket])
		return Event{Ticket: t.ID, Conversation: t.Conversation, Channel: t.Channel}
	}
	c := u.editConversation(u.snap.Conversations[w.Conversation])
	return Event{Conversation: c.ID, Channel: c.Channel}
}

// route carries out a policy's decision that moves the work.
func (u *unit) route(w Waiter, r routeCase, v *deskView) error {
	at, q, dec := r.at, r.queue, r.dec
	e := u.editWaiting(w)
	if dec.Agent == "" {
		at.wait(dec.Queue, u.now)
		if at.QueuedAt.Equal(at.WaitingSince) {
			at.QueuedAt = at.QueuedAt.Add(time.Microsecond) // it was moved, be it at once
		}
		e.Type, e.Data = EventQueued, map[string]string{"queue": string(dec.Queue), "from": string(q.ID)}
		u.event(e)
		u.explain(Decision{Kind: "assign", Ticket: e.Ticket, Conversation: e.Conversation, Outcome: "queue " + string(dec.Queue),
			Steps: []Step{{Rule: policyName(q), Outcome: string(dec.Queue), Detail: dec.Reason}}})
		return nil
	}
	at.give(dec.Agent)
	u.limit[dec.Agent] = r.agents[dec.Agent].Capacity
	e.Type, e.Agent = EventAssigned, dec.Agent
	e.Data = map[string]string{"queue": string(q.ID), "by": "policy"}
	u.event(e)
	u.explain(Decision{Kind: "assign", Ticket: e.Ticket, Conversation: e.Conversation, Outcome: "agent " + string(dec.Agent),
		Steps: []Step{{Rule: policyName(q), Outcome: string(dec.Agent), Detail: dec.Reason}}})
	u.tellAgent(dec.Agent, e, v)
	return u.putRecord(RecordRef{recordAssigned, string(dec.Agent)}, u.now)
}

func policyName(q routing.Queue) string {
	if q.Policy == "" {
		return "round_robin"
	}
	return q.Policy
}

// channelOf returns the channel and the mailbox whose settings apply.
func (u *unit) channelOf(w Waiter) (ch, via channelID) {
	id := w.Conversation
	if t := u.snap.Tickets[w.Ticket]; t != nil {
		id = t.Conversation
	}
	if c := u.snap.Conversations[id]; c != nil {
		return c.Channel, c.Via
	}
	return "", ""
}

// tellAgent adds the work of telling an agent of an assignment, where the
// channel wants it.
func (u *unit) tellAgent(a routing.AgentID, e Event, v *deskView) {
	var s Settings
	if c := u.snap.Conversations[e.Conversation]; c != nil {
		s = v.settings(c.Channel, c.Via)
		// An agent's robot that answers notices must not make new ones.
		if who := u.snap.Contacts[c.Contact]; who != nil && v.agentMail(who.Address()) {
			return
		}
	}
	if t := u.snap.Tickets[e.Ticket]; t != nil && t.Imported && u.by.Kind == ActorSystem {
		return
	}
	if !s.NotifyAgent || v.agents[a].Email == "" {
		return
	}
	u.addWork(&Work{Kind: WorkNotify, Lane: laneSystem, Agent: a, Ticket: e.Ticket, Conversation: e.Conversation, Channel: e.Channel})
}
