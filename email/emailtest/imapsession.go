package emailtest

import (
	"bufio"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"
)

// imapSession is one connection. Its fields above the line are for its own
// goroutine, those below are guarded by IMAP.mu.
type imapSession struct {
	s       *IMAP
	conn    net.Conn
	cfg     *tls.Config
	r       *bufio.Reader
	secure  bool
	user    string
	view    []*imapMail // what the client knows of the open folder
	slow    time.Duration
	tag     string
	goodbye bool

	raw      net.Conn
	open     *imapFolder
	readOnly bool
	idling   bool
	again    bool // announce although nothing changed
	wake     chan struct{}
}

var errDropped = errors.New("dropped by the script")

// maxIMAPLine bounds a command with its literals.
const maxIMAPLine = 64 << 20

func newIMAPSession(s *IMAP, raw net.Conn, cfg *tls.Config) *imapSession {
	c := &imapSession{s: s, conn: raw, raw: raw, cfg: cfg, wake: make(chan struct{}, 1)}
	if s.conf.implicit {
		c.conn, c.secure = tls.Server(raw, cfg), true
	}
	c.r = bufio.NewReader(c.conn)
	return c
}

func (c *imapSession) run() {
	if c.fault(AtConnect, "* ") != nil {
		return
	}
	err := c.write("* OK [CAPABILITY " + c.capabilities() + "] fake ready")
	for err == nil && !c.goodbye {
		var line string
		if line, err = c.command(); err == nil {
			err = c.dispatch(line)
		}
	}
}

// write sends one line.
func (c *imapSession) write(line string) error { return c.send([]byte(line + "\r\n")) }

func (c *imapSession) send(b []byte) error {
	if c.slow == 0 {
		_, err := c.conn.Write(b)
		return err
	}
	for i := range b {
		time.Sleep(c.slow)
		if _, err := c.conn.Write(b[i : i+1]); err != nil {
			return err
		}
	}
	return nil
}

// errAnswered says that a fault was the whole answer.
var errAnswered = errors.New("answered by the script")

// fault plays a fault if one is due. nil means: go on as is due.
func (c *imapSession) fault(at Point, prefix string, uids ...uint32) error {
	f, hit := c.s.strike(at, "", uids...)
	if !hit {
		return nil
	}
	return c.play(f, prefix)
}

func (c *imapSession) play(f Fault, prefix string) error {
	c.slow = f.Slow
	if f.Untagged != "" {
		if err := c.write("* " + f.Untagged); err != nil {
			return err
		}
	}
	switch {
	case f.Hang:
		io.Copy(io.Discard, c.r) // until the client goes away
		return errDropped
	case f.Drop:
		return errDropped
	case f.Reply != "":
		if err := c.write(prefix + f.Reply); err != nil {
			return err
		}
		return errAnswered
	}
	return nil
}

// command reads one command with its literals, which become quoted strings.
func (c *imapSession) command() (string, error) {
	var b strings.Builder
	for {
		line, err := c.r.ReadString('\n')
		if err != nil {
			return "", err
		}
		line = strings.TrimRight(line, "\r\n")
		i := strings.LastIndexByte(line, '{')
		if i < 0 || !strings.HasSuffix(line, "}") {
			b.WriteString(line)
			return b.String(), nil
		}
		number, plus := strings.CutSuffix(line[i+1:len(line)-1], "+")
		n, err := strconv.Atoi(number)
		if err != nil || n < 0 || n > maxIMAPLine {
			return "", errDropped
		}
		if !plus {
			if err := c.write("+ go on"); err != nil {
				return "", err
			}
		}
		literal := make([]byte, n)
		if _, err := io.ReadFull(c.r, literal); err != nil {
			return "", err
		}
		b.WriteString(line[:i] + imapQuote(string(literal)))
	}
}

func (c *imapSession) ok(text string) error { return c.write(c.tag + " OK " + text) }
func (c *imapSession) no(text string) error { return c.write(c.tag + " NO " + text) }

func (c *imapSession) dispatch(line string) error {
	tag, rest, _ := strings.Cut(line, " ")
	name, args, _ := strings.Cut(rest, " ")
	name = strings.ToUpper(name)
	byUID := name == "UID"
	if byUID {
		name, args, _ = strings.Cut(args, " ")
		name = strings.ToUpper(name)
	}
	c.tag, c.slow = tag, 0
	if name != "LOGIN" && name != "AUTHENTICATE" {
		c.s.mu.Lock()
		c.s.commands = append(c.s.commands, rest)
		c.s.mu.Unlock()
	}
	at := Point(name)
	switch name {
	case "AUTHENTICATE":
		at = AtLogin
	case "EXAMINE":
		at = AtSelect
	}
	list := imapArgs(args)
	var uids []uint32
	if byUID && len(list) > 0 && name != "SEARCH" {
		for _, m := range c.matching(list[0].word) {
			uids = append(uids, m.uid)
		}
	}
	if err := c.fault(at, tag+" ", uids...); errors.Is(err, errAnswered) {
		return nil
	} else if err != nil {
		return err
	}
	switch name {
	case "CAPABILITY":
		if err := c.write("* CAPABILITY " + c.capabilities()); err != nil {
			return err
		}
		return c.ok("done")
	case "LOGOUT":
		c.goodbye = true
		if err := c.write("* BYE see you"); err != nil {
			return err
		}
		return c.ok("done")
	case "STARTTLS":
		return c.startTLS()
	case "LOGIN":
		if len(list) < 2 {
			return c.write(tag + " BAD two arguments")
		}
		want, known := c.s.conf.users[list[0].word]
		return c.enter(list[0].word, known && want == list[1].word)
	case "AUTHENTICATE":
		return c.authenticate(list)
	}
	if c.user == "" && len(c.s.conf.users)+len(c.s.conf.tokens) > 0 {
		return c.no("log in first")
	}
	switch name {
	case "ID":
		if err := c.write(`* ID ("name" "fake")`); err != nil {
			return err
		}
		return c.ok("done")
	case "LIST":
		return c.list(list)
	case "CREATE":
		return c.create(list)
	case "SELECT", "EXAMINE":
		return c.selectFolder(list, name == "EXAMINE")
	case "APPEND":
		return c.append(list)
	}
	c.s.mu.Lock()
	open := c.open
	c.s.mu.Unlock()
	if open == nil && name != "NOOP" {
		return c.no("no folder is open")
	}
	switch {
	case name == "NOOP":
		return c.done()
	case name == "IDLE":
		return c.idle()
	case !byUID:
		return c.write(tag + " BAD this server knows only commands by UID")
	}
	return c.byUID(name, list)
}

