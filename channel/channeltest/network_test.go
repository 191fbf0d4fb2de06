package channeltest_test

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
)

const box = "help@example.com"

var ann = channel.Party{Name: "Ann", Address: "ann@customer.example"}

func env() channel.Env {
	return channel.Env{
		Portal: "main", Log: slog.New(slog.DiscardHandler), Now: time.Now,
		Report:          func(channel.Status) {},
		LoadState:       func(context.Context) ([]byte, error) { return nil, nil },
		SaveState:       func(context.Context, []byte) error { return nil },
		SaveCredentials: func(context.Context, channel.Credentials) error { return nil },
		Dial: func(context.Context, string, string) (net.Conn, error) {
			return nil, errors.New("no network here")
		},
	}
}

func open(t *testing.T, n *channeltest.Network, id channel.ID, conf channeltest.MemoryAccount, forwards ...channel.Forward) channel.Channel {
	t.Helper()
	acct, err := conf.Account()
	require.NoError(t, err)
	acct.ID, acct.Forwards = id, forwards
	ch, err := n.Open(t.Context(), acct, env())
	require.NoError(t, err)
	return ch
}

// receive runs Receive until the returned stop, which hands back its error.
func receive(t *testing.T, n *channeltest.Network, ch channel.Channel, sink channel.Sink) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	before := n.Receivers(ch.Info().Address)
	go func() { done <- ch.(channel.Receiver).Receive(ctx, sink) }()
	require.NoError(t, n.WaitReceiving(t.Context(), ch.Info().Address, before+1))
	var err error
	stopped := false
	stop = func() error {
		cancel()
		if !stopped {
			stopped, err = true, <-done
		}
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func TestWhatACustomerWritesArrivesOnce(t *testing.T) {
	t.Parallel()
	for _, mail := range []bool{true, false} {
		n := channeltest.NewNetwork()
		ch := open(t, n, "c1", channeltest.MemoryAccount{Address: box, Mail: mail})
		sink := &channeltest.RecordingSink{}
		receive(t, n, ch, channeltest.FailingSink(2, errors.New("store is down"), sink))

		it, err := n.Write(t.Context(), box, channel.Message{From: ann, Subject: "Hi", Text: "a\x00b\xff"})
		require.NoError(t, err)
		require.NoError(t, n.Deliver(t.Context(), box, it), "a second delivery is harmless")

		require.Len(t, sink.Items(), 1)
		require.Equal(t, 1, sink.Duplicates())
		got := sink.Items()[0]
		require.Equal(t, channel.ID("c1"), got.Channel)
		require.Equal(t, "ab\uFFFD", got.Message.Text)
		require.NotNil(t, got.Raw)
		if mail {
			require.Empty(t, got.Message.Conversation)
			require.Contains(t, got.Message.ExternalID, "@")
		} else {
			require.Equal(t, ann.Address, got.Message.Conversation)
		}
	}
}

func TestADeliveryToNobodyIsRefused(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "c1", channeltest.MemoryAccount{Address: box})
	require.ErrorIs(t, n.Deliver(t.Context(), box, n.Item(box, channel.Message{From: ann})), channeltest.ErrNotReceiving)
	stop := receive(t, n, ch, &channeltest.RecordingSink{})
	require.NoError(t, n.Deliver(t.Context(), box, n.Item(box, channel.Message{From: ann})))
	require.NoError(t, stop())
	require.ErrorIs(t, n.Deliver(t.Context(), box, n.Item(box, channel.Message{From: ann})), channeltest.ErrNotReceiving)
}

func TestTheLaterOpeningReceives(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	conf := channeltest.MemoryAccount{Address: box}
	first, second := &channeltest.RecordingSink{}, &channeltest.RecordingSink{}
	receive(t, n, open(t, n, "c1", conf), first)
	stop := receive(t, n, open(t, n, "c1", conf), second)
	_, err := n.Write(t.Context(), box, channel.Message{From: ann, Text: "1"})
	require.NoError(t, err)
	require.NoError(t, stop())
	_, err = n.Write(t.Context(), box, channel.Message{From: ann, Text: "2"})
	require.NoError(t, err)
	require.Len(t, first.Items(), 1)
	require.Len(t, second.Items(), 1)
}

func TestBreakEndsReceive(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "c1", channeltest.MemoryAccount{Address: box})
	done := make(chan error, 1)
	go func() { done <- ch.(channel.Receiver).Receive(t.Context(), &channeltest.RecordingSink{}) }()
	require.NoError(t, n.WaitReceiving(t.Context(), box, 1))
	gone := errors.New("gone")
	n.Break(box, gone)
	require.ErrorIs(t, <-done, gone)
	require.Zero(t, n.Receivers(box))
}

