package hosted

import (
	"errors"
	"io"
	"log/slog"
	"net/netip"
	"strings"
	"sync"
	"unicode"
	"unicode/utf8"

	"github.com/emersion/go-smtp"

	"github.com/anteroom/anteroom/channel"
)

// session is what go-smtp asks. It is made at the first EHLO.
type session struct {
	run    *run
	smtp   *smtp.Conn
	conn   *conn
	remote netip.Addr

	// Known to the goroutine of the connection alone.
	messages int
	unknown  int

	mu       sync.Mutex
	tx       *transaction
	chunking bool // a message comes in chunks and has not ended
}

// transaction is one envelope. Its fields do not change once data comes.
type transaction struct {
	envelope channel.Envelope
	rcpts    []recipient
}

type recipient struct {
	given  string // as the peer wrote it
	target target
}

func (r *run) newSession(c *smtp.Conn) (smtp.Session, error) {
	w, ok := c.Conn().(*conn)
	if !ok {
		return nil, replyTryLater()
	}
	return &session{run: r, smtp: c, conn: w, remote: remoteIP(w.RemoteAddr())}, nil
}

// Mail begins a transaction. The null path is an address like any other.
func (s *session) Mail(from string, opts *smtp.MailOptions) error {
	s.mu.Lock()
	open := s.tx != nil
	s.mu.Unlock()
	sealed, helloed := s.conn.state()
	switch {
	case open || !helloed:
		return replySequence() // RFC 5321 section 4.1.4, RFC 3207 section 4.2
	case !s.run.lmtp && s.run.limits.Messages > 0 && s.messages >= s.run.limits.Messages:
		s.conn.finish()
		return replyTooManyMessages()
	case from != "" && !plausible(from):
		return replyBadSender()
	case !s.conn.begin():
		return replyStopping()
	}
	env := channel.Envelope{
		From: from, Known: true, NullPath: from == "",
		Helo: printable(s.smtp.Hostname()), TLS: sealed,
		Transport: s.run.transport(),
		SMTPUTF8:  opts != nil && opts.UTF8,
	}
	if s.remote.IsValid() {
		env.RemoteIP = s.remote.String()
	}
	s.mu.Lock()
	s.tx = &transaction{envelope: env}
	s.mu.Unlock()
	return nil
}

// Rcpt takes a recipient that is ours and refuses every other: nothing is ever
// relayed, and nothing is accepted that would have to be bounced.
func (s *session) Rcpt(to string, _ *smtp.RcptOptions) error {
	s.mu.Lock()
	tx := s.tx
	s.mu.Unlock()
	switch {
	case tx == nil:
		return replySequence()
	case !plausible(to):
		return replyBadRecipient()
	}
	local, domain, ok := splitAddress(to)
	if !ok {
		return replyBadRecipient()
	}
	t, found, err := s.run.server.resolve(s.run.ctx, local, domain)
	switch {
	case err != nil:
		s.run.server.log().Warn("hosted: recipient could not be looked up", "error", err)
		return replyTryLater()
	case !found:
		return s.refuse()
	case s.run.server.sinkOf(t) == nil:
		return replyInactive()
	}
	tx.rcpts = append(tx.rcpts, recipient{given: to, target: t})
	return nil
}

// refuse answers an unknown recipient, slowly and in the end not at all to a
// peer that tries many.
func (s *session) refuse() error {
	s.unknown++
	l := s.run.limits
	if s.run.lmtp {
		return replyUnknown()
	}
	if l.Unknown > 0 && s.unknown >= l.Unknown {
		s.run.gate.shun(network(s.remote))
		s.run.server.log().Info("hosted: too many unknown recipients", "remote", s.remote.String())
		s.conn.finish()
		return replyTooManyUnknown()
	}
	if d := l.slowness(s.unknown); d > 0 {
		s.run.pause(d)
	}
	return replyUnknown()
}

// Reset ends the transaction; go-smtp calls it after each message too.
//
// It ends the connection if a message in chunks was under way: the goroutine
// that took it would hand its result to the next message.
func (s *session) Reset() {
	s.mu.Lock()
	s.tx = nil
	chunking := s.chunking
	s.mu.Unlock()
	if chunking {
		s.conn.finish()
	}
	s.conn.end()
}

