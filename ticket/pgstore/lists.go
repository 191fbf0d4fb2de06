package pgstore

import (
	"context"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// query is one list under construction.
type query struct {
	list    string // its name, which is also its cursors'
	table   string
	columns string // of which the first is id and the second the sort value
	where   []string
	args    []any
	updated bool // by updated, latest first; else by id
	oldest  bool // ascending
	// indexed keeps the planner from reading whole tables, which looks cheap
	// where rows are kept out of line.
	indexed bool
	// outer returns a statement around the list, up to its limit; nil is none.
	outer func() string
}

// arg adds an argument and returns how it is called in the text.
func (q *query) arg(v any) string {
	q.args = append(q.args, v)
	return "$" + strconv.Itoa(len(q.args))
}

// is restricts a column to a value, unless that is empty.
func is[S ~string](q *query, column string, value S) {
	if value != "" {
		q.where = append(q.where, column+" = "+q.arg(clean(string(value))))
	}
}

func (q *query) and(cond string) { q.where = append(q.where, cond) }

// after restricts the list to what follows a page.
func (q *query) after(n ticket.Next) error {
	if q.updated {
		q.list += ".updated"
	}
	if q.oldest {
		q.list += ".oldest"
	}
	at, continued, err := driver.ParsePlace(n, q.list)
	at.ID = clean(at.ID)
	switch {
	case err != nil || !continued:
		return wrap(context.Background(), "list", err)
	case q.updated:
		q.and("(updated, id) < (" + q.arg(at.At) + "::bigint, " + q.arg(at.ID) + ")")
	case q.oldest:
		q.and("id > " + q.arg(at.ID))
	default:
		q.and("id < " + q.arg(at.ID))
	}
	return nil
}

func (q *query) order() string {
	switch {
	case q.updated:
		return " ORDER BY updated DESC, id DESC"
	case q.oldest:
		return " ORDER BY id"
	}
	return " ORDER BY id DESC"
}

// sql returns the statement. The limit stands in the text, so that a plan is made
// for it and kept. There is one arm for each of ranks if there are any: the same
// with a different status. The arms are merged, each being a range of an
// index.
func (q *query) sql(ranks []int64, limit int) string {
	end := q.order() + " LIMIT " + strconv.Itoa(limit)
	arm := "SELECT " + q.columns + " FROM anteroom." + q.table + " WHERE " + strings.Join(q.where, " AND ")
	switch len(ranks) {
	case 0:
		return arm + end
	case 1:
		return arm + " AND rank = " + strconv.FormatInt(ranks[0], 10) + end
	}
	arms := make([]string, len(ranks))
	for i, rank := range ranks {
		arms[i] = "(" + arm + " AND rank = " + strconv.FormatInt(rank, 10) + end + ")"
	}
	return strings.Join(arms, " UNION ALL ") + end
}

// withoutScans lasts to the end of the transaction.
const withoutScans = "SELECT set_config('enable_seqscan', 'off', true), set_config('jit', 'off', true)"

// page reads a page. scan also returns the place of the row.
func page[V any](ctx context.Context, c conn, s *statements, q *query, p ticket.Page, ranks []int64,
	scan func(pgx.Rows) (*V, driver.Place, error)) (out []*V, next ticket.Next, err error) {
	text := s.in(q.sql(ranks, p.Size()+1))
	if q.outer != nil {
		text = s.in(q.outer() + strconv.Itoa(p.Size()+1))
	}
	batch := &pgx.Batch{}
	if q.indexed && joined(ctx) == nil {
		batch.Queue(withoutScans)
	}
	batch.Queue(text, q.args...).Query(func(rows pgx.Rows) error {
		var last driver.Place
		for rows.Next() {
			v, at, err := scan(rows)
			if err != nil {
				return err
			}
			if len(out) == p.Size() {
				next = last.Next()
				continue
			}
			out, last = append(out, v), at
			last.List = q.list
			if !q.updated {
				last.At = 0
			}
		}
		return rows.Err()
	})
	err = c.SendBatch(ctx, batch).Close()
	return out, next, err
}

// scanDoc reads id, sort value, revision and document.
func scanDoc[V any](rows pgx.Rows, revision func(*V) *int64) (*V, driver.Place, error) {
	var at driver.Place
	var rev int64
	var doc []byte
	if err := rows.Scan(&at.ID, &at.At, &rev, &doc); err != nil {
		return nil, at, err
	}
	v, err := decode[V](doc)
	if err != nil {
		return nil, at, err
	}
	*revision(v) = rev
	return v, at, nil
}

// Conversations lists conversations.
func (p *portal) Conversations(ctx context.Context, f ticket.ConversationFilter, pg ticket.Page) (out []*ticket.Conversation, next ticket.Next, err error) {
	build := func(id int64) (*query, error) {
		q := &query{list: "conversations", table: "conversations", columns: "id, updated, rev, doc", updated: f.Order == ticket.LatestUpdate}
		q.and("portal = " + q.arg(id))
		is(q, "queue", f.Queue)
		is(q, "assignee", f.Assignee)
		is(q, "channel", f.Channel)
		is(q, "contact", f.Contact)
		is(q, "ticket", f.Ticket)
		if f.Unassigned {
			q.and("assignee IS NULL")
		}
		if f.WithoutTicket {
			q.and("ticket IS NULL")
		}
		err := q.after(pg.After)
		return q, err
	}
	return list(ctx, p, "list conversations", pg, build, func(rows pgx.Rows) (*ticket.Conversation, driver.Place, error) {
		return scanDoc(rows, func(v *ticket.Conversation) *int64 { return &v.Revision })
	})
}

// list reads a page of a list.
func list[V any](ctx context.Context, p *portal, what string, pg ticket.Page, build func(id int64) (*query, error),
	scan func(pgx.Rows) (*V, driver.Place, error)) (out []*V, next ticket.Next, err error) {
	if _, err := build(0); err != nil {
		return nil, "", err // also where there is nothing yet
	}
	err = p.view(ctx, what, func(ctx context.Context, c conn, id int64) error {
		q, err := build(id)
		if err == nil {
			out, next, err = page(ctx, c, p.b.sql, q, pg, nil, scan)
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return out, next, nil
}

// Messages lists messages.
func (p *portal) Messages(ctx context.Context, f ticket.MessageFilter, pg ticket.Page) (out []*ticket.Message, next ticket.Next, err error) {
	build := func(id int64) (*query, error) {
		q := &query{list: "messages", table: "messages", columns: "id, 0::bigint, rev, doc", oldest: !f.NewestFirst}
		q.and("portal = " + q.arg(id))
		is(q, "ticket", f.Ticket)
		is(q, "conversation", f.Conversation)
		err := q.after(pg.After)
		return q, err
	}
	return list(ctx, p, "list messages", pg, build, func(rows pgx.Rows) (*ticket.Message, driver.Place, error) {
		return scanDoc(rows, func(v *ticket.Message) *int64 { return &v.Revision })
	})
}

// Items lists items.
func (p *portal) Items(ctx context.Context, f ticket.ItemFilter, pg ticket.Page) (out []*ticket.Item, next ticket.Next, err error) {
	build := func(id int64) (*query, error) {
		q := &query{list: "items", table: "items", columns: "id, 0::bigint, rev, doc"}
		q.and("portal = " + q.arg(id))
		is(q, "channel", f.Channel)
		is(q, "disposition", f.Disposition)
		is(q, "message", f.Message)
		err := q.after(pg.After)
		return q, err
	}
	return list(ctx, p, "list items", pg, build, func(rows pgx.Rows) (*ticket.Item, driver.Place, error) {
		return scanDoc(rows, func(v *ticket.Item) *int64 { return &v.Revision })
	})
}

// each calls scan for each row of a statement.
func (p *portal) each(ctx context.Context, what string, sql func(id int64) (string, []any), begin func(), scan func(pgx.Rows) error) error {
	return p.view(ctx, what, func(ctx context.Context, c conn, id int64) error {
		begin()
		text, args := sql(id)
		rows, err := c.Query(ctx, p.b.sql.in(text), args...)
		if err != nil {
			return err
		}
		defer rows.Close()
		for rows.Next() {
			if err := scan(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

// Decisions lists decisions, oldest first by id.
func (p *portal) Decisions(ctx context.Context, f ticket.DecisionFilter, limit int) (out []*ticket.Decision, err error) {
	err = p.each(ctx, "list decisions", func(id int64) (string, []any) {
		q := &query{table: "decisions", columns: "doc", oldest: true}
		q.and("portal = " + q.arg(id))
		is(q, "ticket", f.Ticket)
		is(q, "conversation", f.Conversation)
		is(q, "message", f.Message)
		return q.sql(nil, max(limit, 0)), q.args
	}, func() { out = nil }, func(rows pgx.Rows) error {
		var doc []byte
		if err := rows.Scan(&doc); err != nil {
			return err
		}
		v, err := decode[ticket.Decision](doc)
		out = append(out, v)
		return err
	})
	return out, err
}

// Events lists events.
func (p *portal) Events(ctx context.Context, f ticket.EventFilter, limit int) (out []*ticket.Event, err error) {
	err = p.each(ctx, "events", func(id int64) (string, []any) {
		q, order := &query{}, " ORDER BY cursor LIMIT "
		q.and("portal = " + q.arg(id))
		is(q, "ticket", f.Ticket)
		if f.Newest {
			order = " ORDER BY cursor DESC LIMIT "
		} else {
			q.and("cursor > " + q.arg(f.After))
		}
		text := "SELECT cursor, doc FROM anteroom.events WHERE " + strings.Join(q.where, " AND ") + order + strconv.Itoa(max(limit, 0))
		return text, q.args
	}, func() { out = nil }, func(rows pgx.Rows) error {
		var cursor int64
		var doc []byte
		if err := rows.Scan(&cursor, &doc); err != nil {
			return err
		}
		v, err := decode[ticket.Event](doc)
		if err != nil {
			return err
		}
		v.Cursor = cursor
		out = append(out, v)
		return nil
	})
	return out, err
}

// Waiting lists what waits in a queue.
func (p *portal) Waiting(ctx context.Context, queue routing.QueueID, limit int) (out []ticket.Waiter, err error) {
	err = p.each(ctx, "waiting", func(id int64) (string, []any) {
		q := &query{}
		q.and("portal = " + q.arg(id))
		if queue == "" {
			q.and("queue IS NULL")
		} else {
			is(q, "queue", queue)
		}
		where := strings.Join(q.where, " AND ")
		end := " ORDER BY waiting, id LIMIT " + strconv.Itoa(max(limit, 0))
		return "(SELECT id, waiting, true FROM anteroom.tickets WHERE " + where + " AND waiting IS NOT NULL" + end + ") UNION ALL " +
			"(SELECT id, waiting, false FROM anteroom.conversations WHERE " + where + " AND waiting IS NOT NULL AND ticket IS NULL" + end + ")" + end, q.args
	}, func() { out = nil }, func(rows pgx.Rows) error {
		var id string
		var at int64
		var isTicket bool
		if err := rows.Scan(&id, &at, &isTicket); err != nil {
			return err
		}
		out = append(out, driver.Waiter(id, at, isTicket))
		return nil
	})
	return out, err
}

// Ledger counts items.
func (p *portal) Ledger(ctx context.Context, ch channel.ID, day string) (out []ticket.LedgerRow, err error) {
	err = p.each(ctx, "ledger", func(id int64) (string, []any) {
		q := &query{}
		q.and("portal = " + q.arg(id))
		is(q, "channel", ch)
		is(q, "day", day)
		return "SELECT channel, day, disposition, cause, count FROM anteroom.ledger WHERE count > 0 AND " +
			strings.Join(q.where, " AND ") + " ORDER BY day, channel, disposition, cause", q.args
	}, func() { out = nil }, func(rows pgx.Rows) error {
		var r ticket.LedgerRow
		err := rows.Scan(&r.Channel, &r.Day, &r.Disposition, &r.Cause, &r.Count)
		out = append(out, r)
		return err
	})
	return out, err
}
