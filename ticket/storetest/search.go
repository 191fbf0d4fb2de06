package storetest

import (
	"cmp"
	"slices"

	"github.com/anteroom/anteroom/ticket"
)

// said writes a ticket with one message for each text.
func (k *kit) said(texts ...string) (*ticket.Ticket, []*ticket.Message) {
	k.Helper()
	t := k.newTicket()
	c := &ticket.Changes{Tickets: []*ticket.Ticket{t}}
	for _, text := range texts {
		m := k.newMessage(t.ID, "")
		m.Text, m.Search = text, ticket.Fold(text)
		c.Messages = append(c.Messages, m)
	}
	k.commit(c)
	return t, c.Messages
}

// finds looks for a query and compares the tickets, newest first.
func (k *kit) finds(query string, want ...*ticket.Ticket) {
	k.Helper()
	k.findsTerms(ticket.Terms(query), want...)
}

func (k *kit) findsTerms(terms []string, want ...*ticket.Ticket) {
	k.Helper()
	k.same("search for "+show(terms), k.tickets(ticket.TicketFilter{Terms: terms}, 10),
		mapped(want, func(t *ticket.Ticket) ticket.TicketID { return t.ID }))
}

func searchChecks() []check {
	return []check{
		{"search finds folded words by their beginnings", func(k *kit) {
			a, _ := k.said("Đơn hàng số 12345 bị TRỄ, Straße 5")
			b, _ := k.said("đơn giản", "số khác")
			for query, want := range map[string][]*ticket.Ticket{
				"đơn": {b, a}, "DON": {b, a}, "do": {b, a}, "Hàng": {a}, "123": {a}, "2345": nil, "ơn": nil,
				"trễ": {a}, "strasse": {a}, "straß": {a}, "hang hang": {a}, "gian": {b}, "donhang": nil, "5": {a},
			} {
				k.finds(query, want...)
			}
		}},
		{"all terms must be in one message", func(k *kit) {
			a, _ := k.said("red apple", "green pear")
			b, _ := k.said("red pear")
			k.finds("red pear", b)
			k.finds("pear red", b)
			k.finds("gre pea", a)
			k.finds("green apple")
		}},
		{"searches join with filters, orders and pages", func(k *kit) {
			a, _ := k.said("word one", "word two")
			b, _ := k.said("word")
			c, _ := k.said("word")
			b.Queue, b.Status, a.Queue = "q", ticket.Solved, "q"
			a.UpdatedAt = k.after(1e9)
			k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{a, b}})
			k.same("queue", k.tickets(ticket.TicketFilter{Queue: "q", Terms: []string{"word"}}, 1), []ticket.TicketID{b.ID, a.ID})
			k.same("status", k.tickets(ticket.TicketFilter{Statuses: []ticket.Status{ticket.Open, ticket.Pending}, Terms: []string{"word"}}, 1),
				[]ticket.TicketID{c.ID, a.ID})
			k.same("updated", k.tickets(ticket.TicketFilter{Order: ticket.LatestUpdate, Terms: []string{"wo"}}, 2), []ticket.TicketID{a.ID, c.ID, b.ID})
			k.same("number", k.tickets(ticket.TicketFilter{Number: c.Number, Terms: []string{"two"}}, 2), []ticket.TicketID{})
		}},
		{"a search lists by tickets, in whatever order their messages came", func(k *kit) {
			var list []*ticket.Ticket
			for range 9 {
				list = append(list, k.newTicket())
			}
			k.commit(&ticket.Changes{Tickets: list})
			slices.SortFunc(list, func(a, b *ticket.Ticket) int { return cmp.Compare(b.ID, a.ID) }) // newest first
			for _, i := range []int{4, 5, 0, 8, 1, 3, 2, 7, 6, 5} {
				m := k.newMessage(list[i].ID, "")
				m.Search = "word"
				k.commit(&ticket.Changes{Messages: []*ticket.Message{m}})
			}
			for _, size := range []int{1, 2, 10} {
				k.same("found", k.tickets(ticket.TicketFilter{Terms: []string{"word"}}, size), mapped(list, func(t *ticket.Ticket) ticket.TicketID { return t.ID }))
			}
		}},
		{"words of other scripts are found", func(k *kit) {
			text := "Привет мир 日本語 한국어 हिन्दी ไทย ١٢٣ \U00010400\U00010428 \U0001E900 \U00020000"
			a, _ := k.said(text)
			for _, term := range ticket.Terms(text) {
				k.findsTerms([]string{term}, a)
			}
			k.finds("прив", a)
			k.finds("日本", a)
			k.finds("本語")
		}},
		{"quotes and operators in terms are harmless", func(k *kit) {
			a, _ := k.said("fish and chips or not near columns search")
			k.said("something else")
			for _, word := range []string{"and", "or", "not", "near", "search"} {
				k.findsTerms([]string{word}, a)
			}
			k.findsTerms([]string{"not", "chips"}, a)
			// What Fold does not return may find nothing, or what its words find.
			for _, term := range []string{
				`"`, `""`, `'`, `"fish`, `fish" OR "something`, `fish*`, `*`, `^fish`, `a:fish`, `-fish`, `+`, `(`, `)`, `fish OR something`,
				`NEAR(fish chips)`, `{search}:fish`, "\x00", "fi\x00sh", `%`, `_`, `\`, `'; DROP TABLE tickets; --`, "&", "|", "!", ":*",
			} {
				for _, terms := range [][]string{{term}, {"fish", term}, {term, "fish"}} {
					list, _, err := k.s.Tickets(k.ctx, ticket.TicketFilter{Terms: terms}, ticket.Page{})
					k.ok(err, "search for "+show(terms))
					k.must(len(list) <= 1 && (len(list) == 0 || list[0].ID == a.ID), "search for %s finds %s", show(terms), show(list))
				}
			}
			k.finds("fish", a)
		}},
		{"deleted tickets are not found", func(k *kit) {
			a, _ := k.said("word")
			b, _ := k.said("word")
			a.DeletedAt = k.now
			k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{a}})
			k.finds("word", b)
		}},
		{"a redacted message is not found, its ticket's others are", func(k *kit) {
			a, m := k.said("secret thing", "thing")
			k.finds("secret", a)
			m[0].Text, m[0].Search, m[0].RedactedAt, m[0].RedactedBy = "", "", k.now, "an"
			k.commit(&ticket.Changes{Messages: m[:1]})
			k.finds("secret")
			k.finds("thing", a)
			m[0].UpdatedAt = k.after(1e9)
			k.commit(&ticket.Changes{Messages: m[:1]})
			k.finds("secret")
			_, m = k.said("hidden words")
			m[0].Search, m[0].RedactedAt = "words", k.now
			k.commit(&ticket.Changes{Messages: m})
			k.finds("hidden")
			k.must(len(k.tickets(ticket.TicketFilter{Terms: []string{"words"}}, 5)) == 1, "what a redaction left is not found")
		}},
		{"an update without Search leaves a message findable", func(k *kit) {
			a, m := k.said("word")
			got := k.read(ticket.Want{Messages: []ticket.MessageID{m[0].ID}}).Messages[m[0].ID]
			got.Search, got.StateDetail = "", "changed"
			k.commit(&ticket.Changes{Messages: []*ticket.Message{got}})
			k.finds("word", a)
		}},
		{"an update whose Search is blank leaves nothing to be found", func(k *kit) {
			a, m := k.said("word", "other")
			m[0].Search = " "
			k.commit(&ticket.Changes{Messages: m[:1]})
			k.finds("word")
			k.finds("other", a)
			m[0].Search = "back"
			k.commit(&ticket.Changes{Messages: m[:1]})
			k.finds("back", a)
			b, m := k.said("")
			m[0].Search = " "
			k.commit(&ticket.Changes{Messages: m})
			m[0].Search = "first"
			k.commit(&ticket.Changes{Messages: m})
			k.finds("first", b)
		}},
		{"a moved message is found with its new ticket", func(k *kit) {
			a, m := k.said("word")
			b, _ := k.said("other")
			m[0].Ticket, m[0].Search = b.ID, ""
			k.commit(&ticket.Changes{Messages: m})
			k.finds("word", b)
			k.finds("other word")
			_ = a
		}},
		{"a message without a ticket finds none", func(k *kit) {
			m := k.newMessage("", ticket.ConversationID(k.id()))
			m.Search = "word"
			k.commit(&ticket.Changes{Messages: []*ticket.Message{m}})
			k.finds("word")
		}},
	}
}
