package routingtest

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"sync"

	"github.com/anteroom/anteroom/routing"
)

// pure asks about all situations, then again in another order: what a policy
// remembers, or draws from elsewhere, shows as another answer.
func pure(p routing.Policy) string {
	first := make([]routing.Decision, situations)
	for n := range situations {
		d, broken := ask(p, situation(n))
		if broken != "" {
			return broken
		}
		first[n] = d
	}
	for i := range situations {
		n := situations - 1 - i
		if d, _ := ask(p, situation(n)); d != first[n] {
			return fmt.Sprintf("first %s (%s), then %s (%s) for %s",
				describeDecision(first[n]), first[n].Reason, describeDecision(d), d.Reason, describe(situation(n)))
		}
	}
	return ""
}

func untouched(p routing.Policy) string {
	for n := range situations {
		s, want := situation(n), situation(n)
		if _, broken := ask(p, s); broken != "" {
			return broken
		}
		s.Rand, want.Rand = nil, nil // drawing from it is allowed
		if !reflect.DeepEqual(s, want) {
			return fmt.Sprintf("it changed %s\nto %s", describe(want), describe(s))
		}
	}
	return ""
}

func concurrent(p routing.Policy) string {
	const workers = 8
	want := make([]routing.Decision, situations)
	for n := range situations {
		d, broken := ask(p, situation(n))
		if broken != "" {
			return broken
		}
		want[n] = d
	}
	found := make([]string, workers)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range situations {
				n := (i + w*situations/workers) % situations
				if d, broken := ask(p, situation(n)); broken != "" {
					found[w] = broken
				} else if d != want[n] {
					found[w] = fmt.Sprintf("alone %s, concurrently %s for %s",
						describeDecision(want[n]), describeDecision(d), describe(situation(n)))
				}
			}
		})
	}
	wg.Wait()
	for _, f := range found {
		if f != "" {
			return f
		}
	}
	return ""
}

// fair gives away many pieces of work among equal agents, once with the work
// done before the next piece comes and once with all of it staying open. The
// bound is half above and half below the equal share: generous to chance,
// narrow enough to find a favourite and somebody forgotten.
func fair(p routing.Policy) string {
	const agents, pieces = 5, 500
	for _, open := range []bool{false, true} {
		s := routing.Snapshot{
			Queue: routing.Queue{ID: "queue", PreferOnline: true},
			Now:   epoch,
			Rand:  rand.New(rand.NewPCG(7, 7)),
		}
		for i := range agents + 2 {
			c := routing.Candidate{Agent: routing.Agent{ID: routing.AgentID(fmt.Sprintf("agent-%d", i))}, Presence: routing.Online}
			if i >= agents {
				c.Presence = routing.Offline // takes no share
			}
			s.Queue.Agents = append(s.Queue.Agents, c.ID)
			s.Agents = append(s.Agents, c)
		}
		got := make([]int, agents)
		for n := range pieces {
			s.Now = s.Now.Add(1e9)
			s.Item = routing.Item{Ticket: fmt.Sprintf("ticket-%d", n), WaitingSince: s.Now}
			d, broken := ask(p, s)
			if broken != "" {
				return broken
			}
			for i := range got {
				if s.Agents[i].ID == d.Agent {
					got[i]++
					s.Agents[i].LastAssigned = s.Now
					if open {
						s.Agents[i].Load++
					}
				}
			}
		}
		share := pieces / agents
		for i, n := range got {
			if n > share+share/2 || n < share-share/2 {
				return fmt.Sprintf("of %d pieces of work (staying open: %t) %q got %d, the equal share is %d; all: %v",
					pieces, open, s.Agents[i].ID, n, share, got)
			}
		}
	}
	return ""
}
