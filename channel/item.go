package channel

import (
	"strings"
	"time"
)

// Key identifies an inbound item within its channel, for ever. Two deliveries
// of the same thing, by whatever path, share at least one key.
type Key string

// Cause is a short machine-readable reason, lower case with underscores.
type Cause string

// Causes known to the engine. A channel may have others.
const (
	CauseInactive  Cause = "inactive"       // the channel is off
	CauseUnknown   Cause = "unknown_event"  // an event of a kind we do not know
	CauseRule      Cause = "rule"           // the channel's rules leave it out
	CausePoison    Cause = "poison"         // it could not be processed, repeatedly
	CausePolicy    Cause = "policy"         // a host's policy asked for it
	CauseUnmatched Cause = "unmatched"      // refers to a message we do not know
	CauseOwn       Cause = "own_message"    // our own message came back
	CauseLoop      Cause = "loop"           // a mail loop
	CauseReport    Cause = "machine_report" // DMARC, TLS and the like
)

// Item is one thing that happened on a network: a message, news about a
// message, or a notice for admins. Exactly one of Message, Update, Notice,
// Probe, Ignored and Quarantined says what it is, with three exceptions: Update
// beside Message means "an update if its target is known, else a message";
// Quarantined beside Message means that the message is held until a person
// releases it; Ignored beside Message means that it is taken in if its
// conversation had begun by then, without making a ticket, and is ignored
// otherwise. If none is set, the item is committed raw and interpreted later.
type Item struct {
	// Channel owns the item: its conversations, its replies.
	Channel ID
	// Via is the channel by whose door it came when that is another one (a
	// hosted mailbox that takes in forwarded mail); its queue and auto reply
	// apply. Empty otherwise.
	Via ID
	// ViaInferred says that the pair was guessed from headers and not proved
	// by the envelope.
	ViaInferred bool
	// Keys must not be empty; the first is the primary one. An item with any
	// key that the channel has seen is a duplicate.
	Keys []Key
	// At is when it happened, by the source's account. It is never trusted
	// for order. Zero means now.
	At time.Time
	// Imported marks history, backfill and releases: nothing automatic is
	// sent for it and nobody is told.
	Imported bool
	// Raw is what came from the network, byte for byte. It may be nil for
	// items that have no raw form.
	Raw Body

	Message     *Message
	Update      *Update
	Notice      *Notice
	Probe       string // the token of a probe that came back
	Ignored     Cause
	Quarantined Cause
	// Detail explains Ignored and Quarantined to a person, and of a message by
	// which rule of the channel it was taken in.
	Detail string
}

// Direction of a message, seen from the portal.
type Direction string

// Directions. Out on an item means: written on our side, but not by us here,
// such as a reply typed in Gmail or in Facebook's own inbox.
const (
	In  Direction = "in"
	Out Direction = "out"
)

// Party is somebody or something with an address.
type Party struct {
	Name    string `json:"name"`
	Address string `json:"address"`
}

// String returns the party for people: name and address.
func (p Party) String() string {
	if p.Name == "" {
		return p.Address
	}
	return p.Name + " <" + p.Address + ">"
}

// Is reports whether p has the given address, letter case aside.
func (p Party) Is(address string) bool {
	return address != "" && strings.EqualFold(p.Address, address)
}

// Message is a message as its channel understood it. All text is valid UTF-8
// without NUL. HTML is as it came: it is sanitised when read, not here.
type Message struct {
	Direction Direction // empty means In

	From    Party
	ReplyTo []Party
	To, Cc  []Party

	Subject string
	Text    string // the whole text
	NewText string // what is new in it, quotes removed; empty means Text
	HTML    string

	Attachments []Attachment

	// ExternalID is the network's id of the message, such as a Message-ID
	// without angle brackets. Empty if it has none.
	ExternalID string

	// Conversation is the conversation's key where the network gives one (a
	// person, a comment thread). Empty means: by Evidence, as for mail.
	Conversation string
	Evidence     Evidence
	// Context describes what the conversation is about on the network, such
	// as the post under which a comment stands.
	Context string
	// Group names, within the channel, what the network does tell of where a
	// message on our side belongs, when it does not tell the conversation: the
	// post under which several conversations go on. See [Update].Grace.
	Group string
	// Payload is what the host had put into a button or quick reply that the
	// customer tapped, for its programs: it is not shown. Empty if none was
	// tapped, or if the network passes its text only.
	Payload string

	// NoTicket asks for the message to be taken into its conversation without
	// a ticket being made.
	NoTicket bool
	// OwnTicket asks for a ticket although the message was written on our
	// side (Direction is Out).
	OwnTicket bool

	Automatic Automatic
	// Quiet is a reason not to send an automatic reply to this message though
	// it is not known to be automatic, such as "no_reply_address". Empty
	// means none.
	Quiet string

	Auth     Auth
	Defects  []string // what was wrong with it and how it was read all the same
	Received Envelope
}

// Envelope is what the transport said about a mail.
type Envelope struct {
	From      string // reverse-path; meaningful only if Known
	To        string // the recipient for which this item was made
	Known     bool
	RemoteIP  string
	Helo      string
	TLS       bool
	NullPath  bool // the reverse-path was <>
	SMTPUTF8  bool
	Transport string // "smtp", "lmtp", "imap" ...
}

