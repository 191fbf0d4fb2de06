// Package channel is the contract between Anteroom's engine and the networks
// that customers write on.
//
// A channel is one connected account: a mailbox, a Facebook Page, or whatever a
// host adds. Package ticket drives channels through the small interfaces here
// and never imports a concrete one; a concrete channel imports this package and
// nothing else of the project. Both sides can therefore be replaced, tested and
// understood alone.
//
// # The way of a message
//
//	network ──► Receiver ──► Item ──► Sink.Accept ──► acknowledge
//	network ◄── Sender   ◄── Outbound (from the engine's outbox)
//
// A [Connector] opens a saved [Account] as a [Channel]. What a channel can do
// is found once, by type assertion: a [Receiver] takes items in, a [Sender]
// sends, a [Finder] can look for something it may have sent, an [Interpreter]
// understands later what could not be understood at once, a [Doer] likes, hides
// or types, a [Checker] diagnoses. A channel is never wrapped, since a wrapper
// hides those abilities: middleware goes on [Sink].
//
// # Delivery
//
// Accept returning nil means that every item of the call is durably committed,
// or was before (a duplicate is a success). Only then may the channel
// acknowledge to its source: answer SMTP 250, answer a webhook with 200, move a
// cursor. Any error means that nothing of the call may be acknowledged, so that
// the source delivers again; the next delivery of the same thing carries the same
// [Item].Keys, which is how its effect stays one: the first items of the call may
// be committed all the same, and then are duplicates. No queue in memory may
// stand between the source and Accept.
//
// In the other direction a send ends as exactly one [Outcome]. The channel calls
// [Outbound].Handed immediately before the point of no return (the final dot,
// the API call) and must not pass that point when Handed fails.
//
// # Errors
//
// An error from Accept is temporary unless errors.Is(err, [ErrRejected]), which
// is final: the item will never be taken, and a source that has no word for
// "never" may be acknowledged. Channels classify at the edge and the
// engine decides: Send returns nil or a [*SendError] with its [Outcome]. A bad
// configuration is a [*FieldError] that names the field. No error text carries a
// secret or the content of a message.
//
// # Concurrency
//
// Every method of a channel, and Sink.Accept, is safe for concurrent use.
// Receive is called once at a time for one opened channel. Methods return
// promptly when their context ends; a commit that is under way is allowed to
// finish, its result deciding about the acknowledgement.
//
// # Testing
//
// Package channeltest holds the contract as a suite that a host's own channel
// can run, an in-memory channel, and sinks that fail on purpose.
package channel
