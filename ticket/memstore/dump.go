package memstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"slices"
	"strconv"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

var _ ticket.Dumper = (*portal)(nil)

// Dump reads a page of a table.
func (p *portal) Dump(ctx context.Context, t ticket.Table, pg ticket.Page) (*ticket.Changes, ticket.Next, error) {
	if err := p.backend.begin(ctx, "dump"); err != nil {
		return nil, "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	after, continued, err := driver.ParsePlace(pg.After, "dump."+string(t))
	if err != nil {
		return nil, "", fmt.Errorf("memstore: %w", err)
	}
	c := &ticket.Changes{}
	names, add, err := p.dump(t, c)
	if err != nil {
		return nil, "", err
	}
	start := 0
	if continued {
		at, found := slices.BinarySearchFunc(names, after.ID, cmp.Compare[string])
		if start = at; found {
			start++
		}
	}
	end := min(start+pg.Size(), len(names))
	for _, name := range names[start:end] {
		add(name)
	}
	if end == len(names) {
		return c, "", nil
	}
	return c, driver.Place{List: "dump." + string(t), ID: names[end-1]}.Next(), nil
}

// dump returns the names of the rows of a table, in order, and what adds one to c.
func (p *portal) dump(t ticket.Table, c *ticket.Changes) (names []string, add func(name string), err error) {
	switch t {
	case ticket.TableRecords:
		byName := map[string]*ticket.Record{}
		for _, kind := range p.records {
			for _, r := range kind {
				byName[string(r.Kind)+" "+r.ID] = r
			}
		}
		return sorted(byName), func(n string) { c.Records = append(c.Records, cloneRecord(byName[n])) }, nil
	case ticket.TableContacts:
		return rows(p.contacts, cloneContact, &c.Contacts)
	case ticket.TableConversations:
		return rows(p.conversations, cloneConversation, &c.Conversations)
	case ticket.TableTickets:
		for n := int64(1); n <= p.number; n++ {
			names = append(names, ordered(n))
		}
		return names, func(n string) {
			number, _ := strconv.ParseInt(n, 10, 64) // ours
			c.Tickets = append(c.Tickets, cloneTicket(p.tickets.rows[p.byNumber[number]]))
		}, nil
	case ticket.TableMessages:
		return rows(p.messages, messageOut, &c.Messages)
	case ticket.TableItems:
		return rows(p.items, cloneItem, &c.Items)
	case ticket.TableDecisions:
		return rows(p.decisions, cloneDecision, &c.Decisions)
	case ticket.TableWorks:
		return rows(p.works, cloneWork, &c.Works)
	case ticket.TableBodies:
		return sorted(p.bodies), func(n string) {
			c.Bodies = append(c.Bodies, ticket.StoredBody{ID: ticket.BodyID(n), Data: bytes.Clone(p.bodies[ticket.BodyID(n)])})
		}, nil
	case ticket.TableCounters:
		return sorted(p.counters), func(n string) {
			v := p.counters[n]
			c.Counts = append(c.Counts, ticket.Count{Name: n, Add: v.value, Expires: v.expires})
		}, nil
	case ticket.TableKeys:
		byName := make(map[string]ticket.KeyClaim, len(p.keys))
		for k, ref := range p.keys {
			byName[hex.EncodeToString(k[:])] = ticket.KeyClaim{Key: k, Ref: ref}
		}
		return sorted(byName), func(n string) { c.Claims = append(c.Claims, byName[n]) }, nil
	case ticket.TableEvents:
		for _, e := range p.events {
			names = append(names, ordered(e.Cursor))
		}
		return names, func(n string) {
			cursor, _ := strconv.ParseInt(n, 10, 64) // ours
			c.Events = append(c.Events, cloneEvent(p.events[cursor-1]))
		}, nil
	}
	return nil, nil, fmt.Errorf("memstore: dump: no table %q", t)
}

func rows[K ~string, V any](t *table[K, V], clone func(*V) *V, to *[]*V) (names []string, add func(string), err error) {
	names = make([]string, len(t.order))
	for i, id := range t.order {
		names[i] = string(id)
	}
	return names, func(n string) { *to = append(*to, clone(t.rows[K(n)])) }, nil
}

func sorted[K ~string, V any](m map[K]V) (names []string) {
	for k := range maps.Keys(m) {
		names = append(names, string(k))
	}
	slices.Sort(names)
	return names
}

// ordered returns n so that its order is that of strings.
func ordered(n int64) string { return fmt.Sprintf("%019d", n) }
