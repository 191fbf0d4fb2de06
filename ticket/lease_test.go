package ticket_test

import (
	"context"
	"errors"
	"runtime"
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

// slowNetwork is one on which a message takes until the gate is opened, or goes
// through at once.
type slowNetwork struct {
	gate chan struct{} // of the bubble

	mu      sync.Mutex
	arrived int
}

func (n *slowNetwork) connector(slow bool) *scripted {
	return &scripted{open: func(acct channel.Account, _ channel.Env) (channel.Channel, error) {
		return &scriptedChannel{
			info: scriptedInfo(acct),
			send: func(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
				if err := out.Handed(ctx); err != nil {
					return channel.Receipt{}, &channel.SendError{Outcome: channel.NotSent, Err: err}
				}
				if slow {
					select {
					case <-n.gate:
					case <-ctx.Done():
						return channel.Receipt{}, &channel.SendError{Outcome: channel.Unknown, Err: ctx.Err()}
					}
				}
				n.mu.Lock()
				defer n.mu.Unlock()
				n.arrived++
				return channel.Receipt{}, nil
			},
			find: func(context.Context, *channel.Outbound) (channel.Receipt, channel.Found, error) {
				n.mu.Lock()
				defer n.mu.Unlock()
				if n.arrived > 0 {
					return channel.Receipt{}, channel.FoundYes, nil
				}
				return channel.Receipt{}, channel.FoundNo, nil
			},
		}, nil
	}}
}

// sentOnceThough has a node lose its store when it has handed a message over to a
// slow network. Another one takes over when it may; then the message goes
// through, and the store is back.
func sentOnceThough(t *testing.T, unreachable func(s ticket.Store, lost *atomic.Bool) ticket.Store, back func(lost *atomic.Bool)) {
	t.Helper()
	var n slowNetwork
	var lost atomic.Bool
	inOffice(t, func(c *ticket.Config) {
		c.Connectors, c.Timing.Poll = []channel.Connector{n.connector(true)}, time.Second
		c.Store = unreachable(c.Store, &lost)
	}, func(o *office) {
		n.gate = make(chan struct{})
		ch, err := o.desk.Connect(o.ctx, scriptedConfig{"a@portal.example"}, ticket.Settings{})
		require.NoError(t, err)
		synctest.Wait()
		_, err = o.desk.Start(o.ctx, ticket.Opening{Channel: ch.ID, By: "an", To: []channel.Party{{Address: "a@c.example"}}, Subject: "Hi", Text: "x", Send: true})
		require.NoError(t, err)
		time.Sleep(12 * time.Second) // it is handed over, and slow
		lost.Store(true)
		cfg := o.cfg
		cfg.Store, cfg.Connectors = o.back.Portal("main"), []channel.Connector{n.connector(false)}
		other, err := ticket.New(cfg)
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(o.ctx)
		done := make(chan error, 1)
		go func() { done <- other.Run(ctx) }()
		time.Sleep(5 * time.Minute)
		close(n.gate)
		back(&lost)
		cancel()
		require.NoError(t, <-done)
		n.mu.Lock()
		defer n.mu.Unlock()
		require.Equal(t, 1, n.arrived, "copies")
	})
}

func TestANodeThatIsCutOffStopsSendingBeforeItsLeaseLapses(t *testing.T) {
	sentOnceThough(t, cuttable, func(cut *atomic.Bool) {
		time.Sleep(time.Minute)
		cut.Store(false)
	})
}

// as when it is cut off, but the store hangs: keepLease waits in Commit and never
// comes to end the try.
func TestANodeWhoseStoreHangsStopsSendingBeforeItsLeaseLapses(t *testing.T) {
	var over chan struct{} // of the bubble
	sentOnceThough(t, func(s ticket.Store, hang *atomic.Bool) ticket.Store {
		over = make(chan struct{})
		return hanging(s, hang, over)
	}, func(hang *atomic.Bool) {
		// The try waits for a mutex that its hanging lease holds, so that
		// virtual time does not go on until that is over.
		for range 1000 {
			runtime.Gosched()
		}
		hang.Store(false)
		close(over)
		time.Sleep(time.Minute)
	})
}

// brokenStore is a store that a node cannot reach, or that hangs, when broken
// says so.
type brokenStore struct {
	ticket.Store
	broken func(ctx context.Context) error
}

func (s *brokenStore) Snapshot(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error) {
	if err := s.broken(ctx); err != nil {
		return nil, err
	}
	return s.Store.Snapshot(ctx, w)
}

func (s *brokenStore) Commit(ctx context.Context, c *ticket.Changes) error {
	if err := s.broken(ctx); err != nil {
		return err
	}
	return s.Store.Commit(ctx, c)
}

func (s *brokenStore) Claim(ctx context.Context, c ticket.Claim) ([]*ticket.Work, time.Time, error) {
	if err := s.broken(ctx); err != nil {
		return nil, time.Time{}, err
	}
	return s.Store.Claim(ctx, c)
}

// cuttable is a store that a node can be cut off from.
func cuttable(s ticket.Store, cut *atomic.Bool) ticket.Store {
	return &brokenStore{Store: s, broken: func(context.Context) error {
		if cut.Load() {
			return errors.New("cut off")
		}
		return nil
	}}
}

// hanging is a store that hangs, as one does behind a network that drops
// packets, until over is closed.
func hanging(s ticket.Store, hang *atomic.Bool, over chan struct{}) ticket.Store {
	return &brokenStore{Store: s, broken: func(ctx context.Context) error {
		if !hang.Load() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-over:
			return errors.New("connection lost")
		}
	}}
}

