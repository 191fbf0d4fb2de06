package ticket

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/anteroom/anteroom/routing"
)

const maxNameLength = 200 // code points of an id or a name

func checkID(field, id string) error {
	switch {
	case id == "":
		return badField(field, "must not be empty")
	case len([]rune(id)) > maxNameLength:
		return badField(field, "must have at most %d characters", maxNameLength)
	case clean(id, maxNameLength+1) != id:
		return badField(field, "must not hold control characters or blanks at its ends")
	}
	return nil
}

// PutAgent adds or changes an agent. A bad value is a *channel.FieldError.
func (d *Desk) PutAgent(ctx context.Context, a routing.Agent) error {
	if err := checkID("id", string(a.ID)); err != nil {
		return err
	}
	if clean(a.Name, maxNameLength+1) != a.Name || len([]rune(a.Name)) > maxNameLength {
		return badField("name", "must be one line of at most %d characters", maxNameLength)
	}
	if a.Email != "" && !plausibleMail(a.Email) {
		return badField("email", "is not a mail address")
	}
	if a.Capacity < 0 {
		return badField("capacity", "must not be negative")
	}
	ref, assigned := RecordRef{recordAgent, string(a.ID)}, RecordRef{recordAssigned, string(a.ID)}
	return d.putConfig(ctx, ref, a, func(u *unit) error {
		u.event(Event{Type: EventAgentUpdated, Agent: a.ID})
		if err := u.lookFor(a.ID); err != nil { // more capacity may take what waits
			return err
		}
		if u.snap.Records[ref] == nil {
			return nil
		}
		// What is about to be given to the agent as it was is decided anew.
		var last time.Time
		if rec := u.snap.Records[assigned]; rec != nil {
			if err := json.Unmarshal(rec.Doc, &last); err != nil {
				return fmt.Errorf("ticket: read last assignment of %q: %w", a.ID, err)
			}
		}
		return u.putRecord(assigned, last)
	}, assigned)
}

// PutQueue adds or changes a queue. Its policy must be known and its agents
// must exist. A bad value is a *channel.FieldError.
func (d *Desk) PutQueue(ctx context.Context, q routing.Queue) error {
	if err := checkID("id", string(q.ID)); err != nil {
		return err
	}
	if clean(q.Name, maxNameLength+1) != q.Name || len([]rune(q.Name)) > maxNameLength {
		return badField("name", "must be one line of at most %d characters", maxNameLength)
	}
	if _, ok := d.policies[q.Policy]; q.Policy != "" && !ok {
		return badField("policy", "there is no policy %q", q.Policy)
	}
	switch q.WhenNoneOnline {
	case "", routing.AnyAgent, routing.Wait:
	default:
		return badField("when_none_online", "must be %q or %q", routing.AnyAgent, routing.Wait)
	}
	if q.OverflowAfter < 0 {
		return badField("overflow_after", "must not be negative")
	}
	if q.Overflow == q.ID {
		return badField("overflow", "must be another queue")
	}
	if err := d.Refresh(ctx); err != nil {
		return err
	}
	v := d.view()
	if _, ok := v.queues[q.Overflow]; q.Overflow != "" && !ok {
		return badField("overflow", "there is no queue %q", q.Overflow)
	}
	seen := map[routing.AgentID]bool{}
	for _, a := range q.Agents {
		if _, ok := v.agents[a]; !ok {
			return badField("agents", "there is no agent %q", a)
		}
		if seen[a] {
			return badField("agents", "agent %q stands twice", a)
		}
		seen[a] = true
	}
	return d.putConfig(ctx, RecordRef{recordQueue, string(q.ID)}, q, func(u *unit) error {
		u.event(Event{Type: EventQueueUpdated, Data: map[string]string{"queue": string(q.ID)}})
		u.addWork(&Work{Kind: WorkAssign, Queue: q.ID})
		return nil
	})
}

