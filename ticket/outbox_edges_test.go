package ticket_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

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

func TestAnOwnReplyToAddressIsNotAnswered(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, answering())
		o.mailbox("sales@portal.example", ticket.Settings{})
		o.deliver(box, channel.Message{From: from("a@c.example"), ReplyTo: []channel.Party{{Address: "sales@portal.example"}}, Subject: "Hi", Text: "x"})
		require.Empty(t, o.net.Sent(box))
	})
}

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

func TestAnAnswerToAMailFromOurselvesDoesNotGoToOurselves(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		o.deliver(box, channel.Message{From: from("mai@c.example"), ReplyTo: []channel.Party{{Address: box}}, Subject: "Hi", Text: "x"})
		m := o.reply(o.only().ID, "Answer")
		require.Equal(t, "mai@c.example", m.To[0].Address)
	})
}

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

// an answer that is refused leaves its files.
func TestARefusedAnswerLeavesNoBlobs(t *testing.T) {
	blobs := &countingBlobs{data: map[ticket.BodyID][]byte{}}
	inOffice(t, func(c *ticket.Config) { c.Blobs, c.Limits.InlineBody = blobs, 10 }, func(o *office) {
		file := []channel.Attachment{{Name: "a.bin", Body: channel.Bytes(strings.Repeat("x", 100))}}
		tk := ticketIn(o)
		clear(blobs.data)
		_, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "x", To: []channel.Party{{Address: "nobody"}}, Attachments: file})
		require.Error(t, err)
		require.Empty(t, blobs.data)
		for range 3 {
			_, err = o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "x", Key: "k", Attachments: file})
			require.NoError(t, err)
		}
		require.Len(t, blobs.data, 1)
	})
}

// an edit of what a dead node was sending makes it pending, and the feed
// does not tell.
func TestTheFeedTellsOfEveryState(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		o.net.Fail(box, channeltest.Fault{Hang: true, Early: true})
		m := o.reply(tk.ID, "Answer")
		time.Sleep(12 * time.Second)
		o.back.Fail(func(string) error { return context.DeadlineExceeded })
		o.stop()
		o.back.Fail(nil)
		time.Sleep(2 * time.Minute)
		at := time.Now().Add(time.Hour)
		_, err := o.desk.Edit(o.ctx, ticket.Agent("an"), m.ID, ticket.Edit{SendAt: &at})
		require.NoError(t, err)
		require.Equal(t, ticket.StatePending, o.message(m.ID).State)
		last := ""
		for _, e := range o.events() {
			if e.Type == ticket.EventMessageState && e.Message == m.ID {
				last = e.Data["state"]
			}
		}
		require.Equal(t, "pending", last)
		o.open()
	})
}

// some have it, and it says that it was cancelled.
func TestAPartlySentMessageThatWasDeletedIsNotCancelled(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		o.net.Fail(box, channeltest.Fault{Deferred: []string{"b@c.example"}})
		m, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "x", To: []channel.Party{{Address: "a@c.example"}, {Address: "b@c.example"}}})
		require.NoError(t, err)
		time.Sleep(12 * time.Second)
		_, err = o.desk.DeleteMessage(o.ctx, ticket.Agent("an"), m.ID)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.NotEqual(t, ticket.StateCancelled, o.message(m.ID).State)
	})
}
