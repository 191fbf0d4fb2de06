package storetest

import (
	"crypto/sha256"
	"encoding/hex"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// longName returns a name that cannot be compressed, but for its last byte.
func longName(bytes int, last string) string {
	var name []byte
	for sum := sha256.Sum256(nil); len(name) < bytes; sum = sha256.Sum256(sum[:]) {
		name = hex.AppendEncode(name, sum[:])
	}
	return string(name[:bytes-len(last)]) + last
}

func longNames(k *kit) {
	for i, last := range []string{"x", "y"} {
		name, counter := longName(1000, last), longName(2000, last)
		t, w, it := k.newTicket(), k.newWork(name), &ticket.Item{ID: ticket.ItemID(k.id()), Day: "2026-03-01", Channel: channel.ID(name),
			Disposition: ticket.DisposedIgnored, Cause: channel.Cause(name), ReceivedAt: k.now}
		t.Queue, t.Assignee, t.Channel, t.WaitingSince = routing.QueueID(name), routing.AgentID(name), channel.ID(name), k.now
		record := &ticket.Record{Kind: "k", ID: name, Doc: []byte(last)}
		k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{t}, Works: []*ticket.Work{w}, Items: []*ticket.Item{it},
			Records: []*ticket.Record{record}, Counts: []ticket.Count{{Name: counter, Add: int64(i + 1)}}})

		s := k.read(ticket.Want{Records: []ticket.RecordRef{{Kind: "k", ID: name}}, Counters: []string{counter}})
		k.same("record", s.Records[ticket.RecordRef{Kind: "k", ID: name}], record)
		k.same("counter", s.Counters[counter], int64(i+1))
		for what, f := range map[string]ticket.TicketFilter{"queue": {Queue: t.Queue}, "assignee": {Assignee: t.Assignee}, "channel": {Channel: t.Channel}} {
			list, _, err := k.s.Tickets(k.ctx, f, ticket.Page{})
			k.ok(err, "Tickets")
			k.must(len(list) == 1 && list[0].ID == t.ID, "%d tickets by %s", len(list), what)
		}
		claimed, _, err := k.s.Claim(k.ctx, ticket.Claim{Lane: name, Owner: name, Now: k.now, Until: k.after(time.Minute), Limit: 5})
		k.ok(err, "Claim")
		k.must(len(claimed) == 1 && claimed[0].ID == w.ID && claimed[0].Owner == name, "%d claimed", len(claimed))
		held, err := k.s.Lease(k.ctx, name, name, k.now, k.after(time.Minute))
		k.ok(err, "Lease")
		k.must(held, "the lease is another's")
		rows, err := k.s.Ledger(k.ctx, it.Channel, "")
		k.ok(err, "Ledger")
		k.same("ledger", rows, []ticket.LedgerRow{{Channel: it.Channel, Day: it.Day, Disposition: it.Disposition, Cause: it.Cause, Count: 1}})
	}
}
