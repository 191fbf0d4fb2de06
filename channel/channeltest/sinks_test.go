package channeltest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
)

func item(keys ...channel.Key) *channel.Item { return &channel.Item{Channel: "c1", Keys: keys} }

func TestARecordingSinkKnowsDuplicatesByAnyKey(t *testing.T) {
	t.Parallel()
	var s channeltest.RecordingSink
	require.NoError(t, s.Accept(t.Context(), item("a", "b"), item("c")))
	require.NoError(t, s.Accept(t.Context(), item("x", "b")))
	require.NoError(t, s.Accept(t.Context(), item("x")), "a duplicate's keys are seen too")
	require.NoError(t, s.Accept(t.Context(), &channel.Item{Channel: "c2", Keys: []channel.Key{"a"}}))
	require.Len(t, s.Items(), 3, "keys are those of one channel")
	require.Equal(t, 2, s.Duplicates())
	require.Len(t, s.Deliveries(), 5)
}

func TestARecordingSinkWaits(t *testing.T) {
	t.Parallel()
	var s channeltest.RecordingSink
	done := make(chan []*channel.Item)
	go func() {
		items, err := s.Wait(t.Context(), 2)
		if err != nil {
			t.Error(err)
		}
		done <- items
	}()
	require.NoError(t, s.Accept(t.Context(), item("a")))
	require.NoError(t, s.Accept(t.Context(), item("b")))
	require.Len(t, <-done, 2)

	ended, cancel := context.WithCancel(t.Context())
	cancel()
	items, err := s.Wait(ended, 3)
	require.ErrorIs(t, err, context.Canceled)
	require.Len(t, items, 2)
}

func TestAFailingSinkFailsFirst(t *testing.T) {
	t.Parallel()
	var next channeltest.RecordingSink
	down := errors.New("down")
	s := channeltest.FailingSink(2, down, &next)
	require.ErrorIs(t, s.Accept(t.Context(), item("a")), down)
	require.ErrorIs(t, s.Accept(t.Context(), item("a")), down)
	require.Empty(t, next.Items())
	require.NoError(t, s.Accept(t.Context(), item("a")))
	require.Len(t, next.Items(), 1)
}

func TestAPanickingSinkPanicsFirst(t *testing.T) {
	t.Parallel()
	var next channeltest.RecordingSink
	s := channeltest.PanickingSink(1, &next)
	require.Panics(t, func() { _ = s.Accept(t.Context(), item("a")) })
	require.NoError(t, s.Accept(t.Context(), item("a")))
	require.Len(t, next.Items(), 1)
}

func TestABlockingSinkWaitsForItsRelease(t *testing.T) {
	t.Parallel()
	var next channeltest.RecordingSink
	s := channeltest.NewBlockingSink(&next)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() { done <- s.Accept(ctx, item("a")) }()
	<-s.Entered()
	cancel()
	require.Empty(t, next.Items(), "the end of its context does not release it")
	s.Release()
	s.Release()
	require.NoError(t, <-done)
	require.Len(t, next.Items(), 1)
	require.NoError(t, s.Accept(t.Context(), item("b")), "later calls pass")
}

func TestAMemoryChannelSurvivesAPanickingSink(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "c1", channeltest.MemoryAccount{Address: box})
	var next channeltest.RecordingSink
	receive(t, n, ch, channeltest.PanickingSink(2, &next))
	_, err := n.Write(t.Context(), box, channel.Message{From: ann, Text: "hello"})
	require.NoError(t, err)
	require.Len(t, next.Items(), 1)
}

func TestEndingReceiveWaitsForTheCommit(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "c1", channeltest.MemoryAccount{Address: box})
	var next channeltest.RecordingSink
	s := channeltest.NewBlockingSink(&next)
	stop := receive(t, n, ch, s)
	told := make(chan error, 1)
	go func() { told <- n.Deliver(t.Context(), box, n.Item(box, channel.Message{From: ann})) }()
	<-s.Entered()
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	require.NoError(t, n.WaitReceiving(t.Context(), box, 0))
	s.Release()
	require.NoError(t, <-told)
	require.NoError(t, <-stopped)
	require.Len(t, next.Items(), 1)
}
