package storetest

import (
	"slices"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

type (
	ticketQueue   = routing.QueueID
	ticketAgent   = routing.AgentID
	ticketChannel = channel.ID
)

func (k *kit) conversations(f ticket.ConversationFilter, size int) []ticket.ConversationID {
	k.Helper()
	return pages(k, size, func(p ticket.Page) ([]ticket.ConversationID, ticket.Next, error) {
		list, next, err := k.s.Conversations(k.ctx, f, p)
		return mapped(list, func(c *ticket.Conversation) ticket.ConversationID { return c.ID }), next, err
	})
}

func (k *kit) messages(f ticket.MessageFilter, size int) []ticket.MessageID {
	k.Helper()
	return pages(k, size, func(p ticket.Page) ([]ticket.MessageID, ticket.Next, error) {
		list, next, err := k.s.Messages(k.ctx, f, p)
		return mapped(list, func(m *ticket.Message) ticket.MessageID { return m.ID }), next, err
	})
}

func conversationListChecks() []check {
	return []check{
		{"every filter of conversations in every order and page size", conversationFilters},
		{"an updated conversation is listed by what it is now", func(k *kit) {
			c := k.newConversation()
			c.Queue, c.Contact, c.Assignee = "q1", ticket.ContactID(k.id()), "an"
			k.commit(&ticket.Changes{Conversations: []*ticket.Conversation{c}})
			old := *c
			c.Queue, c.Contact, c.Assignee, c.Ticket = "", ticket.ContactID(k.id()), "", ticket.TicketID(k.id())
			k.commit(&ticket.Changes{Conversations: []*ticket.Conversation{c}})
			for _, f := range []ticket.ConversationFilter{{Queue: old.Queue}, {Contact: old.Contact}, {Assignee: old.Assignee}, {WithoutTicket: true}} {
				k.same("by what it was", k.conversations(f, 5), []ticket.ConversationID{})
			}
			for _, f := range []ticket.ConversationFilter{{Contact: c.Contact}, {Unassigned: true}, {Ticket: c.Ticket}} {
				k.same("by what it is", k.conversations(f, 5), []ticket.ConversationID{c.ID})
			}
		}},
	}
}

func conversationFilters(k *kit) {
	var all []*ticket.Conversation
	tick, contact := ticket.TicketID(k.id()), ticket.ContactID(k.id())
	for i := range 36 {
		c := k.newConversation()
		c.Queue = []ticketQueue{"", "q1", "q2"}[i%3]
		c.Assignee = []ticketAgent{"", "an"}[i%2]
		c.Channel = []ticketChannel{"mail", "page"}[i/3%2]
		c.Contact = []ticket.ContactID{"", contact, contact}[i/2%3]
		c.Ticket = []ticket.TicketID{"", "", tick, ticket.TicketID(k.id())}[i%4]
		c.UpdatedAt = k.after(time.Duration(i*7%11) * time.Microsecond)
		all = append(all, c)
	}
	ch := &ticket.Changes{}
	for j := range all {
		ch.Conversations = append(ch.Conversations, all[(j*5)%len(all)])
	}
	k.commit(ch)
	for _, order := range []ticket.Order{ticket.NewestFirst, ticket.LatestUpdate} {
		sorted := slices.Clone(all)
		slices.SortFunc(sorted, func(a, b *ticket.Conversation) int {
			if order == ticket.LatestUpdate && !a.UpdatedAt.Equal(b.UpdatedAt) {
				return b.UpdatedAt.Compare(a.UpdatedAt)
			}
			if a.ID > b.ID {
				return -1
			}
			return 1
		})
		for _, f := range []ticket.ConversationFilter{
			{}, {Queue: "q1"}, {Queue: "none"}, {Assignee: "an"}, {Unassigned: true}, {Channel: "page"}, {Contact: contact},
			{Ticket: tick}, {WithoutTicket: true}, {WithoutTicket: true, Ticket: tick}, {Queue: "q2", WithoutTicket: true},
			{Queue: "q1", Unassigned: true, WithoutTicket: true}, {Contact: contact, Channel: "mail"},
			{Contact: contact, WithoutTicket: true, Assignee: "an"}, {Queue: "q1", Assignee: "an", Channel: "page", Contact: contact},
		} {
			f.Order = order
			want := []ticket.ConversationID{}
			for _, c := range sorted {
				if (f.Queue == "" || f.Queue == c.Queue) && (f.Assignee == "" || f.Assignee == c.Assignee) &&
					(!f.Unassigned || c.Assignee == "") && (f.Channel == "" || f.Channel == c.Channel) &&
					(f.Contact == "" || f.Contact == c.Contact) && (f.Ticket == "" || f.Ticket == c.Ticket) &&
					(!f.WithoutTicket || c.Ticket == "") {
					want = append(want, c.ID)
				}
			}
			for _, size := range []int{1, 5, 50} {
				k.same(show(f), k.conversations(f, size), want)
			}
		}
	}
}

func messageListChecks() []check {
	return []check{
		{"messages are listed by ticket and by conversation, oldest or newest first", func(k *kit) {
			t1, t2 := ticket.TicketID(k.id()), ticket.TicketID(k.id())
			c1, c2 := ticket.ConversationID(k.id()), ticket.ConversationID(k.id())
			var all []*ticket.Message
			for i := range 24 {
				all = append(all, k.newMessage([]ticket.TicketID{t1, t2, ""}[i%3], []ticket.ConversationID{c1, c2}[i/2%2]))
			}
			ch := &ticket.Changes{}
			for j := range all {
				ch.Messages = append(ch.Messages, all[(j*5)%len(all)])
			}
			k.commit(ch)
			for _, f := range []ticket.MessageFilter{
				{Ticket: t1}, {Ticket: t2}, {Conversation: c1}, {Conversation: c2}, {Ticket: t1, Conversation: c2},
				{Ticket: ticket.TicketID(k.id())}, {Conversation: ticket.ConversationID(k.id())},
			} {
				want := []ticket.MessageID{}
				for _, m := range all {
					if (f.Ticket == "" || m.Ticket == f.Ticket) && (f.Conversation == "" || m.Conversation == f.Conversation) {
						want = append(want, m.ID)
					}
				}
				for _, size := range []int{1, 3, 50} {
					f.NewestFirst = false
					k.same("oldest first "+show(f), k.messages(f, size), want)
					f.NewestFirst = true
					back := slices.Clone(want)
					slices.Reverse(back)
					k.same("newest first "+show(f), k.messages(f, size), back)
				}
			}
		}},
		{"a message moves with its ticket and conversation", func(k *kit) {
			m := k.newMessage(ticket.TicketID(k.id()), ticket.ConversationID(k.id()))
			k.commit(&ticket.Changes{Messages: []*ticket.Message{m}})
			old := *m
			m.Ticket, m.Conversation = ticket.TicketID(k.id()), ticket.ConversationID(k.id())
			k.commit(&ticket.Changes{Messages: []*ticket.Message{m}})
			k.same("old ticket", k.messages(ticket.MessageFilter{Ticket: old.Ticket}, 5), []ticket.MessageID{})
			k.same("old conversation", k.messages(ticket.MessageFilter{Conversation: old.Conversation}, 5), []ticket.MessageID{})
			k.same("ticket", k.messages(ticket.MessageFilter{Ticket: m.Ticket}, 5), []ticket.MessageID{m.ID})
			k.same("conversation", k.messages(ticket.MessageFilter{Conversation: m.Conversation}, 5), []ticket.MessageID{m.ID})
		}},
	}
}
