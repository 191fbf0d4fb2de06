package ticket

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
)

// Config configures a [Desk]. Only Store is required.
type Config struct {
	// Store keeps the portal's data. Required.
	Store Store
	// Blobs keeps content larger than Limits.InlineBody. Nil: the store keeps
	// everything. What nothing in Store refers to is removed from it (see
	// Timing.OrphanAge): the copy of a store must not be run on the Blobs of the
	// original. Portals may share one.
	Blobs Blobs
	// Connectors open channels, one for each kind.
	Connectors []channel.Connector
	// System sends what the portal itself writes: auto replies of mailboxes
	// that only receive, notices to agents. Nil: such messages stay pending,
	// and Check says so.
	System channel.Sender
	// SystemFrom is the sender of notices to agents. Empty: the address of the
	// ticket's channel.
	SystemFrom channel.Party

	// Policies are added to, or replace, those of routing.Stock by name.
	Policies map[string]routing.Policy
	// Return decides what happens when a customer writes again.
	Return ReturnPolicy
	// Strangers decides about mail that refers to an id of ours but comes from
	// somebody outside the conversation.
	Strangers StrangerPolicy
	// Caps bound automatic replies and notices. Zero fields have the defaults
	// of Caps.
	Caps Caps
	// Limits bound what is taken in and kept. Zero fields have defaults.
	Limits Limits
	// Undo is how long an outgoing message waits before it is sent, so that it
	// can be cancelled. 0 means 10 seconds, a negative value none.
	Undo time.Duration
	// Timing of leases, retries and polls. Zero fields have defaults.
	Timing Timing

	// Key seals secrets at rest: 32 bytes. Without it channels that have
	// credentials cannot be connected. OldKeys still open what they sealed;
	// see Desk.Reseal for how a key is replaced.
	Key     []byte
	OldKeys [][]byte

	// Portal is the portal's name as connectors see it. Default "main".
	Portal string
	// Node names this process among those that share the store. Default: a
	// random name.
	Node string
	// Log nil discards.
	Log *slog.Logger
	// Observer is told what happens, for metrics and traces.
	Observer Observer
	// Now is the clock. Default time.Now.
	Now func() time.Time
	// HTTP posts to webhooks. Default: a client that follows no redirects.
	HTTP *http.Client
	// Dial opens the network connections of channels. Default: a net.Dialer
	// with a timeout of 30 seconds.
	Dial func(ctx context.Context, network, address string) (net.Conn, error)
}

// String returns the names of portal and node, and nothing that is secret.
func (c Config) String() string { return "ticket.Config(" + c.Portal + " " + c.Node + ")" }

// GoString returns the same as String.
func (c Config) GoString() string { return c.String() }

// LogValue returns the same as String.
func (c Config) LogValue() slog.Value { return slog.StringValue(c.String()) }

// Limits bound what is taken in and kept.
type Limits struct {
	InlineBody  int64 // bytes of a body kept in the store; default 256 KiB
	Body        int64 // bytes of a body at all; default 64 MiB
	Text        int   // bytes of an outgoing text or HTML; default 1 MiB
	Subject     int   // code points of a subject; default 400
	Attachments int   // of one outgoing message; default 50
	Recipients  int   // of one outgoing message; default 100
	Search      int   // bytes of folded text indexed of a message; default 32 KiB, at least three quarters of them for its text
	Participant int   // participants remembered of a conversation; default 200

	// Of a received message. What is cut is noted in its Defects; its raw form
	// has all.

	ReceivedSubject int // bytes of its subject; default 4 KiB
	ReceivedParties int // in each of To, Cc and Reply-To; default 1000
}

// Timing of the engine.
type Timing struct {
	Lease       time.Duration // of claimed work, renewed while it runs; default 1 minute
	Poll        time.Duration // for work and events of other nodes; default 1 second
	Refresh     time.Duration // for channels changed by other nodes; default 5 seconds
	RetryMin    time.Duration // before the first retry of a send; default 15 seconds
	RetryMax    time.Duration // between retries; default 30 minutes
	GiveUp      time.Duration // a message that was tried for so long fails, time when its channel was off left out; default 4 days
	SendTimeout time.Duration // of one try; default 15 minutes
	Copy        time.Duration // after a send, before a copy of it is kept (channel.Filer); default 10 seconds, below 0: at once
	Drain       time.Duration // that sends under way get when Run ends; default 20 seconds
	// Workers is how many work at once: for each channel's sends, for what it
	// interprets, and for decisions; default 4. Of those that interpret, up to 64
	// that take longer than 2 seconds do not count.
	Workers int
	Sweep   time.Duration // between looks for orphans in Blobs, by one node; default 6 hours, below 0: never
	// Probe is how long Check waits for a probe to come in; default 5 seconds,
	// below 0: none is sent.
	Probe     time.Duration
	OrphanAge time.Duration // that a body in Blobs to which nothing refers is kept; default 24 hours
}

