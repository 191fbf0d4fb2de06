package ticket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

const box = "help@portal.example"

func TestAMailBecomesARoutedTicketAndItsAnswerGoesOut(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support", PreferOnline: true})
		require.NoError(t, o.desk.SetPresence(o.ctx, "bo", routing.Online, 0))
		o.write(box, "mai@customer.example", "Đơn hàng số 7", "Chào bạn, hàng chưa tới.")

		tk := o.only()
		require.Equal(t, "Đơn hàng số 7", tk.Subject)
		require.Equal(t, ticket.Open, tk.Status)
		require.EqualValues(t, 1, tk.Number)
		require.EqualValues(t, "bo", tk.Assignee, "the agent who is online")
		require.True(t, tk.WaitingSince.IsZero())

		m := o.reply(tk.ID, "Chào Mai, mai hàng tới.")
		require.Equal(t, ticket.StatePending, m.State)
		require.Empty(t, o.net.Sent(box), "it waits in the undo window")
		time.Sleep(11 * time.Second)
		sent, err := o.net.WaitSent(o.ctx, box, 1)
		require.NoError(t, err)
		o.settle()
		require.Equal(t, ticket.StateSent, o.message(m.ID).State)
		require.Equal(t, "Re: Đơn hàng số 7", sent[0].Out.Subject)
		require.Equal(t, "mai@customer.example", sent[0].Out.To[0].Address)
		require.Equal(t, box, sent[0].Out.From.Address)
		require.NotEmpty(t, sent[0].Out.References, "it refers to the customer's mail")

		o.restart()
		_, err = o.net.Reply(o.ctx, sent[0], "Cảm ơn!")
		require.NoError(t, err)
		o.settle()
		tk = o.only()
		require.Equal(t, 3, tk.MessageCount, "the customer's answer joins")
		require.Len(t, o.timeline(tk.ID), 3)
		l := o.ledger()
		require.EqualValues(t, 2, l.Messages)
	})
}

func TestADuplicateIsASuccessWithoutEffect(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		it := o.net.Item(box, channel.Message{From: channel.Party{Address: "a@c.example"}, Subject: "Hi", Text: "there"})
		for range 5 {
			require.NoError(t, o.net.Deliver(o.ctx, box, it))
		}
		o.settle()
		require.Equal(t, 1, o.only().MessageCount)
		l := o.ledger()
		require.EqualValues(t, 1, l.Received)
		require.EqualValues(t, 4, l.Duplicates)
	})
}
