package ticket_test

import (
	"context"
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

// the first try was before the channel was switched off.
func TestWhatWasHeldAfterAFirstTryIsNotGivenUpAtOnce(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		list, err := o.desk.Channels(o.ctx)
		require.NoError(t, err)
		later := channeltest.Fault{Early: true, Err: &channel.SendError{Outcome: channel.NotSent, Reason: "451 greylisted"}}
		o.net.Fail(box, later)
		m := o.reply(tk.ID, "Answer")
		time.Sleep(11 * time.Second)
		s := list[0].Settings
		off := s
		off.Inactive = true
		_, err = o.desk.Update(o.ctx, list[0].ID, ticket.ChannelPatch{Settings: &off})
		require.NoError(t, err)
		time.Sleep(5 * 24 * time.Hour)
		o.net.Fail(box, later)
		_, err = o.desk.Update(o.ctx, list[0].ID, ticket.ChannelPatch{Settings: &s})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.Equal(t, ticket.StateSent, o.message(m.ID).State)
	})
}

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

func TestAHandedMessageWhoseFileIsGoneBecomesUncertain(t *testing.T) {
	blobs := &countingBlobs{data: map[ticket.BodyID][]byte{}}
	inOffice(t, func(c *ticket.Config) { c.Blobs, c.Limits.InlineBody = blobs, 10 }, func(o *office) {
		tk := ticketIn(o)
		o.net.Fail(box, channeltest.Fault{Hang: true})
		m, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "x", Attachments: []channel.Attachment{
			{Name: "a.bin", Body: channel.Bytes(strings.Repeat("x", 100))}}})
		require.NoError(t, err)
		time.Sleep(12 * time.Second)
		o.back.Fail(func(string) error { return context.DeadlineExceeded })
		o.stop()
		o.back.Fail(nil)
		o.cfg.Blobs = nil
		o.open()
		time.Sleep(10 * 24 * time.Hour)
		require.Equal(t, ticket.StateUncertain, o.message(m.ID).State, "after %d attempts", o.message(m.ID).Attempts)
	})
}
