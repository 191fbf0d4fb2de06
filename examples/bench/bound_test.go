package bench

import (
	"bytes"
	"context"
	"crypto/sha256"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset"
	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-smtp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	nethtml "golang.org/x/net/html"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// parsed is what a mail says, as go-message tells it.
type parsed struct {
	raw        []byte
	from       channel.Party
	to         channel.Party
	id         string
	subject    string
	text, html string
	at         time.Time
	// Of a mail that is kept in a file: its id and size, and what is enclosed.
	blob     string
	size     int64
	enclosed []ticket.Attachment
}

func parse(raw []byte) (*parsed, error) {
	e, err := message.Read(bytes.NewReader(raw))
	if err != nil && !message.IsUnknownCharset(err) {
		return nil, err
	}
	p := &parsed{raw: raw}
	h := mail.Header{Header: e.Header}
	if p.subject, err = h.Subject(); err != nil {
		return nil, err
	}
	if p.at, err = h.Date(); err != nil {
		return nil, err
	}
	if p.id, err = h.MessageID(); err != nil {
		return nil, err
	}
	if _, err := h.MsgIDList("References"); err != nil {
		return nil, err
	}
	for field, to := range map[string]*channel.Party{"From": &p.from, "To": &p.to} {
		list, err := h.AddressList(field)
		if err != nil || len(list) == 0 {
			return nil, errors.Join(err, errors.New("no address"))
		}
		*to = channel.Party{Name: list[0].Name, Address: list[0].Address}
	}
	err = e.Walk(func(_ []int, e *message.Entity, err error) error {
		if err != nil {
			return err
		}
		kind, _, err := e.Header.ContentType()
		if err != nil || strings.HasPrefix(kind, "multipart/") {
			return err
		}
		body, err := io.ReadAll(e.Body)
		if kind == "text/html" {
			p.html = string(body)
		} else {
			p.text = string(body)
		}
		return err
	})
	if p.text == "" {
		p.text = stripped(p.html)
	}
	return p, err
}

// stripped is the text between the tags, which is what there is to search.
func stripped(page string) string {
	var out strings.Builder
	z := nethtml.NewTokenizer(strings.NewReader(page))
	for {
		switch z.Next() {
		case nethtml.ErrorToken:
			return out.String()
		case nethtml.TextToken:
			out.Write(z.Text())
			out.WriteByte(' ')
		}
	}
}

// backend is the bare server: it parses, has written, and answers.
type backend struct{ save func(p *parsed) error }

func (s backend) Reset()                               {}
func (s backend) Logout() error                        { return nil }
func (s backend) Mail(string, *smtp.MailOptions) error { return nil }
func (s backend) Rcpt(string, *smtp.RcptOptions) error { return nil }

func (s backend) Data(r io.Reader) error {
	raw, err := io.ReadAll(r)
	if err != nil {
		return err
	}
	p, err := parse(raw)
	if err != nil {
		return err
	}
	return s.save(p)
}

// serveBare starts the bare server and returns its address.
func serveBare(b *testing.B, save func(p *parsed) error) string {
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) { return backend{save}, nil }))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	go s.Serve(l)
	b.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// statements are prepared on the one connection that writes.
type statements struct {
	conn  *sql.Conn
	cache map[string]*sql.Stmt
	n     int64
}

func (s *statements) exec(query string, args ...any) error {
	st := s.cache[query]
	if st == nil {
		var err error
		if st, err = s.conn.PrepareContext(context.Background(), query); err != nil {
			return err
		}
		s.cache[query] = st
	}
	_, err := st.ExecContext(context.Background(), args...)
	return err
}

// group writes in one transaction what waits at the time.
type group struct {
	s        *statements
	requests chan request
}

type request struct {
	write func(s *statements) error
	done  chan error
}

const maxGroup = 256

func openGroup(b testing.TB, path string) *group {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)&_pragma=journal_mode(wal)&_pragma=synchronous(full)"+
		"&_pragma=secure_delete(fast)&_pragma=temp_store(memory)&_pragma=journal_size_limit(67108864)&_pragma=cache_size(-32768)"+
		"&_pragma=wal_autocheckpoint(4000)")
	require.NoError(b, err)
	conn, err := db.Conn(b.Context())
	require.NoError(b, err)
	g := &group{s: &statements{conn: conn, cache: map[string]*sql.Stmt{}}, requests: make(chan request, maxGroup)}
	ended := make(chan struct{})
	go func() { defer close(ended); g.run() }()
	b.Cleanup(func() {
		close(g.requests)
		<-ended
		conn.Close()
		db.Close()
	})
	return g
}

func (g *group) run() {
	for first := range g.requests {
		batch := []request{first}
		for more := true; more && len(batch) < maxGroup; {
			select {
			case r := <-g.requests:
				batch = append(batch, r)
			default:
				more = false
			}
		}
		err := g.s.exec("BEGIN IMMEDIATE")
		for _, r := range batch {
			if err == nil {
				err = r.write(g.s)
			}
		}
		if err == nil {
			err = g.s.exec("COMMIT")
		}
		for _, r := range batch {
			r.done <- err
		}
	}
}

