package ticket

import (
	"context"
	"sync"
)

// whileHeld keeps renewing a named lease that the caller has just taken. held
// ends with ctx, and when the lease cannot be renewed. release gives the lease
// up; it must be called.
func (d *Desk) whileHeld(ctx context.Context, name, owner string) (held context.Context, release func()) {
	held, cancel := context.WithCancel(ctx)
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
