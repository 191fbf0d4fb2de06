package ticket

import (
	"context"
	"sync"
)

// holdKey is that of the Hold under which a context's decisions are made.
type holdKey struct{}

// holds returns what a decision's changes are to be written under.
func holds(ctx context.Context) []Hold {
	if h, ok := ctx.Value(holdKey{}).(Hold); ok {
		return []Hold{h}
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
