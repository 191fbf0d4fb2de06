package ticket_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

// B7.
func TestARedactedMessageIsNotSentAgainEmpty(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		o.net.Fail(box, channeltest.Fault{Hang: true, Early: true})
		m := o.reply(tk.ID, "Answer")
		time.Sleep(12 * time.Second)
		require.Equal(t, ticket.StateSending, o.message(m.ID).State)
		_, err := o.desk.DeleteMessage(o.ctx, ticket.Agent("an"), m.ID)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		for _, s := range o.net.Sent(box) {
			require.NotEmpty(t, s.Out.Text)
		}
	})
}

// B8.
func TestATimeoutAfterHandingOverIsLookedFor(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		o.net.Fail(box, channeltest.Fault{Hang: true, Arrives: true})
		m := o.reply(tk.ID, "Answer")
		time.Sleep(time.Hour)
		got := o.message(m.ID)
		require.Equal(t, ticket.StateSent, got.State, got.StateDetail)
	})
}

// B9.
func TestAPlainShutdownDoesNotMakeUncertainWhatCanBeLookedFor(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		o.net.Fail(box, channeltest.Fault{Hang: true, Arrives: true})
		m := o.reply(tk.ID, "Answer")
		time.Sleep(12 * time.Second)
		o.restart()
		time.Sleep(10 * time.Minute)
		got := o.message(m.ID)
		require.Equal(t, ticket.StateSent, got.State, got.StateDetail)
	})
}

// B10.
func TestALongOutageAndOneStoreHiccupDoNotParkASend(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		for range 24 {
			o.net.Fail(box, channeltest.Fault{Early: true, Err: &channel.SendError{Outcome: channel.NotSent, Reason: "down"}})
		}
		m := o.reply(tk.ID, "Answer")
		for o.message(m.ID).Attempts < 22 {
			time.Sleep(time.Minute)
		}
		var claimed, failed atomic.Bool
		o.back.Fail(func(op string) error {
			if op == "claimed" {
				claimed.Store(true)
			}
			if op == "snapshot" && claimed.Load() && !failed.Swap(true) {
				return errors.New("hiccup")
			}
			return nil
		})
		time.Sleep(3 * time.Hour)
		require.True(t, failed.Load())
		o.back.Fail(nil)
		time.Sleep(20 * time.Hour)
		require.Equal(t, ticket.StateSent, o.message(m.ID).State)
	})
}

// B11.
func TestAMessageWhoseFileIsGoneDoesNotStaySendingForEver(t *testing.T) {
	blobs := &countingBlobs{data: map[ticket.BodyID][]byte{}}
	inOffice(t, func(c *ticket.Config) { c.Blobs, c.Limits.InlineBody = blobs, 10 }, func(o *office) {
		tk := ticketIn(o)
		m, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "x", Attachments: []channel.Attachment{
			{Name: "a.bin", Body: channel.Bytes(strings.Repeat("x", 100))}}})
		require.NoError(t, err)
		o.stop()
		o.cfg.Blobs = nil
		o.open()
		time.Sleep(10 * 24 * time.Hour)
		got := o.message(m.ID)
		require.Equal(t, ticket.StateFailed, got.State, "after %d attempts in ten days", got.Attempts)
	})
}

// B12.
func TestAPartlySentMessageIsNotCancelledAsIfNeverSent(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		o.net.Fail(box, channeltest.Fault{Deferred: []string{"b@c.example"}})
		m, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "x", To: []channel.Party{{Address: "a@c.example"}, {Address: "b@c.example"}}})
		require.NoError(t, err)
		time.Sleep(12 * time.Second)
		require.Equal(t, ticket.StatePending, o.message(m.ID).State)
		require.Len(t, o.net.Sent(box), 1)
		text := "y"
		_, err = o.desk.Edit(o.ctx, ticket.Agent("an"), m.ID, ticket.Edit{Text: &text})
		require.ErrorIs(t, err, ticket.ErrTooLate, "one Message-ID with two texts")
		res, err := o.desk.Cancel(o.ctx, ticket.Agent("an"), m.ID)
		require.NoError(t, err)
		require.False(t, res.Cancelled, "somebody has it")
	})
}

// B13.
func TestFindingAnEarlierPartialTryDoesNotMarkOthersAsSent(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		o.net.Fail(box, channeltest.Fault{Deferred: []string{"b@c.example"}}, channeltest.Fault{Err: &channel.SendError{Outcome: channel.Unknown}})
		m, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "x", To: []channel.Party{{Address: "a@c.example"}, {Address: "b@c.example"}}})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.NotEqual(t, ticket.StateSent, o.message(m.ID).State, "b has not got it")
	})
}

