package sqlitestore

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// searchBounds are those of a search. Newest first, it reads the newest messages
// that match until their tickets fill the page. By update, words that few
// messages have lead to their tickets, which are sorted. Where neither does,
// since the filter selects few of what matches or the page is far down, tickets
// are looked at in the order of the list, so many for each page.
type searchBounds struct {
	newest  []int // messages that match: so many first, then more
	few     int   // by update: messages that are sorted rather than look at tickets
	some    int   // the same, when the first tickets had too few matches
	first   int   // tickets that are looked at first
	largest int   // tickets that are looked at together
	all     int   // tickets that are looked at for one page, about
	// words bounds how many words of the index a term is replaced by, each of
	// which is then read in order. For a term that begins more, SQLite gathers
	// the messages of all its words before it returns the first; if they are
	// more than gathered, the term stands for its first words only.
	words    int
	gathered int
	// nearby is the distance up to which messages are looked for in the same
	// range of the index: reading over some others is cheaper than a seek.
	nearby int64
}

func defaultSearchBounds() searchBounds {
	return searchBounds{newest: []int{256, 1024, 4096}, few: 500, some: 20_000, first: 256, largest: 1024, all: 4096, words: 256, gathered: 10_000, nearby: 256}
}

// finder is one search for a page of tickets.
type finder struct {
	ctx    context.Context
	c      *conn
	portal int64
	list   *query // without the words
	ranks  []int64
	match  string // FTS5's
	wide   bool   // a term has more words than its bound
	searchBounds
}

// find lists the tickets that have a message with all terms.
func (f *finder) find(terms []string, p ticket.Page) ([]*ticket.Ticket, ticket.Next, error) {
	if found, err := f.expand(terms); err != nil || !found {
		return nil, "", err
	}
	if f.list.updated {
		few := f.few
		if f.wide {
			few = f.some
		}
		if n, err := f.count(few + 1); err != nil || n <= few {
			return f.sorted(p, err)
		}
		return f.walk(p)
	}
	steps := f.newest
	if f.wide {
		steps = steps[len(steps)-1:]
	}
	for _, n := range steps {
		found, done, err := f.byMessages(n, p.Size()+1)
		if err != nil || done {
			return f.page(found, driver.Place{}, p, err)
		}
	}
	return f.walk(p)
}

// page returns what was found as a page. If that does not fill it, there is more
// after end, if it is set.
func (f *finder) page(found []driver.Place, end driver.Place, p ticket.Page, err error) ([]*ticket.Ticket, ticket.Next, error) {
	if err != nil {
		return nil, "", err
	}
	if len(found) > p.Size() {
		found = found[:p.Size()]
		end = found[p.Size()-1]
	}
	out, err := f.tickets(found)
	if err != nil || end.ID == "" {
		return out, "", err
	}
	return out, end.Next(), nil
}

// byMessages finds the first tickets of the list by way of the newest n messages
// that match. It is not done if there may be others among the tickets that it
// would return.
func (f *finder) byMessages(n, tickets int) (found []driver.Place, done bool, err error) {
	low, high := places(f.portal)
	oldest, read := low, 0
	ids := map[string]bool{}
	err = f.c.each(f.ctx, `SELECT s.place, coalesce(m.ticket, '') FROM
		(SELECT rowid AS place FROM search WHERE search MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC LIMIT ?) s
		CROSS JOIN messages m WHERE m.place = s.place`, []any{f.match, low, high, n}, func(scan func(...any) error) error {
		var id string
		err := scan(&oldest, &id)
		if read++; id != "" {
			ids[id] = true
		}
		return err
	})
	if err != nil {
		return nil, false, err
	}
	if found, err = f.among(ids, tickets); err != nil || read < n {
		return found, true, err
	}
	if len(found) < tickets {
		return nil, false, nil
	}
	// Older messages belong to older tickets, but for those that were moved.
	late, err := f.late(found[tickets-1].ID, oldest)
	if err != nil || len(late) > f.largest {
		return nil, false, err
	}
	late = slices.DeleteFunc(late, func(p driver.Place) bool { return ids[p.ID] })
	late, err = f.matching(late)
	if err != nil || len(late) == 0 {
		return found, true, err
	}
	for _, p := range late {
		ids[p.ID] = true
	}
	found, err = f.among(ids, tickets)
	return found, true, err
}

