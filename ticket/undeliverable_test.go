package ticket_test

import (
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

func noSuchUser(address string) channel.RecipientStatus {
	return channel.RecipientStatus{Address: address, Status: "5.1.1", Permanent: true, Undeliverable: true, Diagnostic: "no such user"}
}

// known lists the addresses that are remembered.
func (o *office) known() []string {
	o.t.Helper()
	all, err := o.desk.Undeliverable(o.ctx)
	require.NoError(o.t, err)
	out := []string{}
	for _, a := range all {
		out = append(out, a.Address)
	}
	return out
}

// bounced has an answer to Mai's ticket come back.
func bounced(o *office, statuses ...channel.RecipientStatus) (*ticket.Ticket, *ticket.Message) {
	tk := ticketIn(o)
	m := answeredTo(o, tk)
	sent := o.net.Sent(box)
	o.report(sent[len(sent)-1].News(channel.UpdateBounce, statuses...))
	return tk, o.message(m.ID)
}

// answeredTo answers a ticket, and waits until the answer has left.
func answeredTo(o *office, tk *ticket.Ticket) *ticket.Message {
	m := o.reply(tk.ID, "Answer")
	time.Sleep(time.Minute)
	return m
}

func (o *office) report(it *channel.Item) {
	o.t.Helper()
	require.NoError(o.t, o.net.Deliver(o.ctx, box, it))
	o.settle()
}

func TestAnAddressThatDoesNotExistIsRememberedAndItsUseWarnsOf(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk, m := bounced(o, noSuchUser("Mai@customer.example"))
		require.Equal(t, ticket.StateBounced, m.State)
		require.Empty(t, m.Warnings)
		all, err := o.desk.Undeliverable(o.ctx, "MAI@customer.example", "bo@customer.example")
		require.NoError(t, err)
		require.Len(t, all, 1)
		require.Equal(t, "mai@customer.example", all[0].Address)
		require.Equal(t, "5.1.1 no such user", all[0].Detail)
		require.Equal(t, m.ID, all[0].Message)
		require.True(t, slices.ContainsFunc(o.events(), func(e *ticket.Event) bool {
			return e.Type == ticket.EventAddressUndeliverable && e.Message == m.ID && len(e.Data) == 0
		}))

		again := o.reply(tk.ID, "Once more")
		require.Equal(t, []ticket.Warning{{Code: ticket.WarnUndeliverable, Recipient: "mai@customer.example", Detail: "5.1.1 no such user", Since: all[0].Since}}, again.Warnings)
		require.Equal(t, again.Warnings, o.message(again.ID).Warnings)
		time.Sleep(time.Minute)
		require.Equal(t, ticket.StateSent, o.message(again.ID).State, "a person may try")
		opened, err := o.desk.Start(o.ctx, ticket.Opening{By: "an", Channel: tk.Channel, To: parties("bo@customer.example"), Cc: parties("mai@Customer.example"),
			Subject: "Hello", Text: "Hello", Send: true})
		require.NoError(t, err)
		require.Len(t, opened.Message.Warnings, 1)
		require.Equal(t, "mai@Customer.example", opened.Message.Warnings[0].Recipient)
		o.restart()
		require.Equal(t, []string{"mai@customer.example"}, o.known())
	})
}

func TestWhatSaysNothingOfTheAddressIsNotRemembered(t *testing.T) {
	for name, st := range map[string]channel.RecipientStatus{
		"full":          {Address: "mai@customer.example", Status: "5.2.2", Permanent: true},
		"somebody else": noSuchUser("eve@customer.example"),
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, nil, func(o *office) {
				bounced(o, st)
				require.Empty(t, o.known())
			})
		})
	}
	t.Run("delayed", func(t *testing.T) {
		inOffice(t, nil, func(o *office) {
			m := answeredTo(o, ticketIn(o))
			for _, kind := range []channel.UpdateKind{channel.UpdateDelayed, channel.UpdateRelayed} {
				o.report(o.net.Sent(box)[0].News(kind, noSuchUser("mai@customer.example")))
				require.Equal(t, ticket.StateSent, o.message(m.ID).State)
			}
			require.Empty(t, o.known())
		})
	})
	t.Run("forged without our token", func(t *testing.T) {
		inOffice(t, nil, func(o *office) {
			m := answeredTo(o, ticketIn(o))
			it := o.net.Sent(box)[0].News(channel.UpdateBounce, noSuchUser("mai@customer.example"))
			it.Update.Tokens, it.Update.IDs = []string{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}, nil
			it.Keys = []channel.Key{"forged"}
			o.report(it)
			require.Empty(t, o.known())
			require.Equal(t, ticket.StateSent, o.message(m.ID).State)
		})
	})
}

