// Package hosted holds a portal's own mailboxes: addresses in its mail domain
// that receive and never send, on an SMTP and LMTP server that the host runs.
//
// One [Server] serves any number of mailboxes, portals and domains. It is the
// connector that the engine opens accounts with, and a listener that the host
// starts:
//
//	mx := &hosted.Server{Domain: "help.example.com", TLS: tlsConfig}
//	go mx.ListenAndServe(ctx)
//
// A [Mailbox] is the configuration of one. Its address is its local part at the
// portal's domain: that of Server.Domains, or else Server.Domain. Domains are
// compared in ASCII (RFC 5890), local parts without regard to case and without
// what follows a plus sign.
//
// # Recipients
//
// A recipient is one of these, and everything else is refused with 550 at RCPT,
// so that nothing is relayed and nothing must be bounced:
//
//   - a mailbox's address;
//   - the address of a pair (channel.Forward): mail for it belongs to the paired
//     account and came via the mailbox. The envelope alone decides;
//   - postmaster@ and abuse@ a domain that has a mailbox (RFC 5321 section
//     4.5.1): they lead to the mailbox of that domain with the lowest portal and
//     id of those that receive.
//
// Mail to a mailbox's plain address that shows in its headers that it was
// forwarded from a paired account belongs to that account too, marked as
// inferred.
//
// An address that is not known is asked for at the attached portals first, since
// another node may have made it a moment ago. If one of them fails, or if a portal
// that owns the domain is not running, the answer is 451. A mailbox that is
// opened but does not receive is answered 450. It exists until its channel, an
// io.Closer, is closed.
//
// # Delivery
//
// A message is acknowledged with 250 after Accept has returned nil, never before.
// All recipients of a message whose sinks are equal are accepted in one call, all
// or none; in LMTP each has a call and an answer of its own. A recipient that
// cannot be taken at the moment makes the whole SMTP transaction one to be sent
// again, even if others are committed already: their items carry the same keys
// the next time. The raw message is what came, byte for byte; no Received field
// is added to it, since the envelope is in the item.
//
// # Errors
//
// The answer to an error of Accept is 550 5.7.1 if it is channel.ErrRejected, 450
// 4.2.1 if it is channel.ErrInactive, and 451 4.3.0 otherwise, also for a panic
// and a timeout; the text is always ours. A message that cannot be understood is
// accepted: what is wrong with it is written in its item. Refused are, for good,
// messages that are too large (552), that have gone through 100 servers (554
// 5.4.6), have an endless line (554 5.6.0) or NUL in them (550 5.6.0), and with RefuseBareNewlines those with bare CR
// or LF (550 5.5.2).
//
// # Limits
//
// Everything that a peer can use is bounded; see [Limits]. A message of up to
// MemoryBytes is held in memory. A larger one goes, while it arrives, to the first
// sink that keeps bodies ahead (channel.BodyKeeper, as the engine does with Blobs),
// and else to a file without a name in SpoolDir.
// How much is being understood at a time is bounded by ParseBytes, so that many
// large messages at once wait for each other and not for memory. Timing is
// enforced on each read, and the first read error of a connection is its
// last: what follows a timeout within a message is never taken for a command.
//
// A message sent with DATA ends with CR LF dot CR LF and nothing else (RFC 5321
// section 4.1.1.4); whatever comes close to that is part of it. Of a message that
// is refused the rest is read and thrown away within Limits.Discard, and the
// connection goes on in step. After a BDAT command that is not understood it
// ends, since a chunk of unknown length may follow.
//
// # Extensions
//
// Offered are SIZE, PIPELINING, 8BITMIME, SMTPUTF8, CHUNKING, ENHANCEDSTATUSCODES,
// LIMITS and, with TLS set, STARTTLS. There is no AUTH, since nobody is more than
// a stranger. DSN (RFC 3461) is not offered: it would oblige the server to report
// successful delivery, and it does not send. RCPT TO:<postmaster> without a domain
// cannot be had with go-smtp; with one it can.
//
// # Concurrency
//
// All methods of Server and of its channels are safe for concurrent use. A server
// keeps one goroutine a connection, one more while a message comes in chunks, and
// one a portal while it looks for new mailboxes. Serve returns when its
// connections have ended.
package hosted
