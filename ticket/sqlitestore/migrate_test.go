package sqlitestore

import (
	"context"
	"database/sql"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
)

func TestANewerSchemaIsRefused(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "anteroom.db")
	b, err := Open(path)
	require.NoError(t, err)
	_, err = b.writer.c.exec("INSERT INTO schema_version (version) VALUES (99)")
	require.NoError(t, err)
	require.NoError(t, b.Close())
	_, err = Open(path)
	require.ErrorContains(t, err, "schema version 99")
	require.ErrorContains(t, err, "use a newer one")
}

func TestAFailedMigrationLeavesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "anteroom.db")
	pool, err := sql.Open("sqlite", dsn(options{path: path}, false))
	require.NoError(t, err)
	_, err = pool.ExecContext(t.Context(), "CREATE TABLE messages (host INTEGER)") // of somebody else
	require.NoError(t, err)
	_, err = Open(path)
	require.ErrorContains(t, err, "migration migrations/0001_init.sql")
	var n int
	require.NoError(t, pool.QueryRowContext(t.Context(), "SELECT count(*) FROM sqlite_schema").Scan(&n))
	require.Equal(t, 1, n)
	require.NoError(t, pool.Close())
}

func TestPathsWithUnusualLetters(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"a b.db", "a?b=c.db", "a#b.db", "a%20b.db", "ü.db", "a&b;c.db", "file:x.db", "+.db"} {
		path := filepath.Join(t.TempDir(), name)
		b, err := Open(path)
		require.NoError(t, err, name)
		require.NoError(t, commit(t.Context(), b, "x"))
		require.FileExists(t, path)
		require.NoError(t, b.Close())
	}
}

// child is the variable that makes this test binary a process that writes.
const child = "SQLITESTORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(child); path != "" {
		if err := writeAsChild(path); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

const childCommits = 15

func writeAsChild(path string) error {
	b, err := Open(path)
	if err != nil {
		return err
	}
	defer b.Close()
	for i := range childCommits {
		c := &ticket.Changes{
			Tickets: []*ticket.Ticket{{ID: ticket.TicketID(fmt.Sprintf("%d-%d", os.Getpid(), i))}},
			Events:  []*ticket.Event{{ID: fmt.Sprint(i)}, {ID: fmt.Sprint(i)}},
		}
		if err := b.Portal("main").Commit(context.Background(), c); err != nil {
			return err
		}
	}
	return b.Close()
}

func TestProcessesShareAFile(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "anteroom.db")
	program, err := os.Executable()
	require.NoError(t, err)
	const processes = 4
	results := make(chan error, processes)
	for range processes {
		go func() {
			cmd := exec.CommandContext(t.Context(), program)
			cmd.Env = append(os.Environ(), child+"="+path)
			out, err := cmd.CombinedOutput()
			if err != nil {
				err = fmt.Errorf("%w: %s", err, out)
			}
			results <- err
		}()
	}
	for range processes {
		require.NoError(t, <-results)
	}
	b, err := Open(path)
	require.NoError(t, err)
	defer b.Close()
	events, err := b.Portal("main").Events(t.Context(), ticket.EventFilter{}, 1000)
	require.NoError(t, err)
	require.Len(t, events, 2*processes*childCommits)
	for i, e := range events {
		require.Equal(t, int64(i+1), e.Cursor)
	}
	numbers := map[int64]bool{}
	list, _, err := b.Portal("main").Tickets(t.Context(), ticket.TicketFilter{}, ticket.Page{Limit: 500})
	require.NoError(t, err)
	for _, v := range list {
		numbers[v.Number] = true
	}
	require.Len(t, numbers, processes*childCommits)
	require.True(t, numbers[1] && numbers[processes*childCommits])
}
