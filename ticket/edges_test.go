package ticket_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

type edgeconn struct {
	open func(acct channel.Account, env channel.Env) (channel.Channel, error)
}

func (c *edgeconn) Kind() channel.Kind { return "edge" }

func (c *edgeconn) Open(_ context.Context, acct channel.Account, env channel.Env) (channel.Channel, error) {
	return c.open(acct, env)
}

type edgeconfig struct{ Address string }

func (c edgeconfig) Account() (channel.Account, error) {
	b, err := json.Marshal(c)
	return channel.Account{Kind: "edge", Name: c.Address, Config: b}, err
}

type edgechannel struct {
	info channel.Info
	send func(ctx context.Context, out *channel.Outbound) (channel.Receipt, error)
	find func() channel.Found
}

func (c *edgechannel) Info() channel.Info { return c.info }

func (c *edgechannel) Receive(ctx context.Context, _ channel.Sink) error {
	<-ctx.Done()
	return nil
}

func (c *edgechannel) Send(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
	return c.send(ctx, out)
}

func (c *edgechannel) Find(context.Context, *channel.Outbound) (channel.Receipt, channel.Found, error) {
	return channel.Receipt{}, c.find(), nil
}

func edgeinfo(acct channel.Account) channel.Info {
	return channel.Info{ID: acct.ID, Kind: acct.Kind, Name: acct.Name, Address: acct.Name, Scheme: "mailto", Mail: true, CanReceive: true, CanSend: true, CanStart: true}
}

// Update(name) writes back the settings that it read before it opened.
func TestAChangeOfNameDoesNotUndoAChangeOfSettings(t *testing.T) {
	var during func()
	var once sync.Once
	conn := &edgeconn{open: func(acct channel.Account, _ channel.Env) (channel.Channel, error) {
		if during != nil {
			once.Do(during)
		}
		return &edgechannel{info: edgeinfo(acct)}, nil
	}}
	inOffice(t, func(c *ticket.Config) { c.Connectors = []channel.Connector{conn} }, func(o *office) {
		ch, err := o.desk.Connect(o.ctx, edgeconfig{"a@portal.example"}, ticket.Settings{})
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

// edgestore hangs, as a store does behind a network that drops packets.
type edgestore struct {
	ticket.Store
	hang *atomic.Bool
	over *chan struct{} // of the bubble; closed when it no longer hangs
}

func (s *edgestore) wait(ctx context.Context) error {
	if !s.hang.Load() {
		return nil
	}
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-*s.over:
		return errors.New("connection lost")
	}
}

func (s *edgestore) Snapshot(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error) {
	if err := s.wait(ctx); err != nil {
		return nil, err
	}
	return s.Store.Snapshot(ctx, w)
}

func (s *edgestore) Commit(ctx context.Context, c *ticket.Changes) error {
	if err := s.wait(ctx); err != nil {
		return err
	}
	return s.Store.Commit(ctx, c)
}

func (s *edgestore) Claim(ctx context.Context, c ticket.Claim) ([]*ticket.Work, time.Time, error) {
	if err := s.wait(ctx); err != nil {
		return nil, time.Time{}, err
	}
	return s.Store.Claim(ctx, c)
}

// as when the store fails, but it hangs: keepLease waits in Commit and never
// comes to end the try.
func TestANodeWhoseStoreHangsStopsSendingBeforeItsLeaseLapses(t *testing.T) {
	var mu sync.Mutex
	arrived := 0
	var gate, over chan struct{}
	open := func(slow bool) *edgeconn {
		return &edgeconn{open: func(acct channel.Account, _ channel.Env) (channel.Channel, error) {
			return &edgechannel{
				info: edgeinfo(acct),
				send: func(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
					if err := out.Handed(ctx); err != nil {
						return channel.Receipt{}, &channel.SendError{Outcome: channel.NotSent, Err: err}
					}
					if slow {
						select {
						case <-gate:
						case <-ctx.Done():
							return channel.Receipt{}, &channel.SendError{Outcome: channel.Unknown, Err: ctx.Err()}
						}
					}
					mu.Lock()
					defer mu.Unlock()
					arrived++
					return channel.Receipt{}, nil
				},
				find: func() channel.Found {
					mu.Lock()
					defer mu.Unlock()
					if arrived > 0 {
						return channel.FoundYes
					}
					return channel.FoundNo
				},
			}, nil
		}}
	}
	var hang atomic.Bool
	inOffice(t, func(c *ticket.Config) {
		c.Connectors, c.Timing.Poll = []channel.Connector{open(true)}, time.Second
		c.Store = &edgestore{Store: c.Store, hang: &hang, over: &over}
	}, func(o *office) {
		gate, over = make(chan struct{}), make(chan struct{})
		ch, err := o.desk.Connect(o.ctx, edgeconfig{"a@portal.example"}, ticket.Settings{})
		require.NoError(t, err)
		synctest.Wait()
		_, err = o.desk.Start(o.ctx, ticket.Opening{Channel: ch.ID, By: "an", To: []channel.Party{{Address: "a@c.example"}}, Subject: "Hi", Text: "x", Send: true})
		require.NoError(t, err)
		time.Sleep(12 * time.Second)
		hang.Store(true)
		cfg := o.cfg
		cfg.Store, cfg.Connectors = o.back.Portal("main"), []channel.Connector{open(false)}
		other, err := ticket.New(cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(o.ctx)
		done := make(chan error, 1)
		go func() { done <- other.Run(ctx) }()
		time.Sleep(5 * time.Minute)
		close(gate)
		// The try waits for a mutex that its hanging lease holds, so that
		// virtual time does not go on until that is over.
		for range 1000 {
			runtime.Gosched()
		}
		hang.Store(false)
		close(over)
		time.Sleep(time.Minute)
		cancel()
		require.NoError(t, <-done)
		require.Equal(t, 1, arrived, "copies")
	})
}

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

// a host's policies send work around in a circle.
func TestPoliciesThatSendWorkInACircleComeToRest(t *testing.T) {
	inOffice(t, func(c *ticket.Config) {
		c.Policies = map[string]routing.Policy{"host": routing.PolicyFunc(func(s routing.Snapshot) routing.Decision {
			return routing.Decision{Queue: map[routing.QueueID]routing.QueueID{"one": "two", "two": "one"}[s.Queue.ID]}
		})}
	}, func(o *office) {
		for _, q := range []routing.QueueID{"one", "two"} {
			require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: q, Agents: []routing.AgentID{"an"}, Policy: "host"}))
		}
		var commits atomic.Int64
		o.back.Fail(func(op string) error {
			if op == "commit" && commits.Add(1) > 2000 {
				return fmt.Errorf("enough")
			}
			return nil
		})
		o.mailbox(box, ticket.Settings{Queue: "one"})
		o.write(box, "a@c.example", "Hi", "x")
		time.Sleep(10 * time.Minute)
		require.Less(t, commits.Load(), int64(1000), "commits in ten minutes")
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

func TestTheFieldsOfATicketAreBounded(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		var err error
		for i := 0; i < 1000 && err == nil; i++ {
			_, err = o.desk.UpdateTicket(o.ctx, ticket.Actor{}, tk.ID, ticket.TicketPatch{Fields: map[string]string{fmt.Sprint("field", i): "x"}})
		}
		require.Error(t, err)
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
