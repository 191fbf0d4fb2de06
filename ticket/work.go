package ticket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"runtime/debug"
	"strings"
	"sync"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// laneSystem is the lane of what leaves by Config.System. The empty lane is for
// decisions, which need no network; every other lane is a channel's id, or that
// of what it interprets, so that a channel that hangs holds up nobody else, nor
// what it sends what comes in.
const laneSystem = "system"

const laneInterpret = "interpret:"

// interpretLane is the lane of what a channel interprets.
func interpretLane(id channel.ID) string { return laneInterpret + string(id) }

const (
	// slowAfter is how long an item may be interpreted before its worker does
	// not count any more: the next does not wait for what may be hung.
	slowAfter = 2 * time.Second
	// maxSlow is how many of those there may be in a lane. From then on they
	// are waited for.
	maxSlow = 64
)

// workLane claims and does the work of one lane until ctx ends, then waits for
// what is under way.
func (d *Desk) workLane(ctx context.Context, lane string) {
	wake := make(chan struct{}, 1)
	d.mu.Lock()
	d.lanes[lane] = wake
	work := d.run.work
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		if d.lanes[lane] == wake {
			delete(d.lanes, lane)
		}
		d.mu.Unlock()
	}()
	var busy sync.WaitGroup
	defer busy.Wait()
	workers := d.cfg.Timing.Workers
	if strings.HasPrefix(lane, copiesPrefix) {
		workers = 1 // a mailbox has few connections to give
	}
	slots := make(chan struct{}, workers)
	slow := make(chan struct{}, maxSlow)
	for ctx.Err() == nil {
		now := d.now()
		free := cap(slots) - len(slots)
		var claimed []*Work
		var next time.Time
		if free > 0 {
			var err error
			claimed, next, err = d.store.Claim(ctx, Claim{Lane: lane, Owner: d.cfg.Node, Now: now, Until: now.Add(d.cfg.Timing.Lease), Limit: d.claimLimit(lane, free)})
			if err != nil && ctx.Err() == nil {
				d.log.Warn("claim work", "lane", lane, slog.Any("error", err))
			}
		}
		for _, batch := range batches(claimed) {
			slots <- struct{}{}
			busy.Go(func() {
				free := sync.OnceFunc(func() {
					<-slots
					select {
					case wake <- struct{}{}:
					default:
					}
				})
				defer free()
				if batch[0].Kind == WorkInterpret {
					defer whileSlow(slow, free)()
				}
				d.do(work, batch)
			})
		}
		if len(claimed) > 0 && len(slots) < cap(slots) {
			continue
		}
		wait := d.cfg.Timing.Poll
		if !next.IsZero() {
			wait = min(wait, max(next.Sub(d.now()), time.Millisecond))
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// whileSlow calls free if what now begins takes long, unless slow is full. done
// must be called when it has ended.
func whileSlow(slow chan struct{}, free func()) (done func()) {
	var mu sync.Mutex
	ended, counted := false, false
	timer := time.AfterFunc(slowAfter, func() {
		mu.Lock()
		defer mu.Unlock()
		if ended {
			return
		}
		select {
		case slow <- struct{}{}:
			counted = true
			free()
		default:
		}
	})
	return func() {
		timer.Stop()
		mu.Lock()
		defer mu.Unlock()
		ended = true
		if counted {
			<-slow
		}
	}
}

// claimLimit is how much to claim at once: one piece for each free worker. The
// triggers of queues are claimed many at a time, since one look at a queue
// serves them all.
func (d *Desk) claimLimit(lane string, free int) int {
	if lane == "" {
		return 32
	}
	return free
}

// batches groups claimed work into what is done together: the triggers of one
// queue; everything else alone.
func batches(claimed []*Work) [][]*Work {
	var out [][]*Work
	queues := map[string]int{}
	for _, w := range claimed {
		if w.Kind != WorkAssign {
			out = append(out, []*Work{w})
			continue
		}
		i, ok := queues[string(w.Queue)]
		if !ok {
			i = len(out)
			queues[string(w.Queue)] = i
			out = append(out, nil)
		}
		out[i] = append(out[i], w)
	}
	return out
}

// maxAttempts is how often automatic replies and notices are tried before they
// are parked for a person (see [Desk.Parked]), and how often an item is interpreted before it is
// quarantined. Sends have a time instead, see Timing.GiveUp.
const maxAttempts = 20

// do does a batch. What fails is put back with a pause; what goes on failing is
// parked.
func (d *Desk) do(ctx context.Context, batch []*Work) {
	began := d.now()
	w := batch[0]
	var observed []Work // as they were before
	if d.cfg.Observer.Worked != nil {
		for _, w := range batch {
			observed = append(observed, *w)
		}
	}
	err := d.doSafely(ctx, batch)
	if f := d.cfg.Observer.Worked; f != nil {
		took := d.now().Sub(began)
		for i := range observed {
			f(ctx, observed[i], took, err)
		}
	}
	if err == nil {
		return
	}
	// A lost lease is another worker's success, or is found again by it.
	if isLost(err) || ctx.Err() != nil {
		d.log.Debug("work lost", "kind", w.Kind, "work", w.ID, slog.Any("error", err))
		return
	}
	d.log.Warn("work failed", "kind", w.Kind, "work", w.ID, "attempts", w.Attempts, slog.Any("error", err))
	for _, w := range batch {
		d.putBack(ctx, w, err)
	}
}

// isLost reports whether work came to nothing since another worker has it: its
// revision is another, as often as it is tried.
func isLost(err error) bool { return errors.Is(err, ErrConflict) || errors.Is(err, ErrBusy) }

func (d *Desk) doSafely(ctx context.Context, batch []*Work) (err error) {
	w := batch[0]
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("work panicked", "kind", w.Kind, "work", w.ID, "panic", p, "stack", string(debug.Stack()))
			err = fmt.Errorf("ticket: %s work panicked", w.Kind)
		}
	}()
	switch w.Kind {
	case WorkAssign:
		return d.assignQueue(ctx, batch)
	case WorkAutoReply:
		return d.autoReply(ctx, w)
	case WorkSend:
		return d.send(ctx, w)
	case WorkNotify:
		return d.notify(ctx, w)
	case WorkInterpret:
		return d.interpret(ctx, w)
	case WorkCopy:
		return d.keepCopy(ctx, w)
	}
	return fmt.Errorf("ticket: unknown kind of work %q", w.Kind)
}

