package ticket_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

// crowded is a store on which commits of many items lose every race.
type crowded struct {
	ticket.Store
	mu      sync.Mutex
	most    int   // items that a commit may have to win; 0: any
	sizes   []int // items of the commits of several, or after one, in order
	after   int   // commits of items that succeed before err; 0: all
	err     error
	applied int
}

func (s *crowded) Commit(ctx context.Context, c *ticket.Changes) error {
	if len(c.Items) == 0 {
		return s.Store.Commit(ctx, c)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.sizes = append(s.sizes, len(c.Items))
	switch {
	case s.most > 0 && len(c.Items) > s.most:
		return ticket.ErrConflict
	case s.err != nil && s.applied == s.after:
		return s.err
	}
	s.applied++
	return s.Store.Commit(ctx, c)
}

func (s *crowded) set(most, after int, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.most, s.after, s.err, s.applied, s.sizes = most, after, err, 0, nil
}

func (s *crowded) tried() []int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sizes
}

// inCrowd runs f with a mailbox on a crowded store.
func inCrowd(t *testing.T, change func(*ticket.Config), f func(o *office, s *crowded, ch *ticket.Channel)) {
	t.Helper()
	s := &crowded{}
	inOffice(t, func(c *ticket.Config) {
		s.Store = c.Store
		c.Store = s
		if change != nil {
			change(c)
		}
	}, func(o *office) { f(o, s, o.mailbox(box, ticket.Settings{})) })
}

// letters are mails of two customers, in turns; each answers their own one
// before.
func letters(o *office, ch *ticket.Channel, n int) []*channel.Item {
	items := make([]*channel.Item, n)
	for i := range items {
		var refs []string
		if i > 1 {
			refs = []string{fmt.Sprint("m", i-2)}
		}
		items[i] = o.net.Item(box, mail(fmt.Sprintf("c%d@c.example", i%2), fmt.Sprint("m", i), refs...))
		items[i].Channel = ch.ID
	}
	return items
}

// requireInOrder holds that the first n of the letters are messages, once and in
// their order.
func requireInOrder(o *office, n int) {
	o.t.Helper()
	var got []string
	for _, e := range o.events() {
		if e.Type == ticket.EventMessageReceived {
			got = append(got, o.message(e.Message).ExternalIDs[0])
		}
	}
	var want []string
	for i := range n {
		want = append(want, fmt.Sprintf("m%d@c", i))
	}
	require.Equal(o.t, want, got)
	require.EqualValues(o.t, n, o.ledger().Messages)
}

func TestWhatCameTogetherIsTakenApartWhileItLosesItsRaces(t *testing.T) {
	inCrowd(t, nil, func(o *office, s *crowded, ch *ticket.Channel) {
		s.set(3, 0, nil)
		require.NoError(t, o.desk.Accept(o.ctx, letters(o, ch, 20)...))
		requireInOrder(o, 20)
		require.Equal(t, []int{20, 20, 20, 10, 10, 10, 5, 5, 5, 3, 3, 3, 3, 3, 3, 2}, s.tried())
		require.Len(t, o.tickets(), 2, "threads are found over the parts")
		require.Zero(t, o.ledger().Duplicates)
	})
}

func TestWhatCameTogetherIsOneCommitWhereNobodyIsInTheWay(t *testing.T) {
	inCrowd(t, nil, func(o *office, s *crowded, ch *ticket.Channel) {
		require.NoError(t, o.desk.Accept(o.ctx, letters(o, ch, 20)...))
		require.Equal(t, []int{20}, s.tried())
		requireInOrder(o, 20)
	})
}

func TestTheSameMailInTwoPartsIsOneMessage(t *testing.T) {
	inCrowd(t, nil, func(o *office, s *crowded, ch *ticket.Channel) {
		s.set(1, 0, nil)
		items := letters(o, ch, 2)
		again := *items[0]
		require.NoError(t, o.desk.Accept(o.ctx, items[0], items[1], &again))
		requireInOrder(o, 2)
		require.EqualValues(t, 1, o.ledger().Duplicates)
	})
}

// The source hears of an error and offers all of it again.
func TestAPartThatFailsIsOfferedAgainBesideThoseThatAreCommitted(t *testing.T) {
	down := errors.New("the store is down")
	for name, cause := range map[string]error{"the store fails": down, "it loses every race, alone, too": ticket.ErrConflict} {
		t.Run(name, func(t *testing.T) {
			inCrowd(t, nil, func(o *office, s *crowded, ch *ticket.Channel) {
				s.set(3, 2, cause)
				items := letters(o, ch, 12)
				err := o.desk.Accept(o.ctx, items...)
				require.NotErrorIs(t, err, channel.ErrRejected)
				require.ErrorContains(t, err, "6 of 12 are committed")
				if errors.Is(cause, down) {
					require.ErrorIs(t, err, down)
				} else {
					require.ErrorIs(t, err, ticket.ErrBusy)
				}
				requireInOrder(o, 6)
				s.set(0, 0, nil)
				require.NoError(t, o.desk.Accept(o.ctx, items...))
				requireInOrder(o, 12)
				require.EqualValues(t, 6, o.ledger().Duplicates)
			})
		})
	}
}

// A large body is put into Blobs once, when the whole is tried; the parts refer
// to it.
func TestPartsKeepTheirLargeBodies(t *testing.T) {
	inCrowd(t, withBlobs, func(o *office, s *crowded, ch *ticket.Channel) {
		items := letters(o, ch, 4)
		for _, it := range items {
			it.Raw = channel.Bytes("a large body, that of " + it.Message.ExternalID)
		}
		s.set(1, 2, ticket.ErrConflict)
		require.ErrorIs(t, o.desk.Accept(o.ctx, items...), ticket.ErrBusy)
		require.Len(t, o.blobs(), 2, "those of what is committed")
		s.set(1, 0, nil)
		require.NoError(t, o.desk.Accept(o.ctx, items...))
		requireInOrder(o, 4)
		for _, e := range o.events() {
			if e.Type != ticket.EventMessageReceived {
				continue
			}
			raw, err := o.desk.Raw(o.ctx, e.Message)
			require.NoError(t, err)
			b, err := channel.ReadBody(raw, 1000)
			require.NoError(t, err)
			require.Equal(t, "a large body, that of "+o.message(e.Message).ExternalIDs[0], string(b))
		}
		time.Sleep(72 * time.Hour) // what a failed commit may refer to is looked after
		require.Len(t, o.blobs(), 4, "nothing is left behind")
	})
}
