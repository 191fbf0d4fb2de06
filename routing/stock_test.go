package routing_test

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/routing/routingtest"
)

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

// cand returns a candidate who was last given work so many minutes before noon;
// a negative number means never.
func cand(id routing.AgentID, p routing.PresenceState, capacity, load, minutes int, skills ...string) routing.Candidate {
	c := routing.Candidate{
		Agent:    routing.Agent{ID: id, Capacity: capacity, Skills: skills},
		Presence: p, Load: load,
	}
	if minutes >= 0 {
		c.LastAssigned = noon.Add(-time.Duration(minutes) * time.Minute)
	}
	return c
}

func snapshot(q routing.Queue, agents ...routing.Candidate) routing.Snapshot {
	for _, c := range agents {
		q.Agents = append(q.Agents, c.ID)
	}
	return routing.Snapshot{
		Item: routing.Item{Ticket: "t1", WaitingSince: noon.Add(-5 * time.Minute)}, Queue: q,
		Agents: agents, Now: noon, Rand: rand.New(rand.NewPCG(1, 2)),
	}
}

func TestStockPoliciesHaveTheProperties(t *testing.T) {
	t.Parallel()
	for name, p := range routing.Stock() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			routingtest.Run(t, p)
		})
	}
}

func TestStockReturnsAMapOfTheCallersOwn(t *testing.T) {
	t.Parallel()
	delete(routing.Stock(), "random")
	require.Len(t, routing.Stock(), 3)
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	const on, away, off = routing.Online, routing.Away, routing.Offline
	online := routing.Queue{ID: "q", PreferOnline: true}
	waiting := routing.Queue{ID: "q", PreferOnline: true, WhenNoneOnline: routing.Wait}
	anyone := routing.Queue{ID: "q"}
	overflow := func(q routing.Queue, after time.Duration) routing.Queue {
		q.Overflow, q.OverflowAfter = "night", after
		return q
	}
	skilled := routing.Queue{ID: "q", Skills: []string{"thai", "billing"}}

	for _, c := range []struct {
		name   string
		policy routing.Policy
		s      routing.Snapshot
		want   routing.Decision
	}{
		{"round robin takes the one who waited longest", routing.RoundRobin{},
			snapshot(anyone, cand("a", on, 0, 0, 1), cand("b", on, 0, 9, 3), cand("c", on, 0, 0, 2)),
			routing.Decision{Agent: "b", Reason: "next in turn of 3 agents"}},
		{"round robin takes who never had any before the others", routing.RoundRobin{},
			snapshot(anyone, cand("a", on, 0, 0, 900), cand("b", on, 0, 0, -1)),
			routing.Decision{Agent: "b", Reason: "next in turn of 2 agents"}},
		{"round robin follows the queue's order among equals", routing.RoundRobin{},
			snapshot(anyone, cand("z", on, 0, 0, -1), cand("a", on, 0, 0, -1)),
			routing.Decision{Agent: "z", Reason: "next in turn of 2 agents"}},
		{"least busy takes the lowest load", routing.LeastBusy{},
			snapshot(online, cand("a", on, 0, 4, 9), cand("b", on, 0, 2, 1), cand("c", on, 0, 3, 5), cand("d", off, 0, 0, 5)),
			routing.Decision{Agent: "b", Reason: "least busy of 3 online agents (2 open)"}},
		{"least busy takes turns among equals", routing.LeastBusy{},
			snapshot(anyone, cand("a", on, 0, 2, 1), cand("b", on, 0, 2, 4)),
			routing.Decision{Agent: "b", Reason: "least busy of 2 agents (2 open)"}},
		{"random says so", routing.Random{},
			snapshot(online, cand("a", on, 0, 0, 1), cand("b", off, 0, 0, 4)),
			routing.Decision{Agent: "a", Reason: "random of 1 online agent"}},
		{"who is away is not online", routing.RoundRobin{},
			snapshot(online, cand("a", away, 0, 0, 9), cand("b", on, 0, 0, 1)),
			routing.Decision{Agent: "b", Reason: "next in turn of 1 online agent"}},
		{"presence does not matter to a queue that does not prefer online", routing.RoundRobin{},
			snapshot(anyone, cand("a", off, 0, 0, 9), cand("b", on, 0, 0, 1)),
			routing.Decision{Agent: "a", Reason: "next in turn of 2 agents"}},
		{"none online: any agent with room", routing.RoundRobin{},
			snapshot(online, cand("a", off, 1, 1, 9), cand("b", away, 2, 1, 1)),
			routing.Decision{Agent: "b", Reason: "none is online: random of 1 agent"}},
		{"none online: waits where the queue says wait", routing.RoundRobin{},
			snapshot(waiting, cand("a", off, 0, 0, 9), cand("b", away, 0, 0, 1)),
			routing.Decision{Wait: true, Reason: "none of 2 agents is online"}},
		{"online but full: waits for them and spares those who are offline", routing.LeastBusy{},
			snapshot(online, cand("a", on, 2, 2, 9), cand("b", on, 1, 1, 1), cand("c", off, 0, 0, 1)),
			routing.Decision{Wait: true, Reason: "all 2 online agents are at capacity"}},
		{"the only one online is full", routing.LeastBusy{},
			snapshot(online, cand("a", on, 2, 2, 9), cand("c", off, 0, 0, 1)),
			routing.Decision{Wait: true, Reason: "the only online agent is at capacity"}},
		{"none online and all full", routing.LeastBusy{},
			snapshot(online, cand("a", off, 2, 2, 9), cand("c", off, 1, 3, 1)),
			routing.Decision{Wait: true, Reason: "none is online and all 2 agents are at capacity"}},
		{"no agents", routing.RoundRobin{}, snapshot(anyone),
			routing.Decision{Wait: true, Reason: "the queue has no agents"}},
		{"all skills are needed", routing.RoundRobin{},
			snapshot(skilled, cand("a", on, 0, 0, 9, "thai"), cand("b", on, 0, 0, 1, "billing", "tax", "thai")),
			routing.Decision{Agent: "b", Reason: "next in turn of 1 agent"}},
		{"nobody has the skills", routing.RoundRobin{},
			snapshot(skilled, cand("a", on, 0, 0, 9, "thai"), cand("b", on, 0, 0, 1, "Billing", "thai")),
			routing.Decision{Wait: true, Reason: "none of 2 agents has the skills thai, billing"}},
		{"waiting work is looked at again when the overflow is due", routing.RoundRobin{},
			snapshot(overflow(waiting, 8*time.Minute), cand("a", off, 0, 0, 9)),
			routing.Decision{Wait: true, Until: noon.Add(3 * time.Minute), Reason: "none of 1 agent is online"}},
		{"work overflows at the very moment it is due", routing.RoundRobin{},
			snapshot(overflow(waiting, 5*time.Minute), cand("a", off, 0, 0, 9)),
			routing.Decision{Queue: "night", Reason: "none of 1 agent is online, for 5m0s"}},
		{"work that can be given does not overflow", routing.RoundRobin{},
			snapshot(overflow(waiting, time.Minute), cand("a", on, 0, 0, 9)),
			routing.Decision{Agent: "a", Reason: "next in turn of 1 online agent"}},
		{"an overflow without a time is none", routing.RoundRobin{},
			snapshot(overflow(waiting, 0), cand("a", off, 0, 0, 9)),
			routing.Decision{Wait: true, Reason: "none of 1 agent is online"}},
		{"a queue never overflows into itself", routing.RoundRobin{},
			snapshot(routing.Queue{ID: "q", Overflow: "q", OverflowAfter: time.Minute}),
			routing.Decision{Wait: true, Reason: "the queue has no agents"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, c.want, c.policy.Decide(c.s))
		})
	}
}

