// Package bench measures the whole way of a mail, from the first byte on a
// connection to the durable ticket, against what it could cost at best:
//
//	go test -run '^$' -bench . -benchtime 20000x ./examples/bench
//
// Bound A is what a good programmer would write who needs nothing else: a bare
// go-smtp server, the mail parsed with go-message, and a transaction, shared by
// whoever waits, with the same rows in the same tables under the same settings
// of SQLite, but for the size of the log that is moved into the file, which is
// SQLite's own there. It checks no precondition, reads nothing, decides nothing. Bound B
// writes two rows instead, a message and a ticket, into tables with one index.
//
// All take the same mails from the same client over the same number of
// connections, in turns, so that a noisy machine is noisy for all. The numbers
// to look at are ratios:
//
//	of-A, of-B       our rate as a part of the bound's: 1 is as fast
//	p99-of-A         our 99th percentile of the time from the final dot to 250, in
//	                 multiples of the bound's
//	cpu-of-A         processor time a mail, the client's included
//	B-of-A           bytes allocated a mail, the client's included
//
// BenchmarkLarge does the same with mails of 5 MB, where the bound's server writes
// the mail to a file as it comes and syncs file and folder. How much memory a
// portal needs then is held by TestLargeMailNeedsLittleMemory.
//
// BenchmarkIMAP has a folder of a Dovecot read from its first mail to its last, into
// a sink that keeps nothing and into a desk on SQLite, against a bare go-imap
// client that fetches all with one command and parses each mail, and against mbsync:
// of-bare and of-mbsync are our rate as a part of theirs, with desk- before them that
// of the desk. It says beside its code what each does. BenchmarkIdleToTicket
// measures from the notice to a client in IDLE until the ticket is durable.
//
// TestASendIsNeverDoubled goes the other way: an account's desk, SMTP server and
// mailbox fail at every step of a send, alone and together, and what it says is
// held against what arrived. With -faults it plays every combination, about 700
// faults in two minutes, and otherwise a tenth of them.
// TestASendIsNeverDoubledByRealServers does so with a Postfix and two Dovecots, a
// proxy that spoils connections, and a host of its own that is killed.
package bench
