package memstore

import (
	"sync"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

// portal is the store of one portal.
type portal struct {
	backend *Backend

	mu       sync.Mutex
	keys     map[ticket.Key]ticket.Ref
	counters map[string]counter
	counted  int // counts since expired counters were last looked for
	records  map[ticket.RecordKind]map[string]*ticket.Record
	bodies   map[ticket.BodyID][]byte
	events   []*ticket.Event // of cursor i+1
	eventsOf map[ticket.TicketID][]*ticket.Event
	leases   map[string]lease
	ledger   map[ledgerKey]int64
	number   int64 // the last ticket's
	byNumber map[int64]ticket.TicketID
	lanes    map[string][]*ticket.Work // by NotBefore and ID

	contacts      *table[ticket.ContactID, ticket.Contact]
	conversations *table[ticket.ConversationID, ticket.Conversation]
	tickets       *table[ticket.TicketID, ticket.Ticket]
	messages      *table[ticket.MessageID, ticket.Message]
	items         *table[ticket.ItemID, ticket.Item]
	works         *table[ticket.WorkID, ticket.Work]
	decisions     *table[string, ticket.Decision]
}

type counter struct {
	value   int64
	expires time.Time
}

func (c counter) expired(at time.Time) bool { return !c.expires.IsZero() && !c.expires.After(at) }

type lease struct {
	owner string
	until time.Time
}

type ledgerKey struct {
	channel     channel.ID
	day         string
	disposition ticket.Disposition
	cause       channel.Cause
}

func newPortal(b *Backend) *portal {
	return &portal{
		backend:  b,
		keys:     map[ticket.Key]ticket.Ref{},
		counters: map[string]counter{},
		records:  map[ticket.RecordKind]map[string]*ticket.Record{},
		bodies:   map[ticket.BodyID][]byte{},
		leases:   map[string]lease{},
		ledger:   map[ledgerKey]int64{},
		byNumber: map[int64]ticket.TicketID{},
		lanes:    map[string][]*ticket.Work{},
		eventsOf: map[ticket.TicketID][]*ticket.Event{},

		contacts:      newTable[ticket.ContactID](func(*ticket.Contact) (k [4]indexKey) { return k }),
		conversations: newTable[ticket.ConversationID](conversationKeys),
		tickets:       newTable[ticket.TicketID](ticketKeys),
		messages:      newTable[ticket.MessageID](messageKeys),
		items:         newTable[ticket.ItemID](itemKeys),
		works:         newTable[ticket.WorkID](func(*ticket.Work) (k [4]indexKey) { return k }),
		decisions:     newTable[string](decisionKeys),
	}
}

func key(field byte, value string) indexKey {
	if value == "" {
		return indexKey{}
	}
	return indexKey{field, value}
}

func conversationKeys(c *ticket.Conversation) [4]indexKey {
	k := [4]indexKey{key(byTicket, string(c.Ticket)), key(byContact, string(c.Contact)), key(byQueue, string(c.Queue))}
	if c.Ticket == "" && !c.WaitingSince.IsZero() {
		k[3] = indexKey{byWaiting, string(c.Queue)}
	}
	return k
}

func ticketKeys(t *ticket.Ticket) (k [4]indexKey) {
	if !t.DeletedAt.IsZero() {
		return k
	}
	k = [4]indexKey{key(byContact, string(t.Contact)), key(byQueue, string(t.Queue)), key(byAssignee, string(t.Assignee))}
	if !t.WaitingSince.IsZero() {
		k[3] = indexKey{byWaiting, string(t.Queue)}
	}
	return k
}

func messageKeys(m *ticket.Message) [4]indexKey {
	return [4]indexKey{key(byTicket, string(m.Ticket)), key(byConversation, string(m.Conversation))}
}

func itemKeys(i *ticket.Item) [4]indexKey {
	return [4]indexKey{key(byMessage, string(i.Message))}
}

func decisionKeys(d *ticket.Decision) [4]indexKey {
	return [4]indexKey{
		key(byTicket, string(d.Ticket)), key(byConversation, string(d.Conversation)), key(byMessage, string(d.Message)),
	}
}
