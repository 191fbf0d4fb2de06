package ticket_test

import (
	"errors"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

// states are the states that the feed tells of.
func (o *office) states() []string {
	o.t.Helper()
	var out []string
	for _, e := range o.events() {
		if e.Type == ticket.EventChannelStatus {
			out = append(out, e.Data["state"])
		}
	}
	return out
}

func TestAStateOfAChannelIsToldThoughTheStoreFails(t *testing.T) {
	var env channel.Env
	conn := &scripted{open: func(acct channel.Account, e channel.Env) (channel.Channel, error) {
		env = e
		return &scriptedChannel{info: scriptedInfo(acct)}, nil
	}}
	inOffice(t, func(c *ticket.Config) { c.Connectors = []channel.Connector{conn} }, func(o *office) {
		_, err := o.desk.Connect(o.ctx, scriptedConfig{"a@portal.example"}, ticket.Settings{})
		require.NoError(t, err)
		report := func(s channel.State) {
			env.Report(channel.Status{State: s})
			o.settle()
		}
		report(channel.StateLive)
		before := o.states()
		require.Equal(t, "live", before[len(before)-1])

		o.back.Fail(func(op string) error {
			if op == "commit" {
				return errors.New("disk full")
			}
			return nil
		})
		report(channel.StateNeedsAuthorization)
		require.Equal(t, before, o.states())
		time.Sleep(time.Hour)
		o.back.Fail(nil)
		time.Sleep(2 * time.Minute)
		require.Equal(t, append(before, "needs_authorization"), o.states())
		report(channel.StateLive)
		require.Equal(t, append(before, "needs_authorization", "live"), o.states())
	})
}

// A state that returns to what was told while another is being told is told too.
func TestAStateThatChangesWhileItIsToldIsToldAgain(t *testing.T) {
	var env channel.Env
	conn := &scripted{open: func(acct channel.Account, e channel.Env) (channel.Channel, error) {
		env = e
		return &scriptedChannel{info: scriptedInfo(acct)}, nil
	}}
	inOffice(t, func(c *ticket.Config) { c.Connectors = []channel.Connector{conn} }, func(o *office) {
		_, err := o.desk.Connect(o.ctx, scriptedConfig{"a@portal.example"}, ticket.Settings{})
		require.NoError(t, err)
		env.Report(channel.Status{State: channel.StateLive})
		o.settle()
		var back atomic.Bool
		o.back.Fail(func(op string) error {
			if op == "commit" && !back.Swap(true) {
				env.Report(channel.Status{State: channel.StateLive})
			}
			return nil
		})
		env.Report(channel.Status{State: channel.StateDegraded})
		o.settle()
		told := o.states()
		require.Equal(t, []string{"degraded", "live"}, told[len(told)-2:])
	})
}

func TestConnectingSucceedsThoughTheAnswerOfTheCommitWasLost(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		lose := func() {
			var n atomic.Int32
			o.back.Fail(func(op string) error {
				if op == "committed" && n.Add(1) == 1 {
					return errors.New("connection lost")
				}
				return nil
			})
		}
		lose()
		ch, err := o.desk.Connect(o.ctx, mailAccount(box), ticket.Settings{})
		require.NoError(t, err)
		o.settle()
		o.write(box, "mai@c.example", "Hi", "x")
		require.EqualValues(t, 1, o.ledger().Messages)
		list, err := o.desk.Channels(o.ctx)
		require.NoError(t, err)
		require.Len(t, list, 1)
		require.Equal(t, ch.ID, list[0].ID)

		var bad *channel.FieldError
		_, err = o.desk.Connect(o.ctx, mailAccount(box), ticket.Settings{})
		require.ErrorAs(t, err, &bad, "a second one is another's")
		require.Equal(t, "address", bad.Field)

		o.back.Fail(func(op string) error { // what was not committed is not connected
			if op == "commit" {
				return errors.New("disk full")
			}
			return nil
		})
		_, err = o.desk.Connect(o.ctx, mailAccount("other@portal.example"), ticket.Settings{})
		require.ErrorContains(t, err, "disk full")
		o.back.Fail(nil)
		list, err = o.desk.Channels(o.ctx)
		require.NoError(t, err)
		require.Len(t, list, 1)
	})
}
