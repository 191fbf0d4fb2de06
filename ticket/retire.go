package ticket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// recordMove marks a portal that has moved away, or that is being moved in. It
// is never exported.
const recordMove RecordKind = "move"

func retiredRef() RecordRef { return RecordRef{recordMove, "retired"} }

func importingRef() RecordRef { return RecordRef{recordMove, "importing"} }

// importedRef names the export that the portal came from.
func importedRef() RecordRef { return RecordRef{recordMove, "imported"} }

// Errors of moving a portal; see [Export].
var (
	// ErrRetired says that the portal has been retired: it moved elsewhere, and
	// nothing may run here. See [Reinstate].
	ErrRetired = errors.New("ticket: the portal is retired")
	// ErrNotRetired says that a portal must be retired before it is exported.
	ErrNotRetired = errors.New("ticket: the portal is not retired")
	// ErrInUse says that a desk still runs on the portal, or did a moment ago.
	ErrInUse = errors.New("ticket: the portal is in use")
	// ErrImporting says that a portal has not come in as a whole.
	ErrImporting = errors.New("ticket: the import of the portal has not ended")
)

// retiredOwner owns the work of a retired portal.
const retiredOwner = "retired"

// retiredUntil is the end of its leases.
func retiredUntil() time.Time { return time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC) }

// Retire closes a portal for good, so that it can be exported and run elsewhere,
// and nothing is sent or received twice. From its first commit on no [New]
// succeeds; a desk that runs notices within Timing.Refresh, at once on stores that
// are a [Watcher], and Run ends with ErrRetired. It then takes the leases of all
// work and of all channels that receive on one node: whoever had one, however
// late it wakes, can commit nothing under it.
//
// It returns ErrInUse, naming who, while such a lease lasts: stop the processes
// and call it again. After a crash leases last up to Timing.Lease. Retiring what
// is retired is fine. What is in the portal stays as it is. The store must be a
// [Dumper], else the error is errors.ErrUnsupported.
func Retire(ctx context.Context, s Store, now time.Time) error {
	d, ok := s.(Dumper)
	if !ok {
		return fmt.Errorf("ticket: retire: the store is no Dumper: %w", errors.ErrUnsupported)
	}
	snap, err := s.Snapshot(ctx, Want{Records: []RecordRef{retiredRef(), importingRef()}})
	if err != nil {
		return fmt.Errorf("ticket: retire: %w", err)
	}
	if snap.Records[importingRef()] != nil {
		return fmt.Errorf("ticket: retire: %w", ErrImporting)
	}
	if snap.Records[retiredRef()] == nil {
		doc, err := json.Marshal(struct {
			At time.Time `json:"at"`
		}{now.UTC()})
		if err != nil {
			return fmt.Errorf("ticket: retire: %w", err)
		}
		err = s.Commit(ctx, &Changes{At: now, Records: []*Record{{Kind: recordMove, ID: retiredRef().ID, Doc: doc}}})
		if err != nil && !errors.Is(err, ErrConflict) { // another has
			return fmt.Errorf("ticket: retire: %w", err)
		}
	}
	if err := takeChannels(ctx, s, now); err != nil {
		return err
	}
	return eachDumped(ctx, d, TableWorks, func(c *Changes) error {
		var take []*Work
		for _, w := range c.Works {
			switch {
			case w.Parked || w.Owner == retiredOwner:
			case w.LeaseUntil.After(now):
				return fmt.Errorf("ticket: retire: %s has %s work until %s: %w", w.Owner, w.Kind, w.LeaseUntil.Format(time.RFC3339), ErrInUse)
			default:
				w.Owner, w.LeaseUntil = retiredOwner, retiredUntil()
				take = append(take, w)
			}
		}
		if len(take) == 0 {
			return nil
		}
		err := s.Commit(ctx, &Changes{At: now, Works: take})
		if errors.Is(err, ErrConflict) {
			err = fmt.Errorf("work was claimed meanwhile: %w", ErrInUse)
		}
		if err != nil {
			return fmt.Errorf("ticket: retire: %w", err)
		}
		return nil
	})
}

