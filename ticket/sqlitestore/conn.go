package sqlitestore

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"net/url"
	"path/filepath"
	"strings"
)

// conn is one connection with its prepared statements. It is used by one
// goroutine at a time.
type conn struct {
	c     *sql.Conn
	stmts map[string]*sql.Stmt
}

// maxStatements bounds the prepared statements of a connection. There are fewer
// in use, but for filters in unusual combinations.
const maxStatements = 200

// dsn returns the data source name with all settings.
func dsn(o options, readOnly bool) string {
	path := filepath.ToSlash(o.path)
	if filepath.VolumeName(o.path) != "" {
		path = "/" + path
	}
	pragmas := []string{
		fmt.Sprintf("busy_timeout(%d)", o.busy.Milliseconds()),
		"journal_mode(wal)", "synchronous(full)", "secure_delete(fast)", "temp_store(memory)",
		"journal_size_limit(67108864)",
	}
	if readOnly {
		pragmas = append(pragmas, "cache_size(-8000)", "query_only(1)")
	} else {
		pragmas = append(pragmas, "cache_size(-32000)")
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + url.Values{"_pragma": pragmas}.Encode()
}

func openPool(o options, n int, readOnly bool) (*sql.DB, error) {
	db, err := sql.Open("sqlite", dsn(o, readOnly))
	if err != nil {
		return nil, err
	}
	db.SetMaxOpenConns(n)
	db.SetMaxIdleConns(n)
	return db, nil
}

// openConn takes a connection from the pool for good, and asserts that it has
// the settings on which durability rests.
func openConn(ctx context.Context, db *sql.DB, o options) (*conn, error) {
	sc, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	c := &conn{c: sc, stmts: map[string]*sql.Stmt{}}
	for _, want := range []struct{ pragma, value string }{
		{"journal_mode", "wal"}, {"synchronous", "2"}, {"busy_timeout", fmt.Sprint(o.busy.Milliseconds())},
	} {
		var got string
		if _, err := c.one("PRAGMA "+want.pragma, nil, &got); err != nil {
			c.discard()
			return nil, err
		}
		if got != want.value {
			c.discard()
			return nil, fmt.Errorf("pragma %s is %s, want %s", want.pragma, got, want.value)
		}
	}
	return c, nil
}

// close gives the connection back to its pool.
func (c *conn) close() error {
	c.forget()
	return c.c.Close()
}

// discard closes the connection for good.
func (c *conn) discard() {
	c.forget()
	_ = c.c.Raw(func(any) error { return driver.ErrBadConn })
	_ = c.c.Close()
}

func (c *conn) forget() {
	for _, s := range c.stmts {
		_ = s.Close()
	}
	clear(c.stmts)
}

func (c *conn) prepare(query string) (*sql.Stmt, error) {
	if s := c.stmts[query]; s != nil {
		return s, nil
	}
	if len(c.stmts) >= maxStatements {
		c.forget()
	}
	s, err := c.c.PrepareContext(context.Background(), query)
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s
	return s, nil
}

// exec runs a statement and returns how many rows it has changed.
func (c *conn) exec(query string, args ...any) (int64, error) {
	s, err := c.prepare(query) //nolint:sqlclosecheck // the connection keeps and closes it
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// one reads the only row of a query, if there is one.
func (c *conn) one(query string, args []any, dest ...any) (found bool, err error) {
	s, err := c.prepare(query) //nolint:sqlclosecheck // the connection keeps and closes it
	if err != nil {
		return false, err
	}
	err = s.QueryRowContext(context.Background(), args...).Scan(dest...)
	if errors.Is(err, sql.ErrNoRows) {
		return false, nil
	}
	return err == nil, err
}

// each calls f for each row of a query, until the context ends.
func (c *conn) each(ctx context.Context, query string, args []any, f func(scan func(...any) error) error) error {
	s, err := c.prepare(query) //nolint:sqlclosecheck // the connection keeps and closes it
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(ctx, args...)
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	for rows.Next() {
		if err := f(rows.Scan); err != nil {
			return err
		}
	}
	return rows.Err()
}

// consistent calls f in a transaction that only reads.
func (c *conn) consistent(f func() error) error {
	if _, err := c.exec("BEGIN"); err != nil {
		return err
	}
	err := f()
	if _, end := c.exec("ROLLBACK"); err == nil {
		err = end
	}
	return err
}

// list returns n placeholders: (?, ?).
func list(n int) string { return "(" + strings.TrimSuffix(strings.Repeat("?, ", n), ", ") + ")" }
