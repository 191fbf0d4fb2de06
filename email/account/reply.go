package account

import (
	"bufio"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	// RFC 5321 section 4.5.3.1.5 allows 512 octets a line; servers send more.
	maxReplyLine  = 4096
	maxReplyLines = 100
	// maxReason bounds what is kept of a server's words, in code points.
	maxReason = 300
)

// reply is one answer of a server, RFC 5321 section 4.2.
type reply struct {
	code     int
	enhanced string   // RFC 3463, such as "5.1.1"; empty if there was none
	lines    []string // without code; raw, attacker text
}

// errProtocol says that the other side does not speak SMTP.
var errProtocol = errors.New("not an SMTP answer")

// readReply reads one answer. However long the server talks, memory is bounded.
func readReply(r *bufio.Reader) (reply, error) {
	var out reply
	for len(out.lines) < maxReplyLines {
		line, err := readLine(r)
		if err != nil {
			return reply{}, err
		}
		code, more, text, ok := splitReplyLine(line)
		if !ok || (len(out.lines) > 0 && code != out.code) {
			return reply{}, errProtocol
		}
		out.code = code
		out.lines = append(out.lines, text)
		if !more {
			out.enhanced = enhancedCode(text, code)
			return out, nil
		}
	}
	return reply{}, fmt.Errorf("%w: more than %d lines", errProtocol, maxReplyLines)
}

func readLine(r *bufio.Reader) (string, error) {
	var b []byte
	for {
		part, err := r.ReadSlice('\n')
		b = append(b, part...)
		if len(b) > maxReplyLine {
			return "", fmt.Errorf("%w: a line of more than %d bytes", errProtocol, maxReplyLine)
		}
		if err == nil {
			return strings.TrimRight(string(b), "\r\n"), nil
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue
		}
		if err == io.EOF && len(b) > 0 {
			err = io.ErrUnexpectedEOF
		}
		return "", err
	}
}

func splitReplyLine(line string) (code int, more bool, text string, ok bool) {
	if len(line) < 3 {
		return 0, false, "", false
	}
	for i := range 3 {
		c := line[i]
		if c < '0' || c > '9' {
			return 0, false, "", false
		}
		code = code*10 + int(c-'0')
	}
	if code < 200 || code > 599 {
		return 0, false, "", false
	}
	if len(line) == 3 {
		return code, false, "", true
	}
	switch line[3] {
	case ' ':
		return code, false, line[4:], true
	case '-':
		return code, true, line[4:], true
	}
	return 0, false, "", false
}

// enhancedCode returns the enhanced status code at the start of text (RFC 2034
// section 4) if it is one and agrees with the class of code.
func enhancedCode(text string, code int) string {
	word, _, _ := strings.Cut(text, " ")
	parts := strings.Split(word, ".")
	if len(parts) != 3 || len(parts[0]) != 1 || int(parts[0][0]-'0') != code/100 {
		return ""
	}
	for _, p := range parts {
		if p == "" || len(p) > 3 || strings.Trim(p, "0123456789") != "" {
			return ""
		}
	}
	return word
}

// class returns the first digit of the code.
func (r reply) class() int { return r.code / 100 }

// text returns the answer as one clean line: the code, then the server's words
// without repeated enhanced codes, without controls, without the secrets.
func (r reply) text(secrets []string) string {
	words := make([]string, 0, len(r.lines))
	for i, l := range r.lines {
		if i > 0 && r.enhanced != "" {
			l = strings.TrimPrefix(l, r.enhanced)
		}
		words = append(words, strings.TrimSpace(l))
	}
	return oneLine(fmt.Sprintf("%03d %s", r.code, strings.Join(words, " ")), secrets)
}

// oneLine makes text of a stranger fit to be shown: one line, no controls, no
// invisible direction marks, valid UTF-8, bounded, and without any of the
// secrets, which a server might echo.
func oneLine(s string, secrets []string) string {
	for _, secret := range secrets {
		// Shorter ones would blank out innocent letters, and by that tell.
		if len(secret) >= 3 {
			s = strings.ReplaceAll(s, secret, "[redacted]")
		}
	}
	s = strings.ToValidUTF8(s, "?")
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.In(r, unicode.Cf, unicode.Zl, unicode.Zp, unicode.Co) {
			return ' '
		}
		return r
	}, s)
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) > maxReason {
		s = string([]rune(s)[:maxReason-1]) + "…"
	}
	return s
}

// forms returns the ways in which a secret may appear in an exchange.
func forms(secrets ...string) []string {
	var out []string
	for _, s := range secrets {
		if s != "" {
			out = append(out, s, base64.StdEncoding.EncodeToString([]byte(s)))
		}
	}
	return out
}
