package ticket_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

// ticketIn returns a ticket that a customer opened by mail.
func ticketIn(o *office) *ticket.Ticket {
	o.t.Helper()
	o.mailbox(box, ticket.Settings{Queue: "support"})
	o.write(box, "mai@customer.example", "Question", "What is it?")
	return o.only()
}

func TestAPendingMessageCanBeCancelledAndIsNeverSent(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		m := o.reply(ticketIn(o).ID, "Wrong answer")
		time.Sleep(9 * time.Second)
		res, err := o.desk.Cancel(o.ctx, ticket.Agent("an"), m.ID)
		require.NoError(t, err)
		require.Equal(t, ticket.Cancelled{Cancelled: true, State: ticket.StateCancelled}, res)
		again, err := o.desk.Cancel(o.ctx, ticket.Agent("an"), m.ID)
		require.NoError(t, err)
		require.Equal(t, res, again, "the answer stays")
		o.restart()
		time.Sleep(time.Hour)
		require.Empty(t, o.net.Sent(box))
		_, err = o.desk.Edit(o.ctx, ticket.Agent("an"), m.ID, ticket.Edit{})
		require.ErrorIs(t, err, ticket.ErrTooLate)
	})
}

func TestCancelAfterSendingIsTooLate(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		m := o.reply(ticketIn(o).ID, "Answer")
		time.Sleep(11 * time.Second)
		res, err := o.desk.Cancel(o.ctx, ticket.Agent("an"), m.ID)
		require.NoError(t, err)
		require.Equal(t, ticket.Cancelled{State: ticket.StateSent}, res)
		require.Len(t, o.net.Sent(box), 1)
	})
}

func TestEditSendNowAndSchedule(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		m := o.reply(tk.ID, "Frist")
		text := "First"
		_, err := o.desk.Edit(o.ctx, ticket.Agent("an"), m.ID, ticket.Edit{Text: &text})
		require.NoError(t, err)
		_, err = o.desk.SendNow(o.ctx, ticket.Agent("an"), m.ID)
		require.NoError(t, err)
		o.settle()
		sent := o.net.Sent(box)
		require.Len(t, sent, 1)
		require.Equal(t, "First", sent[0].Out.Text)

		at := time.Now().Add(48 * time.Hour)
		_, err = o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "Later", SendAt: at})
		require.NoError(t, err)
		o.restart()
		time.Sleep(48*time.Hour - 2*time.Second)
		require.Len(t, o.net.Sent(box), 1, "not before its time")
		time.Sleep(4 * time.Second)
		require.Len(t, o.net.Sent(box), 2)
	})
}

func TestTheSameKeyGivesTheSameMessage(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		ids := make(chan ticket.MessageID, 8)
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				m, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "Once", Key: "k1"})
				if err == nil {
					ids <- m.ID
				}
			})
		}
		wg.Wait()
		first := <-ids
		for range 7 {
			require.Equal(t, first, <-ids)
		}
		time.Sleep(time.Minute)
		require.Len(t, o.net.Sent(box), 1)
	})
}

