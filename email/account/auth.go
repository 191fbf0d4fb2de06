package account

import (
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// login is what a session authenticates with. The zero value is nothing at all.
type login struct {
	auth     Auth
	username string
	password string
	tokens   *tokens
}

// mechanism is one SASL exchange, client side.
type mechanism struct {
	name    string
	initial []byte // nil: the server speaks first
	// next answers the server's challenges, the first being number 0.
	next func(n int, challenge []byte) ([]byte, error)
}

// passwordMechanisms returns what can be done with a password, best first.
func passwordMechanisms(user, password string) []mechanism {
	return []mechanism{
		{ // RFC 4616
			name: "PLAIN", initial: []byte("\x00" + user + "\x00" + password), next: noMore,
		},
		{ // draft-murchison-sasl-login: user name first, then password
			name: "LOGIN",
			next: func(n int, _ []byte) ([]byte, error) {
				switch n {
				case 0:
					return []byte(user), nil
				case 1:
					return []byte(password), nil
				}
				return nil, errChallenge
			},
		},
	}
}

// tokenMechanisms returns what can be done with an OAuth 2 access token.
func tokenMechanisms(s Server, user, token string) []mechanism {
	return []mechanism{
		{ // https://developers.google.com/workspace/gmail/imap/xoauth2-protocol
			name:    "XOAUTH2",
			initial: []byte("user=" + user + "\x01auth=Bearer " + token + "\x01\x01"),
			// The challenge holds the error as JSON; an empty answer makes
			// the server end with the status code that counts.
			next: func(n int, _ []byte) ([]byte, error) { return []byte{}, once(n) },
		},
		{ // RFC 7628 section 3.1
			name: "OAUTHBEARER",
			initial: fmt.Appendf(nil, "n,a=%s,\x01host=%s\x01port=%d\x01auth=Bearer %s\x01\x01",
				saslName(user), s.Host, s.Port, token),
			// RFC 7628 section 3.2.3: the dummy answer to an error
			next: func(n int, _ []byte) ([]byte, error) { return []byte{1}, once(n) },
		},
	}
}

var errChallenge = errors.New("the server asked for more than the mechanism knows")

func noMore(int, []byte) ([]byte, error) { return nil, errChallenge }

func once(n int) error {
	if n > 0 {
		return errChallenge
	}
	return nil
}

// saslName escapes a name for a GS2 header (RFC 5801 section 4).
func saslName(s string) string {
	return strings.NewReplacer("=", "=3D", ",", "=2C").Replace(s)
}

// authenticate logs in. It never does so over a connection that is not
// encrypted, unless the configuration says so in as many words or the server is
// on this machine.
func (s *session) authenticate(l login) *failure {
	if l.auth == AuthNone {
		return nil
	}
	if _, offered := s.ext["AUTH"]; !offered && s.server.Security == None {
		return nil // a mail server next door, that asks nobody to log in
	}
	if !s.encrypted && !isLoopback(s.server.Host) && !(s.server.Security == None && s.server.Insecure) {
		return &failure{
			stage: stageLogin, code: "login",
			text: "the connection is not encrypted, so the credentials were not sent",
			fix:  "Choose security tls or starttls.",
		}
	}
	possible, f := s.mechanisms(l)
	if f != nil {
		return f
	}
	offered := strings.Fields(strings.ToUpper(s.ext["AUTH"]))
	for _, m := range possible {
		if slices.Contains(offered, m.name) {
			return s.exchange(m)
		}
	}
	return noMechanism(l.auth, offered)
}

func noMechanism(a Auth, offered []string) *failure {
	f := &failure{stage: stageLogin, code: "auth_mechanism", authorization: true}
	list := oneLine(strings.Join(offered, ", "), nil)
	switch {
	case len(offered) == 0:
		f.text = "the server offers no login on this connection"
		f.fix = "Check host, port and security: submission is port 465 (tls) or 587 (starttls)."
	case a == AuthOAuth2:
		f.text = "the server takes no OAuth tokens, only " + list
		f.fix = "Use a password."
	default:
		f.text = "the server takes no passwords, only " + list
		f.fix = "Sign in with OAuth instead of a password, or ask the provider to allow passwords for SMTP."
	}
	return f
}

func (s *session) mechanisms(l login) ([]mechanism, *failure) {
	if l.auth != AuthOAuth2 {
		s.secrets = append(s.secrets, forms(l.password, "\x00"+l.username+"\x00"+l.password)...)
		return passwordMechanisms(l.username, l.password), nil
	}
	token, err := l.tokens.get(s.ctx)
	if err != nil {
		return nil, tokenFailure(s.ctx, err)
	}
	if strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
		return nil, tokenFailure(s.ctx, errors.New("not a token"))
	}
	ms := tokenMechanisms(s.server, l.username, token)
	s.secrets = append(s.secrets, forms(token, string(ms[0].initial), string(ms[1].initial))...)
	return ms, nil
}

// exchange runs AUTH (RFC 4954 section 4).
func (s *session) exchange(m mechanism) *failure {
	line := "AUTH " + m.name
	if m.initial != nil {
		line += " " + base64.StdEncoding.EncodeToString(m.initial)
	}
	r, f := s.command(stageLogin, line)
	for n := 0; f == nil && r.code == 334; n++ {
		challenge, err := base64.StdEncoding.DecodeString(strings.TrimSpace(r.lines[0]))
		var answer []byte
		if err == nil || m.name == "LOGIN" { // whose prompts carry no meaning
			answer, err = m.next(n, challenge)
		}
		if err != nil {
			r, f = s.command(stageLogin, "*") // RFC 4954 section 4: cancel
			break
		}
		r, f = s.command(stageLogin, base64.StdEncoding.EncodeToString(answer))
	}
	if f != nil {
		return f
	}
	if r.code != 235 {
		return refused(stageLogin, r, s.secrets)
	}
	return nil
}
