package pgstore

import (
	"context"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
)

const secret = "hunter2"

func TestWhatIsWrongWithAConnectionStringIsNamedWithoutThePassword(t *testing.T) {
	t.Parallel()
	for at, want := range map[string]string{
		secret:                                                                    "want postgres://",
		"mysql://a:" + secret + "@h/d":                                            "want postgres://",
		"postgres://a:%" + secret + "@h/d":                                        "want postgres://",
		"postgres://a:" + secret + "/@h/d":                                        "want postgres://",
		"postgres://a:" + secret + "@h:port/":                                     "want postgres://",
		"postgres://a:1?port=" + secret + "@h/d?sslmode=yes":                      "want postgres://",
		"host=h password=1?port=" + secret + " sslmode=yes":                       "want postgres://",
		"postgres://a:" + secret + "@h/d?sslmode=yes":                             "sslmode=yes",
		"postgres://a:" + secret + "@h/d?sslmode=disable&pool_max_conns=many":     "pool_max_conns=many",
		"postgres://a:" + secret + "@h/d?default_query_exec_mode=fast":            "default_query_exec_mode=fast",
		"postgres://a:" + secret + "@h/d?sslmode=verify-full&sslrootcert=/none":   "sslrootcert=/none",
		"postgres://a:" + secret + "@127.0.0.1:1/d":                               "refused",
		"postgres://a:" + secret + "@name.invalid/d":                              "name.invalid",
		"postgres://a:" + secret + "@h/d?default_query_exec_mode=simple_protocol": "use exec",
	} {
		for _, opts := range [][]Option{nil, {Listen(at)}} {
			if opts != nil && !strings.Contains(want, "=") {
				continue // what only connecting shows is not found by reading
			}
			_, err := Open(t.Context(), at, opts...)
			require.ErrorContains(t, err, want, want)
			require.NotContains(t, err.Error(), secret)
		}
	}
}

func TestAnErrorOfOpenSaysWhatToDo(t *testing.T) {
	t.Parallel()
	at := cluster.Database(t)
	admin, err := pgx.Connect(t.Context(), at)
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close(context.Background())) }()
	for _, sql := range []string{"CREATE SCHEMA other", "CREATE TABLE other.tickets (x integer)", "CREATE SCHEMA newer",
		"CREATE TABLE newer.schema_version (version integer NOT NULL)", "INSERT INTO newer.schema_version VALUES (99)"} {
		_, err := admin.Exec(t.Context(), sql)
		require.NoError(t, err)
	}
	for want, opts := range map[string][]Option{
		"choose another with Schema":     {Schema("other")},
		"has version 99":                 {Schema("newer")},
		"want lower-case letters":        {Schema("My-Schema")},
		"apply the files of migrations/": {Schema("empty"), WithoutMigrations()},
		"name all servers":               {Schema("readonly"), Configure(func(c *pgxpool.Config) { c.ConnConfig.RuntimeParams["default_transaction_read_only"] = "on" })},
	} {
		_, err := Open(t.Context(), at, opts...)
		require.ErrorContains(t, err, want)
	}
}

func TestAServerOrDatabaseThatDoesNotSuitIsRefused(t *testing.T) {
	t.Parallel()
	require.NoError(t, suitable("UTF8", 150000))
	require.ErrorContains(t, suitable("UTF8", 140012), "15 or later")
	at := cluster.Database(t)
	admin, err := pgx.Connect(t.Context(), at)
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close(context.Background())) }()
	_, err = admin.Exec(t.Context(), "CREATE DATABASE latin ENCODING 'LATIN1' LOCALE 'C' TEMPLATE template0")
	require.NoError(t, err)
	u, err := url.Parse(at)
	require.NoError(t, err)
	u.Path = "/latin"
	_, err = Open(t.Context(), u.String())
	require.ErrorContains(t, err, "LATIN1")
	require.ErrorContains(t, err, "UTF8")
	_, err = admin.Exec(t.Context(), "DROP DATABASE latin WITH (FORCE)")
	require.NoError(t, err)
}

