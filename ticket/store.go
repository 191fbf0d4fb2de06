package ticket

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
)

// Store keeps one portal's data. It is the driver interface that hosts can
// implement; package storetest proves an implementation.
//
// Each method is one atomic unit and safe for concurrent use. A store holds no
// rule of the business: it checks the preconditions of [Changes] and keeps what
// it is given. It returns what it keeps as copies that the caller owns, and
// keeps no reference to what it was given. Times are UTC, kept to the
// microsecond. Text is valid UTF-8; byte slices hold any bytes. Ids, and what else
// is looked up by name, have at most 1000 bytes, names of counters 2000. It uses
// no clock of its own.
//
// Errors: [ErrConflict], [ErrLimit] and [ErrNotFound] as documented, the
// context's error when it ended before the commit, and anything else for a
// store that is in trouble, which the engine takes as temporary.
type Store interface {
	// Snapshot reads all that is wanted at one point in time. What does not
	// exist is absent from the result, without an error.
	Snapshot(ctx context.Context, w Want) (*Snapshot, error)

	// Commit writes all of c durably, or nothing. See [Changes] for the
	// preconditions. On success it has set in c: the Revision of what was
	// written, Number of new tickets, Cursor of events.
	Commit(ctx context.Context, c *Changes) error

	// Claim leases due work of a lane: not parked, NotBefore and LeaseUntil
	// both at or before Now; ordered by NotBefore, then ID. It sets Owner and
	// LeaseUntil, adds one to Attempts and to Revision, durably, and returns
	// the work as it now is. No two claims return the same work until the
	// lease has expired. next is when more work of the lane may become due:
	// the least time at which any that this call did not return, and that is
	// not parked, is past both NotBefore and LeaseUntil; zero if there is none.
	Claim(ctx context.Context, c Claim) (claimed []*Work, next time.Time, err error)

	// Lease takes, or renews, a named lease for owner until the given time.
	// It reports false while another owner's lease lasts beyond now. An until
	// at or before now gives the owner's lease up.
	Lease(ctx context.Context, name, owner string, now, until time.Time) (bool, error)

	// Events returns up to limit of the events that f selects, in the order of
	// their cursors or the other way round. An event is never returned before
	// all with smaller cursors can be.
	Events(ctx context.Context, f EventFilter, limit int) ([]*Event, error)

	// Tickets, Conversations, Messages, Items and Decisions list, a page at a
	// time. Deleted tickets are left out of Tickets.
	Tickets(ctx context.Context, f TicketFilter, p Page) ([]*Ticket, Next, error)
	Conversations(ctx context.Context, f ConversationFilter, p Page) ([]*Conversation, Next, error)
	Messages(ctx context.Context, f MessageFilter, p Page) ([]*Message, Next, error)
	Items(ctx context.Context, f ItemFilter, p Page) ([]*Item, Next, error)
	Decisions(ctx context.Context, f DecisionFilter, limit int) ([]*Decision, error)

	// Waiting lists what waits for an agent in a queue (WaitingSince is set),
	// longest waiting first, ties by id: tickets that are not deleted, and
	// conversations that have no ticket.
	Waiting(ctx context.Context, queue routing.QueueID, limit int) ([]Waiter, error)

	// Ledger counts items by channel, day, disposition and cause. Empty
	// arguments mean all.
	Ledger(ctx context.Context, ch channel.ID, day string) ([]LedgerRow, error)
}

// Backend is an opened database that holds the stores of any number of portals.
type Backend interface {
	// Portal returns the store of one portal, made when it is first written
	// to. No query crosses portals.
	Portal(name string) Store
	Close() error
}

// Errors of the store, and of the verbs of the Desk that pass them on.
var (
	// ErrConflict says that a precondition did not hold: a stale revision, a
	// key that is taken, work whose lease was lost. Read and decide again.
	ErrConflict = errors.New("ticket: conflict")
	// ErrNotHeld is the ErrConflict of a lease that another has by now.
	ErrNotHeld = fmt.Errorf("%w: the lease is another's", ErrConflict)
	// ErrLimit says that a bounded counter would have gone over its bound.
	ErrLimit = errors.New("ticket: limit reached")
	// ErrNotFound says that there is no such thing.
	ErrNotFound = errors.New("ticket: not found")
)

// TakenError is the ErrConflict of a [KeyClaim] whose key exists.
type TakenError struct {
	Key Key
	Ref Ref // what the key stands for
}

func (e *TakenError) Error() string {
	return fmt.Sprintf("ticket: key taken by %s %s", e.Ref.Kind, e.Ref.ID)
}

// Is reports whether target is ErrConflict.
func (e *TakenError) Is(target error) bool { return target == ErrConflict }

// Key is a unique key of a portal: the SHA-256 of its parts.
type Key [sha256.Size]byte

