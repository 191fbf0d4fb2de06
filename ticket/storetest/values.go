package storetest

import (
	"bytes"
	"reflect"
	"strings"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// filled is a commit of one entity of each kind with every field set, and what
// reads it.
func (k *kit) filled(seed int64) (*ticket.Changes, ticket.Want) {
	f := &filler{k: k, n: seed}
	c := &ticket.Changes{
		Contacts: []*ticket.Contact{{}}, Conversations: []*ticket.Conversation{{}}, Tickets: []*ticket.Ticket{{}},
		Messages: []*ticket.Message{{}}, Items: []*ticket.Item{{}}, Works: []*ticket.Work{{}},
		Records: []*ticket.Record{{}}, Events: []*ticket.Event{{}}, Decisions: []*ticket.Decision{{}},
	}
	f.fill(c.Contacts[0])
	f.fill(c.Conversations[0])
	f.fill(c.Tickets[0])
	f.fill(c.Messages[0])
	f.fill(c.Items[0])
	f.fill(c.Works[0])
	f.fill(c.Records[0])
	f.fill(c.Events[0])
	f.fill(c.Decisions[0])
	return c, wantOf(c)
}

func wantOf(c *ticket.Changes) ticket.Want {
	return ticket.Want{
		Contacts: []ticket.ContactID{c.Contacts[0].ID}, Conversations: []ticket.ConversationID{c.Conversations[0].ID},
		Tickets: []ticket.TicketID{c.Tickets[0].ID}, Messages: []ticket.MessageID{c.Messages[0].ID},
		Items: []ticket.ItemID{c.Items[0].ID}, Works: []ticket.WorkID{c.Works[0].ID},
		Records: []ticket.RecordRef{{Kind: c.Records[0].Kind, ID: c.Records[0].ID}},
	}
}

// kept compares what the store gives back with what was written.
func (k *kit) kept(c *ticket.Changes, w ticket.Want) {
	k.Helper()
	s := k.read(w)
	if m := s.Messages[c.Messages[0].ID]; m != nil {
		m.Search = c.Messages[0].Search // which need not come back
	}
	k.same("contact", s.Contacts[c.Contacts[0].ID], c.Contacts[0])
	k.same("conversation", s.Conversations[c.Conversations[0].ID], c.Conversations[0])
	k.same("ticket", s.Tickets[c.Tickets[0].ID], c.Tickets[0])
	k.same("message", s.Messages[c.Messages[0].ID], c.Messages[0])
	k.same("item", s.Items[c.Items[0].ID], c.Items[0])
	k.same("work", s.Works[c.Works[0].ID], c.Works[0])
	k.same("record", s.Records[w.Records[0]], c.Records[0])
	if len(c.Events) > 0 {
		events, err := k.s.Events(k.ctx, ticket.EventFilter{After: c.Events[0].Cursor - 1}, 1)
		k.ok(err, "Events")
		k.same("event", events, c.Events)
	}
	if len(c.Decisions) > 0 {
		decisions, err := k.s.Decisions(k.ctx, ticket.DecisionFilter{Ticket: c.Decisions[0].Ticket}, 10)
		k.ok(err, "Decisions")
		k.same("decision", decisions, c.Decisions)
	}
}

// atFirst sets the revisions of what was committed once.
func atFirst(c *ticket.Changes) {
	c.Contacts[0].Revision, c.Conversations[0].Revision, c.Tickets[0].Revision = 1, 1, 1
	c.Messages[0].Revision, c.Items[0].Revision, c.Works[0].Revision, c.Records[0].Revision = 1, 1, 1, 1
}

// foreign moves all times of v to a zone and adds what is to be cut.
func foreign(v reflect.Value, zone *time.Location) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			foreign(v.Elem(), zone)
		}
	case reflect.Slice:
		for i := range v.Len() {
			foreign(v.Index(i), zone)
		}
	case reflect.Struct:
		if t, ok := reflect.TypeAssert[time.Time](v); ok {
			if !t.IsZero() {
				v.Set(reflect.ValueOf(t.In(zone).Add(999)))
			}
			return
		}
		for _, field := range v.Fields() {
			foreign(field, zone)
		}
	}
}

