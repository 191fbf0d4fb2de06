package storetest

import (
	"errors"
	"fmt"
	"sync"

	"github.com/anteroom/anteroom/ticket"
)

func keyChecks() []check {
	return []check{
		{"a claimed key stands for its ref", func(k *kit) {
			a, b := ticket.NewKey("a"), ticket.NewKey("b")
			ref := ticket.Ref{Kind: "something else", ID: "x y"}
			k.commit(&ticket.Changes{Claims: []ticket.KeyClaim{{Key: a, Ref: ref}}})
			k.same("refs", k.read(ticket.Want{Keys: []ticket.Key{a, b}}).Refs, map[ticket.Key]ticket.Ref{a: ref})
		}},
		{"a duplicate key conflicts and names its ref", func(k *kit) {
			key := ticket.NewKey("message", "1")
			ref := ticket.Ref{Kind: ticket.RefMessage, ID: k.id()}
			k.commit(&ticket.Changes{Claims: []ticket.KeyClaim{{Key: key, Ref: ref}}})
			other := []ticket.KeyClaim{
				{Key: ticket.NewKey("message", "2"), Ref: ticket.Ref{Kind: ticket.RefItem, ID: k.id()}},
				{Key: key, Ref: ticket.Ref{Kind: ticket.RefItem, ID: k.id()}},
			}
			k.taken(&ticket.Changes{Claims: other}, key, ref)
			k.same("refs", k.read(ticket.Want{Keys: []ticket.Key{key, other[0].Key}}).Refs, map[ticket.Key]ticket.Ref{key: ref})
		}},
		{"a key that is claimed again for the same ref conflicts too", func(k *kit) {
			key, ref := ticket.NewKey("k"), ticket.Ref{Kind: ticket.RefMessage, ID: k.id()}
			k.commit(&ticket.Changes{Claims: []ticket.KeyClaim{{Key: key, Ref: ref}}})
			k.taken(&ticket.Changes{Claims: []ticket.KeyClaim{{Key: key, Ref: ref}}}, key, ref)
		}},
		{"two claims of one key in one commit conflict", func(k *kit) {
			key := ticket.NewKey("k")
			claim := ticket.KeyClaim{Key: key, Ref: ticket.Ref{Kind: ticket.RefItem, ID: k.id()}}
			k.refuse(&ticket.Changes{Claims: []ticket.KeyClaim{claim, claim}}, ticket.ErrConflict, "claimed twice")
			k.same("refs", k.read(ticket.Want{Keys: []ticket.Key{key}}).Refs, map[ticket.Key]ticket.Ref{})
		}},
		{"a released key is free, and absent ones are fine", func(k *kit) {
			key := ticket.NewKey("k")
			claim := ticket.KeyClaim{Key: key, Ref: ticket.Ref{Kind: ticket.RefItem, ID: k.id()}}
			k.commit(&ticket.Changes{Claims: []ticket.KeyClaim{claim}})
			k.commit(&ticket.Changes{Releases: []ticket.Key{key, ticket.NewKey("absent")}})
			k.same("refs", k.read(ticket.Want{Keys: []ticket.Key{key}}).Refs, map[ticket.Key]ticket.Ref{})
			k.commit(&ticket.Changes{Claims: []ticket.KeyClaim{claim}})
		}},
		{"a key can be handed over in one commit", func(k *kit) {
			key := ticket.NewKey("k")
			from, to := ticket.Ref{Kind: ticket.RefContact, ID: k.id()}, ticket.Ref{Kind: ticket.RefContact, ID: k.id()}
			k.commit(&ticket.Changes{Claims: []ticket.KeyClaim{{Key: key, Ref: from}}})
			k.commit(&ticket.Changes{Releases: []ticket.Key{key}, Claims: []ticket.KeyClaim{{Key: key, Ref: to}}})
			k.same("refs", k.read(ticket.Want{Keys: []ticket.Key{key}}).Refs, map[ticket.Key]ticket.Ref{key: to})
		}},
		{"keys outlive a deleted ticket", keysOutlive},
		{"concurrent first messages give one ticket", concurrentFirstMessages},
	}
}