func (g *group) do(write func(s *statements) error) error {
	done := make(chan error, 1)
	g.requests <- request{write, done}
	return <-done
}

// boundA takes mail with the rows that a Desk writes.
func boundA(b *testing.B) string {
	path := filepath.Join(b.TempDir(), "bound.db")
	store, err := sqlitestore.Open(path) // for its tables
	require.NoError(b, err)
	require.NoError(b, store.Close())
	g := openGroup(b, path)
	return serveBare(b, func(p *parsed) error {
		r, err := encode(p)
		if err != nil {
			return err
		}
		return g.do(r.write)
	})
}

// record holds what the rows of one mail are made of.
type record struct {
	p                                                                     *parsed
	item, body, contact, conversation, message, ticket, decision, channel string
	keys                                                                  [3][32]byte
	docs                                                                  [6][]byte
	events                                                                [3][]byte
	search                                                                string
	micros                                                                int64
	day                                                                   string
}

func encode(p *parsed) (*record, error) {
	id := func() string { return uuid.Must(uuid.NewV7()).String() }
	r := &record{
		p: p, item: id(), body: id(), contact: id(), conversation: id(), message: id(), ticket: id(), decision: id(),
		channel: "01a201c6-063c-7bb3-9d24-12f2c02194c0",
	}
	now := time.Now().UTC().Truncate(time.Microsecond)
	r.micros, r.day = now.UnixMicro(), now.Format(time.DateOnly)
	for i, what := range []string{"item\x00" + p.id, "contact\x00" + p.from.Address, "thread\x00" + p.id + "\x00" + p.from.Address} {
		r.keys[i] = sha256.Sum256([]byte(r.channel + "\x00" + what))
	}
	r.search = ticket.Fold(strings.Join([]string{p.subject, p.from.Name, p.from.Address, p.text}, " "))
	raw := ticket.BodyRef{ID: ticket.BodyID(r.body), Size: int64(len(p.raw))}
	if p.blob != "" {
		raw = ticket.BodyRef{ID: ticket.BodyID(p.blob), Size: p.size, Blob: true}
	}
	cust := ticket.Actor{Kind: ticket.ActorCustomer}
	ch, conv, tick, msg := channel.ID(r.channel), ticket.ConversationID(r.conversation), ticket.TicketID(r.ticket), ticket.MessageID(r.message)
	contact := ticket.ContactID(r.contact)
	event := func(kind ticket.EventType, data map[string]string) *ticket.Event {
		return &ticket.Event{ID: id(), Type: kind, At: now, Actor: cust, Ticket: tick, Conversation: conv, Message: msg, Channel: ch, Data: data}
	}
	for i, v := range []any{
		&ticket.Contact{ID: contact, Name: p.from.Name, Identities: []ticket.Identity{{Scheme: "mailto", Address: p.from.Address}}, CreatedAt: now, UpdatedAt: now},
		&ticket.Conversation{
			ID: conv, Channel: ch, Contact: contact, Subject: p.subject, Participants: []ticket.Participant{{Party: p.from}},
			References: []string{p.id}, Ticket: tick, MessageCount: 1, LastIncoming: msg, LastCustomerAt: now, Since: p.at, LastActAt: p.at, CreatedAt: now, UpdatedAt: now,
		},
		&ticket.Ticket{
			ID: tick, Subject: p.subject, Status: ticket.Open, Priority: ticket.Normal, Channel: ch, Conversation: conv,
			Conversations: []ticket.ConversationID{conv}, Contact: contact, MessageCount: 1, LastCustomerAt: now, CreatedAt: now, UpdatedAt: now,
		},
		&ticket.Message{
			ID: msg, Conversation: conv, Ticket: tick, Channel: ch, Direction: ticket.In, Contact: contact, From: p.from, To: []channel.Party{p.to},
			Subject: p.subject, Text: p.text, HTML: p.html, Envelope: channel.Envelope{From: p.from.Address, To: p.to.Address, Known: true, RemoteIP: "127.0.0.1", Helo: "client.example", Transport: "smtp"},
			Raw: raw, Attachments: p.enclosed, ExternalIDs: []string{p.id}, State: ticket.StateReceived, At: p.at, CreatedAt: now, UpdatedAt: now,
		},
		&ticket.Item{ID: ticket.ItemID(r.item), Channel: ch, Day: r.day, Disposition: ticket.DisposedMessage, Message: msg, Raw: raw, ReceivedAt: now},
		&ticket.Decision{ID: r.decision, Kind: "intake", Ticket: tick, Conversation: conv, Message: msg, Outcome: "message", At: now, Steps: []ticket.Step{
			{Rule: "thread", Outcome: "new", Detail: "refers to nothing"}, {Rule: "queue", Outcome: "none"}, {Rule: "ticket", Outcome: "new"},
			{Rule: "auto_reply", Outcome: "no", Detail: "off for this channel"},
		}},
	} {
		doc, err := json.Marshal(v)
		if err != nil {
			return nil, err
		}
		r.docs[i] = doc
	}
	for i, e := range []*ticket.Event{
		event(ticket.EventConversation, nil), event(ticket.EventTicketCreated, map[string]string{"queue": ""}),
		event(ticket.EventMessageReceived, map[string]string{"automatic": "", "direction": "in"}),
	} {
		doc, err := json.Marshal(e)
		if err != nil {
			return nil, err
		}
		r.events[i] = doc
	}
	return r, nil
}

