package ticket

import (
	"fmt"
	"net/mail"
	"strings"
	"unicode/utf8"

	"github.com/anteroom/anteroom/channel"
)

// answerTo is whom an answer goes to: who wrote last, and for a reply to all
// the others too, without our own addresses and without the unverified.
func (d *Desk) answerTo(c *Conversation, last *Message, draft Draft) (to, cc []channel.Party) {
	if last == nil {
		for _, p := range c.Participants {
			if !p.Unverified {
				to = append(to, p.Party)
			}
			if len(to) > 0 && !draft.ReplyAll {
				break
			}
		}
		return to, draft.Cc
	}
	v := d.view()
	to = v.replyParties(last)
	if !draft.ReplyAll {
		return to, draft.Cc
	}
	seen := map[string]bool{}
	for _, p := range to {
		seen[addressKey(p.Address)] = true
	}
	for _, p := range uniqueParties(last.To, last.Cc) {
		k := addressKey(p.Address)
		if seen[k] || v.ours(p.Address) || !takesPart(c, p.Address) {
			continue
		}
		seen[k] = true
		cc = append(cc, p)
	}
	return to, uniqueParties(draft.Cc, cc)
}

// addRecipients makes whom we write to participants: their answers join.
func (d *Desk) addRecipients(c *Conversation, m *Message) {
	v := d.view()
	for _, p := range uniqueParties(m.To, m.Cc, m.Bcc) {
		k := addressKey(p.Address)
		if v.ours(p.Address) {
			continue
		}
		found := false
		for i := range c.Participants {
			if addressKey(c.Participants[i].Address) == k {
				c.Participants[i].Unverified = false
				found = true
			}
		}
		if !found && len(c.Participants) < d.cfg.Limits.Participant {
			c.Participants = append(c.Participants, Participant{Party: p})
		}
	}
}

// replySubject is never empty: what was given, or that of the thread.
func replySubject(given string, c *Conversation, t *Ticket) string {
	if s := strings.TrimSpace(given); s != "" {
		return s
	}
	s := c.Subject
	if s == "" && t != nil {
		s = t.Subject
	}
	if s == "" {
		if t != nil {
			return "Re: #" + itoa(t.Number)
		}
		return "Re:"
	}
	if c.MessageCount == 0 {
		return s // the first mail of a conversation that we started
	}
	if head, _, ok := strings.Cut(s, ":"); ok && strings.EqualFold(strings.TrimSpace(head), "re") {
		return s
	}
	return "Re: " + s
}

// plausibleMail reports whether a is one mail address in the usual form.
func plausibleMail(a string) bool {
	if len(a) > 320 || clean(a, 321) != a || strings.ContainsAny(a, " <>,;") {
		return false
	}
	p, err := mail.ParseAddress("<" + a + ">")
	if err != nil {
		// net/mail refuses some addresses in use; a plain shape will do.
		local, domain, ok := strings.Cut(a, "@")
		return ok && local != "" && domain != "" && !strings.Contains(domain, "@")
	}
	return p.Address != ""
}

// checkParties takes pairs of a field's name and its parties.
func checkParties(info channel.Info, pairs ...any) error {
	for i := 0; i+1 < len(pairs); i += 2 {
		field, _ := pairs[i].(string)
		parties, _ := pairs[i+1].([]channel.Party)
		for n, p := range parties {
			where := fmt.Sprintf("%s[%d]", field, n)
			switch {
			case p.Address == "" || clean(p.Address, 321) != p.Address:
				return badField(where, "is no address")
			case info.Scheme == "mailto" && !plausibleMail(p.Address):
				return badField(where, "is not a mail address")
			case strings.ContainsFunc(p.Name, func(r rune) bool { return r < 0x20 || r == 0x7f }) || !utf8.ValidString(p.Name):
				return badField(where, "has control characters in its name")
			}
		}
	}
	return nil
}

// replyAddress is where an answer to a message goes.
func (v *deskView) replyAddress(m *Message) string {
	if ps := v.replyParties(m); len(ps) > 0 {
		return ps[0].Address
	}
	return ""
}

// replyParties are Reply-To, else From; never an address of ours.
func (v *deskView) replyParties(m *Message) []channel.Party {
	for _, list := range [][]channel.Party{m.ReplyTo, {m.From}} {
		var out []channel.Party
		for _, p := range list {
			if p.Address != "" && !v.ours(p.Address) {
				out = append(out, p)
			}
		}
		if len(out) > 0 {
			return out
		}
	}
	return nil
}
