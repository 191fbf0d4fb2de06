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

func TestEventsOfAnOlderSchemaAreKept(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "anteroom.db")
	old, err := openConn(t.Context(), options{path: path}, false)
	require.NoError(t, err)
	require.NoError(t, apply(old, []string{"migrations/0001_init.sql", "migrations/0002_words.sql", "migrations/0003_lists.sql"}))
	for _, portal := range []string{"main", "other"} {
		_, err = old.exec("INSERT INTO portals (name, event) VALUES (?, 300)", portal)
		require.NoError(t, err)
	}
	for cursor := range int64(300) {
		for portal := range int64(2) {
			var of any // none, or one of three tickets that both portals have
			if cursor%4 > 0 {
				of = fmt.Sprint("t", cursor%4)
			}
			_, err = old.exec("INSERT INTO events (portal, cursor, ticket, doc) VALUES (?, ?, ?, ?)", portal+1, cursor+1, of,
				fmt.Sprintf(`{"id":"%d-%d"}`, portal+1, cursor+1))
			require.NoError(t, err)
		}
	}
	require.NoError(t, old.close())

	b, err := Open(path)
	require.NoError(t, err)
	defer b.Close()
	for i, name := range []string{"main", "other"} {
		s := b.Portal(name)
		for range 2 {
			require.NoError(t, s.Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "new", Ticket: "t1"}}}))
		}
		all, err := s.Events(t.Context(), ticket.EventFilter{}, 1000)
		require.NoError(t, err)
		require.Len(t, all, 302)
		for k, e := range all {
			require.EqualValues(t, k+1, e.Cursor)
			if k < 300 {
				require.Equal(t, fmt.Sprintf("%d-%d", i+1, k+1), e.ID)
			}
		}
		one, err := s.Events(t.Context(), ticket.EventFilter{Ticket: "t1", After: 5}, 1000)
		require.NoError(t, err)
		require.Len(t, one, 75-1+2) // cursors 2, 6, 10, ...
		require.EqualValues(t, 6, one[0].Cursor)
		last, err := s.Events(t.Context(), ticket.EventFilter{Ticket: "t1", Newest: true}, 3)
		require.NoError(t, err)
		require.Equal(t, []int64{302, 301, 298}, []int64{last[0].Cursor, last[1].Cursor, last[2].Cursor})
		for _, after := range []int64{302, 1 << 41, 1<<63 - 1} {
			none, err := s.Events(t.Context(), ticket.EventFilter{After: after}, 10)
			require.NoError(t, err)
			require.Empty(t, none)
		}
		most, err := s.Events(t.Context(), ticket.EventFilter{After: -5}, 1000)
		require.NoError(t, err)
		require.Len(t, most, 302)
	}
}