// NewKey returns the key of the given parts.
func NewKey(parts ...string) Key {
	h := sha256.New()
	var n [8]byte
	for _, p := range parts {
		binary.BigEndian.PutUint64(n[:], uint64(len(p)))
		h.Write(n[:])
		io.WriteString(h, p)
	}
	var k Key
	h.Sum(k[:0])
	return k
}

// RefKind says what a Ref points to.
type RefKind string

// Kinds of refs. A ref of another kind is kept and given back, not followed.
const (
	RefContact      RefKind = "contact"
	RefConversation RefKind = "conversation"
	RefTicket       RefKind = "ticket"
	RefMessage      RefKind = "message"
	RefItem         RefKind = "item"
)

// Ref points to something by kind and id.
type Ref struct {
	Kind RefKind
	ID   string
}

// KeyClaim makes Key stand for Ref.
type KeyClaim struct {
	Key Key
	Ref Ref
}

// RecordKind names a kind of configuration record.
type RecordKind string

// Record is a small document of configuration: a channel, an agent, a queue, a
// presence, a key ring. There are few of a kind.
type Record struct {
	Kind     RecordKind
	ID       string
	Doc      []byte // nil in Changes: delete it
	Revision int64
}

// RecordRef names a record.
type RecordRef struct {
	Kind RecordKind
	ID   string
}

// RecordRange asks for a page of the records of one kind, of which there may be
// many: those whose ids follow After, in the order of their bytes, the first
// Limit of them. Without a Kind it asks for nothing.
type RecordRange struct {
	Kind  RecordKind
	After string // an id, of which there need be no record; empty is the beginning
	Limit int
}

// StoredBody is small content kept in the store.
type StoredBody struct {
	ID   BodyID
	Data []byte
}

// Count adds to a counter. Counters start at 0 and never go below it.
type Count struct {
	Name string
	Add  int64
	// Max, if above 0, is a precondition: the result must not be above it.
	Max int64
	// Expires, if set, is when the store may forget the counter. A count on a
	// counter that has expired by Changes.At starts from 0.
	Expires time.Time
}

// Done removes work that is finished, if its revision is still the given one.
type Done struct {
	ID       WorkID
	Revision int64
}

// Hold names a lease and who must have it; see [Changes].Holds.
type Hold struct {
	Lease, Owner string
}

// Changes is one atomic write.
//
// Preconditions: an entity with Revision 0 must not exist; one with another
// Revision must exist with exactly that (else ErrConflict). It is kept with
// Revision+1. A claimed key must not exist (else *TakenError; several claims of
// one key in the same Changes conflict too). A Count must stay within its Max
// (else ErrLimit). Done work must have the given revision (else ErrConflict).
// Bodies, Events and Decisions are only added. What is dropped need not exist.
type Changes struct {
	At time.Time // when it was decided; events carry their own

	// Holds are leases under which this was decided: each must still be its
	// owner's, taken by it and since then neither given up nor taken by another
	// (else ErrNotHeld). One that has run out and that nobody took is fine. A
	// lease of Holds is not given to another while the commit is under way.
	Holds []Hold

	Claims   []KeyClaim
	Releases []Key   // keys to remove, before Claims; absent ones are fine
	Counts   []Count // in order

	Contacts      []*Contact
	Conversations []*Conversation
	Tickets       []*Ticket
	Messages      []*Message
	Items         []*Item
	Works         []*Work
	Done          []Done
	Records       []*Record

	Bodies     []StoredBody
	DropBodies []BodyID
	Events     []*Event
	Decisions  []*Decision
	// DropDecisions are the ids of decisions to remove, before Decisions.
	DropDecisions []string
}

// Want says what to read. See [Store].Snapshot.
type Want struct {
	Keys          []Key
	Contacts      []ContactID
	Conversations []ConversationID
	Tickets       []TicketID
	Messages      []MessageID
	Items         []ItemID
	Works         []WorkID
	Records       []RecordRef
	Kinds         []RecordKind // all records of these kinds
	Range         RecordRange  // some records of one kind
	Counters      []string
	Bodies        []BodyID
	// Now decides which counters have expired.
	Now time.Time
	// Follow also reads what the found keys stand for; and of each message
	// read its conversation; of each conversation its ticket and contact; of
	// each ticket its primary conversation.
	Follow bool
}

// Snapshot is what was found. Maps are never nil; absent things are absent.
type Snapshot struct {
	Refs          map[Key]Ref
	Contacts      map[ContactID]*Contact
	Conversations map[ConversationID]*Conversation
	Tickets       map[TicketID]*Ticket
	Messages      map[MessageID]*Message
	Items         map[ItemID]*Item
	Works         map[WorkID]*Work
	Records       map[RecordRef]*Record
	Counters      map[string]int64 // absent means 0
	Bodies        map[BodyID][]byte
}