// B15.
func TestAnAnswerHasABoundedNumberOfRecipients(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		m := channel.Message{From: from("a@c.example"), Subject: "Hi", Text: "x"}
		for i := range 2000 {
			m.ReplyTo = append(m.ReplyTo, channel.Party{Address: fmt.Sprintf("victim%d@c.example", i)})
		}
		o.deliver(box, m)
		_, err := o.desk.Reply(o.ctx, o.only().ID, ticket.Draft{By: "an", Text: "x"})
		if err == nil {
			time.Sleep(time.Minute)
			require.LessOrEqual(t, len(o.net.Sent(box)[0].Recipients), 100)
		}
	})
}

// B16.
func TestAnOwnReplyToAddressIsNotAnswered(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, answering())
		o.mailbox("sales@portal.example", ticket.Settings{})
		o.deliver(box, channel.Message{From: from("a@c.example"), ReplyTo: []channel.Party{{Address: "sales@portal.example"}}, Subject: "Hi", Text: "x"})
		require.Empty(t, o.net.Sent(box))
	})
}

// B28.
func TestWhatWasNeverSentIsNotWithdrawn(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{})
		o.deliver("page", channel.Message{From: from("psid1"), Text: "x"})
		m := o.reply(o.only().ID, "Answer")
		withdrawn, err := o.desk.DeleteMessage(o.ctx, ticket.Agent("an"), m.ID)
		require.NoError(t, err)
		require.False(t, withdrawn)
		require.Empty(t, o.net.Done("page"))
	})
}

// B29.
func TestNotesDoNotChangeWhomAnAnswerGoesTo(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		o.deliver(box, channel.Message{From: from("form@website.example"), ReplyTo: []channel.Party{{Address: "mai@c.example"}}, Subject: "Hi", Text: "x"})
		tk := o.only()
		for range 20 {
			_, err := o.desk.Note(o.ctx, "an", tk.ID, "note")
			require.NoError(t, err)
		}
		require.Equal(t, "mai@c.example", o.reply(tk.ID, "Answer").To[0].Address)
	})
}

// B30.
func TestWhatWasHeldIsTriedForAsLongAsTheRest(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		list, err := o.desk.Channels(o.ctx)
		require.NoError(t, err)
		m := o.reply(tk.ID, "Answer")
		s := list[0].Settings
		off := s
		off.Inactive = true
		_, err = o.desk.Update(o.ctx, list[0].ID, ticket.ChannelPatch{Settings: &off})
		require.NoError(t, err)
		time.Sleep(5 * 24 * time.Hour)
		o.net.Fail(box, channeltest.Fault{Early: true, Err: &channel.SendError{Outcome: channel.NotSent, Reason: "451 greylisted"}})
		_, err = o.desk.Update(o.ctx, list[0].ID, ticket.ChannelPatch{Settings: &s})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.Equal(t, ticket.StateSent, o.message(m.ID).State)
	})
}

// the node that handed a message over is cut off from the store, and goes
// on sending when its lease has lapsed.
func TestANodeThatIsCutOffStopsSendingBeforeItsLeaseLapses(t *testing.T) {
	var mu sync.Mutex
	arrived := 0
	var gate chan struct{} // of the bubble
	open := func(slow bool) *scripted {
		return &scripted{open: func(acct channel.Account, _ channel.Env) (channel.Channel, error) {
			return &scriptedChannel{
				info: scriptedInfo(acct),
				send: func(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
					if err := out.Handed(ctx); err != nil {
						return channel.Receipt{}, &channel.SendError{Outcome: channel.NotSent, Err: err}
					}
					if slow {
						select {
						case <-gate:
						case <-ctx.Done():
							return channel.Receipt{}, &channel.SendError{Outcome: channel.Unknown, Err: ctx.Err()}
						}
					}
					mu.Lock()
					defer mu.Unlock()
					arrived++
					return channel.Receipt{}, nil
				},
				find: func(context.Context, *channel.Outbound) (channel.Receipt, channel.Found, error) {
					mu.Lock()
					defer mu.Unlock()
					if arrived > 0 {
						return channel.Receipt{}, channel.FoundYes, nil
					}
					return channel.Receipt{}, channel.FoundNo, nil
				},
			}, nil
		}}
	}
	var cut atomic.Bool
	inOffice(t, func(c *ticket.Config) {
		c.Connectors, c.Timing.Poll = []channel.Connector{open(true)}, time.Second
		c.Store = &cuttable{Store: c.Store, cut: &cut}
	}, func(o *office) {
		gate = make(chan struct{})
		ch, err := o.desk.Connect(o.ctx, scriptedConfig{"a@portal.example"}, ticket.Settings{})
		require.NoError(t, err)
		synctest.Wait()
		_, err = o.desk.Start(o.ctx, ticket.Opening{Channel: ch.ID, By: "an", To: []channel.Party{{Address: "a@c.example"}}, Subject: "Hi", Text: "x", Send: true})
		require.NoError(t, err)
		time.Sleep(12 * time.Second) // it is handed over, and slow
		cut.Store(true)
		cfg := o.cfg
		cfg.Store, cfg.Connectors = o.back.Portal("main"), []channel.Connector{open(false)}
		other, err := ticket.New(cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(o.ctx)
		done := make(chan error, 1)
		go func() { done <- other.Run(ctx) }()
		time.Sleep(5 * time.Minute)
		close(gate)
		time.Sleep(time.Minute)
		cut.Store(false)
		cancel()
		require.NoError(t, <-done)
		require.Equal(t, 1, arrived, "copies")
	})
}

// B43.
func TestAnAnswerToAMailFromOurselvesDoesNotGoToOurselves(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		o.deliver(box, channel.Message{From: from("mai@c.example"), ReplyTo: []channel.Party{{Address: box}}, Subject: "Hi", Text: "x"})
		m := o.reply(o.only().ID, "Answer")
		require.Equal(t, "mai@c.example", m.To[0].Address)
	})
}

