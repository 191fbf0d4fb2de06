package routingtest

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/routing"
)

// situations is how many snapshots each property is checked on.
const situations = 250

var epoch = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// situation returns the n-th generated snapshot, new each time, so that a
// policy that writes into one spoils no other.
func situation(n int) routing.Snapshot {
	r := rand.New(rand.NewPCG(uint64(n), 0x616e7465))
	now := epoch.Add(time.Duration(r.IntN(1e6)) * time.Second)
	q := routing.Queue{
		ID: "queue", Name: "Queue",
		PreferOnline:   r.IntN(4) > 0,
		WhenNoneOnline: pick(r, "", routing.AnyAgent, routing.Wait),
		Skills:         pick(r, nil, nil, []string{"billing"}, []string{"thai", "billing"}),
		Hours:          json.RawMessage(`{"tz":"Asia/Ho_Chi_Minh"}`),
	}
	if r.IntN(2) == 0 {
		q.Overflow, q.OverflowAfter = "overflow", time.Duration(1+r.IntN(30))*time.Minute
	}
	s := routing.Snapshot{
		Item: routing.Item{
			Ticket: fmt.Sprintf("ticket-%d", n), Conversation: "conversation", Channel: "channel",
			Tags: []string{"vip"}, WaitingSince: now.Add(-time.Duration(r.IntN(3600)) * time.Second),
		},
		Now:  now,
		Rand: rand.New(rand.NewPCG(uint64(n), 1)),
	}
	presence := pick(r,
		[]routing.PresenceState{routing.Online, routing.Away, routing.Offline},
		[]routing.PresenceState{routing.Away, routing.Offline},
		[]routing.PresenceState{routing.Online})
	full := r.IntN(3) // how often, out of three, an agent has no room
	for i := range r.IntN(7) {
		c := routing.Candidate{
			Agent: routing.Agent{
				ID: routing.AgentID(fmt.Sprintf("agent-%d", i)), Name: fmt.Sprintf("Agent %d", i),
				Capacity: r.IntN(4),
				Skills:   pick(r, nil, []string{"thai"}, []string{"billing", "thai"}, []string{"thai", "tax", "billing"}),
			},
			Presence: pick(r, presence...),
		}
		if c.Capacity == 0 {
			c.Load = r.IntN(9)
		} else if r.IntN(3) < full {
			c.Load = c.Capacity + r.IntN(2) // over capacity is possible: people assign without limit
		} else {
			c.Load = r.IntN(c.Capacity)
		}
		if r.IntN(4) > 0 {
			c.LastAssigned = now.Add(-time.Duration(r.IntN(600)) * time.Minute)
		}
		q.Agents = append(q.Agents, c.ID)
		s.Agents = append(s.Agents, c)
	}
	if len(q.Agents) > 0 && r.IntN(2) == 0 {
		s.Item.Previous = pick(r, q.Agents...)
	}
	s.Queue = q
	return s
}

func pick[T any](r *rand.Rand, from ...T) T { return from[r.IntN(len(from))] }

// describe returns the snapshot for people.
func describe(s routing.Snapshot) string {
	var b strings.Builder
	fmt.Fprintf(&b, "queue (prefer online %t, when none %q, skills %v", s.Queue.PreferOnline, s.Queue.WhenNoneOnline, s.Queue.Skills)
	if s.Queue.Overflow != "" {
		fmt.Fprintf(&b, ", to %q after %v", s.Queue.Overflow, s.Queue.OverflowAfter)
	}
	fmt.Fprintf(&b, "), waiting %v, agents", s.Now.Sub(s.Item.WaitingSince))
	if len(s.Agents) == 0 {
		b.WriteString(" none")
	}
	for _, c := range s.Agents {
		fmt.Fprintf(&b, " [%s %s %d/%s %v]", c.ID, c.Presence, c.Load, limit(c.Capacity), c.Skills)
	}
	return b.String()
}

func limit(capacity int) string {
	if capacity <= 0 {
		return "any"
	}
	return fmt.Sprint(capacity)
}

func describeDecision(d routing.Decision) string {
	var parts []string
	if d.Agent != "" {
		parts = append(parts, fmt.Sprintf("agent %q", d.Agent))
	}
	if d.Queue != "" {
		parts = append(parts, fmt.Sprintf("queue %q", d.Queue))
	}
	if d.Wait {
		parts = append(parts, "wait")
	}
	if !d.Until.IsZero() {
		parts = append(parts, "until "+d.Until.Format(time.RFC3339))
	}
	if len(parts) == 0 {
		parts = append(parts, "nothing")
	}
	return strings.Join(parts, " and ")
}

// skilled returns the agents with all skills of the queue.
func skilled(s routing.Snapshot) []routing.Candidate {
	return where(s.Agents, func(c routing.Candidate) bool { return hasSkills(c, s.Queue) })
}

func where(from []routing.Candidate, pass func(routing.Candidate) bool) []routing.Candidate {
	return slices.DeleteFunc(slices.Clone(from), func(c routing.Candidate) bool { return !pass(c) })
}

func hasSkills(c routing.Candidate, q routing.Queue) bool {
	for _, skill := range q.Skills {
		if !slices.Contains(c.Skills, skill) {
			return false
		}
	}
	return true
}
