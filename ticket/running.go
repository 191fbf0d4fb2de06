package ticket

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// opened is a saved channel that is open on this node. Its fields but ch are
// guarded by Desk.mu.
type opened struct {
	saved    savedChannel
	form     []byte // what it was opened with
	forwards []channel.Forward
	ch       channel.Channel
	openErr  error
	status   channel.Status
	told     channel.State // the last state an event told of
	// opening tells the reports of this opening from those of others.
	opening *opening

	receiving context.CancelFunc // while Receive runs
	sending   context.CancelFunc // while the lane's loop runs
	// received is closed when the last Receive has returned. For an exclusive
	// channel it is handed on from opening to opening.
	received chan struct{}
	// replaces is the opening before, which still receives.
	replaces *opened
}

// handover is how long two openings of a channel that is not exclusive receive
// together.
const handover = 250 * time.Millisecond

// opening is the identity of one call of Connector.Open.
type opening struct {
	// secrets is the digest of the credentials that the channel has, nil while it
	// is opened only to be validated. d.mu guards it.
	secrets []byte
}

func (o *opened) info() channel.Info {
	if o.ch == nil {
		return channel.Info{ID: o.saved.ID, Kind: o.saved.Kind, Name: o.saved.Name, Address: o.saved.Address}
	}
	return o.ch.Info()
}

// stop tells what runs of the channel to end, and does not wait: a channel that
// hangs must not hold up the others. d.mu is held.
func (o *opened) stop() {
	for _, c := range []context.CancelFunc{o.receiving, o.sending} {
		if c != nil {
			c()
		}
	}
	o.receiving, o.sending = nil, nil
}

// runner is what runs while Run runs.
type runner struct {
	ctx  context.Context // ends with Run's
	work context.Context // ends after the drain time
	stop context.CancelFunc
	wg   sync.WaitGroup
	// dirty wakes the loop that tells of changed states.
	dirty chan struct{}
	// troubled wakes the loop that tries a store in trouble.
	troubled chan struct{}
}

// startOrStop makes what runs of a channel fit its settings. It does nothing
// while Run does not run.
func (d *Desk) startOrStop(o *opened) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.run == nil || d.run.ctx.Err() != nil || o.ch == nil {
		return
	}
	off := o.saved.Settings.Inactive
	if off && o.ch.Info().Fleeting {
		// It goes on receiving, to ignore what comes.
		if o.sending != nil {
			o.sending()
			o.sending = nil
		}
	} else if off {
		o.stop()
		if o.replaces != nil {
			o.replaces.stop()
			o.replaces = nil
		}
		return
	}
	id := o.saved.ID
	if r, ok := o.ch.(channel.Receiver); ok && o.receiving == nil {
		var ctx context.Context
		ctx, o.receiving = context.WithCancel(d.run.ctx)
		before, done, replaced := o.received, make(chan struct{}), o.replaces
		o.received, o.replaces = done, nil
		d.run.wg.Go(func() {
			defer close(done)
			if before != nil {
				<-before // Receive is called once at a time
			}
			if replaced != nil {
				// The opening before goes on until this one has begun: both
				// receive for a moment, and duplicates are harmless.
				time.AfterFunc(handover, func() {
					d.mu.Lock()
					defer d.mu.Unlock()
					replaced.stop()
				})
			}
			d.receive(ctx, id, r)
		})
	}
	_, sends := o.ch.(channel.Sender)
	_, interprets := o.ch.(channel.Interpreter)
	if (sends || interprets) && o.sending == nil && !off {
		var ctx context.Context
		ctx, o.sending = context.WithCancel(d.run.ctx)
		d.run.wg.Go(func() { d.workLane(ctx, string(id)) })
		if interprets {
			d.run.wg.Go(func() { d.workLane(ctx, interpretLane(id)) })
		}
		if _, files := o.ch.(channel.Filer); files {
			d.run.wg.Go(func() { d.workLane(ctx, copiesLane(id)) })
		}
	}
}

// takeOver is how often, at the least, a node asks whether an exclusive channel
// that another has is free. Where leases are shorter it asks once in each.
const takeOver = 10 * time.Second

var errElsewhere = errors.New("ticket: another node has the channel")

