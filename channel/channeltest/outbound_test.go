package channeltest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
)

func outbound() *channel.Outbound {
	return &channel.Outbound{
		ID: "o1", Channel: "c1", To: []channel.Party{ann}, Cc: []channel.Party{{Address: "bo@customer.example"}},
		Subject: "Hi", Text: "hello", Token: "t0k3n", References: []string{"r1@x", "r2@x"}, Attempt: 1,
	}
}

func TestFaultsOfASend(t *testing.T) {
	t.Parallel()
	const annAt, boAt = "ann@customer.example", "bo@customer.example"
	busy := &channel.SendError{Outcome: channel.NotSent, Code: "busy"}
	for _, c := range []struct {
		name    string
		fault   channeltest.Fault
		taken   []string
		outcome string // empty: none
		handed  bool
		arrived []string
	}{
		{"none", channeltest.Fault{}, nil, "", true, []string{annAt, boAt}},
		{"fails before it is handed", channeltest.Fault{Err: busy, Early: true}, nil, "not sent", false, nil},
		{"fails after it is handed", channeltest.Fault{Err: busy}, nil, "not sent", true, nil},
		{"arrives and the answer is lost",
			channeltest.Fault{Err: &channel.SendError{Outcome: channel.Unknown}, Arrives: true}, nil, "unknown", true, []string{annAt, boAt}},
		{"one is refused", channeltest.Fault{Refused: []string{annAt}}, nil, "", true, []string{boAt}},
		{"one is deferred", channeltest.Fault{Deferred: []string{annAt}}, nil, "not sent", true, []string{boAt}},
		{"one has it already", channeltest.Fault{}, []string{boAt}, "", true, []string{annAt}},
		{"all have it already", channeltest.Fault{}, []string{boAt, annAt}, "rejected", false, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			n := channeltest.NewNetwork()
			ch := open(t, n, "c1", channeltest.MemoryAccount{Address: box, Mail: true}).(channel.Sender)
			n.Fail(box, c.fault)
			out, handed := outbound(), false
			out.Taken = c.taken
			out.Handed = func(context.Context) error { handed = true; return nil }
			_, err := ch.Send(t.Context(), out)
			if c.outcome == "" {
				require.NoError(t, err)
			} else {
				var se *channel.SendError
				require.ErrorAs(t, err, &se)
				require.Equal(t, c.outcome, se.Outcome.String())
			}
			require.Equal(t, c.handed, handed)
			var arrived []string
			for _, s := range n.Sent(box) {
				arrived = append(arrived, s.Recipients...)
			}
			require.Equal(t, c.arrived, arrived)
		})
	}
}

func TestAHangingSendEndsWithItsContext(t *testing.T) {
	t.Parallel()
	for early, want := range map[bool]channel.Outcome{true: channel.NotSent, false: channel.Unknown} {
		n := channeltest.NewNetwork()
		ch := open(t, n, "c1", channeltest.MemoryAccount{Address: box, Mail: true}).(channel.Sender)
		n.Fail(box, channeltest.Fault{Hang: true, Early: early})
		ctx, cancel := context.WithCancel(t.Context())
		cancelled := make(chan struct{})
		out := outbound()
		if !early {
			out.Handed = func(context.Context) error { cancel(); close(cancelled); return nil }
		} else {
			go func() { cancel(); close(cancelled) }()
		}
		_, err := ch.Send(ctx, out)
		<-cancelled
		var se *channel.SendError
		require.ErrorAs(t, err, &se)
		require.Equal(t, want, se.Outcome)
		cancel()
	}
}

func TestAPanickingSendSendsNothing(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "c1", channeltest.MemoryAccount{Address: box, Mail: true}).(channel.Sender)
	n.Fail(box, channeltest.Fault{Panic: true})
	require.Panics(t, func() { _, _ = ch.Send(t.Context(), outbound()) })
	require.Empty(t, n.Sent(box))
}

func TestARetryOfAMailKeepsItsID(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "c1", channeltest.MemoryAccount{Address: box, Mail: true}).(channel.Sender)
	first, err := ch.Send(t.Context(), outbound())
	require.NoError(t, err)
	second, err := ch.Send(t.Context(), outbound())
	require.NoError(t, err)
	require.Equal(t, first.ExternalIDs, second.ExternalIDs)
	require.Len(t, n.Sent(box), 2, "the network does not hide a double send")
}

func TestFindAnswersFromWhatArrived(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "c1", channeltest.MemoryAccount{Address: box, Mail: true}).(channel.Finder)
	find := func() channel.Found {
		_, f, err := ch.Find(t.Context(), outbound())
		require.NoError(t, err)
		return f
	}
	require.Equal(t, channel.FoundNo, find())
	n.Fail(box, channeltest.Fault{Arrives: true, Err: errors.New("lost")})
	_, err := ch.Send(t.Context(), outbound())
	require.Error(t, err)
	require.Equal(t, channel.FoundYes, find())
	n.AnswerFind(box, channel.FoundUnknown)
	require.Equal(t, channel.FoundUnknown, find())
	require.Equal(t, channel.FoundYes, find())
}

