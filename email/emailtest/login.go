package emailtest

import (
	"encoding/base64"
	"slices"
	"strings"
)

// auth runs one login (RFC 4954).
func (c *conversation) auth(rest string) error {
	name, initial, _ := strings.Cut(rest, " ")
	name = strings.ToUpper(name)
	if !slices.Contains(c.s.conf.mechanisms, name) {
		return c.write(0, []string{"504 5.5.4 unknown mechanism"})
	}
	if f, hit := c.s.strike(AtAuth, ""); hit {
		if f.Reply != "" || f.Hang || f.Drop {
			return c.reply(f, hit, "")
		}
	}
	users := saslUsers{users: c.s.conf.users, tokens: c.s.conf.tokens, challenge: c.challenge}
	user, ok, err := users.login(name, initial)
	if err != nil {
		return err
	}
	if !ok {
		return c.write(0, []string{"535 5.7.8 authentication failed"})
	}
	c.user = user
	return c.write(0, []string{"235 2.7.0 welcome"})
}

// saslUsers are those who may log in, and how they are asked.
type saslUsers struct {
	users, tokens map[string]string
	// challenge sends a challenge, which it encodes, and returns the answer as it came.
	challenge func(text string) (string, error)
}

// login runs one SASL exchange and returns who it was and whether it worked.
func (c saslUsers) login(name, initial string) (user string, ok bool, err error) {
	if name == "LOGIN" {
		user := initial
		if user == "" {
			if user, err = c.challenge("Username:"); err != nil {
				return "", false, err
			}
		}
		password, err := c.challenge("Password:")
		if err != nil {
			return "", false, err
		}
		u, p := decode64(user), decode64(password)
		want, known := c.users[u]
		return u, known && p == want, nil
	}
	if initial == "" {
		if initial, err = c.challenge(""); err != nil {
			return "", false, err
		}
	}
	text := decode64(initial)
	switch name {
	case "PLAIN":
		parts := strings.Split(text, "\x00")
		if len(parts) != 3 {
			return "", false, nil
		}
		want, known := c.users[parts[1]]
		return parts[1], known && parts[2] == want, nil
	case "XOAUTH2":
		u, t, _ := strings.Cut(strings.TrimSuffix(text, "\x01\x01"), "\x01auth=Bearer ")
		u = strings.TrimPrefix(u, "user=")
		if want, known := c.tokens[u]; known && t == want {
			return u, true, nil
		}
	case "OAUTHBEARER":
		head, t, _ := strings.Cut(strings.TrimSuffix(text, "\x01\x01"), "\x01auth=Bearer ")
		head, _, _ = strings.Cut(head, "\x01")
		u := strings.TrimSuffix(strings.TrimPrefix(head, "n,a="), ",")
		u = strings.NewReplacer("=3D", "=", "=2C", ",").Replace(u)
		if want, known := c.tokens[u]; known && t == want {
			return u, true, nil
		}
	default:
		return "", false, nil
	}
	// Both OAuth mechanisms say what was wrong in a challenge first.
	_, err = c.challenge(`{"status":"401","schemes":"bearer","scope":"https://mail.example/"}`)
	return "", false, err
}

func (c *conversation) challenge(text string) (string, error) {
	if err := c.write(0, []string{"334 " + base64.StdEncoding.EncodeToString([]byte(text))}); err != nil {
		return "", err
	}
	return c.line()
}

func decode64(s string) string {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		return ""
	}
	return string(b)
}
