package storetest

import (
	"slices"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// tickets lists all pages of f in pages of the given size.
func (k *kit) tickets(f ticket.TicketFilter, size int) []ticket.TicketID {
	k.Helper()
	return pages(k, size, func(p ticket.Page) ([]ticket.TicketID, ticket.Next, error) {
		list, next, err := k.s.Tickets(k.ctx, f, p)
		for len(f.Terms) > 0 && err == nil && next != "" && len(list) < size { // a search may have short pages
			var more []*ticket.Ticket
			more, next, err = k.s.Tickets(k.ctx, f, ticket.Page{Limit: size - len(list), After: next})
			list = append(list, more...)
		}
		return mapped(list, func(t *ticket.Ticket) ticket.TicketID { return t.ID }), next, err
	})
}

func mapped[T, U any](list []T, f func(T) U) []U {
	out := make([]U, 0, len(list))
	for _, v := range list {
		out = append(out, f(v))
	}
	return out
}

// pages reads a list to its end.
func pages[T any](k *kit, size int, list func(ticket.Page) ([]T, ticket.Next, error)) []T {
	k.Helper()
	all := []T{}
	var after ticket.Next
	for range 10000 {
		part, next, err := list(ticket.Page{Limit: size, After: after})
		k.ok(err, "list")
		k.must(len(part) <= size, "a page of %d has %d entries", size, len(part))
		k.must(next == "" || len(part) == size, "a page that is not the last has %d of %d entries", len(part), size)
		all = append(all, part...)
		if next == "" {
			return all
		}
		after = next
	}
	k.Fatalf("the list has no end")
	return nil
}

// ticketCrowd writes tickets that differ in all that filters look at, a few of
// each combination, in an order in which neither time nor id follow the other.
func (k *kit) ticketCrowd() []*ticket.Ticket {
	k.Helper()
	var all []*ticket.Ticket
	i := 0
	for _, queue := range []string{"", "q1", "q2"} {
		for _, status := range []ticket.Status{ticket.Open, ticket.Pending, ticket.Solved, ticket.Closed} {
			for _, assignee := range []string{"", "an", "binh"} {
				t := k.newTicket()
				t.Queue, t.Status, t.Assignee = ticketQueue(queue), status, ticketAgent(assignee)
				t.Channel = []ticketChannel{"mail", "page"}[i%2]
				t.Contact = []ticket.ContactID{"", "019ca000-0000-7000-9000-000000000001", "019ca000-0000-7000-9000-000000000002"}[i%3]
				t.UpdatedAt = k.after(time.Duration(i*7%11) * time.Microsecond)
				all = append(all, t)
				i++
			}
		}
	}
	c := &ticket.Changes{}
	for j := range all {
		c.Tickets = append(c.Tickets, all[(j*5)%len(all)])
	}
	k.commit(c)
	for j, t := range all {
		if j%9 == 4 {
			t.DeletedAt = k.now
			k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{t}})
		}
	}
	return all
}

