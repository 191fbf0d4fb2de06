package pgstore

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
)

func TestTheHostsTransactionWritesAllOrNothing(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	b := open(t, url)
	defer func() { require.NoError(t, b.Close()) }()
	s := b.Portal("main")
	host, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer host.Close(t.Context())
	_, err = host.Exec(t.Context(), "CREATE TABLE orders (id int)")
	require.NoError(t, err)

	contact := func(id string) *ticket.Changes {
		return &ticket.Changes{
			Contacts: []*ticket.Contact{{ID: ticket.ContactID(id)}}, Tickets: []*ticket.Ticket{{ID: ticket.TicketID("t" + id)}},
			Events: []*ticket.Event{{ID: id}},
		}
	}
	for _, end := range []string{"rollback", "commit"} {
		tx, err := host.Begin(t.Context())
		require.NoError(t, err)
		ctx := WithTx(t.Context(), tx)
		_, err = tx.Exec(ctx, "INSERT INTO orders VALUES (1)")
		require.NoError(t, err)
		c := contact("a")
		require.NoError(t, s.Commit(ctx, c))
		require.EqualValues(t, 1, c.Tickets[0].Number)
		// A verb that conflicts leaves the transaction as it was.
		require.ErrorIs(t, s.Commit(ctx, contact("a")), ticket.ErrConflict)
		want := ticket.Want{Contacts: []ticket.ContactID{"a"}}
		inside, err := s.Snapshot(ctx, want)
		require.NoError(t, err)
		require.Len(t, inside.Contacts, 1)
		outside, err := s.Snapshot(t.Context(), want)
		require.NoError(t, err)
		require.Empty(t, outside.Contacts)
		_, err = tx.Exec(t.Context(), end)
		require.NoError(t, err)
		after, err := s.Snapshot(t.Context(), want)
		require.NoError(t, err)
		var orders int
		require.NoError(t, host.QueryRow(t.Context(), "SELECT count(*) FROM orders").Scan(&orders))
		require.Equal(t, len(after.Contacts), orders)
		require.Equal(t, end == "commit", orders == 1)
	}
}

// A caller that goes away must not break the host's connection, and with it what
// the host has written in the transaction.
func TestAVerbInTheHostsTransactionFinishesWhatItBegan(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	b := open(t, url)
	defer func() { require.NoError(t, b.Close()) }()
	s := b.Portal("main")
	require.NoError(t, s.Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "0"}}}))
	host, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer host.Close(t.Context())
	other, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), "SELECT FROM anteroom.portals FOR UPDATE")
	require.NoError(t, err)
	tx, err := host.Begin(t.Context())
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error, 1)
	go func() {
		result <- s.Commit(WithTx(ctx, tx), &ticket.Changes{Contacts: []*ticket.Contact{{ID: "a"}}, Events: []*ticket.Event{{ID: "1"}}})
	}()
	require.Eventually(t, func() bool {
		var waiting int
		err := b.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting)
		return err == nil && waiting == 1
	}, time.Minute, time.Millisecond)
	cancel()
	require.NoError(t, other.Rollback(t.Context()))
	require.NoError(t, <-result)
	require.NoError(t, tx.Commit(t.Context()))
	snapshot, err := s.Snapshot(t.Context(), ticket.Want{Contacts: []ticket.ContactID{"a"}})
	require.NoError(t, err)
	require.Len(t, snapshot.Contacts, 1)
}

