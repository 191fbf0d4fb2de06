package ticket

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// holdKey is that of the Hold under which a context's decisions are made.
type holdKey struct{}

// holds returns what a decision's changes are to be written under.
func holds(ctx context.Context) []Hold {
	if h, ok := ctx.Value(holdKey{}).(Hold); ok {
		return []Hold{h, openHold()}
	}
	return []Hold{openHold()}
}

// openHold is the lease under which all desks of a portal write, as one owner,
// until [Retire] takes it: from then on none can commit anything, also one that
// has not noticed, or that slept in the middle of a commit.
func openHold() Hold { return Hold{Lease: "portal", Owner: "open"} }

// commit writes c, if the portal is open. How a write that lost a race or its
// lease is decided again is its caller's business.
func (d *Desk) commit(ctx context.Context, c *Changes) error {
	c.Holds = holds(ctx)
	err := d.store.Commit(ctx, c)
	if !errors.Is(err, ErrNotHeld) {
		return err
	}
	if err := d.takeOpen(ctx); err != nil {
		return err
	}
	return d.store.Commit(ctx, c)
}

// takeOpen takes the lease of openHold for all desks, where nobody has it yet:
// the first time that a portal is written to, and after [Reinstate]. It runs out
// at once, which does not matter to those who write under it.
func (d *Desk) takeOpen(ctx context.Context) error {
	snap, err := d.store.Snapshot(ctx, Want{Records: []RecordRef{retiredRef(), importingRef()}})
	if err != nil {
		return fmt.Errorf("ticket: read: %w", err)
	}
	if err := d.noticeMove(snap); err != nil {
		return err
	}
	open := openHold()
	held, err := d.store.Lease(ctx, open.Lease, open.Owner, time.Unix(1, 0).UTC(), time.Unix(2, 0).UTC())
	if err == nil && !held {
		err = ErrRetired
	}
	if err != nil {
		return fmt.Errorf("ticket: open the portal: %w", err)
	}
	return nil
}

// whileHeld keeps renewing a named lease that the caller has just taken. held
// ends with ctx, when another has the lease, and when it has run out since the
// store could not be reached. release gives the lease up; it must be called.
//
// What is decided with held is written only while the lease is owner's: a node
// that paused for longer than its lease, and does not know it yet, writes
// nothing.
func (d *Desk) whileHeld(ctx context.Context, name, owner string) (held context.Context, release func()) {
	held, cancel := context.WithCancel(context.WithValue(ctx, holdKey{}, Hold{name, owner}))
	var renewing sync.WaitGroup
	renewing.Go(func() {
		defer cancel()
		long := d.cfg.Timing.Lease
		ends, pause := d.now().Add(long), long/3
		for sleep(held, pause) == nil {
			now := d.now()
			asking, done := context.WithTimeout(held, ends.Sub(now))
			ok, err := d.store.Lease(asking, name, owner, now, now.Add(long))
			done()
			switch {
			case err == nil && !ok, err != nil && !d.now().Before(ends):
				return
			case err == nil:
				ends, pause = now.Add(long), long/3
			default: // a store that was restarted is back soon
				pause = min(long/20, ends.Sub(d.now()))
			}
		}
	})
	return held, func() {
		cancel()
		renewing.Wait()
		_, _ = d.store.Lease(context.WithoutCancel(ctx), name, owner, d.now(), d.now())
	}
}
