package ticket

import (
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
)

// The ids are made by the engine: UUIDs of version 7 (RFC 9562), which sort by
// the time they were made. A caller treats them as opaque.
type (
	// ContactID is the id of a [Contact].
	ContactID string
	// ConversationID is the id of a [Conversation].
	ConversationID string
	// TicketID is the id of a [Ticket].
	TicketID string
	// MessageID is the id of a [Message].
	MessageID string
	// ItemID is the id of an [Item].
	ItemID string
	// WorkID is the id of a piece of [Work].
	WorkID string
	// BodyID is the id of stored content.
	BodyID string
)

// Identity is an address in a name space: ("mailto", "an@example.com").
type Identity struct {
	Scheme  string `json:"scheme"`
	Address string `json:"address"`
}

// Contact is a customer, over all channels.
type Contact struct {
	ID         ContactID  `json:"id"`
	Name       string     `json:"name,omitempty"`
	Identities []Identity `json:"identities,omitempty"`
	// MergedInto is the contact that this one became part of.
	MergedInto ContactID         `json:"merged_into,omitempty"`
	Fields     map[string]string `json:"fields,omitempty"`
	CreatedAt  time.Time         `json:"created_at"`
	UpdatedAt  time.Time         `json:"updated_at"`
	Revision   int64             `json:"-"`
}

// Address returns the contact's first address, or "".
func (c *Contact) Address() string {
	if c == nil || len(c.Identities) == 0 {
		return ""
	}
	return c.Identities[0].Address
}

// Participant is somebody in a conversation besides us.
type Participant struct {
	channel.Party
	// Unverified marks somebody who joined with an id of ours that they were
	// not sent. Answers do not go to them until an agent names them.
	Unverified bool `json:"unverified,omitempty"`
}

// Conversation is a lasting thread with a customer on one channel.
type Conversation struct {
	ID      ConversationID `json:"id"`
	Channel channel.ID     `json:"channel"`
	// Via is the hosted mailbox by which its mail came, if forwarded.
	Via      channel.ID `json:"via,omitempty"`
	Key      string     `json:"key,omitempty"`       // as the channel gave it
	ThreadID string     `json:"thread_id,omitempty"` // the provider's own
	Contact  ContactID  `json:"contact,omitempty"`
	Subject  string     `json:"subject,omitempty"`
	Context  string     `json:"context,omitempty"`
	Group    string     `json:"group,omitempty"` // see channel.Message

	Participants []Participant `json:"participants,omitempty"`
	// References are the external ids of its mails, oldest first: the first
	// one and the last twenty.
	References []string `json:"references,omitempty"`

	// Ticket is the ticket that its messages go to now. Empty: none was made,
	// and the conversation itself is queued and owned.
	Ticket TicketID `json:"ticket,omitempty"`
	Assignment
	// ClosedAt is set while there is nothing to do in a conversation that has
	// no ticket; see [Desk.CloseConversation].
	ClosedAt time.Time `json:"closed_at,omitzero"`

	MessageCount int `json:"message_count"`
	// LastIncoming is the customer's message that an answer answers: the last
	// that a person wrote.
	LastIncoming   MessageID `json:"last_incoming,omitempty"`
	LastCustomerAt time.Time `json:"last_customer_at,omitzero"`
	// Since is when its earliest message was written, and LastActAt when the
	// customer last did something in it (wrote, or reacted), both by the
	// network's account.
	Since     time.Time `json:"since,omitzero"`
	LastActAt time.Time `json:"last_act_at,omitzero"`
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Revision  int64     `json:"-"`
}

// Assignment says whose work something is.
type Assignment struct {
	Queue    routing.QueueID `json:"queue,omitempty"`
	Assignee routing.AgentID `json:"assignee,omitempty"`
	// Previous is who had it before.
	Previous routing.AgentID `json:"previous,omitempty"`
	// WaitingSince is set while it waits for an agent.
	WaitingSince time.Time `json:"waiting_since,omitzero"`
	// QueuedAt is when it began to wait in this queue: later than WaitingSince
	// after an overflow.
	QueuedAt time.Time `json:"queued_at,omitzero"`
}

// wait puts the work into a queue, to be given away.
func (a *Assignment) wait(q routing.QueueID, now time.Time) {
	a.Queue, a.QueuedAt = q, now
	if a.WaitingSince.IsZero() {
		a.WaitingSince = now
	}
}

