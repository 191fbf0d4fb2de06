package sqlitestore

import (
	"context"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

var _ ticket.Dumper = (*portal)(nil)

// dumping is how a page of a table is read: the columns, in whose order the rows
// come that are after the place, and what adds a row and returns its place.
type dumping struct {
	columns, from, after, order string
	place                       func(driver.Place) ([]any, error) // the arguments of after
	add                         func(scan func(...any) error) (driver.Place, error)
}

// Dump reads a page of a table.
func (p *portal) Dump(ctx context.Context, t ticket.Table, pg ticket.Page) (c *ticket.Changes, next ticket.Next, err error) {
	list := "dump." + string(t)
	after, continued, err := driver.ParsePlace(pg.After, list)
	if err != nil {
		return nil, "", wrap("dump", err)
	}
	c = &ticket.Changes{}
	if t == ticket.TableEvents {
		c.Events, err = p.Events(ctx, ticket.EventFilter{After: after.At}, pg.Size()+1)
		if n := pg.Size(); len(c.Events) > n {
			c.Events = c.Events[:n]
			next = driver.Place{List: list, At: c.Events[n-1].Cursor}.Next()
		}
		return c, next, err
	}
	d, ok := dumpings(c)[t]
	if !ok {
		return nil, "", fmt.Errorf("sqlitestore: dump: no table %q", t)
	}
	text := "SELECT " + d.columns + " FROM " + d.from + " WHERE portal = ?"
	var place []any
	if continued {
		if place, err = d.place(after); err != nil {
			return nil, "", wrap("dump", err)
		}
		text += " AND " + d.after
	}
	text += " ORDER BY " + d.order + " LIMIT ?"
	err = p.view(ctx, "dump", func(conn *conn, id int64) error {
		n, last := 0, driver.Place{}
		args := append(append([]any{id}, place...), pg.Size()+1)
		return conn.each(ctx, text, args, func(scan func(...any) error) error {
			if n++; n > pg.Size() {
				next = last.Next()
				return nil
			}
			at, err := d.add(scan)
			last = driver.Place{List: list, At: at.At, ID: at.ID}
			return err
		})
	})
	if err != nil {
		return nil, "", err
	}
	return c, next, nil
}

func placeID(p driver.Place) ([]any, error) { return []any{p.ID}, nil }

func placeAt(p driver.Place) ([]any, error) { return []any{p.At}, nil }

// byID is the dumping of a table that is read in the order of its ids.
func byID(table, columns string, add func(scan func(...any) error) (id string, err error)) dumping {
	return dumping{columns: columns, from: table, after: "id > ?", order: "id", place: placeID, add: func(scan func(...any) error) (driver.Place, error) {
		id, err := add(scan)
		return driver.Place{ID: id}, err
	}}
}

// docs is that of a table of entities whose other columns repeat the document.
func docs[V any](table string, to *[]*V, revision func(*V) *int64) dumping {
	row := scanDoc(revision)
	return byID(table, "id, 0, rev, doc", func(scan func(...any) error) (string, error) {
		v, at, err := row(scan)
		if err != nil {
			return "", fmt.Errorf("%s %s: %w", table, at.ID, err)
		}
		*to = append(*to, v)
		return at.ID, nil
	})
}

// dumpings are those of all tables. They add to c.
func dumpings(c *ticket.Changes) map[ticket.Table]dumping {
	return map[ticket.Table]dumping{
		ticket.TableContacts:      docs("contacts", &c.Contacts, func(v *ticket.Contact) *int64 { return &v.Revision }),
		ticket.TableConversations: docs("conversations", &c.Conversations, func(v *ticket.Conversation) *int64 { return &v.Revision }),
		ticket.TableMessages:      docs("messages", &c.Messages, func(v *ticket.Message) *int64 { return &v.Revision }),
		ticket.TableItems:         docs("items", &c.Items, func(v *ticket.Item) *int64 { return &v.Revision }),
		ticket.TableTickets: {columns: ticketColumns, from: "tickets", after: "number > ?", order: "number", place: placeAt,
			add: func(scan func(...any) error) (driver.Place, error) {
				v, _, err := scanTicket(scan)
				if err != nil {
					return driver.Place{}, err
				}
				c.Tickets = append(c.Tickets, v)
				return driver.Place{At: v.Number}, nil
			}},
		ticket.TableWorks: byID("works", workColumns, func(scan func(...any) error) (string, error) {
			v, err := scanWork(scan)
			if err != nil {
				return "", err
			}
			c.Works = append(c.Works, v)
			return string(v.ID), nil
		}),
		ticket.TableDecisions: byID("decisions", "id, doc", func(scan func(...any) error) (id string, err error) {
			var doc []byte
			if err := scan(&id, &doc); err != nil {
				return "", err
			}
			v, err := driver.Decode[ticket.Decision](doc)
			c.Decisions = append(c.Decisions, v)
			return id, err
		}),
		ticket.TableBodies: byID("bodies", "id, data", func(scan func(...any) error) (string, error) {
			b := ticket.StoredBody{Data: []byte{}}
			var data []byte
			err := scan(&b.ID, &data)
			b.Data = append(b.Data, data...)
			c.Bodies = append(c.Bodies, b)
			return string(b.ID), err
		}),
		ticket.TableKeys: {columns: "key, kind, ref", from: "keys", after: "key > ?", order: "key",
			place: func(p driver.Place) ([]any, error) {
				key, err := hex.DecodeString(p.ID)
				return []any{key}, err
			},
			add: func(scan func(...any) error) (driver.Place, error) {
				var key []byte
				var k ticket.KeyClaim
				if err := scan(&key, &k.Ref.Kind, &k.Ref.ID); err != nil {
					return driver.Place{}, err
				}
				copy(k.Key[:], key)
				c.Claims = append(c.Claims, k)
				return driver.Place{ID: hex.EncodeToString(key)}, nil
			}},
		ticket.TableCounters: {columns: "name, value, expires", from: "counters", after: "name > ?", order: "name", place: placeID,
			add: func(scan func(...any) error) (driver.Place, error) {
				var n ticket.Count
				var expires *int64
				if err := scan(&n.Name, &n.Add, &expires); err != nil {
					return driver.Place{}, err
				}
				if expires != nil {
					n.Expires = driver.FromMicros(*expires)
				}
				c.Counts = append(c.Counts, n)
				return driver.Place{ID: n.Name}, nil
			}},
		ticket.TableRecords: {columns: "kind, id, rev, doc", from: "records", after: "(kind, id) > (?, ?)", order: "kind, id",
			place: func(p driver.Place) ([]any, error) {
				kind, id, _ := strings.Cut(p.ID, "\x00")
				return []any{kind, id}, nil
			},
			add: func(scan func(...any) error) (driver.Place, error) {
				v := &ticket.Record{}
				if err := scan(&v.Kind, &v.ID, &v.Revision, &v.Doc); err != nil {
					return driver.Place{}, err
				}
				v.Doc = append([]byte{}, v.Doc...)
				c.Records = append(c.Records, v)
				return driver.Place{ID: string(v.Kind) + "\x00" + v.ID}, nil
			}},
	}
}
