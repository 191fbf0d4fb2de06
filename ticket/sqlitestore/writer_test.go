package sqlitestore

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"modernc.org/sqlite"

	"github.com/anteroom/anteroom/ticket"
)

// occupied is a backend whose file another connection is writing to, so that the
// writer waits with what it has picked until release is called.
func occupied(t *testing.T) (b *Backend, release func()) {
	t.Helper()
	b = setup(t)
	require.NoError(t, commit(t.Context(), b, "start"))
	c, err := openConn(t.Context(), b.options, false)
	require.NoError(t, err)
	_, err = c.exec("BEGIN IMMEDIATE")
	require.NoError(t, err)
	release = sync.OnceFunc(func() {
		_, err := c.exec("ROLLBACK")
		require.NoError(t, err)
		require.NoError(t, c.close())
	})
	t.Cleanup(release)
	return b, release
}

// commit claims a key of the given name.
func commit(ctx context.Context, b *Backend, name string) error {
	return b.Portal("main").Commit(ctx, &ticket.Changes{
		Claims: []ticket.KeyClaim{{Key: ticket.NewKey(name), Ref: ticket.Ref{Kind: "test", ID: name}}},
		Events: []*ticket.Event{{ID: name}},
	})
}

func exists(t *testing.T, b *Backend, name string) bool {
	t.Helper()
	s, err := b.Portal("main").Snapshot(t.Context(), ticket.Want{Keys: []ticket.Key{ticket.NewKey(name)}})
	require.NoError(t, err)
	return len(s.Refs) == 1
}

// waiting waits until n writes wait in the queue.
func waiting(t *testing.T, b *Backend, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		b.writer.mu.Lock()
		defer b.writer.mu.Unlock()
		return len(b.writer.queue) == n
	}, 10*time.Second, time.Millisecond)
}

// pickedAll waits until the writer has taken what waits, after n writes since the
// backend was made occupied.
func pickedAll(t *testing.T, b *Backend, n int64) {
	t.Helper()
	require.Eventually(t, func() bool {
		b.writer.mu.Lock()
		defer b.writer.mu.Unlock()
		return b.writer.taken == 1+n // 1 for the first write of occupied
	}, 10*time.Second, time.Millisecond)
}

func TestACancelledWriteIsNotBegunAndABegunOneFinishes(t *testing.T) {
	t.Parallel()
	b, release := occupied(t)
	ctx, cancel := context.WithCancel(t.Context())
	begun, waits := make(chan error, 1), make(chan error, 1)
	go func() { begun <- commit(ctx, b, "begun") }()
	pickedAll(t, b, 1)
	go func() { waits <- commit(ctx, b, "waits") }()
	waiting(t, b, 1)
	cancel()
	require.ErrorIs(t, <-waits, context.Canceled)
	release()
	require.NoError(t, <-begun)
	require.NoError(t, commit(t.Context(), b, "after"))
	require.True(t, exists(t, b, "begun"))
	require.False(t, exists(t, b, "waits"))
}

func TestCloseWaitsForWhatIsUnderWay(t *testing.T) {
	t.Parallel()
	b, release := occupied(t)
	results := make(chan error, 5)
	for i := range cap(results) {
		go func() { results <- commit(t.Context(), b, fmt.Sprint(i)) }()
	}
	require.Eventually(t, func() bool {
		b.writer.mu.Lock()
		defer b.writer.mu.Unlock()
		return b.writer.taken+int64(len(b.writer.queue)) == 1+5
	}, 10*time.Second, time.Millisecond)
	closed := make(chan error, 1)
	go func() { closed <- b.Close() }()
	release()
	for range cap(results) {
		require.NoError(t, <-results)
	}
	require.NoError(t, <-closed)
	require.Error(t, commit(t.Context(), b, "late"))
	_, err := b.Portal("main").Events(t.Context(), ticket.EventFilter{}, 1)
	require.Error(t, err)
	require.NoError(t, b.Close())
	again, err := Open(b.options.path)
	require.NoError(t, err)
	defer again.Close()
	events, err := again.Portal("main").Events(t.Context(), ticket.EventFilter{}, 100)
	require.NoError(t, err)
	require.Len(t, events, 6)
}

