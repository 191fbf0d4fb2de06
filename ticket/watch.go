package ticket

import (
	"context"
	"slices"
)

// Watcher is an ability of a [Store] to which several processes write: it tells
// of what the others have written, so that nobody has to wait for the next poll.
// A [Desk] uses it while it runs. Polling goes on beneath.
type Watcher interface {
	// Watch calls f soon after another process has written, until ctx ends. A
	// call may be missing, or have no reason. f returns quickly.
	Watch(ctx context.Context, f func(Hint))
}

// Joiner is an ability of a [Store] whose writes can be part of a transaction of
// the host's, which the context carries. A store that wraps such a one has to pass it
// on: without it files are removed at once, also of what is then undone.
type Joiner interface {
	// Joined reports whether what is written with ctx can still be undone. What a
	// [Desk] would remove from Blobs after such a write is left to the sweep; see
	// Timing.Sweep.
	Joined(ctx context.Context) bool
}

// Hint says what has perhaps changed in a portal.
type Hint struct {
	// All says that anything may have changed, as after a broken connection.
	All bool
	// Events says that there are new ones.
	Events bool
	// Lanes have new work.
	Lanes []string
	// Kinds of records have changed.
	Kinds []RecordKind
}

// hinted wakes whoever waits for what has changed.
func (d *Desk) hinted(h Hint) {
	if h.All || h.Events {
		d.feed.broadcast()
	}
	if h.All {
		d.mu.Lock()
		h.Lanes = nil
		for lane := range d.lanes {
			h.Lanes = append(h.Lanes, lane)
		}
		d.mu.Unlock()
	}
	for _, lane := range h.Lanes {
		d.wake(lane)
	}
	configured := func(k RecordKind) bool {
		return k == recordChannel || k == recordQueue || k == recordAgent || k == recordMove
	}
	if h.All || slices.Contains(h.Kinds, recordWebhook) {
		d.hooks.broadcast()
	}
	if h.All || slices.ContainsFunc(h.Kinds, configured) {
		select {
		case d.changed <- struct{}{}:
		default:
		}
	}
}
