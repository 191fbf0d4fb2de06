package ticket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

// mail is a customer's mail with an id of its own that refers to others.
func mail(address, id string, refs ...string) channel.Message {
	ids := make([]string, len(refs))
	for i, r := range refs {
		ids[i] = r + "@c"
	}
	return channel.Message{From: from(address), Subject: "Re: Question", Text: "x", ExternalID: id + "@c",
		To: []channel.Party{{Address: box}}, Evidence: channel.Evidence{IDs: ids}}
}

func TestThreading(t *testing.T) {
	tests := []struct {
		name    string
		mails   []channel.Message
		tickets int
	}{
		{"a mail that refers to nothing is a new ticket", []channel.Message{mail("a@c.example", "1"), mail("a@c.example", "2")}, 2},
		{"the same sender referring to an own mail joins", []channel.Message{mail("a@c.example", "1"), mail("a@c.example", "2", "1")}, 1},
		{"letter case and a +tag do not matter", []channel.Message{mail("a@c.example", "1"), mail("A+x@C.example", "2", "1")}, 1},
		{"somebody in Cc joins", func() []channel.Message {
			first := mail("a@c.example", "1")
			first.Cc = []channel.Party{{Address: "b@c.example"}}
			return []channel.Message{first, mail("b@c.example", "2", "1")}
		}(), 1},
		{"a stranger who knows an id does not join", []channel.Message{mail("a@c.example", "1"), mail("evil@x.example", "2", "1")}, 2},
		{"a stranger who refers to a mail before it comes does not capture it", []channel.Message{mail("evil@x.example", "2", "1"), mail("a@c.example", "1")}, 2},
		{"what comes out of order joins all the same", []channel.Message{mail("a@c.example", "2", "1"), mail("a@c.example", "1")}, 1},
		{"siblings of a mail we never got join", []channel.Message{mail("a@c.example", "2", "lost"), mail("a@c.example", "3", "lost")}, 1},
		{"a subject tag joins nothing", func() []channel.Message {
			second := mail("a@c.example", "2")
			second.Subject = "Re: [#1] Question"
			return []channel.Message{mail("a@c.example", "1"), second}
		}(), 2},
		{"two mails with one id and different content are both kept", []channel.Message{mail("a@c.example", "1"), mail("a@c.example", "1", "x")}, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inOffice(t, nil, func(o *office) {
				ch := o.mailbox(box, ticket.Settings{Queue: "support"})
				for i, m := range tt.mails {
					require.NoError(t, o.desk.Accept(o.ctx, &channel.Item{Channel: ch.ID, Keys: []channel.Key{channel.Key(rune('a' + i))}, Message: &m}))
				}
				require.Len(t, o.tickets(), tt.tickets)
				require.EqualValues(t, len(tt.mails), o.ledger().Messages)
			})
		})
	}
}

// answered returns the ticket of a customer and our answer to them.
func answered(o *office) (*ticket.Ticket, string) {
	tk := ticketIn(o)
	o.reply(tk.ID, "Answer")
	time.Sleep(15 * time.Second)
	sent := o.net.Sent(box)
	require.Len(o.t, sent, 1)
	return tk, sent[0].Out.Token
}

func TestATokenJoinsWhenARelayRewroteTheMessageID(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk, token := answered(o)
		m := mail("mai@customer.example", "9", "rewritten")
		m.Evidence.Tokens = []string{"garbage00000000000000000000000000000000000000", token}
		o.deliver(box, m)
		require.Equal(t, tk.ID, o.only().ID)
	})
}

func TestAForgedTokenJoinsNothing(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		_, token := answered(o)
		flip := func(i int) string {
			c := byte('a')
			if token[i] == c {
				c = 'b'
			}
			return token[:i] + string(c) + token[i+1:]
		}
		for i, forged := range []string{flip(0), flip(5), flip(30), flip(len(token) - 1), token + "a", token[1:], ""} {
			m := mail("mai@customer.example", string(rune('0'+i)))
			m.Evidence.Tokens = []string{forged}
			o.deliver(box, m)
			require.Len(t, o.tickets(), 2+i, forged)
		}
	})
}