// give gives the work to an agent, or with none takes it from the one it has.
func (a *Assignment) give(to routing.AgentID) {
	if a.Assignee != "" && a.Assignee != to {
		a.Previous = a.Assignee
	}
	a.Assignee, a.WaitingSince, a.QueuedAt = to, time.Time{}, time.Time{}
}

// Status of a ticket.
type Status string

// Statuses. Solved tickets are reopened when the customer writes again, closed
// ones are followed up by a new ticket (see [ReturnPolicy]).
const (
	Open    Status = "open"    // work for us
	Pending Status = "pending" // waits for the customer
	Solved  Status = "solved"
	Closed  Status = "closed"
)

// Active reports whether somebody still has to do something: Open or Pending.
func (s Status) Active() bool { return s == Open || s == Pending }

// Priority of a ticket.
type Priority string

// Priorities.
const (
	Low    Priority = "low"
	Normal Priority = "normal"
	High   Priority = "high"
	Urgent Priority = "urgent"
)

// Ticket is a piece of work on a conversation.
type Ticket struct {
	ID       TicketID          `json:"id"`
	Number   int64             `json:"number"` // given by the store, rising
	Subject  string            `json:"subject"`
	Status   Status            `json:"status"`
	Priority Priority          `json:"priority"`
	Tags     []string          `json:"tags,omitempty"`
	Fields   map[string]string `json:"fields,omitempty"`
	Assignment

	Channel channel.ID `json:"channel"`
	// Conversation is the primary one; Conversations are all, after merges.
	Conversation  ConversationID   `json:"conversation"`
	Conversations []ConversationID `json:"conversations,omitempty"`
	Contact       ContactID        `json:"contact,omitempty"`

	MergedInto TicketID `json:"merged_into,omitempty"`
	SplitFrom  TicketID `json:"split_from,omitempty"`
	FollowUpOf TicketID `json:"follow_up_of,omitempty"`

	// Imported says that it was made of what was imported, backfilled or
	// released: nobody is told of its assignment.
	Imported bool `json:"imported,omitempty"`

	MessageCount   int       `json:"message_count"`
	LastCustomerAt time.Time `json:"last_customer_at,omitzero"`
	FirstReplyAt   time.Time `json:"first_reply_at,omitzero"`
	CreatedAt      time.Time `json:"created_at"`
	UpdatedAt      time.Time `json:"updated_at"`
	SolvedAt       time.Time `json:"solved_at,omitzero"`
	ClosedAt       time.Time `json:"closed_at,omitzero"`
	// DeletedAt marks what is left of a deleted ticket: its id and number.
	DeletedAt time.Time `json:"deleted_at,omitzero"`
	Revision  int64     `json:"revision"`
}

// Direction of a message, seen from the portal.
type Direction string

// Directions.
const (
	In   Direction = "in"
	Out  Direction = "out"
	Note Direction = "note" // internal
)

// OutState is the state of a message. Incoming ones and notes are Received.
// See the package documentation for the machine.
type OutState string

// States of messages.
const (
	StateReceived  OutState = "received"
	StatePending   OutState = "pending" // in the undo window, scheduled, or waiting for a retry
	StateSending   OutState = "sending"
	StateSent      OutState = "sent" // the network took it
	StateDelivered OutState = "delivered"
	StateRead      OutState = "read"
	StateFailed    OutState = "failed"
	StateBounced   OutState = "bounced"
	StateUncertain OutState = "uncertain" // may have left; waits for a person
	StateCancelled OutState = "cancelled"
)