// receive keeps a receiver running, on one node at a time if it is exclusive.
func (d *Desk) receive(ctx context.Context, id channel.ID, r channel.Receiver) {
	pause := time.Second
	// Nobody that an earlier opening of this node was. It is one for all calls of
	// Receive, so that a lease that could not be given up can be taken again.
	owner := d.cfg.Node + "/" + randomToken(6)
	for ctx.Err() == nil {
		began := d.now()
		err := d.receiveOnce(ctx, id, r, owner)
		if ctx.Err() != nil {
			return
		}
		if d.now().Sub(began) > time.Minute {
			pause = time.Second
		}
		if errors.Is(err, errElsewhere) {
			// How soon a channel is taken over does not depend on how long it
			// has been another's.
			pause = time.Second
			ask := min(takeOver, d.cfg.Timing.Lease)
			if sleep(ctx, ask/2+rand.N(ask/2+1)) != nil {
				return
			}
			continue
		}
		if err != nil {
			d.log.Warn("receive", "channel", id, slog.Any("error", err))
			d.report(id, nil, channel.Status{State: channel.StateDegraded, Reason: err.Error(), NextTry: d.now().Add(pause)})
		}
		if sleep(ctx, pause/2+rand.N(pause/2+1)) != nil {
			return
		}
		pause = min(2*pause, time.Minute)
	}
}

func (d *Desk) receiveOnce(ctx context.Context, id channel.ID, r channel.Receiver, owner string) (err error) {
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("receiver panicked", "channel", id, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("ticket: the receiver of channel %s panicked", id)
		}
	}()
	if !r.Info().Exclusive {
		return r.Receive(ctx, d)
	}
	name := receiveLease(id)
	held, err := d.store.Lease(ctx, name, owner, d.now(), d.now().Add(d.cfg.Timing.Lease))
	if err == nil && !held {
		err = errElsewhere
	}
	if err != nil {
		return err
	}
	ctx, release := d.whileHeld(ctx, name, owner)
	defer release()
	return r.Receive(ctx, d)
}

// env returns what a channel is given at an opening.
func (d *Desk) env(id channel.ID, op *opening) channel.Env {
	ref := RecordRef{recordState, string(id)}
	return channel.Env{
		Portal: d.cfg.Portal,
		Log:    d.log.With("channel", string(id)),
		Now:    d.now,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			return d.cfg.Dial(ctx, network, address)
		},
		Report: func(s channel.Status) { d.report(id, op, s) },
		LoadState: func(ctx context.Context) ([]byte, error) {
			snap, err := d.store.Snapshot(ctx, Want{Records: []RecordRef{ref}})
			if err != nil || snap.Records[ref] == nil {
				return nil, err
			}
			return snap.Records[ref].Doc, nil
		},
		SaveState: func(ctx context.Context, state []byte) error {
			_, err := d.decide(ctx, Actor{Kind: ActorSystem}, func() Want { return Want{Records: []RecordRef{ref}} }, func(u *unit) error {
				rec := &Record{Kind: ref.Kind, ID: ref.ID, Doc: append([]byte{}, state...)}
				if old := u.snap.Records[ref]; old != nil {
					rec.Revision = old.Revision
				}
				u.c.Records = append(u.c.Records, rec)
				return nil
			})
			return err
		},
		Known: func(ctx context.Context, since time.Time, of func(string) bool) iter.Seq2[channel.Known, error] {
			return d.known(ctx, id, since, of)
		},
		SaveCredentials: func(ctx context.Context, c channel.Credentials) error { return d.renew(ctx, id, op, c) },
	}
}

// report takes a channel's status, unless it was opened anew meanwhile.
func (d *Desk) report(id channel.ID, op *opening, s channel.Status) {
	d.mu.Lock()
	defer d.mu.Unlock()
	o := d.channels[id]
	if o == nil || op != nil && o.opening != op {
		return
	}
	if s.LastSeen.IsZero() {
		s.LastSeen = o.status.LastSeen
	}
	s.Since = o.status.Since
	if s.State != o.status.State {
		s.Since = d.now()
	}
	o.status = s
	if o.told != s.State {
		d.statesChanged()
	}
}

