package pgstore

import (
	"context"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
)

// What a host's administrators do to a database, its roles and its sessions.

func TestARoleWhoseSettingsDoNotSuitIsRefused(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	for options, want := range map[string]string{
		"&options=-c%20default_transaction_isolation%3Dserializable":         `default_transaction_isolation is "serializable"`,
		"&options=-c%20default_transaction_isolation%3Drepeatable%5C%20read": `must be "read committed"`,
		"&client_encoding=LATIN1": "client_encoding is LATIN1",
	} {
		_, err := Open(t.Context(), url+options)
		require.ErrorContains(t, err, want)
	}
}

// waits returns when n sessions of the database wait for a lock.
func waits(t *testing.T, b *Backend, n int) {
	t.Helper()
	require.Eventually(t, func() bool {
		var waiting int
		err := b.pool.QueryRow(t.Context(), "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&waiting)
		return err == nil && waiting == n
	}, time.Minute, time.Millisecond)
}

// Nobody knows what became of a commit whose session was ended. That its caller
// has gone meanwhile must not read as if it were known: the context's error says
// that nothing was written.
func TestACommitInDoubtIsInDoubtThoughItsCallerHasGone(t *testing.T) {
	t.Parallel()
	b := open(t, cluster.Database(t))
	defer func() { require.NoError(t, b.Close()) }()
	s := b.Portal("main")
	require.NoError(t, s.Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "0"}}}))
	other, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	defer func() { require.NoError(t, other.Rollback(context.WithoutCancel(t.Context()))) }()
	_, err = other.Exec(t.Context(), "SELECT FROM anteroom.portals FOR UPDATE")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- s.Commit(ctx, &ticket.Changes{Events: []*ticket.Event{{ID: "1"}}}) }()
	waits(t, b, 1)
	cancel()
	_, err = b.pool.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
	require.NoError(t, err)
	err = <-result
	require.ErrorContains(t, err, "57P01")
	require.NotErrorIs(t, err, context.Canceled)
	require.NotErrorIs(t, err, ticket.ErrConflict)
}

// A caller that goes away while a verb reads must not break the host's connection.
func TestAReadInTheHostsTransactionIsNotBrokenOff(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	b := open(t, url)
	defer func() { require.NoError(t, b.Close()) }()
	s := b.Portal("main")
	require.NoError(t, s.Commit(t.Context(), &ticket.Changes{Contacts: []*ticket.Contact{{ID: "a"}}}))
	host, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer host.Close(t.Context())
	tx, err := host.Begin(t.Context())
	require.NoError(t, err)
	_, err = tx.Exec(t.Context(), "CREATE TABLE orders (id int)")
	require.NoError(t, err)
	other, err := b.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = other.Exec(t.Context(), "LOCK anteroom.contacts IN ACCESS EXCLUSIVE MODE")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	result := make(chan error, 1)
	go func() {
		_, err := s.Snapshot(WithTx(ctx, tx), ticket.Want{Contacts: []ticket.ContactID{"a"}})
		result <- err
	}()
	waits(t, b, 1)
	cancel()
	require.NoError(t, other.Rollback(t.Context()))
	require.NoError(t, <-result)
	require.NoError(t, tx.Commit(t.Context()))
	_, err = host.Exec(t.Context(), "SELECT FROM orders")
	require.NoError(t, err)
}

// Two nodes that each rely on a record's absence and make the other's cannot both
// be right, in whichever order they are put.
func TestOfTwoCommitsThatExcludeEachOtherOneWins(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	a, b := open(t, url), open(t, url)
	defer func() {
		require.NoError(t, a.Close())
		require.NoError(t, b.Close())
	}()
	require.NoError(t, a.Portal("main").Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "0"}}}))
	lock, err := a.pool.Begin(t.Context())
	require.NoError(t, err)
	_, err = lock.Exec(t.Context(), "SELECT FROM anteroom.portals FOR UPDATE")
	require.NoError(t, err)
	results := make(chan error, 2)
	commit := func(s ticket.Store, absent, made string) {
		results <- s.Commit(context.Background(), &ticket.Changes{
			Records: []*ticket.Record{{Kind: "k", ID: absent}, {Kind: "k", ID: made, Doc: []byte("x")}}, Events: []*ticket.Event{{ID: made}},
		})
	}
	go commit(a.Portal("main"), "1", "2")
	go commit(b.Portal("main"), "2", "1")
	waits(t, a, 2)
	require.NoError(t, lock.Rollback(t.Context()))
	won := 0
	for range cap(results) {
		if err := <-results; err == nil {
			won++
		} else {
			require.ErrorIs(t, err, ticket.ErrConflict)
		}
	}
	require.Equal(t, 1, won)
}

// A role's statement_timeout of a second would end every migration that takes
// longer, at each start anew.
func TestARolesStatementTimeoutDoesNotApplyToMigrations(t *testing.T) {
	t.Parallel()
	url := cluster.Database(t)
	other, err := pgx.Connect(t.Context(), url)
	require.NoError(t, err)
	defer other.Close(context.WithoutCancel(t.Context()))
	_, err = other.Exec(t.Context(), "SELECT pg_advisory_lock($1)", int64(migrationLock))
	require.NoError(t, err)
	opened := make(chan error, 1)
	go func() {
		b, err := Open(context.Background(), url+"&options=-c%20statement_timeout%3D1s%20-c%20lock_timeout%3D1s")
		if err == nil {
			err = b.Close()
		}
		opened <- err
	}()
	require.Eventually(t, func() bool {
		var long bool
		err := other.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database()
			AND wait_event_type = 'Lock' AND clock_timestamp() - query_start > '1.5s')`).Scan(&long)
		return err == nil && (long || len(opened) > 0)
	}, time.Minute, 10*time.Millisecond)
	_, err = other.Exec(t.Context(), "SELECT pg_advisory_unlock($1)", int64(migrationLock))
	require.NoError(t, err)
	require.NoError(t, <-opened)
}

// A lock time-out of the role's would make those that wait for the portal give up
// one after the other; the store's own time-out is for all of them.
func TestARolesLockTimeoutDoesNotApplyToCommits(t *testing.T) {
	t.Parallel()
	b := open(t, cluster.Database(t)+"&options=-c%20lock_timeout%3D7s")
	defer func() { require.NoError(t, b.Close()) }()
	_, err := b.pool.Exec(t.Context(), `CREATE FUNCTION timeouts() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN RAISE '%', current_setting('lock_timeout'); END $$;
		CREATE TRIGGER timeouts BEFORE INSERT ON anteroom.contacts FOR EACH ROW EXECUTE FUNCTION timeouts()`)
	require.NoError(t, err)
	err = b.Portal("main").Commit(t.Context(), &ticket.Changes{Contacts: []*ticket.Contact{{ID: "a"}}})
	var pg *pgconn.PgError
	require.ErrorAs(t, err, &pg)
	require.Equal(t, "0", pg.Message)
}

func TestErrorsThatEndAConnectionAreOfTheConnection(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		severity, code string
		want           bool
	}{
		{"ERROR", "23505", false}, {"ERROR", "08P01", true}, {"FATAL", "57P01", true}, {"ERROR", "57P01", true},
		{"FATAL", "57P05", true}, {"FATAL", "53300", true}, {"PANIC", "53100", true}, {"ERROR", "53100", false},
	} {
		require.Equal(t, c.want, broken(&pgconn.PgError{Severity: c.severity, Code: c.code}), "%v", c)
		require.Equal(t, c.want, broken(&pgconn.PgError{Severity: "lokalisiert", SeverityUnlocalized: c.severity, Code: c.code}), "%v", c)
	}
}