func (r *record) write(s *statements) error {
	s.n++
	var errs []error
	exec := func(query string, args ...any) { errs = append(errs, s.exec(query, args...)) }
	for i, ref := range [3][2]string{{"item", r.item}, {"contact", r.contact}, {"conversation", r.conversation}} {
		exec("INSERT INTO keys (portal, key, kind, ref) VALUES (1, ?, ?, ?) ON CONFLICT DO NOTHING", r.keys[i][:], ref[0], ref[1])
	}
	exec("INSERT INTO contacts (portal, id, rev, doc) VALUES (1, ?, 1, ?)", r.contact, string(r.docs[0]))
	exec("INSERT INTO conversations (portal, id, rev, channel, contact, ticket, updated, doc) VALUES (1, ?, 1, ?, ?, ?, ?, ?)",
		r.conversation, r.channel, r.contact, r.ticket, r.micros, string(r.docs[1]))
	exec("INSERT INTO tickets (portal, id, rev, number, status, channel, contact, updated, deleted, doc) VALUES (1, ?, 1, ?, 1, ?, ?, ?, 0, ?)",
		r.ticket, s.n, r.channel, r.contact, r.micros, string(r.docs[2]))
	exec("INSERT INTO messages (place, portal, id, rev, ticket, conversation, doc) VALUES (?, 1, ?, 1, ?, ?, ?)",
		s.n, r.message, r.ticket, r.conversation, string(r.docs[3]))
	exec("INSERT INTO search (rowid, text) VALUES (?, ?)", s.n, r.search)
	exec("INSERT INTO items (portal, id, rev, channel, day, disposition, cause, message, doc) VALUES (1, ?, 1, ?, ?, 'message', '', ?, ?)",
		r.item, r.channel, r.day, r.message, string(r.docs[4]))
	exec("INSERT INTO ledger (portal, day, channel, disposition, cause, count) VALUES (1, ?, ?, 'message', '', 1) ON CONFLICT DO UPDATE SET count = count + 1",
		r.day, r.channel)
	if r.p.blob == "" {
		exec("INSERT INTO bodies (portal, id, data) VALUES (1, ?, ?)", r.body, r.p.raw)
	} else {
		exec("INSERT INTO counters (portal, name, value, expires) VALUES (1, ?, 1, 0)", "body:"+r.p.blob)
	}
	exec("INSERT INTO decisions (portal, id, ticket, conversation, message, doc) VALUES (1, ?, ?, ?, ?, ?)",
		r.decision, r.ticket, r.conversation, r.message, string(r.docs[5]))
	for i, doc := range r.events {
		var of any = r.ticket
		if i == 0 {
			of = nil
		}
		exec("INSERT INTO events (place, ticket, doc) VALUES (?, ?, ?)", 1<<40+s.n*3+int64(i), of, string(doc))
	}
	return errors.Join(errs...)
}

// boundB takes mail with a row for the message and one for the ticket.
func boundB(b *testing.B) string {
	g := openGroup(b, filepath.Join(b.TempDir(), "bound.db"))
	require.NoError(b, g.do(func(s *statements) error {
		return errors.Join(
			s.exec("CREATE TABLE tickets (id TEXT PRIMARY KEY, subject TEXT, contact TEXT, status TEXT, created TEXT) WITHOUT ROWID"),
			s.exec("CREATE TABLE messages (id TEXT PRIMARY KEY, ticket TEXT, sender TEXT, name TEXT, text TEXT, html TEXT, raw BLOB, at TEXT)"))
	}))
	return serveBare(b, func(p *parsed) error {
		tick, msg := uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()
		at := strconv.FormatInt(p.at.Unix(), 10)
		return g.do(func(s *statements) error {
			return errors.Join(
				s.exec("INSERT INTO tickets VALUES (?, ?, ?, 'open', ?)", tick, p.subject, p.from.Address, at),
				s.exec("INSERT INTO messages VALUES (?, ?, ?, ?, ?, ?, ?, ?)", msg, tick, p.from.Address, p.from.Name, p.text, p.html, p.raw, at))
		})
	})
}
