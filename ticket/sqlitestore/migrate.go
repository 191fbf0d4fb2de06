package sqlitestore

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"
	"time"

	"modernc.org/sqlite"
)

// The schema, as files that are applied in the order of their numbers. They are
// published so that other tools can be used in place of [Open].
//
//go:embed migrations/*.sql
var migrations embed.FS

const createVersion = "CREATE TABLE IF NOT EXISTS schema_version (version INTEGER NOT NULL)"

// migrate brings the schema up to date.
func migrate(c *conn) error {
	scripts, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	// Reading first spares an opening process the wait for a writing one.
	if have, err := version(c); err != nil || have == len(scripts) {
		return err
	}
	if _, err := c.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	if err := apply(c, scripts); err != nil {
		_, end := c.exec("ROLLBACK")
		return errors.Join(err, end)
	}
	_, err = c.exec("COMMIT")
	return err
}

// version returns the number of the last script that was applied.
func version(c *conn) (v int, err error) {
	exists, err := c.one("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'schema_version'", nil, new(int))
	if err != nil || !exists {
		return 0, err
	}
	_, err = c.one("SELECT coalesce(max(version), 0) FROM schema_version", nil, &v)
	return v, err
}

func apply(c *conn, scripts []string) error {
	if _, err := c.exec(createVersion); err != nil {
		return err
	}
	have, err := version(c)
	if err != nil {
		return err
	}
	if have > len(scripts) {
		return fmt.Errorf("the file has schema version %d, this program knows up to %d: use a newer one", have, len(scripts))
	}
	for i, name := range scripts[have:] {
		number, err := strconv.Atoi(strings.TrimPrefix(name, "migrations/")[:4])
		if err != nil || number != have+i+1 {
			return fmt.Errorf("migration %s is out of order", name)
		}
		script, err := migrations.ReadFile(name)
		if err != nil {
			return err
		}
		if _, err := c.exec(string(script)); err != nil {
			return fmt.Errorf("migration %s: %w", name, err)
		}
		if _, err := c.exec("INSERT INTO schema_version (version) VALUES (?)", number); err != nil {
			return err
		}
	}
	return nil
}

// busyPause is how long to wait for another process before trying again.
const busyPause = 20 * time.Millisecond

// retryBusy calls f again while another process has the file locked in a way
// for which SQLite does not wait, such as the change to WAL mode.
func retryBusy(patience time.Duration, f func() error) error {
	for waited := time.Duration(0); ; waited += busyPause {
		err := f()
		if err == nil || waited >= patience || !isBusy(err) {
			return err
		}
		time.Sleep(busyPause)
	}
}

// isBusy reports whether an error is SQLITE_BUSY or SQLITE_LOCKED, extended or
// not.
func isBusy(err error) bool {
	e, ok := errors.AsType[*sqlite.Error](err)
	return ok && (e.Code()&0xff == 5 || e.Code()&0xff == 6)
}
