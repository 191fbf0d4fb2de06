package pgstore

import (
	"context"
	"fmt"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/pgstore/pgtest"
	"github.com/anteroom/anteroom/ticket/storetest"
)

var (
	cluster pgtest.Cluster
	schemas spare
)

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

// spare holds schemas that were used and emptied, since making one takes a while.
type spare struct {
	mu   sync.Mutex
	made int
	free []string
}

// schema returns the name of an empty schema, perhaps of none that exists. It is
// free again when the test has ended.
func schema(t testing.TB) string {
	schemas.mu.Lock()
	defer schemas.mu.Unlock()
	var name string
	if n := len(schemas.free); n > 0 {
		name, schemas.free = schemas.free[n-1], schemas.free[:n-1]
	} else {
		schemas.made++
		name = fmt.Sprintf("s%d", schemas.made)
	}
	t.Cleanup(func() {
		if empty(name) == nil { // else it is left as it is
			schemas.mu.Lock()
			defer schemas.mu.Unlock()
			schemas.free = append(schemas.free, name)
		}
	})
	return name
}

func empty(schema string) error {
	ctx := context.Background()
	c, err := pgx.Connect(ctx, cluster.Address())
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	_, err = c.Exec(ctx, `DO $$ DECLARE t text; BEGIN
		FOR t IN SELECT quote_ident(schemaname) || '.' || quote_ident(tablename) FROM pg_tables WHERE schemaname = '`+schema+`' AND tablename <> 'schema_version' LOOP
			EXECUTE 'DELETE FROM ' || t;
		END LOOP; END $$`)
	return err
}

func open(t testing.TB, url string, opts ...Option) *Backend {
	t.Helper()
	b, err := Open(t.Context(), url, opts...)
	require.NoError(t, err)
	return b
}

// setup opens a new and empty store.
func setup(t testing.TB, opts ...Option) *Backend {
	t.Helper()
	b := open(t, cluster.URL(t), append([]Option{Schema(schema(t))}, opts...)...)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

func suite(t *testing.T, url string, opts ...Option) {
	t.Helper()
	var names sync.Map
	at := func(t *testing.T, name string) ticket.Backend {
		b := open(t, url, append([]Option{Schema(name)}, opts...)...)
		names.Store(b, name)
		return b
	}
	storetest.RunWith(t, storetest.Options{
		Open: func(t *testing.T) ticket.Backend { return at(t, schema(t)) },
		Reopen: func(t *testing.T, b ticket.Backend) ticket.Backend {
			require.NoError(t, b.Close())
			name, _ := names.Load(b)
			return at(t, name.(string))
		},
	})
}

func TestStore(t *testing.T) {
	t.Parallel()
	rec := &recorder{had: map[string]bool{}}
	t.Run("suite", func(t *testing.T) { suite(t, cluster.URL(t), traced(rec)) })
	t.Run("plans", func(t *testing.T) { everyStatementUsesAnIndex(t, rec) })
}

func TestStoreThroughPgBouncer(t *testing.T) {
	t.Parallel()
	suite(t, cluster.Bouncer(t)(cluster.URL(t))+"&default_query_exec_mode=exec")
}

// watch watches a portal until the test ends. What it returns waits for the next
// hint.
func watch(t *testing.T, b *Backend, portal string) (next func() ticket.Hint) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	hints := make(chan ticket.Hint, 1000)
	var watching sync.WaitGroup
	watching.Go(func() { b.Portal(portal).(ticket.Watcher).Watch(ctx, func(h ticket.Hint) { hints <- h }) })
	t.Cleanup(func() {
		cancel()
		watching.Wait()
	})
	return func() ticket.Hint {
		t.Helper()
		select {
		case h := <-hints:
			return h
		case <-time.After(time.Minute):
			t.Fatal("nothing was told")
			return ticket.Hint{}
		}
	}
}
