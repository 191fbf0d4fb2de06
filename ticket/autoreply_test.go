package ticket_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

func answering() ticket.Settings {
	return ticket.Settings{Queue: "support", AutoReply: ticket.AutoReply{On: true, Subject: "Ticket {{ticket.number}}: {{subject}}", Body: "Dear {{customer.name}}"}}
}

func TestWhatIsAnsweredAutomatically(t *testing.T) {
	human := func() channel.Message {
		return channel.Message{From: channel.Party{Name: "Mai", Address: "mai@c.example"}, Subject: "Chào", Text: "x"}
	}
	with := func(f func(*channel.Item)) func(*channel.Item) { return f }
	tests := []struct {
		name   string
		change func(*channel.Item)
		rule   string // that stopped it; empty: answered
	}{
		{"a person's mail", nil, ""},
		{"an automatic reply", with(func(i *channel.Item) {
			i.Message.Automatic = channel.Automatic{Kind: channel.AutomaticReply, Reason: "Auto-Submitted"}
		}), "automatic"},
		{"a list", with(func(i *channel.Item) {
			i.Message.Automatic = channel.Automatic{Kind: channel.AutomaticList, Reason: "List-Id"}
		}), "automatic"},
		{"an empty return path", with(func(i *channel.Item) { i.Message.Received = channel.Envelope{Known: true, NullPath: true} }), "null_path"},
		{"a no-reply address", with(func(i *channel.Item) { i.Message.Quiet = "no_reply_address" }), "quiet"},
		{"one of our own addresses", with(func(i *channel.Item) { i.Message.From.Address = box }), "own_address"},
		{"a failed DMARC", with(func(i *channel.Item) { i.Message.Auth.DMARC = "fail" }), "dmarc"},
		{"older than a day", with(func(i *channel.Item) { i.At = time.Now().Add(-25 * time.Hour) }), "age"},
		{"no address", with(func(i *channel.Item) { i.Message.From.Address = "" }), "address"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inOffice(t, nil, func(o *office) {
				o.mailbox(box, answering())
				it := o.net.Item(box, human())
				if tt.change != nil {
					tt.change(it)
				}
				require.NoError(t, o.net.Deliver(o.ctx, box, it))
				o.settle()
				ms := o.timeline(o.only().ID)
				why, err := o.desk.Explain(o.ctx, ms[0].ID)
				require.NoError(t, err)
				var decision *ticket.Decision
				for _, d := range why {
					if d.Kind == "auto_reply" {
						decision = d
					}
				}
				require.NotNil(t, decision, "the decision is explained either way")
				if tt.rule != "" {
					require.Equal(t, "no", decision.Outcome)
					require.Equal(t, tt.rule, decision.Steps[len(decision.Steps)-1].Rule)
					require.Empty(t, o.net.Sent(box))
					return
				}
				sent := o.net.Sent(box)
				require.Len(t, sent, 1)
				require.Equal(t, channel.AutoReplied, sent[0].Out.Automatic)
				require.Equal(t, "Ticket 1: Chào", sent[0].Out.Subject)
				require.Equal(t, "Dear Mai", sent[0].Out.Text)
			})
		})
	}
}

func TestImportedItemsAreNotAnswered(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, answering())
		it := o.net.Item(box, channel.Message{From: from("a@c.example"), Text: "x"})
		it.Imported = true
		require.NoError(t, o.net.Deliver(o.ctx, box, it))
		o.settle()
		require.Empty(t, o.net.Sent(box))
		require.Len(t, o.tickets(), 1)
	})
}

func TestAutoReplyOncePerTicketAndCapped(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, answering())
		o.deliver(box, mail("a@c.example", "1"))
		o.deliver(box, mail("a@c.example", "2", "1"))
		require.Len(t, o.net.Sent(box), 1, "once per ticket")
		o.deliver(box, mail("a+tag@c.example", "3"))
		require.Len(t, o.net.Sent(box), 1, "once an hour per address, +tags aside")
		for i := range 30 {
			time.Sleep(time.Hour)
			o.deliver(box, mail("a@c.example", fmt.Sprint("h", i)))
		}
		require.LessOrEqual(t, len(o.net.Sent(box)), 3*4, "four a day")
		require.Greater(t, len(o.net.Sent(box)), 4)
		require.Equal(t, 33, int(o.ledger().Messages), "all is taken in")
	})
}