func TestErrorsDoNotShowThePassword(t *testing.T) {
	t.Parallel()
	const secret = "s3cr%zzet"
	for _, url := range []string{
		"postgres://u:" + secret + "@127.0.0.1:1/x", "postgres://u:s3cr3t@127.0.0.1:1/x", "host=127.0.0.1 port=1 user=u password=s3cr3t",
		"host=127.0.0.1 port=x user=u password=s3cr3t", "host='127.0.0.1 password=s3cr3t", "postgres://u:s3cr3t@127.0.0.1:port/x",
		"postgres://u:s3cr3t@127.0.0.1:1/x?sslmode=odd", "postgres://u:s3cr3t@127.0.0.1:1/x?default_query_exec_mode=simple_protocol",
	} {
		_, err := Open(t.Context(), url)
		require.Error(t, err)
		require.NotContains(t, err.Error(), "s3cr")
		_, err = Open(t.Context(), "postgres://127.0.0.1:1/x?connect_timeout=1", Listen(url))
		require.Error(t, err)
		require.NotContains(t, err.Error(), "s3cr")
	}
}

func TestASchemaIsMadeOnceByManyNodesAndANewerOneIsRefused(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	_, err := Open(t.Context(), url, WithoutMigrations())
	require.ErrorContains(t, err, "apply the files of migrations/")
	results := make(chan error, 6)
	for range cap(results) {
		go func() {
			b, err := Open(t.Context(), url)
			if err == nil {
				err = errors.Join(b.Portal("main").Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "1"}}}), b.Close())
			}
			results <- err
		}()
	}
	for range cap(results) {
		require.NoError(t, <-results)
	}
	b := open(t, url, WithoutMigrations())
	last, err := b.Portal("main").Events(t.Context(), ticket.EventFilter{Newest: true}, 1)
	require.NoError(t, err)
	require.EqualValues(t, cap(results), last[0].Cursor)
	require.NoError(t, b.Close())
	require.NoError(t, b.Close())
	_, err = b.Portal("main").Events(t.Context(), ticket.EventFilter{}, 1)
	require.ErrorContains(t, err, "closed")
	require.ErrorContains(t, b.Portal("main").Commit(t.Context(), &ticket.Changes{}), "closed")

	c, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer c.Close(t.Context())
	_, err = c.Exec(t.Context(), "INSERT INTO anteroom.schema_version VALUES (1000)")
	require.NoError(t, err)
	_, err = Open(t.Context(), url)
	require.ErrorContains(t, err, "use a newer one")
}

func TestAStoreOutlivesARestartOfTheServer(t *testing.T) { //nolint:paralleltest // it restarts the server of all
	if testing.Short() {
		t.Skip("it restarts the server of all tests: not with -short")
	}
	b := setup(t)
	s := b.Portal("main")
	for i := range 3 {
		require.NoError(t, s.Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "1"}}}))
		cluster.Restart(t)
		events, err := s.Events(t.Context(), ticket.EventFilter{}, 10)
		require.NoError(t, err)
		require.Len(t, events, i+1)
		c := ticket.Claim{Owner: "a", Now: time.Now(), Until: time.Now(), Limit: 1}
		_, _, err = s.Claim(t.Context(), c)
		require.NoError(t, err)
	}
}

func TestAHostsTransactionAtAnotherLevelIsToldSoWhenItLosesARace(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	b := open(t, url)
	defer func() { require.NoError(t, b.Close()) }()
	s := b.Portal("main")
	event := func(id string) *ticket.Changes { return &ticket.Changes{Events: []*ticket.Event{{ID: id}}} }
	require.NoError(t, s.Commit(t.Context(), event("1")))
	host, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer host.Close(context.Background())
	tx, err := host.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "SELECT count(*) FROM anteroom.events") // it sees the past from here on
	require.NoError(t, err)
	require.NoError(t, s.Commit(t.Context(), event("2")))
	err = s.Commit(WithTx(t.Context(), tx), event("3"))
	require.ErrorContains(t, err, "not at the level read committed")
	require.NotErrorIs(t, err, ticket.ErrConflict, "to try again is in vain")
	require.NoError(t, tx.Rollback(t.Context()))
}

func TestWhatTakesLongerThanTheTimeoutSaysSo(t *testing.T) {
	t.Parallel()
	b := setup(t, Timeout(1))
	_, err := b.Portal("main").Events(t.Context(), ticket.EventFilter{}, 1)
	require.ErrorContains(t, err, "the database did not answer in time")
}
