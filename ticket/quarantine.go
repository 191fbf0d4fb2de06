package ticket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/anteroom/anteroom/channel"
)

// CauseDiscarded is the cause of an ignored item that a person discarded.
const CauseDiscarded channel.Cause = "discarded"

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
	rec, err := d.quarantined(ctx, id)
	if err != nil {
		return nil, err
	}
	if d.view().channels[rec.Channel] == nil {
		return nil, fmt.Errorf("item %q is of a channel that was removed: %w", id, ErrState)
	}
	it, err := d.heldItem(ctx, rec)
	if errors.Is(err, ErrNotFound) { // its raw form went: somebody discarded it a moment ago
		if _, now := d.quarantined(ctx, id); now != nil {
			return nil, now
		}
	}
	if err != nil {
		return nil, err
	}
	if it.Message == nil {
		return d.replay(ctx, by, rec)
	}
	it.Imported = true
	revision := rec.Revision
	err = d.take(ctx, []*arrival{d.revive(it, rec, true)}, d.now(), func(u *unit) error {
		if err := u.still(id, revision); err != nil {
			return err
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
	snap, err := d.store.Snapshot(ctx, Want{Items: []ItemID{id}})
	if err != nil {
		return nil, fmt.Errorf("ticket: read item: %w", err)
	}
	return snap.Items[id], nil
}

// quarantined returns an item that is quarantined.
func (d *Desk) quarantined(ctx context.Context, id ItemID) (*Item, error) {
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
	return rec, nil
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
		if err := u.still(rec.ID, rec.Revision); err != nil {
			return err
		}
		i := u.snap.Items[rec.ID]
		i.Disposition, i.Cause, i.Detail, i.Imported = DisposedWaiting, "", "", true
		u.editItem(i)
		u.addWork(&Work{Kind: WorkInterpret, Lane: interpretLane(i.Channel), Channel: i.Channel, Item: i.ID})
		u.event(Event{Type: EventItemReleased, Channel: i.Channel, Data: map[string]string{"item": string(i.ID), "became": string(DisposedWaiting)}})
		out = i
		return nil
	})
	return out, err
}

// Discard ends what is quarantined, or waits to be interpreted: what was kept of it,
// its raw form first of all, is removed, and it counts as ignored (CauseDiscarded)
// from then on. Who did it and when is in the feed (EventItemDiscarded). It cannot be
// undone: the item stays known by its keys, so that its source sending it again is
// a duplicate. Of Release and Discard at the same time one succeeds.
//
// It returns the item as it then is, also when it has been discarded before.
// It needs no channel: what is held of one that was removed can be discarded. Errors:
// ErrNotFound, and ErrState when the item is something else by now.
func (d *Desk) Discard(ctx context.Context, by Actor, id ItemID) (*Item, error) {
	var out *Item
	_, err := d.decide(ctx, by, func() Want { return Want{Items: []ItemID{id}} }, func(u *unit) error {
		out = u.snap.Items[id]
		switch i := out; {
		case i == nil:
			return fmt.Errorf("item %q: %w", id, ErrNotFound)
		case i.Disposition == DisposedIgnored && i.Cause == CauseDiscarded:
			return errNothing
		case i.Disposition != DisposedQuarantined && i.Disposition != DisposedWaiting:
			return fmt.Errorf("item %q is not quarantined: %w", id, ErrState)
		}
		u.discard(out)
		return nil
	})
	if err != nil {
		return nil, err
	}
	return out, nil
}

// discard empties an item. Its work, if it waits, finds that nothing is to be done.
func (u *unit) discard(i *Item) {
	u.event(Event{Type: EventItemDiscarded, Channel: i.Channel, Data: map[string]string{
		"item": string(i.ID), "was": string(i.Disposition), "cause": string(i.Cause)}})
	u.dropHeld(i)
	u.dropRaw(i)
	i.Disposition, i.Cause, i.Detail, i.Held = DisposedIgnored, CauseDiscarded, "", nil
	u.editItem(i)
}

// still fails if an item is not as it was when it was looked at.
func (u *unit) still(id ItemID, revision int64) error {
	i := u.snap.Items[id]
	if i != nil && i.Revision == revision {
		return nil
	}
	return fmt.Errorf("item %q became something else meanwhile: %w: %w", id, ErrState, errStale)
}

// RawItem returns the raw form of an item that is held, byte for byte, for who
// decides what becomes of it. It may be read while ctx lasts. Error: ErrNotFound,
// also when nothing is held of it.
func (d *Desk) RawItem(ctx context.Context, id ItemID) (channel.Body, error) {
	snap, err := d.store.Snapshot(ctx, Want{Items: []ItemID{id}})
	if err != nil {
		return nil, fmt.Errorf("ticket: read item: %w", err)
	}
	i := snap.Items[id]
	if i == nil || i.Raw.IsZero() || i.Disposition != DisposedQuarantined && i.Disposition != DisposedWaiting {
		return nil, fmt.Errorf("raw form of item %q: %w", id, ErrNotFound)
	}
	return d.body(ctx, i.Raw)
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
