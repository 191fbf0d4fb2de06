package storetest

import (
	"context"
	"errors"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

func contextChecks() []check {
	return []check{
		{"a context that has ended ends every method, and nothing is written", func(k *kit) {
			w := k.whole()
			k.commit(&ticket.Changes{Works: []*ticket.Work{k.newWork("l")}})
			ended, cancel := context.WithCancel(k.ctx)
			cancel()
			late, cancel := context.WithDeadline(k.ctx, time.Unix(1, 0))
			defer cancel()
			for _, ctx := range []context.Context{ended, late} {
				for name, err := range map[string]error{
					"Snapshot":      second(k.s.Snapshot(ctx, w.want)),
					"Commit":        k.s.Commit(ctx, w.changes()),
					"Claim":         third(k.s.Claim(ctx, ticket.Claim{Lane: "l", Owner: "a", Now: k.now, Until: k.after(time.Minute), Limit: 1})),
					"Lease":         second(k.s.Lease(ctx, "n", "z", k.now, k.after(time.Minute))),
					"Events":        second(k.s.Events(ctx, ticket.EventFilter{}, 1)),
					"Tickets":       third(k.s.Tickets(ctx, ticket.TicketFilter{}, ticket.Page{})),
					"Conversations": third(k.s.Conversations(ctx, ticket.ConversationFilter{}, ticket.Page{})),
					"Messages":      third(k.s.Messages(ctx, ticket.MessageFilter{Ticket: w.ticket}, ticket.Page{})),
					"Items":         third(k.s.Items(ctx, ticket.ItemFilter{}, ticket.Page{})),
					"Decisions":     second(k.s.Decisions(ctx, ticket.DecisionFilter{Ticket: w.ticket}, 1)),
					"Waiting":       second(k.s.Waiting(ctx, "q", 1)),
					"Ledger":        second(k.s.Ledger(ctx, "", "")),
				} {
					k.must(errors.Is(err, ctx.Err()), "%s: %v, want %v", name, err, ctx.Err())
				}
			}
			parts := k.everything(w)
			k.must(len(parts) == 0, "there is %s", show(parts))
			claimed, _ := k.claim("a", 0, 5)
			k.must(len(claimed) == 1, "work was claimed")
			k.lease("a", 0, time.Minute, true)
		}},
		{"a commit whose context ends meanwhile is written or not, as it says", func(k *kit) {
			for range 30 {
				ctx, cancel := context.WithCancel(k.ctx)
				t := k.newTicket()
				result := make(chan error, 1)
				go func() { result <- k.s.Commit(ctx, &ticket.Changes{At: k.now, Tickets: []*ticket.Ticket{t}}) }()
				cancel()
				err := <-result
				k.must(err == nil || errors.Is(err, context.Canceled), "Commit: %v", err)
				n := len(k.read(ticket.Want{Tickets: []ticket.TicketID{t.ID}}).Tickets)
				k.must((err == nil) == (n == 1), "Commit: %v, but there are %d tickets", err, n)
			}
		}},
	}
}

func second[A any](_ A, err error) error { return err }

func third[A, B any](_ A, _ B, err error) error { return err }
