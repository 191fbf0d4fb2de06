package ticket

import (
	"context"
	"fmt"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Backfill has a channel fetch again what its source still shows of the time
// since then, as after an outage or after it was switched on. What came before
// has no second effect; nothing automatic is sent for what comes, and nobody is
// told of it. It returns when all is taken in; what the channel then has to
// understand follows as work. Errors: ErrNotFound, ErrInactive, ErrNotAble when
// the channel cannot, or the channel's.
func (d *Desk) Backfill(ctx context.Context, id channel.ID, since time.Time) error {
	c, err := d.Channel(ctx, id)
	if err != nil {
		return err
	}
	if c.Settings.Inactive {
		return fmt.Errorf("channel %q: %w", id, ErrInactive)
	}
	d.mu.Lock()
	o := d.channels[id]
	d.mu.Unlock()
	if o == nil {
		return fmt.Errorf("channel %q: %w", id, ErrNotFound)
	}
	b, ok := o.ch.(channel.Backfiller)
	if !ok {
		return fmt.Errorf("backfill of channel %q: %w", id, ErrNotAble)
	}
	imported := channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error {
		own := make([]*channel.Item, len(items))
		for i, it := range items {
			copied := *it
			copied.Imported = true
			own[i] = &copied
		}
		return d.Accept(ctx, own...)
	})
	return b.Backfill(ctx, since, imported)
}
