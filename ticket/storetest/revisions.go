package storetest

import (
	"cmp"
	"errors"
	"sync"
	"sync/atomic"

	"github.com/anteroom/anteroom/ticket"
)

// revised is one entity of a kind that has revisions.
type revised struct {
	what string
	put  func(c *ticket.Changes)                  // write it
	rev  *int64                                   // of the value that put writes
	mark func(s string)                           // change it
	want ticket.Want                              // reads it
	got  func(s *ticket.Snapshot) (int64, string) // revision and mark; 0 if absent
}

func (k *kit) revised() []revised {
	contact, conversation, tick := k.newContact(), k.newConversation(), k.newTicket()
	message, item, work := k.newMessage("", ""), k.newItem(), k.newWork("")
	record := &ticket.Record{Kind: "agent", ID: "an", Doc: []byte("{}")}
	ref := ticket.RecordRef{Kind: "agent", ID: "an"}
	return []revised{
		{"contact", func(c *ticket.Changes) { c.Contacts = append(c.Contacts, contact) }, &contact.Revision,
			func(s string) { contact.Name = s }, ticket.Want{Contacts: []ticket.ContactID{contact.ID}},
			func(s *ticket.Snapshot) (int64, string) {
				v := cmp.Or(s.Contacts[contact.ID], &ticket.Contact{})
				return v.Revision, v.Name
			}},
		{"conversation", func(c *ticket.Changes) { c.Conversations = append(c.Conversations, conversation) }, &conversation.Revision,
			func(s string) { conversation.Subject = s }, ticket.Want{Conversations: []ticket.ConversationID{conversation.ID}},
			func(s *ticket.Snapshot) (int64, string) {
				v := cmp.Or(s.Conversations[conversation.ID], &ticket.Conversation{})
				return v.Revision, v.Subject
			}},
		{"ticket", func(c *ticket.Changes) { c.Tickets = append(c.Tickets, tick) }, &tick.Revision,
			func(s string) { tick.Subject = s }, ticket.Want{Tickets: []ticket.TicketID{tick.ID}},
			func(s *ticket.Snapshot) (int64, string) {
				v := cmp.Or(s.Tickets[tick.ID], &ticket.Ticket{})
				return v.Revision, v.Subject
			}},
		{"message", func(c *ticket.Changes) { c.Messages = append(c.Messages, message) }, &message.Revision,
			func(s string) { message.Text = s }, ticket.Want{Messages: []ticket.MessageID{message.ID}},
			func(s *ticket.Snapshot) (int64, string) {
				v := cmp.Or(s.Messages[message.ID], &ticket.Message{})
				return v.Revision, v.Text
			}},
		{"item", func(c *ticket.Changes) { c.Items = append(c.Items, item) }, &item.Revision,
			func(s string) { item.Detail = s }, ticket.Want{Items: []ticket.ItemID{item.ID}},
			func(s *ticket.Snapshot) (int64, string) {
				v := cmp.Or(s.Items[item.ID], &ticket.Item{})
				return v.Revision, v.Detail
			}},
		{"work", func(c *ticket.Changes) { c.Works = append(c.Works, work) }, &work.Revision,
			func(s string) { work.LastError = s }, ticket.Want{Works: []ticket.WorkID{work.ID}},
			func(s *ticket.Snapshot) (int64, string) {
				v := cmp.Or(s.Works[work.ID], &ticket.Work{})
				return v.Revision, v.LastError
			}},
		{"record", func(c *ticket.Changes) { c.Records = append(c.Records, record) }, &record.Revision,
			func(s string) { record.Doc = []byte(s) }, ticket.Want{Records: []ticket.RecordRef{ref}},
			func(s *ticket.Snapshot) (int64, string) {
				v := cmp.Or(s.Records[ref], &ticket.Record{})
				return v.Revision, string(v.Doc)
			}},
	}
}

func revisionChecks() []check {
	return []check{
		{"revisions count from 1 and are set in the changes", func(k *kit) {
			for _, r := range k.revised() {
				for want := int64(1); want <= 3; want++ {
					c := &ticket.Changes{}
					r.put(c)
					k.commit(c)
					k.must(*r.rev == want, "%s: revision %d in the changes, want %d", r.what, *r.rev, want)
					rev, _ := r.got(k.read(r.want))
					k.must(rev == want, "%s: revision %d is kept, want %d", r.what, rev, want)
				}
			}
		}},
		{"a stale revision conflicts", func(k *kit) {
			for _, r := range k.revised() {
				c := &ticket.Changes{}
				r.put(c)
				r.mark("one")
				k.commit(c)
				r.mark("two")
				k.commit(c)
				r.mark("three")
				for _, stale := range []int64{1, 3, -1} {
					*r.rev = stale
					k.refuse(c, ticket.ErrConflict, r.what)
					k.must(*r.rev == stale, "%s: a failed commit has set a revision", r.what)
				}
				rev, mark := r.got(k.read(r.want))
				k.must(rev == 2 && mark == "two", "%s: now at revision %d as %q", r.what, rev, mark)
			}
		}},
		{"an insert of an existing id conflicts", func(k *kit) {
			for _, r := range k.revised() {
				c := &ticket.Changes{}
				r.put(c)
				r.mark("one")
				k.commit(c)
				*r.rev = 0
				r.mark("two")
				k.refuse(c, ticket.ErrConflict, r.what)
				rev, mark := r.got(k.read(r.want))
				k.must(rev == 1 && mark == "one", "%s: now at revision %d as %q", r.what, rev, mark)
			}
		}},
		{"an update of what does not exist conflicts", func(k *kit) {
			for _, r := range k.revised() {
				c := &ticket.Changes{}
				r.put(c)
				*r.rev = 1
				k.refuse(c, ticket.ErrConflict, r.what)
				rev, _ := r.got(k.read(r.want))
				k.must(rev == 0, "%s: exists at revision %d", r.what, rev)
			}
		}},
		{"two inserts of one id in one commit conflict", func(k *kit) {
			for _, r := range k.revised() {
				c := &ticket.Changes{}
				r.put(c)
				r.put(c)
				k.refuse(c, ticket.ErrConflict, r.what)
				rev, _ := r.got(k.read(r.want))
				k.must(rev == 0, "%s: exists at revision %d", r.what, rev)
			}
		}},
		{"of concurrent updates one wins", concurrentUpdates},
	}
}

func concurrentUpdates(k *kit) {
	t := k.newTicket()
	k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{t}})
	for round := int64(2); round < 12; round++ {
		var won atomic.Int64
		var wg sync.WaitGroup
		var other atomic.Pointer[error]
		for range 8 {
			mine := *t
			wg.Go(func() {
				switch err := k.s.Commit(k.ctx, &ticket.Changes{At: k.now, Tickets: []*ticket.Ticket{&mine}}); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, ticket.ErrConflict):
					other.Store(&err)
				}
			})
		}
		wg.Wait()
		if err := other.Load(); err != nil {
			k.Fatalf("Commit: %v", *err)
		}
		k.must(won.Load() == 1, "%d of 8 updates of one revision succeeded", won.Load())
		t = k.read(ticket.Want{Tickets: []ticket.TicketID{t.ID}}).Tickets[t.ID]
		k.must(t != nil && t.Revision == round, "the ticket is %s, want it at revision %d", show(t), round)
	}
}
