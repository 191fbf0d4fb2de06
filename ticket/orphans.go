package ticket

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"time"
)

// A body in Blobs has a counter in the store: how many messages and items refer
// to it. It moves in the commits that add and remove references, so it is right
// whatever crashes. To remove a body its counter is first raised, in a commit of
// its own, by more than any commit that refers to the body allows: that commit
// fails if something refers to the body, and once it is done nothing can. No
// clock and no grace is needed for that to be safe; Timing.OrphanAge only spares
// commits under way from failing.
const (
	// maxReferences bounds the references to one body.
	maxReferences = 1 << 20
	// collected is what the counter of a body that is removed stands at.
	collected = 1 << 40
	// collectedFor is how long the store remembers that. It is longer than any
	// commit can be under way.
	collectedFor = 30 * 24 * time.Hour
	// collectTime bounds removing bodies in passing; the sweep finds the rest.
	collectTime = 5 * time.Second
	// sweepPage is how many bodies are looked up at once.
	sweepPage = 200
)

// errCollected says that a body was removed, as nothing referred to it, before
// the commit that was to. The source sends it again.
var errCollected = errors.New("ticket: a body was removed before it was committed")

func bodyCounter(id BodyID) string { return "body:" + string(id) }

// newBlobID returns the id of a new body in Blobs. Its first part is the
// portal's own, so that a sweep never touches the bodies of other portals, nor
// files that are not ours.
func (d *Desk) newBlobID() BodyID { return BodyID(d.ring.bodyMark() + newID()) }

// bodyMark begins the ids of the portal's bodies. It comes from the oldest
// secret, which stays when newer ones are added.
func (k *keyRing) bodyMark() string {
	if len(k.Secrets) == 0 {
		return ""
	}
	h := hmac.New(sha256.New, k.Secrets[len(k.Secrets)-1])
	h.Write([]byte("anteroom body mark\x00"))
	return hex.EncodeToString(h.Sum(nil)[:5]) + "-"
}

// references returns the bodies in Blobs that m refers to.
func (m *Message) references() (ids []BodyID) {
	if m.Raw.Blob {
		ids = append(ids, m.Raw.ID)
	}
	for i := range m.Attachments {
		if m.Attachments[i].Body.Blob {
			ids = append(ids, m.Attachments[i].Body.ID)
		}
	}
	return ids
}

// references returns the bodies in Blobs that i refers to. What became a message
// is the message's.
func (i *Item) references() (ids []BodyID) {
	if i.Disposition == DisposedMessage {
		return nil
	}
	if i.Raw.Blob {
		ids = append(ids, i.Raw.ID)
	}
	for _, a := range i.heldAttachments() {
		if a.Body.Blob {
			ids = append(ids, a.Body.ID)
		}
	}
	return ids
}

// readReferences notes what the entities that were read refer to.
func (u *unit) readReferences() {
	for id, m := range u.snap.Messages {
		if ids := m.references(); ids != nil {
			u.referred[id] = ids
		}
	}
	for id, i := range u.snap.Items {
		if ids := i.references(); ids != nil {
			u.referred[id] = ids
		}
	}
}

