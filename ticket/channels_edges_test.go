package ticket_test

import (
	"context"
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

// Update holds Desk.refreshing while it waits for the send under way, and
// with it every Connect, Channels, PutQueue and Refresh of all channels.
func TestAChannelThatHangsDoesNotHangTheConfigurationOfOthers(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		o.net.Fail(box, channeltest.Fault{Hang: true})
		o.net.AnswerFind(box, channel.FoundUnknown)
		o.reply(tk.ID, "Answer")
		time.Sleep(12 * time.Second)
		list, err := o.desk.Channels(o.ctx)
		require.NoError(t, err)
		began := time.Now()
		name := "New name"
		_, err = o.desk.Update(o.ctx, list[0].ID, ticket.ChannelPatch{Name: &name})
		require.NoError(t, err)
		require.Less(t, time.Since(began), 30*time.Second)
	})
}

func TestAnUpdateDoesNotUndoRenewedCredentials(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	conn := &hookConnector{Network: channeltest.NewNetwork()}
	inOffice(t, func(c *ticket.Config) { c.Key, c.Connectors = key, []channel.Connector{conn} }, func(o *office) {
		o.net = conn.Network
		ch := o.connect(channeltest.MemoryAccount{Address: box, Mail: true, Password: "old"}, ticket.Settings{})
		var once sync.Once
		conn.set(func(_ channel.Account, env channel.Env) {
			once.Do(func() { // as Update opens it to validate, the running one renews its token
				require.NoError(t, env.SaveCredentials(o.ctx, channel.NewCredentials(map[string]string{"password": "renewed"})))
			})
		})
		name := "New name"
		_, err := o.desk.Update(o.ctx, ch.ID, ticket.ChannelPatch{Name: &name})
		require.NoError(t, err)
		require.Equal(t, "renewed", conn.last().Credentials.Get("password"))
	})
}

func TestWhatWasReadBeforeAChannelRenewedItsCredentialsDoesNotReopenIt(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	conn := &hookConnector{Network: channeltest.NewNetwork()}
	inOffice(t, func(c *ticket.Config) { c.Key, c.Connectors = key, []channel.Connector{conn} }, func(o *office) {
		o.net = conn.Network
		first := o.connect(channeltest.MemoryAccount{Address: sales, Mail: true}, ticket.Settings{})
		var mu sync.Mutex
		var env channel.Env // of the second channel, as it is open
		var with []string
		conn.set(func(acct channel.Account, e channel.Env) {
			mu.Lock()
			defer mu.Unlock()
			if p := acct.Credentials.Get("password"); p != "" {
				env, with = e, append(with, p)
			}
		})
		second := o.connect(channeltest.MemoryAccount{Address: box, Mail: true, Password: "old"}, ticket.Settings{})
		opened := 0
		conn.set(func(acct channel.Account, _ channel.Env) {
			mu.Lock()
			defer mu.Unlock()
			switch acct.ID {
			case second.ID:
				with = append(with, acct.Credentials.Get("password"))
			case first.ID:
				// The second time it is opened by what was read before all channels.
				if opened++; opened == 2 {
					require.NoError(t, env.SaveCredentials(o.ctx, channel.NewCredentials(map[string]string{"password": "renewed"})))
				}
			}
		})
		name := "New name"
		_, err := o.desk.Update(o.ctx, first.ID, ticket.ChannelPatch{Name: &name})
		require.NoError(t, err)
		mu.Lock()
		defer mu.Unlock()
		require.Equal(t, 2, opened)
		require.Equal(t, []string{"old", "old"}, with, "to be validated, and to be used; it goes on with what it renewed")
	})
}