// The statements of the package documentation's section Database.
func TestAUserThatMayOnlyWriteRowsRunsAStoreThatIsMigrated(t *testing.T) {
	t.Parallel()
	at := cluster.Database(t)
	require.NoError(t, open(t, at).Close())
	admin, err := pgx.Connect(t.Context(), at)
	require.NoError(t, err)
	defer func() { require.NoError(t, admin.Close(context.Background())) }()
	run := func(statements ...string) {
		t.Helper()
		for _, sql := range statements {
			_, err := admin.Exec(t.Context(), sql)
			require.NoError(t, err)
		}
	}
	run("CREATE ROLE rower LOGIN PASSWORD 'rower'")
	defer run("DROP OWNED BY rower", "DROP ROLE rower")
	u, err := url.Parse(at)
	require.NoError(t, err)
	u.User = url.UserPassword("rower", "rower")
	_, err = Open(t.Context(), u.String())
	require.ErrorContains(t, err, "the package documentation says what the user must be allowed")
	run("GRANT USAGE ON SCHEMA anteroom TO rower", "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA anteroom TO rower")
	b := open(t, u.String(), WithoutMigrations())
	defer func() { require.NoError(t, b.Close()) }()
	s := b.Portal("main")
	require.NoError(t, s.Commit(t.Context(), &ticket.Changes{
		Tickets:  []*ticket.Ticket{{ID: "1"}},
		Messages: []*ticket.Message{{ID: "1", Ticket: "1", Search: "hello"}},
		Events:   []*ticket.Event{{ID: "1"}},
		Works:    []*ticket.Work{{ID: "1"}},
		Counts:   []ticket.Count{{Name: "n", Add: 1, Max: 1}},
	}))
	_, err = s.Lease(t.Context(), "l", "a", time.Now(), time.Now().Add(time.Minute))
	require.NoError(t, err)
	found, _, err := s.Tickets(t.Context(), ticket.TicketFilter{}.WithQuery("hello"), ticket.Page{})
	require.NoError(t, err)
	require.Len(t, found, 1)
	_, err = Open(t.Context(), u.String(), Schema("another"))
	require.ErrorContains(t, err, "make the schema")
}

func TestAPasswordThatChangesIsAskedForAtEachConnection(t *testing.T) {
	t.Parallel()
	u, err := url.Parse(cluster.URL(t))
	require.NoError(t, err)
	now, _ := u.User.Password()
	u.User = url.UserPassword(u.User.Username(), "of yesterday")
	_, err = Open(t.Context(), u.String())
	require.ErrorContains(t, err, "password authentication failed")
	var asked atomic.Int32
	b := open(t, u.String(), Schema(schema(t)), Configure(func(c *pgxpool.Config) {
		c.BeforeConnect = func(_ context.Context, c *pgx.ConnConfig) error {
			asked.Add(1)
			c.Password = now
			return nil
		}
	}))
	defer func() { require.NoError(t, b.Close()) }()
	opened := asked.Load()
	require.Positive(t, opened)
	b.pool.Reset()
	require.Zero(t, b.Stat().TotalConns())
	ctx, stop := context.WithCancel(t.Context())
	told := make(chan struct{}, 100)
	done := make(chan struct{})
	go func() {
		defer close(done)
		b.Portal("main").(ticket.Watcher).Watch(ctx, func(ticket.Hint) { told <- struct{}{} })
	}()
	<-told // the listener is there
	stop()
	<-done
	require.Equal(t, opened+1, asked.Load(), "the listener's")
	_, err = b.Portal("main").Events(t.Context(), ticket.EventFilter{}, 1)
	require.NoError(t, err)
	require.Greater(t, asked.Load(), opened+1)
}

func TestATimeoutOf0IsTheDefault(t *testing.T) {
	t.Parallel()
	for _, d := range []time.Duration{0, -1} {
		b := setup(t, Timeout(d))
		require.Equal(t, defaultTimeout, b.options.timeout)
		_, err := b.Portal("main").Events(t.Context(), ticket.EventFilter{}, 1)
		require.NoError(t, err)
	}
}
