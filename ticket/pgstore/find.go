package pgstore

import (
	"context"
	"errors"
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// walks are the bounds of a search: how many tickets of a list are looked at
// first, and at the most; and how many of the newest messages have a word at the
// most that is looked for in all.
type walks struct{ first, most, few int }

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
// a page there, and so is rare, among all. Where that is no reason, since the
// words are common but do not meet, or not where the filter selects, the page
// ends where those weeks do, or the tickets that were looked at. How common a word
// is, is asked only when the days have not filled the page: of all that have it
// in those weeks, which is most of what a search costs.
func (f *finder) find() (out []*ticket.Ticket, next ticket.Next, err error) {
	w := f.p.b.options.walks
	var end driver.Place
	if f.f.Number == 0 {
		out, next, end, err = f.walk(w.first)
		if err != nil || end.ID == "" || next != "" {
			return out, next, err
		}
	}
	if n := w.enough(len(out), f.pg.Size()+1, f.f.Order); n > 0 {
		out, next, end, err = f.walk(n)
		if err != nil || end.ID == "" || next != "" {
			return out, next, err
		}
	}
	first, short, err := f.last(1)
	if err != nil || short {
		return nil, "", err
	}
	timely := f.f.Order == ticket.NewestFirst && f.f.Number == 0
	if timely {
		if out, next, _, err = f.newest(scopes[days], first); err != nil || next != "" {
			return out, next, err
		}
	}
	word, messages, err := f.rarest(first)
	if err != nil {
		return nil, "", err
	}
	if timely && messages > min(f.pg.Size(), w.few) {
		if out, next, end, err = f.newest(scopes[weeks], first); err != nil || next != "" {
			return out, next, err
		}
	}
	if messages <= w.few {
		return f.indexed(scopes[ever], []string{""}, word)
	}
	if timely && end.ID != "" {
		_, short, err := f.last(w.most)
		if err != nil || !short {
			return out, end.Next(), err
		}
	}
	err = f.atOnce(func() error {
		out, next, end, err = f.walk(w.most)
		return err
	})
	if err == nil && next == "" && end.ID != "" {
		next = end.Next()
	}
	return out, next, err
}

// atOnce has do read one state of the store: what leaves a list meanwhile would
// else have the page end after a ticket that was not looked at. The host's
// transaction is as it is.
func (f *finder) atOnce(do func() error) error {
	if joined(f.ctx) != nil {
		return do()
	}
	once := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	return pgx.BeginTxFunc(f.ctx, f.p.b.pool, once, func(tx pgx.Tx) error {
		f.c = tx
		return do()
	})
}

// list returns the list without the words, in the order of which it is read.
func (f *finder) list() (*query, []int64, error) {
	all := *f.f
	all.Terms = nil
	return ticketQuery(f.id, &all, f.pg)
}

// walk looks at the first n tickets of the list, of which end is the last; it is
// not set if there are fewer, and so the page is whole.
func (f *finder) walk(n int) (out []*ticket.Ticket, next ticket.Next, end driver.Place, err error) {
	q, ranks, err := f.list()
	if err != nil {
		return nil, "", end, err
	}
	list := q.sql(ranks, n)
	// A subquery that is no EXISTS stays one: as a join it could be made to read
	// all messages first.
	q.outer = func() string {
		return "SELECT " + q.columns + " FROM (" + list + ") t WHERE (SELECT true FROM anteroom.messages m JOIN anteroom.words w ON w.portal = m.portal AND w.message = m.id" +
			" WHERE m.portal = $1 AND m.ticket = t.id AND w.words @@ " + q.arg(scopes[ever].match(f.id, []string{""}, f.words)) + "::tsquery LIMIT 1)" + q.order() + " LIMIT "
	}
	if out, next, err = page(f.ctx, f.c, f.p.b.sql, q, f.pg, nil, scanTicket); err != nil || next != "" {
		return out, next, end, err
	}
	end, _, err = f.last(n)
	return out, next, end, err
}

// last returns the place of the n-th ticket of the list. If there is none, the
// list is short.
func (f *finder) last(n int) (at driver.Place, short bool, err error) {
	q, ranks, err := f.list()
	if err != nil {
		return at, false, err
	}
	q.columns = "id, 0::bigint AS updated" // no more than the index has
	if q.updated {
		q.columns = "id, updated"
	}
	text := "SELECT id, updated FROM (" + q.sql(ranks, n) + ") t" + q.order() + " LIMIT 1 OFFSET " + strconv.Itoa(n-1)
	err = f.c.QueryRow(f.ctx, f.p.b.sql.in(text), q.args...).Scan(&at.ID, &at.At)
	if errors.Is(err, pgx.ErrNoRows) {
		return at, true, nil
	}
	at.List = q.list
	return at, false, err
}

// newest searches the newest tickets of the list: those that begin like the first
// one in this scope, or like those before. If it finds no page that is full there
// may be more, after end; it is not set where ids do not tell their time.
func (f *finder) newest(s scope, first driver.Place) (out []*ticket.Ticket, next ticket.Next, end driver.Place, err error) {
	ids, ok := s.window(first.ID)
	if !ok {
		return nil, "", end, nil
	}
	out, next, err = f.indexed(s, ids, "")
	return out, next, driver.Place{List: first.List, ID: ids[len(ids)-1]}, err
}

// rarest returns a word that few messages of the newest tickets have, or of all,
// where their ids do not tell, and how many that are; or any, and more than few.
// Long words are asked for first: they are rare, and the others need no look.
func (f *finder) rarest(first driver.Place) (word string, messages int, err error) {
	few := f.p.b.options.walks.few
	s := scopes[weeks]
	ids, ok := s.window(first.ID)
	if !ok {
		s, ids = scopes[ever], []string{""}
	}
	text := f.p.b.sql.in("SELECT count(*) FROM (SELECT 1 FROM anteroom.words WHERE words @@ $2::tsquery AND portal = $1 LIMIT " + strconv.Itoa(few+1) + ") t")
	words := slices.Clone(f.words)
	slices.SortStableFunc(words, func(a, b string) int { return len(b) - len(a) })
	for _, word = range words {
		batch := &pgx.Batch{}
		if joined(f.ctx) == nil {
			batch.Queue(withoutScans)
		}
		batch.Queue(text, f.id, s.match(f.id, ids, []string{word})).QueryRow(func(row pgx.Row) error { return row.Scan(&messages) })
		if err := f.c.SendBatch(f.ctx, batch).Close(); err != nil || messages <= few {
			return word, messages, err
		}
	}
	return word, messages, nil
}

// indexed reads the page by the index of words: by one of them, if it is given,
// while the others are looked for in what it finds. For each that it is asked for
// the index gathers all messages, however few have the others.
func (f *finder) indexed(s scope, ids []string, word string) ([]*ticket.Ticket, ticket.Next, error) {
	q, _, err := ticketQuery(f.id, f.f, f.pg)
	if err != nil {
		return nil, "", err
	}
	by, others := f.words, ""
	if word != "" && len(f.words) > 1 {
		by = []string{word}
		others = " AND ts_match_vq(words, " + q.arg(s.match(f.id, ids, f.words)) + "::tsquery)"
	}
	matching := " FROM anteroom.words WHERE words @@ " + q.arg(s.match(f.id, ids, by)) + "::tsquery AND portal = $1" + others
	q.indexed = true
	switch {
	case word == "":
		q.and("id IN (SELECT ticket" + matching + ")")
	case q.updated:
		// As a join it could be made to read all newer tickets first.
		q.and("id = ANY(ARRAY(SELECT ticket" + matching + "))")
	default:
		// There may be many, all of them old. So only those are read that come
		// first; the limit keeps the planner from making it another join.
		if at, continued, _ := driver.ParsePlace(f.pg.After, q.list); continued {
			matching += " AND ticket < " + q.arg(clean(at.ID))
		}
		q.and("id = w.ticket")
		row := q.sql(nil, 1)
		q.outer = func() string {
			return "SELECT " + q.columns + " FROM (SELECT DISTINCT ticket" + matching + " ORDER BY ticket DESC) w CROSS JOIN LATERAL (" + row + ") t ORDER BY w.ticket DESC LIMIT "
		}
	}
	return page(f.ctx, f.c, f.p.b.sql, q, f.pg, nil, scanTicket)
}