// late returns the tickets above an id, up to the end of the list, that have
// messages before a place, or one more than can be looked at together.
func (f *finder) late(id string, place int64) (late []driver.Place, err error) {
	query, args := "ticket > ?", []any{f.portal, id}
	if f.list.from != nil {
		query, args = query+" AND ticket < ?", append(args, f.list.from.ID)
	}
	err = f.c.each(f.ctx, "SELECT DISTINCT ticket FROM messages INDEXED BY messages_ticket WHERE portal = ? AND "+query+" AND place < ? LIMIT ?",
		append(args, place, f.largest+1), func(scan func(...any) error) error {
			var p driver.Place
			err := scan(&p.ID)
			late = append(late, p)
			return err
		})
	return late, err
}

// among returns the first n tickets of the list that have one of the ids.
func (f *finder) among(ids map[string]bool, n int) (found []driver.Place, err error) {
	if len(ids) == 0 {
		return nil, nil
	}
	doc, err := json.Marshal(slices.Collect(maps.Keys(ids)))
	if err != nil {
		return nil, err
	}
	q := f.filtered()
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

// filtered returns the list for a condition on its ids, by which it is to be
// read, rather than by the index of a filter.
func (f *finder) filtered() *query {
	q := f.list.clone()
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

// walk looks at the tickets of the list.
func (f *finder) walk(p ticket.Page) ([]*ticket.Ticket, ticket.Next, error) {
	var found []driver.Place
	var last driver.Place
	look := f.first
	if f.wide {
		look = f.largest
	}
	counted := !f.list.updated || f.wide
	for looked := 0; looked < f.all; look = min(2*look, f.largest) {
		part, err := f.next(last, look)
		if err != nil {
			return nil, "", err
		}
		hits, err := f.matching(part)
		if err != nil {
			return nil, "", err
		}
		found = append(found, hits...)
		if len(found) > p.Size() || len(part) < look {
			return f.page(found, driver.Place{}, p, nil)
		}
		last = part[len(part)-1]
		if looked += look; !counted && len(found)*f.all < p.Size()*looked {
			// At this rate the page will not be full.
			counted = true
			if n, err := f.count(f.some + 1); err != nil || n <= f.some {
				return f.sorted(p, err)
			}
		}
	}
	return f.page(found, last, p, nil)
}

// expand makes the query of the terms. It returns false if one of them begins no
// word of the index.
func (f *finder) expand(terms []string) (bool, error) {
	all := make([]string, 0, len(terms))
	// Long words are rare, and soon show that there is nothing to be found.
	slices.SortFunc(terms, func(a, b string) int { return len(b) - len(a) })
	for _, term := range terms {
		words, err := f.begunBy(term)
		if err != nil || len(words) == 0 {
			return false, err
		}
		if most := f.searchBounds.words; len(words) > most {
			light, err := f.light(term)
			if err != nil {
				return false, err
			}
			if light {
				f.wide = true
				all = append(all, `"`+term+`"*`)
				continue
			}
			words = words[:most]
		}
		all = append(all, `("`+strings.Join(words, `" OR "`)+`")`)
	}
	f.match = strings.Join(all, " AND ")
	return true, nil
}

// begunBy returns the words of the index that a term begins, or one more than the
// bound. Each is a seek: the messages of one are not read to come to the next.
func (f *finder) begunBy(term string) (words []string, err error) {
	err = f.c.each(f.ctx, `WITH RECURSIVE w(t) AS (
			SELECT (SELECT term FROM words WHERE term >= ?1 LIMIT 1)
			UNION ALL SELECT (SELECT term FROM words WHERE term >= t || char(0) LIMIT 1) FROM w WHERE t < ?2)
		SELECT t FROM w WHERE t < ?2 LIMIT ?3`, []any{term, term + "\U0010FFFF", f.searchBounds.words + 1}, func(scan func(...any) error) error {
		var w string
		err := scan(&w)
		words = append(words, w)
		return err
	})
	return words, err
}

// light reports whether the messages of all words that a term begins can be
// gathered.
func (f *finder) light(term string) (bool, error) {
	var n int
	_, err := f.c.one("SELECT count(*) FROM (SELECT 1 FROM words WHERE term >= ? AND term < ? LIMIT ?)",
		[]any{term, term + "\U0010FFFF", f.gathered + 1}, &n)
	return n <= f.gathered, err
}

// count returns how many messages match, up to most.
func (f *finder) count(most int) (n int, err error) {
	low, high := places(f.portal)
	_, err = f.c.one("SELECT count(*) FROM (SELECT 1 FROM search WHERE search MATCH ? AND rowid BETWEEN ? AND ? LIMIT ?)",
		[]any{f.match, low, high, most}, &n)
	return n, err
}

// sorted reads a page by way of all messages that match, unless there was an
// error before.
func (f *finder) sorted(p ticket.Page, err error) ([]*ticket.Ticket, ticket.Next, error) {
	if err != nil {
		return nil, "", err
	}
	q := f.filtered()
	low, high := places(f.portal)
	q.and(`id IN (SELECT m.ticket FROM search JOIN messages m ON m.place = search.rowid
		WHERE search MATCH ? AND search.rowid BETWEEN ? AND ? AND m.ticket IS NOT NULL)`, f.match, low, high)
	return page(f.ctx, f.c, q, p, nil, scanTicket)
}

// next returns the places of the next n tickets of the list after one.
func (f *finder) next(after driver.Place, n int) (places []driver.Place, err error) {
	q := f.list.clone()
	if after.ID != "" {
		q.from = &after
	}
	q.columns = "id, updated"
	if !q.updated {
		q.columns = "id, 0" // which an index covers
	}
	text, args := q.sql(f.ranks, n)
	err = f.c.each(f.ctx, text, args, func(scan func(...any) error) error {
		at := driver.Place{List: q.list}
		err := scan(&at.ID, &at.At)
		places = append(places, at)
		return err
	})
	return places, err
}

// matching returns those of the tickets that have a message that matches.
func (f *finder) matching(tickets []driver.Place) (hits []driver.Place, err error) {
	ids, err := idsOf(tickets)
	if err != nil {
		return nil, err
	}
	type spot struct {
		message int64
		ticket  int
	}
	var spots []spot
	err = f.c.each(f.ctx, `SELECT m.place, j.key FROM json_each(?) j CROSS JOIN messages m INDEXED BY messages_ticket
		WHERE m.portal = ? AND m.ticket = j.value`, []any{ids, f.portal}, func(scan func(...any) error) error {
		var s spot
		err := scan(&s.message, &s.ticket)
		spots = append(spots, s)
		return err
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(spots, func(a, b spot) int { return cmp.Compare(b.message, a.message) })
	matched := make([]bool, len(tickets))
	for len(spots) > 0 {
		n := 1
		for n < len(spots) && (f.wide || spots[n-1].message-spots[n].message <= f.nearby) {
			n++
		}
		part := spots[:n]
		spots = spots[n:]
		i := 0
		err := f.c.each(f.ctx, "SELECT rowid FROM search WHERE search MATCH ? AND rowid BETWEEN ? AND ? ORDER BY rowid DESC",
			[]any{f.match, part[n-1].message, part[0].message}, func(scan func(...any) error) error {
				var at int64
				if err := scan(&at); err != nil {
					return err
				}
				for i < n && part[i].message > at {
					i++
				}
				if i < n && part[i].message == at {
					matched[part[i].ticket] = true
				}
				return nil
			})
		if err != nil {
			return nil, err
		}
	}
	for i, t := range tickets {
		if matched[i] {
			hits = append(hits, t)
		}
	}
	return hits, nil
}

// tickets reads tickets.
func (f *finder) tickets(places []driver.Place) (out []*ticket.Ticket, err error) {
	ids, err := idsOf(places)
	if err != nil {
		return nil, err
	}
	err = f.c.each(f.ctx, `SELECT t.id, t.updated, t.rev, t.number, t.doc FROM json_each(?) j CROSS JOIN tickets t
		WHERE t.portal = ? AND t.id = j.value ORDER BY j.key`, []any{ids, f.portal}, func(scan func(...any) error) error {
		v, _, err := scanTicket(scan)
		out = append(out, v)
		return err
	})
	return out, err
}

// idsOf returns the ids of tickets as a JSON array.
func idsOf(places []driver.Place) (string, error) {
	ids := make([]string, len(places))
	for i, p := range places {
		ids[i] = p.ID
	}
	doc, err := json.Marshal(ids)
	return string(doc), err
}
