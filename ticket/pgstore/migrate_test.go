package pgstore

import (
	"context"
	"fmt"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
)

func TestAnOlderSchemaIsMigratedOnceWhileAnotherNodeWrites(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	old := open(t, url)
	defer func() { require.NoError(t, old.Close()) }()
	s := old.Portal("main")
	// It is as the first version made it, and has been used.
	for _, sql := range []string{"DROP INDEX anteroom.tickets_unassigned", "DROP INDEX anteroom.tickets_assignee_updated", "DROP INDEX anteroom.ledger_channel",
		"ALTER TABLE anteroom.messages ALTER doc SET COMPRESSION default",
		"ALTER TABLE anteroom.words ALTER words SET COMPRESSION default", "DELETE FROM anteroom.schema_version WHERE version > 1"} {
		_, err := old.pool.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
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
	require.Equal(t, []int{4, 2}, []int{versions, indexes})
	var compressed int
	require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_attribute WHERE attrelid IN ('anteroom.messages'::regclass, 'anteroom.words'::regclass) AND attcompression = 'l'").Scan(&compressed))
	require.Equal(t, 2, compressed, "of the columns that are large")
	events, err := b.Portal("main").Events(t.Context(), ticket.EventFilter{}, written+1)
	require.NoError(t, err)
	require.Len(t, events, written)
}
