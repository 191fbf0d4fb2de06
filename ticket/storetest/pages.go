package storetest

import (
	"errors"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

func pageChecks() []check {
	return []check{
		{"keyset pages under inserts neither repeat nor hide", pagesUnderInserts},
		{"a page has 50 entries unless asked, and 500 at the most", func(k *kit) {
			c := &ticket.Changes{}
			for range 510 {
				c.Contacts = append(c.Contacts, k.newContact())
				c.Conversations = append(c.Conversations, k.newConversation())
			}
			k.commit(c)
			for limit, want := range map[int]int{0: 50, -1: 50, 7: 7, 500: 500, 100000: 500} {
				list, next, err := k.s.Conversations(k.ctx, ticket.ConversationFilter{}, ticket.Page{Limit: limit})
				k.ok(err, "Conversations")
				k.must(len(list) == want && next != "", "a page of %d has %d entries, next %q", limit, len(list), next)
			}
		}},
		{"a page that holds the last entry has no next", func(k *kit) {
			k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{k.newTicket(), k.newTicket()}})
			list, next, err := k.s.Tickets(k.ctx, ticket.TicketFilter{}, ticket.Page{Limit: 2})
			k.must(err == nil && len(list) == 2 && next == "", "%d entries, next %q, %v", len(list), next, err)
		}},
		{"a foreign cursor is refused", badCursors},
	}
}

// pagesUnderInserts reads page after page while entries are inserted before,
// within and after what was read.
func pagesUnderInserts(k *kit) {
	for _, order := range []ticket.Order{ticket.NewestFirst, ticket.LatestUpdate} {
		queue := ticketQueue("q" + string(order))
		insert := func(n int) (ids []ticket.TicketID) {
			for i := range n {
				t := k.newTicket()
				t.Queue, t.UpdatedAt = queue, k.after(time.Duration(i%3)*time.Microsecond)
				k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{t}})
				ids = append(ids, t.ID)
			}
			return ids
		}
		first := insert(12)
		seen := map[ticket.TicketID]int{}
		var after ticket.Next
		for range 100 {
			list, next, err := k.s.Tickets(k.ctx, ticket.TicketFilter{Queue: queue, Order: order}, ticket.Page{Limit: 2, After: after})
			k.ok(err, "Tickets")
			for _, t := range list {
				seen[t.ID]++
			}
			if after = next; next == "" {
				break
			}
			if len(seen) < 12 {
				insert(2)
			}
		}
		k.must(after == "", "the list has no end")
		for _, id := range first {
			k.must(seen[id] == 1, "order %q: ticket %s was listed %d times", order, id, seen[id])
		}
		for id, n := range seen {
			k.must(n == 1, "order %q: ticket %s was listed %d times", order, id, n)
		}
	}
}

func badCursors(k *kit) {
	c := &ticket.Changes{}
	for range 3 {
		c.Tickets = append(c.Tickets, k.newTicket())
		c.Conversations = append(c.Conversations, k.newConversation())
		c.Messages = append(c.Messages, k.newMessage(c.Tickets[0].ID, c.Conversations[0].ID))
		c.Items = append(c.Items, k.newItem())
	}
	k.commit(c)
	lists := map[string]func(p ticket.Page) (ticket.Next, error){
		"tickets": func(p ticket.Page) (ticket.Next, error) {
			_, next, err := k.s.Tickets(k.ctx, ticket.TicketFilter{}, p)
			return next, err
		},
		"tickets by update": func(p ticket.Page) (ticket.Next, error) {
			_, next, err := k.s.Tickets(k.ctx, ticket.TicketFilter{Order: ticket.LatestUpdate}, p)
			return next, err
		},
		"conversations": func(p ticket.Page) (ticket.Next, error) {
			_, next, err := k.s.Conversations(k.ctx, ticket.ConversationFilter{}, p)
			return next, err
		},
		"messages": func(p ticket.Page) (ticket.Next, error) {
			_, next, err := k.s.Messages(k.ctx, ticket.MessageFilter{Ticket: c.Tickets[0].ID}, p)
			return next, err
		},
		"items": func(p ticket.Page) (ticket.Next, error) {
			_, next, err := k.s.Items(k.ctx, ticket.ItemFilter{}, p)
			return next, err
		},
	}
	cursors := map[string]ticket.Next{"garbage": "garbage", "blanks": " ", "bytes": "\x00\xff", "long": ticket.Next(make([]byte, 5000))}
	for name, list := range lists {
		next, err := list(ticket.Page{Limit: 1})
		k.ok(err, name)
		k.must(next != "", "%s: no next after one of three", name)
		cursors[name] = next
		cursors["half of "+name] = next[:len(next)/2]
	}
	for name, list := range lists {
		for of, cursor := range cursors {
			_, err := list(ticket.Page{Limit: 1, After: cursor})
			if of == name {
				k.ok(err, name)
				continue
			}
			if of == "half of "+name {
				// It may happen to be a cursor still.
				k.must(err == nil || errors.Is(err, ticket.ErrBadCursor), "%s with the cursor %q: %v", name, of, err)
				continue
			}
			k.must(errors.Is(err, ticket.ErrBadCursor), "%s with the cursor %q: %v, want ErrBadCursor", name, of, err)
		}
	}
}
