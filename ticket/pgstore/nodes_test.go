package pgstore

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/scaletest"
)

// two opens the same store twice, as two nodes do.
func two(t *testing.T) (a, b *Backend) {
	t.Helper()
	name := schema(t)
	a = open(t, cluster.URL(t), Schema(name))
	b = open(t, cluster.URL(t), Schema(name))
	t.Cleanup(func() {
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
	return a, b
}

// reader follows a feed and returns the first cursor that it was not given in
// its turn, 0 if there is none.
type feedReader struct{ after int64 }

func (r *feedReader) take(cursors []int64) (skipped int64) {
	for _, c := range cursors {
		if c != r.after+1 {
			return r.after + 1
		}
		r.after = c
	}
	return 0
}

func TestAReaderSkipsNoEventOfSixteenWritersOnTwoNodes(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	const writers, commits = 16, 12
	var writing, reading sync.WaitGroup
	stop := make(chan struct{})
	readers := make([]feedReader, 4)
	for i := range readers {
		s := []*Backend{a, b}[i%2].Portal("main")
		reading.Go(func() {
			for {
				last := false
				select {
				case <-stop:
					last = true
				default:
				}
				events, err := s.Events(context.Background(), ticket.EventFilter{After: readers[i].after}, 50)
				if err != nil {
					t.Error(err)
					return
				}
				var cursors []int64
				for _, e := range events {
					cursors = append(cursors, e.Cursor)
				}
				if skipped := readers[i].take(cursors); skipped != 0 {
					t.Errorf("a reader was not given event %d", skipped)
					return
				}
				if last && len(events) == 0 {
					return
				}
			}
		})
	}
	total := 0
	for w := range writers {
		s := []*Backend{a, b}[w%2].Portal("main")
		total += commits * (1 + w%3)
		writing.Go(func() {
			for i := range commits {
				c := &ticket.Changes{}
				for e := range 1 + w%3 {
					c.Events = append(c.Events, &ticket.Event{ID: fmt.Sprint(w, " ", i, " ", e)})
				}
				if err := s.Commit(context.Background(), c); err != nil {
					t.Error(err)
				}
			}
		})
	}
	writing.Wait()
	close(stop)
	reading.Wait()
	for _, r := range readers {
		require.EqualValues(t, total, r.after)
	}
}

// What the test above looks for does happen where cursors are a plain serial.
func TestAReaderSkipsEventsOfASerialColumn(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	connect := func() *pgx.Conn {
		c, err := pgx.Connect(t.Context(), url)
		require.NoError(t, err)
		t.Cleanup(func() { c.Close(context.Background()) })
		return c
	}
	slow, quick := connect(), connect()
	_, err := slow.Exec(t.Context(), "CREATE TABLE events (cursor bigserial)")
	require.NoError(t, err)
	tx, err := slow.Begin(t.Context())
	require.NoError(t, err)
	const insert, list = "INSERT INTO events DEFAULT VALUES", "SELECT cursor FROM events WHERE cursor > $1 ORDER BY cursor"
	_, err = tx.Exec(t.Context(), insert)
	require.NoError(t, err)
	_, err = quick.Exec(t.Context(), insert)
	require.NoError(t, err)
	r := &feedReader{}
	rows, err := quick.Query(t.Context(), list, r.after)
	require.NoError(t, err)
	cursors, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	require.NoError(t, err)
	require.EqualValues(t, 1, r.take(cursors))
	require.NoError(t, tx.Commit(t.Context()))
}

func TestACommitThatConflictsFailsAloneInItsTransaction(t *testing.T) {
	t.Parallel()
	rec := &recorder{}
	b := setup(t, traced(rec))
	s := b.Portal("main")
	key := ticket.NewKey("taken")
	claim := []ticket.KeyClaim{{Key: key, Ref: ticket.Ref{Kind: ticket.RefItem, ID: "first"}}}
	require.NoError(t, s.Commit(t.Context(), &ticket.Changes{Claims: claim}))
	// All are written under one lease, as those of a desk are.
	held, err := s.Lease(t.Context(), "portal", "open", time.Unix(1, 0), time.Unix(2, 0))
	require.NoError(t, err)
	require.True(t, held)

	// While somebody holds the portal's row, commits wait and gather.
	tx, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), b.sql.in("SELECT 1 FROM anteroom.portals FOR UPDATE"))
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) }) // before the store is closed, which waits for it
	const n = 20
	changes := make([]*ticket.Changes, n)
	errs := make([]error, n)
	var wg sync.WaitGroup
	g := b.group("main", b.ids["main"])
	for i := range n {
		changes[i] = &ticket.Changes{Contacts: []*ticket.Contact{{ID: ticket.ContactID(fmt.Sprint(i))}}, Events: []*ticket.Event{{ID: fmt.Sprint(i)}}}
		changes[i].Holds = []ticket.Hold{{Lease: "portal", Owner: "open"}}
		if i == 11 {
			changes[i].Claims = claim
		}
		if i == 15 {
			changes[i].Holds[0].Owner = "another"
		}
		if i == 13 {
			changes[i].Counts = []ticket.Count{{Name: "n", Add: 2, Max: 1}}
		}
		wg.Go(func() { errs[i] = s.Commit(t.Context(), changes[i]) })
		// The first is taken alone, as the others come when it is under way.
		require.Eventually(t, func() bool {
			g.mu.Lock()
			defer g.mu.Unlock()
			return g.running == 1 && len(g.queue) == i
		}, time.Minute, time.Millisecond)
	}
	rec.mu.Lock()
	rec.ran = nil
	rec.mu.Unlock()
	require.NoError(t, tx.Rollback(t.Context()))
	wg.Wait()

	var cursors []int64
	for i, err := range errs {
		switch i {
		case 11:
			var taken *ticket.TakenError
			require.ErrorAs(t, err, &taken)
			require.Equal(t, "first", taken.Ref.ID)
		case 13:
			require.ErrorIs(t, err, ticket.ErrLimit)
		case 15:
			require.ErrorIs(t, err, ticket.ErrNotHeld)
		default:
			require.NoError(t, err)
			cursors = append(cursors, changes[i].Events[0].Cursor)
		}
	}
	slices.Sort(cursors)
	for i, c := range cursors {
		require.EqualValues(t, i+1, c)
	}
	transactions := 0
	rec.mu.Lock()
	defer rec.mu.Unlock()
	for _, r := range rec.ran {
		if r.sql == b.sql.settings {
			transactions++
		}
	}
	require.LessOrEqual(t, transactions, 6, "commits that waited did not share transactions")
}

