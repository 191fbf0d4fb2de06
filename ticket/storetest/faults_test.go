package storetest

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

// The faults of broken stores.

func releaseFirst(c *ticket.Changes) {
	for _, k := range c.Claims {
		c.Releases = append(slices.Clip(c.Releases), k.Key)
	}
}

func bareConflict(s *store) {
	s.commit = func(ctx context.Context, c *ticket.Changes) error {
		err := s.Store.Commit(ctx, c)
		if errors.Is(err, ticket.ErrConflict) {
			return ticket.ErrConflict
		}
		return err
	}
}

// retried commits again with the revisions that are there.
func retried(s *store, only func(revision int64) bool) {
	s.commit = func(ctx context.Context, c *ticket.Changes) error {
		err := s.Store.Commit(ctx, c)
		if !errors.Is(err, ticket.ErrConflict) || len(c.Contacts) == 0 || !only(c.Contacts[0].Revision) {
			return err
		}
		id := c.Contacts[0].ID
		snap, _ := s.Store.Snapshot(ctx, ticket.Want{Contacts: []ticket.ContactID{id}})
		if v := snap.Contacts[id]; v != nil {
			c.Contacts[0].Revision = v.Revision
		}
		return s.Store.Commit(ctx, c)
	}
}

func uncheckedRevisions(s *store) { retried(s, func(r int64) bool { return r != 0 }) }

func overwriting(s *store) { retried(s, func(r int64) bool { return r == 0 }) }

func unbounded(c *ticket.Changes) {
	c.Counts = append([]ticket.Count(nil), c.Counts...)
	for i := range c.Counts {
		c.Counts[i].Max = 0
	}
}

func cutNames(c *ticket.Changes) {
	c.Counts = slices.Clone(c.Counts)
	for i := range c.Counts {
		c.Counts[i].Name = c.Counts[i].Name[:min(len(c.Counts[i].Name), 255)]
	}
}

func eternal(counts []ticket.Count) []ticket.Count {
	counts = append([]ticket.Count(nil), counts...)
	for i := range counts {
		counts[i].Expires = time.Time{}
	}
	return counts
}

func halfWritten(s *store) {
	s.commit = func(ctx context.Context, c *ticket.Changes) error {
		err := s.Store.Commit(ctx, c)
		if err != nil {
			_ = s.Store.Commit(ctx, &ticket.Changes{Contacts: c.Contacts})
		}
		return err
	}
}

// racingCounters checks bounds before the commit instead of within.
func racingCounters(s *store) {
	s.commit = func(ctx context.Context, c *ticket.Changes) error {
		for _, n := range c.Counts {
			snap, err := s.Store.Snapshot(ctx, ticket.Want{Counters: []string{n.Name}, Now: c.At})
			if err != nil {
				return err
			}
			if n.Max > 0 && snap.Counters[n.Name]+n.Add > n.Max {
				return ticket.ErrLimit
			}
			runtime.Gosched()
		}
		copied := *c
		unbounded(&copied)
		return s.Store.Commit(ctx, &copied)
	}
}

func skippingEvents(s *store) {
	s.events = func(ctx context.Context, f ticket.EventFilter, limit int) ([]*ticket.Event, error) {
		events, err := s.Store.Events(ctx, f, limit)
		if len(events) > 2 {
			events = append(events[:1], events[2:]...)
		}
		return events, err
	}
}

// unsettledEvents hides an event for a while, as a database does that numbers
// events before it commits them.
func unsettledEvents(s *store) {
	var calls atomic.Int64
	s.events = func(ctx context.Context, f ticket.EventFilter, limit int) ([]*ticket.Event, error) {
		events, err := s.Store.Events(ctx, f, limit)
		if calls.Add(1)%2 == 1 && len(events) > 1 {
			events = append(events[:len(events)-2], events[len(events)-1])
		}
		return events, err
	}
}

func unfilteredEvents(s *store) {
	s.events = func(ctx context.Context, f ticket.EventFilter, limit int) ([]*ticket.Event, error) {
		f.Ticket = ""
		return s.Store.Events(ctx, f, limit)
	}
}

