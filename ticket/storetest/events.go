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
			got, err := k.s.Events(k.ctx, ticket.EventFilter{}, 100)
			k.ok(err, "Events")
			k.same("events", got, want)
			got, err = k.s.Events(k.ctx, ticket.EventFilter{After: 2}, 3)
			k.ok(err, "Events")
			k.same("three after 2", got, want[2:5])
			got, err = k.s.Events(k.ctx, ticket.EventFilter{After: 6}, 3)
			k.ok(err, "Events")
			k.must(len(got) == 0, "events after the last one: %s", show(got))
			got, err = k.s.Events(k.ctx, ticket.EventFilter{After: 1000}, 3)
			k.ok(err, "Events")
			k.must(len(got) == 0, "events after a cursor that is not yet: %s", show(got))
		}},
		{"the newest events come first if asked", newestEvents},
		{"events of a ticket are found apart from all others", eventsOfTickets},
		{"cursors have no gaps under concurrent commits", gapFree},
		{"followers never skip", followers},
	}
}

// storm commits events from several goroutines, some of which fail for a
// conflict. Of each two events the second is of one of the tickets. It returns
// what succeeded, by cursor.
func (k *kit) storm(writers, commits int, tickets ...ticket.TicketID) map[int64]*ticket.Event {
	k.Helper()
	key := ticket.NewKey("storm")
	k.commit(&ticket.Changes{Claims: []ticket.KeyClaim{{Key: key, Ref: ticket.Ref{Kind: ticket.RefItem, ID: k.id()}}}})
	var mu sync.Mutex
	written := map[int64]*ticket.Event{}
	var failed error
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			for i := range commits {
				c := &ticket.Changes{At: k.now, Events: []*ticket.Event{k.newEvent(), k.newEvent()}}
				c.Events[1].Ticket = tickets[(w+i)%len(tickets)]
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
						if written[e.Cursor] != nil {
							failed = fmt.Errorf("cursor %d was given twice", e.Cursor)
						}
						written[e.Cursor] = e
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
	tickets := []ticket.TicketID{k.newTicket().ID, k.newTicket().ID}
	written := k.storm(8, 12, tickets...)
	events := k.events(ticket.EventFilter{}, 10*len(written))
	k.must(len(events) == len(written), "%d events, want %d", len(events), len(written))
	for i, e := range events {
		k.must(e.Cursor == int64(i+1), "event %d has cursor %d", i+1, e.Cursor)
		k.must(e.ID == written[e.Cursor].ID, "cursor %d is event %s, but was given to %s", e.Cursor, e.ID, written[e.Cursor].ID)
	}
	for _, id := range tickets {
		k.same("events of a ticket", k.events(ticket.EventFilter{Ticket: id}, 10*len(written)), ofTicket(events, id))
	}
}

// followers read while others write. Whoever sees a cursor must have seen all
// before it; the last reader, all of its ticket's.
func followers(k *kit) {
	const readers = 4
	id := k.newTicket().ID
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
				f := ticket.EventFilter{After: after}
				if r == readers-1 {
					f.Ticket = id
				}
				events, err := k.s.Events(k.ctx, f, 5+r)
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
	written := k.storm(6, 10, id, k.newTicket().ID)
	end()
	for r, events := range seen {
		k.ok(failed[r], "Events")
		if r == readers-1 {
			k.same("what a reader got of a ticket", events, ofTicket(seen[0], id))
			continue
		}
		for i, e := range events {
			k.must(e.Cursor == int64(i+1), "reader %d got cursor %d in place %d", r, e.Cursor, i+1)
		}
		k.must(len(events) == len(written), "reader %d got %d of %d events", r, len(events), len(written))
	}
}

// events lists events.
func (k *kit) events(f ticket.EventFilter, limit int) []*ticket.Event {
	k.Helper()
	events, err := k.s.Events(k.ctx, f, limit)
	k.ok(err, "Events")
	return events
}

// ofTicket returns those of events that are a ticket's.
func ofTicket(events []*ticket.Event, id ticket.TicketID) (out []*ticket.Event) {
	for _, e := range events {
		if e.Ticket == id {
			out = append(out, e)
		}
	}
	return out
}

func newestEvents(k *kit) {
	none := k.events(ticket.EventFilter{Newest: true}, 3)
	k.must(len(none) == 0, "the newest of no events: %s", show(none))
	var want []*ticket.Event // newest first
	for range 5 {
		c := &ticket.Changes{Events: []*ticket.Event{k.newEvent(), k.newEvent()}}
		k.commit(c)
		want = append([]*ticket.Event{c.Events[1], c.Events[0]}, want...)
		k.same("the newest", k.events(ticket.EventFilter{Newest: true}, 1), want[:1])
	}
	k.same("all, newest first", k.events(ticket.EventFilter{Newest: true}, 100), want)
	k.same("the newest three", k.events(ticket.EventFilter{Newest: true}, 3), want[:3])
	for _, after := range []int64{1, 9, 10, 1000} {
		k.same("the newest, whatever After is", k.events(ticket.EventFilter{Newest: true, After: after}, 3), want[:3])
	}
}

// eventsOfTickets writes events of two tickets and of none, most of them not
// the first ticket's.
func eventsOfTickets(k *kit) {
	one, two, other := k.newTicket().ID, k.newTicket().ID, k.in("other")
	var all, theirs []*ticket.Event
	for i := range 40 {
		e, elsewhere := k.newEvent(), k.newEvent()
		elsewhere.Ticket = one
		switch {
		case i%10 == 7:
			e.Ticket = one
		case i%2 == 0:
			e.Ticket = two
		}
		all, theirs = append(all, e), append(theirs, elsewhere)
	}
	for i := 0; i < len(all); i += 10 {
		k.commit(&ticket.Changes{Events: all[i : i+10]})
		other.commit(&ticket.Changes{Events: theirs[i : i+10]})
	}
	want := ofTicket(all, one) // of cursors 8, 18, 28, 38
	newest := []*ticket.Event{want[3], want[2], want[1], want[0]}
	for what, tc := range map[string]struct {
		f     ticket.EventFilter
		limit int
		want  []*ticket.Event
	}{
		"all of one":                  {ticket.EventFilter{Ticket: one}, 100, want},
		"all of the other":            {ticket.EventFilter{Ticket: two}, 100, ofTicket(all, two)},
		"as many as asked":            {ticket.EventFilter{Ticket: one}, 3, want[:3]},
		"after one of them":           {ticket.EventFilter{Ticket: one, After: 18}, 100, want[2:]},
		"after another's":             {ticket.EventFilter{Ticket: one, After: 9}, 2, want[1:3]},
		"after its last":              {ticket.EventFilter{Ticket: one, After: 38}, 3, nil},
		"after the last of all":       {ticket.EventFilter{Ticket: one, After: 1000}, 3, nil},
		"its newest":                  {ticket.EventFilter{Ticket: one, Newest: true}, 1, newest[:1]},
		"all of it, newest first":     {ticket.EventFilter{Ticket: one, Newest: true}, 100, newest},
		"newest first, whatever else": {ticket.EventFilter{Ticket: one, Newest: true, After: 28}, 3, newest[:3]},
		"of a ticket without any":     {ticket.EventFilter{Ticket: k.newTicket().ID}, 3, nil},
		"of all tickets and of none":  {ticket.EventFilter{}, 100, all},
	} {
		got := k.events(tc.f, tc.limit)
		if len(got)+len(tc.want) > 0 {
			k.same("events, "+what, got, tc.want)
		}
	}
	k.same("events of the other portal", other.events(ticket.EventFilter{Ticket: one}, 100), theirs)
	none := other.events(ticket.EventFilter{Ticket: two}, 100)
	k.must(len(none) == 0, "another portal shows the events of a ticket: %s", show(none))
}
