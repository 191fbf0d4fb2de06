package sqlitestore

import (
	"encoding/json"
	"maps"
	"slices"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// byMessages searches the next tickets of the list by way of n messages that
// match, the newest at or below a place, until it has found so many tickets. It
// reports whether the list is at its end.
func (f *finder) byMessages(top int64, n, tickets int) (end bool, err error) {
	low, high := places(f.portal)
	top = min(top, high)
	oldest, read := low, 0
	ids := map[string]bool{}
	err = f.c.each(f.ctx, `SELECT s.place, coalesce(m.ticket, '') FROM
		(SELECT rowid AS place FROM search WHERE search MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC LIMIT ?) s
		CROSS JOIN messages m WHERE m.place = s.place`, []any{f.match, low, top, n}, func(scan func(...any) error) error {
		var id string
		err := scan(&oldest, &id)
		if read++; id != "" {
			ids[id] = true
		}
		return err
	})
	if err != nil {
		return false, err
	}
	if read < n {
		oldest = low
	}
	tickets -= len(f.found)
	found, err := f.among(ids, "", tickets)
	if err != nil {
		return false, err
	}
	last := "" // the search goes so far down
	if len(found) == tickets {
		last = found[tickets-1].ID
	}
	if oldest > low || top < high {
		// Tickets may have other messages, of which nothing is known.
		var others map[string]bool
		if last, others, err = f.others(last, oldest, top, n); err != nil {
			return false, err
		}
		maps.DeleteFunc(others, func(id string, _ bool) bool { return ids[id] })
		late, err := f.among(others, last, len(others))
		if err != nil {
			return false, err
		}
		hits, _, err := f.matching(late)
		if err != nil {
			return false, err
		}
		for _, p := range hits {
			ids[p.ID] = true
		}
		if found, err = f.among(ids, last, tickets); err != nil {
			return false, err
		}
	}
	f.found = append(f.found, found...)
	if last == "" {
		return true, nil
	}
	f.list.from = &driver.Place{List: f.list.list, ID: last}
	return false, nil
}

// others returns the next tickets of the list, and others, down to one, that have
// messages outside of a range of places. If they are more than n, or far apart, it
// returns the first of them, and down to which that is.
func (f *finder) others(last string, oldest, top int64, n int) (down string, ids map[string]bool, err error) {
	in, args := " FROM messages INDEXED BY messages_ticket WHERE portal = ? AND ticket >= ?", []any{f.portal, last}
	if f.list.from != nil {
		in, args = in+" AND ticket < ?", append(args, f.list.from.ID)
	}
	if _, err := f.c.one("SELECT ticket"+in+" ORDER BY ticket DESC LIMIT 1 OFFSET ?", append(args, n*f.apart), &last); err != nil {
		return "", nil, err
	}
	args[1] = last
	ids = map[string]bool{}
	var id string
	err = f.c.each(f.ctx, "SELECT DISTINCT ticket"+in+" AND (place < ? OR place > ?) ORDER BY ticket DESC LIMIT ?",
		append(args, oldest, top, n), func(scan func(...any) error) error {
			err := scan(&id)
			ids[id] = true
			return err
		})
	if len(ids) == n {
		last = id
	}
	return last, ids, err
}

// among returns the first n of the next tickets of the list, down to one, that
// have one of the ids.
func (f *finder) among(ids map[string]bool, last string, n int) (found []driver.Place, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	doc, err := json.Marshal(slices.Collect(maps.Keys(ids)))
	if err != nil {
		return nil, err
	}
	q := f.filtered(f.list)
	q.columns = "id"
	q.and("id >= ? AND id IN (SELECT value FROM json_each(?))", last, string(doc))
	text, args := q.sql(nil, n)
	err = f.c.each(f.ctx, text, args, func(scan func(...any) error) error {
		p := driver.Place{List: q.list}
		err := scan(&p.ID)
		found = append(found, p)
		return err
	})
	return found, err
}

// filtered returns a list for a condition on its ids, by which it is to be read,
// rather than by the index of a filter.
func (f *finder) filtered(q *query) *query {
	q = q.clone()
	q.table += " INDEXED BY sqlite_autoindex_tickets_1" // UNIQUE (portal, id)
	if n := len(f.ranks); n > 0 && n < driver.OtherRank {
		args := make([]any, n)
		for i, r := range f.ranks {
			args[i] = r
		}
		q.and("status IN "+list(n), args...)
	}
	return q
}

// count returns how many messages match, up to most.
func (f *finder) count(most int) (n int, err error) {
	low, high := places(f.portal)
	_, err = f.c.one("SELECT count(*) FROM (SELECT 1 FROM search WHERE search MATCH ? AND rowid BETWEEN ? AND ? LIMIT ?)",
		[]any{f.match, low, high, most}, &n)
	return n, err
}

// sorted reads a page of a list by way of all messages that match, unless there
// was an error before.
func (f *finder) sorted(list *query, p ticket.Page, err error) ([]*ticket.Ticket, ticket.Next, error) {
	if err != nil {
		return nil, "", err
	}
	q := f.filtered(list)
	low, high := places(f.portal)
	q.and(`id IN (SELECT m.ticket FROM search JOIN messages m ON m.place = search.rowid
		WHERE search MATCH ? AND search.rowid BETWEEN ? AND ? AND m.ticket IS NOT NULL)`, f.match, low, high)
	return page(f.ctx, f.c, q, p, nil, scanTicket)
}
