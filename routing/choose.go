package routing

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Pool is the candidates among whom a [Picker] picks. Each is of the queue, has
// its skills and has room; there is at least one. They stand in the queue's
// order.
type Pool struct {
	Agents []Candidate // the picker's own copy
	Online bool        // all of them are online, since the queue prefers that
}

// String returns the pool for people, such as "3 online agents".
func (p Pool) String() string { return count(len(p.Agents), p.Online) }

// Picker picks one of the pool and says why, for people. It is as pure as a
// [Policy].
type Picker func(s Snapshot, p Pool) (Candidate, string)

// Choose returns the policy that finds who may take the work and lets pick pick
// among them. The stock policies are made with it, and a host's own rule needs
// no more than a picker:
//
//   - Only agents with all skills of the queue and with room are in the pool.
//     Skills are compared exactly.
//   - A queue that prefers online agents has the online ones in the pool. When
//     none is online, WhenNoneOnline decides: with [Wait] the work waits, with
//     any other value one of the agents is drawn at random and pick is not
//     asked. Agents who are online but at capacity are online: their work waits
//     for them, since the setting is about none being there, not about one
//     being busy.
//   - An empty pool makes the work wait, and the reason says why. Once it has
//     waited for the queue's OverflowAfter it goes to Overflow instead; until
//     then Decision.Until is that time. A zero WaitingSince counts as now.
//
// The policy is safe for concurrent use if pick is.
func Choose(pick Picker) Policy {
	return PolicyFunc(func(s Snapshot) Decision {
		pool, absent, why := eligible(s)
		if len(pool.Agents) == 0 {
			return wait(s, why)
		}
		if absent {
			c := draw(s, pool)
			return Decision{Agent: c.ID, Reason: fmt.Sprintf("none is online: random of %s", pool)}
		}
		c, reason := pick(s, pool)
		return Decision{Agent: c.ID, Reason: reason}
	})
}

// eligible returns who may take the work. absent says that the queue prefers
// online agents and takes others only because none is online. When the pool is
// empty, why says what is missing.
func eligible(s Snapshot) (pool Pool, absent bool, why string) {
	if len(s.Agents) == 0 {
		return Pool{}, false, "the queue has no agents"
	}
	skilled := filter(s.Agents, func(c Candidate) bool { return hasSkills(c, s.Queue.Skills) })
	if len(skilled) == 0 {
		return Pool{}, false, fmt.Sprintf("none of %s has the skills %s",
			count(len(s.Agents), false), strings.Join(s.Queue.Skills, ", "))
	}
	present := skilled
	if s.Queue.PreferOnline {
		if online := filter(skilled, Candidate.Online); len(online) > 0 {
			present, pool.Online = online, true
		} else if s.Queue.WhenNoneOnline == Wait {
			return Pool{}, false, fmt.Sprintf("none of %s is online", count(len(skilled), false))
		} else {
			absent = true
		}
	}
	pool.Agents = filter(present, Candidate.HasRoom)
	if len(pool.Agents) == 0 {
		why = "all " + count(len(present), pool.Online) + " are at capacity"
		if len(present) == 1 {
			why = "the only " + strings.TrimPrefix(count(1, pool.Online), "1 ") + " is at capacity"
		}
		if absent {
			why = "none is online and " + why
		}
	}
	return pool, absent, why
}

// wait leaves the work waiting, or moves it once it has waited long enough.
func wait(s Snapshot, why string) Decision {
	q := s.Queue
	if q.Overflow == "" || q.Overflow == q.ID || q.OverflowAfter <= 0 {
		return Decision{Wait: true, Reason: why}
	}
	since := s.Item.WaitingSince
	if since.IsZero() {
		since = s.Now
	}
	due := since.Add(q.OverflowAfter)
	if s.Now.Before(due) {
		return Decision{Wait: true, Until: due, Reason: why}
	}
	return Decision{Queue: q.Overflow, Reason: fmt.Sprintf("%s, for %s", why, s.Now.Sub(since).Round(time.Second))}
}

// draw returns one of the pool at random; without a source, the first.
func draw(s Snapshot, p Pool) Candidate {
	if s.Rand == nil {
		return p.Agents[0]
	}
	return p.Agents[s.Rand.IntN(len(p.Agents))]
}

func hasSkills(c Candidate, want []string) bool {
	return !slices.ContainsFunc(want, func(skill string) bool { return !slices.Contains(c.Skills, skill) })
}

// filter returns those that pass, in a new slice.
func filter(from []Candidate, pass func(Candidate) bool) []Candidate {
	var out []Candidate
	for _, c := range from {
		if pass(c) {
			out = append(out, c)
		}
	}
	return out
}

func count(n int, online bool) string {
	s := fmt.Sprint(n)
	if online {
		s += " online"
	}
	if n == 1 {
		return s + " agent"
	}
	return s + " agents"
}
