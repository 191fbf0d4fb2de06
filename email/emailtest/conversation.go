package emailtest

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"time"
)

// conversation is one client's session, line by line.
type conversation struct {
	s    *SMTP
	conn net.Conn
	r    *bufio.Reader

	hello string
	user  string
	tls   bool
	cur   *Message // the transaction, from MAIL on
}

// errGone ends a session.
var errGone = errors.New("emailtest: session is over")

func newConversation(s *SMTP, c net.Conn) *conversation {
	return &conversation{s: s, conn: c, r: bufio.NewReader(c)}
}

func (c *conversation) run() {
	if c.s.conf.implicit && c.startTLS() != nil {
		return
	}
	if c.answer(AtConnect, "220 "+c.s.conf.hostname+" ESMTP emailtest") != nil {
		return
	}
	for {
		line, err := c.line()
		if err != nil {
			return
		}
		if c.handle(line) != nil {
			return
		}
	}
}

func (c *conversation) startTLS() error {
	t := tls.Server(c.conn, c.s.tlsConfig())
	t.SetDeadline(time.Now().Add(10 * time.Second))
	if err := t.Handshake(); err != nil {
		return err
	}
	t.SetDeadline(time.Time{})
	c.conn, c.r, c.tls = t, bufio.NewReader(t), true
	c.hello, c.user, c.cur = "", "", nil
	return nil
}

// maxLine is the longest command; logins with tokens are long.
const maxLine = 16 << 10

func (c *conversation) line() (string, error) {
	var b []byte
	for {
		ch, err := c.r.ReadByte()
		if err != nil {
			return "", err
		}
		if ch == '\n' {
			break
		}
		if b = append(b, ch); len(b) > maxLine {
			return "", errGone
		}
	}
	line := strings.TrimSuffix(string(b), "\r")
	c.s.note(line)
	return line, nil
}

// answer writes the lines, unless a fault strikes at that point.
func (c *conversation) answer(at Point, lines ...string) error {
	f, hit := c.s.strike(at, "")
	if hit && f.Reply != "" {
		lines = strings.Split(f.Reply, "\n")
	}
	if hit && f.Hang {
		// Until the client goes or the server closes the connection.
		io.Copy(io.Discard, c.conn)
		return errGone
	}
	if hit && f.Drop {
		return errGone
	}
	return c.write(f.Slow, lines)
}

func (c *conversation) write(slow time.Duration, lines []string) error {
	var b bytes.Buffer
	for i, l := range lines {
		if i < len(lines)-1 && len(l) > 3 && l[3] == ' ' {
			l = l[:3] + "-" + l[4:]
		}
		b.WriteString(l + "\r\n")
	}
	if slow == 0 {
		_, err := c.conn.Write(b.Bytes())
		return err
	}
	for _, ch := range b.Bytes() {
		select {
		case <-time.After(slow):
		case <-c.s.closed:
			return errGone
		}
		if _, err := c.conn.Write([]byte{ch}); err != nil {
			return err
		}
	}
	return nil
}

func (c *conversation) handle(line string) error {
	verb, rest, _ := strings.Cut(line, " ")
	switch strings.ToUpper(verb) {
	case "EHLO":
		c.hello, c.cur = rest, nil
		return c.answer(AtHello, c.extensions()...)
	case "HELO":
		c.hello, c.cur = rest, nil
		return c.answer(AtHello, "250 "+c.s.conf.hostname)
	case "STARTTLS":
		return c.upgrade()
	case "AUTH":
		return c.auth(rest)
	case "MAIL":
		return c.mail(rest)
	case "RCPT":
		return c.rcpt(rest)
	case "DATA":
		return c.data()
	case "RSET":
		c.cur = nil
		return c.write(0, []string{"250 2.0.0 reset"})
	case "NOOP":
		return c.write(0, []string{"250 2.0.0 ok"})
	case "QUIT":
		if err := c.answer(AtQuit, "221 2.0.0 bye"); err != nil {
			return err
		}
		return errGone
	}
	return c.write(0, []string{"500 5.5.1 unknown command"})
}

func (c *conversation) extensions() []string {
	conf := c.s.conf
	lines := []string{"250 " + conf.hostname}
	add := func(line string) {
		keyword, _, _ := strings.Cut(line, " ")
		if c.s.shows(strings.ToUpper(keyword)) {
			lines = append(lines, "250 "+line)
		}
	}
	add(fmt.Sprintf("SIZE %d", conf.maxSize))
	if conf.startTLS && !c.tls {
		add("STARTTLS")
	}
	if len(conf.mechanisms) > 0 {
		add("AUTH " + strings.Join(conf.mechanisms, " "))
	}
	for _, e := range conf.extensions {
		add(e)
	}
	return lines
}

func (c *conversation) upgrade() error {
	if !c.s.conf.startTLS || c.tls || !c.s.shows("STARTTLS") {
		return c.write(0, []string{"502 5.5.1 no STARTTLS here"})
	}
	f, hit := c.s.strike(AtStartTLS, "")
	switch {
	case hit && f.Reply != "":
		return c.write(f.Slow, strings.Split(f.Reply, "\n"))
	case hit && f.Hang:
		io.Copy(io.Discard, c.conn)
		return errGone
	case hit && f.Drop:
		return errGone
	}
	if err := c.write(f.Slow, []string{"220 2.0.0 go ahead"}); err != nil {
		return err
	}
	return c.startTLS()
}