// lateFilteredEvents looks for a ticket's events among the first few only.
func lateFilteredEvents(s *store) {
	s.events = func(ctx context.Context, f ticket.EventFilter, limit int) ([]*ticket.Event, error) {
		id := f.Ticket
		f.Ticket = ""
		events, err := s.Store.Events(ctx, f, limit)
		if id != "" {
			events = ofTicket(events, id)
		}
		return events, err
	}
}

func oldestEvents(s *store) {
	s.events = func(ctx context.Context, f ticket.EventFilter, limit int) ([]*ticket.Event, error) {
		f.Newest = false
		return s.Store.Events(ctx, f, limit)
	}
}

// newestAfter heeds After also from the end.
func newestAfter(s *store) {
	s.events = func(ctx context.Context, f ticket.EventFilter, limit int) ([]*ticket.Event, error) {
		events, err := s.Store.Events(ctx, f, limit)
		return slices.DeleteFunc(events, func(e *ticket.Event) bool { return e.Cursor <= f.After }), err
	}
}

func sharedClaims(s *store) {
	s.claim = func(ctx context.Context, c ticket.Claim) ([]*ticket.Work, time.Time, error) {
		until := c.Until
		c.Until = c.Now // is over at once
		works, next, err := s.Store.Claim(ctx, c)
		for _, w := range works {
			w.LeaseUntil = until
		}
		return works, next, err
	}
}

func eternalLeases(s *store) {
	s.claim = func(ctx context.Context, c ticket.Claim) ([]*ticket.Work, time.Time, error) {
		c.Until = c.Until.Add(1000 * time.Hour)
		return s.Store.Claim(ctx, c)
	}
}

func unparked(c *ticket.Changes) {
	for _, w := range c.Works {
		w.Parked = false
	}
}

func noNext(s *store) {
	s.claim = func(ctx context.Context, c ticket.Claim) ([]*ticket.Work, time.Time, error) {
		works, _, err := s.Store.Claim(ctx, c)
		return works, time.Time{}, err
	}
}

func openLeases(s *store) {
	s.lease = func(context.Context, string, string, time.Time, time.Time) (bool, error) { return true, nil }
}

func noFollow(s *store) {
	s.snapshot = func(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error) {
		w.Follow = false
		return s.Store.Snapshot(ctx, w)
	}
}

func eachText(s *ticket.Snapshot, from, to string) {
	for _, m := range s.Messages {
		m.Text = strings.ReplaceAll(m.Text, from, to)
	}
}

func forgetful(c *ticket.Changes) {
	for i, m := range c.Messages {
		copied := *m
		copied.Envelope.NullPath = false
		c.Messages = append([]*ticket.Message(nil), c.Messages...)
		c.Messages[i] = &copied
	}
}

func localTimes(s *ticket.Snapshot) {
	for _, t := range s.Tickets {
		t.CreatedAt = t.CreatedAt.In(time.FixedZone("+07", 7*3600))
	}
}

// sharedPointers gives the same tickets to all who list.
func sharedPointers(s *store) {
	var mu sync.Mutex
	given := map[string]*ticket.Ticket{}
	s.tickets = func(ctx context.Context, f ticket.TicketFilter, p ticket.Page) ([]*ticket.Ticket, ticket.Next, error) {
		list, next, err := s.Store.Tickets(ctx, f, p)
		mu.Lock()
		defer mu.Unlock()
		for i, t := range list {
			version := fmt.Sprint(t.ID, t.Revision)
			if given[version] == nil {
				given[version] = t
			}
			list[i] = given[version]
		}
		return list, next, err
	}
}

func leakingPortals() ticket.Backend {
	return broken{memstore.New(), func(b ticket.Backend, _ string) ticket.Store { return b.Portal("all") }}
}

func undeleted(c *ticket.Changes) {
	for _, t := range c.Tickets {
		t.DeletedAt = time.Time{}
	}
}

