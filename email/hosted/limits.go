package hosted

import "time"

// Limits bounds what a peer can use of a [Server]. In every field zero means
// the default that is named there; where it says so, a negative value means
// that there is no such limit.
type Limits struct {
	// Connections is how many connections may be open at a time, over all
	// listeners of one Serve call. Default 500. More are answered 421.
	Connections int
	// ConnectionsPerIP is the same for one IPv4 address or one IPv6 /64.
	// Default 10; negative is no limit. It does not apply to LMTP, where one
	// mail server is the only peer.
	ConnectionsPerIP int
	// ConnectionRate is how many connections a minute one IPv4 address or
	// IPv6 /64 may open. Default 60; negative is no limit. Not for LMTP.
	ConnectionRate int

	// Pregreet is how long the greeting is held back to catch peers that talk
	// before it (554). Default 200 ms; negative sends it at once. Not for
	// LMTP.
	Pregreet time.Duration
	// Hello is the time from the greeting to EHLO. Default 30 s.
	Hello time.Duration
	// Idle is the longest wait for a whole command line. Default 5 min (RFC
	// 5321 section 4.5.3.2.7).
	Idle time.Duration
	// DataIdle is the longest wait within a message. Default 3 min (RFC 5321
	// section 4.5.3.2.5).
	DataIdle time.Duration
	// Data is the longest time that the transfer of one message may take.
	// Default 30 min.
	Data time.Duration
	// DataRate is the lowest rate of a message in bytes a second, once
	// DataGrace has passed. Default 1024; negative is no limit.
	DataRate int
	// DataGrace is how long DataRate is not asked for. Default 30 s.
	DataGrace time.Duration
	// Write is the longest time that an answer may take to leave. Default
	// 1 min.
	Write time.Duration
	// Lifetime is the longest life of a connection. Default 60 min.
	Lifetime time.Duration

	// Messages is how many messages one connection may bring. Default 100;
	// negative is no limit. Not for LMTP.
	Messages int
	// Recipients is how many recipients one message may have, advertised by
	// LIMITS (RFC 9422). Default 100, the least that RFC 5321 section
	// 4.5.3.1.8 allows.
	Recipients int
	// Replies is how many lines are answered on a connection between one
	// accepted message and the next; it bounds NOOP, RSET, EHLO and refused
	// commands. Default 1000.
	Replies int
	// CommandLine is the longest command line in bytes. Default 4096.
	CommandLine int
	// DataLine is the longest line of a message sent with DATA, in bytes with
	// its end; senders do exceed the 1000 of RFC 5321. Default 1 MiB. A longer
	// one is answered 554 at the end of the message.
	DataLine int
	// Discard is how many bytes of a message that is refused already are read
	// on and thrown away, so that the sender sees the answer and may go on.
	// Default 64 MiB. Past it the connection ends after the answer.
	Discard int64

	// MessageBytes is the largest message, advertised by SIZE (RFC 1870).
	// Default 35 MiB.
	MessageBytes int64
	// MemoryBytes is how much of one message is kept in memory before it goes
	// to its sink or to a file. Default 256 KiB.
	MemoryBytes int64
	// SpoolBytes bounds all messages that are under way at a time, in memory
	// and in files. Default 2 GiB. More are answered 452.
	SpoolBytes int64
	// FreeDisk is the percentage of the spool's disk that must be free before
	// a file is begun. Default 10; negative is no limit. It is not known on
	// every system, and then does not apply. What a sink keeps is its affair:
	// ticket/dirblob has a limit of its own.
	FreeDisk int
	// Received is from how many Received fields on a message is taken for
	// looping and refused with 554. Default 100 (RFC 5321 section 6.3).
	Received int

	// UnknownFree is how many unknown recipients a connection may name before
	// answers become slow. Default 3.
	UnknownFree int
	// Unknown is how many unknown recipients end the connection with 421, and
	// keep the address away for the rest of a minute. Default 10; negative is
	// no limit. Neither it nor the slowness apply to LMTP.
	Unknown int
	// UnknownDelay is how late the first slow answer is; each further one
	// takes twice as long, up to 16 times this. Default 1 s; negative is no
	// delay.
	UnknownDelay time.Duration

	// Refresh is how long a recipient waits for its portals to look for new
	// mailboxes. Default 10 s. Then the answer is 451.
	Refresh time.Duration
	// RefreshEvery is the shortest time between two looks of one portal.
	// Default 1 s; negative is no limit.
	RefreshEvery time.Duration

	// ParseBytes bounds the messages that are understood and committed at a
	// time, by their size, of which at most 4.25 MiB counts: more is never
	// held of one. Further ones wait, for no longer than Commit, and the
	// addresses they come from take turns. Messages of up to 32 KiB do not
	// count. Default 64 MiB.
	ParseBytes int64
	// Commit is how long Accept may take. Default 2 min. Then the answer is
	// 451.
	Commit time.Duration
	// Grace is how long transactions that are under way may go on when the
	// context ends. Default 20 s; negative is none.
	Grace time.Duration
}

func (l Limits) withDefaults() Limits {
	or(&l.Connections, 500)
	or(&l.ConnectionsPerIP, 10)
	or(&l.ConnectionRate, 60)
	or(&l.Pregreet, 200*time.Millisecond)
	or(&l.Hello, 30*time.Second)
	or(&l.Idle, 5*time.Minute)
	or(&l.DataIdle, 3*time.Minute)
	or(&l.Data, 30*time.Minute)
	or(&l.DataRate, 1024)
	or(&l.DataGrace, 30*time.Second)
	or(&l.Write, time.Minute)
	or(&l.Lifetime, time.Hour)
	or(&l.Messages, 100)
	or(&l.Recipients, 100)
	or(&l.Replies, 1000)
	or(&l.CommandLine, 4096)
	or(&l.DataLine, 1<<20)
	or(&l.Discard, 64<<20)
	or(&l.MessageBytes, 35<<20)
	or(&l.MemoryBytes, 256<<10)
	or(&l.SpoolBytes, 2<<30)
	or(&l.FreeDisk, 10)
	or(&l.Received, 100)
	or(&l.UnknownFree, 3)
	or(&l.Unknown, 10)
	or(&l.UnknownDelay, time.Second)
	or(&l.Refresh, 10*time.Second)
	or(&l.RefreshEvery, time.Second)
	or(&l.ParseBytes, 64<<20)
	or(&l.Commit, 2*time.Minute)
	or(&l.Grace, 20*time.Second)
	return l
}

// slowness is how late the answer to the nth unknown recipient is.
func (l *Limits) slowness(nth int) time.Duration {
	over := nth - max(l.UnknownFree, 0)
	if over <= 0 || l.UnknownDelay <= 0 {
		return 0
	}
	return l.UnknownDelay << min(over-1, 4)
}

func or[T comparable](field *T, value T) {
	var zero T
	if *field == zero {
		*field = value
	}
}