// putConfig writes a record and has this node use it at once. also may look at
// the records that it reads besides.
func (d *Desk) putConfig(ctx context.Context, ref RecordRef, v any, also func(u *unit) error, reads ...RecordRef) error {
	want := Want{Records: append(reads, ref)}
	_, err := d.decide(ctx, Actor{Kind: ActorHost}, func() Want { return want }, func(u *unit) error {
		if err := also(u); err != nil {
			return err
		}
		return u.putRecord(ref, v)
	})
	if err != nil {
		return err
	}
	return d.Refresh(ctx)
}

// SetPresence says how an agent is. The state lapses into Offline after ttl
// unless it is set again; ttl 0 means never. What waits in the agent's queues
// is looked at again.
func (d *Desk) SetPresence(ctx context.Context, id routing.AgentID, state routing.PresenceState, ttl time.Duration) error {
	switch state {
	case routing.Online, routing.Away, routing.Offline:
	default:
		return badField("state", "must be %q, %q or %q", routing.Online, routing.Away, routing.Offline)
	}
	if ttl < 0 {
		return badField("ttl", "must not be negative")
	}
	ref := RecordRef{recordPresence, string(id)}
	agent := RecordRef{recordAgent, string(id)}
	_, err := d.decide(ctx, Agent(id), func() Want {
		return Want{Records: []RecordRef{ref, agent}, Kinds: []RecordKind{recordQueue}}
	}, func(u *unit) error {
		if u.snap.Records[agent] == nil {
			return fmt.Errorf("agent %q: %w", id, ErrNotFound)
		}
		var old routing.Presence
		if rec := u.snap.Records[ref]; rec != nil {
			if err := json.Unmarshal(rec.Doc, &old); err != nil {
				return fmt.Errorf("ticket: read presence: %w", err)
			}
		}
		p := routing.Presence{State: state, Since: u.now}
		if old.At(u.now) == state {
			p.Since = old.Since
		} else {
			u.event(Event{Type: EventPresence, Agent: id, Data: map[string]string{"state": string(state)}})
			// Who comes takes what waits; who goes may leave a queue without
			// anybody online, where another rule holds.
			if err := u.lookFor(id); err != nil {
				return err
			}
		}
		if ttl > 0 {
			p.Until = u.now.Add(ttl)
		}
		return u.putRecord(ref, p)
	})
	return err
}

// lookFor adds the work of looking again at the queues that an agent is in.
func (u *unit) lookFor(a routing.AgentID) error {
	queues, err := u.queuesOf(a)
	if err != nil {
		return err
	}
	for _, q := range queues {
		u.addWork(&Work{Kind: WorkAssign, Queue: q})
	}
	return nil
}

// AgentStatus is an agent with presence and load.
type AgentStatus struct {
	routing.Agent
	Presence routing.Presence
	Load     int // active tickets and conversations
}

// Agents lists the agents by id.
func (d *Desk) Agents(ctx context.Context) ([]AgentStatus, error) {
	now := d.now()
	agents, err := d.readAgents(ctx, now)
	if err != nil {
		return nil, err
	}
	out := make([]AgentStatus, 0, len(agents))
	for _, a := range agents {
		out = append(out, a.AgentStatus)
	}
	slices.SortFunc(out, func(a, b AgentStatus) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

// Queues lists the queues by id.
func (d *Desk) Queues(ctx context.Context) ([]routing.Queue, error) {
	snap, err := d.store.Snapshot(ctx, Want{Kinds: []RecordKind{recordQueue}})
	if err != nil {
		return nil, fmt.Errorf("ticket: read queues: %w", err)
	}
	qs, err := decodeRecords[routing.Queue](snap, recordQueue)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(qs, func(a, b routing.Queue) int { return cmp.Compare(a.ID, b.ID) })
	return qs, nil
}

func decodeRecords[T any](snap *Snapshot, kind RecordKind) ([]T, error) {
	var out []T
	for ref, rec := range snap.Records {
		if ref.Kind != kind {
			continue
		}
		var v T
		if err := json.Unmarshal(rec.Doc, &v); err != nil {
			return nil, fmt.Errorf("ticket: read %s %q: %w", kind, ref.ID, err)
		}
		out = append(out, v)
	}
	return out, nil
}
