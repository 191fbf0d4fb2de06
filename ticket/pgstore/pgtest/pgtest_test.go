package pgtest_test

import (
	"os"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket/pgstore/pgtest"
)

var cluster pgtest.Cluster

func TestMain(m *testing.M) { os.Exit(cluster.Main(m)) }

func TestDatabasesAreApartAndOutliveARestart(t *testing.T) {
	t.Parallel()
	one, two := cluster.Database(t), cluster.Database(t)
	through := cluster.Bouncer(t)
	exec := func(at, sql string) error {
		conn, err := pgx.Connect(t.Context(), at+"&default_query_exec_mode=exec")
		require.NoError(t, err)
		defer conn.Close(t.Context())
		_, err = conn.Exec(t.Context(), sql)
		return err
	}
	require.NoError(t, exec(one, "CREATE TABLE x (a int)"))
	require.Error(t, exec(two, "SELECT a FROM x"))
	require.NoError(t, exec(through(one), "SELECT a FROM x"))
	cluster.Restart(t)
	require.NoError(t, exec(one, "SELECT a FROM x"))
}
