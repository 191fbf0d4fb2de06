package ticket

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/anteroom/anteroom/channel"
)

// Quarantine lists what is held, newest first.
func (d *Desk) Quarantine(ctx context.Context, p Page) ([]*Item, Next, error) {
	return d.store.Items(ctx, ItemFilter{Disposition: DisposedQuarantined}, p)
}

// Release takes a quarantined item in as a message; one that was never
// understood is given to its channel to be interpreted once more. Nothing
// automatic is sent for it. It returns the item as it then is. Errors:
// ErrNotFound, and ErrState when it is not quarantined, its channel is gone, or
// its channel interprets nothing.
func (d *Desk) Release(ctx context.Context, by Actor, id ItemID) (*Item, error) {
	snap, err := d.store.Snapshot(ctx, Want{Items: []ItemID{id}})
	if err != nil {
		return nil, fmt.Errorf("ticket: read item: %w", err)
	}
	rec := snap.Items[id]
	if rec == nil {
		return nil, fmt.Errorf("item %q: %w", id, ErrNotFound)
	}
	if rec.Disposition != DisposedQuarantined {
		return nil, fmt.Errorf("item %q is not quarantined: %w", id, ErrState)
	}
	if d.view().channels[rec.Channel] == nil {
		return nil, fmt.Errorf("item %q is of a channel that was removed: %w", id, ErrState)
	}
	it, err := d.heldItem(ctx, rec)
	if err != nil {
		return nil, err
	}
	if it.Message == nil {
		return d.replay(ctx, by, rec)
	}
	it.Imported = true
	revision := rec.Revision
	err = d.take(ctx, []*arrival{d.revive(it, rec, true)}, d.now(), func(u *unit) error {
		if cur := u.snap.Items[id]; cur == nil || cur.Revision != revision {
			return fmt.Errorf("item %q: %w", id, errStale)
		}
		u.by = by
		for _, e := range u.c.Events {
			e.Actor = by
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	snap, err = d.store.Snapshot(ctx, Want{Items: []ItemID{id}})
	if err != nil {
		return nil, fmt.Errorf("ticket: read item: %w", err)
	}
	return snap.Items[id], nil
}

// replay gives a quarantined item to its channel to be interpreted again.
func (d *Desk) replay(ctx context.Context, by Actor, rec *Item) (*Item, error) {
	d.mu.Lock()
	o := d.channels[rec.Channel]
	d.mu.Unlock()
	if o == nil || o.ch == nil {
		return nil, fmt.Errorf("channel %q: %w", rec.Channel, ErrNotFound)
	}
	if _, ok := o.ch.(channel.Interpreter); !ok {
		return nil, fmt.Errorf("item %q was never understood; its raw form is kept: %w", rec.ID, ErrState)
	}
	var out *Item
	_, err := d.decide(ctx, by, func() Want { return Want{Items: []ItemID{rec.ID}} }, func(u *unit) error {
		i := u.snap.Items[rec.ID]
		if i == nil || i.Revision != rec.Revision {
			return fmt.Errorf("item %q: %w", rec.ID, errStale)
		}
		i.Disposition, i.Cause, i.Detail, i.Imported = DisposedWaiting, "", "", true
		u.editItem(i)
		u.addWork(&Work{Kind: WorkInterpret, Lane: interpretLane(i.Channel), Channel: i.Channel, Item: i.ID})
		u.event(Event{Type: EventItemReleased, Channel: i.Channel, Data: map[string]string{"item": string(i.ID), "became": string(DisposedWaiting)}})
		out = i
		return nil
	})
	return out, err
}

// heldItem returns a stored item in the channel's terms.
func (d *Desk) heldItem(ctx context.Context, rec *Item) (*channel.Item, error) {
	var h held
	if len(rec.Held) > 0 {
		if err := json.Unmarshal(rec.Held, &h); err != nil {
			return nil, fmt.Errorf("ticket: read held item: %w", err)
		}
	}
	it := &channel.Item{Channel: rec.Channel, Via: rec.Via, ViaInferred: h.ViaInferred, Keys: h.Keys, At: h.At, Imported: rec.Imported,
		Message: h.Message, Update: h.Update, Ignored: h.Ignored, Detail: h.Detail}
	if !rec.Raw.IsZero() {
		raw, err := d.body(ctx, rec.Raw)
		if err != nil {
			return nil, err
		}
		it.Raw = raw
	}
	return it, nil
}

// revive returns the arrival of an item that has a record already.
func (d *Desk) revive(it *channel.Item, rec *Item, released bool) *arrival {
	a := &arrival{item: it, record: rec.ID, existing: true, released: released}
	a.raw.ref = rec.Raw
	d.identify(a)
	if len(rec.Held) > 0 && it.Message != nil && len(it.Message.Attachments) == 0 {
		a.raw.attachments = rec.heldAttachments()
		if a.raw.attachments == nil {
			a.raw.attachments = []Attachment{}
		}
	}
	return a
}

// heldAttachments returns the attachments of something quarantined.
func (i *Item) heldAttachments() []Attachment {
	var h struct {
		Attachments []Attachment `json:"attachments"`
	}
	if len(i.Held) == 0 || json.Unmarshal(i.Held, &h) != nil {
		return nil
	}
	return h.Attachments
}