// Logout ends the session.
func (s *session) Logout() error {
	s.Reset()
	return nil
}

// Data takes a message in, for all recipients or none as far as one sink holds
// them.
func (s *session) Data(r io.Reader) (err error) {
	defer s.guard(&err)
	d, fail := s.receive(r)
	if fail != nil {
		return fail
	}
	defer d.close()
	var worst *smtp.SMTPError
	for _, status := range d.deliver(false) {
		worst = worse(worst, status)
	}
	if worst != nil {
		return worst
	}
	s.accepted()
	return replyQueued(d.id)
}

// LMTPData takes a message in, for each recipient by itself.
func (s *session) LMTPData(r io.Reader, collect smtp.StatusCollector) (err error) {
	defer s.guard(&err)
	d, fail := s.receive(r)
	if fail != nil {
		return fail
	}
	defer d.close()
	taken := false
	for i, status := range d.deliver(true) {
		if status == nil {
			status = replyQueued(d.id)
			taken = true
		}
		collect.SetStatus(d.tx.rcpts[i].given, status)
	}
	if taken {
		s.accepted()
	}
	return replyTryLater() // for recipients without a status; there are none
}

// guard turns a panic into a temporary failure.
func (s *session) guard(err *error) {
	if p := recover(); p != nil {
		s.run.server.log().Error("hosted: panic while a message was taken in", "panic", panicText(p))
		*err = replyTryLater()
	}
}

func (s *session) accepted() {
	s.mu.Lock()
	s.messages++
	s.mu.Unlock()
	s.conn.progressed()
}

// receive spools a message.
func (s *session) receive(r io.Reader) (_ *delivery, fail *smtp.SMTPError) {
	_, chunked := r.(*io.PipeReader) // that is how go-smtp hands chunks over
	s.mu.Lock()
	tx := s.tx
	s.chunking = chunked && tx != nil
	s.mu.Unlock()
	if tx == nil || len(tx.rcpts) == 0 {
		s.conn.finish() // chunks that were reset before they came here
		return nil, replySequence()
	}
	if !s.run.beginDelivery() {
		return nil, replyStopping()
	}
	d := newDelivery(s, tx)
	received := false
	defer func() {
		if !received { // also when the sink that keeps the message panics
			d.close()
		}
	}()
	if chunked {
		s.conn.enterData()
	} else {
		r = message{s.conn}
	}
	err := d.spool.fill(r)
	if d.spool.ended {
		s.mu.Lock()
		s.chunking = false
		s.mu.Unlock()
	}
	if err == nil && s.conn.broken() {
		// The end of the stream within the last chunk looks like its end.
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		fail = replyToRead(err, s.run.limits)
		level := slog.LevelDebug // the peer's doing
		if errors.Is(err, errSpool) || errors.Is(err, errSpoolFull) {
			level = slog.LevelWarn
		}
		d.log(level, "hosted: message not taken", "code", fail.Code, "error", err)
		return nil, fail
	}
	received = true
	return d, nil
}

// plausible reports whether an address of an envelope can be used: go-smtp lets
// raw UTF-8 and quoted strings through whatever was agreed.
func plausible(addr string) bool {
	if len(addr) > 320 || !utf8.ValidString(addr) || strings.LastIndexByte(addr, '@') <= 0 {
		return false
	}
	return strings.IndexFunc(addr, func(r rune) bool {
		return unicode.IsControl(r) || unicode.IsSpace(r)
	}) < 0
}

// printable makes the name that a peer gave itself safe to keep.
func printable(s string) string {
	s = strings.Map(func(r rune) rune {
		if r == utf8.RuneError || unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
	if len(s) > 255 {
		s = strings.ToValidUTF8(s[:255], "")
	}
	return s
}

func panicText(p any) string {
	if err, ok := p.(error); ok {
		return err.Error()
	}
	if s, ok := p.(string); ok {
		return s
	}
	return "panic"
}
