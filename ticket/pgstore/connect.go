package pgstore

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgconn/ctxwatch"
	"github.com/jackc/pgx/v5/pgxpool"
)

// parse reads a connection string. Its errors do not show it, since what cannot
// be read may be the password.
func parse(connString string, o options) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(connString)
	if err != nil {
		return nil, unreadable(connString)
	}
	if o.conns > 0 {
		cfg.MaxConns = int32(min(o.conns, 10000))
	} else if !strings.Contains(connString, "pool_max_conns") {
		cfg.MaxConns = 16
	}
	if o.configure != nil {
		o.configure(cfg)
	}
	switch cfg.ConnConfig.DefaultQueryExecMode {
	case pgx.QueryExecModeSimpleProtocol:
		return nil, errors.New("pgstore: open: default_query_exec_mode=simple_protocol is not supported: use exec")
	case pgx.QueryExecModeCacheStatement, pgx.QueryExecModeDescribeExec:
		// A context that ends stops the statement in the server too. Not through
		// an old proxy: a request to cancel whose sender does not wait for the
		// end of it makes PgBouncer 1.18 crash.
		cfg.ConnConfig.BuildContextWatcherHandler = func(c *pgconn.PgConn) ctxwatch.Handler {
			return &pgconn.CancelRequestContextWatcherHandler{Conn: c, DeadlineDelay: 2 * time.Second}
		}
	}
	return cfg, nil
}

// parameters are those of connection strings whose value can be wrong in itself.
// Only they are ever named: what stands in the place of a name may be a part of a
// password that was not encoded.
func parameters() []string {
	return []string{
		"channel_binding", "connect_timeout", "default_query_exec_mode", "description_cache_capacity", "port", "sslcert", "sslkey", "sslmode",
		"sslnegotiation", "sslrootcert", "statement_cache_capacity", "target_session_attrs", "pool_max_conns", "pool_min_conns",
		"pool_min_idle_conns", "pool_max_conn_lifetime", "pool_max_conn_idle_time", "pool_health_check_period", "pool_max_conn_lifetime_jitter",
	}
}

// unreadable returns what is said of a connection string that cannot be read: the
// parameter without which it can be, if there is one.
func unreadable(connString string) error {
	// A question mark in a password may begin what looks like parameters.
	if u, err := url.Parse(connString); err == nil && strings.HasPrefix(u.Scheme, "postgres") && !strings.Contains(u.RawQuery, "@") {
		for name, values := range u.Query() {
			if !slices.Contains(parameters(), name) {
				continue
			}
			without := u.Query()
			without.Del(name)
			u := *u
			u.RawQuery = without.Encode()
			if _, err := pgxpool.ParseConfig(u.String()); err == nil {
				return fmt.Errorf("pgstore: open: the connection string cannot be read: %s=%s: there is no such value, or no such file", name, strings.Join(values, ","))
			}
		}
	}
	return errors.New("pgstore: open: the connection string cannot be read: want postgres://user:password@host/database, with what is special in the password percent-encoded")
}

// advice says what to do about an error of [Open], as far as it is known.
func advice(err error) string {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return ""
	}
	switch pg.Code {
	case "42501": // insufficient_privilege
		return ": the package documentation says what the user must be allowed"
	case "42P07": // duplicate_table
		return ": the schema has tables of something else; choose another with Schema"
	case "25006": // read_only_sql_transaction
		return ": the server takes no writes, as a replica; name all servers, with target_session_attrs=read-write"
	}
	return ""
}