// Message is one message of a conversation.
type Message struct {
	ID           MessageID      `json:"id"`
	Conversation ConversationID `json:"conversation"`
	Ticket       TicketID       `json:"ticket,omitempty"`
	Channel      channel.ID     `json:"channel"`
	Via          channel.ID     `json:"via,omitempty"`
	Direction    Direction      `json:"direction"`

	Contact ContactID       `json:"contact,omitempty"` // who wrote, if a customer
	Agent   routing.AgentID `json:"agent,omitempty"`   // who wrote, if an agent

	From    channel.Party   `json:"from"`
	ReplyTo []channel.Party `json:"reply_to,omitempty"`
	To      []channel.Party `json:"to,omitempty"`
	Cc      []channel.Party `json:"cc,omitempty"`
	Bcc     []channel.Party `json:"bcc,omitempty"`

	Subject string `json:"subject,omitempty"`
	Text    string `json:"text,omitempty"`
	NewText string `json:"new_text,omitempty"` // empty means Text
	HTML    string `json:"html,omitempty"`     // as it came, not sanitised
	// Payload is that of the button or quick reply that the customer tapped, as
	// the host had set it; it comes from the customer's side all the same.
	Payload     string       `json:"payload,omitempty"`
	Attachments []Attachment `json:"attachments,omitempty"`

	Automatic channel.Automatic `json:"automatic,omitzero"`
	Quiet     string            `json:"quiet,omitempty"`
	Auth      channel.Auth      `json:"auth,omitzero"`
	Defects   []string          `json:"defects,omitempty"`
	Envelope  channel.Envelope  `json:"envelope,omitzero"`
	Raw       BodyRef           `json:"raw,omitzero"`
	Imported  bool              `json:"imported,omitempty"`
	// Unverified marks a message from an unverified participant.
	Unverified bool `json:"unverified,omitempty"`
	// Inferred says that Via was guessed from headers.
	Inferred bool `json:"inferred,omitempty"`

	// ExternalIDs are the network's ids of the message, the best first.
	ExternalIDs []string `json:"external_ids,omitempty"`
	ThreadID    string   `json:"thread_id,omitempty"`
	// Reactions are those of people to the message.
	Reactions []Reaction `json:"reactions,omitempty"`
	// Hidden says that the message is hidden from others on its network.
	Hidden bool `json:"hidden,omitempty"`
	// HiddenAt is when it was hidden or shown again last, by the network's account.
	HiddenAt time.Time `json:"hidden_at,omitzero"`
	// EditedAt is when it was last changed on the network, by its account.
	EditedAt time.Time `json:"edited_at,omitzero"`

	// What follows is set on outgoing messages.
	State       OutState             `json:"state"`
	StateDetail string               `json:"state_detail,omitempty"`
	Deliveries  []channel.Delivery   `json:"deliveries,omitempty"`
	Auto        channel.AutomaticOut `json:"auto,omitempty"`
	// Warnings are what its author was told when it was written.
	Warnings   []Warning         `json:"warnings,omitempty"`
	Signature  channel.Signature `json:"signature,omitzero"`
	References []string          `json:"references,omitempty"`
	Group      string            `json:"group,omitempty"`  // the conversation's
	How        channel.How       `json:"how,omitempty"`    // in which of the channel's ways it leaves
	System     bool              `json:"system,omitempty"` // leaves by Config.System
	Work       WorkID            `json:"work,omitempty"`   // its send, while there is one
	NotBefore  time.Time         `json:"not_before,omitzero"`
	Attempts   int               `json:"attempts,omitempty"`
	FirstTryAt time.Time         `json:"first_try_at,omitzero"`
	TriedAt    time.Time         `json:"tried_at,omitzero"` // when the last try began
	// Held is for how long, since the first try, it was due and nobody tried.
	Held   time.Duration `json:"held,omitempty"`
	SentAt time.Time     `json:"sent_at,omitzero"`

	// Search is the folded text to index; see [Fold]. Stores index it when the
	// message is inserted, when it is not empty, and when the message is
	// redacted (then it is empty); otherwise what was indexed stays. Blanks alone
	// take the place of what was indexed, too: nothing is then found. They need
	// not give it back.
	Search string `json:"-"`

	// RedactedAt and RedactedBy are what remains of a deleted content.
	RedactedAt time.Time `json:"redacted_at,omitzero"`
	RedactedBy string    `json:"redacted_by,omitempty"`

	At        time.Time `json:"at,omitzero"` // when it was written, by the source's account
	CreatedAt time.Time `json:"created_at"`
	UpdatedAt time.Time `json:"updated_at"`
	Revision  int64     `json:"-"`
}

// Reaction is what somebody thinks of a message.
type Reaction struct {
	By   string `json:"by,omitempty"` // an address
	Text string `json:"text"`         // "love"; empty when it was taken back
	At   int64  `json:"at,omitempty"` // Unix milliseconds, by the network's account
}

