package emailtest

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

// imapDialogue speaks as much IMAP as it takes to look after a real server.
type imapDialogue struct {
	conn net.Conn
	r    *bufio.Reader
	n    int
}

// imapReply is an untagged response, with the literals that stood in it.
type imapReply struct {
	line     string
	literals []string
}

// openDialogue connects and logs in, with any password.
func openDialogue(ctx context.Context, addr string, cfg *tls.Config, name string) (*imapDialogue, error) {
	conn, err := (&tls.Dialer{Config: cfg}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("emailtest: %w", err)
	}
	d := &imapDialogue{conn: conn, r: bufio.NewReader(conn)}
	_ = conn.SetDeadline(time.Now().Add(startTime))
	if _, err = d.reply(); err == nil { // the greeting
		_, err = d.do("LOGIN "+imapQuote(name)+" any", nil)
	}
	if err != nil {
		d.close()
		return nil, err
	}
	return d, nil
}

func (d *imapDialogue) close() { _ = d.conn.Close() }

// do runs one command, with a literal behind it if there is one (RFC 7888).
func (d *imapDialogue) do(command string, literal []byte) ([]imapReply, error) {
	d.n++
	tag := fmt.Sprint("t", d.n)
	line := tag + " " + command
	if literal != nil {
		line = fmt.Sprintf("%s {%d+}\r\n%s", line, len(literal), literal)
	}
	_ = d.conn.SetDeadline(time.Now().Add(startTime))
	if _, err := io.WriteString(d.conn, line+"\r\n"); err != nil {
		return nil, fmt.Errorf("emailtest: %w", err)
	}
	var out []imapReply
	for {
		r, err := d.reply()
		if err != nil {
			return nil, err
		}
		rest, done := strings.CutPrefix(r.line, tag+" ")
		switch {
		case done && strings.HasPrefix(rest, "OK"):
			return out, nil
		case done:
			return nil, fmt.Errorf("emailtest: %s: %s", command, rest)
		}
		out = append(out, r)
	}
}

func (d *imapDialogue) reply() (imapReply, error) {
	var out imapReply
	for {
		line, err := d.r.ReadString('\n')
		if err != nil {
			return out, fmt.Errorf("emailtest: %w", err)
		}
		line = strings.TrimRight(line, "\r\n")
		out.line += line
		i := strings.LastIndexByte(line, '{')
		if i < 0 || !strings.HasSuffix(line, "}") {
			return out, nil
		}
		n, err := strconv.Atoi(line[i+1 : len(line)-1])
		if err != nil || n < 0 || n > maxIMAPLine {
			return out, fmt.Errorf("emailtest: not a literal: %q", line)
		}
		b := make([]byte, n)
		if _, err := io.ReadFull(d.r, b); err != nil {
			return out, fmt.Errorf("emailtest: %w", err)
		}
		out.literals = append(out.literals, string(b))
	}
}