// batch makes requests that are in nobody's queue.
func batch(portal string, applies ...func(t *tx) error) (out []*request) {
	for _, f := range applies {
		out = append(out, &request{ctx: context.Background(), portal: portal, apply: f, done: make(chan struct{})})
	}
	return out
}

func insertKey(name string) func(t *tx) error {
	return func(t *tx) error {
		s, err := t.portal("main")
		if err != nil {
			return err
		}
		k := ticket.KeyClaim{Key: ticket.NewKey(name), Ref: ticket.Ref{Kind: "test", ID: name}}
		s.event++
		s.dirty = true
		if err := t.claimKey(s, &k); err != nil {
			return err
		}
		_, err = t.exec("INSERT INTO events (place, doc) VALUES (?, '{}')", s.id<<placeBits|s.event)
		return err
	}
}

func TestInABatchOneThatConflictsFailsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	requests := batch("main", insertKey("a"), insertKey("a"), insertKey("b"), insertKey("b"), insertKey("c"))
	b.writer.write(requests)
	for i, conflicts := range []bool{false, true, false, true, false} {
		require.Equal(t, conflicts, errors.Is(requests[i].err, ticket.ErrConflict), "request %d: %v", i, requests[i].err)
	}
	events, err := b.Portal("main").Events(t.Context(), ticket.EventFilter{}, 10)
	require.NoError(t, err)
	require.Len(t, events, 3)
	require.Equal(t, int64(3), events[2].Cursor)
}

func TestInABatchOneInTroubleFailsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	trouble := errors.New("trouble")
	requests := batch("main", insertKey("a"), func(*tx) error { return trouble }, insertKey("b"), insertKey("b"))
	b.writer.write(requests)
	require.NoError(t, requests[0].err)
	require.ErrorIs(t, requests[1].err, trouble)
	require.NoError(t, requests[2].err)
	require.ErrorIs(t, requests[3].err, ticket.ErrConflict)
	events, err := b.Portal("main").Events(t.Context(), ticket.EventFilter{}, 10)
	require.NoError(t, err)
	require.Len(t, events, 2)
}

func TestAFullDiskIsAPlainErrorAndPasses(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, commit(t.Context(), b, "before"))
	limit := func(pages int) {
		_, err := b.writer.c.exec(fmt.Sprintf("PRAGMA max_page_count = %d", pages))
		require.NoError(t, err)
	}
	big := &ticket.Changes{
		Claims: []ticket.KeyClaim{{Key: ticket.NewKey("big"), Ref: ticket.Ref{Kind: "test", ID: "big"}}},
		Bodies: []ticket.StoredBody{{ID: "big", Data: make([]byte, 1<<20)}},
	}
	limit(1) // which is to say: as many as there are
	err := b.Portal("main").Commit(t.Context(), big)
	require.Error(t, err)
	for _, sentinel := range []error{ticket.ErrConflict, ticket.ErrLimit, ticket.ErrNotFound, context.Canceled, context.DeadlineExceeded} {
		require.NotErrorIs(t, err, sentinel)
	}
	require.ErrorContains(t, err, "sqlitestore: commit: ")
	require.False(t, exists(t, b, "big"))
	limit(1 << 30)
	require.NoError(t, b.Portal("main").Commit(t.Context(), big))
	require.True(t, exists(t, b, "big"))
}

func TestWhoeverWaitsGoesIntoTheNextTransaction(t *testing.T) {
	t.Parallel()
	b, release := occupied(t)
	var transactions atomic.Int64
	b.writer.c.c.(sqlite.HookRegisterer).RegisterCommitHook(func() int32 {
		transactions.Add(1)
		return 0
	})
	first := make(chan error, 1)
	go func() { first <- commit(t.Context(), b, "first") }()
	pickedAll(t, b, 1)
	const n = 20
	results := make(chan error, n)
	for i := range n {
		go func() { results <- commit(t.Context(), b, fmt.Sprint("key ", i/2)) }()
	}
	waiting(t, b, n)
	release()
	require.NoError(t, <-first)
	var won, lost int
	for range n {
		switch err := <-results; {
		case err == nil:
			won++
		case errors.Is(err, ticket.ErrConflict):
			lost++
		default:
			require.NoError(t, err)
		}
	}
	require.Equal(t, n/2, won)
	require.Equal(t, n/2, lost)
	require.Equal(t, int64(2), transactions.Load())
}

func TestTheStatementCacheIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.read(t.Context(), func(c *conn) error {
		for i := range 3 * maxStatements {
			if _, err := c.one(fmt.Sprintf("SELECT %d", i), nil, new(int)); err != nil {
				return err
			}
			if len(c.stmts) > maxStatements {
				return fmt.Errorf("%d statements", len(c.stmts))
			}
		}
		return nil
	}))
}

func TestATransactionThatWasLeftOpenIsEnded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, err := b.writer.c.exec("BEGIN")
	require.NoError(t, err)
	require.NoError(t, commit(t.Context(), b, "a"))
	require.NoError(t, b.read(t.Context(), func(c *conn) error {
		_, err := c.exec("BEGIN")
		return err
	}))
	for range 2 { // the first one meets the open transaction, and ends its connection
		_, err = b.Portal("main").Snapshot(t.Context(), ticket.Want{})
	}
	require.NoError(t, err)
}

func TestAReadThatIsCancelledLeavesAUsableStore(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, commit(t.Context(), b, "a"))
	ctx, cancel := context.WithCancel(t.Context())
	err := b.read(ctx, func(c *conn) error {
		endless := "WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
		return c.each(ctx, endless, nil, func(func(...any) error) error { cancel(); return nil })
	})
	require.ErrorIs(t, err, context.Canceled)
	require.True(t, exists(t, b, "a"))
}

func TestOpenRefusesWhatIsNoFile(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", ":memory:", filepath.Join(t.TempDir(), "no", "folder.db"), t.TempDir()} {
		_, err := Open(path)
		require.Error(t, err, path)
	}
}

// Another process that holds the file keeps a batch waiting once, not once for
// each request of it: hundreds would wait for most of an hour, whatever becomes
// of their contexts.
func TestABatchWaitsForAnotherProcessTogether(t *testing.T) {
	t.Parallel()
	b, release := occupied(t)
	_, err := b.writer.c.one("PRAGMA busy_timeout = 1", nil, new(int))
	require.NoError(t, err)
	batch := batch("main", insertKey("a"), insertKey("b"), insertKey("c"))
	b.writer.write(batch)
	for _, r := range batch {
		require.Error(t, r.err)
		require.Same(t, batch[0].err, r.err, "it was tried once")
	}
	release()
	b.writer.write(batch)
	for _, r := range batch {
		require.NoError(t, r.err)
	}
}

func TestAReadThatMeetsTheEndOfTheStoreDoesNotWaitForEver(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.Close())
	b.mu.Lock()
	b.closed = false // as a read saw it that began just before
	b.mu.Unlock()
	t.Cleanup(func() { b.closed = true })
	result := make(chan error, 1)
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	go func() { result <- b.read(ctx, func(*conn) error { return nil }) }()
	require.ErrorIs(t, <-result, errClosed)
}

func TestTheLedgerCountsNothingOfACommitThatWasRefused(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := batch("main", insertKey("a"), func(tx *tx) error {
		s, err := tx.portal("main")
		if err != nil {
			return err
		}
		tx.ledger = append(tx.ledger, tally{entry{s.id, "2026-01-01", "c", "message", ""}, 1})
		return ticket.ErrConflict
	})
	b.writer.write(batch)
	require.NoError(t, batch[0].err)
	require.ErrorIs(t, batch[1].err, ticket.ErrConflict)
	rows, err := b.Portal("main").Ledger(t.Context(), "", "")
	require.NoError(t, err)
	require.Empty(t, rows)
}
