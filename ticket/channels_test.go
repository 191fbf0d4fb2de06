package ticket_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

func TestChannelsAreListedAndSurviveARestart(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		made := o.mailbox(box, ticket.Settings{Queue: "support", PreferOnline: true})
		o.restart()
		list, err := o.desk.Channels(o.ctx)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, made.ID, list[0].ID)
		require.Equal(t, made.Settings, list[0].Settings)
		require.Equal(t, box, list[0].Address)
		require.True(t, list[0].CanReceive && list[0].CanSend && list[0].CanStart)
		require.False(t, list[0].CreatedAt.IsZero())
		o.write(box, "a@c.example", "Hi", "x")
		require.Len(t, o.tickets(), 1)

		require.NoError(t, o.desk.Disconnect(o.ctx, made.ID))
		require.ErrorIs(t, o.desk.Disconnect(o.ctx, made.ID), ticket.ErrNotFound)
		list, err = o.desk.Channels(o.ctx)
		require.NoError(t, err)
		require.Empty(t, list)
		require.Len(t, o.tickets(), 1, "its conversations stay")
		o.mailbox(box, ticket.Settings{}) // the address is free again
	})
}

func TestBadChannelsAreRefusedWithTheField(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{})
		tests := []struct {
			name, field string
			conf        channel.Config
			set         ticket.Settings
		}{
			{"no address", "address", mailAccount(""), ticket.Settings{}},
			{"an unknown queue", "settings.queue", mailAccount("x@p.example"), ticket.Settings{Queue: "nope"}},
			{"auto reply without a body", "settings.auto_reply.body", mailAccount("x@p.example"), ticket.Settings{AutoReply: ticket.AutoReply{On: true}}},
			{"a line break in the auto reply's subject", "settings.auto_reply.subject", mailAccount("x@p.example"), ticket.Settings{AutoReply: ticket.AutoReply{Subject: "a\r\nBcc: x"}}},
			{"a mailbox that takes no forwarded mail", "forwarded_to", channeltest.MemoryAccount{Address: "x@p.example", Mail: true, ReceivesVia: ch.ID}, ticket.Settings{}},
			{"an unknown mailbox", "forwarded_to", channeltest.MemoryAccount{Address: "x@p.example", Mail: true, ReceivesVia: "nope"}, ticket.Settings{}},
			{"secrets without a key", "password", channeltest.MemoryAccount{Address: "x@p.example", Password: "hunter2222"}, ticket.Settings{}},
			{"a wrong signature's agent", "settings.signatures.agents", mailAccount("x@p.example"), ticket.Settings{Signatures: ticket.Signatures{Agents: map[ticketAgent]channel.Signature{"nope": {}}}}},
		}
		for _, tt := range tests {
			_, err := o.desk.Connect(o.ctx, tt.conf, tt.set)
			var bad *channel.FieldError
			require.ErrorAs(t, err, &bad, tt.name)
			require.Equal(t, tt.field, bad.Field, tt.name)
		}
		_, err := o.desk.Connect(o.ctx, mailAccount(box), ticket.Settings{})
		var bad *channel.FieldError
		require.ErrorAs(t, err, &bad, "a taken address")
		list, err := o.desk.Channels(o.ctx)
		require.NoError(t, err)
		require.Len(t, list, 1)
	})
}

func TestAnotherNodeTakesUpChanges(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		cfg := o.cfg
		cfg.Connectors = []channel.Connector{channeltest.NewNetwork()}
		other, err := ticket.New(cfg)
		require.NoError(t, err)
		ch := o.mailbox(box, ticket.Settings{Queue: "support"})
		s := ch.Settings
		s.Undo = time.Hour
		_, err = o.desk.Update(o.ctx, ch.ID, ticket.ChannelPatch{Settings: &s})
		require.NoError(t, err)
		list, err := other.Channels(o.ctx)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, time.Hour, list[0].Settings.Undo)
	})
}