// takeChannels takes the leases of receiving.
func takeChannels(ctx context.Context, s Store, now time.Time) error {
	snap, err := s.Snapshot(ctx, Want{Kinds: []RecordKind{recordChannel}})
	if err != nil {
		return fmt.Errorf("ticket: retire: %w", err)
	}
	for ref := range snap.Records {
		name := receiveLease(channel.ID(ref.ID))
		held, err := s.Lease(ctx, name, retiredOwner, now, retiredUntil())
		if err == nil && !held {
			err = fmt.Errorf("a node receives on channel %s: %w", ref.ID, ErrInUse)
		}
		if err != nil {
			return fmt.Errorf("ticket: retire: %w", err)
		}
	}
	return nil
}

func receiveLease(id channel.ID) string { return "receive:" + string(id) }

// Reinstate undoes [Retire], when a move is given up: desks can run again, and
// work goes on where it was. It must not be called once the portal runs
// elsewhere. Reinstating what is not retired is fine.
func Reinstate(ctx context.Context, s Store, now time.Time) error {
	d, ok := s.(Dumper)
	if !ok {
		return fmt.Errorf("ticket: reinstate: the store is no Dumper: %w", errors.ErrUnsupported)
	}
	err := eachDumped(ctx, d, TableWorks, func(c *Changes) error {
		var give []*Work
		for _, w := range c.Works {
			if w.Owner == retiredOwner {
				w.Owner, w.LeaseUntil = "", time.Time{}
				give = append(give, w)
			}
		}
		if len(give) == 0 {
			return nil
		}
		return s.Commit(ctx, &Changes{At: now, Works: give})
	})
	if err != nil {
		return fmt.Errorf("ticket: reinstate: %w", err)
	}
	snap, err := s.Snapshot(ctx, Want{Records: []RecordRef{retiredRef()}, Kinds: []RecordKind{recordChannel}})
	if err != nil {
		return fmt.Errorf("ticket: reinstate: %w", err)
	}
	for ref := range snap.Records {
		if ref.Kind != recordChannel {
			continue
		}
		if _, err := s.Lease(ctx, receiveLease(channel.ID(ref.ID)), retiredOwner, now, now); err != nil {
			return fmt.Errorf("ticket: reinstate: %w", err)
		}
	}
	if rec := snap.Records[retiredRef()]; rec != nil {
		err := s.Commit(ctx, &Changes{At: now, Records: []*Record{{Kind: rec.Kind, ID: rec.ID, Revision: rec.Revision}}})
		if err != nil {
			return fmt.Errorf("ticket: reinstate: %w", err)
		}
	}
	return nil
}

// dumpPage is how many rows are read at once. Bodies and messages are larger
// than the rest.
func dumpPage(t Table) int {
	switch t {
	case TableBodies:
		return 16
	case TableMessages, TableItems:
		return 50
	}
	return 500
}

// eachDumped calls f with each page of a table.
func eachDumped(ctx context.Context, d Dumper, t Table, f func(c *Changes) error) error {
	p := Page{Limit: dumpPage(t)}
	for {
		c, next, err := d.Dump(ctx, t, p)
		if err != nil {
			return fmt.Errorf("ticket: read %s: %w", t, err)
		}
		if err := f(c); err != nil {
			return err
		}
		if next == "" {
			return nil
		}
		p.After = next
	}
}

// noticeMove ends the desk if its portal has moved.
func (d *Desk) noticeMove(snap *Snapshot) error {
	switch {
	case snap.Records[importingRef()] != nil:
		return ErrImporting
	case snap.Records[retiredRef()] == nil:
		return nil
	}
	d.retired.Store(true)
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.run != nil {
		d.run.stop()
	}
	return ErrRetired
}
