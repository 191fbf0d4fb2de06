package ticket

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/anteroom/anteroom/channel"
)

const (
	// probeEvery is how often a store in trouble is tried.
	probeEvery = 5 * time.Second
	// probeTime bounds one try.
	probeTime = 10 * time.Second
	// probeSize is the size of the body that is put into Blobs to try them.
	probeSize = 64 << 10
)

// noteAccept keeps whether what arrives can be kept: a channel is degraded from
// the first item that could not be, for a reason of the store's or of Blobs', to
// the next that could, or until they can be written to again.
func (d *Desk) noteAccept(ctx context.Context, items []*channel.Item, err error) {
	switch {
	case err == nil && !d.troubled.Load():
		return
	case err == nil:
	case errors.Is(err, channel.ErrRejected), errors.Is(err, channel.ErrInactive), errors.Is(err, ErrConflict), errors.Is(err, ErrLimit), errors.Is(err, ErrBusy),
		errors.Is(err, errCollected), ctx.Err() != nil:
		return // nobody's disk
	}
	var ids []channel.ID
	for _, it := range items {
		ids = append(ids, it.Channel, it.Via)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.setTrouble(ids, err)
}

// noteBlobs keeps that Blobs failed before it was known for which channel.
func (d *Desk) noteBlobs(err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	var ids []channel.ID
	for id, o := range d.channels {
		if o.info().CanReceive && !o.saved.Settings.Inactive {
			ids = append(ids, id)
		}
	}
	d.setTrouble(ids, err)
}

// setTrouble sets or, with a nil err, ends the trouble of channels. d.mu is held.
func (d *Desk) setTrouble(ids []channel.ID, err error) {
	changed := false
	for _, id := range ids {
		t, was := d.trouble[id]
		switch {
		case err == nil && was:
			delete(d.trouble, id)
			changed = true
		case err != nil && d.channels[id] != nil:
			now := d.now()
			if !was {
				t.Since = now
			}
			t.State, t.NextTry = channel.StateDegraded, now.Add(probeEvery)
			t.Reason = clean("what arrives cannot be kept: "+err.Error(), 300)
			d.trouble[id] = t
			changed = changed || !was
		}
	}
	d.troubled.Store(len(d.trouble) > 0)
	if changed {
		d.statesChanged()
	}
}

// statesChanged wakes those who look after states. d.mu is held.
func (d *Desk) statesChanged() {
	if d.run == nil {
		return
	}
	wakes := []chan struct{}{d.run.dirty}
	if len(d.trouble) > 0 {
		wakes = append(wakes, d.run.troubled)
	}
	for _, ch := range wakes {
		select {
		case ch <- struct{}{}:
		default:
		}
	}
}

// statusOf returns a channel's status: its own, or that of the store where that
// is worse. d.mu is held.
func (d *Desk) statusOf(o *opened) channel.Status {
	s := o.status
	t, ok := d.trouble[o.saved.ID]
	if !ok || s.State == channel.StateNeedsAuthorization {
		return s
	}
	t.LastSeen = s.LastSeen
	return t
}

// watchTrouble tries the store and Blobs while channels are degraded for them,
// so that a channel comes back by itself though nothing arrives.
func (d *Desk) watchTrouble(ctx context.Context, troubled <-chan struct{}) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-troubled:
		}
		for sleep(ctx, probeEvery) == nil {
			err := d.probe(ctx)
			d.mu.Lock()
			if err == nil {
				clear(d.trouble)
				d.troubled.Store(false)
				d.statesChanged()
			}
			left := len(d.trouble)
			for id, t := range d.trouble {
				t.NextTry = d.now().Add(probeEvery)
				d.trouble[id] = t
			}
			d.mu.Unlock()
			if left == 0 {
				break
			}
			d.log.Warn("the store is in trouble", slog.Any("error", err))
		}
	}
}

// probe writes to the store and to Blobs, and removes what it wrote.
func (d *Desk) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	now := d.now()
	for _, until := range []time.Time{now.Add(probeTime), now} {
		if _, err := d.store.Lease(ctx, "probe:"+d.cfg.Node, d.cfg.Node, now, until); err != nil {
			return fmt.Errorf("ticket: probe the store: %w", err)
		}
	}
	if d.cfg.Blobs == nil {
		return nil
	}
	id := d.newBlobID()
	_, err := d.cfg.Blobs.Put(ctx, id, bytes.NewReader(make([]byte, probeSize)))
	if del := d.cfg.Blobs.Delete(ctx, id); err == nil {
		err = del
	}
	if err != nil {
		return fmt.Errorf("ticket: probe Blobs: %w", err)
	}
	return nil
}