// Observer is told what happens, when it is committed, for metrics and traces: a
// span began took ago. Nil fields are skipped. The functions are called from many
// goroutines and must return quickly.
type Observer struct {
	// Accepted is told of each item. ctx is that of the call of Accept, with what
	// the channel, or a sink before the desk, had put into it.
	Accepted func(ctx context.Context, ch channel.ID, became Disposition, cause channel.Cause, took time.Duration)
	// Sent is told of each try to send a message, and of its state then: pending
	// if it is tried again. ch is the message's, also if it leaves by Config.System.
	Sent func(ctx context.Context, ch channel.ID, id MessageID, state OutState, took time.Duration)
	// Worked is told of each piece of work that was claimed, sends included. After
	// an error it is tried again, or parked.
	Worked func(ctx context.Context, w Work, took time.Duration, err error)
}

func orDefault[T int | int64 | time.Duration](p *T, def T) {
	if *p == 0 {
		*p = def
	}
}

func (c *Config) complete() error {
	if c.Store == nil {
		return errors.New("ticket: Config.Store is required")
	}
	orDefault(&c.Limits.InlineBody, 256<<10)
	orDefault(&c.Limits.Body, 64<<20)
	orDefault(&c.Limits.Text, 1<<20)
	orDefault(&c.Limits.Subject, 400)
	orDefault(&c.Limits.Attachments, 50)
	orDefault(&c.Limits.Recipients, 100)
	orDefault(&c.Limits.Search, 32<<10)
	orDefault(&c.Limits.Participant, 200)
	orDefault(&c.Limits.ReceivedSubject, 4<<10)
	orDefault(&c.Limits.ReceivedParties, 1000)
	orDefault(&c.Timing.Lease, time.Minute)
	orDefault(&c.Timing.Poll, time.Second)
	orDefault(&c.Timing.Refresh, 5*time.Second)
	orDefault(&c.Timing.RetryMin, 15*time.Second)
	orDefault(&c.Timing.RetryMax, 30*time.Minute)
	orDefault(&c.Timing.GiveUp, 4*24*time.Hour)
	orDefault(&c.Timing.SendTimeout, 15*time.Minute)
	orDefault(&c.Timing.Copy, 10*time.Second)
	orDefault(&c.Timing.Drain, 20*time.Second)
	orDefault(&c.Timing.Workers, 4)
	orDefault(&c.Timing.Sweep, 6*time.Hour)
	orDefault(&c.Timing.Probe, 5*time.Second)
	orDefault(&c.Timing.OrphanAge, 24*time.Hour)
	orDefault(&c.Undo, 10*time.Second)
	c.Caps.complete()
	c.Return.complete()
	if c.Portal == "" {
		c.Portal = "main"
	}
	if c.Node == "" {
		c.Node = "node-" + randomToken(6)
	}
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.HTTP == nil {
		c.HTTP = &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	}
	if c.Dial == nil {
		c.Dial = (&net.Dialer{Timeout: 30 * time.Second}).DialContext
	}
	return nil
}

// Settings of a channel. The zero value is a channel that is on, has no queue
// and answers nothing by itself.
type Settings struct {
	// Inactive switches the channel off: nothing in, nothing out. What is
	// pending is held.
	Inactive bool            `json:"inactive,omitempty"`
	Queue    routing.QueueID `json:"queue,omitempty"`
	// PreferOnline prefers online agents, whatever the queue says; false
	// leaves it to the queue.
	PreferOnline bool `json:"prefer_online,omitempty"`
	// WhenNoneOnline overrides the queue's; empty leaves it to the queue.
	WhenNoneOnline routing.WhenNoneOnline `json:"when_none_online,omitempty"`
	AutoReply      AutoReply              `json:"auto_reply"`
	// NoWriteFirst forbids conversations that we start.
	NoWriteFirst bool `json:"no_write_first,omitempty"`
	// NotifyAgent tells the agent by email of an assignment.
	NotifyAgent bool `json:"notify_agent,omitempty"`
	// Undo overrides Config.Undo: 0 leaves it, negative means none.
	Undo       time.Duration `json:"undo,omitempty"`
	Signatures Signatures    `json:"signatures"`
}

// AutoReply is what a channel answers by itself to a new ticket. Subject and
// Body may hold {{ticket.number}}, {{customer.name}} and {{subject}}.
type AutoReply struct {
	On      bool   `json:"on"`
	Subject string `json:"subject,omitempty"` // empty: "Auto: " and the customer's
	Body    string `json:"body,omitempty"`
}

// Signatures are added to what agents write by mail.
type Signatures struct {
	// AgentsOn puts an agent's own signature.
	AgentsOn bool `json:"agents_on,omitempty"`
	// CommonOn puts Common where the agent has none or AgentsOn is off.
	CommonOn bool                                  `json:"common_on,omitempty"`
	Common   channel.Signature                     `json:"common,omitzero"`
	Agents   map[routing.AgentID]channel.Signature `json:"agents,omitempty"`
}

// For returns the signature for an agent; zero means none.
func (s Signatures) For(a routing.AgentID) channel.Signature {
	if s.AgentsOn {
		if sig, ok := s.Agents[a]; ok && sig != (channel.Signature{}) {
			return sig
		}
	}
	if s.CommonOn {
		return s.Common
	}
	return channel.Signature{}
}