func TestFailuresOfASend(t *testing.T) {
	refused := &channel.SendError{Outcome: channel.Rejected, Code: "smtp_550", Reason: "550 no such user"}
	later := &channel.SendError{Outcome: channel.NotSent, Code: "smtp_451", Reason: "451 later"}
	lost := &channel.SendError{Outcome: channel.Unknown, Code: "connection_lost", Reason: "lost"}
	tests := []struct {
		name   string
		faults []channeltest.Fault
		find   []channel.Found
		state  ticket.OutState
		sent   int
	}{
		{"a refusal is final", []channeltest.Fault{{Err: refused}}, nil, ticket.StateFailed, 0},
		{"a temporary failure is tried again", []channeltest.Fault{{Err: later}, {Err: later}}, nil, ticket.StateSent, 1},
		{"a lost answer that is found is sent", []channeltest.Fault{{Err: lost, Arrives: true}}, []channel.Found{channel.FoundYes}, ticket.StateSent, 1},
		{"a lost answer of what surely did not arrive is sent again", []channeltest.Fault{{Err: lost}}, []channel.Found{channel.FoundNo}, ticket.StateSent, 1},
		{"a lost answer that nobody can tell is uncertain", []channeltest.Fault{{Err: lost, Arrives: true}}, []channel.Found{channel.FoundUnknown}, ticket.StateUncertain, 1},
		{"a panic after handing over is uncertain", []channeltest.Fault{{Panic: true}}, []channel.Found{channel.FoundUnknown}, ticket.StateUncertain, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inOffice(t, nil, func(o *office) {
				tk := ticketIn(o)
				o.net.Fail(box, tt.faults...)
				o.net.AnswerFind(box, tt.find...)
				m := o.reply(tk.ID, "Answer")
				time.Sleep(10 * time.Minute)
				got := o.message(m.ID)
				require.Equal(t, tt.state, got.State, got.StateDetail)
				require.Len(t, o.net.Sent(box), tt.sent)
				time.Sleep(24 * time.Hour)
				require.Len(t, o.net.Sent(box), tt.sent, "and it stays so")
			})
		})
	}
}

func TestRecipientsAlreadyTakenAreNotSentToAgain(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		o.net.Fail(box, channeltest.Fault{Deferred: []string{"b@c.example"}})
		m, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "x",
			To: []channel.Party{{Address: "a@c.example"}, {Address: "b@c.example"}}})
		require.NoError(t, err)
		time.Sleep(10 * time.Minute)
		require.Equal(t, ticket.StateSent, o.message(m.ID).State)
		sent := o.net.Sent(box)
		require.Len(t, sent, 2)
		require.Equal(t, []string{"a@c.example"}, sent[0].Recipients)
		require.Equal(t, []string{"b@c.example"}, sent[1].Recipients)
		require.Equal(t, sent[0].Out.Token, sent[1].Out.Token, "the Message-ID stays")
	})
}

func TestAMessageThatCannotBeSentForDaysFails(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		for range 2000 {
			o.net.Fail(box, channeltest.Fault{Early: true, Err: &channel.SendError{Outcome: channel.NotSent, Reason: "no route"}})
		}
		m := o.reply(tk.ID, "Answer")
		time.Sleep(3 * 24 * time.Hour)
		require.Equal(t, ticket.StatePending, o.message(m.ID).State, "it can still be cancelled")
		time.Sleep(2 * 24 * time.Hour)
		got := o.message(m.ID)
		require.Equal(t, ticket.StateFailed, got.State)
		require.Contains(t, got.StateDetail, "no route")
	})
}

// A node that dies is played by a desk whose store stops answering it.
func TestANodeThatDiesWhileSending(t *testing.T) {
	tests := []struct {
		name  string
		early bool // dies before it handed the message over
		found channel.Found
		state ticket.OutState
		sent  int
	}{
		{"before handing over: another node sends it", true, channel.FoundUnknown, ticket.StateSent, 1},
		{"after handing over, and nobody can tell: uncertain", false, channel.FoundUnknown, ticket.StateUncertain, 0},
		{"after handing over, and it was found: sent", false, channel.FoundYes, ticket.StateSent, 0},
		{"after handing over, and surely not sent: sent again", false, channel.FoundNo, ticket.StateSent, 1},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			inOffice(t, nil, func(o *office) {
				tk := ticketIn(o)
				o.net.Fail(box, channeltest.Fault{Hang: true, Early: tt.early})
				o.net.AnswerFind(box, tt.found, tt.found) // asked before it dies, and by the other
				m := o.reply(tk.ID, "Answer")
				time.Sleep(12 * time.Second)
				require.Equal(t, ticket.StateSending, o.message(m.ID).State)
				o.back.Fail(func(string) error { return context.DeadlineExceeded }) // the node is cut off
				o.stop()
				o.back.Fail(nil)
				require.Equal(t, ticket.StateSending, o.message(m.ID).State)
				o.open()
				time.Sleep(3 * time.Minute)
				got := o.message(m.ID)
				require.Equal(t, tt.state, got.State, got.StateDetail)
				require.Len(t, o.net.Sent(box), tt.sent)
			})
		})
	}
}