// NewSnapshot returns a snapshot with empty maps, for stores to fill.
func NewSnapshot() *Snapshot {
	return &Snapshot{
		Refs:          map[Key]Ref{},
		Contacts:      map[ContactID]*Contact{},
		Conversations: map[ConversationID]*Conversation{},
		Tickets:       map[TicketID]*Ticket{},
		Messages:      map[MessageID]*Message{},
		Items:         map[ItemID]*Item{},
		Works:         map[WorkID]*Work{},
		Records:       map[RecordRef]*Record{},
		Counters:      map[string]int64{},
		Bodies:        map[BodyID][]byte{},
	}
}

// Claim asks for due work.
type Claim struct {
	Lane  string
	Owner string
	Now   time.Time
	Until time.Time // the lease's end
	Limit int
}

// Page asks for a part of a list.
type Page struct {
	// Limit is how many at the most; 0 means 50, and it is capped at 500.
	Limit int
	// After is the Next of the page before; empty means the first page.
	After Next
}

// Size returns the limit with its default and cap applied.
func (p Page) Size() int {
	switch {
	case p.Limit <= 0:
		return 50
	case p.Limit > 500:
		return 500
	}
	return p.Limit
}

// Next names the place after a page; empty means that there is no more. It is
// a keyset cursor: entries inserted meanwhile neither repeat nor hide others.
// A page of a search may be shorter than its limit, even empty, and yet have a
// Next: a store need not look through everything at once for words that are in
// many messages, of which few belong to tickets that the filter selects. So what
// says that there is no more is an empty Next and not a short page. Each Next is
// further down the list: who goes on comes to its end.
// A store returns an error wrapping [ErrBadCursor] for one it cannot read.
type Next string

// ErrBadCursor says that a page's cursor was not made by this list.
var ErrBadCursor = errors.New("ticket: bad cursor")

// Order of tickets and conversations.
type Order string

// Orders. Ties are broken by id.
const (
	NewestFirst  Order = ""        // by id, which is by creation
	LatestUpdate Order = "updated" // by UpdatedAt, latest first, the larger id first
)

// TicketFilter selects tickets; zero fields do not restrict.
type TicketFilter struct {
	Queue      routing.QueueID
	Statuses   []Status
	Assignee   routing.AgentID
	Unassigned bool
	Channel    channel.ID
	Contact    ContactID
	// Terms are folded words (see [Fold]); each must begin a word of the
	// Search text of one and the same message of the ticket. A store may bound
	// how many words a term stands for that begins very many, and says so.
	Terms  []string
	Number int64
	Order  Order
}

// ConversationFilter selects conversations; zero fields do not restrict.
type ConversationFilter struct {
	Queue         routing.QueueID
	Assignee      routing.AgentID
	Unassigned    bool
	Channel       channel.ID
	Contact       ContactID
	Ticket        TicketID
	WithoutTicket bool
	Order         Order
}

// MessageFilter selects the messages of a ticket or of a conversation, oldest
// first (by id), or newest first.
type MessageFilter struct {
	Ticket       TicketID
	Conversation ConversationID
	NewestFirst  bool
}

// ItemFilter selects items, newest first; zero fields do not restrict.
type ItemFilter struct {
	Channel     channel.ID
	Disposition Disposition
	Message     MessageID
}

// EventFilter selects events; the zero filter means all, from the first.
type EventFilter struct {
	// After is a cursor: only events above it, ascending.
	After int64
	// Ticket restricts to the events whose Ticket it is. They are found without
	// reading the others.
	Ticket TicketID
	// Newest turns the order round: the last event first. After is then ignored.
	Newest bool
}

// DecisionFilter selects decisions, oldest first, by exactly one field.
type DecisionFilter struct {
	Ticket       TicketID
	Conversation ConversationID
	Message      MessageID
}

// Waiter is something that waits for an agent: a ticket, or a conversation.
type Waiter struct {
	Ticket       TicketID
	Conversation ConversationID // empty if Ticket is set
	Since        time.Time
}

// LedgerRow counts items.
type LedgerRow struct {
	Channel     channel.ID
	Day         string
	Disposition Disposition
	Cause       channel.Cause
	Count       int64
}

// Blobs keeps large content. Implementations are safe for concurrent use.
type Blobs interface {
	// Put stores what r yields under id, durably, or nothing.
	Put(ctx context.Context, id BodyID, r io.Reader) (size int64, err error)
	// Open returns ErrNotFound when there is none.
	Open(ctx context.Context, id BodyID) (io.ReadCloser, error)
	// Delete removes it; an absent one is fine.
	Delete(ctx context.Context, id BodyID) error
	// List calls f for each that is whole, until it returns false. at is when it
	// was put, at the end: however long that took.
	List(ctx context.Context, f func(id BodyID, size int64, at time.Time) bool) error
}