// offsetPages names places by how many entries are before them.
func offsetPages(s *store) {
	s.tickets = func(ctx context.Context, f ticket.TicketFilter, p ticket.Page) ([]*ticket.Ticket, ticket.Next, error) {
		var offset int
		if p.After != "" {
			if _, err := fmt.Sscanf(string(p.After), "%d", &offset); err != nil {
				return nil, "", ticket.ErrBadCursor
			}
		}
		all, _, err := s.Store.Tickets(ctx, f, ticket.Page{Limit: 500})
		if err != nil || offset >= len(all) {
			return nil, "", err
		}
		all = all[offset:]
		if len(all) <= p.Size() {
			return all, "", nil
		}
		return all[:p.Size()], ticket.Next(fmt.Sprint(offset + p.Size())), nil
	}
}

func unfiltered(s *store) {
	s.tickets = func(ctx context.Context, f ticket.TicketFilter, p ticket.Page) ([]*ticket.Ticket, ticket.Next, error) {
		f.Channel = ""
		return s.Store.Tickets(ctx, f, p)
	}
}

func anyTerm(s *store) {
	s.tickets = func(ctx context.Context, f ticket.TicketFilter, p ticket.Page) ([]*ticket.Ticket, ticket.Next, error) {
		if len(f.Terms) > 1 {
			f.Terms = f.Terms[:1]
		}
		return s.Store.Tickets(ctx, f, p)
	}
}

func lenientCursors(s *store) {
	s.tickets = func(ctx context.Context, f ticket.TicketFilter, p ticket.Page) ([]*ticket.Ticket, ticket.Next, error) {
		list, next, err := s.Store.Tickets(ctx, f, p)
		if errors.Is(err, ticket.ErrBadCursor) {
			p.After = ""
			return s.Store.Tickets(ctx, f, p)
		}
		return list, next, err
	}
}

func deafStore(s *store) {
	s.commit = func(ctx context.Context, c *ticket.Changes) error {
		return s.Store.Commit(context.WithoutCancel(ctx), c)
	}
}

func unblanked(c *ticket.Changes) {
	for _, m := range c.Messages {
		m.Search = strings.TrimSpace(m.Search)
	}
}

func unredacted(c *ticket.Changes) {
	for _, m := range c.Messages {
		m.RedactedAt = time.Time{}
	}
}

// dumping returns a change of what a dump gives.
func dumping(f func(c *ticket.Changes, next *ticket.Next)) func(s *store) {
	return func(s *store) {
		s.dump = func(ctx context.Context, t ticket.Table, p ticket.Page) (*ticket.Changes, ticket.Next, error) {
			c, next, err := s.below().Dump(ctx, t, p)
			if err == nil {
				f(c, &next)
			}
			return c, next, err
		}
	}
}

func dumpWithoutDeleted(s *store) {
	dumping(func(c *ticket.Changes, _ *ticket.Next) {
		c.Tickets = slices.DeleteFunc(c.Tickets, func(t *ticket.Ticket) bool { return !t.DeletedAt.IsZero() })
	})(s)
}

func dumpWithoutExpiry(s *store) {
	dumping(func(c *ticket.Changes, _ *ticket.Next) { c.Counts = eternal(c.Counts) })(s)
}

func dumpOfOnePage(s *store) {
	dumping(func(_ *ticket.Changes, next *ticket.Next) { *next = "" })(s)
}

func dumpByID(s *store) {
	dumping(func(c *ticket.Changes, _ *ticket.Next) {
		slices.SortFunc(c.Tickets, func(a, b *ticket.Ticket) int { return strings.Compare(string(a.ID), string(b.ID)) })
	})(s)
}

func lenientDump(s *store) {
	s.dump = func(ctx context.Context, t ticket.Table, p ticket.Page) (*ticket.Changes, ticket.Next, error) {
		c, next, err := s.below().Dump(ctx, t, p)
		if errors.Is(err, ticket.ErrBadCursor) {
			p.After = ""
			return s.below().Dump(ctx, t, p)
		}
		return c, next, err
	}
}

func silentCommits(s *store) {
	s.commit = func(ctx context.Context, c *ticket.Changes) error {
		copied := *c
		copied.Contacts = nil
		for _, v := range c.Contacts {
			v := *v
			copied.Contacts = append(copied.Contacts, &v)
		}
		return s.Store.Commit(ctx, &copied)
	}
}
