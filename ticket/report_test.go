package ticket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

// written has An write to three people, and returns the message once it is sent.
func written(o *office, to ...string) *ticket.Message {
	tk := ticketIn(o)
	opened, err := o.desk.Start(o.ctx, ticket.Opening{
		By: "an", Channel: tk.Channel, To: parties(to...), Subject: "Hello", Text: "Hello", Send: true,
	})
	require.NoError(o.t, err)
	time.Sleep(time.Minute)
	m := o.message(opened.Message.ID)
	require.Equal(o.t, ticket.StateSent, m.State)
	return m
}

func TestAReportIsAppliedRecipientByRecipient(t *testing.T) {
	const a, b, c = "a@one.example", "b@two.example", "c@three.example"
	type states = map[string]channel.DeliveryState
	sent, bounced, delivered := channel.DeliverySent, channel.DeliveryBounced, channel.DeliveryDelivered
	type status = channel.RecipientStatus
	for name, test := range map[string]struct {
		to     []string
		kind   channel.UpdateKind
		says   []status
		want   states
		state  ticket.OutState
		detail string
		known  []string
	}{
		"failed, delayed and delivered at once": {
			[]string{a, b, c}, channel.UpdateBounce, []status{
				{Kind: channel.UpdateDelivered, Address: a, Status: "2.0.0"}, {Kind: channel.UpdateDelayed, Address: b, Status: "4.4.1", Diagnostic: "no answer"},
				{Address: c, Status: "5.1.1", Diagnostic: "no such user", Permanent: true, Undeliverable: true},
			}, states{a: delivered, b: sent, c: bounced}, ticket.StateBounced, c + ": 5.1.1 no such user", []string{c},
		},
		"delayed for one, delivered to the other": {
			[]string{a, b}, channel.UpdateDelayed, []status{{Address: a, Status: "4.4.1"}, {Kind: channel.UpdateDelivered, Address: b, Status: "2.0.0"}},
			states{a: sent, b: delivered}, ticket.StateSent, "", nil,
		},
		"relayed is not delivered": {
			[]string{a, b}, channel.UpdateRelayed, []status{{Address: a, Status: "2.0.0"}, {Kind: channel.UpdateDelivered, Address: b, Status: "2.0.0"}},
			states{a: sent, b: delivered}, ticket.StateSent, "", nil,
		},
		"delivered to all": {
			[]string{a, b}, channel.UpdateDelivered, []status{{Address: a}, {Address: b}}, states{a: delivered, b: delivered}, ticket.StateDelivered, "", nil,
		},
		"the original address says who is meant, and not the final one": {
			[]string{a, b}, channel.UpdateBounce, []status{
				{Address: b, Original: a, Status: "5.2.2", Permanent: true}, {Kind: channel.UpdateDelivered, Address: "x@y.example", Original: b},
			}, states{a: bounced, b: delivered}, ticket.StateBounced, a + ": 5.2.2", nil,
		},
		"the original address is none of ours, but the final one is": {
			[]string{a, b}, channel.UpdateBounce, []status{{Address: b, Original: "list@y.example", Status: "5.2.2", Permanent: true}},
			states{a: sent, b: bounced}, ticket.StateBounced, b + ": 5.2.2", nil,
		},
		"another address of the only recipient": {
			[]string{a}, channel.UpdateBounce, []status{{Address: "x@y.example", Status: "5.1.1", Diagnostic: "gone", Permanent: true, Undeliverable: true}},
			states{a: bounced}, ticket.StateBounced, a + ": 5.1.1 gone (x@y.example)", nil,
		},
		"delivered to other addresses of the only recipient, but for one": {
			[]string{a}, channel.UpdateBounce, []status{{Kind: channel.UpdateDelivered, Address: "w@y.example"}, {Address: "x@y.example", Status: "5.2.2", Permanent: true}},
			states{a: bounced}, ticket.StateBounced, a + ": 5.2.2 (x@y.example)", nil,
		},
		"delivered to one address behind a recipient's, and not to another": {
			[]string{a, b}, channel.UpdateBounce, []status{
				{Kind: channel.UpdateDelivered, Address: "w@y.example", Original: a},
				{Address: "x@y.example", Original: a, Status: "5.1.1", Diagnostic: "gone", Permanent: true, Undeliverable: true},
				{Kind: channel.UpdateDelivered, Address: "z@y.example", Original: a}, {Kind: channel.UpdateDelivered, Address: b},
			}, states{a: bounced, b: delivered}, ticket.StateBounced, a + ": 5.1.1 gone", nil,
		},
		"an address of nobody knows whom": {
			[]string{a, b}, channel.UpdateBounce, []status{{Address: "x@y.example", Status: "5.1.1", Diagnostic: "gone", Permanent: true, Undeliverable: true}},
			states{a: sent, b: sent}, ticket.StateSent, "a report of x@y.example, which is none of the recipients, says bounce: 5.1.1 gone", nil,
		},
		"an address of nobody knows whom, beside one that is known": {
			[]string{a, b}, channel.UpdateBounce, []status{{Kind: channel.UpdateDelivered, Address: a}, {Address: "x@y.example", Status: "5.1.1", Permanent: true}},
			states{a: delivered, b: sent}, ticket.StateSent, "a report of x@y.example, which is none of the recipients, says bounce: 5.1.1", nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, nil, func(o *office) {
				m := written(o, test.to...)
				all := o.net.Sent(box)
				o.report(all[len(all)-1].News(test.kind, test.says...))
				m = o.message(m.ID)
				got := states{}
				for _, d := range m.Deliveries {
					got[d.Recipient] = d.State
				}
				require.Equal(t, test.want, got)
				require.Equal(t, test.state, m.State)
				if test.detail != "" {
					require.Equal(t, test.detail, m.StateDetail[max(0, len(m.StateDetail)-len(test.detail)):])
				}
				require.ElementsMatch(t, test.known, o.known())
				require.Len(t, o.tickets(), 2, "a report is no ticket")
			})
		})
	}
}

func TestAReportOnAMessageToOneThatIsForgedChangesNothing(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		m := written(o, "a@one.example")
		all := o.net.Sent(box)
		it := all[len(all)-1].News(channel.UpdateBounce, channel.RecipientStatus{Address: "x@y.example", Status: "5.1.1", Permanent: true})
		it.Update.Tokens, it.Update.IDs = []string{"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"}, nil
		it.Keys = []channel.Key{"forged"}
		o.report(it)
		require.Equal(t, ticket.StateSent, o.message(m.ID).State)
	})
}
