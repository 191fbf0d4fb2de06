package sqlitestore

import (
	"context"
	"slices"
	"strings"

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
	updated bool          // by updated, latest first; else by id
	oldest  bool          // ascending
	from    *driver.Place // the list begins after it; nil is the first page
	notOpen string        // the index for tickets that are not open, if another
}

// is restricts a column to a value, unless that is empty.
func is[S ~string](q *query, column string, value S) {
	if value != "" {
		q.and(column+" = ?", string(value))
	}
}

// beside returns the name of a column for is. If another one selects less, an
// index of this one is not used: without statistics SQLite may take either, and
// an agent has fewer tickets than a queue.
func beside(name string, other bool) string {
	if other {
		return "+" + name
	}
	return name
}

func (q *query) and(cond string, args ...any) {
	q.where = append(q.where, cond)
	q.args = append(q.args, args...)
}

// after restricts the list to what follows a page.
func (q *query) after(n ticket.Next) error {
	if q.updated {
		q.list += ".updated"
	}
	if q.oldest {
		q.list += ".oldest"
	}
	at, continued, err := driver.ParsePlace(n, q.list)
	if continued {
		q.from = &at
	}
	return err
}

// conditions returns what restricts the list.
func (q *query) conditions() ([]string, []any) {
	where, args := slices.Clone(q.where), slices.Clone(q.args)
	switch {
	case q.from == nil:
	case q.updated:
		where, args = append(where, "(updated, id) < (?, ?)"), append(args, q.from.At, q.from.ID)
	case q.oldest:
		where, args = append(where, "id > ?"), append(args, q.from.ID)
	default:
		where, args = append(where, "id < ?"), append(args, q.from.ID)
	}
	return where, args
}

// clone returns a copy to which more can be added.
func (q *query) clone() *query {
	c := *q
	c.where, c.args = slices.Clone(q.where), slices.Clone(q.args)
	return &c
}

// sql returns the statement, with one arm for each of ranks if there are any: the
// same with a different status. The arms are merged, each being a range of an
// index.
func (q *query) sql(ranks []int64, limit int) (string, []any) {
	order := "id DESC"
	switch {
	case q.updated:
		order = "updated DESC, id DESC"
	case q.oldest:
		order = "id"
	}
	where, same := q.conditions()
	arm := func(table string) string {
		return "SELECT " + q.columns + " FROM " + table + " WHERE " + strings.Join(where, " AND ")
	}
	text, args := arm(q.table), same
	if len(ranks) > 0 {
		arms := make([]string, len(ranks))
		args = nil
		for i, rank := range ranks {
			arms[i] = arm(q.table)
			if q.notOpen != "" && rank > driver.OpenRank {
				arms[i] = arm(q.table+" INDEXED BY "+q.notOpen) + " AND status > 1"
			}
			arms[i] += " AND status = ?"
			args = append(append(args, same...), rank)
		}
		text = strings.Join(arms, " UNION ALL ")
	}
	return text + " ORDER BY " + order + " LIMIT ?", append(args, limit)
}

// page reads a page. scan also returns the place of the row.
func page[V any](ctx context.Context, c *conn, q *query, p ticket.Page, ranks []int64,
	scan func(func(...any) error) (*V, driver.Place, error)) (out []*V, next ticket.Next, err error) {
	text, args := q.sql(ranks, p.Size()+1)
	var last driver.Place
	err = c.each(ctx, text, args, func(row func(...any) error) error {
		v, at, err := scan(row)
		if err != nil {
			return err
		}
		if len(out) == p.Size() {
			next = last.Next()
			return nil
		}
		out, last = append(out, v), at
		last.List = q.list
		if !q.updated {
			last.At = 0
		}
		return nil
	})
	if err != nil {
		return nil, "", err
	}
	return out, next, nil
}

// scanDoc reads id, sort value, revision and document.
func scanDoc[V any](revision func(*V) *int64) func(scan func(...any) error) (*V, driver.Place, error) {
	return func(scan func(...any) error) (*V, driver.Place, error) {
		var at driver.Place
		var rev int64
		var doc []byte
		if err := scan(&at.ID, &at.At, &rev, &doc); err != nil {
			return nil, at, err
		}
		v, err := driver.Decode[V](doc)
		*revision(v) = rev
		return v, at, err
	}
}

// Conversations lists conversations.
func (p *portal) Conversations(ctx context.Context, f ticket.ConversationFilter, pg ticket.Page) (out []*ticket.Conversation, next ticket.Next, err error) {
	q := &query{list: "conversations", table: "conversations", columns: "id, updated, rev, doc", updated: f.Order == ticket.LatestUpdate}
	if err := q.after(pg.After); err != nil {
		return nil, "", wrap("list", err)
	}
	err = p.view(ctx, "list conversations", func(c *conn, id int64) error {
		q.and("portal = ?", id)
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
		out, next, err = page(ctx, c, q, pg, nil, scanDoc(func(v *ticket.Conversation) *int64 { return &v.Revision }))
		return err
	})
	return out, next, err
}

