package sqlitestore

import (
	"cmp"
	"context"
	"encoding/json"
	"slices"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// searchBounds are those of a search; see [finder.newest] and [finder.latest].
type searchBounds struct {
	messages int // that match: so many are read first
	first    int // tickets that are looked at first, and four times as many each time after
	largest  int // tickets that are looked at together
	all      int // tickets that are looked at for one page, and messages that are read next, about
	few      int // by update: messages that are sorted rather than look at tickets
	some     int // the same, when the first tickets had too few matches
	// words bounds how many words of the index a term is replaced by, each of
	// which is then read in order. For a term that begins more, SQLite gathers
	// the messages of all its words before it returns the first; if they are
	// more than gathered, the term stands for its first words only.
	words    int
	gathered int
	// nearby is the distance up to which messages are looked for in the same
	// range of the index: reading over some others is cheaper than a seek.
	nearby int64
	// apart is how many messages, for each that is read, may lie between the
	// first and the last of the tickets that are found by them.
	apart int
}

func defaultSearchBounds() searchBounds {
	return searchBounds{messages: 256, first: 128, largest: 1024, all: 4096, few: 500, some: 20_000, words: 256, gathered: 10_000, nearby: 256, apart: 64}
}

// finder is one search for a page of tickets.
type finder struct {
	ctx    context.Context
	c      *conn
	portal int64
	list   *query // without the words; it begins after what was searched
	ranks  []int64
	match  string // FTS5's
	wide   bool   // a term has more words than its bound
	found  []driver.Place
	searchBounds
}

// find lists the tickets that have a message with all terms.
func (f *finder) find(terms []string, p ticket.Page) ([]*ticket.Ticket, ticket.Next, error) {
	if found, err := f.expand(terms); err != nil || !found {
		return nil, "", err
	}
	if f.wide {
		f.messages, f.first, f.few = f.all, f.largest, f.some
	}
	if f.list.updated {
		return f.latest(p)
	}
	return f.newest(p)
}

// newest lists the newest tickets first. The index has messages in the order in
// which they came, which is mostly that of their tickets, but not where history
// was imported, or in a page that is far down. So in turns it reads messages that
// match, and looks at the next tickets of the list, which shows near which place
// to go on reading. Either takes the search some way down the list.
func (f *finder) newest(p ticket.Page) ([]*ticket.Ticket, ticket.Next, error) {
	_, top := places(f.portal)
	n, look := f.messages, f.first
	for looked := 0; looked < f.all; n = f.all {
		end, err := f.byMessages(top, n, p.Size()+1-len(f.found))
		if err != nil || end || len(f.found) > p.Size() {
			return f.page(p, true, err)
		}
		for fills := true; fills && looked < f.all; look = min(4*look, f.largest) {
			before := len(f.found)
			if top, end, err = f.look(look); err != nil || end || len(f.found) > p.Size() {
				return f.page(p, true, err)
			}
			looked += look
			fills = 4*(len(f.found)-before) > p.Size()-before
		}
		top += int64(f.all) // as answers come later than their tickets
	}
	return f.page(p, false, nil)
}

// latest lists those first that were updated last. Words that few messages have
// lead to their tickets, which are sorted. For others tickets are looked at.
func (f *finder) latest(p ticket.Page) ([]*ticket.Ticket, ticket.Next, error) {
	first := f.list.clone()
	if n, err := f.count(f.few + 1); err != nil || n <= f.few {
		return f.sorted(first, p, err)
	}
	counted, look := f.wide, f.first
	for looked := 0; looked < f.all; look = min(4*look, f.largest) {
		_, end, err := f.look(look)
		if err != nil || end || len(f.found) > p.Size() {
			return f.page(p, true, err)
		}
		if looked += look; !counted && len(f.found)*f.all < p.Size()*looked {
			// At this rate the page will not be full.
			counted = true
			if n, err := f.count(f.some + 1); err != nil || n <= f.some {
				return f.sorted(first, p, err)
			}
		}
	}
	return f.page(p, false, nil)
}

// page returns what was found. If that does not fill the page, and is not all,
// there may be more after what was searched.
func (f *finder) page(p ticket.Page, all bool, err error) ([]*ticket.Ticket, ticket.Next, error) {
	if err != nil {
		return nil, "", err
	}
	var next ticket.Next
	if len(f.found) > p.Size() {
		f.found = f.found[:p.Size()]
		next = f.found[p.Size()-1].Next()
	} else if !all {
		next = f.list.from.Next()
	}
	out, err := f.tickets(f.found)
	if err != nil {
		return nil, "", err
	}
	return out, next, nil
}

// look searches the next n tickets of the list by looking at each. It reports
// whether the list is at its end, and else near which place the next ones are.
func (f *finder) look(n int) (place int64, end bool, err error) {
	next, err := f.next(n)
	if err != nil {
		return 0, false, err
	}
	hits, firsts, err := f.matching(next)
	if err != nil {
		return 0, false, err
	}
	f.found = append(f.found, hits...)
	if len(next) < n {
		return 0, true, nil
	}
	f.list.from = &next[n-1]
	// Some may have moved, or come from elsewhere; most have not.
	around := slices.Sorted(slices.Values(firsts[n-min(n, 15):]))
	return around[len(around)/2], false, nil
}

// next returns the places of the next n tickets of the list.
func (f *finder) next(n int) (places []driver.Place, err error) {
	q := f.list.clone()
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

// matching returns those of the tickets that have a message that matches, and the
// place of the first message of each.
func (f *finder) matching(tickets []driver.Place) (hits []driver.Place, firsts []int64, err error) {
	if len(tickets) == 0 {
		return nil, nil, nil
	}
	ids, err := idsOf(tickets)
	if err != nil {
		return nil, nil, err
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
		return nil, nil, err
	}
	slices.SortFunc(spots, func(a, b spot) int { return cmp.Compare(a.message, b.message) })
	firsts = make([]int64, len(tickets))
	for _, s := range slices.Backward(spots) {
		firsts[s.ticket] = s.message
	}
	// SQLite reads the list of a word from one end up to what is asked for, and
	// does so much quicker from the first to the last.
	low, high := places(f.portal)
	if _, err := f.c.one("SELECT place FROM messages WHERE place <= ? ORDER BY place DESC LIMIT 1", []any{high}, &high); err != nil {
		return nil, nil, err
	}
	late := high - (high-low)/8
	matched := make([]bool, len(tickets))
	for len(spots) > 0 {
		n := 1
		for n < len(spots) && (f.wide || spots[n].message-spots[n-1].message <= f.nearby) {
			n++
		}
		part := spots[:n]
		spots = spots[n:]
		text := "SELECT rowid FROM search WHERE search MATCH ? AND rowid BETWEEN ? AND ?"
		if part[0].message > late {
			text += " ORDER BY rowid DESC"
		}
		err := f.c.each(f.ctx, text, []any{f.match, part[0].message, part[n-1].message}, func(scan func(...any) error) error {
			var at int64
			if err := scan(&at); err != nil {
				return err
			}
			if i, found := slices.BinarySearchFunc(part, at, func(s spot, at int64) int { return cmp.Compare(s.message, at) }); found {
				matched[part[i].ticket] = true
			}
			return nil
		})
		if err != nil {
			return nil, nil, err
		}
	}
	for i, t := range tickets {
		if matched[i] {
			hits = append(hits, t)
		}
	}
	return hits, firsts, nil
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
