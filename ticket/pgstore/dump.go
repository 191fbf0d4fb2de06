package pgstore

import (
	"context"
	"encoding/hex"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

var _ ticket.Dumper = (*portal)(nil)

// dumping is how a page of a table is read: the columns, in whose order the rows
// come that are after the place, and what adds a row and returns its place.
type dumping struct {
	columns, from, after, order string
	place                       func(driver.Place) ([]any, error) // the arguments of after, from $2 on
	add                         func(c *ticket.Changes, rows pgx.Rows) (driver.Place, error)
}

// Dump reads a page of a table.
func (p *portal) Dump(ctx context.Context, t ticket.Table, pg ticket.Page) (c *ticket.Changes, next ticket.Next, err error) {
	list := "dump." + string(t)
	after, continued, err := driver.ParsePlace(pg.After, list)
	if err != nil {
		return nil, "", wrap(ctx, "dump", err)
	}
	d, ok := dumpings()[t]
	if !ok {
		return nil, "", fmt.Errorf("pgstore: dump: no table %q", t)
	}
	text := "SELECT " + d.columns + " FROM anteroom." + d.from + " WHERE portal = $1"
	var place []any
	if continued {
		if place, err = d.place(after); err != nil {
			return nil, "", wrap(ctx, "dump", err)
		}
		text += " AND " + d.after
	}
	text += " ORDER BY " + d.order + " LIMIT " + strconv.Itoa(pg.Size()+1)
	n, last := 0, driver.Place{}
	c = &ticket.Changes{}
	err = p.each(ctx, "dump", func(id int64) (string, []any) { return text, append([]any{id}, place...) }, func() {
		*c, n, next, last = ticket.Changes{}, 0, "", driver.Place{}
	}, func(rows pgx.Rows) error {
		if n++; n > pg.Size() {
			next = last.Next()
			return nil
		}
		at, err := d.add(c, rows)
		last = driver.Place{List: list, At: at.At, ID: at.ID}
		return err
	})
	if err != nil {
		return nil, "", err
	}
	return c, next, nil
}

func placeID(p driver.Place) ([]any, error) { return []any{clean(p.ID)}, nil }

func placeAt(p driver.Place) ([]any, error) { return []any{p.At}, nil }

// byID is the dumping of a table that is read in the order of its ids.
func byID(table, columns string, add func(c *ticket.Changes, rows pgx.Rows) (id string, err error)) dumping {
	return dumping{columns: columns, from: table, after: "id > $2::text", order: "id", place: placeID,
		add: func(c *ticket.Changes, rows pgx.Rows) (driver.Place, error) {
			id, err := add(c, rows)
			return driver.Place{ID: clean(id)}, err
		}}
}

// docs is that of a table of entities whose other columns repeat the document.
func docs[V any](table string, to func(*ticket.Changes) *[]*V, revision func(*V) *int64) dumping {
	return byID(table, "id, rev, doc", func(c *ticket.Changes, rows pgx.Rows) (id string, err error) {
		var rev int64
		var doc []byte
		if err := rows.Scan(&id, &rev, &doc); err != nil {
			return "", err
		}
		v, err := decode[V](doc)
		if err != nil {
			return "", fmt.Errorf("%s %s: %w", table, id, err)
		}
		*revision(v) = rev
		*to(c) = append(*to(c), v)
		return id, nil
	})
}

// dumpings are those of all tables.
func dumpings() map[ticket.Table]dumping {
	return map[ticket.Table]dumping{
		ticket.TableContacts: docs("contacts", func(c *ticket.Changes) *[]*ticket.Contact { return &c.Contacts },
			func(v *ticket.Contact) *int64 { return &v.Revision }),
		ticket.TableConversations: docs("conversations", func(c *ticket.Changes) *[]*ticket.Conversation { return &c.Conversations },
			func(v *ticket.Conversation) *int64 { return &v.Revision }),
		ticket.TableMessages: docs("messages", func(c *ticket.Changes) *[]*ticket.Message { return &c.Messages },
			func(v *ticket.Message) *int64 { return &v.Revision }),
		ticket.TableItems: docs("items", func(c *ticket.Changes) *[]*ticket.Item { return &c.Items },
			func(v *ticket.Item) *int64 { return &v.Revision }),
		ticket.TableTickets: {columns: "rev, number, doc", from: "tickets", after: "number > $2::bigint", order: "number", place: placeAt, add: dumpTicket},
		ticket.TableWorks: byID("works", workColumns, func(c *ticket.Changes, rows pgx.Rows) (string, error) {
			v, err := scanWork(rows)
			if err != nil {
				return "", err
			}
			c.Works = append(c.Works, v)
			return string(v.ID), nil
		}),
		ticket.TableDecisions: byID("decisions", "id, doc", func(c *ticket.Changes, rows pgx.Rows) (id string, err error) {
			var doc []byte
			if err := rows.Scan(&id, &doc); err != nil {
				return "", err
			}
			v, err := decode[ticket.Decision](doc)
			c.Decisions = append(c.Decisions, v)
			return id, err
		}),
		ticket.TableBodies: byID("bodies", "id, data", func(c *ticket.Changes, rows pgx.Rows) (string, error) {
			var b ticket.StoredBody
			err := rows.Scan(&b.ID, &b.Data)
			c.Bodies = append(c.Bodies, b)
			return string(b.ID), err
		}),
		ticket.TableEvents: {columns: "cursor, doc", from: "events", after: "cursor > $2::bigint", order: "cursor", place: placeAt, add: dumpEvent},
		ticket.TableKeys: {columns: "key, kind, ref", from: "keys", after: "key > $2::bytea", order: "key", add: dumpKey,
			place: func(p driver.Place) ([]any, error) {
				key, err := hex.DecodeString(p.ID)
				return []any{key}, err
			}},
		ticket.TableCounters: {columns: "name, value, expires", from: "counters", after: "name > $2::text", order: "name", place: placeID, add: dumpCounter},
		ticket.TableRecords: {columns: "kind, id, rev, doc", from: "records", after: "(kind, id) > ($2::text, $3::text)", order: "kind, id", add: dumpRecord,
			place: func(p driver.Place) ([]any, error) {
				kind, id, _ := strings.Cut(p.ID, "\x00")
				return []any{clean(kind), clean(id)}, nil
			}},
	}
}

func dumpTicket(c *ticket.Changes, rows pgx.Rows) (driver.Place, error) {
	var rev, number int64
	var doc []byte
	if err := rows.Scan(&rev, &number, &doc); err != nil {
		return driver.Place{}, err
	}
	v, err := decode[ticket.Ticket](doc)
	if err != nil {
		return driver.Place{}, fmt.Errorf("ticket %d: %w", number, err)
	}
	v.Revision, v.Number = rev, number
	c.Tickets = append(c.Tickets, v)
	return driver.Place{At: number}, nil
}

func dumpEvent(c *ticket.Changes, rows pgx.Rows) (driver.Place, error) {
	var cursor int64
	var doc []byte
	if err := rows.Scan(&cursor, &doc); err != nil {
		return driver.Place{}, err
	}
	v, err := decode[ticket.Event](doc)
	if err != nil {
		return driver.Place{}, fmt.Errorf("event %d: %w", cursor, err)
	}
	v.Cursor = cursor
	c.Events = append(c.Events, v)
	return driver.Place{At: cursor}, nil
}

func dumpKey(c *ticket.Changes, rows pgx.Rows) (driver.Place, error) {
	var key []byte
	var k ticket.KeyClaim
	if err := rows.Scan(&key, &k.Ref.Kind, &k.Ref.ID); err != nil {
		return driver.Place{}, err
	}
	copy(k.Key[:], key)
	c.Claims = append(c.Claims, k)
	return driver.Place{ID: hex.EncodeToString(key)}, nil
}

func dumpCounter(c *ticket.Changes, rows pgx.Rows) (driver.Place, error) {
	var n ticket.Count
	var expires *int64
	if err := rows.Scan(&n.Name, &n.Add, &expires); err != nil {
		return driver.Place{}, err
	}
	if expires != nil {
		n.Expires = driver.FromMicros(*expires)
	}
	c.Counts = append(c.Counts, n)
	return driver.Place{ID: n.Name}, nil
}

func dumpRecord(c *ticket.Changes, rows pgx.Rows) (driver.Place, error) {
	v := &ticket.Record{}
	if err := rows.Scan(&v.Kind, &v.ID, &v.Revision, &v.Doc); err != nil {
		return driver.Place{}, err
	}
	c.Records = append(c.Records, v)
	return driver.Place{ID: string(v.Kind) + "\x00" + v.ID}, nil
}
