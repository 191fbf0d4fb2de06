package emailtest

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// The points of IMAP: besides these, the name of any command in upper case, such
// as "FETCH"; a UID command is named without UID. [AtConnect] is the greeting.
const (
	AtLogin   Point = "LOGIN"   // LOGIN and AUTHENTICATE
	AtSelect  Point = "SELECT"  // SELECT and EXAMINE
	AtSearch  Point = "SEARCH"  // UID SEARCH
	AtFetch   Point = "FETCH"   // UID FETCH
	AtLiteral Point = "literal" // within the content of a mail; see Fault.Bytes
	AtStore   Point = "STORE"
	AtMove    Point = "MOVE"
	AtCopy    Point = "COPY"
	AtCopied  Point = "copied"   // the copies of a COPY are made; the answer is what goes wrong
	AtAppend  Point = "APPEND"   // the mail has come and is not stored
	AtStored  Point = "appended" // the mail of an APPEND is stored; the answer is what goes wrong
	AtIdle    Point = "IDLE"     // instead of the continuation
	AtDone    Point = "DONE"     // the end of IDLE
	AtNoop    Point = "NOOP"
)

// IMAP is an IMAP server for tests: it listens on loopback, keeps folders in
// memory, and fails as its script says. It knows IMAP4rev1 with IDLE, UIDPLUS,
// MOVE, ESEARCH, SPECIAL-USE, ID and SASL-IR, as far as a client needs that reads mail by UID.
// Safe for concurrent use.
type IMAP struct {
	endpoint
	script

	ln   net.Listener
	cfg  *tls.Config
	conf imapConf
	wg   sync.WaitGroup

	mu       sync.Mutex
	closed   bool
	folders  []*imapFolder
	sessions map[*imapSession]bool
	accepted int
	commands []string
	hidden   map[string]bool
	deaf     bool
}

type imapConf struct {
	users, tokens      map[string]string
	implicit, startTLS bool
	inMemory           bool
	certNames          []string
}

// IMAPOption configures a fake server.
type IMAPOption func(*imapConf)

// IMAPWithTLS makes the server speak TLS from the first byte.
func IMAPWithTLS() IMAPOption { return func(c *imapConf) { c.implicit = true } }

// IMAPWithSTARTTLS makes the server offer STARTTLS.
func IMAPWithSTARTTLS() IMAPOption { return func(c *imapConf) { c.startTLS = true } }

// IMAPWithUser adds a user with a password. All users see the same folders.
func IMAPWithUser(name, password string) IMAPOption {
	return func(c *imapConf) { c.users[name] = password }
}

// IMAPWithToken adds a user with an OAuth access token.
func IMAPWithToken(name, token string) IMAPOption {
	return func(c *imapConf) { c.tokens[name] = token }
}

// IMAPWithCertificateFor makes the server's certificate one for other names
// than its own.
func IMAPWithCertificateFor(names ...string) IMAPOption {
	return func(c *imapConf) { c.certNames = names }
}

// IMAPInMemory makes the server listen nowhere: [IMAP].Dial is the way to it. It
// then also works in a bubble of testing/synctest, with whose time it goes.
func IMAPInMemory() IMAPOption { return func(c *imapConf) { c.inMemory = true } }

// NewIMAP starts a server that ends with the test. It has the folders INBOX,
// Archive, Sent, Drafts, Trash and Junk, the last four with their special uses.
func NewIMAP(t testing.TB, opts ...IMAPOption) *IMAP {
	t.Helper()
	s, err := StartIMAP(opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

// StartIMAP starts a server outside of tests, for demonstrations. Close ends it.
func StartIMAP(opts ...IMAPOption) (*IMAP, error) {
	conf := imapConf{users: map[string]string{}, tokens: map[string]string{}, certNames: []string{"127.0.0.1", "localhost"}}
	for _, o := range opts {
		o(&conf)
	}
	ca, err := NewCA()
	if err != nil {
		return nil, err
	}
	cert, err := ca.Certificate(conf.certNames...)
	if err != nil {
		return nil, err
	}
	s := &IMAP{endpoint: endpoint{"127.0.0.1:143", ca}, cfg: &tls.Config{Certificates: []tls.Certificate{cert}}, conf: conf, sessions: map[*imapSession]bool{}, hidden: map[string]bool{}}
	for i, f := range []struct{ name, use string }{
		{"INBOX", ""}, {"Archive", ""}, {"Sent", `\Sent`}, {"Drafts", `\Drafts`}, {"Trash", `\Trash`}, {"Junk", `\Junk`},
	} {
		s.folders = append(s.folders, &imapFolder{name: f.name, use: f.use, validity: uint32(1000 + i), next: 1})
	}
	if conf.inMemory {
		return s, nil
	}
	if s.ln, err = net.Listen("tcp", "127.0.0.1:0"); err != nil {
		return nil, fmt.Errorf("emailtest: listen: %w", err)
	}
	s.addr = s.ln.Addr().String()
	s.wg.Go(s.serve)
	return s, nil
}

// Dial connects to the server without a network, whatever the address.
func (s *IMAP) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	near, far := net.Pipe()
	if err := ctx.Err(); err != nil || !s.admit(far) {
		return nil, errors.Join(errClosed, err)
	}
	return near, nil
}

// Add puts a mail into a folder, which is made if need be, as received at a
// time, and returns its UID. Clients that wait are told.
func (s *IMAP) Add(folder string, raw []byte, received time.Time) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.folder(folder)
	if f == nil {
		f = &imapFolder{name: folder, validity: uint32(1000 + len(s.folders)), next: 1}
		s.folders = append(s.folders, f)
	}
	uid := f.add(bytes.Clone(raw), received, nil)
	s.tell(f)
	return uid
}

