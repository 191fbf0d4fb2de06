package sqlitestore

import (
	"cmp"
	"encoding/json"
	"maps"
	"slices"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// byMessages searches the next tickets of the list by way of n messages that
// match, the newest at or below a place, until it has found so many tickets. It
// reports whether the list is at its end. A few messages that do not fill a page
// are left alone.
func (f *finder) byMessages(top int64, n, tickets int) (end bool, err error) {
	low, high := places(f.portal)
	top = min(top, high)
	ids, oldest, err := f.matches(low, top, n)
	if err != nil {
		return false, err
	}
	found, err := f.among(ids, tickets)
	if err != nil {
		return false, err
	}
	last := "" // the search goes so far down
	if len(found) == tickets {
		last = found[tickets-1].ID
	}
	if oldest > low || top < high {
		// Tickets may have other messages, of which nothing is known.
		more := n < f.all // which may be all that match
		if more && last == "" {
			return false, nil
		}
		down, others, err := f.others(last, oldest, top, n)
		if err != nil {
			return false, err
		}
		if more && down != last {
			return f.byMessages(top, min(4*n, f.all), tickets)
		}
		maps.DeleteFunc(others, func(id string, _ bool) bool { return ids[id] })
		late, err := f.among(others, len(others))
		if err != nil {
			return false, err
		}
		hits, _, err := f.matching(late)
		if err != nil {
			return false, err
		}
		last = down
		found = slices.DeleteFunc(append(found, hits...), func(p driver.Place) bool { return p.ID < last })
		slices.SortFunc(found, func(a, b driver.Place) int { return cmp.Compare(b.ID, a.ID) })
		found = found[:min(tickets, len(found))]
	}
	f.found = append(f.found, found...)
	if last == "" {
		return true, nil
	}
	f.list.from = &driver.Place{List: f.list.list, ID: last}
	return false, nil
}

// matches returns the tickets of the n newest messages that match in a range of
// places, and down to which place they are.
func (f *finder) matches(low, top int64, n int) (ids map[string]bool, oldest int64, err error) {
	ids, read := map[string]bool{}, 0
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
	if read < n {
		oldest = low
	}
	return ids, oldest, err
}

// others returns the tickets down to one that have messages outside of a range of
// places. If they are too many to be looked at together, or far apart, it returns
// the first of them, and down to which that is.
func (f *finder) others(last string, oldest, top int64, n int) (down string, ids map[string]bool, err error) {
	from, args := " FROM messages INDEXED BY messages_ticket WHERE portal = ? AND ticket >= ?", []any{f.portal, last}
	if f.list.from != nil {
		from, args = from+" AND ticket < ?", append(args, f.list.from.ID)
	}
	down = last
	if _, err := f.c.one("SELECT ticket"+from+" ORDER BY ticket DESC LIMIT 1 OFFSET ?", append(args, n*f.apart), &down); err != nil {
		return "", nil, err
	}
	args[1] = down
	ids = map[string]bool{}
	var id string
	err = f.c.each(f.ctx, "SELECT DISTINCT ticket"+from+" AND (place < ? OR place > ?) ORDER BY ticket DESC LIMIT ?",
		append(args, oldest, top, f.largest), func(scan func(...any) error) error {
			err := scan(&id)
			ids[id] = true
			return err
		})
	if len(ids) == f.largest {
		down = id
	}
	return down, ids, err
}

// among returns the first n of the next tickets of the list that have one of the
// ids.
func (f *finder) among(ids map[string]bool, n int) (found []driver.Place, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	doc, err := json.Marshal(slices.Collect(maps.Keys(ids)))
	if err != nil {
		return nil, err
	}
	q := f.filtered(f.list)
	q.columns = "id"
	q.and("id IN (SELECT value FROM json_each(?))", string(doc))
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
		q.ranked(f.ranks)
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
