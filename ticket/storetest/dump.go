package storetest

import (
	"errors"
	"reflect"
	"slices"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// dump reads all of a table, in pages of the given size.
func (k *kit) dump(d ticket.Dumper, t ticket.Table, limit int) (all []*ticket.Changes) {
	k.Helper()
	page := ticket.Page{Limit: limit}
	for range 1000 {
		c, next, err := d.Dump(k.ctx, t, page)
		if err != nil {
			k.Fatalf("Dump of %s: %v", t, err)
		}
		if n := rowsOf(c); n > limit {
			k.Fatalf("Dump of %s: %d rows of %d", t, n, limit)
		}
		all = append(all, c)
		if next == "" {
			return all
		}
		page.After = next
	}
	k.Fatalf("Dump of %s does not end", t)
	return nil
}

func rowsOf(c *ticket.Changes) int {
	return len(c.Claims) + len(c.Counts) + len(c.Contacts) + len(c.Conversations) + len(c.Tickets) + len(c.Messages) + len(c.Items) +
		len(c.Works) + len(c.Records) + len(c.Bodies) + len(c.Events) + len(c.Decisions)
}

// dumped is all that a store holds.
func (k *kit) dumped(d ticket.Dumper, limit int) *ticket.Changes {
	k.Helper()
	all := &ticket.Changes{}
	for _, t := range []ticket.Table{
		ticket.TableRecords, ticket.TableContacts, ticket.TableConversations, ticket.TableTickets, ticket.TableBodies, ticket.TableMessages,
		ticket.TableItems, ticket.TableDecisions, ticket.TableWorks, ticket.TableKeys, ticket.TableCounters, ticket.TableEvents,
	} {
		for _, c := range k.dump(d, t, limit) {
			all.Claims = append(all.Claims, c.Claims...)
			all.Counts = append(all.Counts, c.Counts...)
			all.Contacts = append(all.Contacts, c.Contacts...)
			all.Conversations = append(all.Conversations, c.Conversations...)
			all.Tickets = append(all.Tickets, c.Tickets...)
			all.Messages = append(all.Messages, c.Messages...)
			all.Items = append(all.Items, c.Items...)
			all.Works = append(all.Works, c.Works...)
			all.Records = append(all.Records, c.Records...)
			all.Bodies = append(all.Bodies, c.Bodies...)
			all.Events = append(all.Events, c.Events...)
			all.Decisions = append(all.Decisions, c.Decisions...)
		}
	}
	return all
}

// dumper returns the store's ability, and whether it has it.
func (k *kit) dumper() (ticket.Dumper, bool) {
	d, ok := k.s.(ticket.Dumper)
	return d, ok
}

// dumpChecks are about an ability that a store may be without.
func dumpChecks() []check {
	return []check{
		{"a dump has everything as it is kept", func(k *kit) {
			d, ok := k.dumper()
			if !ok {
				return
			}
			c, w := k.filled(7)
			other, _ := k.filled(31)
			c.Tickets[0].DeletedAt = k.now // which lists leave out
			until := k.after(time.Hour)
			for _, c := range []*ticket.Changes{c, other} {
				id := c.Messages[0].ID
				c.Claims = []ticket.KeyClaim{{Key: ticket.NewKey(string(id)), Ref: ticket.Ref{Kind: ticket.RefMessage, ID: string(id)}}}
				c.Counts = []ticket.Count{{Name: "n:" + string(id), Add: 7, Expires: until}, {Name: "m:" + string(id), Add: 3}}
				c.Bodies = []ticket.StoredBody{{ID: ticket.BodyID(id), Data: []byte("\x00\xff" + id)}}
				k.commit(c)
			}
			all := k.dumped(d, 1)
			find := func(id ticket.MessageID) *ticket.Message {
				for _, m := range all.Messages {
					if m.ID == id {
						m.Search = c.Messages[0].Search // which need not come back
						return m
					}
				}
				return nil
			}
			s := k.read(w)
			want := s.Messages[c.Messages[0].ID]
			want.Search = c.Messages[0].Search
			k.same("message", find(c.Messages[0].ID), want)
			one := func(n int, what string, has bool) {
				k.must(n == 2 && has, "Dump: %d %s, as committed: %v", n, what, has)
			}
			one(len(all.Contacts), "contacts", slices.ContainsFunc(all.Contacts, func(v *ticket.Contact) bool { return reflect.DeepEqual(v, s.Contacts[v.ID]) }))
			one(len(all.Conversations), "conversations", slices.ContainsFunc(all.Conversations, func(v *ticket.Conversation) bool { return reflect.DeepEqual(v, s.Conversations[v.ID]) }))
			one(len(all.Tickets), "tickets", slices.ContainsFunc(all.Tickets, func(v *ticket.Ticket) bool { return reflect.DeepEqual(v, s.Tickets[v.ID]) }))
			one(len(all.Messages), "messages", true)
			one(len(all.Items), "items", slices.ContainsFunc(all.Items, func(v *ticket.Item) bool { return reflect.DeepEqual(v, s.Items[v.ID]) }))
			one(len(all.Works), "works", slices.ContainsFunc(all.Works, func(v *ticket.Work) bool { return reflect.DeepEqual(v, s.Works[v.ID]) }))
			one(len(all.Records), "records", slices.ContainsFunc(all.Records, func(v *ticket.Record) bool { return reflect.DeepEqual(v, s.Records[w.Records[0]]) }))
			one(len(all.Events), "events", reflect.DeepEqual(all.Events, []*ticket.Event{c.Events[0], other.Events[0]}))
			one(len(all.Decisions), "decisions", slices.ContainsFunc(all.Decisions, func(v *ticket.Decision) bool { return reflect.DeepEqual(v, c.Decisions[0]) }))
			one(len(all.Bodies), "bodies", slices.ContainsFunc(all.Bodies, func(v ticket.StoredBody) bool { return reflect.DeepEqual(v, c.Bodies[0]) }))
			one(len(all.Claims), "keys", slices.Contains(all.Claims, c.Claims[0]) && slices.Contains(all.Claims, other.Claims[0]))
			k.must(len(all.Counts) == 4 && slices.Contains(all.Counts, c.Counts[0]) && slices.Contains(all.Counts, c.Counts[1]), "counters: %s", show(all.Counts))
		}},
		{"a dump has the tickets by number and the events by cursor", func(k *kit) {
			d, ok := k.dumper()
			if !ok {
				return
			}
			ids := []ticket.TicketID{ticket.TicketID(k.id()), ticket.TicketID(k.id()), ticket.TicketID(k.id())}
			for _, i := range []int{2, 0, 1} { // numbers are given by commit, whatever the ids
				k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{{ID: ids[i], CreatedAt: k.now, UpdatedAt: k.now}},
					Events: []*ticket.Event{{ID: k.id(), At: k.now}, {ID: k.id(), At: k.now}}})
			}
			for _, limit := range []int{1, 2, 500} {
				all := k.dumped(d, limit)
				k.must(len(all.Tickets) == 3 && len(all.Events) == 6, "%d tickets, %d events", len(all.Tickets), len(all.Events))
				for i, t := range all.Tickets {
					k.must(t.Number == int64(i+1) && t.Revision == 1 && t.ID == ids[[]int{2, 0, 1}[i]], "ticket %d: %s", i, show(t))
				}
				for i, e := range all.Events {
					k.must(e.Cursor == int64(i+1), "event %d has cursor %d", i, e.Cursor)
				}
			}
		}},
		{"a dump is of one portal", func(k *kit) {
			d, ok := k.dumper()
			if !ok {
				return
			}
			c, _ := k.filled(7)
			k.in("other").commit(c)
			k.must(rowsOf(k.dumped(d, 10)) == 0, "another portal's")
		}},
		{"a dump refuses a foreign cursor and an unknown table", func(k *kit) {
			d, ok := k.dumper()
			if !ok {
				return
			}
			for range 2 {
				c, _ := k.filled(k.n.Add(1))
				k.commit(c)
			}
			_, next, err := d.Dump(k.ctx, ticket.TableContacts, ticket.Page{Limit: 1})
			k.must(err == nil && next != "", "Dump: %q, %v", next, err)
			for _, p := range []ticket.Page{{After: next}, {After: "rubbish"}} {
				_, _, err = d.Dump(k.ctx, ticket.TableMessages, p)
				k.must(errors.Is(err, ticket.ErrBadCursor), "Dump after %q: %v", p.After, err)
			}
			_, _, err = d.Dump(k.ctx, "contacts; DROP", ticket.Page{})
			k.must(err != nil, "an unknown table has a dump")
		}},
	}
}
