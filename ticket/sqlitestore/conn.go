package sqlitestore

import (
	"context"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"net/url"
	"path/filepath"
	"strings"

	"modernc.org/sqlite"
)

// conn is one connection with its prepared statements, used by one goroutine at a
// time. It speaks to the driver itself: half of what a point read costs through
// database/sql is database/sql, whose pool and locks nothing here needs.
type conn struct {
	c     driver.Conn
	stmts map[string]stmt
	args  []driver.NamedValue // of the statement that runs
}

// stmt is what the driver's statements can do.
type stmt interface {
	driver.Stmt
	driver.StmtExecContext
	driver.StmtQueryContext
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
		"journal_mode(wal)", "secure_delete(fast)", "temp_store(memory)",
	}
	if o.unsynced {
		pragmas = append(pragmas, "synchronous(off)", "journal_size_limit(-1)", "wal_autocheckpoint(262144)")
	} else {
		pragmas = append(pragmas, "synchronous(full)", "journal_size_limit(67108864)",
			// In pages, four times SQLite's own: what is written again and again,
			// such as the end of an index, is moved into the file less often.
			"wal_autocheckpoint(4000)")
	}
	if readOnly {
		pragmas = append(pragmas, "cache_size(-8000)", "query_only(1)")
	} else {
		pragmas = append(pragmas, fmt.Sprintf("cache_size(-%d)", o.cache>>10))
	}
	return "file:" + (&url.URL{Path: path}).EscapedPath() + "?" + url.Values{"_pragma": pragmas}.Encode()
}

// openConn opens a connection, and asserts that it has the settings on which
// durability rests.
func openConn(ctx context.Context, o options, readOnly bool) (*conn, error) {
	connector, err := sqlite.NewConnector(dsn(o, readOnly))
	if err != nil {
		return nil, err
	}
	dc, err := connector.Connect(ctx)
	if err != nil {
		return nil, err
	}
	c := &conn{c: dc, stmts: map[string]stmt{}}
	synchronous := "2" // full
	if o.unsynced {
		synchronous = "0" // off
	}
	for _, want := range []struct{ pragma, value string }{
		{"journal_mode", "wal"}, {"synchronous", synchronous}, {"busy_timeout", fmt.Sprint(o.busy.Milliseconds())},
	} {
		var got string
		if _, err := c.one("PRAGMA "+want.pragma, nil, &got); err != nil {
			return nil, errors.Join(err, c.close())
		}
		if got != want.value {
			_ = c.close()
			return nil, fmt.Errorf("pragma %s is %s, want %s", want.pragma, got, want.value)
		}
	}
	return c, nil
}

// close closes the connection, in whatever state it is.
func (c *conn) close() error {
	c.forget()
	return c.c.Close()
}

func (c *conn) forget() {
	for _, s := range c.stmts {
		_ = s.Close()
	}
	clear(c.stmts)
}

// prepare returns a statement and its arguments, good until the next one.
func (c *conn) prepare(query string, args []any) (stmt, []driver.NamedValue, error) {
	s := c.stmts[query]
	if s == nil {
		if len(c.stmts) >= maxStatements {
			c.forget()
		}
		made, err := c.c.Prepare(query)
		if err != nil {
			return nil, nil, err
		}
		var ok bool
		if s, ok = made.(stmt); !ok {
			return nil, nil, errors.Join(errors.New("the driver has no contexts"), made.Close())
		}
		c.stmts[query] = s
	}
	c.args = c.args[:0]
	for i, v := range args {
		v, err := column(v)
		if err != nil {
			return nil, nil, err
		}
		c.args = append(c.args, driver.NamedValue{Ordinal: i + 1, Value: v})
	}
	return s, c.args, nil
}

// exec runs a statement and returns how many rows it has changed.
func (c *conn) exec(query string, args ...any) (int64, error) {
	s, values, err := c.prepare(query, args)
	if err != nil {
		return 0, err
	}
	r, err := s.ExecContext(context.Background(), values)
	clear(values)
	if err != nil {
		return 0, err
	}
	return r.RowsAffected()
}

// one reads the first row of a query, if there is one.
func (c *conn) one(query string, args []any, dest ...any) (found bool, err error) {
	err = c.each(context.Background(), query, args, func(scan func(...any) error) error {
		found = true
		if err := scan(dest...); err != nil {
			return err
		}
		return io.EOF
	})
	if err == io.EOF { //nolint:errorlint // it is the one above
		err = nil
	}
	return found && err == nil, err
}

// each calls f for each row of a query, until the context ends.
func (c *conn) each(ctx context.Context, query string, args []any, f func(scan func(...any) error) error) (err error) {
	s, values, err := c.prepare(query, args)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(ctx, values)
	clear(values)
	if err != nil {
		return err
	}
	defer func() {
		if end := rows.Close(); err == nil {
			err = end
		}
	}()
	row := make([]driver.Value, len(rows.Columns()))
	scan := func(dest ...any) error { return assign(dest, row) }
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		if err := rows.Next(row); err == io.EOF { //nolint:errorlint // as package driver says
			return nil
		} else if err != nil {
			return err
		}
		if err := f(scan); err != nil {
			return err
		}
	}
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
