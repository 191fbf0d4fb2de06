package storetest

import (
	"strings"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

func portalChecks() []check {
	return []check{
		{"other portals are invisible", func(k *kit) {
			w := k.whole()
			k.commit(w.changes())
			for _, name := range []string{"other", "", "Main", "main ", "%", "main' OR '1'='1"} {
				other := k.in(name)
				parts := other.everything(w)
				k.must(len(parts) == 0, "portal %q shows %s", name, strings.Join(parts, "\n"))
				works, next, err := other.s.Claim(k.ctx, ticket.Claim{Lane: "lane", Owner: "a", Now: k.now, Until: k.after(1e9), Limit: 5})
				k.ok(err, "Claim")
				k.must(len(works) == 0 && next.IsZero(), "portal %q: Claim %s, next %v", name, show(works), next)
			}
		}},
		{"portals do not conflict", func(k *kit) {
			w := k.whole()
			k.commit(w.changes())
			other := k.in("other")
			c := w.changes()
			c.Counts[0].Max = 1
			other.commit(c) // the same ids, keys and counters
			k.must(c.Tickets[0].Number == 1 && c.Events[0].Cursor == 1, "number %d and cursor %d", c.Tickets[0].Number, c.Events[0].Cursor)
			k.same("parts", other.everything(w), k.everything(w))

			c.Tickets[0].Subject, c.Contacts[0].Name = "changed there", "changed there"
			other.commit(&ticket.Changes{
				Tickets: c.Tickets, Contacts: c.Contacts, Releases: w.want.Keys, DropBodies: w.want.Bodies,
				Done:    []ticket.Done{{ID: c.Works[0].ID, Revision: 1}},
				Records: []*ticket.Record{{Kind: "whole", ID: "1", Revision: 1}},
				Counts:  []ticket.Count{{Name: "whole", Add: -1}},
			})
			parts := k.everything(w)
			k.must(len(parts) == partsOfAll, "%d of %d parts are left", len(parts), partsOfAll)
			k.must(!strings.Contains(strings.Join(parts, " "), "changed there"), "an update reached another portal")
		}},
		{"named leases of portals are apart", func(k *kit) {
			k.lease("a", 0, time.Minute, true)
			k.in("other").lease("b", 0, time.Minute, true)
			k.lease("b", 0, time.Minute, false)
		}},
		{"a portal opened twice is one", func(k *kit) {
			w := k.whole()
			k.commit(w.changes())
			k.same("parts", k.in("main").everything(w), k.everything(w))
		}},
	}
}
