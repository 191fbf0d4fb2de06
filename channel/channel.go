package channel

import (
	"context"
	"encoding/json"
	"iter"
	"log/slog"
	"net"
	"time"
)

// ID names one channel of one portal. The engine gives it; it never changes.
type ID string

// Kind names a family of channels, such as "email.hosted".
type Kind string

// Info says who a channel is and what it can do, as data.
type Info struct {
	ID   ID
	Kind Kind
	Name string // display name, also the sender name where the network has one

	// Address is what customers write to, in the network's own form: a mail
	// address, a Page id.
	Address string
	// Aliases are further addresses that are this channel's own. Mail from
	// any of them is our own, and reply-all leaves them out.
	Aliases []string
	// Domains are mail domains of which every address is ours.
	Domains []string

	// Scheme is the name space of the addresses of its customers, "mailto"
	// for mail; with the address it identifies a contact.
	Scheme string

	CanReceive bool
	CanSend    bool
	CanStart   bool   // can write first
	Can        []Verb // what Do accepts

	// SelfAddressed says that what it sends to its own address comes in again by
	// its own Receive, as an [Item] with the token as Probe.
	SelfAddressed bool

	// Exclusive says that Receive must run on one node at a time.
	Exclusive bool
	// Fleeting says that the source does not keep for long what is not
	// acknowledged. While the channel is switched off, Receive then goes on,
	// and what comes is accepted and ignored as [CauseInactive].
	Fleeting bool
	// Mail says that each message has a subject, recipients and threading of
	// its own, and that signatures, auto replies and bounces make sense.
	Mail bool
	// MaxText is the longest text of one message, in Unicode code points; 0
	// means no limit.
	MaxText int
}

// Channel is one opened account. One that holds something, such as an address
// at a shared listener, is an io.Closer too: the engine closes it when the
// account is removed, and not when it merely stops or opens it anew.
type Channel interface {
	Info() Info
}

// Receiver is a channel that takes items in.
type Receiver interface {
	Channel
	// Receive delivers items to sink until ctx ends, then returns nil. It
	// acknowledges to its source only what sink accepted. It keeps trying
	// through outages, reporting them with [Env].Report, and returns an error
	// only when going on is useless; the engine then opens the channel anew
	// after a pause.
	Receive(ctx context.Context, sink Sink) error
}

// Interpreter is a channel whose items are committed raw and understood later,
// because that needs the network.
type Interpreter interface {
	Channel
	// Interpret returns what raw means, with the same channel and with keys
	// of their own. It is called again after an error, but not without end,
	// unless that is a [*NotNowError].
	Interpret(ctx context.Context, raw *Item) ([]*Item, error)
}

// Sender is a channel that sends.
type Sender interface {
	Channel
	// Send tries once. A nil error means that the network took the message
	// for every recipient that the receipt does not list otherwise. Else the
	// error is a [*SendError]. The receipt is meaningful even beside an
	// error: parts already taken, ids learned.
	Send(ctx context.Context, out *Outbound) (Receipt, error)
}

// Found is the answer of a [Finder].
type Found int

// The answers of a Finder.
const (
	FoundUnknown Found = iota // it cannot be told
	FoundYes                  // it was sent; the receipt says how
	FoundNo                   // it surely was not sent
)

// Finder is a sender that can look for a message it may have sent.
type Finder interface {
	Sender
	// Find looks for a message of which a try passed the point of no return. A
	// receipt without deliveries, beside FoundYes, speaks of every recipient
	// that the try was for: those that [Outbound].Refused did not name.
	Find(ctx context.Context, out *Outbound) (Receipt, Found, error)
}

// Filer is a sender that keeps a copy of what it sent where the owner of the
// account looks for it, such as in the Sent folder of a mailbox.
type Filer interface {
	Sender
	// File keeps a copy of a message that was sent. It looks first: called
	// again, after a crash or a lost answer, it makes no second copy. An error
	// is a [*SendError]: tried again for a while, unless it is Rejected. It
	// says nothing about the message, which was sent.
	File(ctx context.Context, out *Outbound) error
}

// Windowed is a sender whose network lets a message through only for some time
// after the customer's last act.
type Windowed interface {
	Sender
	// SendableUntil returns when the conversation with the given key closes
	// for messages by a person, and whether it closes at all. lastAct is as in
	// [Outbound]. It does not go to the network.
	SendableUntil(conversation string, lastAct time.Time) (until time.Time, closes bool)
}

// Backfiller is a channel that can fetch again what its source still shows.
type Backfiller interface {
	Channel
	// Backfill delivers what happened since then to sink, as [Item].Imported,
	// with the keys by which it is known if it came before.
	Backfill(ctx context.Context, since time.Time, sink Sink) error
}

// Profile is what a network shows of somebody.
type Profile struct {
	Name string
	// Picture is the picture of themselves that they show, nil if there is none.
	// Its type is that of an image that browsers show, and says what its bytes
	// are.
	Picture *Attachment
}