func ticketListChecks() []check {
	return []check{
		{"every filter of tickets in every order and page size", ticketFilters},
		{"tickets are found by number", func(k *kit) {
			a, b := k.newTicket(), k.newTicket()
			k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{a, b}})
			k.same("b", k.tickets(ticket.TicketFilter{Number: b.Number}, 2), []ticket.TicketID{b.ID})
			k.same("b, but in a queue", k.tickets(ticket.TicketFilter{Number: b.Number, Queue: "q"}, 2), []ticket.TicketID{})
			k.same("none", k.tickets(ticket.TicketFilter{Number: 99}, 2), []ticket.TicketID{})
		}},
		{"a deleted ticket is not listed but still read", func(k *kit) {
			t := k.newTicket()
			t.Queue, t.WaitingSince = "q", k.now
			k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{t}})
			t.DeletedAt = k.now
			k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{t}})
			for _, f := range []ticket.TicketFilter{{}, {Queue: "q"}, {Number: t.Number}, {Statuses: []ticket.Status{ticket.Open}}, {Order: ticket.LatestUpdate}} {
				k.same("listed", k.tickets(f, 5), []ticket.TicketID{})
			}
			waiting, err := k.s.Waiting(k.ctx, "q", 5)
			k.ok(err, "Waiting")
			k.must(len(waiting) == 0, "it waits")
			k.same("read", k.read(ticket.Want{Tickets: []ticket.TicketID{t.ID}}).Tickets[t.ID], t)
		}},
		{"an updated ticket is listed by what it is now", func(k *kit) {
			t := k.newTicket()
			t.Queue, t.Contact, t.Assignee = "q1", ticket.ContactID(k.id()), "an"
			k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{t}})
			old := *t
			t.Queue, t.Contact, t.Assignee, t.Status, t.Channel = "q2", ticket.ContactID(k.id()), "", ticket.Solved, "page"
			k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{t}})
			for _, f := range []ticket.TicketFilter{
				{Queue: old.Queue}, {Contact: old.Contact}, {Assignee: old.Assignee}, {Statuses: []ticket.Status{old.Status}}, {Channel: old.Channel},
			} {
				k.same("by what it was", k.tickets(f, 5), []ticket.TicketID{})
			}
			for _, f := range []ticket.TicketFilter{
				{Queue: t.Queue}, {Contact: t.Contact}, {Unassigned: true}, {Statuses: []ticket.Status{t.Status}}, {Channel: t.Channel},
			} {
				k.same("by what it is", k.tickets(f, 5), []ticket.TicketID{t.ID})
			}
		}},
	}
}

func ticketFilters(k *kit) {
	all := k.ticketCrowd()
	for _, order := range []ticket.Order{ticket.NewestFirst, ticket.LatestUpdate} {
		sorted := slices.Clone(all)
		slices.SortFunc(sorted, func(a, b *ticket.Ticket) int {
			if order == ticket.LatestUpdate && !a.UpdatedAt.Equal(b.UpdatedAt) {
				return b.UpdatedAt.Compare(a.UpdatedAt)
			}
			if a.ID > b.ID {
				return -1
			}
			return 1
		})
		contact := all[1].Contact
		for _, f := range []ticket.TicketFilter{
			{}, {Queue: "q1"}, {Queue: "none"}, {Assignee: "an"}, {Unassigned: true}, {Unassigned: true, Assignee: "an"},
			{Channel: "page"}, {Contact: contact},
			{Statuses: []ticket.Status{ticket.Open}}, {Statuses: []ticket.Status{ticket.Open, ticket.Closed}},
			{Statuses: []ticket.Status{ticket.Open, ticket.Open}}, {Statuses: []ticket.Status{"unknown"}},
			{Queue: "q1", Statuses: []ticket.Status{ticket.Open}},
			{Queue: "q2", Statuses: []ticket.Status{ticket.Open, ticket.Pending}, Unassigned: true},
			{Queue: "q1", Assignee: "binh"}, {Assignee: "binh", Statuses: []ticket.Status{ticket.Solved, ticket.Pending}},
			{Channel: "mail", Statuses: []ticket.Status{ticket.Open}}, {Contact: contact, Channel: "page", Assignee: "an"},
			{Queue: "q2", Statuses: []ticket.Status{ticket.Closed}, Assignee: "an", Channel: "mail", Contact: all[26].Contact},
			{Number: all[3].Number}, {Number: all[3].Number, Assignee: "binh"},
		} {
			f.Order = order
			want := []ticket.TicketID{}
			for _, t := range sorted {
				if t.DeletedAt.IsZero() && (f.Queue == "" || f.Queue == t.Queue) && (f.Assignee == "" || f.Assignee == t.Assignee) &&
					(!f.Unassigned || t.Assignee == "") && (f.Channel == "" || f.Channel == t.Channel) &&
					(f.Contact == "" || f.Contact == t.Contact) && (f.Number == 0 || f.Number == t.Number) &&
					(len(f.Statuses) == 0 || slices.Contains(f.Statuses, t.Status)) {
					want = append(want, t.ID)
				}
			}
			for _, size := range []int{1, 4, 50} {
				k.same(show(f), k.tickets(f, size), want)
			}
		}
	}
}