// leaseStore is a store in which leases cannot be asked for while broken.
type leaseStore struct {
	ticket.Store
	broken *atomic.Bool
}

func (s *leaseStore) Lease(ctx context.Context, name, owner string, now, until time.Time) (bool, error) {
	if s.broken.Load() {
		return false, errors.New("it is restarted")
	}
	return s.Store.Lease(ctx, name, owner, now, until)
}

func TestAnExclusiveChannelOutlivesARestartOfTheStoreButNotItsLease(t *testing.T) {
	var broken atomic.Bool
	inOffice(t, func(c *ticket.Config) { c.Store = &leaseStore{c.Store, &broken} }, func(o *office) {
		const box = "help@office.example"
		o.connect(channeltest.MemoryAccount{Address: box, Mail: true, Exclusive: true}, ticket.Settings{})
		require.Equal(t, 1, o.net.Receivers(box))
		broken.Store(true)
		time.Sleep(45 * time.Second) // it was to be renewed
		require.Equal(t, 1, o.net.Receivers(box), "it is still this node's")
		broken.Store(false)
		time.Sleep(10 * time.Minute)
		require.Equal(t, 1, o.net.Receivers(box))
		broken.Store(true)
		time.Sleep(61 * time.Second)
		require.Zero(t, o.net.Receivers(box), "by now it may be another's")
		broken.Store(false)
		time.Sleep(time.Minute + time.Second)
		require.Equal(t, 1, o.net.Receivers(box))
	})
}

// However long another node has had a channel, and died; where leases are short,
// as soon as they make one hope.
func TestAnExclusiveChannelIsTakenOverSoonAfterItsLeaseRanOut(t *testing.T) {
	t.Parallel()
	for lease, soon := range map[time.Duration]time.Duration{time.Minute: 11 * time.Second, 2 * time.Second: 3 * time.Second} {
		t.Run(lease.String(), func(t *testing.T) {
			inOffice(t, func(c *ticket.Config) { c.Timing.Lease = lease }, func(o *office) {
				const box = "help@office.example"
				ch := o.connect(channeltest.MemoryAccount{Address: box, Mail: true, Exclusive: true}, ticket.Settings{})
				require.Equal(t, 1, o.net.Receivers(box))
				for range 8 { // nodes ask when it suits them
					ok, err := o.cfg.Store.Lease(o.ctx, "receive:"+string(ch.ID), "another/1", time.Now().Add(time.Hour), time.Now().Add(24*time.Hour))
					require.NoError(t, err)
					require.True(t, ok)
					time.Sleep(23 * time.Hour)
					require.Zero(t, o.net.Receivers(box))
					time.Sleep(time.Hour + soon)
					require.Equal(t, 1, o.net.Receivers(box))
				}
			})
		})
	}
}