func TestWhatOneNodeWritesIsToldToTheOthers(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	next := watch(t, a, "main")
	require.Equal(t, ticket.Hint{All: true}, next(), "what was missed before it listened")
	require.NoError(t, a.Portal("main").Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "own"}}}))
	require.NoError(t, b.Portal("other").Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "other"}}}))
	c := scaletest.Intake(1)
	c.Works[0].Lane = "lane"
	c.Records = []*ticket.Record{{Kind: "k", ID: "1", Doc: []byte("x")}}
	require.NoError(t, b.Portal("main").Commit(t.Context(), c))
	require.Equal(t, ticket.Hint{Events: true, Lanes: []string{"lane"}, Kinds: []ticket.RecordKind{"k"}}, next())
}

// A node that goes on with what it decided under a lease is either in time, and
// then nobody gets the lease before it is done, or late, and then it writes
// nothing.
func TestALeaseIsNotGivenAwayWhileItsOwnerCommits(t *testing.T) {
	t.Parallel()
	a, b := two(t)
	here, there := a.Portal("main"), b.Portal("main")
	now := time.Now()
	ok, err := here.Lease(t.Context(), "n", "a", now, now.Add(time.Minute))
	require.NoError(t, err)
	require.True(t, ok)
	tx, err := a.pool.Begin(t.Context())
	require.NoError(t, err)
	t.Cleanup(func() { _ = tx.Rollback(context.Background()) })
	_, err = tx.Exec(t.Context(), a.sql.in("SELECT 1 FROM anteroom.portals FOR UPDATE"))
	require.NoError(t, err)
	var pid int
	require.NoError(t, tx.QueryRow(t.Context(), "SELECT pg_backend_pid()").Scan(&pid))
	waiting := func(n int) {
		require.Eventually(t, func() bool {
			var have int
			err := a.pool.QueryRow(t.Context(), `WITH RECURSIVE w AS (SELECT $1::int AS pid
				UNION SELECT s.pid FROM w JOIN pg_stat_activity s ON w.pid = ANY(pg_blocking_pids(s.pid))) SELECT count(*) - 1 FROM w`, pid).Scan(&have)
			require.NoError(t, err)
			return have == n
		}, time.Minute, 5*time.Millisecond)
	}
	commit := func(id string) *ticket.Changes {
		return &ticket.Changes{Holds: []ticket.Hold{{Lease: "n", Owner: "a"}}, Contacts: []*ticket.Contact{{ID: ticket.ContactID(id)}}, Events: []*ticket.Event{{ID: id}}}
	}
	committed, leased := make(chan error, 1), make(chan error, 1)
	go func() { committed <- here.Commit(context.Background(), commit("in time")) }()
	waiting(1)
	go func() {
		// It is late by the clock of the other node.
		ok, err := there.Lease(context.Background(), "n", "b", now.Add(time.Hour), now.Add(2*time.Hour))
		if err == nil && !ok {
			err = ticket.ErrConflict
		}
		var seen *ticket.Snapshot
		if err == nil {
			seen, err = there.Snapshot(context.Background(), ticket.Want{Contacts: []ticket.ContactID{"in time"}})
		}
		if err == nil && len(seen.Contacts) == 0 {
			err = ticket.ErrNotFound
		}
		leased <- err
	}()
	waiting(2)
	require.NoError(t, tx.Rollback(t.Context()))
	require.NoError(t, <-committed)
	require.NoError(t, <-leased, "the lease is given away when its owner's commit is there to be seen")

	require.ErrorIs(t, here.Commit(t.Context(), commit("late")), ticket.ErrNotHeld)
	snap, err := here.Snapshot(t.Context(), ticket.Want{Contacts: []ticket.ContactID{"late"}})
	require.NoError(t, err)
	require.Empty(t, snap.Contacts)
}

