package pgstore

import (
	"context"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

func scanTicket(rows pgx.Rows) (*ticket.Ticket, driver.Place, error) {
	var at driver.Place
	var rev, number int64
	var doc []byte
	if err := rows.Scan(&at.ID, &at.At, &rev, &number, &doc); err != nil {
		return nil, at, err
	}
	v, err := decode[ticket.Ticket](doc)
	if err != nil {
		return nil, at, err
	}
	v.Revision, v.Number = rev, number
	return v, at, nil
}

// ticketQuery returns the list and the ranks to join.
func ticketQuery(id int64, f *ticket.TicketFilter, pg ticket.Page) (q *query, ranks []int64, err error) {
	q = &query{list: "tickets", table: "tickets", columns: "id, updated, rev, number, doc", updated: f.Order == ticket.LatestUpdate}
	q.and("portal = " + q.arg(id) + " AND NOT deleted")
	is(q, "queue", f.Queue)
	is(q, "assignee", f.Assignee)
	is(q, "channel", f.Channel)
	is(q, "contact", f.Contact)
	if f.Unassigned {
		q.and("assignee IS NULL")
	}
	if f.Number != 0 {
		q.and("number = " + q.arg(f.Number))
	}
	err = q.after(pg.After)
	return q, q.statuses(f), err
}

// Tickets lists tickets.
func (p *portal) Tickets(ctx context.Context, f ticket.TicketFilter, pg ticket.Page) (out []*ticket.Ticket, next ticket.Next, err error) {
	if _, _, err := ticketQuery(0, &f, pg); err != nil {
		return nil, "", err
	}
	words := terms(f.Terms)
	if len(f.Terms) > 0 && len(words) == 0 {
		return nil, "", ctx.Err() // terms without a letter or digit, which begin no word
	}
	err = p.view(ctx, "list tickets", func(ctx context.Context, c conn, id int64) error {
		if len(words) > 0 {
			out, next, err = (&finder{ctx, c, p, id, &f, pg, words}).find()
			return err
		}
		q, ranks, err := ticketQuery(id, &f, pg)
		if err == nil {
			out, next, err = page(ctx, c, p.b.sql, q, pg, ranks, scanTicket)
		}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return out, next, nil
}

// statuses restricts the list to f's statuses. What is narrowed enough without
// them gets a condition. Else it returns the ranks to join, which are all if f
// has none, so that every list is read in the order of an index.
func (q *query) statuses(f *ticket.TicketFilter) (ranks []int64) {
	narrow := f.Number != 0 || f.Contact != "" || len(f.Terms) > 0
	ranks, others := driver.Ranks(f.Statuses)
	if len(others) > 0 {
		for i, s := range others {
			others[i] = clean(s)
		}
		q.and("(rank <> 5 OR status = ANY(" + q.arg(others) + "::text[]))")
	}
	if !narrow {
		if len(ranks) == 0 {
			ranks = driver.AllRanks()
		}
		return ranks
	}
	if len(ranks) > 0 {
		list := make([]string, len(ranks))
		for i, r := range ranks {
			list[i] = string('0' + byte(r))
		}
		q.and("rank IN (" + strings.Join(list, ", ") + ")")
	}
	return nil
}
