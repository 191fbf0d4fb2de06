package pgstore

import (
	"context"
	"fmt"
	"io/fs"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
)

// asFirstMade makes a schema as the first version made it.
func asFirstMade(t *testing.T, b *Backend) {
	t.Helper()
	for _, sql := range []string{"DROP INDEX anteroom.tickets_unassigned", "DROP INDEX anteroom.tickets_assignee_updated", "DROP INDEX anteroom.ledger_channel",
		"ALTER TABLE anteroom.messages ALTER doc SET COMPRESSION default",
		"ALTER TABLE anteroom.words ALTER words SET COMPRESSION default", "DELETE FROM anteroom.schema_version WHERE version > 1"} {
		_, err := b.pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
}

func TestAnOlderSchemaIsMigratedOnceWhileAnotherNodeWrites(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	old := open(t, url)
	defer func() { require.NoError(t, old.Close()) }()
	s := old.Portal("main")
	asFirstMade(t, old)
	_, err := Open(t.Context(), url, WithoutMigrations())
	require.ErrorContains(t, err, "the schema has version 1")
	ctx, stop := context.WithCancel(context.WithoutCancel(t.Context()))
	var writing sync.WaitGroup
	written := 0
	writing.Go(func() {
		for ; ctx.Err() == nil; written++ {
			c := &ticket.Changes{Tickets: []*ticket.Ticket{{ID: ticket.TicketID(fmt.Sprint("t", written))}}, Events: []*ticket.Event{{ID: fmt.Sprint(written)}}}
			if err := s.Commit(context.Background(), c); err != nil {
				t.Error(err)
				return
			}
		}
	})
	var opening sync.WaitGroup
	for range 5 {
		opening.Go(func() {
			b, err := Open(context.Background(), url)
			if err == nil {
				err = b.Close()
			}
			if err != nil {
				t.Error(err)
			}
		})
	}
	opening.Wait()
	stop()
	writing.Wait()
	b := open(t, url, WithoutMigrations())
	defer func() { require.NoError(t, b.Close()) }()
	var versions, indexes int
	require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT count(*) FROM anteroom.schema_version").Scan(&versions))
	require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_indexes WHERE schemaname = 'anteroom' AND indexname IN ('tickets_unassigned', 'tickets_assignee_updated')").Scan(&indexes))
	require.Equal(t, []int{5, 2}, []int{versions, indexes})
	var compressed int
	require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_attribute WHERE attrelid IN ('anteroom.messages'::regclass, 'anteroom.words'::regclass) AND attcompression = 'l'").Scan(&compressed))
	require.Equal(t, 2, compressed, "of the columns that are large")
	events, err := b.Portal("main").Events(t.Context(), ticket.EventFilter{}, written+1)
	require.NoError(t, err)
	require.Len(t, events, written)
}

// It has locked one table, and goes on to another that the migration may have
// locked meanwhile.
func TestAHostsOpenTransactionAndAMigrationDoNotDeadlock(t *testing.T) {
	t.Parallel()
	for name, first := range map[string]func(ctx context.Context, s ticket.Store) error{
		"after it has counted an item": func(ctx context.Context, s ticket.Store) error {
			return s.Commit(ctx, &ticket.Changes{Items: []*ticket.Item{{ID: "i", Channel: "c", Day: "2026-03-01", Disposition: ticket.DisposedIgnored}}})
		},
		"after it has looked for a word": func(ctx context.Context, _ ticket.Store) error {
			_, err := joined(ctx).Exec(ctx, "SELECT FROM anteroom.words")
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := cluster.Database(t)
			old := open(t, url)
			defer func() { require.NoError(t, old.Close()) }()
			s := old.Portal("main")
			require.NoError(t, s.Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "0"}}}))
			asFirstMade(t, old)
			tx, err := old.pool.Begin(t.Context())
			require.NoError(t, err)
			defer func() { _ = tx.Rollback(context.WithoutCancel(t.Context())) }()
			ctx := WithTx(t.Context(), tx)
			require.NoError(t, first(ctx, s))

			opened := make(chan error, 1)
			go func() {
				// Who looks for deadlocks first is its victim: the other one.
				b, err := Open(context.WithoutCancel(t.Context()), url+"&deadlock_timeout=10min")
				if err == nil {
					err = b.Close()
				}
				opened <- err
			}()
			require.Eventually(t, func() bool {
				var waiting int
				err := old.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting)
				return err == nil && waiting == 1 || len(opened) == 1 // it does not wait for ever for each
			}, time.Minute, time.Millisecond)
			require.NoError(t, s.Commit(ctx, &ticket.Changes{Messages: []*ticket.Message{{ID: "m", Search: "word"}}}))
			require.NoError(t, tx.Commit(t.Context()))
			require.NoError(t, <-opened)
			snapshot, err := s.Snapshot(t.Context(), ticket.Want{Messages: []ticket.MessageID{"m"}})
			require.NoError(t, err)
			require.Len(t, snapshot.Messages, 1)
		})
	}
}

// Who holds one table and waits for nothing else is part of no deadlock.
func TestEachMigrationAfterTheFirstLocksOneTable(t *testing.T) {
	t.Parallel()
	c, err := pgx.Connect(t.Context(), cluster.Database(t))
	require.NoError(t, err)
	defer c.Close(t.Context())
	_, err = c.Exec(t.Context(), "CREATE SCHEMA anteroom; SET search_path TO anteroom")
	require.NoError(t, err)
	scripts, err := fs.Glob(migrations, "migrations/*.sql")
	require.NoError(t, err)
	for i, name := range scripts {
		script, err := migrations.ReadFile(name)
		require.NoError(t, err)
		tx, err := c.Begin(t.Context())
		require.NoError(t, err)
		_, err = tx.Exec(t.Context(), string(script))
		require.NoError(t, err)
		rows, err := tx.Query(t.Context(), `SELECT DISTINCT c.relname FROM pg_locks l JOIN pg_class c ON c.oid = l.relation
			WHERE l.pid = pg_backend_pid() AND c.relnamespace = 'anteroom'::regnamespace AND c.relkind = 'r' AND l.mode <> 'AccessShareLock'`)
		require.NoError(t, err)
		locked, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err)
		require.NoError(t, tx.Commit(t.Context()))
		if i > 0 {
			require.Len(t, locked, 1, name)
		}
	}
}
