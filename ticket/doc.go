// Package ticket is the engine of a contact center: it takes in what customers
// write on any channel, keeps it in conversations and tickets, gives those to
// agents, and sends the agents' answers back the way they came.
//
// A host makes a [Desk] for each portal, with a [Store] that keeps its data and
// the connectors of the channels that it offers:
//
//	desk, err := ticket.New(ticket.Config{
//		Store: db.Portal("main"), System: relay, Connectors: []channel.Connector{mx, account.Connector{}},
//	})
//	err = desk.PutAgent(ctx, routing.Agent{ID: "an", Name: "An"})
//	err = desk.PutQueue(ctx, routing.Queue{ID: "support", Agents: []routing.AgentID{"an"}})
//	ch, err := desk.Ensure(ctx, hosted.Mailbox{LocalPart: "support"}, ticket.Settings{Queue: "support"})
//	go desk.Run(ctx)
//	for e, err := range desk.Follow(ctx, 0) { ... }
//	msg, err := desk.Reply(ctx, ticketID, ticket.Draft{By: "an", Text: "..."})
//
// # The way of a message
//
//	channel ──► Accept ──► decide ──► Store.Commit ──► acknowledge
//	                       (pure)      (atomic)
//	                                      │ work, written in the same commit
//	             ┌─────────────┬──────────┴──┬─────────────┬────────────┐
//	         interpret       assign      auto reply      notify        send
//	             └─────────────┴─────────────┴─────────────┴────────────┘
//	                each claimed with a lease, decided anew, and committed
//
// Everything is written in one way: what a decision needs is read in one
// snapshot; a pure function turns it into [Changes] and a trace; one commit
// writes them under preconditions. Who loses a race reads and decides again.
//
// # Delivery
//
// Accept returning nil means durable, and a duplicate is a success: what is
// delivered any number of times, at once or after a crash, by whatever paths,
// has one effect. The keys by which an item is known again outlive its ticket.
// Each item ends as exactly one [Disposition]; [Desk.Ledger] counts them, and
// the counts add up to what was received.
//
// # Outgoing messages
//
//	             ┌──────── not sent, try again ───────┐
//	             ▼                                    │
//	Reply ──► pending ──► sending ──► (handed) ──► answer ──► sent ──► delivered ──► read
//	             │  ▲         │            │            │         └──► bounced
//	          Cancel │      lease       lease           └──► failed
//	             ▼  └──── expired     expired
//	         cancelled                     └──► looked for ──► sent, pending,
//	                                                           or uncertain ──► Resolve
//
// A message waits in pending for its undo window, its time, or its next try;
// there it can be cancelled, edited or sent now. [Desk.Cancel] gives exactly one
// answer for every interleaving with the sender, over restarts and nodes:
// cancelled, and it is never sent; or too late, and the state says how far it
// is. The claim is marked handed just before the point of no return. A node
// that dies before that mark leaves the message to be sent by another; one that
// dies after it leaves it to be looked for by the channel, and where that
// cannot tell the message is uncertain and waits for a person. Nothing is ever
// sent again blindly.
//
// News of a message that come before it, or while it is on its way, are kept
// until it is known (channel.Update.Wait): whatever their order, it ends in the
// same state.
//
// # Automatic replies
//
// They follow RFC 3834: nothing automatic, bulk or of our own is answered, ours
// are marked, and [Caps] bound them per address, domain, ticket and channel.
// Automatic mail never reopens or reassigns a ticket and moves none of its
// clocks. Nothing is answered that was imported, released, or was older than a
// day when it came.
//
// Notices to agents are automatic too: marked, capped, and what answers them
// with a token of ours is held. A notice that a cap stopped is explained with
// its ticket, and the assignment stands.
//
// # Undeliverable addresses
//
// A recipient that a mail system says does not exist, at once or by a report on a
// message that was sent to it, is remembered: [Message].Warnings tells whoever
// writes to it, nothing automatic is sent to it, [Desk.Undeliverable] lists it. A
// message from it, a report that mail to it was delivered, or
// [Desk.ForgetUndeliverable] makes it forgotten. A report changes nothing but the
// message whose token it carries, for recipients that this was sent to.
//
// # Decisions explained
//
// Each decision is kept with its steps: why this conversation and this ticket,
// why an automatic reply was or was not sent, why this agent. See
// [Desk.Explain].
//
// # Errors
//
// Verbs return [ErrNotFound], [ErrConflict] for a stale revision of the
// caller's, [ErrBusy] for a race that was lost again and again, the errors
// named in their documentation, a [*channel.FieldError] that names the bad
// value, or else the store's own error, which is temporary. Test with
// errors.Is and errors.As.
//
// # Concurrency
//
// All methods are safe for concurrent use. Any number of desks, in one process
// or many, may share a store: an exclusive channel receives on one of them at a
// time, and each piece of work is claimed by one.
//
// # Testing
//
// Package memstore keeps everything in memory and works in the virtual time of
// testing/synctest; package channeltest plays customers, networks and faults.
// Package storetest proves a host's own Store.
package ticket
