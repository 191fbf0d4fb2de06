package account

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// Bounds of what a server may say in clear before TLS begins.
const (
	maxClearLine  = 8 << 10
	maxClearLines = 50
)

// startTLS has the server begin TLS (RFC 9051 section 6.2.1). It sends nothing
// but that command in clear, and goes on in clear whatever is answered never.
func (c *imapConn) startTLS(raw net.Conn, limit time.Duration) *failure {
	if err := raw.SetDeadline(time.Now().Add(limit)); err != nil {
		return broken(c.ctx, stageGreeting, err)
	}
	r := bufio.NewReader(io.LimitReader(raw, maxClearLine*maxClearLines))
	line, err := clearLine(r)
	if err != nil {
		return broken(c.ctx, stageGreeting, err)
	}
	kind, text, _ := strings.Cut(strings.TrimPrefix(line, "* "), " ")
	switch {
	case !strings.HasPrefix(line, "* "):
		return &failure{
			stage: stageGreeting, code: "greeting", text: c.server.address() + " does not speak IMAP",
			fix: "Check host and port. Port 465 wants security tls; 587 wants starttls.",
		}
	case strings.EqualFold(kind, "BYE"):
		return &failure{
			stage: stageGreeting, code: "greeting", text: oneLine(text, nil),
			fix: "The server turned the connection away. Ask its operator, or try later.",
		}
	case strings.EqualFold(kind, "PREAUTH"):
		// RFC 9051 section 7.1.4: STARTTLS is no longer possible then, which
		// is what somebody in between may have wanted.
		return c.tampered("lets us in before TLS")
	}
	if _, err := io.WriteString(raw, "S STARTTLS\r\n"); err != nil {
		return broken(c.ctx, stageGreeting, err)
	}
	for range maxClearLines {
		if line, err = clearLine(r); err != nil {
			return broken(c.ctx, stageGreeting, err)
		}
		answer, ours := strings.CutPrefix(line, "S ")
		if !ours {
			continue // nothing said in clear counts
		}
		kind, text, _ := strings.Cut(answer, " ")
		if !strings.EqualFold(kind, "OK") {
			return &failure{
				stage: stageConnect, code: "starttls_missing",
				text: c.server.address() + " refuses STARTTLS: " + oneLine(text, nil),
				fix:  "Use the provider's TLS port (465, security tls). Nothing was sent.",
			}
		}
		if r.Buffered() > 0 {
			return c.tampered("sent data in clear after its answer to STARTTLS")
		}
		if err := raw.SetDeadline(time.Time{}); err != nil {
			return broken(c.ctx, stageGreeting, err)
		}
		return nil
	}
	return broken(c.ctx, stageGreeting, fmt.Errorf("more than %d lines and no answer to STARTTLS", maxClearLines))
}

func (c *imapConn) tampered(what string) *failure {
	return &failure{
		stage: stageConnect, code: "tls", text: c.server.address() + " " + what,
		fix: "Somebody may be tampering with the connection; nothing was sent. Use the provider's TLS port (465, security tls).",
	}
}

// clearLine reads one line of bounded length.
func clearLine(r *bufio.Reader) (string, error) {
	var line []byte
	for len(line) <= maxClearLine {
		b, err := r.ReadByte()
		if err != nil {
			return "", err
		}
		if b == '\n' {
			return strings.TrimRight(string(line), "\r"), nil
		}
		line = append(line, b)
	}
	return "", errors.New("a line that does not end")
}
