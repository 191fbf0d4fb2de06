package pgstore

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
)

// The schema, as files that are applied in the order of their numbers, each in a
// transaction of its own. They are published so that other tools can be used in
// place of [Open]; those put the schema first in the search_path, and write the
// number into schema_version.
//
//go:embed migrations/*.sql
var migrations embed.FS

// migrationLock is the transaction's advisory lock under which one process at a
// time migrates: "anteroom" in ASCII. It needs no session, so that it works
// through a proxy.
const migrationLock = 0x616e7465726f6f6d

// migrate brings the schema up to date.
func (b *Backend) migrate(ctx context.Context) error {
	scripts, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		return err
	}
	if err := b.suits(ctx); err != nil {
		return err
	}
	// Reading first spares an opening process the wait for a migrating one.
	have, err := b.version(ctx, b.pool)
	if err != nil {
		return fmt.Errorf("read the schema's version: %w", err)
	}
	switch {
	case have > len(scripts):
		return newer(have, len(scripts))
	case have == len(scripts):
		return nil
	case !b.options.migrate:
		return fmt.Errorf("the schema has version %d, and %d is needed: apply the files of migrations/ that are missing, or open it once without WithoutMigrations", have, len(scripts))
	}
	for have < len(scripts) {
		if have, err = b.migrateOne(ctx, scripts); err != nil {
			return err
		}
	}
	return nil
}

// migrateOne applies the next script, if one is left, and returns how many are
// applied then. Each has a transaction of its own and changes one table that
// others use: who holds no lock while it waits for one takes part in no deadlock,
// whatever transactions of the host are open.
func (b *Backend) migrateOne(ctx context.Context, scripts []string) (have int, err error) {
	tx, err := b.pool.Begin(ctx)
	if err != nil {
		return 0, err
	}
	if have, err = b.apply(ctx, tx, scripts); err != nil {
		return 0, errors.Join(err, tx.Rollback(context.WithoutCancel(ctx)))
	}
	return have, tx.Commit(ctx)
}

func newer(have, known int) error {
	return fmt.Errorf("the schema has version %d, this program knows up to %d: use a newer one", have, known)
}

// oldest is the oldest version of PostgreSQL that is good for it, as the server
// gives it.
const oldest = 150000

// suits returns an error if the database cannot hold what a store is given, or
// has not what it needs. Found later, it would hold up mail for ever.
func (b *Backend) suits(ctx context.Context) error {
	var encoding, client, isolation string
	var version int
	err := b.pool.QueryRow(ctx, `SELECT current_setting('server_encoding'), current_setting('client_encoding'),
		current_setting('default_transaction_isolation'), current_setting('server_version_num')::integer`).Scan(&encoding, &client, &isolation, &version)
	if err != nil {
		return err
	}
	if err := suitable(encoding, version); err != nil {
		return err
	}
	// They are not set here: a proxy may refuse a connection that sets them, and
	// hand out others that have not.
	switch {
	case client != "UTF8":
		return fmt.Errorf("the client_encoding is %s: it must be UTF8 for the role and the connection", client)
	case isolation != "read committed":
		return fmt.Errorf("the default_transaction_isolation is %q: it must be \"read committed\" for the database and the role", isolation)
	}
	return nil
}

func suitable(encoding string, version int) error {
	switch {
	case version < oldest:
		return fmt.Errorf("the server is PostgreSQL %d: 15 or later is needed", version/10000)
	case encoding != "UTF8":
		return fmt.Errorf("the database's encoding is %s, in which not every mail can be kept: make one WITH ENCODING 'UTF8' TEMPLATE template0", encoding)
	}
	return nil
}

// version returns the number of the last script that was applied. It asks the
// catalogues, since to_regclass and the like may answer from a cache that does
// not know yet what was done while the lock was waited for.
func (b *Backend) version(ctx context.Context, c conn) (v int, err error) {
	const tables = `SELECT count(*) FROM pg_catalog.pg_class c JOIN pg_catalog.pg_namespace n ON n.oid = c.relnamespace
		WHERE n.nspname = $1::text AND c.relname = 'schema_version'`
	var exists int
	if err := c.QueryRow(ctx, tables, b.options.schema).Scan(&exists); err != nil || exists == 0 {
		return 0, err
	}
	err = c.QueryRow(ctx, "SELECT coalesce(max(version), 0) FROM "+b.sql.schema+"schema_version").Scan(&v)
	return v, err
}

func (b *Backend) apply(ctx context.Context, tx pgx.Tx, scripts []string) (have int, err error) {
	// What is a good limit of time for a request of the host's is none for an index.
	if _, err := tx.Exec(ctx, "SET LOCAL statement_timeout = 0; SET LOCAL lock_timeout = 0"); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, "SELECT pg_advisory_xact_lock($1::bigint)", int64(migrationLock)); err != nil {
		return 0, fmt.Errorf("wait for another migration: %w", err)
	}
	have, err = b.version(ctx, tx)
	switch {
	case err != nil:
		return 0, err
	case have > len(scripts):
		return 0, newer(have, len(scripts))
	case have == len(scripts):
		return have, nil // another process was first
	case have == 0:
		// Who may use a schema need not be allowed to make one.
		var exists int
		err := tx.QueryRow(ctx, "SELECT count(*) FROM pg_catalog.pg_namespace WHERE nspname = $1::text", b.options.schema).Scan(&exists)
		if err == nil && exists == 0 {
			_, err = tx.Exec(ctx, "CREATE SCHEMA "+pgx.Identifier{b.options.schema}.Sanitize())
		}
		if err != nil {
			return 0, fmt.Errorf("make the schema: %w", err)
		}
	}
	if _, err := tx.Exec(ctx, "SET LOCAL search_path TO "+pgx.Identifier{b.options.schema}.Sanitize()); err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, "CREATE TABLE IF NOT EXISTS schema_version (version integer NOT NULL)"); err != nil {
		return 0, err
	}
	name := scripts[have]
	number, err := strconv.Atoi(strings.TrimPrefix(name, "migrations/")[:4])
	if err != nil || number != have+1 {
		return 0, fmt.Errorf("migration %s is out of order", name)
	}
	script, err := migrations.ReadFile(name)
	if err != nil {
		return 0, err
	}
	if _, err := tx.Exec(ctx, string(script)); err != nil {
		return 0, fmt.Errorf("migration %s: %w", name, err)
	}
	_, err = tx.Exec(ctx, "INSERT INTO schema_version (version) VALUES ($1)", number)
	return number, err
}