func TestAbilitiesAreThoseOfTheAccount(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name                               string
		conf                               channeltest.MemoryAccount
		receives, sends, does, reads, fwds bool
	}{
		{"chat", channeltest.MemoryAccount{}, true, true, true, false, false},
		{"chat, raw", channeltest.MemoryAccount{Raw: true}, true, true, true, true, false},
		{"mail", channeltest.MemoryAccount{Mail: true}, true, true, false, false, false},
		{"mail, raw", channeltest.MemoryAccount{Mail: true, Raw: true}, true, true, false, true, false},
		{"receives only", channeltest.MemoryAccount{ReceiveOnly: true}, true, false, false, false, false},
		{"receives only, raw", channeltest.MemoryAccount{ReceiveOnly: true, Raw: true}, true, false, false, true, false},
		{"receives mail only", channeltest.MemoryAccount{ReceiveOnly: true, Mail: true}, true, false, false, false, true},
		{"receives mail only, raw", channeltest.MemoryAccount{ReceiveOnly: true, Mail: true, Raw: true}, true, false, false, true, true},
		{"sends only", channeltest.MemoryAccount{SendOnly: true, Raw: true}, false, true, false, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.conf.Address = box
			ch := open(t, channeltest.NewNetwork(), "c1", c.conf)
			_, receives := ch.(channel.Receiver)
			_, finds := ch.(channel.Finder)
			_, does := ch.(channel.Doer)
			_, reads := ch.(channel.Interpreter)
			_, fwds := ch.(channel.Forwardee)
			_, checks := ch.(channel.Checker)
			require.Equal(t, []bool{c.receives, c.sends, c.does, c.reads, c.fwds, true},
				[]bool{receives, finds, does, reads, fwds, checks})
			require.Equal(t, []bool{c.receives, c.sends, c.does},
				[]bool{ch.Info().CanReceive, ch.Info().CanSend, len(ch.Info().Can) > 0})
		})
	}
}

func TestBadAccountsNameTheField(t *testing.T) {
	t.Parallel()
	for field, conf := range map[string]channeltest.MemoryAccount{
		"address":   {},
		"send_only": {Address: box, SendOnly: true, ReceiveOnly: true},
		"max_text":  {Address: box, MaxText: -1},
	} {
		_, err := conf.Account()
		var fe *channel.FieldError
		require.ErrorAs(t, err, &fe)
		require.Equal(t, field, fe.Field)
	}
	n := channeltest.NewNetwork()
	open(t, n, "c1", channeltest.MemoryAccount{Address: box})
	acct, err := channeltest.MemoryAccount{Address: box}.Account()
	require.NoError(t, err)
	acct.ID = "c2"
	_, err = n.Open(t.Context(), acct, env())
	require.EqualError(t, err, "address: help@example.com is taken")
}

func TestAPairedAccountReceivesByAnother(t *testing.T) {
	t.Parallel()
	ch := open(t, channeltest.NewNetwork(), "c1", channeltest.MemoryAccount{Address: box, Mail: true, SendOnly: true, ReceivesVia: "hosted"})
	_, receives := ch.(channel.Receiver)
	require.False(t, receives)
	require.True(t, ch.Info().CanReceive)
}

func TestARawItemIsUnderstoodLater(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "c1", channeltest.MemoryAccount{Address: box, Mail: true, Raw: true})
	sink := &channeltest.RecordingSink{}
	receive(t, n, ch, sink)
	_, err := n.Write(t.Context(), box, channel.Message{From: ann, Text: "hello", Attachments: []channel.Attachment{
		{Name: "a.txt", Type: "text/plain", Size: 3, Body: channel.Bytes("abc")},
	}})
	require.NoError(t, err)
	raw := sink.Items()[0]
	require.Nil(t, raw.Message)

	down := errors.New("down")
	n.FailInterpret(box, down)
	_, err = ch.(channel.Interpreter).Interpret(t.Context(), raw)
	require.ErrorIs(t, err, down)
	items, err := ch.(channel.Interpreter).Interpret(t.Context(), raw)
	require.NoError(t, err)
	require.Len(t, items, 1)
	require.Equal(t, "hello", items[0].Message.Text)
	require.Equal(t, channel.Bytes("abc"), items[0].Message.Attachments[0].Body)
	require.Equal(t, channel.ID("c1"), items[0].Channel)
	require.NotEqual(t, raw.Keys, items[0].Keys)
}

func TestForwardedMailBelongsToTheAccount(t *testing.T) {
	t.Parallel()
	n := channeltest.NewNetwork()
	ch := open(t, n, "hosted", channeltest.MemoryAccount{Address: box, Mail: true, ReceiveOnly: true},
		channel.Forward{Channel: "account", Address: "sales@example.org", Token: "tok1"})
	sink := &channeltest.RecordingSink{}
	receive(t, n, ch, sink)
	_, err := n.Write(t.Context(), ch.(channel.Forwardee).ForwardAddress("tok1"), channel.Message{From: ann, Text: "hello"})
	require.NoError(t, err)
	require.Equal(t, channel.ID("account"), sink.Items()[0].Channel)
	require.Equal(t, channel.ID("hosted"), sink.Items()[0].Via)
}
