package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"strings"

	"github.com/anteroom/anteroom/ticket"
)

// all wants all that the model knows of.
func (m *model) all() ticket.Want {
	w := ticket.Want{
		Contacts: m.contacts, Conversations: m.conversations, Tickets: m.tickets, Messages: m.messages, Items: m.items,
		Works: m.works, Kinds: []ticket.RecordKind{"k"}, Counters: []string{"a", "b", "c"}, Bodies: m.bodies, Now: m.now,
	}
	for i := range 25 {
		w.Keys = append(w.Keys, ticket.NewKey("random", fmt.Sprint(i)))
	}
	return w
}

// commitBoth commits c here and in memory, and compares what came of it.
func (m *model) commitBoth(c *ticket.Changes) {
	m.Helper()
	mine := *c
	mine.Contacts, mine.Conversations, mine.Tickets = shallow(c.Contacts), shallow(c.Conversations), shallow(c.Tickets)
	mine.Messages, mine.Items, mine.Works = shallow(c.Messages), shallow(c.Items), shallow(c.Works)
	mine.Records, mine.Events = shallow(c.Records), shallow(c.Events)
	errA, errB := m.s.Commit(m.ctx, &mine), m.mem.s.Commit(m.ctx, c)
	m.agree("Commit", nil, nil, errA, errB)
	if !reflect.DeepEqual(&mine, c) {
		m.Fatalf("%s: Commit of %s set in its changes\n      got %s\n memstore %s", m.at, show(c), show(mine), show(c))
	}
}

func shallow[V any](list []*V) []*V {
	var out []*V
	for _, v := range list {
		c := *v
		out = append(out, &c)
	}
	return out
}

// compareSnapshot compares all that can be read by id, and by following.
func (m *model) compareSnapshot() {
	m.Helper()
	w := m.all()
	a, b := m.read(w), m.mem.read(w)
	for _, s := range []*ticket.Snapshot{a, b} {
		for _, v := range s.Messages {
			v.Search = ""
		}
		for name, n := range s.Counters {
			if n == 0 {
				delete(s.Counters, name)
			}
		}
	}
	va, vb := reflect.ValueOf(a).Elem(), reflect.ValueOf(b).Elem()
	for i := range va.NumField() {
		if !reflect.DeepEqual(va.Field(i).Interface(), vb.Field(i).Interface()) {
			m.Fatalf("%s: Snapshot.%s:\n      got %s\n memstore %s", m.at, va.Type().Field(i).Name,
				showMap(va.Field(i)), showMap(vb.Field(i)))
		}
	}
	w = ticket.Want{Keys: w.Keys, Follow: true, Now: m.now}
	a, b = m.read(w), m.mem.read(w)
	m.agree("followed messages", len(a.Messages), len(b.Messages), nil, nil)
	m.agree("followed conversations", a.Conversations, b.Conversations, nil, nil)
	m.agree("followed tickets", a.Tickets, b.Tickets, nil, nil)
}

func showMap(v reflect.Value) string {
	var s strings.Builder
	for _, k := range v.MapKeys() {
		s.WriteString(fmt.Sprintf("\n  %v: %s", k, show(v.MapIndex(k).Interface())))
	}
	return s.String()[:min(len(s.String()), 8000)]
}

// compareLists compares the lists.
func (m *model) compareLists() {
	m.Helper()
	m.compareSnapshot()
	for _, order := range []ticket.Order{ticket.NewestFirst, ticket.LatestUpdate} {
		for _, f := range []ticket.TicketFilter{
			{}, {Queue: "q1"}, {Statuses: []ticket.Status{ticket.Open}}, {Queue: "q2", Statuses: []ticket.Status{ticket.Open, ticket.Closed}},
			{Assignee: "an"}, {Unassigned: true, Queue: "q1"}, {Terms: []string{"red"}}, {Terms: []string{"pe", "re"}}, {Terms: []string{"apple"}, Queue: "q1"},
		} {
			f.Order = order
			m.agree("Tickets "+show(f), m.kit.tickets(f, 3), m.mem.tickets(f, 4), nil, nil)
		}
		for _, f := range []ticket.ConversationFilter{{}, {Queue: "q1"}, {WithoutTicket: true}, {Unassigned: true, Queue: "q2"}} {
			f.Order = order
			m.agree("Conversations "+show(f), m.kit.conversations(f, 3), m.mem.conversations(f, 4), nil, nil)
		}
	}
	for _, id := range m.tickets {
		f := ticket.MessageFilter{Ticket: id}
		m.agree("Messages", m.kit.messages(f, 3), m.mem.messages(f, 4), nil, nil)
	}
	for _, d := range []ticket.Disposition{"", ticket.DisposedIgnored} {
		f := ticket.ItemFilter{Disposition: d}
		m.agree("Items", m.kit.items(f, 3), m.mem.items(f, 4), nil, nil)
	}
	m.agree("Ledger", m.ledger("", ""), m.mem.ledger("", ""), nil, nil)
	for _, q := range []ticketQueue{"", "q1", "q2"} {
		a, errA := m.s.Waiting(m.ctx, q, 7)
		b, errB := m.mem.s.Waiting(m.ctx, q, 7)
		m.agree("Waiting", a, b, errors.Join(errA), errors.Join(errB))
	}
	filters := []ticket.EventFilter{{After: 3}, {Newest: true}}
	for _, id := range m.tickets {
		filters = append(filters, ticket.EventFilter{Ticket: id, After: 3}, ticket.EventFilter{Ticket: id, Newest: true})
	}
	for _, f := range filters {
		a, errA := m.s.Events(m.ctx, f, 1000)
		b, errB := m.mem.s.Events(m.ctx, f, 1000)
		m.agree("Events "+show(f), a, b, errA, errB)
	}
}
