package routing

import (
	"cmp"
	"fmt"
	"slices"
)

// RoundRobin gives work to whoever has waited longest for some: the agent with
// the oldest LastAssigned, and of equals the first in the queue's order. Its
// turn is kept in the agents' own records, so it holds over nodes and restarts.
// See [Choose] for who is asked. The zero value is ready.
type RoundRobin struct{}

// Decide implements [Policy].
func (RoundRobin) Decide(s Snapshot) Decision {
	return Choose(func(_ Snapshot, p Pool) (Candidate, string) {
		return slices.MinFunc(p.Agents, byTurn), fmt.Sprintf("next in turn of %s", p)
	}).Decide(s)
}

// LeastBusy gives work to the agent with the lowest Load, whatever their
// capacities, and of equals to the one whose turn it is, as for [RoundRobin].
// See [Choose] for who is asked. The zero value is ready.
type LeastBusy struct{}

// Decide implements [Policy].
func (LeastBusy) Decide(s Snapshot) Decision {
	return Choose(func(_ Snapshot, p Pool) (Candidate, string) {
		c := slices.MinFunc(p.Agents, func(a, b Candidate) int {
			return cmp.Or(cmp.Compare(a.Load, b.Load), byTurn(a, b))
		})
		return c, fmt.Sprintf("least busy of %s (%d open)", p, c.Load)
	}).Decide(s)
}

// Random gives work to any agent with equal chance, drawn from Snapshot.Rand;
// without that, to the first. See [Choose] for who is asked. The zero value is
// ready.
type Random struct{}

// Decide implements [Policy].
func (Random) Decide(s Snapshot) Decision {
	return Choose(func(s Snapshot, p Pool) (Candidate, string) {
		return draw(s, p), fmt.Sprintf("random of %s", p)
	}).Decide(s)
}

// Stock returns the policies of this package by the names that [Queue].Policy
// uses: "round_robin", "least_busy" and "random". The map is the caller's own,
// to add to.
func Stock() map[string]Policy {
	return map[string]Policy{
		"round_robin": RoundRobin{},
		"least_busy":  LeastBusy{},
		"random":      Random{},
	}
}

// byTurn orders by LastAssigned, oldest first; never is oldest.
func byTurn(a, b Candidate) int { return a.LastAssigned.Compare(b.LastAssigned) }