// A listener whose connection is lost listens again, and until then has missed
// what it is told it may have missed.
func TestAListenerThatIsCutOffListensAgain(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	a, b := open(t, url+"&application_name=listens"), open(t, url)
	t.Cleanup(func() {
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
	next := watch(t, a, "main")
	for range 3 {
		require.Equal(t, ticket.Hint{All: true}, next())
		require.NoError(t, b.Portal("main").Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "1"}}}))
		require.Equal(t, ticket.Hint{Events: true}, next())
		_, err := b.pool.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'listens' AND query LIKE 'LISTEN%'")
		require.NoError(t, err)
	}
}

// A connection that passes on nothing more, and that nobody ends, as behind a
// router that has forgotten it.
func TestAListenerWhoseConnectionHangsListensAgain(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	p := newStall(t, url)
	a, b := open(t, url, Listen(p.url), func(o *options) { o.listenCheck = 500 * time.Millisecond }), open(t, url)
	t.Cleanup(func() {
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	})
	next := watch(t, a, "main")
	require.Equal(t, ticket.Hint{All: true}, next())
	p.stall()
	require.NoError(t, b.Portal("main").Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "1"}}}))
	require.Eventually(t, func() bool { return p.held() > 0 }, time.Minute, time.Millisecond)
	p.heal()
	require.Equal(t, ticket.Hint{All: true}, next(), "what was missed")
	for told := false; !told; told = next().Events { // on a slow machine it may be cut off again
		require.NoError(t, b.Portal("main").Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "2"}}}))
	}
}
