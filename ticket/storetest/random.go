package storetest

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"reflect"
	"time"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

func randomChecks() []check {
	return []check{
		{"random operations do what they do in memstore", func(k *kit) {
			for seed := range uint64(4) {
				m := &model{kit: k.in(fmt.Sprintf("random %d", seed)), rnd: rand.New(rand.NewPCG(seed, 7))}
				m.mem = *m.kit
				m.mem.s = memstore.New().Portal("model")
				for step := range 120 {
					m.at = fmt.Sprintf("seed %d, step %d", seed, step)
					m.step()
				}
				m.compareLists()
			}
		}},
	}
}

// model runs the same operations on a store and on one in memory.
type model struct {
	*kit
	mem kit
	rnd *rand.Rand
	at  string

	contacts      []ticket.ContactID
	conversations []ticket.ConversationID
	tickets       []ticket.TicketID
	messages      []ticket.MessageID
	items         []ticket.ItemID
	works         []ticket.WorkID
	bodies        []ticket.BodyID
}

func (m *model) some(n int) bool { return m.rnd.IntN(n) == 0 }

func pick[T any](m *model, list []T) T { return list[m.rnd.IntN(len(list))] }

func (m *model) key() ticket.Key { return ticket.NewKey("random", fmt.Sprint(m.rnd.IntN(25))) }

func (m *model) counter() string { return []string{"a", "b", "c"}[m.rnd.IntN(3)] }

// sometime is a time about the kit's.
func (m *model) sometime() time.Time {
	return m.after(time.Duration(m.rnd.IntN(20)-5) * time.Second)
}

func (m *model) queue() ticketQueue { return []ticketQueue{"", "q1", "q2"}[m.rnd.IntN(3)] }

func (m *model) step() {
	m.now = m.after(time.Duration(m.rnd.IntN(1500)) * time.Millisecond)
	m.mem.now = m.now
	switch n := m.rnd.IntN(20); {
	case n < 12:
		m.randomCommit()
	case n < 15:
		c := ticket.Claim{Lane: []string{"", "l"}[m.rnd.IntN(2)], Owner: "o", Now: m.now, Until: m.after(4 * time.Second), Limit: m.rnd.IntN(4)}
		a, nextA, errA := m.s.Claim(m.ctx, c)
		b, nextB, errB := m.mem.s.Claim(m.ctx, c)
		m.agree("Claim", a, b, errA, errB)
		m.agree("Claim's next", nextA, nextB, nil, nil)
	case n < 16:
		name, owner, until := m.counter(), m.counter(), m.sometime()
		a, errA := m.s.Lease(m.ctx, name, owner, m.now, until)
		b, errB := m.mem.s.Lease(m.ctx, name, owner, m.now, until)
		m.agree("Lease", a, b, errA, errB)
	default:
		m.compareSnapshot()
	}
}

// agree compares two results. That both failed for a precondition is enough:
// which one is reported is the store's choice.
func (m *model) agree(what string, a, b any, errA, errB error) {
	m.Helper()
	refused := func(err error) bool { return errors.Is(err, ticket.ErrConflict) || errors.Is(err, ticket.ErrLimit) }
	if (errA == nil) != (errB == nil) || errA != nil && !refused(errA) {
		m.Fatalf("%s: %s: %v, in memstore %v", m.at, what, errA, errB)
	}
	if !reflect.DeepEqual(a, b) && !(empty(a) && empty(b)) {
		m.Fatalf("%s: %s:\n      got %s\n memstore %s", m.at, what, show(a), show(b))
	}
}

func empty(v any) bool {
	switch r := reflect.ValueOf(v); r.Kind() {
	case reflect.Slice, reflect.Map:
		return r.Len() == 0
	}
	return false
}

