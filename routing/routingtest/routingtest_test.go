package routingtest_test

import (
	"math/rand/v2"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/routing/routingtest"
)

// after returns round robin whose decision is spoilt afterwards.
func after(spoil func(s routing.Snapshot, d *routing.Decision)) routing.Policy {
	return routing.PolicyFunc(func(s routing.Snapshot) routing.Decision {
		d := routing.RoundRobin{}.Decide(s)
		spoil(s, &d)
		return d
	})
}

// before returns round robin that is shown something else.
func before(spoil func(s *routing.Snapshot)) routing.Policy {
	return routing.PolicyFunc(func(s routing.Snapshot) routing.Decision {
		s.Agents = slices.Clone(s.Agents)
		spoil(&s)
		return routing.RoundRobin{}.Decide(s)
	})
}

// allBut returns the other properties.
func allBut(p routingtest.Property) []routingtest.Property {
	return slices.DeleteFunc([]routingtest.Property{
		routingtest.Decides, routingtest.Explains, routingtest.QueueOnly, routingtest.Capacity, routingtest.Skills,
		routingtest.OnlineFirst, routingtest.WaitsOffline, routingtest.AnyAgent, routingtest.Prompt, routingtest.OverflowsOnly,
		routingtest.OverflowsDue, routingtest.Wakes, routingtest.Pure, routingtest.Untouched, routingtest.Concurrent, routingtest.Fair,
	}, func(o routingtest.Property) bool { return o == p })
}

func TestEachPropertyFindsItsBadPolicy(t *testing.T) {
	t.Parallel()
	var turns atomic.Int64
	for _, c := range []struct {
		name   string
		broken routingtest.Property
		policy routing.Policy
	}{
		{"decides nothing", routingtest.Decides, after(func(_ routing.Snapshot, d *routing.Decision) {
			d.Wait = false
		})},
		{"decides two things", routingtest.Decides, after(func(_ routing.Snapshot, d *routing.Decision) {
			d.Wait = true
		})},
		{"panics on an empty queue", routingtest.Decides, before(func(s *routing.Snapshot) {
			_ = s.Agents[0]
		})},
		{"is silent", routingtest.Explains, after(func(_ routing.Snapshot, d *routing.Decision) {
			d.Reason = ""
		})},
		{"gives to a stranger", routingtest.QueueOnly, after(func(_ routing.Snapshot, d *routing.Decision) {
			if d.Agent != "" {
				d.Agent = "stranger"
			}
		})},
		{"ignores capacity", routingtest.Capacity, before(func(s *routing.Snapshot) {
			for i := range s.Agents {
				s.Agents[i].Capacity = 0
			}
		})},
		{"ignores skills", routingtest.Skills, before(func(s *routing.Snapshot) {
			s.Queue.Skills = nil
		})},
		{"demands only the first skill", routingtest.Skills, before(func(s *routing.Snapshot) {
			s.Queue.Skills = s.Queue.Skills[:min(1, len(s.Queue.Skills))]
		})},
		{"ignores presence", routingtest.OnlineFirst, before(func(s *routing.Snapshot) {
			s.Queue.PreferOnline = false
		})},
		{"takes away for online", routingtest.OnlineFirst, before(func(s *routing.Snapshot) {
			for i := range s.Agents {
				if s.Agents[i].Presence == routing.Away {
					s.Agents[i].Presence = routing.Online
				}
			}
		})},
		{"never waits for somebody online", routingtest.WaitsOffline, before(func(s *routing.Snapshot) {
			s.Queue.WhenNoneOnline = routing.AnyAgent
		})},
		{"always waits for somebody online", routingtest.AnyAgent, before(func(s *routing.Snapshot) {
			s.Queue.WhenNoneOnline = routing.Wait
		})},
		{"always waits", routingtest.Prompt, after(func(_ routing.Snapshot, d *routing.Decision) {
			*d = routing.Decision{Wait: true, Reason: "lazy"}
		})},
		{"overflows at once", routingtest.OverflowsOnly, before(func(s *routing.Snapshot) {
			s.Queue.OverflowAfter = 1
		})},
		{"overflows to a queue of its own choice", routingtest.OverflowsOnly, after(func(_ routing.Snapshot, d *routing.Decision) {
			if d.Queue != "" {
				d.Queue = "elsewhere"
			}
		})},
		{"never overflows", routingtest.OverflowsDue, before(func(s *routing.Snapshot) {
			s.Queue.Overflow = ""
		})},
		{"sleeps too long", routingtest.Wakes, after(func(_ routing.Snapshot, d *routing.Decision) {
			if !d.Until.IsZero() {
				d.Until = d.Until.Add(time.Hour)
			}
		})},
		{"never asks to be woken", routingtest.Wakes, after(func(_ routing.Snapshot, d *routing.Decision) {
			d.Until = time.Time{}
		})},
		{"draws from elsewhere", routingtest.Pure, before(func(s *routing.Snapshot) {
			rand.Shuffle(len(s.Agents), func(i, j int) { s.Agents[i], s.Agents[j] = s.Agents[j], s.Agents[i] })
		})},
		{"keeps its turn in itself", routingtest.Concurrent, before(func(s *routing.Snapshot) {
			if n := len(s.Agents); n > 0 {
				k := int(turns.Add(1)) % n
				s.Agents = append(s.Agents[k:], s.Agents[:k]...)
			}
		})},
		{"sorts the snapshot in place", routingtest.Untouched, routing.PolicyFunc(func(s routing.Snapshot) routing.Decision {
			slices.SortFunc(s.Agents, func(a, b routing.Candidate) int { return b.Load - a.Load })
			return routing.RoundRobin{}.Decide(s)
		})},
		{"counts the load itself", routingtest.Untouched, routing.PolicyFunc(func(s routing.Snapshot) routing.Decision {
			d := routing.RoundRobin{}.Decide(s)
			for i := range s.Agents {
				if s.Agents[i].ID == d.Agent {
					s.Agents[i].Load++
				}
			}
			return d
		})},
		{"has a favourite", routingtest.Fair, routing.Choose(func(_ routing.Snapshot, p routing.Pool) (routing.Candidate, string) {
			return p.Agents[0], "first"
		})},
		{"forgets the last", routingtest.Fair, routing.Choose(func(s routing.Snapshot, p routing.Pool) (routing.Candidate, string) {
			return p.Agents[s.Rand.IntN(max(1, len(p.Agents)-1))], "not the last"
		})},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			found := routingtest.Check(c.policy, allBut(c.broken)...)
			require.Len(t, found, 1, "%q does not find it", c.broken)
			require.Equal(t, c.broken, found[0].Property)
			require.NotEmpty(t, found[0].Detail)
		})
	}
}

func TestPropertiesThatAreLeftOutAreNotChecked(t *testing.T) {
	t.Parallel()
	favourite := routing.Choose(func(_ routing.Snapshot, p routing.Pool) (routing.Candidate, string) {
		return p.Agents[0], "first"
	})
	require.NotEmpty(t, routingtest.Check(favourite))
	require.Empty(t, routingtest.Check(favourite, routingtest.Fair))
	routingtest.Run(t, favourite, routingtest.Fair)
}