func TestAPersonSettlesWhatIsUncertain(t *testing.T) {
	for as, want := range map[ticket.Resolution]ticket.OutState{
		ticket.AsSent: ticket.StateSent, ticket.AsFailed: ticket.StateFailed, ticket.AsResend: ticket.StateSent,
	} {
		t.Run(string(as), func(t *testing.T) {
			inOffice(t, nil, func(o *office) {
				tk := ticketIn(o)
				o.net.Fail(box, channeltest.Fault{Err: &channel.SendError{Outcome: channel.Unknown}})
				o.net.AnswerFind(box, channel.FoundUnknown)
				m := o.reply(tk.ID, "Answer")
				_, err := o.desk.Resolve(o.ctx, ticket.Agent("an"), m.ID, as)
				require.ErrorIs(t, err, ticket.ErrState, "it is only pending")
				time.Sleep(time.Minute)
				require.Equal(t, ticket.StateUncertain, o.message(m.ID).State)
				_, err = o.desk.Resolve(o.ctx, ticket.Agent("an"), m.ID, as)
				require.NoError(t, err)
				o.settle()
				require.Equal(t, want, o.message(m.ID).State)
				n := 0
				if as == ticket.AsResend {
					n = 1
				}
				require.Len(t, o.net.Sent(box), n)
			})
		})
	}
}

func TestCancelAgainstTheSenderHasExactlyOneAnswer(t *testing.T) {
	inOffice(t, func(c *ticket.Config) { c.Undo = time.Second }, func(o *office) {
		tk := ticketIn(o)
		for range 200 {
			before := len(o.net.Sent(box))
			m := o.reply(tk.ID, "Answer")
			time.Sleep(time.Second) // the sender and we wake at the same moment
			res, err := o.desk.Cancel(o.ctx, ticket.Agent("an"), m.ID)
			require.NoError(t, err)
			o.settle()
			sent := len(o.net.Sent(box)) - before
			if res.Cancelled {
				require.Zero(t, sent, "cancelled, and never sent")
			} else {
				require.Equal(t, 1, sent, "too late, and sent once")
			}
		}
	})
}

func TestTwoNodesSendOnce(t *testing.T) {
	inOffice(t, func(c *ticket.Config) { c.Timing.Poll = time.Second }, func(o *office) {
		tk := ticketIn(o)
		other, err := ticket.New(o.cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(o.ctx)
		done := make(chan error, 1)
		go func() { done <- other.Run(ctx) }()
		for range 50 {
			o.reply(tk.ID, "Answer")
		}
		time.Sleep(time.Minute)
		require.Len(t, o.net.Sent(box), 50)
		cancel()
		require.NoError(t, <-done)
	})
}

func TestWriteFirst(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{Queue: "support"})
		to := []channel.Party{{Name: "Ân", Address: "an@customer.example"}, {Address: "b@customer.example"}}
		made, err := o.desk.Start(o.ctx, ticket.Opening{Channel: ch.ID, By: "an", To: to})
		require.NoError(t, err)
		require.Nil(t, made.Message, "created only")
		require.EqualValues(t, "an", made.Ticket.Assignee)

		_, err = o.desk.Start(o.ctx, ticket.Opening{Channel: ch.ID, By: "an", To: to, Text: "Hi", Send: true})
		var bad *channel.FieldError
		require.ErrorAs(t, err, &bad)
		require.Equal(t, "subject", bad.Field)

		made, err = o.desk.Start(o.ctx, ticket.Opening{Channel: ch.ID, By: "an", To: to, Subject: "Chào", Text: "Hi", Send: true})
		require.NoError(t, err)
		time.Sleep(15 * time.Second)
		sent := o.net.Sent(box)
		require.Len(t, sent, 1)
		require.Equal(t, []string{"an@customer.example", "b@customer.example"}, sent[0].Recipients)
		_, err = o.net.Reply(o.ctx, sent[0], "Hello back")
		require.NoError(t, err)
		o.settle()
		got, err := o.desk.Ticket(o.ctx, made.Ticket.ID)
		require.NoError(t, err)
		require.Equal(t, 2, got.MessageCount)
		require.Equal(t, ticket.Open, got.Status)
	})
}