func TestAnExclusiveChannelReceivesOnOneNodeAndFailsOver(t *testing.T) {
	inOffice(t, func(c *ticket.Config) { c.Timing.Refresh = time.Second }, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: box, Mail: true, Exclusive: true}, ticket.Settings{})
		other, err := ticket.New(o.cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(o.ctx)
		done := make(chan error, 1)
		go func() { done <- other.Run(ctx) }()
		time.Sleep(10 * time.Minute)
		require.Equal(t, 1, o.net.Receivers(box))
		o.stop()
		time.Sleep(3 * time.Minute)
		require.Equal(t, 1, o.net.Receivers(box))
		cancel()
		require.NoError(t, <-done)
		require.Equal(t, 0, o.net.Receivers(box))
	})
}

func TestAReceiverThatFailsIsDegradedAndComesBack(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{})
		o.net.Break(box, errors.New("mailbox on fire"))
		synctest.Wait()
		got, err := o.desk.Channel(o.ctx, ch.ID)
		require.NoError(t, err)
		require.Equal(t, channel.StateDegraded, got.Status.State)
		require.Contains(t, got.Status.Reason, "mailbox on fire")
		require.False(t, got.Status.NextTry.IsZero())
		time.Sleep(5 * time.Second)
		require.Equal(t, 1, o.net.Receivers(box))
		o.net.Report(box, channel.Status{State: channel.StateLive})
		o.settle()
		var states []string
		for _, e := range o.events() {
			if e.Type == ticket.EventChannelStatus {
				states = append(states, e.Data["state"])
			}
		}
		require.Contains(t, states, "degraded")
		require.Equal(t, "live", states[len(states)-1])
	})
}

func TestSecretsAreSealedAndNeverShown(t *testing.T) {
	const secret = "correct-horse-battery"
	key := bytes.Repeat([]byte{7}, 32)
	var logs bytes.Buffer
	inOffice(t, func(c *ticket.Config) {
		c.Key = key
		c.Log = slog.New(slog.NewJSONHandler(&logs, &slog.HandlerOptions{Level: slog.LevelDebug}))
	}, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: box, Mail: true, Password: secret}, ticket.Settings{})
		list, err := o.desk.Channels(o.ctx)
		require.NoError(t, err)
		j, err := json.Marshal(list)
		require.NoError(t, err)
		snap, err := o.cfg.Store.Snapshot(o.ctx, ticket.Want{Kinds: []ticket.RecordKind{"channel", "keyring"}})
		require.NoError(t, err)
		stored := ""
		for _, r := range snap.Records {
			stored += string(r.Doc)
		}
		for _, s := range []string{string(j), fmt.Sprintf("%+v %#v", list[0], *list[0]), stored, logs.String(), fmt.Sprint(o.events())} {
			require.NotContains(t, s, secret)
		}
		require.NotContains(t, stored, `"plain"`, "the token secrets are sealed too")

		o.stop()
		wrong := o.cfg
		wrong.Key = bytes.Repeat([]byte{8}, 32)
		_, err = ticket.New(wrong)
		require.ErrorIs(t, err, ticket.ErrWrongKey)
		wrong.Key = nil
		_, err = ticket.New(wrong)
		require.ErrorIs(t, err, ticket.ErrWrongKey)
		rotated := o.cfg
		rotated.Key, rotated.OldKeys = bytes.Repeat([]byte{8}, 32), [][]byte{key}
		d, err := ticket.New(rotated)
		require.NoError(t, err)
		list, err = d.Channels(o.ctx)
		require.NoError(t, err)
		require.NotEqual(t, channel.StateDegraded, list[0].Status.State)
	})
}