// randomCommit makes one commit with current revisions, mostly, and with some
// that are wrong.
func (m *model) randomCommit() {
	c := &ticket.Changes{At: m.now}
	s := m.mem.read(m.all())
	rev := func(r int64) int64 {
		if m.some(40) {
			return r + int64(m.rnd.IntN(3)) - 1
		}
		return r
	}
	if m.some(2) {
		c.Claims = append(c.Claims, ticket.KeyClaim{Key: m.key(), Ref: m.ref()})
	}
	if m.some(4) {
		c.Releases = append(c.Releases, m.key())
	}
	for m.some(3) {
		n := ticket.Count{Name: m.counter(), Add: int64(m.rnd.IntN(5) - 1), Max: int64(m.rnd.IntN(2) * 30)}
		if m.some(3) {
			n.Expires = m.sometime()
		}
		c.Counts = append(c.Counts, n)
	}
	if v := choose(m, &m.contacts, s.Contacts, m.newContact); v != nil {
		v.Revision, v.Name = rev(v.Revision), m.counter()
		c.Contacts = append(c.Contacts, v)
	}
	if v := choose(m, &m.conversations, s.Conversations, m.newConversation); v != nil {
		v.Revision, v.Queue, v.UpdatedAt = rev(v.Revision), m.queue(), m.sometime()
		v.WaitingSince = []time.Time{{}, m.sometime()}[m.rnd.IntN(2)]
		if v.Ticket = ""; len(m.tickets) > 0 && m.some(2) {
			v.Ticket = pick(m, m.tickets)
		}
		c.Conversations = append(c.Conversations, v)
	}
	if v := choose(m, &m.tickets, s.Tickets, m.newTicket); v != nil {
		v.Revision, v.Queue, v.UpdatedAt = rev(v.Revision), m.queue(), m.sometime()
		v.Status = []ticket.Status{ticket.Open, ticket.Pending, ticket.Closed}[m.rnd.IntN(3)]
		v.Assignee = []ticketAgent{"", "an"}[m.rnd.IntN(2)]
		v.WaitingSince = []time.Time{{}, m.sometime()}[m.rnd.IntN(2)]
		if len(m.conversations) > 0 {
			v.Conversation = pick(m, m.conversations)
		}
		if v.DeletedAt.IsZero() && m.some(12) {
			v.DeletedAt = m.now
		}
		c.Tickets = append(c.Tickets, v)
	}
	if v := choose(m, &m.messages, s.Messages, func() *ticket.Message { return m.newMessage("", "") }); v != nil {
		if v.Revision == 0 {
			v.Search = []string{"red apple", "green pear", "red pear tree"}[m.rnd.IntN(3)]
		} else if m.some(5) {
			v.RedactedAt, v.Search = m.now, ""
		}
		v.Revision = rev(v.Revision)
		if len(m.tickets) > 0 {
			v.Ticket = pick(m, m.tickets)
		}
		if len(m.conversations) > 0 {
			v.Conversation = pick(m, m.conversations)
		}
		c.Messages = append(c.Messages, v)
	}
	if v := choose(m, &m.items, s.Items, m.newItem); v != nil {
		v.Revision = rev(v.Revision)
		v.Disposition = []ticket.Disposition{ticket.DisposedMessage, ticket.DisposedIgnored, ticket.DisposedWaiting}[m.rnd.IntN(3)]
		c.Items = append(c.Items, v)
	}
	if v := choose(m, &m.works, s.Works, func() *ticket.Work { return m.newWork([]string{"", "l"}[m.rnd.IntN(2)]) }); v != nil {
		if v.Revision > 0 && m.some(2) {
			c.Done = append(c.Done, ticket.Done{ID: v.ID, Revision: rev(v.Revision)})
		} else {
			v.Revision, v.NotBefore, v.Parked = rev(v.Revision), m.sometime(), m.some(5)
			c.Works = append(c.Works, v)
		}
	}
	if m.some(4) {
		r := &ticket.Record{Kind: "k", ID: m.counter()}
		if old := s.Records[ticket.RecordRef{Kind: "k", ID: r.ID}]; old != nil {
			r.Revision = old.Revision
		}
		if r.Revision == 0 || m.some(2) {
			r.Doc = []byte(m.at)
		}
		r.Revision = rev(r.Revision)
		c.Records = append(c.Records, r)
	}
	if m.some(4) {
		m.bodies = append(m.bodies, ticket.BodyID(m.id()))
		c.Bodies = append(c.Bodies, ticket.StoredBody{ID: m.bodies[len(m.bodies)-1], Data: []byte(m.at)})
	} else if len(m.bodies) > 0 && m.some(4) {
		c.DropBodies = append(c.DropBodies, pick(m, m.bodies))
	}
	for m.some(2) {
		e := m.newEvent()
		if len(m.tickets) > 0 && m.some(2) {
			e.Ticket = pick(m, m.tickets)
		}
		c.Events = append(c.Events, e)
	}
	m.commitBoth(c)
}

// choose returns a new entity or one that exists, and sometimes nil.
func choose[K ~string, V any](m *model, ids *[]K, have map[K]*V, fresh func() *V) *V {
	switch m.rnd.IntN(3) {
	case 0:
		v := fresh()
		*ids = append(*ids, K(idOf(v)))
		return v
	case 1:
		if len(*ids) > 0 {
			return have[pick(m, *ids)] // nil if its insert failed, or if it is gone
		}
	}
	return nil
}

func idOf(v any) string {
	switch v := v.(type) {
	case *ticket.Contact:
		return string(v.ID)
	case *ticket.Conversation:
		return string(v.ID)
	case *ticket.Ticket:
		return string(v.ID)
	case *ticket.Message:
		return string(v.ID)
	case *ticket.Item:
		return string(v.ID)
	case *ticket.Work:
		return string(v.ID)
	}
	return ""
}

func (m *model) ref() ticket.Ref {
	if len(m.messages) > 0 && m.some(2) {
		return ticket.Ref{Kind: ticket.RefMessage, ID: string(pick(m, m.messages))}
	}
	return ticket.Ref{Kind: ticket.RefTicket, ID: m.id()}
}
