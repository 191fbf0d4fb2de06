package storetest

import (
	"errors"
	"fmt"
	"runtime"
	"sync"

	"github.com/anteroom/anteroom/ticket"
)

func eventChecks() []check {
	return []check{
		{"events are numbered from 1 in the order of their commit", func(k *kit) {
			var want []*ticket.Event
			for i := range 4 {
				c := &ticket.Changes{}
				for range i {
					c.Events = append(c.Events, k.newEvent())
				}
				k.commit(c)
				want = append(want, c.Events...)
			}
			for i, e := range want {
				k.must(e.Cursor == int64(i+1), "event %d has cursor %d in its changes", i+1, e.Cursor)
			}
			got, err := k.s.Events(k.ctx, 0, 100)
			k.ok(err, "Events")
			k.same("events", got, want)
			got, err = k.s.Events(k.ctx, 2, 3)
			k.ok(err, "Events")
			k.same("three after 2", got, want[2:5])
			got, err = k.s.Events(k.ctx, 6, 3)
			k.ok(err, "Events")
			k.must(len(got) == 0, "events after the last one: %s", show(got))
			got, err = k.s.Events(k.ctx, 1000, 3)
			k.ok(err, "Events")
			k.must(len(got) == 0, "events after a cursor that is not yet: %s", show(got))
		}},
		{"cursors have no gaps under concurrent commits", gapFree},
		{"followers never skip", followers},
	}
}

// storm commits events from several goroutines, some of which fail for a
// conflict. It returns the number that succeeded, by cursor.
func (k *kit) storm(writers, commits int) map[int64]string {
	k.Helper()
	key := ticket.NewKey("storm")
	k.commit(&ticket.Changes{Claims: []ticket.KeyClaim{{Key: key, Ref: ticket.Ref{Kind: ticket.RefItem, ID: k.id()}}}})
	var mu sync.Mutex
	written := map[int64]string{}
	var failed error
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range commits {
				c := &ticket.Changes{At: k.now, Events: []*ticket.Event{k.newEvent(), k.newEvent()}}
				bad := (w+i)%3 == 0
				if bad {
					c.Claims = []ticket.KeyClaim{{Key: key, Ref: ticket.Ref{Kind: ticket.RefItem, ID: k.id()}}}
				}
				err := k.s.Commit(k.ctx, c)
				mu.Lock()
				switch {
				case bad && !errors.Is(err, ticket.ErrConflict):
					failed = fmt.Errorf("a taken key: %w", err)
				case !bad && err != nil:
					failed = err
				case !bad:
					for _, e := range c.Events {
						if written[e.Cursor] != "" {
							failed = fmt.Errorf("cursor %d was given twice", e.Cursor)
						}
						written[e.Cursor] = e.ID
					}
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	k.ok(failed, "Commit")
	return written
}

func gapFree(k *kit) {
	written := k.storm(8, 12)
	events, err := k.s.Events(k.ctx, 0, 10*len(written))
	k.ok(err, "Events")
	k.must(len(events) == len(written), "%d events, want %d", len(events), len(written))
	for i, e := range events {
		k.must(e.Cursor == int64(i+1), "event %d has cursor %d", i+1, e.Cursor)
		k.must(e.ID == written[e.Cursor], "cursor %d is event %s, but was given to %s", e.Cursor, e.ID, written[e.Cursor])
	}
}

// followers read while others write. Whoever sees a cursor must have seen all
// before it.
func followers(k *kit) {
	const readers = 3
	stop := make(chan struct{})
	seen, failed := make([][]*ticket.Event, readers), make([]error, readers)
	var wg sync.WaitGroup
	for r := range readers {
		wg.Go(func() {
			read := func() bool {
				var after int64
				if n := len(seen[r]); n > 0 {
					after = seen[r][n-1].Cursor
				}
				events, err := k.s.Events(k.ctx, after, 5+r)
				failed[r] = err
				seen[r] = append(seen[r], events...)
				return err == nil && len(events) > 0
			}
			for {
				select {
				case <-stop:
					for read() {
					}
					return
				default:
					if read(); failed[r] != nil {
						return
					}
					runtime.Gosched()
				}
			}
		})
	}
	end := sync.OnceFunc(func() {
		close(stop)
		wg.Wait()
	})
	defer end() // also when the storm fails
	written := k.storm(6, 10)
	end()
	for r, events := range seen {
		k.ok(failed[r], "Events")
		for i, e := range events {
			k.must(e.Cursor == int64(i+1), "reader %d got cursor %d in place %d", r, e.Cursor, i+1)
		}
		k.must(len(events) == len(written), "reader %d got %d of %d events", r, len(events), len(written))
	}
}
