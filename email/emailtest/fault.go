package emailtest

import (
	"slices"
	"strings"
	"sync"
	"time"
)

// Point is a place in a session where a [Fault] can strike.
type Point string

// The points of SMTP, in the order of a session.
const (
	AtConnect  Point = "connect"  // instead of the greeting
	AtHello    Point = "EHLO"     // EHLO and HELO
	AtStartTLS Point = "STARTTLS" // before the handshake
	AtAuth     Point = "AUTH"
	AtMail     Point = "MAIL"
	AtRcpt     Point = "RCPT"
	AtData     Point = "DATA"
	AtBody     Point = "body"   // within the content; see Fault.Bytes
	AtDot      Point = "dot"    // the final dot has come; the message is not stored
	AtAnswer   Point = "answer" // the message is stored; its 250 is what goes wrong
	AtQuit     Point = "QUIT"
)

// Fault is one thing that a server does wrong. Of Reply, Hang and Drop one is
// set; Slow goes with any or none.
type Fault struct {
	At Point
	// Recipient limits a fault at RCPT to one address. Empty means all.
	Recipient string
	// UID limits a fault of IMAP to commands that name this mail. 0 means all.
	UID uint32
	// Skip lets that many pass first.
	Skip int
	// Times is how often it happens. 0 means always.
	Times int
	// Bytes is how much of the content is read before a fault at the body
	// strikes, or sent before one at a literal; 0 means none of it.
	Bytes int
	// Untagged is a line that an IMAP server sends before it goes on as is
	// due, without the asterisk: "VANISHED 1:3".
	Untagged string

	// Reply is answered instead of what is due, such as "451 4.3.0 later".
	// Lines are divided by "\n"; the code stands on each. Of IMAP it is
	// what stands behind the tag: "NO [UNAVAILABLE] later".
	Reply string
	// Hang leaves the client without an answer until it goes away. At the
	// body the server stops reading until it is closed.
	Hang bool
	// Drop closes the connection.
	Drop bool
	// Slow waits that long before each byte of the answer.
	Slow time.Duration
}

// scripted is a fault with what it has done so far.
type scripted struct {
	Fault
	seen int
}

// script is what a server does wrong.
type script struct {
	mu     sync.Mutex
	faults []*scripted
	struck int
}

// strike returns the fault that happens now, if any. Faults are tried in the
// order in which they were added.
func (s *script) strike(at Point, recipient string, uids ...uint32) (Fault, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, f := range s.faults {
		if f.At != at || (f.Recipient != "" && !strings.EqualFold(f.Recipient, recipient)) {
			continue
		}
		if f.UID != 0 && !slices.Contains(uids, f.UID) {
			continue
		}
		if f.Times > 0 && f.seen >= f.Skip+f.Times {
			continue
		}
		f.seen++
		if f.seen > f.Skip {
			s.struck++
			return f.Fault, true
		}
	}
	return Fault{}, false
}

// Fault adds a fault to the script. It may be called while clients are served.
func (s *script) Fault(f Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = append(s.faults, &scripted{Fault: f})
}

// Struck returns how often a fault has struck so far.
func (s *script) Struck() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.struck
}

// Heal removes every fault.
func (s *script) Heal() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = nil
}