func TestAnOldOpeningDoesNotWriteOverNewerCredentials(t *testing.T) {
	key := []byte(strings.Repeat("k", 32))
	conn := &hookConnector{Network: channeltest.NewNetwork()}
	inOffice(t, func(c *ticket.Config) { c.Key, c.Connectors = key, []channel.Connector{conn} }, func(o *office) {
		o.net = conn.Network
		var mu sync.Mutex
		var envs []channel.Env
		conn.set(func(_ channel.Account, e channel.Env) { mu.Lock(); defer mu.Unlock(); envs = append(envs, e) })
		ch := o.connect(channeltest.MemoryAccount{Address: box, Mail: true, Password: "old"}, ticket.Settings{})
		mu.Lock()
		old := envs[len(envs)-1]
		mu.Unlock()
		renewed := func(p string) channel.Credentials { return channel.NewCredentials(map[string]string{"password": p}) }
		require.NoError(t, old.SaveCredentials(o.ctx, renewed("by itself")))
		_, err := o.desk.Update(o.ctx, ch.ID, ticket.ChannelPatch{Config: channeltest.MemoryAccount{Address: box, Mail: true, Password: "by an admin"}})
		require.NoError(t, err)
		require.ErrorIs(t, old.SaveCredentials(o.ctx, renewed("of the old grant")), ticket.ErrConflict)
		require.NoError(t, old.SaveCredentials(o.ctx, renewed("by an admin")), "it is what is saved")
		require.Equal(t, "by an admin", conn.last().Credentials.Get("password"))
	})
}

func TestAnUpdateDoesNotResurrectARemovedChannel(t *testing.T) {
	conn := &hookConnector{Network: channeltest.NewNetwork()}
	inOffice(t, func(c *ticket.Config) { c.Connectors = []channel.Connector{conn} }, func(o *office) {
		o.net = conn.Network
		ch := o.connect(channeltest.MemoryAccount{Address: box, Mail: true}, ticket.Settings{})
		var once sync.Once
		conn.set(func(channel.Account, channel.Env) {
			once.Do(func() { require.NoError(t, o.desk.Disconnect(o.ctx, ch.ID)) })
		})
		name := "New name"
		_, _ = o.desk.Update(o.ctx, ch.ID, ticket.ChannelPatch{Name: &name})
		list, err := o.desk.Channels(o.ctx)
		require.NoError(t, err)
		require.Empty(t, list)
	})
}

func TestSwitchingOffAndOnNeverReceivesTwiceAtOnce(t *testing.T) {
	var running, most atomic.Int64
	conn := &scripted{open: func(acct channel.Account, _ channel.Env) (channel.Channel, error) {
		return &scriptedChannel{info: scriptedInfo(acct), receive: func(ctx context.Context, _ channel.Sink) error {
			most.Store(max(most.Load(), running.Add(1)))
			<-ctx.Done()
			time.Sleep(time.Second) // ends what is under way
			running.Add(-1)
			return nil
		}}, nil
	}}
	inOffice(t, func(c *ticket.Config) { c.Connectors = []channel.Connector{conn} }, func(o *office) {
		ch, err := o.desk.Connect(o.ctx, scriptedConfig{"a@portal.example"}, ticket.Settings{})
		require.NoError(t, err)
		synctest.Wait()
		for _, off := range []bool{true, false} {
			_, err := o.desk.Update(o.ctx, ch.ID, ticket.ChannelPatch{Settings: &ticket.Settings{Inactive: off}})
			require.NoError(t, err)
		}
		time.Sleep(time.Minute)
		require.EqualValues(t, 1, most.Load(), "calls of Receive at once for one opened channel")
	})
}