// Attachment is a file of a message. Its bytes are a window into the message's
// raw body, or a body of its own.
type Attachment struct {
	ID        string          `json:"id"`
	Name      string          `json:"name"`
	Type      string          `json:"type"`
	Size      int64           `json:"size"`
	Inline    bool            `json:"inline,omitempty"`
	ContentID string          `json:"content_id,omitempty"`
	Window    *channel.Window `json:"window,omitempty"`
	Body      BodyRef         `json:"body,omitzero"`
}

// BodyRef says where content is kept: in the store, or in Blobs when large.
type BodyRef struct {
	ID   BodyID `json:"id,omitempty"`
	Size int64  `json:"size,omitempty"`
	Blob bool   `json:"blob,omitempty"`
}

// IsZero reports whether there is no content.
func (b BodyRef) IsZero() bool { return b.ID == "" }

// Disposition is what became of an inbound item.
type Disposition string

// Dispositions. What was received is the sum of all but Duplicate.
const (
	DisposedMessage     Disposition = "message"
	DisposedApplied     Disposition = "applied" // to a message that exists
	DisposedIgnored     Disposition = "ignored"
	DisposedQuarantined Disposition = "quarantined"
	DisposedNotice      Disposition = "notice"
	DisposedWaiting     Disposition = "waiting" // committed raw, to be interpreted
	DisposedDuplicate   Disposition = "duplicate"
)

// Item is the record of one inbound item: what came, and what became of it.
type Item struct {
	ID          ItemID        `json:"id"`
	Channel     channel.ID    `json:"channel"`
	Via         channel.ID    `json:"via,omitempty"`
	Day         string        `json:"day"` // of ReceivedAt, UTC, 2006-01-02
	Disposition Disposition   `json:"disposition"`
	Cause       channel.Cause `json:"cause,omitempty"`
	Detail      string        `json:"detail,omitempty"`
	// Message is the message it became or was applied to.
	Message MessageID `json:"message,omitempty"`
	Raw     BodyRef   `json:"raw,omitzero"`
	// Held is the understood item of something quarantined, to release it.
	Held       []byte          `json:"held,omitempty"`
	Finding    channel.Finding `json:"finding,omitzero"` // of a notice
	Imported   bool            `json:"imported,omitempty"`
	ReceivedAt time.Time       `json:"received_at"`
	Revision   int64           `json:"-"`
}

// ActorKind says who did something.
type ActorKind string

// Kinds of actors.
const (
	ActorCustomer ActorKind = "customer"
	ActorAgent    ActorKind = "agent"
	ActorSystem   ActorKind = "system" // the engine
	ActorHost     ActorKind = "host"   // the program that embeds it
)

// Actor is who did something. The zero Actor is the host.
type Actor struct {
	Kind ActorKind `json:"kind"`
	ID   string    `json:"id,omitempty"`
}

// Agent returns the actor for an agent.
func Agent(id routing.AgentID) Actor { return Actor{Kind: ActorAgent, ID: string(id)} }

// EventType names what happened.
type EventType string

// Types of events. Data holds codes only, never content.
const (
	EventTicketCreated   EventType = "ticket.created"
	EventTicketUpdated   EventType = "ticket.updated" // data: what changed
	EventTicketReopened  EventType = "ticket.reopened"
	EventTicketDeleted   EventType = "ticket.deleted"
	EventAssigned        EventType = "ticket.assigned" // agent, data.reason
	EventQueued          EventType = "ticket.queued"   // waits in a queue, data.queue
	EventMessageReceived EventType = "message.received"
	EventMessageCreated  EventType = "message.created" // outgoing
	EventMessageState    EventType = "message.state"   // data.state
	EventMessageEdited   EventType = "message.edited"
	EventMessageRedacted EventType = "message.redacted"
	EventMessageReaction EventType = "message.reaction"
	EventMessageAction   EventType = "message.action" // data.verb
	EventMessageCopy     EventType = "message.copy"   // no copy could be kept: data.outcome, data.code
	// EventAddressUndeliverable and EventAddressDeliverable: mail to a recipient
	// of the message came back for good; an address was forgotten again, since
	// the message came from it, or since a person said so.
	EventAddressUndeliverable EventType = "address.undeliverable"
	EventAddressDeliverable   EventType = "address.deliverable"
	EventNoteAdded            EventType = "note.added"
	EventAutoReply            EventType = "auto_reply.decided" // data.outcome, data.reason
	EventConversation         EventType = "conversation.created"
	// EventConversationClosed and EventConversationReopened are of conversations
	// without a ticket.
	EventConversationClosed   EventType = "conversation.closed" // agent: who had it
	EventConversationReopened EventType = "conversation.reopened"
	EventChannelCreated       EventType = "channel.created"
	EventChannelUpdated       EventType = "channel.updated"
	EventChannelDeleted       EventType = "channel.deleted"
	EventChannelStatus        EventType = "channel.status"
	EventNotice               EventType = "channel.notice"
	EventItemReleased         EventType = "item.released"
	EventItemQuarantined      EventType = "item.quarantined"
	EventItemDiscarded        EventType = "item.discarded" // data: item, was, cause
	EventWorkParked           EventType = "work.parked"    // given up: data.kind, data.work
	EventWorkRetried          EventType = "work.retried"
	EventPresence             EventType = "agent.presence"
	EventAgentUpdated         EventType = "agent.updated"
	EventQueueUpdated         EventType = "queue.updated"
)