// taken commits c, which must fail because key stands for ref.
func (k *kit) taken(c *ticket.Changes, key ticket.Key, ref ticket.Ref) {
	k.Helper()
	err := k.try(c)
	var taken *ticket.TakenError
	if !errors.As(err, &taken) || !errors.Is(err, ticket.ErrConflict) {
		k.Fatalf("Commit: %v, want a *TakenError that is ErrConflict", err)
	}
	if taken.Key != key || taken.Ref != ref {
		k.Fatalf("Commit: key %x is taken by %v, want key %x by %v", taken.Key, taken.Ref, key, ref)
	}
}

func keysOutlive(k *kit) {
	t, m := k.newTicket(), k.newMessage("", "")
	m.Ticket = t.ID
	key, ref := ticket.NewKey("mail", "1"), ticket.Ref{Kind: ticket.RefMessage, ID: string(m.ID)}
	k.commit(&ticket.Changes{
		Claims:  []ticket.KeyClaim{{Key: key, Ref: ref}},
		Tickets: []*ticket.Ticket{t}, Messages: []*ticket.Message{m},
	})
	t.DeletedAt, m.RedactedAt, m.Text = k.now, k.now, ""
	k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{t}, Messages: []*ticket.Message{m}})
	k.taken(&ticket.Changes{Claims: []ticket.KeyClaim{{Key: key, Ref: ticket.Ref{Kind: ticket.RefMessage, ID: k.id()}}}}, key, ref)
}

func concurrentFirstMessages(k *kit) {
	const senders = 16
	type attempt struct {
		c   *ticket.Changes
		ref ticket.Ref
		err error
	}
	attempts := make([]attempt, senders)
	key := ticket.NewKey("thread", "1")
	for i := range attempts {
		t, c, m := k.newTicket(), k.newConversation(), k.newMessage("", "")
		m.Ticket, m.Conversation, t.Conversation, c.Ticket = t.ID, c.ID, c.ID, t.ID
		ref := ticket.Ref{Kind: ticket.RefConversation, ID: string(c.ID)}
		attempts[i] = attempt{ref: ref, c: &ticket.Changes{
			At: k.now,
			Claims: []ticket.KeyClaim{
				{Key: ticket.NewKey("own", fmt.Sprint(i)), Ref: ref}, {Key: key, Ref: ref},
			},
			Conversations: []*ticket.Conversation{c}, Tickets: []*ticket.Ticket{t}, Messages: []*ticket.Message{m},
			Works: []*ticket.Work{k.newWork("")}, Events: []*ticket.Event{k.newEvent()},
		}}
	}
	var wg sync.WaitGroup
	for i := range attempts {
		wg.Go(func() { attempts[i].err = k.s.Commit(k.ctx, attempts[i].c) })
	}
	wg.Wait()
	winner := -1
	for i, a := range attempts {
		if a.err == nil {
			k.must(winner < 0, "attempts %d and %d have both claimed the key", winner, i)
			winner = i
		}
	}
	k.must(winner >= 0, "nobody has claimed the key: %v", attempts[0].err)
	for i, a := range attempts {
		s := k.read(ticket.Want{
			Keys:    []ticket.Key{a.c.Claims[0].Key},
			Tickets: []ticket.TicketID{a.c.Tickets[0].ID}, Conversations: []ticket.ConversationID{a.c.Conversations[0].ID},
			Messages: []ticket.MessageID{a.c.Messages[0].ID}, Works: []ticket.WorkID{a.c.Works[0].ID},
		})
		n := len(s.Refs) + len(s.Tickets) + len(s.Conversations) + len(s.Messages) + len(s.Works)
		if i == winner {
			k.must(n == 5, "of the winner %d of 5 things are there", n)
			continue
		}
		k.must(n == 0, "of loser %d there are %d things", i, n)
		var taken *ticket.TakenError
		k.must(errors.As(a.err, &taken) && taken.Ref == attempts[winner].ref, "loser %d: %v, want taken by %v", i, a.err, attempts[winner].ref)
	}
	list, _, err := k.s.Tickets(k.ctx, ticket.TicketFilter{}, ticket.Page{})
	k.ok(err, "Tickets")
	k.must(len(list) == 1, "there are %d tickets", len(list))
	events, err := k.s.Events(k.ctx, ticket.EventFilter{}, 100)
	k.ok(err, "Events")
	k.must(len(events) == 1, "there are %d events", len(events))
}
