package storetest

import (
	"cmp"
	"slices"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

func (k *kit) items(f ticket.ItemFilter, size int) []ticket.ItemID {
	k.Helper()
	return pages(k, size, func(p ticket.Page) ([]ticket.ItemID, ticket.Next, error) {
		list, next, err := k.s.Items(k.ctx, f, p)
		return mapped(list, func(i *ticket.Item) ticket.ItemID { return i.ID }), next, err
	})
}

func itemChecks() []check {
	return []check{
		{"every filter of items, newest first", func(k *kit) {
			message := ticket.MessageID(k.id())
			var all []*ticket.Item
			for i := range 24 {
				it := k.newItem()
				it.Channel = []ticketChannel{"mail", "page"}[i%2]
				it.Disposition = []ticket.Disposition{ticket.DisposedMessage, ticket.DisposedIgnored, ticket.DisposedQuarantined}[i/2%3]
				it.Message = []ticket.MessageID{"", "", message, ticket.MessageID(k.id())}[i%4]
				all = append(all, it)
			}
			ch := &ticket.Changes{}
			for j := range all {
				ch.Items = append(ch.Items, all[(j*5)%len(all)])
			}
			k.commit(ch)
			for _, f := range []ticket.ItemFilter{
				{}, {Channel: "mail"}, {Disposition: ticket.DisposedQuarantined}, {Message: message}, {Channel: "none"},
				{Channel: "page", Disposition: ticket.DisposedIgnored}, {Channel: "mail", Message: message},
				{Channel: "mail", Disposition: ticket.DisposedMessage, Message: message},
			} {
				want := []ticket.ItemID{}
				for _, it := range slices.Backward(all) {
					if (f.Channel == "" || it.Channel == f.Channel) && (f.Disposition == "" || it.Disposition == f.Disposition) &&
						(f.Message == "" || it.Message == f.Message) {
						want = append(want, it.ID)
					}
				}
				for _, size := range []int{1, 5, 50} {
					k.same(show(f), k.items(f, size), want)
				}
			}
		}},
		{"the ledger adds up", ledgerAddsUp},
	}
}

func (k *kit) ledger(ch channel.ID, day string) []ticket.LedgerRow {
	k.Helper()
	rows, err := k.s.Ledger(k.ctx, ch, day)
	k.ok(err, "Ledger")
	slices.SortFunc(rows, compareRows)
	return rows
}

func compareRows(a, b ticket.LedgerRow) int {
	return cmp.Or(cmp.Compare(a.Channel, b.Channel), cmp.Compare(a.Day, b.Day), cmp.Compare(a.Disposition, b.Disposition), cmp.Compare(a.Cause, b.Cause))
}

func ledgerAddsUp(k *kit) {
	k.must(len(k.ledger("", "")) == 0, "an empty store has a ledger")
	add := func(n int, ch channel.ID, day string, d ticket.Disposition, cause channel.Cause) (last *ticket.Item) {
		for range n {
			last = k.newItem()
			last.Channel, last.Day, last.Disposition, last.Cause = ch, day, d, cause
			k.commit(&ticket.Changes{Items: []*ticket.Item{last}})
		}
		return last
	}
	add(3, "mail", "2026-03-01", ticket.DisposedMessage, "")
	add(2, "mail", "2026-03-01", ticket.DisposedIgnored, channel.CauseInactive)
	held := add(2, "mail", "2026-03-01", ticket.DisposedQuarantined, channel.CausePoison)
	add(1, "mail", "2026-03-02", ticket.DisposedMessage, "")
	add(4, "page", "2026-03-01", ticket.DisposedDuplicate, "")
	all := []ticket.LedgerRow{
		ledgerRow("mail", "2026-03-01", ticket.DisposedIgnored, channel.CauseInactive, 2),
		ledgerRow("mail", "2026-03-01", ticket.DisposedMessage, "", 3),
		ledgerRow("mail", "2026-03-01", ticket.DisposedQuarantined, channel.CausePoison, 2),
		ledgerRow("mail", "2026-03-02", ticket.DisposedMessage, "", 1),
		ledgerRow("page", "2026-03-01", ticket.DisposedDuplicate, "", 4),
	}
	k.same("all", k.ledger("", ""), all)
	k.same("mail", k.ledger("mail", ""), all[:4])
	k.same("a day", k.ledger("", "2026-03-01"), []ticket.LedgerRow{all[0], all[1], all[2], all[4]})
	k.same("mail of a day", k.ledger("mail", "2026-03-02"), all[3:4])
	k.must(len(k.ledger("none", "")) == 0, "a channel without items has a ledger")

	held.Disposition, held.Cause = ticket.DisposedMessage, ""
	k.commit(&ticket.Changes{Items: []*ticket.Item{held}})
	all[1].Count, all[2].Count = 4, 1
	k.same("after a release", k.ledger("mail", "2026-03-01"), all[:3])
	other := k.newItem()
	other.Channel, other.Day, other.Disposition, other.Cause = "mail", "2026-03-01", ticket.DisposedQuarantined, channel.CausePoison
	other.Raw = ticket.BodyRef{ID: ticket.BodyID(k.id()), Size: 3}
	k.commit(&ticket.Changes{Items: []*ticket.Item{other}, Bodies: []ticket.StoredBody{{ID: other.Raw.ID, Data: []byte("raw")}}})
	raw := other.Raw.ID
	other.Disposition, other.Cause, other.Raw = ticket.DisposedIgnored, channel.CauseInactive, ticket.BodyRef{}
	k.commit(&ticket.Changes{Items: []*ticket.Item{other}, DropBodies: []ticket.BodyID{raw}})
	all[0].Count = 3
	k.same("after a discard", k.ledger("mail", "2026-03-01"), all[:3])
	k.must(len(k.read(ticket.Want{Bodies: []ticket.BodyID{raw}}).Bodies) == 0, "the body of what was discarded is there")
	stale := *held
	stale.Revision, stale.Disposition = 1, ticket.DisposedIgnored
	k.refuse(&ticket.Changes{Items: []*ticket.Item{&stale}}, ticket.ErrConflict, "stale")
	k.same("after a conflict", k.ledger("mail", "2026-03-01"), all[:3])
}

func decisionChecks() []check {
	return []check{
		{"a decision that is dropped is gone", func(k *kit) {
			t := ticket.TicketID(k.id())
			a, b := k.newDecision(), k.newDecision()
			a.Ticket, b.Ticket = t, t
			k.commit(&ticket.Changes{Decisions: []*ticket.Decision{a, b}})
			k.refuse(&ticket.Changes{DropDecisions: []string{a.ID}, Done: []ticket.Done{{ID: ticket.WorkID(k.id()), Revision: 1}}}, ticket.ErrConflict, "dropped")
			left := func() []*ticket.Decision {
				got, err := k.s.Decisions(k.ctx, ticket.DecisionFilter{Ticket: t}, 10)
				k.ok(err, "Decisions")
				return got
			}
			k.same("decisions after a conflict", left(), []*ticket.Decision{a, b})
			k.in("other").commit(&ticket.Changes{DropDecisions: []string{b.ID}})
			k.commit(&ticket.Changes{DropDecisions: []string{a.ID, k.id()}})
			k.same("decisions after one was dropped", left(), []*ticket.Decision{b})
			k.commit(&ticket.Changes{DropDecisions: []string{b.ID}, Decisions: []*ticket.Decision{b}})
			k.same("a decision that was replaced", left(), []*ticket.Decision{b})
		}},
		{"decisions are found by ticket, by conversation and by message, oldest first", func(k *kit) {
			t, c, m := ticket.TicketID(k.id()), ticket.ConversationID(k.id()), ticket.MessageID(k.id())
			d := make([]*ticket.Decision, 6)
			for i := range d {
				d[i] = k.newDecision()
				d[i].At = k.after(time.Duration(i) * time.Second)
				d[i].Steps = []ticket.Step{{Rule: "rule", Outcome: "yes"}}
				if i%2 == 0 {
					d[i].Ticket = t
				}
				if i < 3 {
					d[i].Conversation = c
				}
				if i == 5 {
					d[i].Message = m
				}
			}
			k.commit(&ticket.Changes{Decisions: []*ticket.Decision{d[2], d[0], d[1]}})
			k.commit(&ticket.Changes{Decisions: d[3:]})
			for _, want := range []struct {
				f     ticket.DecisionFilter
				limit int
				list  []*ticket.Decision
			}{
				{ticket.DecisionFilter{Ticket: t}, 10, []*ticket.Decision{d[0], d[2], d[4]}},
				{ticket.DecisionFilter{Ticket: t}, 2, []*ticket.Decision{d[0], d[2]}},
				{ticket.DecisionFilter{Conversation: c}, 10, d[:3]},
				{ticket.DecisionFilter{Message: m}, 10, d[5:]},
			} {
				got, err := k.s.Decisions(k.ctx, want.f, want.limit)
				k.ok(err, "Decisions")
				k.same(show(want.f), got, want.list)
			}
			got, err := k.s.Decisions(k.ctx, ticket.DecisionFilter{Ticket: ticket.TicketID(k.id())}, 10)
			k.ok(err, "Decisions")
			k.must(len(got) == 0, "decisions of no ticket: %s", show(got))
		}},
	}
}

func waitingChecks() []check {
	return []check{
		{"what waits longest comes first", func(k *kit) {
			at := func(i int) time.Time { return k.after(time.Duration(i) * time.Microsecond) }
			t1, t2, t3, t4 := k.newTicket(), k.newTicket(), k.newTicket(), k.newTicket()
			c1, c2, c3 := k.newConversation(), k.newConversation(), k.newConversation()
			t1.Queue, t1.WaitingSince = "q", at(3)
			t2.Queue, t2.WaitingSince = "q", at(1)
			t3.Queue = "q" // does not wait
			t4.Queue, t4.WaitingSince = "other", at(0)
			c1.Queue, c1.WaitingSince = "q", at(2)
			c2.Queue, c2.WaitingSince = "q", at(1) // a tie with t2, whose id is smaller
			c3.Queue, c3.WaitingSince, c3.Ticket = "q", at(0), t1.ID
			k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{t1, t2, t3, t4}, Conversations: []*ticket.Conversation{c1, c2, c3}})
			want := []ticket.Waiter{
				{Ticket: t2.ID, Since: at(1)}, {Conversation: c2.ID, Since: at(1)}, {Conversation: c1.ID, Since: at(2)}, {Ticket: t1.ID, Since: at(3)},
			}
			k.waiting("q", 10, want)
			k.waiting("q", 2, want[:2])
			k.waiting("other", 10, []ticket.Waiter{{Ticket: t4.ID, Since: at(0)}})
			k.waiting("none", 10, nil)
			t2.WaitingSince, t2.Assignee = time.Time{}, "an"
			c2.Ticket = t1.ID
			k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{t2}, Conversations: []*ticket.Conversation{c2}})
			k.waiting("q", 10, want[2:])
			t1.Queue = "other"
			k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{t1}})
			k.waiting("other", 10, []ticket.Waiter{{Ticket: t4.ID, Since: at(0)}, {Ticket: t1.ID, Since: at(3)}})
		}},
	}
}

func (k *kit) waiting(queue ticketQueue, limit int, want []ticket.Waiter) {
	k.Helper()
	got, err := k.s.Waiting(k.ctx, queue, limit)
	k.ok(err, "Waiting")
	if len(got)+len(want) > 0 {
		k.same("waiting in "+string(queue), got, want)
	}
}