func valueChecks() []check {
	return []check{
		{"every field is kept: U+0000 and astral text in strings, any bytes in byte slices, microseconds", func(k *kit) {
			c, w := k.filled(1)
			k.commit(c)
			k.kept(c, w)
		}},
		{"every field is changed by an update", func(k *kit) {
			first, w := k.filled(1)
			k.commit(first)
			c, _ := k.filled(100000)
			// The same entities with all else different.
			c.Contacts[0].ID, c.Contacts[0].Revision = first.Contacts[0].ID, 1
			c.Conversations[0].ID, c.Conversations[0].Revision = first.Conversations[0].ID, 1
			c.Tickets[0].ID, c.Tickets[0].Revision, c.Tickets[0].Number = first.Tickets[0].ID, 1, first.Tickets[0].Number
			c.Messages[0].ID, c.Messages[0].Revision = first.Messages[0].ID, 1
			c.Items[0].ID, c.Items[0].Revision = first.Items[0].ID, 1
			c.Works[0].ID, c.Works[0].Revision = first.Works[0].ID, 1
			c.Works[0].Handed, c.Works[0].Parked = false, false
			c.Records[0].ID, c.Records[0].Kind, c.Records[0].Revision = first.Records[0].ID, first.Records[0].Kind, 1
			k.commit(c)
			k.kept(c, w)
		}},
		{"empty fields stay empty", func(k *kit) {
			c, _ := k.filled(1)
			*c.Contacts[0] = ticket.Contact{ID: c.Contacts[0].ID}
			*c.Conversations[0] = ticket.Conversation{ID: c.Conversations[0].ID}
			*c.Tickets[0] = ticket.Ticket{ID: c.Tickets[0].ID}
			*c.Messages[0] = ticket.Message{ID: c.Messages[0].ID}
			*c.Items[0] = ticket.Item{ID: c.Items[0].ID}
			*c.Works[0] = ticket.Work{ID: c.Works[0].ID}
			*c.Records[0] = ticket.Record{Kind: "k", ID: "1", Doc: []byte{}}
			c.Decisions = nil
			*c.Events[0] = ticket.Event{ID: c.Events[0].ID}
			k.commit(c)
			k.kept(c, wantOf(c))
		}},
		{"every time is kept in UTC and cut to the microsecond", func(k *kit) {
			given, w := k.filled(1)
			c, _ := newKit(k.tb, k.b).filled(1)
			foreign(reflect.ValueOf(given), time.FixedZone("+07", 7*3600))
			k.commit(given)
			c.Events[0].Cursor, c.Tickets[0].Number = given.Events[0].Cursor, given.Tickets[0].Number
			atFirst(c)
			k.kept(c, w)
		}},
		{"times of long ago and of other zones are kept and compared", func(k *kit) {
			zone := time.FixedZone("+07", 7*3600)
			t := k.newTicket()
			t.CreatedAt = time.Date(2026, 3, 1, 3, 4, 5, 123456789, zone)
			t.UpdatedAt = time.Date(1969, 12, 31, 23, 59, 59, 999999999, time.UTC)
			t.WaitingSince = time.Date(2200, 1, 1, 0, 0, 0, 1999, zone)
			t.Queue = "q"
			k.commit(&ticket.Changes{Tickets: []*ticket.Ticket{t}})
			got := k.read(ticket.Want{Tickets: []ticket.TicketID{t.ID}}).Tickets[t.ID]
			k.same("created", got.CreatedAt, time.Date(2026, 2, 28, 20, 4, 5, 123456000, time.UTC))
			k.same("updated", got.UpdatedAt, time.Date(1969, 12, 31, 23, 59, 59, 999999000, time.UTC))
			waiting, err := k.s.Waiting(k.ctx, "q", 1)
			k.ok(err, "Waiting")
			k.same("waiting", waiting, []ticket.Waiter{{Ticket: t.ID, Since: time.Date(2199, 12, 31, 17, 0, 0, 1000, time.UTC)}})
			w := k.newWork("l")
			w.NotBefore = k.now.In(zone).Add(999)
			k.commit(&ticket.Changes{Works: []*ticket.Work{w}})
			works, _, err := k.s.Claim(k.ctx, ticket.Claim{Lane: "l", Owner: "a", Now: k.now.In(zone), Until: k.now.In(zone).Add(1999), Limit: 1})
			k.ok(err, "Claim")
			k.must(len(works) == 1, "work is not due within its microsecond")
			k.same("not before", works[0].NotBefore, k.now)
			k.same("lease", works[0].LeaseUntil, k.now.Add(time.Microsecond))
		}},
		{"names of a thousand bytes are kept and told apart, those of counters of two thousand", longNames},
		{"huge texts are kept", func(k *kit) {
			m, body := k.newMessage("", ""), ticket.BodyID(k.id())
			line := "Xin chào, \x00 \U0001F600 <p>dòng</p>\r\n"
			m.Text = strings.Repeat(line, 5<<20/len(line))
			m.HTML = m.Text
			m.Search = strings.Repeat("xin chao dong ", 5<<20/14)
			data := bytes.Repeat([]byte{0, 1, 2, 0xff}, 5<<18)
			k.commit(&ticket.Changes{Messages: []*ticket.Message{m}, Bodies: []ticket.StoredBody{{ID: body, Data: data}}})
			s := k.read(ticket.Want{Messages: []ticket.MessageID{m.ID}, Bodies: []ticket.BodyID{body}})
			got := s.Messages[m.ID]
			k.must(got != nil && got.Text == m.Text && got.HTML == m.HTML, "the text is another one")
			k.must(bytes.Equal(s.Bodies[body], data), "the body is another one")
		}},
	}
}