// Messages lists messages.
func (p *portal) Messages(ctx context.Context, f ticket.MessageFilter, pg ticket.Page) (out []*ticket.Message, next ticket.Next, err error) {
	q := &query{list: "messages", table: "messages", columns: "id, 0, rev, doc", oldest: !f.NewestFirst}
	if err := q.after(pg.After); err != nil {
		return nil, "", wrap("list", err)
	}
	err = p.view(ctx, "list messages", func(c *conn, id int64) error {
		q.and("portal = ?", id)
		is(q, "ticket", f.Ticket)
		is(q, "conversation", f.Conversation)
		out, next, err = page(ctx, c, q, pg, nil, scanDoc(func(v *ticket.Message) *int64 { return &v.Revision }))
		return err
	})
	return out, next, err
}

// Items lists items.
func (p *portal) Items(ctx context.Context, f ticket.ItemFilter, pg ticket.Page) (out []*ticket.Item, next ticket.Next, err error) {
	q := &query{list: "items", table: "items", columns: "id, 0, rev, doc"}
	if err := q.after(pg.After); err != nil {
		return nil, "", wrap("list", err)
	}
	err = p.view(ctx, "list items", func(c *conn, id int64) error {
		q.and("portal = ?", id)
		is(q, "channel", f.Channel)
		is(q, "disposition", f.Disposition)
		is(q, "message", f.Message)
		out, next, err = page(ctx, c, q, pg, nil, scanDoc(func(v *ticket.Item) *int64 { return &v.Revision }))
		return err
	})
	return out, next, err
}

// Decisions lists decisions, oldest first by id.
func (p *portal) Decisions(ctx context.Context, f ticket.DecisionFilter, limit int) (out []*ticket.Decision, err error) {
	err = p.view(ctx, "list decisions", func(c *conn, id int64) error {
		q := &query{table: "decisions", columns: "doc", oldest: true}
		q.and("portal = ?", id)
		is(q, "ticket", f.Ticket)
		is(q, "conversation", f.Conversation)
		is(q, "message", f.Message)
		text, args := q.sql(nil, max(limit, 0))
		return c.each(ctx, text, args, func(scan func(...any) error) error {
			var doc []byte
			if err := scan(&doc); err != nil {
				return err
			}
			v, err := driver.Decode[ticket.Decision](doc)
			out = append(out, v)
			return err
		})
	})
	return out, err
}

// Events lists events.
func (p *portal) Events(ctx context.Context, f ticket.EventFilter, limit int) (out []*ticket.Event, err error) {
	err = p.view(ctx, "events", func(c *conn, id int64) error {
		q, order := &query{table: "events"}, "place"
		if f.Ticket != "" {
			// SQLite would rather go through the events of all tickets.
			q.table += " INDEXED BY events_ticket"
			q.and("ticket = ?", string(f.Ticket))
		}
		low, high := places(id)
		after := low
		if f.Newest {
			order = "place DESC"
		} else {
			after = max(low, low+min(f.After, high-low))
		}
		q.and("place > ? AND place <= ?", after, high)
		text := "SELECT place, doc FROM " + q.table + " WHERE " + strings.Join(q.where, " AND ") + " ORDER BY " + order + " LIMIT ?"
		return c.each(ctx, text, append(q.args, max(limit, 0)), func(scan func(...any) error) error {
			var place int64
			var doc []byte
			if err := scan(&place, &doc); err != nil {
				return err
			}
			v, err := driver.Decode[ticket.Event](doc)
			v.Cursor = place - low
			out = append(out, v)
			return err
		})
	})
	return out, err
}

// Waiting lists what waits in a queue.
func (p *portal) Waiting(ctx context.Context, queue routing.QueueID, limit int) (out []ticket.Waiter, err error) {
	err = p.view(ctx, "waiting", func(c *conn, id int64) error {
		return c.each(ctx, `SELECT id, waiting, 1 FROM tickets WHERE portal = ?1 AND queue IS ?2 AND waiting IS NOT NULL
			UNION ALL SELECT id, waiting, 0 FROM conversations WHERE portal = ?1 AND queue IS ?2 AND waiting IS NOT NULL AND ticket IS NULL
			ORDER BY waiting, id LIMIT ?3`, []any{id, null(queue), max(limit, 0)}, func(scan func(...any) error) error {
			var id string
			var at int64
			var isTicket bool
			if err := scan(&id, &at, &isTicket); err != nil {
				return err
			}
			out = append(out, driver.Waiter(id, at, isTicket))
			return nil
		})
	})
	return out, err
}

// Ledger counts items.
func (p *portal) Ledger(ctx context.Context, ch channel.ID, day string) (out []ticket.LedgerRow, err error) {
	err = p.view(ctx, "ledger", func(c *conn, id int64) error {
		q := &query{}
		q.and("portal = ?", id)
		is(q, "channel", ch)
		is(q, "day", day)
		return c.each(ctx, "SELECT channel, day, disposition, cause, count FROM ledger WHERE count > 0 AND "+
			strings.Join(q.where, " AND ")+" ORDER BY day, channel, disposition, cause", q.args, func(scan func(...any) error) error {
			var r ticket.LedgerRow
			err := scan(&r.Channel, &r.Day, &r.Disposition, &r.Cause, &r.Count)
			out = append(out, r)
			return err
		})
	})
	return out, err
}
