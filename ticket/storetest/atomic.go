package storetest

import (
	"encoding/json"
	"strings"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

// whole is a commit that has something of everything, and what reads it.
type whole struct {
	changes func() *ticket.Changes // new copies with each call, of the same content
	want    ticket.Want
	ticket  ticket.TicketID
	message ticket.MessageID
}

func (k *kit) whole() whole {
	contact, conversation, t := k.newContact(), k.newConversation(), k.newTicket()
	message, item, work := k.newMessage(t.ID, conversation.ID), k.newItem(), k.newWork("lane")
	event, decision := k.newEvent(), k.newDecision()
	t.Conversation, conversation.Ticket, conversation.Contact = conversation.ID, t.ID, contact.ID
	t.Queue, t.WaitingSince = "queue", k.now
	message.Search, item.Message, decision.Ticket, event.Ticket = "wholly", message.ID, t.ID, t.ID
	body, key := ticket.BodyID(k.id()), ticket.NewKey("whole", k.id())
	return whole{
		ticket: t.ID, message: message.ID,
		changes: func() *ticket.Changes {
			contact, conversation, t, message, item, work, event, decision := *contact, *conversation, *t, *message, *item, *work, *event, *decision
			return &ticket.Changes{
				At:       k.now,
				Claims:   []ticket.KeyClaim{{Key: key, Ref: ticket.Ref{Kind: ticket.RefMessage, ID: string(message.ID)}}},
				Counts:   []ticket.Count{{Name: "whole", Add: 1}},
				Contacts: []*ticket.Contact{&contact}, Conversations: []*ticket.Conversation{&conversation},
				Tickets: []*ticket.Ticket{&t}, Messages: []*ticket.Message{&message}, Items: []*ticket.Item{&item},
				Works: []*ticket.Work{&work}, Records: []*ticket.Record{{Kind: "whole", ID: "1", Doc: []byte("doc")}},
				Bodies: []ticket.StoredBody{{ID: body, Data: []byte("body")}},
				Events: []*ticket.Event{&event}, Decisions: []*ticket.Decision{&decision},
			}
		},
		want: ticket.Want{
			Keys: []ticket.Key{key}, Contacts: []ticket.ContactID{contact.ID}, Conversations: []ticket.ConversationID{conversation.ID},
			Tickets: []ticket.TicketID{t.ID}, Messages: []ticket.MessageID{message.ID}, Items: []ticket.ItemID{item.ID},
			Works: []ticket.WorkID{work.ID}, Kinds: []ticket.RecordKind{"whole"}, Counters: []string{"whole"},
			Bodies: []ticket.BodyID{body},
		},
	}
}

// everything returns all that the store shows of w, by every method, each part
// as its name and content. Parts that are empty are left out.
func (k *kit) everything(w whole) (parts []string) {
	k.Helper()
	add := func(name string, n int, v any, err error) {
		k.ok(err, name)
		if n > 0 {
			b, err := json.Marshal(v)
			k.ok(err, name)
			parts = append(parts, name+" "+string(b))
		}
	}
	s := k.read(w.want)
	add("refs", len(s.Refs), len(s.Refs), nil)
	add("contacts", len(s.Contacts), s.Contacts, nil)
	add("conversations", len(s.Conversations), s.Conversations, nil)
	add("tickets", len(s.Tickets), s.Tickets, nil)
	add("messages", len(s.Messages), s.Messages, nil)
	add("items", len(s.Items), s.Items, nil)
	add("works", len(s.Works), s.Works, nil)
	add("records", len(s.Records), len(s.Records), nil)
	add("counters", int(s.Counters["whole"]), s.Counters, nil)
	add("bodies", len(s.Bodies), s.Bodies, nil)
	events, err := k.s.Events(k.ctx, ticket.EventFilter{}, 100)
	add("Events", len(events), events, err)
	events, err = k.s.Events(k.ctx, ticket.EventFilter{Ticket: w.ticket}, 100)
	add("Events of the ticket", len(events), events, err)
	events, err = k.s.Events(k.ctx, ticket.EventFilter{Newest: true}, 100)
	add("Events, newest first", len(events), events, err)
	tickets, _, err := k.s.Tickets(k.ctx, ticket.TicketFilter{}, ticket.Page{})
	add("Tickets", len(tickets), tickets, err)
	tickets, _, err = k.s.Tickets(k.ctx, ticket.TicketFilter{Terms: []string{"wholly"}}, ticket.Page{})
	add("search", len(tickets), tickets, err)
	conversations, _, err := k.s.Conversations(k.ctx, ticket.ConversationFilter{}, ticket.Page{})
	add("Conversations", len(conversations), conversations, err)
	messages, _, err := k.s.Messages(k.ctx, ticket.MessageFilter{Ticket: w.ticket}, ticket.Page{})
	add("Messages", len(messages), messages, err)
	items, _, err := k.s.Items(k.ctx, ticket.ItemFilter{Message: w.message}, ticket.Page{})
	add("Items", len(items), items, err)
	decisions, err := k.s.Decisions(k.ctx, ticket.DecisionFilter{Ticket: w.ticket}, 100)
	add("Decisions", len(decisions), decisions, err)
	waiting, err := k.s.Waiting(k.ctx, "queue", 100)
	add("Waiting", len(waiting), waiting, err)
	ledger, err := k.s.Ledger(k.ctx, "", "")
	add("Ledger", len(ledger), ledger, err)
	return parts
}

// partsOfAll is how many parts everything has once it is written.
const partsOfAll = 21

func atomicChecks() []check {
	return []check{
		{"all of a commit is visible", func(k *kit) {
			w := k.whole()
			k.commit(w.changes())
			parts := k.everything(w)
			k.must(len(parts) == partsOfAll, "%d of %d parts are visible:\n%s", len(parts), partsOfAll, strings.Join(parts, "\n"))
		}},
		{"nothing of a failed commit is visible", func(k *kit) {
			w := k.whole()
			work, t := k.newWork("other"), k.newTicket()
			key := ticket.NewKey("taken")
			k.commit(&ticket.Changes{
				Claims: []ticket.KeyClaim{{Key: key, Ref: ticket.Ref{Kind: ticket.RefItem, ID: k.id()}}},
				Counts: []ticket.Count{{Name: "full", Add: 5}},
				Works:  []*ticket.Work{work}, Tickets: []*ticket.Ticket{t},
				Records: []*ticket.Record{{Kind: "channel", ID: "1", Doc: []byte("a")}},
			})
			before := k.everything(w)
			for _, fail := range []struct {
				why    string
				target error
				add    func(c *ticket.Changes)
			}{
				{"a taken key", ticket.ErrConflict, func(c *ticket.Changes) {
					c.Claims = append(c.Claims, ticket.KeyClaim{Key: key, Ref: ticket.Ref{Kind: ticket.RefItem, ID: k.id()}})
				}},
				{"a full counter", ticket.ErrLimit, func(c *ticket.Changes) {
					c.Counts = append(c.Counts, ticket.Count{Name: "full", Add: 1, Max: 5})
				}},
				{"stale work", ticket.ErrConflict, func(c *ticket.Changes) {
					c.Done = append(c.Done, ticket.Done{ID: work.ID, Revision: 7})
				}},
				{"absent work", ticket.ErrConflict, func(c *ticket.Changes) {
					c.Done = append(c.Done, ticket.Done{ID: ticket.WorkID(k.id()), Revision: 1})
				}},
				{"a stale ticket", ticket.ErrConflict, func(c *ticket.Changes) {
					stale := *t
					stale.Revision = 4
					c.Tickets = append(c.Tickets, &stale)
				}},
				{"a stale record", ticket.ErrConflict, func(c *ticket.Changes) {
					c.Records = append(c.Records, &ticket.Record{Kind: "channel", ID: "1", Revision: 3})
				}},
			} {
				c := w.changes()
				c.Done = append(c.Done, ticket.Done{ID: work.ID, Revision: work.Revision})
				if fail.why == "stale work" {
					c.Done = nil
				}
				c.Releases = append(c.Releases, key)
				if fail.why == "a taken key" {
					c.Releases = nil
				}
				fail.add(c)
				k.refuse(c, fail.target, fail.why)
				k.same("after "+fail.why, k.everything(w), before)
				k.must(c.Tickets[0].Revision == 0 && c.Tickets[0].Number == 0 && c.Events[0].Cursor == 0,
					"after %s: the changes were written to", fail.why)
			}
			s := k.read(ticket.Want{Works: []ticket.WorkID{work.ID}, Keys: []ticket.Key{key}, Counters: []string{"full"}})
			k.must(len(s.Works) == 1 && len(s.Refs) == 1 && s.Counters["full"] == 5, "a failed commit has removed something")
			c := w.changes()
			k.commit(c)
			k.same("number of the next ticket", c.Tickets[0].Number, t.Number+1)
			k.same("cursor of the first event", c.Events[0].Cursor, int64(1))
		}},
		{"an empty commit is fine", func(k *kit) {
			k.commit(&ticket.Changes{})
		}},
		{"ticket numbers are unique and rise", func(k *kit) {
			var last int64
			for range 5 {
				a, b := k.newTicket(), k.newTicket()
				k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{a, b}})
				k.must(a.Number > last && b.Number > a.Number, "numbers %d and %d after %d", a.Number, b.Number, last)
				last = b.Number
				a.Subject = "changed"
				number := a.Number
				k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{a}})
				got := k.read(ticket.Want{Tickets: []ticket.TicketID{a.ID}}).Tickets[a.ID]
				k.must(got.Number == number, "the number went from %d to %d with an update", number, got.Number)
			}
			k.same("the first numbers", last, int64(10))
		}},
		{"work that is done is gone", func(k *kit) {
			w := k.newWork("x")
			k.commit(&ticket.Changes{Works: []*ticket.Work{w}})
			k.commit(&ticket.Changes{Done: []ticket.Done{{ID: w.ID, Revision: w.Revision}}})
			k.must(len(k.read(ticket.Want{Works: []ticket.WorkID{w.ID}}).Works) == 0, "it is still there")
			got, next, err := k.s.Claim(k.ctx, ticket.Claim{Lane: "x", Owner: "a", Now: k.now, Until: k.after(1), Limit: 10})
			k.ok(err, "Claim")
			k.must(len(got) == 0 && next.IsZero(), "Claim: %s, next %v", show(got), next)
			k.refuse(&ticket.Changes{Done: []ticket.Done{{ID: w.ID, Revision: w.Revision}}}, ticket.ErrConflict, "done twice")
		}},
	}
}

// ledgerRow is a row of the ledger.
func ledgerRow(ch channel.ID, day string, d ticket.Disposition, cause channel.Cause, n int64) ticket.LedgerRow {
	return ticket.LedgerRow{Channel: ch, Day: day, Disposition: d, Cause: cause, Count: n}
}
