package account

import (
	"context"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/anteroom/anteroom/email"
)

// submission is one mail ready to leave.
type submission struct {
	from string   // reverse-path as it stands on the wire; empty is the null one
	to   []string // recipients as they stand on the wire

	size     int64 // bytes with CRLF line ends, before dot-stuffing
	eightBit bool  // the body has bytes over 127
	utf8     bool  // the header or the envelope does

	dsn    bool   // ask for delivery reports where the server offers them
	notify string // of what, RFC 3461 section 4.1
	envid  string // what reports call the message (RFC 3461 section 4.4)

	// write writes the whole mail; it yields the same bytes each time.
	write func(w io.Writer) error
	// refused, if set, is called with what is known of recipients before the
	// content leaves.
	refused func(result)
	// handed is called between the last byte of the mail and the final dot.
	handed func(ctx context.Context) error
}

// verdict is what the server said about one recipient.
type verdict int

const (
	unasked verdict = iota
	accepted
	postponed // 4xx
	denied    // 5xx
)

// result is what became of a submission, recipient by recipient.
type result struct {
	verdicts []verdict // parallel to submission.to
	details  []string
	codes    []string
	gone     []bool // the server knows no such recipient
	text     string // the server's words on taking the message
}

// submit runs one mail transaction. It returns nil when the server took the
// message for the recipients it accepted, which may not be all, but is at least one.
func (s *session) submit(m submission) (result, *failure) {
	res := result{
		verdicts: make([]verdict, len(m.to)), details: make([]string, len(m.to)), codes: make([]string, len(m.to)),
		gone: make([]bool, len(m.to)),
	}
	if f := s.fits(m); f != nil {
		return res, f
	}
	r, f := s.command(stageMail, s.mailCommand(m))
	if f != nil {
		return res, f
	}
	if r.class() != 2 {
		return res, refused(stageMail, r, s.secrets)
	}
	if f := s.recipients(m, &res); f != nil {
		return res, f
	}
	if m.refused != nil {
		m.refused(res)
	}
	r, f = s.command(stageData, "DATA")
	if f != nil {
		return res, f
	}
	if r.code != 354 {
		return res, refused(stageData, r, s.secrets)
	}
	r, f = s.content(m)
	if f != nil {
		return res, f
	}
	if r.class() != 2 {
		return res, refused(stageFinal, r, s.secrets)
	}
	res.text = r.text(s.secrets)
	return res, nil
}

// fits holds the mail against what the server announced, before anything of it
// is told.
func (s *session) fits(m submission) *failure {
	switch limit := s.sizeLimit(); {
	case limit > 0 && m.size > limit:
		return &failure{
			stage: stageMail, code: "too_large", rejected: true,
			text: fmt.Sprintf("the mail has %d bytes; the server takes at most %d", m.size, limit),
			fix:  "Send fewer or smaller attachments.",
		}
	case m.utf8 && !s.offers("SMTPUTF8"):
		return &failure{
			stage: stageMail, code: "needs_smtputf8", rejected: true,
			text: "an address has letters outside ASCII before the @, which the server does not support (SMTPUTF8)",
			fix:  "Use another address of the recipient.",
		}
	case m.eightBit && !s.offers("8BITMIME"):
		return &failure{
			stage: stageMail, code: "needs_8bitmime", rejected: true,
			text: "the mail has 8-bit content, which the server does not support (8BITMIME)",
		}
	}
	return nil
}

func (s *session) mailCommand(m submission) string {
	var b strings.Builder
	b.WriteString("MAIL FROM:<" + m.from + ">")
	if s.offers("SIZE") {
		fmt.Fprintf(&b, " SIZE=%d", m.size)
	}
	if m.eightBit || (m.utf8 && s.offers("8BITMIME")) {
		b.WriteString(" BODY=8BITMIME")
	}
	if m.utf8 {
		b.WriteString(" SMTPUTF8")
	}
	if m.dsn && s.offers("DSN") {
		b.WriteString(" RET=HDRS")
		if m.envid != "" {
			b.WriteString(" ENVID=" + xtext(m.envid))
		}
	}
	return b.String()
}

