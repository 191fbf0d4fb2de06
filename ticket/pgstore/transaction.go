package pgstore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anteroom/anteroom/ticket"
)

// transaction is what one transaction writes: the rows of commits that have
// nothing in common.
type transaction struct {
	portal  int64
	commits []*prepared
	// What the lock of the portal's row has given.
	number, cursor int64
}

// places returns the number of the first new ticket, and the cursor of the first
// event, of the commit i.
func (t *transaction) places(i int) (number, cursor int64) {
	number, cursor = t.number+1, t.cursor+1
	for _, p := range t.commits[i:] {
		number -= int64(p.tickets)
		cursor -= int64(p.events)
	}
	return number, cursor
}

// queue adds the statements to a batch.
func (t *transaction) queue(b *pgx.Batch, s *statements) {
	waves := 0
	var by [countStatements][]row
	events, tickets, late := 0, 0, false
	for _, p := range t.commits {
		for _, r := range p.rows {
			by[r.statement] = append(by[r.statement], r)
			waves = max(waves, r.wave+1)
		}
		events, tickets, late = events+p.events, tickets+p.tickets, late || p.late
	}
	for i := range by {
		// Rows are locked in one order by all.
		if !s.commit[i].inOrder {
			slices.SortStableFunc(by[i], compareRows)
		}
	}
	each := func(from, to int) {
		for wave := range waves {
			for i := from; i < to; i++ {
				t.queueWave(b, &s.commit[i], by[i], wave)
			}
		}
	}
	each(0, insertTickets)
	if late {
		b.Queue(s.lockPortal, t.portal, int64(events), int64(tickets)).QueryRow(func(row pgx.Row) error {
			return row.Scan(&t.cursor, &t.number)
		})
		each(insertTickets, forgetCounters)
		if rows := by[forgetCounters]; len(rows) > 0 {
			t.queueWave(b, &s.commit[forgetCounters], rows[:1], 0)
		}
	}
}

func compareRows(a, b row) int {
	if c := slices.Compare(a.texts, b.texts); c != 0 || len(a.bytes) == 0 {
		return c
	}
	return slices.Compare(a.bytes[0], b.bytes[0])
}

// queueWave adds one statement with the rows of a wave, if there are any.
func (t *transaction) queueWave(b *pgx.Batch, s *statement, rows []row, wave int) {
	n := 0
	for i := range rows {
		if rows[i].wave == wave {
			n++
		}
	}
	if n == 0 {
		return
	}
	args := make([]any, 0, 1+s.texts+s.ints+s.bytes)
	args = append(args, t.portal)
	args = appendColumns(args, rows, wave, n, s.texts, func(r *row) []string { return r.texts })
	args = appendColumns(args, rows, wave, n, s.ints, func(r *row) []int64 { return r.ints })
	args = appendColumns(args, rows, wave, n, s.bytes, func(r *row) [][]byte { return r.bytes })
	b.Queue(s.sql, args...)
}

func appendColumns[T any](args []any, rows []row, wave, n, columns int, of func(*row) []T) []any {
	for c := range columns {
		column := make([]T, 0, n)
		for i := range rows {
			if rows[i].wave == wave {
				column = append(column, of(&rows[i])[c])
			}
		}
		args = append(args, column)
	}
	return args
}

// write runs the transaction. When it fails nothing was written, unless the
// error is of the connection.
func (t *transaction) write(ctx context.Context, c conn, s *statements, settings ...any) error {
	b := &pgx.Batch{}
	if len(settings) > 0 {
		b.Queue(s.settings, settings...)
	}
	t.queue(b, s)
	// Without a "begin" all statements up to the end of the batch are one
	// transaction, which ends by itself.
	return c.SendBatch(ctx, b).Close()
}

// refusedError is what a precondition says that does not hold.
type refusedError struct {
	limit bool
	what  string
	ids   []string
}

func (e *refusedError) Error() string {
	if e.limit {
		return ticket.ErrLimit.Error()
	}
	return fmt.Sprintf("%s %s: %v", e.what, cmp.Or(first(e.ids), "given twice"), ticket.ErrConflict)
}

func (e *refusedError) Unwrap() error {
	switch {
	case e.limit:
		return ticket.ErrLimit
	case e.what == heldLease:
		return ticket.ErrNotHeld
	}
	return ticket.ErrConflict
}

func first(list []string) string {
	if len(list) == 0 {
		return ""
	}
	return list[0]
}

// errAgain is of a transaction that met others: nothing is wrong with it.
var errAgain = fmt.Errorf("the transaction met another one: %w", ticket.ErrConflict)

// judge says what an error of write means.
func judge(err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	switch pg.Code {
	case "AR001", "AR002":
		e := &refusedError{limit: pg.Code == "AR002", what: pg.Message}
		if err := json.Unmarshal([]byte(cmp.Or(pg.Detail, "[]")), &e.ids); err != nil {
			return fmt.Errorf("read a refusal: %w", err)
		}
		return e
	case "40001", "40P01": // serialization_failure, deadlock_detected
		return errAgain
	}
	return err
}

// milliseconds returns d as a setting.
func milliseconds(d time.Duration) string { return strconv.FormatInt(max(1, d.Milliseconds()), 10) }
