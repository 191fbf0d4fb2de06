package memstore_test

import (
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
	"github.com/anteroom/anteroom/ticket/storetest"
)

func TestStore(t *testing.T) {
	t.Parallel()
	storetest.Run(t, func(*testing.T) ticket.Backend { return memstore.New() })
}

func TestBlobs(t *testing.T) {
	t.Parallel()
	storetest.RunBlobs(t, func(*testing.T) ticket.Blobs { return memstore.NewBlobs() })
}

func TestFaults(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	setup := func(op string) (*memstore.Backend, ticket.Store, *ticket.Changes) {
		b := memstore.New()
		b.Fail(func(at string) error {
			if at == op {
				return broken
			}
			return nil
		})
		return b, b.Portal("main"), &ticket.Changes{Contacts: []*ticket.Contact{{ID: "c"}}, Works: []*ticket.Work{{ID: "w"}}}
	}
	read := ticket.Want{Contacts: []ticket.ContactID{"c"}, Works: []ticket.WorkID{"w"}}
	claim := ticket.Claim{Owner: "a", Now: time.Unix(1, 0), Until: time.Unix(2, 0), Limit: 1}

	t.Run("before a commit nothing is written", func(t *testing.T) {
		t.Parallel()
		b, s, c := setup("commit")
		require.ErrorIs(t, s.Commit(t.Context(), c), broken)
		b.Fail(nil)
		snap, err := s.Snapshot(t.Context(), read)
		require.NoError(t, err)
		require.Empty(t, snap.Contacts)
	})
	t.Run("after a commit all is written and the caller does not know", func(t *testing.T) {
		t.Parallel()
		_, s, c := setup("committed")
		require.ErrorIs(t, s.Commit(t.Context(), c), broken)
		require.Zero(t, c.Contacts[0].Revision)
		snap, err := s.Snapshot(t.Context(), read)
		require.NoError(t, err)
		require.Len(t, snap.Contacts, 1)
	})
	t.Run("after a claim the work is leased to somebody who does not know", func(t *testing.T) {
		t.Parallel()
		b, s, c := setup("claimed")
		require.NoError(t, s.Commit(t.Context(), c))
		works, _, err := s.Claim(t.Context(), claim)
		require.ErrorIs(t, err, broken)
		require.Empty(t, works)
		b.Fail(nil)
		snap, err := s.Snapshot(t.Context(), read)
		require.NoError(t, err)
		require.Equal(t, "a", snap.Works["w"].Owner)
	})
	t.Run("every operation asks", func(t *testing.T) {
		t.Parallel()
		b, s, c := setup("")
		var asked []string
		b.Fail(func(op string) error { asked = append(asked, op); return nil })
		ctx := t.Context()
		require.NoError(t, s.Commit(ctx, c))
		_, err := s.Snapshot(ctx, read)
		require.NoError(t, err)
		_, _, err = s.Claim(ctx, claim)
		require.NoError(t, err)
		_, err = s.Lease(ctx, "n", "a", time.Unix(1, 0), time.Unix(2, 0))
		require.NoError(t, err)
		_, err = s.Events(ctx, ticket.EventFilter{}, 1)
		require.NoError(t, err)
		_, _, err = s.Tickets(ctx, ticket.TicketFilter{}, ticket.Page{})
		require.NoError(t, err)
		_, _, err = s.Conversations(ctx, ticket.ConversationFilter{}, ticket.Page{})
		require.NoError(t, err)
		_, _, err = s.Messages(ctx, ticket.MessageFilter{}, ticket.Page{})
		require.NoError(t, err)
		_, _, err = s.Items(ctx, ticket.ItemFilter{}, ticket.Page{})
		require.NoError(t, err)
		_, err = s.Decisions(ctx, ticket.DecisionFilter{Ticket: "t"}, 1)
		require.NoError(t, err)
		_, err = s.Waiting(ctx, "q", 1)
		require.NoError(t, err)
		_, err = s.Ledger(ctx, "", "")
		require.NoError(t, err)
		require.Equal(t, []string{"commit", "committed", "snapshot", "claim", "claimed", "lease", "leased", "events", "tickets",
			"conversations", "messages", "items", "decisions", "waiting", "ledger"}, asked)
	})
}

func TestAClosedBackendFails(t *testing.T) {
	t.Parallel()
	b := memstore.New()
	s := b.Portal("main")
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	require.Error(t, s.Commit(t.Context(), &ticket.Changes{}))
}

func TestItLivesInABubble(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := memstore.New().Portal("main")
		for i := range 100 {
			go func() {
				time.Sleep(time.Hour)
				c := &ticket.Changes{Events: []*ticket.Event{{ID: fmt.Sprint(i), At: time.Now()}}}
				if err := s.Commit(t.Context(), c); err != nil {
					t.Error(err)
				}
			}()
		}
		time.Sleep(2 * time.Hour)
		events, err := s.Events(t.Context(), ticket.EventFilter{}, 1000)
		require.NoError(t, err)
		require.Len(t, events, 100)
	})
}

func TestExpiredCountersAreForgotten(t *testing.T) {
	t.Parallel()
	s := memstore.New().Portal("main")
	at := time.Unix(1000, 0)
	for i := range 10000 {
		at = at.Add(time.Minute)
		require.NoError(t, s.Commit(t.Context(), &ticket.Changes{At: at, Counts: []ticket.Count{
			{Name: fmt.Sprint(i), Add: 1, Expires: at.Add(time.Minute)}, {Name: "stays", Add: 1},
		}}))
	}
	// Of an expired one nothing is seen even by a clock that is far behind.
	snap, err := s.Snapshot(t.Context(), ticket.Want{Counters: []string{"0", "stays"}, Now: time.Unix(0, 0)})
	require.NoError(t, err)
	require.Equal(t, map[string]int64{"stays": 10000}, snap.Counters)
}