// Skip leaves out n UIDs of a folder and returns the first of them, for
// [IMAP.AddAt].
func (s *IMAP) Skip(folder string, n uint32) uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.folder(folder)
	f.next += n
	return f.next - n
}

// AddAt puts a mail into a folder under a UID below the next one, as clusters do
// that show a mail late.
func (s *IMAP) AddAt(folder string, uid uint32, raw []byte, received time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.folder(folder)
	f.insert(&imapMail{uid: uid, flags: map[string]bool{}, at: received, raw: bytes.Clone(raw)})
	s.tell(f)
}

// IMAPMail is a mail as it lies in a folder.
type IMAPMail struct {
	UID      uint32
	Flags    []string // sorted
	Received time.Time
	Raw      []byte
}

// Mails returns what is in a folder, in order of UID.
func (s *IMAP) Mails(folder string) []IMAPMail {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.folder(folder)
	if f == nil {
		return nil
	}
	var out []IMAPMail
	for _, m := range f.mails {
		out = append(out, IMAPMail{m.uid, slices.Sorted(maps.Keys(m.flags)), m.at, m.raw})
	}
	return out
}

// Flag sets a flag of a mail, as another client does.
func (s *IMAP) Flag(folder string, uid uint32, flag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.folder(folder).mails {
		if m.uid == uid {
			m.flags[flag] = true
		}
	}
}

// Unflag takes a flag of a mail away, as another client does.
func (s *IMAP) Unflag(folder string, uid uint32, flag string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, m := range s.folder(folder).mails {
		if m.uid == uid {
			delete(m.flags, flag)
		}
	}
}

// Rewind makes a folder give numbers anew from next on, under the same
// UIDVALIDITY, as a server does of which a backup was put back.
func (s *IMAP) Rewind(folder string, next uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.folder(folder).next = next
}

// Remove expunges mails, as another client does.
func (s *IMAP) Remove(folder string, uids ...uint32) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.folder(folder)
	f.remove(func(m *imapMail) bool { return slices.Contains(uids, m.uid) })
	s.tell(f)
}

// Renumber gives a folder a new UIDVALIDITY and its mails new UIDs, as a
// migration does, and ends all connections.
func (s *IMAP) Renumber(folder string) {
	s.mu.Lock()
	f := s.folder(folder)
	f.validity += 1000
	f.next = 1
	old := f.mails
	f.mails = nil
	for _, m := range old {
		f.add(m.raw, m.at, m.flags)
	}
	s.mu.Unlock()
	s.Disconnect()
}

// Announce tells clients again how many mails there are, though nothing has
// changed.
func (s *IMAP) Announce(folder string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := s.folder(folder)
	for c := range s.sessions {
		if c.open == f {
			c.again = true
		}
	}
	s.tell(f)
}

// Deafen makes the server keep news to itself while clients wait in IDLE.
func (s *IMAP) Deafen(deaf bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deaf = deaf
}

// Hide stops announcing a capability, such as "MOVE".
func (s *IMAP) Hide(capability string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.hidden[strings.ToUpper(capability)] = true
}

// Commands returns every line that clients have sent outside of literals,
// without its tag; logins are left out.
func (s *IMAP) Commands() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.commands)
}

// Forget drops what Commands returns.
func (s *IMAP) Forget() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.commands = nil
}

// Connections returns how many connections were made so far.
func (s *IMAP) Connections() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.accepted
}

// Idling returns how many clients wait in IDLE now.
func (s *IMAP) Idling() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := 0
	for c := range s.sessions {
		if c.idling {
			n++
		}
	}
	return n
}

// Disconnect ends all connections.
func (s *IMAP) Disconnect() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.sessions {
		c.raw.Close()
	}
}

// Close ends the server and its connections. It may be called twice.
func (s *IMAP) Close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.Disconnect()
	if s.ln != nil {
		s.ln.Close()
	}
	s.wg.Wait()
}

func (s *IMAP) serve() {
	for {
		raw, err := s.ln.Accept()
		if err != nil || !s.admit(raw) {
			return
		}
	}
}

// admit serves a connection, unless the server is closed.
func (s *IMAP) admit(raw net.Conn) bool {
	c := newIMAPSession(s, raw, s.cfg)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		raw.Close()
		return false
	}
	s.accepted++
	s.sessions[c] = true
	s.wg.Go(func() {
		c.run()
		raw.Close()
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.sessions, c)
	})
	return true
}

// folder returns a folder or nil. s.mu is held.
func (s *IMAP) folder(name string) *imapFolder {
	for _, f := range s.folders {
		if f.name == name || f.name == "INBOX" && strings.EqualFold(name, "INBOX") {
			return f
		}
	}
	return nil
}

// tell wakes the clients that have a folder open. s.mu is held.
func (s *IMAP) tell(f *imapFolder) {
	for c := range s.sessions {
		if c.open == f {
			select {
			case c.wake <- struct{}{}:
			default:
			}
		}
	}
}