func TestAStrangerWithATokenJoinsUnverifiedAndIsSentNothing(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk, token := answered(o)
		m := mail("colleague@customer.example", "9")
		m.Evidence.Tokens = []string{token}
		o.deliver(box, m)
		got := o.timeline(tk.ID)
		require.True(t, got[len(got)-1].Unverified)

		o.reply(tk.ID, "Answer 2")
		time.Sleep(15 * time.Second)
		sent := o.net.Sent(box)
		require.Equal(t, []string{"mai@customer.example"}, sent[1].Recipients, "the answer goes to the customer")
		_, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "All", ReplyAll: true})
		require.NoError(t, err)
		time.Sleep(15 * time.Second)
		require.Equal(t, []string{"mai@customer.example"}, o.net.Sent(box)[2].Recipients, "also to all")

		_, err = o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "Hi", To: []channel.Party{{Address: "colleague@customer.example"}}})
		require.NoError(t, err)
		m = mail("colleague@customer.example", "10")
		m.Evidence.Tokens = []string{token}
		o.deliver(box, m)
		got = o.timeline(tk.ID)
		require.False(t, got[len(got)-1].Unverified, "an agent who writes to them accepts them")
	})
}

func TestStrangersCanHaveTheirOwnConversation(t *testing.T) {
	inOffice(t, func(c *ticket.Config) { c.Strangers = ticket.OwnConversation }, func(o *office) {
		_, token := answered(o)
		m := mail("colleague@customer.example", "9")
		m.Evidence.Tokens = []string{token}
		o.deliver(box, m)
		require.Len(t, o.tickets(), 2)
	})
}

func TestOurOwnMessageComingBackIsIgnored(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk, token := answered(o)
		m := mail("list@lists.example", token)
		m.Evidence.Self = token
		o.deliver(box, m)
		require.Equal(t, 2, o.only().MessageCount)
		require.Equal(t, tk.ID, o.only().ID)
		require.Equal(t, map[channel.Cause]int64{channel.CauseOwn: 1}, o.ledger().Ignored)
	})
}

func TestMailOfAnotherPortalIsNotTouched(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		_, token := answered(o)
		cfg := o.cfg
		cfg.Store = o.back.Portal("other")
		cfg.Portal = "other"
		other, err := ticket.New(cfg)
		require.NoError(t, err)
		ch, err := other.Connect(o.ctx, mailAccount("help@other.example"), ticket.Settings{})
		require.NoError(t, err)
		m := mail("mai@customer.example", "9")
		m.Evidence.Tokens = []string{token}
		require.NoError(t, other.Accept(o.ctx, &channel.Item{Channel: ch.ID, Keys: []channel.Key{"k"}, Message: &m}))
		ts, _, err := other.Tickets(o.ctx, ticket.TicketFilter{}, ticket.Page{})
		require.NoError(t, err)
		require.Len(t, ts, 1)
		require.EqualValues(t, 1, ts[0].Number)
		require.Equal(t, 2, o.only().MessageCount)
	})
}

func TestReturnPolicy(t *testing.T) {
	day := 24 * time.Hour
	tests := []struct {
		name string
		pol  ticket.ReturnPolicy
		c    ticket.ReturnCase
		want ticket.ReturnAction
	}{
		{"open joins", ticket.ReturnPolicy{}, ticket.ReturnCase{Status: ticket.Open}, ticket.Join},
		{"pending reopens", ticket.ReturnPolicy{}, ticket.ReturnCase{Status: ticket.Pending}, ticket.Reopen},
		{"solved a day ago reopens", ticket.ReturnPolicy{ReopenWithin: 30 * day}, ticket.ReturnCase{Status: ticket.Solved, Since: day}, ticket.Reopen},
		{"solved long ago is followed up", ticket.ReturnPolicy{ReopenWithin: 30 * day}, ticket.ReturnCase{Status: ticket.Solved, Since: 31 * day}, ticket.FollowUp},
		{"solved is never reopened when so set", ticket.ReturnPolicy{ReopenWithin: -1}, ticket.ReturnCase{Status: ticket.Solved}, ticket.FollowUp},
		{"closed is followed up", ticket.ReturnPolicy{}, ticket.ReturnCase{Status: ticket.Closed}, ticket.FollowUp},
		{"automatic mail changes nothing", ticket.ReturnPolicy{}, ticket.ReturnCase{Status: ticket.Closed, Automatic: true}, ticket.Join},
		{"what we wrote elsewhere changes nothing", ticket.ReturnPolicy{}, ticket.ReturnCase{Status: ticket.Solved, Outbound: true}, ticket.Join},
		{"a new subject joins", ticket.ReturnPolicy{}, ticket.ReturnCase{Status: ticket.Open, SubjectChanged: true}, ticket.Join},
		{"a new subject is followed up when so set", ticket.ReturnPolicy{NewSubject: true}, ticket.ReturnCase{Status: ticket.Open, SubjectChanged: true}, ticket.FollowUp},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			require.Equal(t, tt.want, tt.pol.Decide(tt.c))
		})
	}
}

