// Package account is the mailbox that a customer of ours has elsewhere: it sends
// through its provider's SMTP server, and receives by IMAP, or because that provider
// forwards to a hosted mailbox, or both. The same code is the portal's own sender, [Relay].
//
//	desk, err := ticket.New(ticket.Config{Connectors: []channel.Connector{account.Connector{}}, ...})
//	ch, err := desk.Connect(ctx, account.Account{
//		Address: "help@example.com", Password: "...",
//		SMTP: account.Server{Host: "smtp.example.com"},
//		IMAP: &account.IMAP{Server: account.Server{Host: "imap.example.com"}},
//	}, ticket.Settings{})
//
// # Receiving
//
// One folder is read, by UIDVALIDITY and UID and never by flags, oldest first, with
// IDLE where the server has it and by looking again and again beneath. It is opened
// for reading only (EXAMINE, BODY.PEEK), except for the moment in which
// [IMAP].After is done. The cursor is saved once mails are committed, so that it
// may lag and a mail may come twice, which its content key makes one again. When
// the server has renumbered the folder, gives old numbers anew, or is another one,
// two weeks before the last success are looked through again.
//
// Small mails are fetched up to 100 or 2 MB at a time and committed by one call of
// the sink. Meanwhile the next batch is fetched and read, and no more than one: if the
// commit fails it is thrown away, and if fetching fails the commit is not held up.
// After a failure mails come one by one, without looking ahead. A mail of more than
// a quarter of a megabyte comes alone; one of more than a megabyte is fetched in
// parts and kept by the sink if it is a [channel.BodyKeeper], in a file otherwise.
//
// A mail that fails again and again is tried behind the next one, set aside once
// that one shows that it alone is the cause, tried eight more times over hours,
// and then reported as quarantined; it stays in its folder. A mail that the sink
// rejects for good is passed over. Neither is marked, moved or deleted, and
// neither is one that was too large to be taken whole, see [Receiving].
//
// Every exchange has a deadline, and every answer a bound. After a failure the
// connection is made anew with growing pauses. Refused credentials are tried three
// times, then once an hour.
//
// # Delivery
//
// A message ends as exactly one [channel.Outcome]:
//
//	what happened                                    outcome
//	─────────────────────────────────────────────────────────────────────────
//	the server took it for all, or all but refused   nil
//	the server took it for some, others got 4xx      NotSent; the receipt lists both
//	no connection, no TLS, lost before the dot       NotSent
//	login refused (530, 534, 535), no mechanism      NotSent, Authorization
//	4xx to anything                                  NotSent
//	5xx to MAIL, to all recipients, or to the data   Rejected
//	too large, not expressible, a bad field          Rejected
//	Handed failed                                    NotSent, without the dot
//	anything but an answer after the final dot       Unknown
//
// [channel.Outbound].Handed is called when the last byte of the content has left
// and only the final dot is missing. Until then closing the connection makes the
// server forget the message; from then on only its answer tells. A retry has the
// same Message-ID.
//
// A server that offers reports is asked to tell of what cannot be delivered, and
// with [ReportAll] of what is. They come as mails to the account.
//
// # The Sent folder
//
// An account with IMAP puts a copy of what was sent into its Sent folder, unless
// its provider is known to do so by itself (see [IMAP].Sent). It looks for the
// Message-ID first, so that neither a lost answer nor a provider's own copy makes
// two; the engine has it done a moment after the send, apart from sending, and
// gives it up after a bounded number of tries. A message whose answer was lost is
// looked for there as well: what is there was sent, and what is not there may have
// been sent all the same.
//
// # Security
//
// TLS that is asked for is never done without, certificates are verified, and
// credentials go only over TLS, to this machine, or where the configuration says
// otherwise in as many words. What a server says is shown as one clean line
// without the credentials, should it echo them.
//
// # Errors
//
// A bad configuration is a [*channel.FieldError]; Send returns a
// [*channel.SendError]. Codes are "smtp_550" for a server's answer and those of
// Check's findings otherwise, besides "timeout", "connection_lost", "protocol",
// "interrupted", "too_large", "needs_smtputf8", "needs_8bitmime", "invalid",
// "content", "changed" and "not_handed"; of copies "sent_folder", too.
//
// # Concurrency
//
// Everything is safe for concurrent use. Receive holds one connection, runs on
// one node at a time (Info.Exclusive), and calls the sink from one goroutine. Each
// message sent has a connection of its own, closed as soon as the context of Send
// ends; a [oauth2.TokenSource] that hangs keeps one goroutine until it returns.
//
// # Testing
//
// Package emailtest has servers that fail on demand, and starts a Postfix,
// a Dovecot and a Cyrus.
package account
