package storetest

import (
	"sync"

	"github.com/anteroom/anteroom/ticket"
)

func snapshotChecks() []check {
	return []check{
		{"what does not exist is absent", func(k *kit) {
			w := k.whole()
			s := k.read(w.want)
			n := len(s.Refs) + len(s.Contacts) + len(s.Conversations) + len(s.Tickets) + len(s.Messages) + len(s.Items) +
				len(s.Works) + len(s.Records) + int(s.Counters["whole"]) + len(s.Bodies)
			k.must(n == 0, "an empty store has %s", show(s.Tickets))
		}},
		{"without Follow only what is wanted is read", func(k *kit) {
			w := k.whole()
			k.commit(w.changes())
			s := k.read(ticket.Want{Keys: w.want.Keys, Conversations: w.want.Conversations})
			k.must(len(s.Refs) == 1 && len(s.Conversations) == 1, "the wanted things are absent")
			k.must(len(s.Messages)+len(s.Tickets)+len(s.Contacts) == 0, "other things were read")
		}},
		{"Follow reads from a key to the contact", func(k *kit) {
			w := k.whole()
			k.commit(w.changes())
			s := k.read(ticket.Want{Keys: w.want.Keys, Follow: true})
			for what, n := range map[string]int{
				"refs": len(s.Refs), "messages": len(s.Messages), "conversations": len(s.Conversations),
				"tickets": len(s.Tickets), "contacts": len(s.Contacts),
			} {
				k.must(n == 1, "there are %d %s", n, what)
			}
			full := k.read(w.want)
			k.same("message", s.Messages, full.Messages)
			k.same("conversation", s.Conversations, full.Conversations)
			k.same("ticket", s.Tickets, full.Tickets)
			k.same("contact", s.Contacts, full.Contacts)
		}},
		{"Follow reads what keys of every kind stand for", func(k *kit) {
			w := k.whole()
			c := w.changes()
			refs := []ticket.Ref{
				{Kind: ticket.RefContact, ID: string(c.Contacts[0].ID)}, {Kind: ticket.RefConversation, ID: string(c.Conversations[0].ID)},
				{Kind: ticket.RefTicket, ID: string(c.Tickets[0].ID)}, {Kind: ticket.RefMessage, ID: string(c.Messages[0].ID)},
				{Kind: ticket.RefItem, ID: string(c.Items[0].ID)}, {Kind: "own", ID: "x"},
			}
			for _, r := range refs {
				c.Claims = append(c.Claims, ticket.KeyClaim{Key: ticket.NewKey(string(r.Kind)), Ref: r})
			}
			k.commit(c)
			for i, r := range refs {
				s := k.read(ticket.Want{Keys: []ticket.Key{ticket.NewKey(string(r.Kind))}, Follow: true})
				k.must(s.Refs[ticket.NewKey(string(r.Kind))] == r, "%s: the ref is absent", r.Kind)
				n := []int{len(s.Contacts), len(s.Conversations), len(s.Tickets), len(s.Messages), len(s.Items), 1}[i]
				k.must(n == 1, "%s: there are %d", r.Kind, n)
			}
		}},
		{"Follow reads the conversation of a ticket and of a message, and the ticket of a conversation", func(k *kit) {
			w := k.whole()
			k.commit(w.changes())
			for _, want := range []ticket.Want{
				{Tickets: w.want.Tickets, Follow: true}, {Messages: w.want.Messages, Follow: true},
				{Conversations: w.want.Conversations, Follow: true},
			} {
				s := k.read(want)
				k.must(len(s.Tickets) == 1 && len(s.Conversations) == 1 && len(s.Contacts) == 1,
					"from %d tickets, %d messages, %d conversations: got %d tickets, %d conversations, %d contacts",
					len(want.Tickets), len(want.Messages), len(want.Conversations), len(s.Tickets), len(s.Conversations), len(s.Contacts))
			}
		}},
		{"Follow of a ref to nothing finds nothing", func(k *kit) {
			key, ref := ticket.NewKey("k"), ticket.Ref{Kind: ticket.RefTicket, ID: k.id()}
			c := k.newConversation()
			c.Ticket, c.Contact = ticket.TicketID(k.id()), ticket.ContactID(k.id())
			k.commit(&ticket.Changes{Claims: []ticket.KeyClaim{{Key: key, Ref: ref}}, Conversations: []*ticket.Conversation{c}})
			s := k.read(ticket.Want{Keys: []ticket.Key{key}, Conversations: []ticket.ConversationID{c.ID}, Follow: true})
			k.must(len(s.Refs) == 1 && len(s.Conversations) == 1 && len(s.Tickets) == 0 && len(s.Contacts) == 0, "got %s", show(s.Tickets))
		}},
		{"a snapshot is of one point in time", pointInTime},
	}
}

// pointInTime writes two things that always change together, and reads them.
func pointInTime(k *kit) {
	a, b := k.newTicket(), k.newContact()
	k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{a}, Contacts: []*ticket.Contact{b}, Counts: []ticket.Count{{Name: "n", Add: 1}}})
	want := ticket.Want{Tickets: []ticket.TicketID{a.ID}, Contacts: []ticket.ContactID{b.ID}, Counters: []string{"n"}, Now: k.now}
	var failed error
	var wg sync.WaitGroup
	wg.Go(func() {
		for range 60 {
			err := k.s.Commit(k.ctx, &ticket.Changes{
				At: k.now, Tickets: []*ticket.Ticket{a}, Contacts: []*ticket.Contact{b}, Counts: []ticket.Count{{Name: "n", Add: 1}},
			})
			if err != nil {
				failed = err
				return
			}
		}
	})
	for range 60 {
		s, err := k.s.Snapshot(k.ctx, want)
		if err != nil || len(s.Tickets) != 1 || len(s.Contacts) != 1 {
			wg.Wait()
			k.Fatalf("Snapshot: %v", err)
		}
		if ra, rb, n := s.Tickets[a.ID].Revision, s.Contacts[b.ID].Revision, s.Counters["n"]; ra != rb || ra != n {
			wg.Wait()
			k.Fatalf("one snapshot has revisions %d and %d, and counted %d", ra, rb, n)
		}
	}
	wg.Wait()
	k.ok(failed, "Commit")
}
