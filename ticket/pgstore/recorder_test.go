package pgstore

import (
	"context"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/stretchr/testify/require"
)

// recorder keeps the statements of stores, in whatever schema: once each if had is
// made, and else all, with what only sets something, to be counted.
type recorder struct {
	mu  sync.Mutex
	ran []ran
	had map[string]bool
}

// ran is a statement, with those before it in its transaction that set how it is
// planned.
type ran struct {
	sql      string
	args     []any
	settings []ran
}

var inSchema = regexp.MustCompile(`"(s[0-9]+|anteroom)"\.`)

func (r *recorder) add(q ran) {
	q.sql = inSchema.ReplaceAllString(q.sql, "anteroom.")
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.had != nil {
		key := fmt.Sprint(len(q.settings), q.sql)
		if r.had[key] {
			return
		}
		r.had[key] = true
	}
	r.ran = append(r.ran, q)
}

func (r *recorder) TraceQueryStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceQueryStartData) context.Context {
	r.add(ran{sql: d.SQL, args: d.Args})
	return ctx
}

func (*recorder) TraceQueryEnd(context.Context, *pgx.Conn, pgx.TraceQueryEndData) {}

func (r *recorder) TraceBatchStart(ctx context.Context, _ *pgx.Conn, d pgx.TraceBatchStartData) context.Context {
	var settings []ran
	for _, q := range d.Batch.QueuedQueries {
		if r.had != nil && strings.Contains(q.SQL, "set_config") {
			settings = append(settings, ran{sql: q.SQL, args: q.Arguments})
			continue
		}
		r.add(ran{sql: q.SQL, args: q.Arguments, settings: settings})
	}
	return ctx
}

func (*recorder) TraceBatchQuery(context.Context, *pgx.Conn, pgx.TraceBatchQueryData) {}

func (*recorder) TraceBatchEnd(context.Context, *pgx.Conn, pgx.TraceBatchEndData) {}

// clear forgets what was recorded.
func (r *recorder) clear() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.ran, r.had = nil, map[string]bool{}
}

// statements returns those that read or write tables, in the schema of b.
func (r *recorder) statements(b *Backend) (out []ran) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, q := range r.ran {
		if large.MatchString(q.sql) {
			q.sql = b.sql.in(q.sql)
			out = append(out, q)
		}
	}
	return out
}

// tables are those that grow.
const tables = `(keys|counters|contacts|conversations|tickets|messages|words|items|ledger|works|leases|records|bodies|events|decisions)\b`

var (
	large   = regexp.MustCompile(`anteroom\.` + tables)
	scanned = regexp.MustCompile(`Seq Scan on ` + tables)
)

// plans returns the plan of a statement for its arguments, and the one for any,
// which the server keeps for prepared statements if it looks no worse.
func (q *ran) plans(t *testing.T, b *Backend) (custom, generic string) {
	t.Helper()
	c, err := b.pool.Acquire(t.Context())
	require.NoError(t, err)
	defer c.Release()
	tx, err := c.Begin(t.Context())
	require.NoError(t, err)
	defer tx.Rollback(context.WithoutCancel(t.Context()))
	for _, s := range q.settings {
		_, err := tx.Exec(t.Context(), s.sql, s.args...)
		require.NoError(t, err)
	}
	explain := func(sql string, args ...any) string {
		rows, err := tx.Query(t.Context(), "EXPLAIN (COSTS OFF) "+sql, args...)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err, q.sql)
		return strings.Join(lines, "\n") + "\n"
	}
	custom = explain(q.sql, q.args...)
	arguments := ""
	if n := len(q.args); n > 0 {
		arguments = "(" + strings.TrimSuffix(strings.Repeat("NULL,", n), ",") + ")"
	}
	for _, sql := range []string{"SET LOCAL plan_cache_mode = force_generic_plan", "PREPARE recorded AS " + q.sql} {
		_, err := tx.Conn().PgConn().Exec(t.Context(), sql).ReadAll()
		require.NoError(t, err, q.sql)
	}
	generic = explain("EXECUTE recorded" + arguments)
	_, err = tx.Exec(t.Context(), "DEALLOCATE recorded")
	require.NoError(t, err)
	return custom, generic
}

// plans returns the plans of all statements that f runs, as one text.
func plans(t *testing.T, b *Backend, rec *recorder, f func()) string {
	t.Helper()
	rec.clear()
	f()
	var out strings.Builder
	for _, q := range rec.statements(b) {
		custom, generic := q.plans(t, b)
		out.WriteString(custom + generic)
	}
	return out.String()
}

// traced has a store's statements recorded.
func traced(r *recorder) Option {
	return Configure(func(cfg *pgxpool.Config) { cfg.ConnConfig.Tracer = r })
}