// B44.
func TestAMessageIsCreatedOnceInTheFeed(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		o.net.Fail(box, channeltest.Fault{Err: &channel.SendError{Outcome: channel.Unknown}})
		o.net.AnswerFind(box, channel.FoundUnknown)
		m := o.reply(tk.ID, "Answer")
		time.Sleep(time.Minute)
		_, err := o.desk.Resolve(o.ctx, ticket.Agent("an"), m.ID, ticket.AsResend)
		require.NoError(t, err)
		n := 0
		for _, e := range o.events() {
			if e.Type == ticket.EventMessageCreated && e.Message == m.ID {
				n++
			}
		}
		require.Equal(t, 1, n)
	})
}

// cuttable is a store that one node can be cut off from.
type cuttable struct {
	ticket.Store
	cut *atomic.Bool
}

func (s *cuttable) Snapshot(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error) {
	if s.cut.Load() {
		return nil, errors.New("cut off")
	}
	return s.Store.Snapshot(ctx, w)
}

func (s *cuttable) Commit(ctx context.Context, c *ticket.Changes) error {
	if s.cut.Load() {
		return errors.New("cut off")
	}
	return s.Store.Commit(ctx, c)
}

func (s *cuttable) Claim(ctx context.Context, c ticket.Claim) ([]*ticket.Work, time.Time, error) {
	if s.cut.Load() {
		return nil, time.Time{}, errors.New("cut off")
	}
	return s.Store.Claim(ctx, c)
}

// Time in which its channel was off is no time of trying, however often it had
// been tried before.
func TestWhatWasTriedOftenBeforeItWasHeldIsNotGivenUpAtOnce(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		list, err := o.desk.Channels(o.ctx)
		require.NoError(t, err)
		refuse := func(n int) {
			for range n {
				o.net.Fail(box, channeltest.Fault{Early: true, Err: &channel.SendError{Outcome: channel.NotSent, Reason: "451 greylisted"}})
			}
		}
		refuse(10)
		m := o.reply(tk.ID, "Answer")
		for o.message(m.ID).Attempts < 10 {
			time.Sleep(time.Minute)
		}
		s := list[0].Settings
		off := s
		off.Inactive = true
		_, err = o.desk.Update(o.ctx, list[0].ID, ticket.ChannelPatch{Settings: &off})
		require.NoError(t, err)
		time.Sleep(5 * 24 * time.Hour)
		refuse(10)
		_, err = o.desk.Update(o.ctx, list[0].ID, ticket.ChannelPatch{Settings: &s})
		require.NoError(t, err)
		time.Sleep(12 * time.Hour)
		require.Equal(t, ticket.StateSent, o.message(m.ID).State)
	})
}

func TestAMessageIsGivenUpAfterItsTime(t *testing.T) {
	inOffice(t, func(c *ticket.Config) { c.Timing.GiveUp = 24 * time.Hour }, func(o *office) {
		tk := ticketIn(o)
		for range 200 {
			o.net.Fail(box, channeltest.Fault{Early: true, Err: &channel.SendError{Outcome: channel.NotSent, Reason: "451 full"}})
		}
		m := o.reply(tk.ID, "Answer")
		time.Sleep(23 * time.Hour)
		require.Equal(t, ticket.StatePending, o.message(m.ID).State)
		time.Sleep(2 * time.Hour)
		got := o.message(m.ID)
		require.Equal(t, ticket.StateFailed, got.State)
		require.Contains(t, got.StateDetail, "given up")
	})
}