// done ends a command with what has changed in the folder.
func (c *imapSession) done() error {
	if err := c.news(); err != nil {
		return err
	}
	return c.ok("done")
}

// news tells the client what has changed since it last heard.
func (c *imapSession) news() error {
	c.s.mu.Lock()
	if c.open == nil {
		c.s.mu.Unlock()
		return nil
	}
	now, again := c.open.mails, c.again
	c.again = false
	c.s.mu.Unlock()
	var out []string
	for i, m := range slices.Backward(c.view) {
		if !slices.Contains(now, m) {
			out = append(out, fmt.Sprintf("* %d EXPUNGE", i+1))
		}
	}
	if len(now) != len(c.view)-len(out) || again {
		out = append(out, fmt.Sprintf("* %d EXISTS", len(now)))
	}
	c.view = now
	for _, line := range out {
		if err := c.write(line); err != nil {
			return err
		}
	}
	return nil
}

// idle runs RFC 2177.
func (c *imapSession) idle() error {
	if err := c.news(); err != nil {
		return err
	}
	if err := c.write("+ idling"); err != nil {
		return err
	}
	setIdling := func(on bool) {
		c.s.mu.Lock()
		defer c.s.mu.Unlock()
		c.idling = on
	}
	setIdling(true)
	defer setIdling(false)
	type answer struct {
		line string
		err  error
	}
	end := make(chan answer, 1)
	go func() {
		line, err := c.r.ReadString('\n')
		end <- answer{line, err}
	}()
	for {
		select {
		case a := <-end:
			if a.err != nil {
				return a.err
			}
			if !strings.EqualFold(strings.TrimSpace(a.line), "DONE") {
				return c.write(c.tag + " BAD DONE was due")
			}
			if err := c.fault(AtDone, c.tag+" "); errors.Is(err, errAnswered) {
				return nil
			} else if err != nil {
				return err
			}
			return c.done()
		case <-c.wake:
			c.s.mu.Lock()
			deaf := c.s.deaf
			c.s.mu.Unlock()
			if deaf {
				continue
			}
			if err := c.news(); err != nil {
				c.raw.Close()
				<-end
				return err
			}
		}
	}
}

func (c *imapSession) capabilities() string {
	caps := []string{"IMAP4rev1"}
	if c.s.conf.startTLS && !c.secure {
		caps = append(caps, "STARTTLS")
	}
	if c.user == "" {
		if len(c.s.conf.users) > 0 {
			caps = append(caps, "AUTH=PLAIN", "AUTH=LOGIN")
		}
		if len(c.s.conf.tokens) > 0 {
			caps = append(caps, "AUTH=XOAUTH2", "AUTH=OAUTHBEARER")
		}
		if len(c.s.conf.users) == 0 && len(c.s.conf.tokens) > 0 {
			caps = append(caps, "LOGINDISABLED")
		}
	}
	caps = append(caps, "SASL-IR", "IDLE", "UIDPLUS", "MOVE", "ESEARCH", "ID", "SPECIAL-USE", "LIST-EXTENDED")
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	return strings.Join(slices.DeleteFunc(caps, func(name string) bool { return c.s.hidden[strings.ToUpper(name)] }), " ")
}

func (c *imapSession) startTLS() error {
	if !c.s.conf.startTLS || c.secure {
		return c.write(c.tag + " BAD not here")
	}
	if err := c.ok("begin TLS"); err != nil {
		return err
	}
	c.conn, c.secure = tls.Server(c.raw, c.cfg), true
	c.r = bufio.NewReader(c.conn)
	return nil
}

func (c *imapSession) enter(user string, ok bool) error {
	if !ok {
		return c.no("[AUTHENTICATIONFAILED] user name or password do not fit")
	}
	c.user = user
	return c.ok("[CAPABILITY " + c.capabilities() + "] welcome")
}

// authenticate runs the mechanisms of the SMTP fake.
func (c *imapSession) authenticate(list []imapArg) error {
	if len(list) == 0 {
		return c.write(c.tag + " BAD which mechanism")
	}
	var initial string
	if len(list) > 1 {
		initial = list[1].word
	}
	users := saslUsers{users: c.s.conf.users, tokens: c.s.conf.tokens, challenge: func(text string) (string, error) {
		if err := c.write("+ " + base64.StdEncoding.EncodeToString([]byte(text))); err != nil {
			return "", err
		}
		line, err := c.r.ReadString('\n')
		return strings.TrimRight(line, "\r\n"), err
	}}
	user, ok, err := users.login(strings.ToUpper(list[0].word), initial)
	if err != nil {
		return err
	}
	return c.enter(user, ok)
}
