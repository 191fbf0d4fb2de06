package ticket_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

func (o *office) parked(size int) []ticket.ParkedWork {
	o.t.Helper()
	var out []ticket.ParkedWork
	var after ticket.Next
	for {
		ws, next, err := o.desk.Parked(o.ctx, ticket.Page{Limit: size, After: after})
		require.NoError(o.t, err)
		require.LessOrEqual(o.t, len(ws), size)
		out = append(out, ws...)
		if after = next; next == "" {
			return out
		}
	}
}

func TestNoticesThatWereGivenUpAreListedAndTriedAgain(t *testing.T) {
	notified(t, nil, func(o *office, system *channeltest.Network) {
		refuse := func(n int) {
			for range n {
				system.Fail(sys, channeltest.Fault{Early: true, Err: &channel.SendError{Outcome: channel.NotSent, Reason: "451 relay is down"}})
			}
		}
		const many = 5
		refuse(20 * many)
		for i := range many {
			o.write(box, fmt.Sprintf("c%d@c%d.example", i, i), "Hi", "x")
		}
		require.Empty(t, o.parked(10), "it is still tried")
		time.Sleep(3 * 24 * time.Hour)
		require.Empty(t, system.Sent(sys))
		all := o.parked(2)
		require.Len(t, all, many)
		require.Equal(t, all, o.parked(10))
		about := map[ticket.TicketID]bool{}
		for i, w := range all {
			require.Equal(t, ticket.WorkNotify, w.Kind)
			require.EqualValues(t, "an", w.Agent)
			require.Contains(t, w.LastError, "relay is down")
			require.Equal(t, 20, w.Attempts)
			require.False(t, w.Since.IsZero())
			require.True(t, i == 0 || !w.Since.Before(all[i-1].Since), "in the order in which they were given up")
			about[w.Ticket] = true
		}
		require.Len(t, about, many)
		require.Equal(t, many, o.told(ticket.EventWorkParked))

		require.NoError(t, o.desk.Retry(o.ctx, ticket.Agent("an"), all[0].ID))
		require.ErrorIs(t, o.desk.Retry(o.ctx, ticket.Agent("an"), all[0].ID), ticket.ErrState)
		o.settle()
		require.Len(t, system.Sent(sys), 1)
		require.ErrorIs(t, o.desk.Retry(o.ctx, ticket.Agent("an"), all[0].ID), ticket.ErrNotFound, "it is done")
		require.Equal(t, all[1:], o.parked(3))

		refuse(20) // what fails on is given up once more
		require.NoError(t, o.desk.Retry(o.ctx, ticket.Agent("an"), all[1].ID))
		time.Sleep(3 * 24 * time.Hour)
		again := o.parked(10)
		require.Len(t, again, many-1)
		require.Equal(t, all[1].ID, again[many-2].ID, "the last to be given up")
		for _, w := range again {
			require.NoError(t, o.desk.Retry(o.ctx, ticket.Actor{}, w.ID))
		}
		o.settle()
		require.Empty(t, o.parked(10))
		require.Len(t, system.Sent(sys), many)
		for _, bad := range []ticket.Next{"x", "parked", "parked yesterday w", "parked 2026-11-22T10:00:00.000000Z", "2026-11-22T10:00:00.000000Z w", ticket.Next(strings.Repeat("x", 5000))} {
			_, _, err := o.desk.Parked(o.ctx, ticket.Page{After: bad})
			require.ErrorIs(t, err, ticket.ErrBadCursor)
		}
	})
}

func TestAnAutomaticReplyThatWasGivenUpIsListedAndTriedAgain(t *testing.T) {
	var broken atomic.Bool
	inOffice(t, func(c *ticket.Config) { c.Store = fussy{c.Store, &broken} }, func(o *office) {
		o.mailbox(box, answering())
		broken.Store(true)
		o.write(box, "mai@c.example", "Hi", "x")
		time.Sleep(3 * 24 * time.Hour)
		all := o.parked(10)
		require.Len(t, all, 1)
		require.Equal(t, ticket.WorkAutoReply, all[0].Kind)
		require.NotEmpty(t, all[0].Message)
		require.Contains(t, all[0].LastError, "disk full")
		broken.Store(false)
		require.NoError(t, o.desk.Retry(o.ctx, ticket.Actor{}, all[0].ID))
		time.Sleep(time.Minute)
		require.Len(t, o.net.Sent(box), 1)
		require.Empty(t, o.parked(10))
	})
}

// fussy is a store that takes no decision on an automatic reply while broken.
type fussy struct {
	ticket.Store
	broken *atomic.Bool
}

func (s fussy) Commit(ctx context.Context, c *ticket.Changes) error {
	for _, e := range c.Events {
		if s.broken.Load() && e.Type == ticket.EventAutoReply {
			return errors.New("disk full")
		}
	}
	return s.Store.Commit(ctx, c)
}

// counting counts what is read of records and works.
type counting struct {
	ticket.Store
	records, works *atomic.Int64
}

func (s counting) Snapshot(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error) {
	snap, err := s.Store.Snapshot(ctx, w)
	if err == nil {
		s.records.Add(int64(len(snap.Records)))
		s.works.Add(int64(len(snap.Works)))
	}
	return snap, err
}

func TestAPageOfParkedWorkReadsNoMoreThanThePage(t *testing.T) {
	var records, works atomic.Int64
	var broken atomic.Bool
	const many, size = 12, 3
	inOffice(t, func(c *ticket.Config) { c.Store = counting{fussy{c.Store, &broken}, &records, &works} }, func(o *office) {
		o.mailbox(box, answering())
		broken.Store(true)
		for i := range many {
			o.write(box, fmt.Sprintf("c%d@c%d.example", i, i), "Hi", "x")
		}
		time.Sleep(3 * 24 * time.Hour)
		all := o.parked(2 * many)
		require.Len(t, all, many)
		for i, w := range all {
			require.Equal(t, w.ParkedAt, w.Since)
			require.True(t, i == 0 || !w.Since.Before(all[i-1].Since), "in the order in which they were given up")
		}
		var after ticket.Next
		for at := 0; at < many; at += size {
			records.Store(0)
			works.Store(0)
			page, next, err := o.desk.Parked(o.ctx, ticket.Page{Limit: size, After: after})
			require.NoError(t, err)
			require.Equal(t, all[at:at+size], page)
			require.LessOrEqual(t, records.Load(), int64(size+1))
			require.LessOrEqual(t, works.Load(), int64(size))
			after = next
		}
		require.Empty(t, after)
	})
}