func TestAReplyToAMailProvesItsThread(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "c1", channeltest.MemoryAccount{Address: box, Mail: true})
	sink := &channeltest.RecordingSink{}
	receive(t, n, ch, sink)
	_, err := ch.(channel.Sender).Send(t.Context(), outbound())
	require.NoError(t, err)
	sent, err := n.WaitSent(t.Context(), box, 1)
	require.NoError(t, err)
	_, err = n.Reply(t.Context(), sent[0], "thanks")
	require.NoError(t, err)
	m := sink.Items()[0].Message
	require.Equal(t, ann, m.From)
	require.Equal(t, "Re: Hi", m.Subject)
	require.Equal(t, channel.Evidence{Tokens: []string{"t0k3n"}, IDs: []string{"t0k3n@example.com", "r2@x", "r1@x"}}, m.Evidence)
	require.Empty(t, m.Conversation)
}

func TestAReplyToAChatStaysInItsConversation(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "c1", channeltest.MemoryAccount{Address: "page"})
	sink := &channeltest.RecordingSink{}
	receive(t, n, ch, sink)
	_, err := ch.(channel.Sender).Send(t.Context(), &channel.Outbound{ID: "o1", Conversation: "psid-7", Text: "hello"})
	require.NoError(t, err)
	_, err = n.Reply(t.Context(), n.Sent("page")[0], "thanks")
	require.NoError(t, err)
	m := sink.Items()[0].Message
	require.Equal(t, "psid-7", m.Conversation)
	require.Equal(t, "psid-7", m.From.Address)
	require.Empty(t, m.Evidence)
}

func TestLongTextsAreRejected(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "c1", channeltest.MemoryAccount{Address: "page", MaxText: 3}).(channel.Sender)
	_, err := ch.Send(t.Context(), &channel.Outbound{ID: "o1", Conversation: "p", Text: "éèê"})
	require.NoError(t, err, "the limit counts code points")
	_, err = ch.Send(t.Context(), &channel.Outbound{ID: "o2", Conversation: "p", Text: "four"})
	var se *channel.SendError
	require.ErrorAs(t, err, &se)
	require.Equal(t, channel.Rejected, se.Outcome)
}

func TestActions(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "c1", channeltest.MemoryAccount{Address: "page"}).(channel.Doer)
	like := channel.Action{Verb: channel.VerbLike, Conversation: "p", Message: "m"}
	n.FailDo("page", errors.New("down"))
	require.Error(t, ch.Do(t.Context(), like))
	require.NoError(t, ch.Do(t.Context(), like))
	require.Error(t, ch.Do(t.Context(), channel.Action{Verb: "dance"}))
	require.Equal(t, []channel.Action{like}, n.Done("page"))
}

func TestNewsOfAMessageNameIt(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "c1", channeltest.MemoryAccount{Address: box, Mail: true})
	sink := &channeltest.RecordingSink{}
	receive(t, n, ch, sink)
	_, err := ch.(channel.Sender).Send(t.Context(), outbound())
	require.NoError(t, err)
	sent := n.Sent(box)[0]

	gone := channel.RecipientStatus{Address: ann.Address, Status: "5.1.1", Permanent: true}
	bounce := sent.News(channel.UpdateBounce, gone)
	require.NoError(t, n.Deliver(t.Context(), box, bounce))
	require.NoError(t, n.Deliver(t.Context(), box, bounce), "the same news come twice")
	require.NoError(t, n.Deliver(t.Context(), box, sent.News(channel.UpdateRead)))
	require.Len(t, sink.Items(), 2)
	require.Equal(t, &channel.Update{
		Kind: channel.UpdateBounce, Tokens: []string{"t0k3n"}, IDs: []string{"t0k3n@example.com"},
		Recipients: []channel.RecipientStatus{gone},
	}, sink.Items()[0].Update)
}

func TestAnEchoIsOurOwnMessage(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "c1", channeltest.MemoryAccount{Address: box, Mail: true})
	_, err := ch.(channel.Sender).Send(t.Context(), outbound())
	require.NoError(t, err)
	echo := n.Sent(box)[0].Echo()
	require.Equal(t, channel.Out, echo.Direction)
	require.Equal(t, box, echo.From.Address)
	require.Equal(t, "t0k3n@example.com", echo.ExternalID)
	require.Equal(t, channel.Evidence{Self: "t0k3n", IDs: []string{"r2@x", "r1@x"}}, echo.Evidence)
}