func TestAnAddressIsForgottenWhenItIsHeardFrom(t *testing.T) {
	for name, act := range map[string]func(o *office, m *ticket.Message){
		"a message comes from it": func(o *office, _ *ticket.Message) { o.write(box, "MAI@customer.example", "I am here", "Hello") },
		"mail to it is delivered": func(o *office, _ *ticket.Message) {
			o.report(o.net.Sent(box)[0].News(channel.UpdateDelivered, channel.RecipientStatus{Address: "mai@customer.example"}))
		},
		"a person says so": func(o *office, _ *ticket.Message) {
			require.NoError(o.t, o.desk.ForgetUndeliverable(o.ctx, ticket.Agent("an"), " Mai@customer.example"))
			require.ErrorIs(o.t, o.desk.ForgetUndeliverable(o.ctx, ticket.Agent("an"), "mai@customer.example"), ticket.ErrNotFound)
		},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, nil, func(o *office) {
				tk, m := bounced(o, noSuchUser("mai@customer.example"))
				require.Len(t, o.known(), 1)
				act(o, m)
				require.Empty(t, o.known())
				require.Empty(t, o.reply(tk.ID, "Again").Warnings)
				require.True(t, slices.ContainsFunc(o.events(), func(e *ticket.Event) bool { return e.Type == ticket.EventAddressDeliverable }))
				o.write(box, "mai@customer.example", "Still here", "Hello")
				// It may go away again.
				time.Sleep(time.Minute)
				sent := o.net.Sent(box)
				it := sent[len(sent)-1].News(channel.UpdateBounce, noSuchUser("mai@customer.example"))
				it.Keys = []channel.Key{"another bounce"}
				o.report(it)
				require.Len(t, o.known(), 1)
			})
		})
	}
}

func TestARefusalAtTheDoorIsRememberedToo(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		o.net.Fail(box, channeltest.Fault{Refused: []string{"gone@customer.example"}})
		m, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "Hi", To: parties("mai@customer.example", "gone@customer.example")})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Equal(t, channel.DeliveryFailed, o.message(m.ID).Deliveries[1].State)
		require.Equal(t, []string{"gone@customer.example"}, o.known())
	})
}

func TestNothingAutomaticIsSentToAnUndeliverableAddress(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		bounced(o, noSuchUser("mai@customer.example"))
		ch, err := o.desk.Channels(o.ctx)
		require.NoError(t, err)
		s := ch[0].Settings
		s.AutoReply = ticket.AutoReply{On: true, Subject: "Thanks", Body: "We have it."}
		_, err = o.desk.Update(o.ctx, ch[0].ID, ticket.ChannelPatch{Settings: &s})
		require.NoError(t, err)
		before := len(o.net.Sent(box))
		o.deliver(box, channel.Message{From: channel.Party{Address: "other@customer.example"}, ReplyTo: parties("mai@customer.example"), Subject: "Question", Text: "?"})
		time.Sleep(time.Minute)
		require.Len(t, o.net.Sent(box), before)
		tk := o.tickets()[0]
		found := false
		for _, m := range o.timeline(tk.ID) {
			ds, err := o.desk.Explain(o.ctx, m.ID)
			require.NoError(t, err)
			for _, d := range ds {
				found = found || d.Kind == "auto_reply" && d.Outcome == "no" && d.Steps[len(d.Steps)-1].Rule == "undeliverable"
			}
		}
		require.True(t, found, "and it is explained")
		// What it says itself shows that it exists.
		o.write(box, "mai@customer.example", "Hello again", "?")
		time.Sleep(time.Minute)
		require.Greater(t, len(o.net.Sent(box)), before)
	})
}