// recipients asks about each. A refusal concerns that recipient only; a failure
// is returned when nobody is left to send to, or when the server closes.
func (s *session) recipients(m submission, res *result) *failure {
	var first [denied + 1]*reply
	for i, to := range m.to {
		line := "RCPT TO:<" + to + ">"
		if m.dsn && s.offers("DSN") {
			line += " NOTIFY=" + m.notify
			if isASCII(to) {
				line += " ORCPT=rfc822;" + xtext(to)
			}
		}
		r, f := s.command(stageRcpt, line)
		if f != nil {
			return f
		}
		v := accepted
		switch {
		case r.class() == 2:
		case r.code == 421 || isAuthorization(stageRcpt, r):
			return refused(stageRcpt, r, s.secrets)
		case isTemporary(r):
			v = postponed
		default:
			v = denied
		}
		res.verdicts[i] = v
		if v != accepted {
			res.details[i] = r.text(s.secrets)
			res.codes[i] = fmt.Sprintf("smtp_%03d", r.code)
			res.gone[i] = v == denied && email.Undeliverable(r.enhanced, res.details[i])
		}
		if first[v] == nil {
			first[v] = &r
		}
	}
	if first[accepted] != nil {
		return nil
	}
	if r := first[postponed]; r != nil {
		f := refused(stageRcpt, *r, s.secrets)
		f.rejected = false
		// 552 5.5.3 is worth another try although it is no 4xx.
		if r.class() == 5 {
			f.reply = &reply{code: 452, enhanced: "4.5.3", lines: r.lines}
		}
		return f
	}
	return refused(stageRcpt, *first[denied], s.secrets)
}

// content streams the mail, has it marked as handed over, ends it and reads the
// answer. A failure before the final dot leaves the connection closed, which
// RFC 5321 section 4.1.1.4 makes the server forget the mail.
func (s *session) content(m submission) (reply, *failure) {
	w := newDotWriter(blockWriter{s})
	if err := m.write(w); err != nil {
		return s.cutOff(w, err)
	}
	// Everything but the dot is on its way before the message counts as
	// handed: nothing that comes later can fail for a reason of its own.
	if err := w.finish(); err != nil {
		return s.cutOff(w, err)
	}
	if w.written != m.size {
		s.close()
		return reply{}, &failure{
			stage: stageData, code: "changed",
			text: fmt.Sprintf("the mail has %d bytes now and had %d a moment ago", w.written, m.size),
		}
	}
	if m.handed != nil {
		if err := m.handed(s.ctx); err != nil {
			s.close()
			return reply{}, &failure{
				stage: stageData, code: "not_handed", err: err,
				text: "the message could not be marked as handed over, so it was not",
			}
		}
	}
	if err := s.ctx.Err(); err != nil {
		s.close()
		return reply{}, broken(s.ctx, stageData, err)
	}
	s.conn.SetDeadline(time.Now().Add(s.timeouts.Final))
	if _, err := s.conn.Write([]byte(".\r\n")); err != nil {
		return reply{}, broken(s.ctx, stageFinal, err)
	}
	r, err := readReply(s.r)
	if err != nil {
		return reply{}, broken(s.ctx, stageFinal, err)
	}
	return r, nil
}

// cutOff ends a mail in its middle. If it was the server that would not go on
// it may have said why.
func (s *session) cutOff(w *dotWriter, err error) (reply, *failure) {
	defer s.close()
	if w.err == nil { // not the connection: the content could not be read
		return reply{}, &failure{
			stage: stageData, code: "content", err: err,
			text: "the mail's content could not be read",
		}
	}
	f := broken(s.ctx, stageData, w.err)
	s.raw.SetDeadline(time.Now().Add(quitWait))
	if r, err := readReply(s.r); err == nil && r.class() >= 4 {
		f = refused(stageData, r, s.secrets)
	}
	return reply{}, f
}

// blockWriter gives each write its deadline.
type blockWriter struct{ s *session }

func (w blockWriter) Write(p []byte) (int, error) {
	w.s.conn.SetDeadline(time.Now().Add(w.s.timeouts.Block))
	return w.s.conn.Write(p)
}

// notifyOf returns the words of RFC 3461 section 4.1 for what is asked for.
func notifyOf(r Reports) string {
	if r == ReportAll {
		return "SUCCESS,FAILURE,DELAY"
	}
	return "FAILURE,DELAY"
}

// xtext encodes a parameter (RFC 3461 section 4).
func xtext(s string) string {
	var b strings.Builder
	for i := range len(s) {
		if c := s[i]; c < '!' || c > '~' || c == '+' || c == '=' {
			fmt.Fprintf(&b, "+%02X", c)
		} else {
			b.WriteByte(c)
		}
	}
	return b.String()
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r >= 0x80 }) < 0
}