// Event is one entry of the portal's feed.
type Event struct {
	// Cursor is the place in the feed, given by the store: rising by commit,
	// without gaps. It starts at 1.
	Cursor       int64             `json:"cursor"`
	ID           string            `json:"id"`
	Type         EventType         `json:"type"`
	At           time.Time         `json:"at"`
	Actor        Actor             `json:"actor"`
	Ticket       TicketID          `json:"ticket,omitempty"`
	Conversation ConversationID    `json:"conversation,omitempty"`
	Message      MessageID         `json:"message,omitempty"`
	Agent        routing.AgentID   `json:"agent,omitempty"`
	Channel      channel.ID        `json:"channel,omitempty"`
	Data         map[string]string `json:"data,omitempty"`
}

// Step is one rule that was looked at in a decision.
type Step struct {
	Rule    string `json:"rule"`
	Outcome string `json:"outcome"`
	Detail  string `json:"detail,omitempty"`
}

// Decision is the trace of one decision of the engine.
type Decision struct {
	ID           string         `json:"id"`
	Kind         string         `json:"kind"` // "intake", "auto_reply", "assign", "notify", "send", "copy"
	Ticket       TicketID       `json:"ticket,omitempty"`
	Conversation ConversationID `json:"conversation,omitempty"`
	Message      MessageID      `json:"message,omitempty"`
	Outcome      string         `json:"outcome"`
	Steps        []Step         `json:"steps,omitempty"`
	At           time.Time      `json:"at"`
}

// WorkKind names a kind of later work.
type WorkKind string

// Kinds of work.
const (
	WorkSend      WorkKind = "send"       // send Message
	WorkAutoReply WorkKind = "auto_reply" // decide on an automatic reply to Message
	WorkAssign    WorkKind = "assign"     // give away what waits in Queue
	WorkNotify    WorkKind = "notify"     // tell Agent of Ticket
	WorkInterpret WorkKind = "interpret"  // interpret Item
	WorkCopy      WorkKind = "copy"       // keep a copy of Message, which was sent
)

// Work is something to be decided or done later, by one node at a time.
type Work struct {
	ID           WorkID          `json:"id"`
	Kind         WorkKind        `json:"kind"`
	Lane         string          `json:"lane"` // a channel's id, or interpret: and it, for what needs the network; else empty
	Channel      channel.ID      `json:"channel,omitempty"`
	Ticket       TicketID        `json:"ticket,omitempty"`
	Conversation ConversationID  `json:"conversation,omitempty"`
	Message      MessageID       `json:"message,omitempty"`
	Item         ItemID          `json:"item,omitempty"`
	Queue        routing.QueueID `json:"queue,omitempty"`
	Agent        routing.AgentID `json:"agent,omitempty"`

	NotBefore time.Time `json:"not_before"`
	Attempts  int       `json:"attempts"` // how often it was claimed
	LastError string    `json:"last_error,omitempty"`
	// Parked work was given up and waits for a person.
	Parked   bool      `json:"parked,omitempty"`
	ParkedAt time.Time `json:"parked_at,omitzero"`

	Owner      string    `json:"owner,omitempty"`
	LeaseUntil time.Time `json:"lease_until,omitzero"`
	// Handed says that the point of no return was reached.
	Handed    bool      `json:"handed,omitempty"`
	CreatedAt time.Time `json:"created_at"`
	Revision  int64     `json:"-"`
}
