package ticket

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/anteroom/anteroom/routing"
)

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

// queueFacts is a queue and the agents, as a snapshot has them.
type queueFacts struct {
	id     routing.QueueID
	queue  routing.Queue
	exists bool
	agents map[routing.AgentID]agentFacts
}

func (u *unit) queueFacts(id routing.QueueID) (f queueFacts, err error) {
	f.id = id
	if f.agents, err = agentsOf(u.snap, u.now); err != nil {
		return f, err
	}
	f.queue, f.exists, err = queueOf(u.snap, id)
	return f, err
}
