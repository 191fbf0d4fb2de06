package sqlitestore

import (
	"context"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

const ticketColumns = "id, updated, rev, number, doc"

func scanTicket(scan func(...any) error) (*ticket.Ticket, driver.Place, error) {
	var at driver.Place
	var rev, number int64
	var doc []byte
	if err := scan(&at.ID, &at.At, &rev, &number, &doc); err != nil {
		return nil, at, err
	}
	v, err := driver.Decode[ticket.Ticket](doc)
	v.Revision, v.Number = rev, number
	return v, at, err
}

// Tickets lists tickets.
func (p *portal) Tickets(ctx context.Context, f ticket.TicketFilter, pg ticket.Page) (out []*ticket.Ticket, next ticket.Next, err error) {
	q := &query{list: "tickets", table: "tickets", columns: ticketColumns, updated: f.Order == ticket.LatestUpdate}
	if err := q.after(pg.After); err != nil {
		return nil, "", wrap("list", err)
	}
	terms := words(f.Terms)
	if len(f.Terms) > 0 && len(terms) == 0 {
		return nil, "", ctx.Err() // terms without a letter or digit, which begin no word
	}
	err = p.view(ctx, "list tickets", func(c *conn, id int64) error {
		q.and("portal = ? AND deleted = 0", id)
		is(q, "contact", f.Contact)
		is(q, beside("assignee", f.Contact != ""), f.Assignee)
		is(q, beside("queue", f.Contact != "" || f.Assignee != ""), f.Queue)
		is(q, beside("channel", f.Contact != "" || f.Assignee != ""), f.Channel)
		if f.Unassigned {
			q.and("assignee IS NULL")
			q.notOpen = "tickets_unowned"
			if f.Queue != "" {
				q.notOpen += "_queue"
			}
			if q.updated {
				q.notOpen += "_updated"
			}
		}
		if f.Number != 0 {
			q.and("number = ?", f.Number)
		}
		ranks := q.statuses(f)
		if len(terms) == 0 {
			out, next, err = page(ctx, c, q, pg, ranks, scanTicket)
			return err
		}
		return c.consistent(func() error {
			f := &finder{ctx: ctx, c: c, portal: id, list: q, ranks: ranks, searchBounds: p.b.search}
			out, next, err = f.find(terms, pg)
			return err
		})
	})
	return out, next, err
}

// statuses restricts the list to f's statuses. What is narrowed enough without
// them gets a condition. Else it returns the ranks to join, which are all if f
// has none, so that every list is read in the order of an index.
func (q *query) statuses(f ticket.TicketFilter) (ranks []int64) {
	narrow := f.Number != 0 || f.Contact != ""
	ranks, others := driver.Ranks(f.Statuses)
	if len(others) > 0 {
		args := make([]any, len(others))
		for i, s := range others {
			args[i] = s
		}
		q.and("(status <> 5 OR doc ->> '$.status' IN "+list(len(others))+")", args...)
	}
	if !narrow {
		if len(ranks) == 0 {
			ranks = driver.AllRanks()
		}
		return ranks
	}
	if len(ranks) > 0 {
		q.ranked(ranks)
	}
	return nil
}

// ranked restricts the list to statuses without joining any.
func (q *query) ranked(ranks []int64) {
	args := make([]any, len(ranks))
	for i, r := range ranks {
		args[i] = r
	}
	q.and("status IN "+list(len(ranks)), args...)
}