// tellStates writes an event for each channel whose state changed. A state
// counts as told when that is committed.
func (d *Desk) tellStates(ctx context.Context) error {
	for {
		changes := map[channel.ID]channel.State{}
		d.mu.Lock()
		for id, o := range d.channels {
			if state := d.statusOf(o).State; o.told != state {
				changes[id] = state
			}
		}
		d.mu.Unlock()
		if len(changes) == 0 {
			return nil
		}
		_, err := d.decide(ctx, Actor{Kind: ActorSystem}, func() Want { return Want{} }, func(u *unit) error {
			for _, id := range slices.Sorted(maps.Keys(changes)) {
				u.event(Event{Type: EventChannelStatus, Channel: id, Data: map[string]string{"state": string(changes[id])}})
			}
			return nil
		})
		if err != nil {
			return err
		}
		d.mu.Lock()
		for id, state := range changes {
			if o := d.channels[id]; o != nil {
				o.told = state
			}
		}
		d.mu.Unlock()
	}
}

// keepTelling tells of changed states whenever there are some, until ctx ends.
func (d *Desk) keepTelling(ctx context.Context, dirty <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-dirty:
		}
		for try := 1; ; try++ {
			err := d.tellStates(ctx)
			if err == nil {
				break
			}
			if ctx.Err() == nil {
				d.log.Warn("tell channel states", slog.Any("error", err))
			}
			if sleep(ctx, backoff(try, time.Second, time.Minute)) != nil {
				return
			}
		}
	}
}

// drainKey marks the context of work under way: when the portal is retired it
// may still say what became of it, as long as it has its lease.
type drainKey struct{}

// Run receives, sends, routes and answers until ctx ends. It then lets sends
// under way finish for Timing.Drain, and returns nil. It may run once at a time.
// When the portal is retired it ends by itself, with ErrRetired.
func (d *Desk) Run(ctx context.Context) error {
	workCtx, stopWork := context.WithCancel(context.WithValue(context.WithoutCancel(ctx), drainKey{}, true))
	defer stopWork()
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	r := &runner{ctx: ctx, work: workCtx, stop: stop, dirty: make(chan struct{}, 1), troubled: make(chan struct{}, 1)}
	d.mu.Lock()
	if d.run != nil {
		d.mu.Unlock()
		return errClosed
	}
	d.run = r
	d.mu.Unlock()

	for _, c := range d.connectors {
		if a, ok := c.(channel.Attacher); ok {
			defer a.Attach(d.cfg.Portal, d.Refresh)()
		}
	}
	r.wg.Go(func() { d.workLane(ctx, "") })
	if d.cfg.System != nil {
		r.wg.Go(func() { d.workLane(ctx, laneSystem) })
	}
	r.wg.Go(func() { d.keepFresh(ctx) })
	if w, ok := d.store.(Watcher); ok {
		r.wg.Go(func() { w.Watch(ctx, d.hinted) })
	}
	r.wg.Go(func() { d.runWebhooks(ctx) })
	r.wg.Go(func() { d.completeErasures(ctx) })
	r.wg.Go(func() { d.watchTrouble(ctx, r.troubled) })
	if d.cfg.Blobs != nil && d.cfg.Timing.Sweep > 0 {
		r.wg.Go(func() { d.sweepBodies(ctx) })
	}
	r.wg.Go(func() { d.keepTelling(ctx, r.dirty) })
	<-ctx.Done()
	drain := time.AfterFunc(d.cfg.Timing.Drain, stopWork)
	defer drain.Stop()
	// A refresh under way may still start something; after it none does.
	d.refreshing.Lock()
	d.mu.Lock()
	for _, o := range d.channels {
		o.receiving, o.sending = nil, nil // their context has ended
	}
	d.mu.Unlock()
	d.refreshing.Unlock()
	r.wg.Wait()
	d.mu.Lock()
	d.run = nil
	d.mu.Unlock()
	if d.retired.Load() {
		return ErrRetired
	}
	return nil
}

// keepFresh reads the configuration again and again, at first at once, which
// starts the channels.
func (d *Desk) keepFresh(ctx context.Context) {
	for {
		if err := d.Refresh(ctx); err != nil && ctx.Err() == nil {
			d.log.Warn("refresh", slog.Any("error", err))
		}
		timer := time.NewTimer(d.cfg.Timing.Refresh)
		select {
		case <-ctx.Done():
			timer.Stop()
			return
		case <-d.changed:
		case <-timer.C:
		}
		timer.Stop()
	}
}