// notNowMost is the longest pause, by our own account, before an item is
// interpreted again whose network cannot be used.
const notNowMost = 10 * time.Minute

// putBack schedules failed work again.
func (d *Desk) putBack(ctx context.Context, w *Work, cause error) {
	back := *w
	back.Owner, back.LeaseUntil = "", time.Time{}
	back.LastError = clean(cause.Error(), 300)
	// Sends end by Timing.GiveUp, interpretation in quarantine, and a queue is
	// looked at until that works.
	give := w.Attempts >= maxAttempts && (w.Kind == WorkAutoReply || w.Kind == WorkNotify)
	_, err := d.decide(ctx, Actor{Kind: ActorSystem}, func() Want { return Want{} }, func(u *unit) error {
		again := back
		if give {
			return u.park(&again)
		}
		again.NotBefore = u.now.Add(backoff(w.Attempts, time.Second, d.cfg.Timing.RetryMax))
		if nn, ok := errors.AsType[*channel.NotNowError](cause); ok && w.Kind == WorkInterpret {
			// The older the work, the rarer the tries.
			pause := min(max(u.now.Sub(w.CreatedAt)/2, time.Second), notNowMost)
			again.Attempts, again.NotBefore = 0, u.now.Add(max(nn.After, pause/2+rand.N(pause/2+1)))
		}
		u.addWork(&again)
		return nil
	})
	if err != nil && !isLost(err) {
		d.log.Warn("put back work", "work", w.ID, slog.Any("error", err))
	}
}

// backoff returns the pause before the next try: doubling, with half of it
// random, so that what failed together does not return together.
func backoff(attempt int, first, most time.Duration) time.Duration {
	p := first
	for i := 1; i < attempt && p < most; i++ {
		p *= 2
	}
	p = min(p, most)
	return p/2 + rand.N(p/2+1)
}

// interpret has a channel understand what was committed raw.
func (d *Desk) interpret(ctx context.Context, w *Work) error {
	snap, err := d.store.Snapshot(ctx, Want{Items: []ItemID{w.Item}})
	if err != nil {
		return fmt.Errorf("ticket: read item: %w", err)
	}
	rec := snap.Items[w.Item]
	done := func(u *unit) error { u.done(w); return nil }
	if rec == nil || rec.Disposition != DisposedWaiting {
		_, err := d.decide(ctx, Actor{Kind: ActorSystem}, func() Want { return Want{} }, done)
		return err
	}
	it, err := d.heldItem(ctx, rec)
	if err != nil {
		return err
	}
	done = func(u *unit) error { // unless somebody decided otherwise meanwhile
		u.done(w)
		return u.still(rec.ID, rec.Revision)
	}
	if it.Update != nil { // understood, and kept for its message
		return d.take(ctx, []*arrival{d.revive(it, rec, false)}, d.now(), done)
	}
	d.mu.Lock()
	o := d.channels[rec.Channel]
	d.mu.Unlock()
	if o == nil {
		return fmt.Errorf("ticket: no channel %s to interpret with", rec.Channel)
	}
	in, ok := o.ch.(channel.Interpreter)
	if !ok {
		return fmt.Errorf("ticket: channel %s interprets nothing", rec.Channel)
	}
	if w.Attempts >= maxAttempts {
		it.Quarantined, it.Detail = channel.CausePoison, "could not be interpreted: "+w.LastError
		return d.take(ctx, []*arrival{d.revive(it, rec, false)}, d.now(), done)
	}
	meant, err := d.interpretHeld(ctx, w, in, it)
	if err != nil {
		return fmt.Errorf("ticket: interpret: %w", err)
	}
	if len(meant) == 0 {
		meant = []*channel.Item{{Channel: rec.Channel, Keys: it.Keys, Ignored: channel.CauseUnknown}}
	}
	arrivals := make([]*arrival, 0, len(meant))
	for i, m := range meant {
		m.Imported = m.Imported || rec.Imported
		if i == 0 { // the first takes the place of the raw item
			m.Raw = nil
			arrivals = append(arrivals, d.revive(m, rec, false))
			continue
		}
		a, err := d.arrive(m)
		if err != nil {
			return err
		}
		arrivals = append(arrivals, a)
	}
	return d.take(ctx, arrivals, d.now(), done)
}

// interpretHeld has a channel interpret an item while the lease of the work is
// kept, since files may take long to be fetched. w is then as it was kept last.
func (d *Desk) interpretHeld(ctx context.Context, w *Work, in channel.Interpreter, it *channel.Item) ([]*channel.Item, error) {
	a := d.newAttempt(w)
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := a.keepLease(ctx, cancel)
	defer func() {
		stop()
		*w = a.work
	}()
	return in.Interpret(ctx, it)
}
