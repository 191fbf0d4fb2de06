package sqlitestore_test

import (
	"path/filepath"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
	"github.com/anteroom/anteroom/ticket/storetest"
)

func open(t testing.TB, path string) *sqlitestore.Backend {
	t.Helper()
	b, err := sqlitestore.Open(path)
	require.NoError(t, err)
	return b
}

func TestStore(t *testing.T) {
	t.Parallel()
	paths := map[ticket.Backend]string{}
	storetest.RunWith(t, storetest.Options{
		Sequential: true,
		Open: func(t *testing.T) ticket.Backend {
			path := filepath.Join(t.TempDir(), "anteroom.db")
			b := open(t, path)
			paths[b] = path
			return b
		},
		Reopen: func(t *testing.T, b ticket.Backend) ticket.Backend {
			require.NoError(t, b.Close())
			again := open(t, paths[b])
			paths[again] = paths[b]
			return again
		},
	})
}