func TestWorkThatJustBeganToWaitWaitsFromNow(t *testing.T) {
	t.Parallel()
	s := snapshot(routing.Queue{ID: "q", Overflow: "night", OverflowAfter: time.Minute})
	s.Item.WaitingSince = time.Time{}
	require.Equal(t, noon.Add(time.Minute), routing.RoundRobin{}.Decide(s).Until)
}

func TestRandomReachesEverybody(t *testing.T) {
	t.Parallel()
	seen := map[routing.AgentID]bool{}
	s := snapshot(routing.Queue{ID: "q", PreferOnline: true},
		cand("a", routing.Offline, 0, 0, 1), cand("b", routing.Offline, 0, 0, 1), cand("c", routing.Offline, 0, 0, 1))
	for range 100 {
		seen[routing.RoundRobin{}.Decide(s).Agent] = true
	}
	require.Len(t, seen, 3, "with none online the draw is over all agents, whatever the policy")
}

func TestWithoutARandomSourceTheFirstIsTaken(t *testing.T) {
	t.Parallel()
	s := snapshot(routing.Queue{ID: "q"}, cand("a", routing.Online, 0, 0, 1), cand("b", routing.Online, 0, 0, 2))
	s.Rand = nil
	require.Equal(t, routing.AgentID("a"), routing.Random{}.Decide(s).Agent)
}

func TestPresenceLapses(t *testing.T) {
	t.Parallel()
	p := routing.Presence{State: routing.Online, Until: noon}
	require.Equal(t, routing.Online, p.At(noon.Add(-time.Nanosecond)))
	require.Equal(t, routing.Offline, p.At(noon), "the end is exclusive")
	require.Equal(t, routing.Away, routing.Presence{State: routing.Away}.At(noon), "without an end it stays")
	require.Equal(t, routing.Offline, routing.Presence{}.At(noon), "nothing said means offline")
}