// Evidence is what a message says about the thread it belongs to, strongest
// first. The engine decides; the channel only extracts.
type Evidence struct {
	// Tokens are candidates for tokens of ours (see [Outbound].Token) found
	// in message ids and in recipient addresses.
	Tokens []string
	// Self is the candidate for a token of ours in the message's own id: our
	// own message coming back. It does not stand in Tokens.
	Self string
	// ThreadID is the provider's own thread id within this channel.
	ThreadID string
	// IDs are the external ids referred to: In-Reply-To, then References from
	// the last to the first. Without angle brackets, without repetition.
	IDs []string
}

// AutomaticKind says what kind of machine wrote a message.
type AutomaticKind string

// Kinds of automatic messages. Empty means that a person wrote it, as far as
// can be told.
const (
	AutomaticReply        AutomaticKind = "reply"
	AutomaticBounce       AutomaticKind = "bounce"
	AutomaticList         AutomaticKind = "list"
	AutomaticNotification AutomaticKind = "notification"
	AutomaticReport       AutomaticKind = "report"
)

// Automatic says whether a machine wrote a message, and how that is known.
type Automatic struct {
	Kind   AutomaticKind `json:"kind,omitempty"`
	Reason string        `json:"reason,omitempty"` // the header or rule
}

// Is reports whether the message is automatic.
func (a Automatic) Is() bool { return a.Kind != "" }

// Auth holds the verdicts on who sent a mail, in the words of RFC 8601 ("pass",
// "fail", "softfail", "neutral", "none", "temperror", "permerror"); empty means
// not checked.
type Auth struct {
	SPF   string `json:"spf,omitempty"`
	DKIM  string `json:"dkim,omitempty"`
	DMARC string `json:"dmarc,omitempty"`
}

// Attachment is a file that came with a message. Its bytes are a window into
// the item's raw body, or a body of their own.
type Attachment struct {
	Name      string // clean: a base name without controls
	Type      string // media type without parameters
	Size      int64  // decoded bytes
	Inline    bool
	ContentID string // without angle brackets
	Window    *Window
	Body      Body // where there is no window
}

// UpdateKind says what an [Update] is about.
type UpdateKind string

// Kinds of updates.
const (
	UpdateBounce    UpdateKind = "bounce"    // could not be delivered
	UpdateDelayed   UpdateKind = "delayed"   // not yet delivered, still tried
	UpdateRelayed   UpdateKind = "relayed"   // went on to where no report will come from
	UpdateDelivered UpdateKind = "delivered" // reached the recipient's system
	UpdateRead      UpdateKind = "read"
	UpdateEdit      UpdateKind = "edit"
	UpdateRemove    UpdateKind = "remove"
	UpdateReaction  UpdateKind = "reaction"
	UpdateHide      UpdateKind = "hide" // hidden from others on the network
	UpdateUnhide    UpdateKind = "unhide"
	UpdateComplaint UpdateKind = "complaint" // RFC 5965
	UpdateEcho      UpdateKind = "echo"      // our own message seen on the network
)

// Update is news about a message that exists already.
type Update struct {
	Kind UpdateKind
	// Tokens and IDs name the message: tokens of ours, then external ids. For
	// UpdateDelivered and UpdateRead each id may name another message. What an
	// UpdateEcho has in IDs is known as the message's own from then on.
	Tokens []string
	IDs    []string
	// Before, if set, means every outgoing message of the conversation up to
	// that time (a watermark).
	Conversation string
	Before       time.Time
	// Recipients says what happened to whom, for bounces and receipts: Kind to
	// each that has no Kind of its own. Nothing is said of those left out. For an
	// echo it names the recipient or part that was seen.
	Recipients []RecipientStatus
	// Text is the new text of an edit; the reaction, empty when it is taken
	// back; of an echo the text that was seen, by which a message of the
	// conversation whose fate is uncertain is known where there is no token.
	Text string
	// From is who did it, for reactions.
	From Party
	// Wait is how long after its arrival the news are kept for a message that
	// is not known yet, or still on its way out, before they count as
	// unmatched. Zero means ten minutes for a receipt (delivered, read) without a
	// Message, since it may overtake the answer to the send, and not at all for
	// other news; a negative one means not at all.
	Wait time.Duration
	// Grace is how long the news are kept, though no message on its way in their
	// conversation fits, before the Message beside them is taken for another one:
	// where a network does not tell which conversation a message on its way
	// belongs to. If the Message has a Group, that is only while a message of
	// ours is on its way in a conversation of it.
	Grace time.Duration
	// Item is a key of the item by which the message comes in. If that item is
	// known and became no message, nothing is waited for. Beside a Message that
	// is Ignored unless its conversation had begun, it is the item that begins
	// the conversation, which is waited for too.
	Item Key
}

// RecipientStatus is what a delivery report says about one recipient.
type RecipientStatus struct {
	// Kind is what happened to this recipient, of UpdateBounce, UpdateDelayed,
	// UpdateRelayed and UpdateDelivered. Empty means the Kind of the update.
	Kind       UpdateKind `json:"kind,omitempty"`
	Address    string     `json:"address"`
	Original   string     `json:"original_address,omitempty"`
	Status     string     `json:"status,omitempty"` // RFC 3463, such as 5.1.1
	Permanent  bool       `json:"permanent"`
	Diagnostic string     `json:"diagnostic,omitempty"`
	// Undeliverable says that there is no such recipient, now or later.
	Undeliverable bool `json:"undeliverable,omitempty"`
}

// Notice is something an admin should see, such as a provider's question to
// confirm a forwarding. It becomes a finding of its channel, never a ticket.
type Notice struct {
	Finding
	From Party
}
