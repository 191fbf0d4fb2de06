package pgstore

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
)

// ran returns how many statements with the text the recorder has seen.
func (r *recorder) count(text string) (n int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range r.ran {
		if strings.Contains(s.sql, text) {
			n++
		}
	}
	return n
}

// After a failover a pool may be left with connections to a server that has
// become a replica, and answers.
func TestConnectionsToAServerThatTakesNoMoreWritesAreLeft(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	b := open(t, url)
	defer func() { require.NoError(t, b.Close()) }()
	s := b.Portal("main")
	require.NoError(t, s.Commit(t.Context(), &ticket.Changes{Works: []*ticket.Work{{ID: "1"}}, Events: []*ticket.Event{{ID: "1"}}}))
	admin, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer admin.Close(t.Context())
	readOnly := func(on string) {
		_, err := admin.Exec(t.Context(), "SET default_transaction_read_only = off")
		require.NoError(t, err)
		_, err = admin.Exec(t.Context(), "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET default_transaction_read_only = "+on+"', current_database()); END $$")
		require.NoError(t, err)
	}
	demote := func() {
		readOnly("on")
		b.pool.Reset() // the connections that are made now cannot write, ever
		_, err := s.Events(t.Context(), ticket.EventFilter{}, 1)
		require.NoError(t, err)
	}
	for name, write := range map[string]func() error{
		"commit": func() error {
			return s.Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "2"}}})
		},
		"claim": func() error {
			_, _, err := s.Claim(t.Context(), ticket.Claim{Owner: "a", Now: time.Now(), Until: time.Now(), Limit: 1})
			return err
		},
		"lease": func() error {
			_, err := s.Lease(t.Context(), "n", "a", time.Now(), time.Now().Add(time.Minute))
			return err
		},
	} {
		demote()
		require.Error(t, write(), "%s: there is no other server yet", name)
		readOnly("off")
		require.NoError(t, write(), "%s: the new connections can write", name)
	}
}

// One who holds a lock for long makes all wait; what then is given up is given up
// together, not one after the other, each after the same time.
func TestCommitsThatWaitTooLongForALockEndTogether(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	b := setup(t, Timeout(500*time.Millisecond), traced(rec))
	s := b.Portal("main")
	require.NoError(t, s.Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "0"}}}))
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), b.sql.in("SELECT 1 FROM anteroom.portals FOR UPDATE"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	before := rec.count("statement_timeout")
	const n = 20
	var wg sync.WaitGroup
	errs := make([]error, n)
	for i := range n {
		wg.Go(func() {
			errs[i] = s.Commit(t.Context(), &ticket.Changes{Contacts: []*ticket.Contact{{ID: ticket.ContactID(fmt.Sprint(i))}}, Events: []*ticket.Event{{ID: fmt.Sprint(i)}}})
		})
	}
	wg.Wait()
	for _, err := range errs {
		require.Error(t, err)
		require.NotErrorIs(t, err, ticket.ErrConflict)
	}
	require.Less(t, rec.count("statement_timeout")-before, n/2, "transactions")
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, s.Commit(t.Context(), &ticket.Changes{Contacts: []*ticket.Contact{{ID: "3"}}}), "nothing was written")
}

// Work that another transaction is changing is skipped; that is no reason to ask
// again at once.
func TestLockedWorkIsAskedForAgainAfterAPause(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.Portal("main")
	now := time.Now().UTC().Truncate(time.Microsecond)
	require.NoError(t, s.Commit(t.Context(), &ticket.Changes{Works: []*ticket.Work{{ID: "free", NotBefore: now.Add(-time.Hour)}, {ID: "locked", NotBefore: now.Add(-time.Hour)}}}))
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(t.Context(), b.sql.in("SELECT 1 FROM anteroom.works WHERE id = 'locked' FOR UPDATE"))
	require.NoError(t, err)
	c := ticket.Claim{Owner: "a", Now: now, Until: now.Add(time.Minute), Limit: 1}
	claimed, next, err := s.Claim(t.Context(), c)
	require.NoError(t, err)
	require.Len(t, claimed, 1)
	require.False(t, next.After(now), "more may be due, as far as one can tell")
	claimed, next, err = s.Claim(t.Context(), c)
	require.NoError(t, err)
	require.Empty(t, claimed)
	require.Equal(t, now.Add(lockedPause), next)
}

// A message is not refused for ever because of its words.
func TestMoreWordsThanTheIndexTakesAreLeftOut(t *testing.T) {
	t.Parallel()
	s := setup(t).Portal("main")
	var words []string
	for i := range 9000 {
		words = append(words, fmt.Sprintf("w%d%s", i, strings.Repeat("x", 200)))
	}
	text := strings.Join(words, " ")
	require.NoError(t, s.Commit(t.Context(), &ticket.Changes{
		Tickets:  []*ticket.Ticket{{ID: "019ca000-1"}, {ID: "019cb000-1"}},
		Messages: []*ticket.Message{{ID: "1", Ticket: "019ca000-1", Search: text}, {ID: "2", Search: text}},
	}))
	// What has no ticket has fewer tokens, until it moves to one.
	require.NoError(t, s.Commit(t.Context(), &ticket.Changes{Messages: []*ticket.Message{{ID: "2", Ticket: "019cb000-1", Revision: 1}}}))
	list, _, err := s.Tickets(t.Context(), ticket.TicketFilter{Terms: []string{"w1" + strings.Repeat("x", 100)}}, ticket.Page{})
	require.NoError(t, err)
	require.Len(t, list, 2)
}

func TestAPortalWithAVeryLongNameKeepsNobodyFromBeingTold(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	long := strings.Repeat("p", 2000)
	name := long + long + long + long
	next := watch(t, a, name)
	require.Equal(t, ticket.Hint{All: true}, next(), "it listens")
	require.NoError(t, b.Portal(name).Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "1"}}}))
	next()
}

// A server that answers no more, as one behind a network that is cut.
func TestCloseDoesNotWaitForAServerThatHangs(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	p := newStall(t, url)
	b := open(t, p.url, Timeout(time.Second))
	s := b.Portal("main")
	require.NoError(t, s.Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "1"}}}))
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	heard := make(chan struct{}, 10)
	running.Go(func() {
		s.(ticket.Watcher).Watch(ctx, func(ticket.Hint) { heard <- struct{}{} })
	})
	<-heard
	p.stall()
	running.Go(func() {
		if err := s.Commit(context.Background(), &ticket.Changes{Events: []*ticket.Event{{ID: "2"}}}); err == nil {
			t.Error("a commit succeeded")
		}
	})
	running.Go(func() {
		if _, err := s.Events(context.Background(), ticket.EventFilter{}, 1); err == nil {
			t.Error("a read succeeded")
		}
	})
	require.Eventually(t, func() bool { return p.held() >= 2 }, time.Minute, time.Millisecond)
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	select {
	case err := <-closed:
		require.NoError(t, err)
	case <-time.After(time.Minute):
		t.Fatal("it hangs")
	}
	cancel()
	running.Wait()
}
