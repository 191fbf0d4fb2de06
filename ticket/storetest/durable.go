package storetest

import (
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// durableCheck is a check of what is left when a store is opened again.
type durableCheck struct {
	name string
	run  func(k *kit, reopen func())
}

func durableChecks() []durableCheck {
	return []durableCheck{
		{"reopening keeps all", func(k *kit, reopen func()) {
			w := k.whole()
			k.commit(w.changes())
			filled, want := k.filled(1)
			k.commit(filled)
			k.lease("a", 0, time.Minute, true)
			parts := k.everything(w)
			reopen()
			k.same("parts", k.everything(w), parts)
			k.kept(filled, want)
			k.lease("b", 0, time.Minute, false)
			works, _, err := k.s.Claim(k.ctx, ticket.Claim{Lane: "lane", Owner: "a", Now: k.now, Until: k.after(time.Minute), Limit: 1})
			k.ok(err, "Claim")
			k.must(len(works) == 1 && works[0].Attempts == 1, "Claim: %s", show(works))
			reopen()
			works, next, err := k.s.Claim(k.ctx, ticket.Claim{Lane: "lane", Owner: "b", Now: k.now, Until: k.after(time.Minute), Limit: 1})
			k.ok(err, "Claim")
			k.must(len(works) == 0 && next.Equal(k.after(time.Minute)), "a claim is lost: %s, next %v", show(works), next)
		}},
		{"numbers and cursors go on after reopening", func(k *kit, reopen func()) {
			for want := int64(1); want <= 4; want++ {
				c := &ticket.Changes{Tickets: []*ticket.Ticket{k.newTicket()}, Events: []*ticket.Event{k.newEvent()}}
				k.commit(c)
				k.must(c.Tickets[0].Number == want && c.Events[0].Cursor == want, "number %d and cursor %d, want %d",
					c.Tickets[0].Number, c.Events[0].Cursor, want)
				reopen()
			}
		}},
		{"keys conflict after reopening", func(k *kit, reopen func()) {
			key, ref := ticket.NewKey("k"), ticket.Ref{Kind: ticket.RefItem, ID: k.id()}
			k.commit(&ticket.Changes{Claims: []ticket.KeyClaim{{Key: key, Ref: ref}}})
			reopen()
			k.taken(&ticket.Changes{Claims: []ticket.KeyClaim{{Key: key, Ref: ticket.Ref{Kind: ticket.RefItem, ID: k.id()}}}}, key, ref)
		}},
	}
}