// scramble changes all that can be reached from v by reference.
func scramble(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() {
			scramble(v.Elem())
		}
	case reflect.Slice:
		for i := range v.Len() {
			scramble(v.Index(i))
		}
	case reflect.Map:
		for _, key := range v.MapKeys() {
			v.SetMapIndex(key, reflect.ValueOf("scrambled").Convert(v.Type().Elem()))
		}
	case reflect.Struct:
		if v.Type() == reflect.TypeFor[time.Time]() {
			v.Set(reflect.ValueOf(time.Unix(1, 0)))
			return
		}
		for _, field := range v.Fields() {
			scramble(field)
		}
	case reflect.String:
		v.SetString("scrambled")
	case reflect.Uint8:
		v.SetUint(v.Uint() ^ 0x55)
	case reflect.Bool:
		v.SetBool(!v.Bool())
	case reflect.Int, reflect.Int64:
		v.SetInt(v.Int() + 77)
	}
}

func copyChecks() []check {
	return []check{
		{"what is given to the store is copied", func(k *kit) {
			given, w := k.filled(1)
			body := ticket.BodyID(k.id())
			data := []byte("data")
			given.Bodies = []ticket.StoredBody{{ID: body, Data: data}}
			k.commit(given)
			same, _ := newKit(k.tb, k.b).filled(1) // the same values once more
			same.Events[0].Cursor, same.Tickets[0].Number = given.Events[0].Cursor, given.Tickets[0].Number
			atFirst(same)
			copy(data, "DATA")
			scramble(reflect.ValueOf(given))
			k.kept(same, w)
			got := k.read(ticket.Want{Bodies: []ticket.BodyID{body}}).Bodies[body]
			k.same("body", string(got), "data")
		}},
		{"returned values are copies", returnedCopies},
	}
}

// returnedCopies scrambles what each method returns, and calls it again.
func returnedCopies(k *kit) {
	c, w := k.filled(1)
	body := ticket.BodyID(k.id())
	c.Bodies = []ticket.StoredBody{{ID: body, Data: []byte("data")}}
	c.Tickets[0].DeletedAt = time.Time{}
	c.Tickets[0].Queue, c.Works[0].Lane, c.Works[0].Parked = "q", "l", false
	c.Works[0].NotBefore, c.Works[0].LeaseUntil = k.now, time.Time{}
	k.commit(c)
	w.Bodies = []ticket.BodyID{body}
	for name, call := range map[string]func() (any, error){
		"Snapshot": func() (any, error) {
			s, err := k.s.Snapshot(k.ctx, w)
			if err != nil {
				return nil, err
			}
			// Without the maps, whose pointers scramble does not follow.
			return []any{s.Contacts[w.Contacts[0]], s.Conversations[w.Conversations[0]], s.Tickets[w.Tickets[0]],
				s.Messages[w.Messages[0]], s.Items[w.Items[0]], s.Works[w.Works[0]], s.Records[w.Records[0]], s.Bodies[body]}, nil
		},
		"Tickets": func() (any, error) {
			v, _, err := k.s.Tickets(k.ctx, ticket.TicketFilter{}, ticket.Page{})
			return v, err
		},
		"Conversations": func() (any, error) {
			v, _, err := k.s.Conversations(k.ctx, ticket.ConversationFilter{}, ticket.Page{})
			return v, err
		},
		"Messages": func() (any, error) {
			v, _, err := k.s.Messages(k.ctx, ticket.MessageFilter{Ticket: c.Messages[0].Ticket}, ticket.Page{})
			return v, err
		},
		"Items":  func() (any, error) { v, _, err := k.s.Items(k.ctx, ticket.ItemFilter{}, ticket.Page{}); return v, err },
		"Events": func() (any, error) { return k.s.Events(k.ctx, ticket.EventFilter{}, 10) },
		"Events of a ticket": func() (any, error) {
			return k.s.Events(k.ctx, ticket.EventFilter{Ticket: c.Events[0].Ticket, Newest: true}, 10)
		},
		"Decisions": func() (any, error) {
			return k.s.Decisions(k.ctx, ticket.DecisionFilter{Ticket: c.Decisions[0].Ticket}, 10)
		},
		"Waiting": func() (any, error) { return k.s.Waiting(k.ctx, "q", 10) },
		"Ledger":  func() (any, error) { return k.s.Ledger(k.ctx, "", "") },
	} {
		first, err := call()
		k.ok(err, name)
		before := dump(first)
		if list, ok := first.([]any); ok {
			for _, v := range list {
				scramble(reflect.ValueOf(v))
			}
		} else {
			scramble(reflect.ValueOf(first))
		}
		k.must(dump(first) != before, "%s: nothing to scramble in %s", name, before)
		second, err := call()
		k.ok(err, name)
		k.must(dump(second) == before, "%s: changed by its caller:\n got %.4000s\nwant %.4000s", name, dump(second), before)
	}
	claimed, _ := k.claim("a", 0, 1)
	k.must(len(claimed) == 1, "claimed %d", len(claimed))
	before := *claimed[0]
	scramble(reflect.ValueOf(claimed))
	k.same("work", k.read(w).Works[before.ID], &before)
}