// countReferences adds to the changes what they do to the references to bodies.
func (u *unit) countReferences() {
	delta := map[BodyID]int64{}
	add := func(ids []BodyID, n int64) {
		for _, id := range ids {
			delta[id] += n
		}
	}
	for _, m := range u.c.Messages {
		add(u.referred[m.ID], -1)
		add(m.references(), 1)
	}
	for _, i := range u.c.Items {
		add(u.referred[i.ID], -1)
		add(i.references(), 1)
	}
	ids := make([]BodyID, 0, len(delta))
	for id := range delta {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	for _, id := range ids {
		switch n := delta[id]; {
		case n > 0:
			u.kept = append(u.kept, id)
			u.c.Counts = append(u.c.Counts, Count{Name: bodyCounter(id), Add: n, Max: maxReferences})
		case n < 0:
			u.freed = append(u.freed, id)
			u.c.Counts = append(u.c.Counts, Count{Name: bodyCounter(id), Add: n})
		}
	}
}

// references returns all bodies in Blobs that the changes refer to.
func (u *unit) references() map[BodyID]bool {
	all := map[BodyID]bool{}
	for _, m := range u.c.Messages {
		for _, id := range m.references() {
			all[id] = true
		}
	}
	for _, i := range u.c.Items {
		for _, id := range i.references() {
			all[id] = true
		}
	}
	return all
}

// checkBodies returns errCollected if one of the bodies has been removed.
func (d *Desk) checkBodies(ctx context.Context, ids []BodyID) error {
	if len(ids) == 0 {
		return nil
	}
	states, err := d.bodyCounters(ctx, ids)
	if err != nil {
		return err
	}
	for _, n := range states {
		if n >= collected {
			return errCollected
		}
	}
	return nil
}

func (d *Desk) bodyCounters(ctx context.Context, ids []BodyID) (map[BodyID]int64, error) {
	w := Want{Now: d.now()}
	for _, id := range ids {
		w.Counters = append(w.Counters, bodyCounter(id))
	}
	snap, err := d.store.Snapshot(ctx, w)
	if err != nil {
		return nil, fmt.Errorf("ticket: read references: %w", err)
	}
	states := make(map[BodyID]int64, len(ids))
	for _, id := range ids {
		states[id] = snap.Counters[bodyCounter(id)]
	}
	return states, nil
}

// collect removes a body if nothing refers to it, which it reports.
func (d *Desk) collect(ctx context.Context, id BodyID) (bool, error) {
	now := d.now()
	c := &Changes{At: now, Counts: []Count{{Name: bodyCounter(id), Add: collected, Max: collected, Expires: now.Add(collectedFor)}}}
	err := d.commit(ctx, c)
	if errors.Is(err, ErrLimit) {
		// It is referred to, or it was to be removed before.
		if err := d.checkBodies(ctx, []BodyID{id}); !errors.Is(err, errCollected) {
			return false, err
		}
	} else if err != nil {
		return false, fmt.Errorf("ticket: remove body: %w", err)
	}
	if err := d.cfg.Blobs.Delete(ctx, id); err != nil {
		return false, fmt.Errorf("ticket: remove body: %w", err)
	}
	return true, nil
}

// collectAll removes those bodies that nothing refers to any more. Where that
// fails they are orphans, which the sweep finds.
func (d *Desk) collectAll(ctx context.Context, ids []BodyID) {
	if d.cfg.Blobs == nil || len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), collectTime)
	defer cancel()
	for _, id := range ids {
		if _, err := d.collect(ctx, id); err != nil {
			d.log.Warn("remove body", "body", id, slog.Any("error", err))
			return
		}
	}
}

// deleteBlobs removes bodies that were never in a commit that may have happened.
func (d *Desk) deleteBlobs(ctx context.Context, ids []BodyID) {
	if d.cfg.Blobs == nil || len(ids) == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), collectTime)
	defer cancel()
	for _, id := range ids {
		if err := d.cfg.Blobs.Delete(ctx, id); err != nil {
			d.log.Warn("remove body", "body", id, slog.Any("error", err))
			return
		}
	}
}

// sweepBodies removes orphans now and then: bodies in Blobs that nothing refers
// to, as a crash leaves them between the body and the commit. The lease is the
// timetable: it is not given up, so that there is one sweep in Timing.Sweep over
// all nodes and restarts.
func (d *Desk) sweepBodies(ctx context.Context) {
	look := d.cfg.Timing.Sweep / 24
	wait := rand.N(look + 1)
	for sleep(ctx, wait) == nil {
		wait = look
		now := d.now()
		held, err := d.store.Lease(ctx, "sweep", d.cfg.Node+"-"+randomToken(6), now, now.Add(d.cfg.Timing.Sweep))
		if err == nil && held {
			err = d.sweep(ctx)
		}
		if err != nil && ctx.Err() == nil {
			d.log.Warn("sweep bodies", slog.Any("error", err))
		}
	}
}

// sweep looks at all bodies once. One that cannot be removed does not keep the
// others.
func (d *Desk) sweep(ctx context.Context) error {
	mark, before := d.ring.bodyMark(), d.now().Add(-d.cfg.Timing.OrphanAge)
	if mark == "" {
		return nil
	}
	var page []BodyID
	var failed error
	removed := 0
	flush := func() error {
		states, err := d.bodyCounters(ctx, page)
		if err != nil {
			return err
		}
		for _, id := range page {
			if n := states[id]; n > 0 && n < collected {
				continue
			}
			gone, err := d.collect(ctx, id)
			switch {
			case ctx.Err() != nil:
				return ctx.Err()
			case err != nil:
				failed = err
			case gone:
				removed++
			}
		}
		page = page[:0]
		return nil
	}
	var stop error
	err := d.cfg.Blobs.List(ctx, func(id BodyID, _ int64, at time.Time) bool {
		if !strings.HasPrefix(string(id), mark) || at.After(before) {
			return true
		}
		if page = append(page, id); len(page) == sweepPage {
			stop = flush()
		}
		return stop == nil
	})
	if stop == nil && err == nil && len(page) > 0 {
		stop = flush()
	}
	if removed > 0 {
		d.log.Info("removed bodies that nothing refers to", "bodies", removed)
	}
	return errors.Join(err, stop, failed)
}
