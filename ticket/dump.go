package ticket

import "context"

// Table names one of the things of which a store keeps many; see [Dumper].
type Table string

// The tables of a store.
const (
	TableRecords       Table = "records"
	TableContacts      Table = "contacts"
	TableConversations Table = "conversations"
	TableTickets       Table = "tickets"
	TableBodies        Table = "bodies"
	TableMessages      Table = "messages"
	TableItems         Table = "items"
	TableDecisions     Table = "decisions"
	TableWorks         Table = "works"
	TableKeys          Table = "keys"
	TableCounters      Table = "counters"
	TableEvents        Table = "events"
)

// Dumper is an ability of a [Store]: to be read whole, which [Export] and
// [Desk.Erase] need.
type Dumper interface {
	// Dump reads a page of one table, as the Changes that would write it: keys
	// as Claims, counters as Counts whose Add is the value and whose Expires is
	// when it may be forgotten, everything else in the field of its name, with
	// the revisions, numbers and cursors that it has. What is redacted, deleted,
	// parked or expired is there too; leases, the ledger and the text that
	// messages are found by are not. Tickets come in the order of their numbers, events of their
	// cursors, all else in an order of the store's own, each once if nothing is
	// written meanwhile. A page may be shorter than its limit and have a Next.
	//
	// Errors: ErrBadCursor, as for lists; one for a table that is unknown.
	Dump(ctx context.Context, t Table, p Page) (*Changes, Next, error)
}