func TestAPairedAccount(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		hosted := o.connect(channeltest.MemoryAccount{Address: box, Name: "Hosted", Mail: true, ReceiveOnly: true},
			ticket.Settings{Queue: "support", PreferOnline: true})
		shop := o.connect(channeltest.MemoryAccount{Address: "shop@customer.example", Name: "Shop", Mail: true, SendOnly: true, ReceivesVia: hosted.ID}, ticket.Settings{})
		require.NotEmpty(t, shop.ForwardAddress)
		require.NotEqual(t, box, shop.ForwardAddress)
		o.online("bo")

		o.deliver(shop.ForwardAddress, mail("mai@c.example", "1"))
		tk := o.only()
		require.Equal(t, shop.ID, tk.Channel, "it belongs to the account")
		require.EqualValues(t, "support", tk.Queue, "with the queue of the receiving mailbox")
		require.EqualValues(t, "bo", tk.Assignee)
		o.reply(tk.ID, "Answer")
		time.Sleep(15 * time.Second)
		sent := o.net.Sent("shop@customer.example")
		require.Len(t, sent, 1)
		require.Equal(t, "shop@customer.example", sent[0].Out.From.Address)

		// Mail to the plain mailbox is answered by the one account paired with it.
		o.deliver(box, mail("other@c.example", "2"))
		plain := o.tickets()[0]
		require.Equal(t, hosted.ID, plain.Channel)
		o.reply(plain.ID, "Answer")
		time.Sleep(15 * time.Second)
		require.Len(t, o.net.Sent("shop@customer.example"), 2)

		// With two of them a person must choose.
		second := o.connect(channeltest.MemoryAccount{Address: "two@customer.example", Mail: true, SendOnly: true, ReceivesVia: hosted.ID}, ticket.Settings{})
		_, err := o.desk.Reply(o.ctx, plain.ID, ticket.Draft{By: "an", Text: "x"})
		require.ErrorIs(t, err, ticket.ErrReceiveOnly)
		_, err = o.desk.Reply(o.ctx, plain.ID, ticket.Draft{By: "an", Text: "x", Via: second.ID})
		require.NoError(t, err)
		_, err = o.desk.Reply(o.ctx, plain.ID, ticket.Draft{By: "an", Text: "x", Via: hosted.ID})
		require.ErrorIs(t, err, ticket.ErrReceiveOnly)
	})
}

func TestOneMailByTheAccountAndByForwardIsOne(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		hosted := o.connect(channeltest.MemoryAccount{Address: box, Mail: true, ReceiveOnly: true}, ticket.Settings{Queue: "support"})
		shop := o.connect(channeltest.MemoryAccount{Address: "shop@customer.example", Mail: true, ReceivesVia: hosted.ID}, ticket.Settings{})
		m := mail("mai@c.example", "1")
		require.NoError(t, o.desk.Accept(o.ctx, &channel.Item{Channel: shop.ID, Via: hosted.ID, Keys: []channel.Key{"content:1"}, Message: &m}))
		require.NoError(t, o.desk.Accept(o.ctx, &channel.Item{Channel: shop.ID, Keys: []channel.Key{"imap:1:2", "content:1"}, Message: &m}))
		require.Equal(t, 1, o.only().MessageCount)
	})
}

func TestAChangeOfSettingsTakesEffectWithoutAGap(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{})
		s := ch.Settings
		s.Queue = "support"
		_, err := o.desk.Update(o.ctx, ch.ID, ticket.ChannelPatch{Settings: &s})
		require.NoError(t, err)
		require.NoError(t, o.net.Deliver(o.ctx, box, o.net.Item(box, mail("a@c.example", "1"))), "at once")
		o.settle()
		require.NotEmpty(t, o.only().Assignee)

		name := "New name"
		got, err := o.desk.Update(o.ctx, ch.ID, ticket.ChannelPatch{Name: &name})
		require.NoError(t, err)
		require.Equal(t, name, got.Name)
		o.settle()
		require.NoError(t, o.net.Deliver(o.ctx, box, o.net.Item(box, mail("a@c.example", "2"))))

		o.mailbox("other@portal.example", ticket.Settings{})
		_, err = o.desk.Update(o.ctx, ch.ID, ticket.ChannelPatch{Config: mailAccount("other@portal.example")})
		require.Error(t, err, "a taken address")
		o.settle()
		require.NoError(t, o.net.Deliver(o.ctx, box, o.net.Item(box, mail("a@c.example", "3"))), "a refused change changes nothing")
	})
}
