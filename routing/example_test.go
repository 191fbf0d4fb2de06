package routing_test

import (
	"fmt"
	"time"

	"github.com/anteroom/anteroom/routing"
)

// A host's own rule: whoever had the ticket before gets it back if they can
// take it, and otherwise it goes by turns.
func ExampleChoose() {
	sticky := routing.Choose(func(s routing.Snapshot, p routing.Pool) (routing.Candidate, string) {
		for _, c := range p.Agents {
			if c.ID == s.Item.Previous {
				return c, "had it before"
			}
		}
		return p.Agents[0], fmt.Sprintf("first of %s", p)
	})

	d := sticky.Decide(routing.Snapshot{
		Item:  routing.Item{Ticket: "42", Previous: "binh"},
		Queue: routing.Queue{ID: "support", PreferOnline: true},
		Agents: []routing.Candidate{
			{Agent: routing.Agent{ID: "an"}, Presence: routing.Online},
			{Agent: routing.Agent{ID: "binh"}, Presence: routing.Online},
			{Agent: routing.Agent{ID: "chi"}, Presence: routing.Away},
		},
		Now: time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC),
	})
	fmt.Println(d.Agent, "-", d.Reason)
	// Output: binh - had it before
}