func TestWriteFirstCanBeForbidden(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{NoWriteFirst: true})
		_, err := o.desk.Start(o.ctx, ticket.Opening{Channel: ch.ID, By: "an", To: []channel.Party{{Address: "a@b.example"}}, Subject: "x", Text: "y", Send: true})
		require.ErrorIs(t, err, ticket.ErrNotAble)
	})
}

func TestTwoSwitchesSayWhoseSignatureIsPut(t *testing.T) {
	own, common := channel.Signature{Text: "An, support"}, channel.Signature{Text: "The team", HTML: "<b>The team</b>"}
	type put = map[string]channel.Signature
	for name, test := range map[string]struct {
		agents, common bool
		want           put
	}{
		"both off":         {false, false, put{"by An": {}, "by Bo": {}, "Got it": {}}},
		"the agents' own":  {true, false, put{"by An": own, "by Bo": {}, "Got it": {}}},
		"the common one":   {false, true, put{"by An": common, "by Bo": common, "Got it": {}}},
		"one or the other": {true, true, put{"by An": own, "by Bo": common, "Got it": {}}},
	} {
		t.Run(name, func(t *testing.T) {
			sig := ticket.Signatures{AgentsOn: test.agents, CommonOn: test.common, Common: common, Agents: map[ticketAgent]channel.Signature{"an": own, "bo": {}}}
			inOffice(t, nil, func(o *office) {
				o.mailbox(box, ticket.Settings{Queue: "support", Signatures: sig, AutoReply: ticket.AutoReply{On: true, Body: "Got it"}})
				o.write(box, "mai@customer.example", "Question", "What is it?")
				tk := o.only()
				for by, text := range map[ticketAgent]string{"an": "by An", "bo": "by Bo"} {
					_, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: by, Text: text})
					require.NoError(t, err)
				}
				time.Sleep(10 * time.Minute)
				got := put{}
				for _, s := range o.net.Sent(box) {
					got[s.Out.Text] = s.Out.Signature
				}
				require.Equal(t, test.want, got)
			})
		})
	}
}

func TestSignaturesAreAddedOnce(t *testing.T) {
	sig := ticket.Signatures{AgentsOn: true, CommonOn: true, Common: channel.Signature{Text: "The team"},
		Agents: map[ticketAgent]channel.Signature{"an": {Text: "An, support"}}}
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support", Signatures: sig, AutoReply: ticket.AutoReply{On: true, Body: "Got it"}})
		o.write(box, "mai@customer.example", "Question", "What is it?")
		tk := o.only()
		o.net.Fail(box, channeltest.Fault{Err: &channel.SendError{Outcome: channel.NotSent}})
		o.reply(tk.ID, "Answer")
		_, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "bo", Text: "Answer of Bo"})
		require.NoError(t, err)
		time.Sleep(10 * time.Minute)
		byText := map[string]channel.Signature{}
		for _, s := range o.net.Sent(box) {
			byText[s.Out.Text] = s.Out.Signature
		}
		require.Equal(t, map[string]channel.Signature{
			"Got it": {}, "Answer": {Text: "An, support"}, "Answer of Bo": {Text: "The team"},
		}, byText)
	})
}
