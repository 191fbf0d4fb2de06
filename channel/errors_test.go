package channel_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

func TestAsSendError(t *testing.T) {
	t.Parallel()
	refused := &channel.SendError{Outcome: channel.Rejected, Code: "smtp_550", Reason: "no such user"}
	plain := errors.New("connection reset")
	for _, c := range []struct {
		name   string
		err    error
		handed bool
		want   channel.Outcome
		code   string
	}{
		{"a send error stays", refused, true, channel.Rejected, "smtp_550"},
		{"a wrapped send error is found", fmt.Errorf("gmail: send: %w", refused), false, channel.Rejected, "smtp_550"},
		{"another error before the point of no return", plain, false, channel.NotSent, "error"},
		{"another error after the point of no return", plain, true, channel.Unknown, "error"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			got := channel.AsSendError(c.err, c.handed)
			require.Equal(t, c.want, got.Outcome)
			require.Equal(t, c.code, got.Code)
		})
	}
	require.Nil(t, channel.AsSendError(nil, true))
	require.ErrorIs(t, channel.AsSendError(fmt.Errorf("send: %w", context.Canceled), false), context.Canceled)
}

func TestSendErrorsReadWell(t *testing.T) {
	t.Parallel()
	for want, e := range map[string]*channel.SendError{
		"channel: not sent":                          {},
		"channel: rejected (smtp_550): no such user": {Outcome: channel.Rejected, Code: "smtp_550", Reason: "no such user"},
		"channel: unknown: timed out":                {Outcome: channel.Unknown, Reason: "timed out", Err: errors.New("detail for logs")},
		"channel: unknown (odd)":                     {Outcome: channel.Outcome(99), Code: "odd"},
	} {
		require.EqualError(t, e, want)
	}
}

func TestAnUnsetOutcomeIsTheSafeOne(t *testing.T) {
	t.Parallel()
	var e channel.SendError
	require.Equal(t, channel.NotSent, e.Outcome)
}

func TestFieldErrorsNameTheField(t *testing.T) {
	t.Parallel()
	err := fmt.Errorf("open: %w", channel.BadField("smtp.port", "%d is no port", 0))
	var fe *channel.FieldError
	require.ErrorAs(t, err, &fe)
	require.Equal(t, &channel.FieldError{Field: "smtp.port", Problem: "0 is no port"}, fe)
	require.EqualError(t, fe, "smtp.port: 0 is no port")
}

func TestParties(t *testing.T) {
	t.Parallel()
	p := channel.Party{Name: "Ann", Address: "Ann@Example.com"}
	require.Equal(t, "Ann <Ann@Example.com>", p.String())
	require.Equal(t, "a@b", channel.Party{Address: "a@b"}.String())
	require.True(t, p.Is("ann@example.COM"))
	require.False(t, p.Is("an@example.com"))
	require.False(t, channel.Party{}.Is(""), "two unknown addresses are not the same")
}

func TestASinkFuncIsASink(t *testing.T) {
	t.Parallel()
	var got []*channel.Item
	var sink channel.Sink = channel.SinkFunc(func(_ context.Context, items ...*channel.Item) error {
		got = items
		return channel.ErrRejected
	})
	require.ErrorIs(t, sink.Accept(t.Context(), &channel.Item{}, &channel.Item{}), channel.ErrRejected)
	require.Len(t, got, 2)
}

func TestNotNowSaysWhyIfItKnows(t *testing.T) {
	t.Parallel()
	require.EqualError(t, &channel.NotNowError{}, "not now")
	require.EqualError(t, &channel.NotNowError{Err: errors.New("the token has expired")}, "not now: the token has expired")
}