func TestAChannelThatReceivesAtOnceIsKnown(t *testing.T) {
	first := make(chan error, 1)
	open := func(receives bool) *scripted {
		return &scripted{open: func(acct channel.Account, _ channel.Env) (channel.Channel, error) {
			c := &scriptedChannel{info: scriptedInfo(acct)}
			if !receives {
				return c, nil
			}
			if acct.Name == "b@portal.example" {
				time.Sleep(time.Second) // a file to read, a slow disk
			} else {
				c.receive = func(ctx context.Context, sink channel.Sink) error {
					select {
					case first <- sink.Accept(ctx, &channel.Item{Channel: acct.ID, Keys: []channel.Key{"k"}, Message: &channel.Message{From: from("a@c.example"), Text: "x"}}):
					default:
					}
					<-ctx.Done()
					return nil
				}
			}
			return c, nil
		}}
	}
	inOffice(t, func(c *ticket.Config) { c.Connectors = []channel.Connector{open(true)} }, func(o *office) {
		cfg := o.cfg
		cfg.Connectors = []channel.Connector{open(false)}
		other, err := ticket.New(cfg) // another node, which does not run
		require.NoError(t, err)
		for _, a := range []string{"a@portal.example", "b@portal.example"} {
			_, err := other.Connect(o.ctx, scriptedConfig{a}, ticket.Settings{})
			require.NoError(t, err)
		}
		require.NoError(t, o.desk.Refresh(o.ctx))
		require.NoError(t, <-first)
	})
}

func TestTheLateReportOfAnOldOpeningIsNotTheStatus(t *testing.T) {
	conn := &scripted{open: func(acct channel.Account, env channel.Env) (channel.Channel, error) {
		return &scriptedChannel{info: scriptedInfo(acct), receive: func(ctx context.Context, _ channel.Sink) error {
			env.Report(channel.Status{State: channel.StateLive})
			<-ctx.Done()
			env.Report(channel.Status{State: channel.StateDegraded, Reason: "disconnected"})
			return nil
		}}, nil
	}}
	inOffice(t, func(c *ticket.Config) { c.Connectors = []channel.Connector{conn} }, func(o *office) {
		ch, err := o.desk.Connect(o.ctx, scriptedConfig{"a@portal.example"}, ticket.Settings{})
		require.NoError(t, err)
		synctest.Wait()
		name := "New name"
		_, err = o.desk.Update(o.ctx, ch.ID, ticket.ChannelPatch{Name: &name})
		require.NoError(t, err)
		time.Sleep(time.Minute)
		ch, err = o.desk.Channel(o.ctx, ch.ID)
		require.NoError(t, err)
		require.Equal(t, channel.StateLive, ch.Status.State)
	})
}

// hookConnector is a Network whose Open calls a function first.
type hookConnector struct {
	*channeltest.Network
	mu   sync.Mutex
	hook func(channel.Account, channel.Env)
	acct channel.Account
}

func (c *hookConnector) set(f func(channel.Account, channel.Env)) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hook = f
}

func (c *hookConnector) last() channel.Account {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.acct
}

func (c *hookConnector) Open(ctx context.Context, acct channel.Account, env channel.Env) (channel.Channel, error) {
	c.mu.Lock()
	f := c.hook
	c.acct = acct
	c.mu.Unlock()
	if f != nil {
		f(acct, env)
	}
	return c.Network.Open(ctx, acct, env)
}

// Update(name) writes back the settings that it read before it opened.
func TestAChangeOfNameDoesNotUndoAChangeOfSettings(t *testing.T) {
	var during func()
	var once sync.Once
	conn := &scripted{open: func(acct channel.Account, _ channel.Env) (channel.Channel, error) {
		if during != nil {
			once.Do(during)
		}
		return &scriptedChannel{info: scriptedInfo(acct)}, nil
	}}
	inOffice(t, func(c *ticket.Config) { c.Connectors = []channel.Connector{conn} }, func(o *office) {
		ch, err := o.desk.Connect(o.ctx, scriptedConfig{"a@portal.example"}, ticket.Settings{})
		require.NoError(t, err)
		during = func() {
			_, err := o.desk.Update(o.ctx, ch.ID, ticket.ChannelPatch{Settings: &ticket.Settings{Inactive: true}})
			require.NoError(t, err)
		}
		name := "New name"
		got, err := o.desk.Update(o.ctx, ch.ID, ticket.ChannelPatch{Name: &name})
		require.NoError(t, err)
		require.True(t, got.Settings.Inactive, "it was switched off meanwhile")
	})
}
