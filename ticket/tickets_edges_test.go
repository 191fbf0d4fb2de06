package ticket_test

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

func TestAConversationWhoseTicketWasDeletedIsQueuedAgain(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{Queue: "support"})
		msg := channel.Message{From: from("psid1"), Text: "x", NoTicket: true}
		o.deliver("page", msg)
		cs, _, err := o.desk.Conversations(o.ctx, ticket.ConversationFilter{}, ticket.Page{})
		require.NoError(t, err)
		tk, err := o.desk.MakeTicket(o.ctx, ticket.Agent("an"), cs[0].ID)
		require.NoError(t, err)
		require.NoError(t, o.desk.DeleteTicket(o.ctx, ticket.Agent("an"), tk.ID))
		o.deliver("page", msg)
		c, err := o.desk.Conversation(o.ctx, cs[0].ID)
		require.NoError(t, err)
		require.NotEmpty(t, c.Assignee, "%+v", c.Assignment)
	})
}

func TestAutomaticMailOpensNoTicketInPlaceOfADeletedOne(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		o.deliver(box, mail("a@c.example", "1"))
		require.NoError(t, o.desk.DeleteTicket(o.ctx, ticket.Agent("an"), o.only().ID))
		m := mail("a@c.example", "2", "1")
		m.Automatic = channel.Automatic{Kind: channel.AutomaticReply}
		o.deliver(box, m)
		require.Empty(t, o.tickets())
	})
}

func TestAReplyBesideADeletedTicketIsNotOfIt(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		o.deliver(box, mail("a@c.example", "1"))
		tk := o.only()
		require.NoError(t, o.desk.DeleteTicket(o.ctx, ticket.Agent("an"), tk.ID))
		m, err := o.desk.ReplyTo(o.ctx, tk.Conversation, ticket.Draft{By: "an", Text: "x", To: []channel.Party{{Address: "a@c.example"}}})
		require.NoError(t, err)
		require.NotEqual(t, tk.ID, m.Ticket)
	})
}

func TestNoTicketIsMadeWhereNoneIsAskedFor(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{Queue: "support"})
		msg := channel.Message{From: from("psid1"), Text: "x", NoTicket: true}
		o.deliver("page", msg)
		cs, _, err := o.desk.Conversations(o.ctx, ticket.ConversationFilter{}, ticket.Page{})
		require.NoError(t, err)
		tk, err := o.desk.MakeTicket(o.ctx, ticket.Agent("an"), cs[0].ID)
		require.NoError(t, err)
		_, err = o.desk.SetStatus(o.ctx, ticket.Agent("an"), tk.ID, ticket.Closed)
		require.NoError(t, err)
		o.deliver("page", msg)
		require.Len(t, o.tickets(), 1)
	})
}

func TestMailThatCameWhileATicketWasDeletedIsNotLost(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{Queue: "support"})
		o.deliver(box, mail("a@c.example", "1"))
		var listed, sent atomic.Bool
		o.back.Fail(func(op string) error {
			if op == "messages" {
				listed.Store(true)
			}
			if op == "commit" && listed.Load() && !sent.Swap(true) {
				m := mail("a@c.example", "2", "1")
				return o.desk.Accept(o.ctx, &channel.Item{Channel: ch.ID, Keys: []channel.Key{"2"}, Message: &m})
			}
			return nil
		})
		tk := o.only()
		require.NoError(t, o.desk.DeleteTicket(o.ctx, ticket.Agent("an"), tk.ID))
		require.True(t, sent.Load())
		o.back.Fail(nil)
		for _, m := range o.timeline(tk.ID) {
			require.NotZero(t, m.RedactedAt, "content of a deleted ticket")
		}
	})
}

func TestTheFieldsOfATicketAreBounded(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		var err error
		for i := 0; i < 1000 && err == nil; i++ {
			_, err = o.desk.UpdateTicket(o.ctx, ticket.Actor{}, tk.ID, ticket.TicketPatch{Fields: map[string]string{fmt.Sprint("field", i): "x"}})
		}
		require.Error(t, err)
	})
}
