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
// work and of all channels that receive on one node, and last the one under which
// desks write at all: whoever had one, however late it wakes, can commit nothing.
// What a desk acknowledged is in the export, and what comes later it does not
// acknowledge, also if it has noticed nothing yet.
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
		if err := putRetired(ctx, s, retired{At: now.UTC()}, 0); err != nil && !errors.Is(err, ErrConflict) { // another has
			return err
		}
	}
	take := func() error {
		if err := takeChannels(ctx, s, now); err != nil {
			return err
		}
		return takeWorks(ctx, s, d, now)
	}
	if err := take(); err != nil {
		return err
	}
	// Until now those who work could say what became of it. From here on nothing
	// is committed, and what was until then is taken, too.
	held, err := s.Lease(ctx, openHold().Lease, retiredOwner, now, retiredUntil())
	if err == nil && !held {
		err = ErrInUse
	}
	if err != nil {
		return fmt.Errorf("ticket: retire: %w", err)
	}
	if err := take(); err != nil {
		return err
	}
	if snap, err = s.Snapshot(ctx, Want{Records: []RecordRef{retiredRef()}}); err != nil {
		return fmt.Errorf("ticket: retire: %w", err)
	}
	rec := snap.Records[retiredRef()]
	mark, err := readRetired(rec)
	if err != nil || rec == nil || mark.Closed {
		return err // it was reinstated meanwhile, or is retired
	}
	mark.Closed = true
	return putRetired(ctx, s, mark, rec.Revision)
}

// retired is the document of retiredRef.
type retired struct {
	At time.Time `json:"at"`
	// Closed says that nothing can be committed any more: the portal is at rest.
	Closed bool `json:"closed"`
}

// readRetired reads the mark; the zero one if there is none.
func readRetired(rec *Record) (r retired, err error) {
	if rec == nil {
		return r, nil
	}
	if err := json.Unmarshal(rec.Doc, &r); err != nil {
		return r, fmt.Errorf("ticket: read how the portal is retired: %w", err)
	}
	return r, nil
}

func putRetired(ctx context.Context, s Store, r retired, revision int64) error {
	doc, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("ticket: retire: %w", err)
	}
	err = s.Commit(ctx, &Changes{At: r.At, Records: []*Record{{Kind: recordMove, ID: retiredRef().ID, Doc: doc, Revision: revision}}})
	if err != nil {
		return fmt.Errorf("ticket: retire: %w", err)
	}
	return nil
}

// takeWorks takes the leases of all work.
func takeWorks(ctx context.Context, s Store, d Dumper, now time.Time) error {
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
	if _, err := s.Lease(ctx, openHold().Lease, retiredOwner, now, now); err != nil {
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
