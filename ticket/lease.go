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
// ends with ctx, and when the lease cannot be renewed. release gives the lease
// up; it must be called.
//
// What is decided with held is written only while the lease is owner's: a node
// that paused for longer than its lease, and does not know it yet, writes
// nothing.
func (d *Desk) whileHeld(ctx context.Context, name, owner string) (held context.Context, release func()) {
	held, cancel := context.WithCancel(context.WithValue(ctx, holdKey{}, Hold{name, owner}))
	var renewing sync.WaitGroup
	renewing.Go(func() {
		defer cancel()
		for sleep(held, d.cfg.Timing.Lease/3) == nil {
			if ok, err := d.store.Lease(held, name, owner, d.now(), d.now().Add(d.cfg.Timing.Lease)); err != nil || !ok {
				return
			}
		}
	})
	return held, func() {
		cancel()
		renewing.Wait()
		_, _ = d.store.Lease(context.WithoutCancel(ctx), name, owner, d.now(), d.now())
	}
}