func TestTheCustomerWritesAgain(t *testing.T) {
	tests := []struct {
		name    string
		status  ticket.Status
		after   time.Duration
		auto    channel.Automatic
		tickets int
		first   ticket.Status // of the first ticket, then
	}{
		{"pending: reopened", ticket.Pending, time.Hour, channel.Automatic{}, 1, ticket.Open},
		{"solved: reopened", ticket.Solved, time.Hour, channel.Automatic{}, 1, ticket.Open},
		{"solved long ago: followed up", ticket.Solved, 40 * 24 * time.Hour, channel.Automatic{}, 2, ticket.Solved},
		{"closed: followed up", ticket.Closed, time.Hour, channel.Automatic{}, 2, ticket.Closed},
		{"out of office on solved: nothing changes", ticket.Solved, time.Hour, channel.Automatic{Kind: channel.AutomaticReply, Reason: "x"}, 1, ticket.Solved},
		{"out of office on closed: nothing changes", ticket.Closed, 40 * 24 * time.Hour, channel.Automatic{Kind: channel.AutomaticReply, Reason: "x"}, 1, ticket.Closed},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inOffice(t, nil, func(o *office) {
				o.mailbox(box, ticket.Settings{Queue: "support"})
				o.deliver(box, mail("a@c.example", "1"))
				tk := o.only()
				tk, err := o.desk.SetStatus(o.ctx, ticket.Agent("an"), tk.ID, tt.status)
				require.NoError(t, err)
				time.Sleep(tt.after)
				m := mail("a@c.example", "2", "1")
				m.Automatic = tt.auto
				o.deliver(box, m)
				ts := o.tickets()
				require.Len(t, ts, tt.tickets)
				first := ts[len(ts)-1]
				require.Equal(t, tt.first, first.Status)
				require.Equal(t, tk.Assignee, first.Assignee, "it stays with its owner")
				if tt.auto.Is() {
					require.Equal(t, tk.LastCustomerAt, first.LastCustomerAt, "no clock moves")
				}
				if tt.tickets == 2 {
					require.Equal(t, tk.ID, ts[0].FollowUpOf)
					require.Equal(t, first.Conversation, ts[0].Conversation)
					require.NotEmpty(t, ts[0].Assignee)
				}
			})
		})
	}
}

func TestABounceLandsOnTheMessageThatBounced(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk, token := answered(o)
		bounce := func(recipient string) channel.Item {
			return channel.Item{Message: &channel.Message{From: from("mailer-daemon@c.example"), Text: "failed", Automatic: channel.Automatic{Kind: channel.AutomaticBounce}},
				Update: &channel.Update{Kind: channel.UpdateBounce, Tokens: []string{token},
					Recipients: []channel.RecipientStatus{{Address: recipient, Status: "5.1.1", Permanent: true, Diagnostic: "no such user"}}}}
		}
		forged := bounce("mai@customer.example")
		forged.Keys, forged.Update.Tokens = []channel.Key{"b1"}, []string{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}
		require.NoError(t, o.net.Deliver(o.ctx, box, &forged))
		ms := o.timeline(tk.ID)
		require.Equal(t, ticket.StateSent, ms[1].State, "a bounce that does not know its token changes nothing")

		genuine := bounce("mai@customer.example")
		genuine.Keys = []channel.Key{"b2"}
		require.NoError(t, o.net.Deliver(o.ctx, box, &genuine))
		ms = o.timeline(tk.ID)
		require.Len(t, ms, 2, "it opens no ticket and is no message")
		require.Equal(t, ticket.StateBounced, ms[1].State)
		require.Contains(t, ms[1].StateDetail, "no such user")
		require.Equal(t, channel.DeliveryBounced, ms[1].Deliveries[0].State)
		l := o.ledger()
		require.EqualValues(t, 1, l.Applied)
		require.Equal(t, map[channel.Cause]int64{channel.CauseUnmatched: 1}, l.Quarantined)
	})
}

func TestMailWrittenOnOurSideElsewhereOpensNoTicket(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		m := channel.Message{Direction: channel.Out, From: from(box), To: []channel.Party{{Address: "a@c.example"}}, Subject: "Offer", Text: "x", ExternalID: "o1@c"}
		o.deliver(box, m)
		require.Empty(t, o.tickets())
		m.ExternalID = "o2@c"
		o.deliver(box, m) // to a contact that is known by now
		o.deliver(box, mail("a@c.example", "2", "o1"))
		tk := o.only()
		require.NotEmpty(t, tk.Assignee, "the customer's answer is work")
		cs, _, err := o.desk.Conversations(o.ctx, ticket.ConversationFilter{}, ticket.Page{})
		require.NoError(t, err)
		require.Len(t, cs, 2)
		require.Equal(t, cs[0].Contact, cs[1].Contact)
	})
}
