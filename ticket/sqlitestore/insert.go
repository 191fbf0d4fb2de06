package sqlitestore

import (
	"context"
	"strings"

	"github.com/anteroom/anteroom/ticket"
)

// maxRows bounds the rows of one statement.
const maxRows = 8

// insertion inserts rows into one table. Its queries are by their number of rows.
type insertion struct {
	columns int
	queries [maxRows + 1]string
}

// newInsertion returns the insertion of rows of so many columns. into ends
// before, and end begins after, the values.
func newInsertion(into string, columns int, end string) *insertion {
	in := &insertion{columns: columns}
	row := list(columns)
	for n := 1; n <= maxRows; n++ {
		in.queries[n] = into + " VALUES " + strings.Repeat(row+", ", n-1) + row + end
	}
	return in
}

// Insertions of what has no revision.
var (
	insertKeys      = newInsertion("INSERT INTO keys (portal, key, kind, ref)", 4, " ON CONFLICT DO NOTHING")
	insertBodies    = newInsertion("INSERT INTO bodies (portal, id, data)", 3, " ON CONFLICT DO NOTHING")
	insertDecisions = newInsertion("INSERT INTO decisions (portal, id, ticket, conversation, message, doc)", 6, " ON CONFLICT DO NOTHING")
	insertEvents    = newInsertion("INSERT INTO events (place, ticket, doc)", 3, "")
	insertSearch    = newInsertion("INSERT INTO search (rowid, text)", 2, "")
)

// pending are rows of a transaction that wait to be inserted together.
type pending struct {
	in   *insertion
	args []any
}

// insert inserts a row, at once or together with others of its table, also those
// of other commits: what a statement costs is mostly beginning and ending it. The
// caller keeps args. Rows wait until a statement fills, or until anything else is
// asked of the transaction. Then one that is refused is not known apart from the
// others; so a careful transaction waits for nothing.
func (t *tx) insert(in *insertion, args ...any) error {
	p := t.pendingOf(in)
	p.args = append(p.args, args...)
	if t.careful || len(p.args) == maxRows*in.columns {
		return t.flushOne(p)
	}
	t.waits = true
	return nil
}

func (t *tx) pendingOf(in *insertion) *pending {
	for i := range t.pending {
		if t.pending[i].in == in {
			return &t.pending[i]
		}
	}
	t.pending = append(t.pending, pending{in: in})
	return &t.pending[len(t.pending)-1]
}

// flushOne inserts what waits for one table. It returns ErrConflict if any row is
// there already.
func (t *tx) flushOne(p *pending) error {
	rows := len(p.args) / p.in.columns
	n, err := t.conn.exec(p.in.queries[rows], p.args...)
	clear(p.args)
	p.args = p.args[:0]
	if err == nil && n != int64(rows) {
		err = ticket.ErrConflict
	}
	return err
}

// flush inserts what waits.
func (t *tx) flush() error {
	if !t.waits {
		return nil
	}
	t.waits = false
	for i := range t.pending {
		if p := &t.pending[i]; len(p.args) > 0 {
			if err := t.flushOne(p); err != nil {
				return err
			}
		}
	}
	return nil
}

// drop forgets what waits.
func (t *tx) drop() {
	for i := range t.pending {
		p := &t.pending[i]
		clear(p.args)
		p.args = p.args[:0]
	}
}

// exec, one and each are those of the connection, after what waits.

func (t *tx) exec(query string, args ...any) (int64, error) {
	if err := t.flush(); err != nil {
		return 0, err
	}
	return t.conn.exec(query, args...)
}

func (t *tx) one(query string, args []any, dest ...any) (bool, error) {
	if err := t.flush(); err != nil {
		return false, err
	}
	return t.conn.one(query, args, dest...)
}

func (t *tx) each(ctx context.Context, query string, args []any, f func(scan func(...any) error) error) error {
	if err := t.flush(); err != nil {
		return err
	}
	return t.conn.each(ctx, query, args, f)
}