// address takes "FROM:<a@b> PARAMS" apart.
func address(rest, prefix string) (addr, params string, ok bool) {
	if len(rest) < len(prefix) || !strings.EqualFold(rest[:len(prefix)], prefix) {
		return "", "", false
	}
	rest = strings.TrimSpace(rest[len(prefix):])
	end := strings.IndexByte(rest, '>')
	if !strings.HasPrefix(rest, "<") || end < 0 {
		return "", "", false
	}
	return rest[1:end], strings.TrimSpace(rest[end+1:]), true
}

func (c *conversation) mail(rest string) error {
	from, params, ok := address(rest, "FROM:")
	due := "250 2.1.0 ok"
	switch {
	case c.hello == "":
		due = "503 5.5.1 say EHLO first"
	case c.cur != nil:
		due = "503 5.5.1 one sender at a time"
	case !ok:
		due = "501 5.5.4 bad sender"
	case c.user == "" && len(c.s.conf.users)+len(c.s.conf.tokens) > 0:
		due = "530 5.7.0 authentication required"
	case !ascii(from) && !slices.Contains(strings.Fields(params), "SMTPUTF8"):
		due = "550 5.6.7 address needs SMTPUTF8"
	case sizeParam(params) > c.s.conf.maxSize:
		due = "552 5.3.4 message too large"
	}
	accepted := strings.HasPrefix(due, "250")
	f, hit := c.s.strike(AtMail, "")
	if accepted && (!hit || f.Reply == "") {
		c.cur = &Message{From: from, MailParams: params, Hello: c.hello, User: c.user, TLS: c.tls}
	}
	return c.reply(f, hit, due)
}

// reply is answer for a fault that was struck already.
func (c *conversation) reply(f Fault, hit bool, due string) error {
	switch {
	case hit && f.Hang:
		io.Copy(io.Discard, c.conn)
		return errGone
	case hit && f.Drop:
		return errGone
	case hit && f.Reply != "":
		return c.write(f.Slow, strings.Split(f.Reply, "\n"))
	}
	return c.write(f.Slow, []string{due})
}

func (c *conversation) rcpt(rest string) error {
	to, params, ok := address(rest, "TO:")
	due := "250 2.1.5 ok"
	switch {
	case c.cur == nil:
		due = "503 5.5.1 MAIL first"
	case !ok || to == "":
		due = "501 5.5.4 bad recipient"
	case !ascii(to) && !slices.Contains(strings.Fields(c.cur.MailParams), "SMTPUTF8"):
		due = "553 5.6.7 address needs SMTPUTF8"
	}
	f, hit := c.s.strike(AtRcpt, to)
	if strings.HasPrefix(due, "250") && (!hit || f.Reply == "") {
		c.cur.To = append(c.cur.To, to)
		c.cur.RcptParams = append(c.cur.RcptParams, params)
	}
	return c.reply(f, hit, due)
}

func (c *conversation) data() error {
	if c.cur == nil || len(c.cur.To) == 0 {
		return c.write(0, []string{"503 5.5.1 RCPT first"})
	}
	f, hit := c.s.strike(AtData, "")
	if err := c.reply(f, hit, "354 go ahead"); err != nil || (hit && f.Reply != "" && !strings.HasPrefix(f.Reply, "354")) {
		c.cur = nil
		return err
	}
	m := c.cur
	c.cur = nil
	raw, due, err := c.content()
	if err != nil {
		return err
	}
	if f, hit := c.s.strike(AtDot, ""); hit {
		return c.reply(f, hit, "451 4.3.0 not stored")
	}
	if due == "" {
		m.Raw = raw
		c.s.inbox.put(m)
		if c.s.conf.sent != nil {
			c.s.conf.sent(raw)
		}
		due = "250 2.0.0 stored as " + fmt.Sprint(len(c.s.inbox.messages()))
	}
	return c.answer(AtAnswer, due)
}

// content reads to the final dot, which is CRLF.CRLF and nothing else. due is
// the answer if the content cannot be taken.
func (c *conversation) content() (raw []byte, due string, err error) {
	f, hit := c.s.strike(AtBody, "")
	total := 0
	for {
		if hit && total >= f.Bytes {
			if f.Hang { // reading on would let the client come to its dot
				<-c.s.closed
				return nil, "", errGone
			}
			if err := c.reply(f, hit, "451 4.3.0 not stored"); err != nil || f.Reply != "" {
				return nil, "", errGone
			}
			hit = false
		}
		line, err := c.r.ReadBytes('\n')
		if err != nil {
			return nil, "", err
		}
		total += len(line)
		if bytes.Equal(line, []byte(".\r\n")) {
			return raw, due, nil
		}
		body, ok := bytes.CutSuffix(line, []byte("\r\n"))
		if !ok || bytes.ContainsAny(body, "\r\x00") {
			due = "550 5.5.2 bare line feed, bare carriage return or NUL in the content"
		}
		if len(raw) > c.s.conf.maxSize {
			due, raw = "552 5.3.4 message too large", nil
		}
		raw = append(raw, bytes.TrimPrefix(line, []byte("."))...)
	}
}

func sizeParam(params string) int {
	n := 0
	for p := range strings.FieldsSeq(params) {
		fmt.Sscanf(p, "SIZE=%d", &n)
	}
	return n
}

func ascii(s string) bool {
	for i := range len(s) {
		if s[i] >= 0x80 {
			return false
		}
	}
	return true
}
