package pgstore

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5"

	"github.com/anteroom/anteroom/ticket"
)

// walks are the bounds of a search: how many tickets of a list are looked at
// first, and at the most.
type walks struct{ first, most int }

// enough returns how many tickets are to be looked at to fill a page, as so many
// of the first match, with half as many again to be safe. It is 0 for too many:
// newest first the index of words is quicker then.
func (w walks) enough(hits, page int, order ticket.Order) int {
	most := w.most
	if order == ticket.NewestFirst {
		most /= 4
	}
	if n := w.first * page * 3 / 2; n <= most*hits {
		return n / hits
	}
	return 0
}

// finder is one search for a page of tickets.
type finder struct {
	ctx   context.Context
	c     conn
	p     *portal
	id    int64 // of the portal
	f     *ticket.TicketFilter
	pg    ticket.Page
	words []string
}

// find lists the tickets with words. No index has both the words and the order of
// a list. So words that are common are found by looking at the first tickets of
// the list, which costs the same in stores of any size. What that does not find
// is less common, and is read from the index of words: newest first among the
// tickets of the last days, then of the last weeks, and only what does not fill
// a page there, and so is rare, among all.
func (f *finder) find() (out []*ticket.Ticket, next ticket.Next, err error) {
	w := f.p.b.options.walks
	var whole bool
	if f.f.Number == 0 {
		out, next, whole, err = f.walk(w.first)
		if err != nil || whole || next != "" {
			return out, next, err
		}
	}
	if n := w.enough(len(out), f.pg.Size()+1, f.f.Order); n > 0 {
		out, next, whole, err = f.walk(n)
		if err != nil || whole || next != "" {
			return out, next, err
		}
	}
	if f.f.Order == ticket.NewestFirst && f.f.Number == 0 {
		out, next, err = f.newest()
		if err != nil || next != "" {
			return out, next, err
		}
	}
	if short, err := f.short(); err != nil || short {
		out, next, _, err = f.walk(w.most)
		return out, next, err
	}
	return f.indexed(scopes[0], []string{""})
}

// list returns the list without the words, in the order of which it is read.
func (f *finder) list() (*query, []int64, error) {
	all := *f.f
	all.Terms = nil
	q, ranks, _, err := ticketQuery(f.id, &all, f.pg)
	return q, ranks, err
}

// walk looks at the first n tickets of the list. If there are no more, the page
// is whole.
func (f *finder) walk(n int) (out []*ticket.Ticket, next ticket.Next, whole bool, err error) {
	q, ranks, err := f.list()
	if err != nil {
		return nil, "", false, err
	}
	filter := q.args
	list := q.sql(ranks, n)
	// A subquery that is no EXISTS stays one: as a join it could be made to read
	// all messages first.
	q.outer = func() string {
		return "SELECT " + q.columns + " FROM (" + list + ") t WHERE (SELECT true FROM anteroom.messages m JOIN anteroom.words w ON w.portal = m.portal AND w.message = m.id" +
			" WHERE m.portal = $1 AND m.ticket = t.id AND w.words @@ " + q.arg(scopes[0].match(f.id, []string{""}, f.words)) + "::tsquery LIMIT 1)" + q.order() + " LIMIT "
	}
	if out, next, err = page(f.ctx, f.c, f.p.b.sql, q, f.pg, nil, scanTicket); err != nil || next != "" {
		return out, next, false, err
	}
	have, err := f.count(filter, ranks, n)
	return out, next, have < n, err
}

// count returns how many tickets the list has, up to n.
func (f *finder) count(args []any, ranks []int64, n int) (have int, err error) {
	q, _, err := f.list()
	if err != nil {
		return 0, err
	}
	q.columns = "id"
	if q.updated {
		q.columns = "id, updated"
	}
	text := f.p.b.sql.in("SELECT count(*) FROM (" + q.sql(ranks, n) + ") t")
	err = f.c.QueryRow(f.ctx, text, args...).Scan(&have)
	return have, err
}

// short reports whether all tickets of the list can be looked at.
func (f *finder) short() (bool, error) {
	q, ranks, err := f.list()
	if err != nil {
		return false, err
	}
	most := f.p.b.options.walks.most
	n, err := f.count(q.args, ranks, most)
	return n < most, err
}

// newest searches the newest tickets. If it finds no page that is full there may
// be more.
func (f *finder) newest() (out []*ticket.Ticket, next ticket.Next, err error) {
	_, _, at, err := ticketQuery(f.id, f.f, f.pg)
	if err != nil {
		return nil, "", err
	}
	top := at.ID
	if top == "" {
		err := f.c.QueryRow(f.ctx, f.p.b.sql.in("SELECT id FROM anteroom.tickets WHERE portal = $1 ORDER BY id DESC LIMIT 1"), f.id).Scan(&top)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, "", nil
		}
		if err != nil {
			return nil, "", err
		}
	}
	for i := len(scopes) - 1; i > 0; i-- {
		ids, ok := scopes[i].window(top)
		if !ok {
			continue
		}
		if out, next, err = f.indexed(scopes[i], ids); err != nil || next != "" {
			return out, next, err
		}
	}
	return nil, "", nil
}

// indexed reads the page by the index of words.
func (f *finder) indexed(s scope, ids []string) ([]*ticket.Ticket, ticket.Next, error) {
	q, ranks, _, err := ticketQuery(f.id, f.f, f.pg)
	if err != nil {
		return nil, "", err
	}
	q.and("id IN (SELECT ticket FROM anteroom.words WHERE words @@ " + q.arg(s.match(f.id, ids, f.words)) + "::tsquery AND portal = $1)")
	q.indexed = true
	return page(f.ctx, f.c, f.p.b.sql, q, f.pg, ranks, scanTicket)
}
