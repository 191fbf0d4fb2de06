package ticket_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

// onSlowPage is an office with one question, and an answer whose try takes 15 minutes.
func onSlowPage(t *testing.T, fault channeltest.Fault, f func(o *office, id ticket.MessageID)) {
	t.Helper()
	inOffice(t, nil, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{})
		o.deliver("page", channel.Message{From: from("psid1"), Text: "x"})
		o.net.Fail("page", fault)
		m := o.reply(o.only().ID, "Answer")
		time.Sleep(time.Minute)
		require.Equal(t, ticket.StateSending, o.message(m.ID).State)
		f(o, m.ID)
	})
}

// seen delivers a watermark of now.
func (o *office) seen(kind channel.UpdateKind) {
	o.t.Helper()
	list, err := o.desk.Channels(o.ctx)
	require.NoError(o.t, err)
	o.news(list[0], channel.Key(kind)+channel.Key(time.Now().String()),
		channel.Update{Kind: kind, Conversation: "psid1", Before: time.Now(), Wait: 24 * time.Hour})
}

// echo delivers what was sent as a network shows it that gives our token back
// with it, as Messenger does in its metadata.
func (o *office) echo() {
	s := o.net.Sent("page")[0]
	m := s.Echo()
	m.Evidence.Self = s.Out.Token
	o.deliver("page", m)
}

func TestNewsBeforeTheNetworksAnswerAreApplied(t *testing.T) {
	for name, tt := range map[string]struct {
		news []channel.UpdateKind
		want ticket.OutState
	}{
		"delivered":           {[]channel.UpdateKind{channel.UpdateDelivered}, ticket.StateDelivered},
		"read":                {[]channel.UpdateKind{channel.UpdateRead}, ticket.StateRead},
		"delivered, read":     {[]channel.UpdateKind{channel.UpdateDelivered, channel.UpdateRead}, ticket.StateRead},
		"read, delivered":     {[]channel.UpdateKind{channel.UpdateRead, channel.UpdateDelivered}, ticket.StateRead},
		"read twice":          {[]channel.UpdateKind{channel.UpdateRead, channel.UpdateRead}, ticket.StateRead},
		"read, echo":          {[]channel.UpdateKind{channel.UpdateRead, channel.UpdateEcho}, ticket.StateRead},
		"echo, read":          {[]channel.UpdateKind{channel.UpdateEcho, channel.UpdateRead}, ticket.StateRead},
		"echo":                {[]channel.UpdateKind{channel.UpdateEcho}, ticket.StateSent},
		"delivered, echo":     {[]channel.UpdateKind{channel.UpdateDelivered, channel.UpdateEcho}, ticket.StateDelivered},
		"echo, and then more": {[]channel.UpdateKind{channel.UpdateEcho, channel.UpdateDelivered, channel.UpdateRead}, ticket.StateRead},
	} {
		t.Run(name, func(t *testing.T) {
			for answer, found := range map[string]channel.Found{"sent": channel.FoundYes, "lost": channel.FoundUnknown} {
				t.Run(answer, func(t *testing.T) {
					onSlowPage(t, channeltest.Fault{Hang: true, Arrives: true}, func(o *office, id ticket.MessageID) {
						o.net.AnswerFind("page", found)
						echoed := false
						for _, k := range tt.news {
							if k == channel.UpdateEcho {
								o.echo()
								echoed = true
							} else {
								o.seen(k)
							}
							time.Sleep(time.Second)
						}
						time.Sleep(time.Hour)
						if found == channel.FoundUnknown && !echoed {
							require.Equal(t, ticket.StateUncertain, o.message(id).State)
							_, err := o.desk.Resolve(o.ctx, ticket.Agent("an"), id, ticket.AsSent)
							require.NoError(t, err)
							time.Sleep(time.Hour)
						}
						got := o.message(id)
						require.Equal(t, tt.want, got.State, got.StateDetail)
						require.False(t, got.SentAt.IsZero())
						require.Empty(t, got.Work)
						require.Len(t, o.net.Sent("page"), 1)
						l := o.ledger()
						require.EqualValues(t, len(tt.news), l.Applied)
					})
				})
			}
		})
	}
}

// A watermark from before the try that succeeded meant earlier messages.
func TestAWatermarkFromBeforeTheLastTryIsNotApplied(t *testing.T) {
	onSlowPage(t, channeltest.Fault{Hang: true, Early: true}, func(o *office, id ticket.MessageID) {
		o.seen(channel.UpdateRead)
		time.Sleep(time.Hour)
		got := o.message(id)
		require.Equal(t, ticket.StateSent, got.State)
		require.Equal(t, 2, got.Attempts)
		o.seen(channel.UpdateRead)
		require.Equal(t, ticket.StateRead, o.message(id).State)
	})
}

// An echo proves that it was sent: what the try says afterwards sends no copy.
func TestWhatTheNetworkHasShownIsNotSentAgain(t *testing.T) {
	onSlowPage(t, channeltest.Fault{Hang: true, Arrives: true, Err: &channel.SendError{Outcome: channel.NotSent, Reason: "503"}}, func(o *office, id ticket.MessageID) {
		o.echo()
		time.Sleep(24 * time.Hour)
		require.Equal(t, ticket.StateSent, o.message(id).State)
		require.Len(t, o.net.Sent("page"), 1)
	})
}