// Profiler is a channel whose network shows who people are.
type Profiler interface {
	Channel
	// Profile returns what the network shows of somebody now, by the address that
	// they have on the channel. What there is not, or may not be seen, is left
	// empty, and is no error. It does not store anything, and may remember for a
	// bounded time.
	Profile(ctx context.Context, address string) (Profile, error)
}

// Verb names something that a [Doer] does.
type Verb string

// Verbs known to the engine. A channel may have others.
const (
	VerbLike     Verb = "like"
	VerbUnlike   Verb = "unlike"
	VerbHide     Verb = "hide"
	VerbUnhide   Verb = "unhide"
	VerbTyping   Verb = "typing"
	VerbSeen     Verb = "seen"
	VerbWithdraw Verb = "withdraw"
)

// Action is one thing to do on the network.
type Action struct {
	Verb         Verb
	Conversation string // the conversation's key, as the channel gave it
	Message      string // the message's external id, where the verb needs one
}

// Doer is a channel with actions besides sending; Info().Can lists them.
type Doer interface {
	Channel
	Do(ctx context.Context, act Action) error
}

// Checker is a channel that can diagnose itself.
type Checker interface {
	Channel
	// Check returns findings, at least one, each within a bounded time. It
	// never returns secrets.
	Check(ctx context.Context) []Finding
}

// Forwardee is a receiving channel to which other accounts' mail is forwarded,
// each at an address of its own.
type Forwardee interface {
	Channel
	// ForwardAddress returns the address for a pair's token (see [Forward]).
	ForwardAddress(token string) string
}

// Connector opens saved accounts of one kind. A listener that many portals
// share (an SMTP server, a webhook endpoint) is its own Connector and is run by
// the host.
type Connector interface {
	Kind() Kind
	// Open validates the account and returns its channel, without going to
	// the network. The same account may be opened again, also while an
	// earlier opening still receives; the later one then counts. A bad
	// configuration is a *FieldError.
	Open(ctx context.Context, acct Account, env Env) (Channel, error)
}

// Attacher is a Connector that wants to know the portals it serves. When an
// address is unknown to it, it calls refresh before it refuses, since another
// node may have made the address a moment ago.
type Attacher interface {
	Connector
	// Attach is called when a portal's engine begins to run; detach when it ends.
	Attach(portal string, refresh func(context.Context) error) (detach func())
}

// Account is a channel as it is saved.
type Account struct {
	ID     ID
	Kind   Kind
	Name   string
	Config json.RawMessage // everything but secrets; see [Config]
	// Credentials are kept sealed and never pass through JSON, logs or %v.
	Credentials Credentials
	// ReceivesVia pairs a sending account with the hosted mailbox to which
	// its mail server forwards.
	ReceivesVia ID
	// Forwards lists the accounts paired with this mailbox. The engine fills it.
	Forwards []Forward
}

// Forward is one account whose mail arrives at a hosted mailbox.
type Forward struct {
	Channel ID     // the account
	Address string // the account's public address
	Token   string // unguessable, lower-case letters and digits; see [Forwardee]
}

// Config is a typed configuration, such as hosted.Mailbox, that knows its kind.
type Config interface {
	// Account validates and returns the account to save: Kind, Name, Config,
	// Credentials and ReceivesVia. A bad value is a *FieldError.
	Account() (Account, error)
}

// Known is a message as the engine keeps it.
type Known struct {
	Conversation string // its key
	ExternalID   string
	Text         string
	Hidden       bool
	At           time.Time // when it was written
}

// Env is what the engine gives an opened channel. Every field but Known is set.
type Env struct {
	Portal string
	Log    *slog.Logger
	Now    func() time.Time
	// Report tells the engine how the channel is. Cheap and safe to call
	// often; equal reports are folded.
	Report func(Status)
	// LoadState and SaveState keep the channel's own state, such as a cursor.
	// State may lag what was accepted, never lead it.
	LoadState func(ctx context.Context) ([]byte, error)
	SaveState func(ctx context.Context, state []byte) error
	// SaveCredentials keeps renewed credentials, before they are used. It fails if
	// the saved ones are not those any more that the channel was opened with or has
	// saved itself, since an admin or another node has renewed them; the channel is
	// then opened anew with those.
	SaveCredentials func(ctx context.Context, c Credentials) error
	// Known lists what the engine keeps of the channel's messages written since
	// then, by the network's account, in the conversations for whose keys of
	// reports true, in no order; not those that were deleted, or have no id or
	// several. A channel that reads its source again finds in it what was changed
	// there meanwhile. Nil means that nothing can be compared.
	Known func(ctx context.Context, since time.Time, of func(conversation string) bool) iter.Seq2[Known, error]
	// Dial opens network connections.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// Sink takes items in. See the package documentation on delivery. One that also
// keeps bodies while they arrive is a [BodyKeeper].
type Sink interface {
	// Accept commits items, in their order. Nil means that all are durable; after
	// an error some of the first may be, too, and are duplicates when they come
	// again.
	Accept(ctx context.Context, items ...*Item) error
}

// SinkFunc adapts a function to a [Sink].
type SinkFunc func(ctx context.Context, items ...*Item) error

// Accept calls f.
func (f SinkFunc) Accept(ctx context.Context, items ...*Item) error { return f(ctx, items...) }
