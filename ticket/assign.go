package ticket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math/rand/v2"
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
	owner := d.cfg.Node + "/" + string(triggers[0].ID)
	for {
		held, err := d.store.Lease(ctx, name, owner, d.now(), d.now().Add(d.cfg.Timing.Lease))
		if err != nil {
			return fmt.Errorf("ticket: lease queue: %w", err)
		}
		if held {
			break
		}
		if err := sleep(ctx, 5*time.Millisecond+rand.N(20*time.Millisecond)); err != nil {
			return err
		}
	}
	defer func() {
		_, _ = d.store.Lease(context.WithoutCancel(ctx), name, owner, d.now(), d.now())
	}()
	again, err := d.drain(ctx, queue)
	if err != nil {
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

// drain assigns until the queue is empty or its policy wants to wait. again is
// when to look once more at the latest; zero means when something changes.
func (d *Desk) drain(ctx context.Context, queue routing.QueueID) (again time.Time, err error) {
	passed := map[Waiter]bool{}
	for {
		waiting, err := d.store.Waiting(ctx, queue, 2*maxPassedOver)
		if err != nil {
			return again, fmt.Errorf("ticket: read queue: %w", err)
		}
		progress := false
		for _, w := range waiting {
			if passed[w] {
				continue
			}
			assigned, until, err := d.assignOne(ctx, queue, w)
			if err != nil {
				return again, err
			}
			if assigned {
				progress = true
				continue
			}
			passed[w] = true
			if !until.IsZero() && (again.IsZero() || until.Before(again)) {
				again = until
			}
			if len(passed) >= maxPassedOver {
				return again, nil
			}
		}
		if !progress {
			return again, nil
		}
	}
}

// assignOne asks the policy about one piece of work and commits its answer.
func (d *Desk) assignOne(ctx context.Context, queue routing.QueueID, w Waiter) (moved bool, until time.Time, err error) {
	want := func() Want {
		wt := Want{Follow: true, Kinds: []RecordKind{recordAgent, recordPresence, recordAssigned, recordQueue}}
		if w.Ticket != "" {
			wt.Tickets = []TicketID{w.Ticket}
		} else {
			wt.Conversations = []ConversationID{w.Conversation}
		}
		for a := range d.view().agents {
			wt.Counters = append(wt.Counters, loadCounter(a))
		}
		return wt
	}
	_, err = d.decide(ctx, Actor{Kind: ActorSystem}, want, func(u *unit) error {
		moved, until = false, time.Time{}
		at, item := u.waiting(w)
		if at == nil || at.Queue != queue || at.WaitingSince.IsZero() {
			moved = true // somebody was faster
			return errNothing
		}
		agents, err := agentsOf(u.snap, u.now)
		if err != nil {
			return err
		}
		q, ok, err := queueOf(u.snap, queue)
		if err != nil {
			return err
		}
		if !ok {
			return errNothing
		}
		q = withChannel(q, d.view().settings(u.channelOf(w)))
		snap := routing.Snapshot{Item: item, Queue: q, Agents: candidates(q, agents), Now: u.now, Rand: seeded(item, at.WaitingSince)}
		dec := d.askPolicy(q, snap, agents, !at.QueuedAt.Equal(at.WaitingSince))
		return u.route(w, at, q, agents, dec, d.view(), &moved, &until)
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

// route carries out a policy's decision.
func (u *unit) route(w Waiter, at *Assignment, q routing.Queue, agents map[routing.AgentID]agentFacts, dec routing.Decision, v *deskView, moved *bool, until *time.Time) error {
	switch {
	case dec.Agent != "":
		e := u.editWaiting(w)
		at.give(dec.Agent)
		u.limit[dec.Agent] = agents[dec.Agent].Capacity
		e.Type, e.Agent = EventAssigned, dec.Agent
		e.Data = map[string]string{"queue": string(q.ID), "by": "policy"}
		u.event(e)
		u.explain(Decision{Kind: "assign", Ticket: e.Ticket, Conversation: e.Conversation, Outcome: "agent " + string(dec.Agent),
			Steps: []Step{{Rule: policyName(q), Outcome: string(dec.Agent), Detail: dec.Reason}}})
		u.tellAgent(dec.Agent, e, v)
		*moved = true
		return u.putRecord(RecordRef{recordAssigned, string(dec.Agent)}, u.now)
	case dec.Queue != "" && dec.Queue != q.ID:
		e := u.editWaiting(w)
		at.wait(dec.Queue, u.now)
		if at.QueuedAt.Equal(at.WaitingSince) {
			at.QueuedAt = at.QueuedAt.Add(time.Microsecond) // it was moved, be it at once
		}
		e.Type, e.Data = EventQueued, map[string]string{"queue": string(dec.Queue), "from": string(q.ID)}
		u.event(e)
		u.explain(Decision{Kind: "assign", Ticket: e.Ticket, Conversation: e.Conversation, Outcome: "queue " + string(dec.Queue),
			Steps: []Step{{Rule: policyName(q), Outcome: string(dec.Queue), Detail: dec.Reason}}})
		*moved = true
		return nil
	}
	*until = dec.Until
	return errNothing
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

// agentFacts is an agent with what decisions need to know.
type agentFacts struct {
	AgentStatus
	lastAssigned time.Time
}

// agentsOf collects the agents from a snapshot that holds their records.
func agentsOf(snap *Snapshot, now time.Time) (map[routing.AgentID]agentFacts, error) {
	out := map[routing.AgentID]agentFacts{}
	for ref, rec := range snap.Records {
		if ref.Kind != recordAgent {
			continue
		}
		var f agentFacts
		if err := json.Unmarshal(rec.Doc, &f.Agent); err != nil {
			return nil, fmt.Errorf("ticket: read agent %q: %w", ref.ID, err)
		}
		if p := snap.Records[RecordRef{recordPresence, ref.ID}]; p != nil {
			if err := json.Unmarshal(p.Doc, &f.Presence); err != nil {
				return nil, fmt.Errorf("ticket: read presence of %q: %w", ref.ID, err)
			}
		}
		f.Presence.State = f.Presence.At(now)
		if p := snap.Records[RecordRef{recordAssigned, ref.ID}]; p != nil {
			if err := json.Unmarshal(p.Doc, &f.lastAssigned); err != nil {
				return nil, fmt.Errorf("ticket: read last assignment of %q: %w", ref.ID, err)
			}
		}
		f.Load = int(snap.Counters[loadCounter(f.ID)])
		out[f.ID] = f
	}
	return out, nil
}

func queueOf(snap *Snapshot, id routing.QueueID) (routing.Queue, bool, error) {
	rec := snap.Records[RecordRef{recordQueue, string(id)}]
	if rec == nil {
		return routing.Queue{}, false, nil
	}
	var q routing.Queue
	if err := json.Unmarshal(rec.Doc, &q); err != nil {
		return q, false, fmt.Errorf("ticket: read queue %q: %w", id, err)
	}
	return q, true, nil
}

func candidates(q routing.Queue, agents map[routing.AgentID]agentFacts) []routing.Candidate {
	var out []routing.Candidate
	for _, id := range q.Agents {
		if f, ok := agents[id]; ok {
			out = append(out, routing.Candidate{Agent: f.Agent, Presence: f.Presence.State, Load: f.Load, LastAssigned: f.lastAssigned})
		}
	}
	return out
}

// readAgents reads all agents with presence and load.
func (d *Desk) readAgents(ctx context.Context, now time.Time) (map[routing.AgentID]agentFacts, error) {
	w := Want{Kinds: []RecordKind{recordAgent, recordPresence, recordAssigned}, Now: now}
	for a := range d.view().agents {
		w.Counters = append(w.Counters, loadCounter(a))
	}
	snap, err := d.store.Snapshot(ctx, w)
	if err != nil {
		return nil, fmt.Errorf("ticket: read agents: %w", err)
	}
	return agentsOf(snap, now)
}