func TestARobotThatRotatesAddressesIsCappedByDomainAndChannel(t *testing.T) {
	inOffice(t, func(c *ticket.Config) { c.Caps.DomainHour, c.Caps.ChannelHour = 5, 8 }, func(o *office) {
		o.mailbox(box, answering())
		for i := range 20 {
			o.deliver(box, mail(fmt.Sprintf("robot%d@evil.example", i), fmt.Sprint("a", i)))
		}
		require.Len(t, o.net.Sent(box), 5)
		for i := range 20 {
			o.deliver(box, mail(fmt.Sprintf("robot@evil%d.example", i), fmt.Sprint("b", i)))
		}
		require.Len(t, o.net.Sent(box), 8)
		require.Len(t, o.tickets(), 40)
	})
}

func TestTheSystemSenderAnswersForAReceiveOnlyMailbox(t *testing.T) {
	system := channeltest.NewNetwork()
	inOffice(t, func(c *ticket.Config) {
		sender, err := system.Open(t.Context(), channel.Account{ID: "sys", Kind: channeltest.KindMemory, Config: []byte(`{"address":"sys@portal.example","mail":true,"send_only":true}`)}, channel.Env{})
		require.NoError(t, err)
		c.System = sender.(channel.Sender)
	}, func(o *office) {
		ch := o.connect(channeltest.MemoryAccount{Address: box, Name: "Help", Mail: true, ReceiveOnly: true}, answering())
		o.write(box, "mai@c.example", "Hi", "x")
		sent := system.Sent("sys@portal.example")
		require.Len(t, sent, 1)
		require.Equal(t, channel.Party{Name: "Help", Address: box}, sent[0].Out.From)
		require.False(t, ch.CanSend)

		_, err := o.desk.Reply(o.ctx, o.only().ID, ticket.Draft{By: "an", Text: "x"})
		require.ErrorIs(t, err, ticket.ErrReceiveOnly, "agents do not answer by the system sender")
	})
}

func TestWithoutASystemSenderTheAutoReplyIsPendingWithAFinding(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.connect(channeltest.MemoryAccount{Address: box, Mail: true, ReceiveOnly: true}, answering())
		o.write(box, "mai@c.example", "Hi", "x")
		ms := o.timeline(o.only().ID)
		require.Len(t, ms, 2)
		require.Equal(t, ticket.StatePending, ms[1].State)
		findings, err := o.desk.Check(o.ctx, ch.ID)
		require.NoError(t, err)
		require.Contains(t, fmt.Sprint(findings), "no_relay")
	})
}

func TestTwoAutoRespondersStopSoon(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, answering())
		o.deliver(box, mail("robot@c.example", "0"))
		answeredUntil := 0
		for i := range 500 {
			// The robot answers all that it gets, without any header.
			for _, s := range o.net.Sent(box)[answeredUntil:] {
				answeredUntil++
				_, err := o.net.Reply(o.ctx, s, "I am a robot")
				require.NoError(t, err)
			}
			// And it writes anew by itself.
			if i%10 == 0 {
				o.deliver(box, mail("robot@c.example", fmt.Sprint("n", i)))
			}
			time.Sleep(time.Hour)
		}
		require.LessOrEqual(t, len(o.net.Sent(box)), 4*(500/24+1))
	})
}

func TestAnHourOfACapIsAnySixtyMinutes(t *testing.T) {
	inOffice(t, func(c *ticket.Config) { c.Caps.DomainHour = 3 }, func(o *office) {
		o.mailbox(box, answering())
		n := 0
		burst := func() int {
			before := len(o.net.Sent(box))
			for range 5 {
				n++
				o.write(box, fmt.Sprintf("mai%d@c.example", n), "x", "x")
			}
			time.Sleep(time.Minute)
			return len(o.net.Sent(box)) - before
		}
		time.Sleep(time.Until(time.Now().Truncate(time.Hour).Add(time.Hour - 2*time.Minute)))
		require.Equal(t, 3, burst())
		require.Zero(t, burst(), "the next hour of the clock has begun")
		time.Sleep(50 * time.Minute)
		require.Zero(t, burst())
		time.Sleep(20 * time.Minute)
		require.Equal(t, 3, burst())
	})
}
