package email

import (
	"regexp"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// forwarded recognises that the mail was forwarded: sent on by a machine, as an
// enclosed message, or quoted in the text. Reports enclose messages too, and are
// no forwards.
func (r *reading) forwarded() {
	m := r.m
	if m.Bounce != nil || m.Report != nil || m.Disposition != nil {
		return
	}
	for _, f := range []func() *Forwarded{r.redirected, r.attachedForward, r.inlineForward} {
		if m.Forwarded = f(); m.Forwarded != nil {
			return
		}
	}
}

// redirected looks for what machines leave behind that send a mail on as it was.
func (r *reading) redirected() *Forwarded {
	m := r.m
	f := &Forwarded{How: ForwardRedirect, Subject: m.Subject, Date: m.Header.Get("Date")}
	if len(m.From) > 0 {
		f.From = m.From[0]
	}
	path := strings.ToLower(m.ReturnPath)
	switch {
	case m.Header.Has("X-Forwarded-For") || m.Header.Has("X-Forwarded-To"):
		f.To = firstAddress(m.Header.Get("X-Forwarded-For"))
	case m.Header.Has("Resent-From") || m.Header.Has("Resent-To"):
		f.To = firstAddress(m.Header.Get("Resent-From"))
	case strings.Contains(path, "+caf_="):
		local, domain, _ := strings.Cut(m.ReturnPath, "@")
		user, _, _ := strings.Cut(local, "+")
		f.To = user + "@" + domain
	case m.Header.Has("X-Sieve-Redirected-From"):
		f.To = firstAddress(m.Header.Get("X-Sieve-Redirected-From"))
	case m.Header.Has("X-MS-Exchange-ForwardingLoop"):
		f.To = firstAddress(m.Header.Get("X-MS-Exchange-ForwardingLoop"))
	case firstToken(m.Header.Get("Auto-Submitted")) == "auto-forwarded":
	case strings.HasPrefix(path, "srs0") || strings.HasPrefix(path, "srs1") || strings.Contains(path, "+srs="):
	default:
		return nil
	}
	if f.To == "" {
		for _, name := range []string{"X-Original-To", "Envelope-To"} {
			if f.To = firstAddress(m.Header.Get(name)); f.To != "" {
				break
			}
		}
	}
	if f.To == "" && len(m.To) > 0 {
		f.To = m.To[0].Address
	}
	return f
}

// firstAddress returns the first word with an @.
func firstAddress(s string) string {
	for _, p := range parseParties(strings.ReplaceAll(s, " ", ","), "") {
		if strings.Contains(p.Address, "@") {
			return p.Address
		}
	}
	return ""
}

// forwardWords are the prefixes of forwarded mails' subjects, by language.
var forwardWords = []string{
	"fw", "fwd", "wg", "tr", "rv", "enc", "vs", "vb", "doorst", "pd", "i", "inoltra", "fs", "转发", "轉寄", "转寄", "пересл", "chuyển tiếp", "ct", "ilt", "továbbítás", "redir", "terusan", "전달",
}

// isForwardSubject reports whether a subject says that the mail is forwarded.
func isForwardSubject(s string) bool {
	head, _, ok := strings.Cut(s, ":")
	wide, _, okWide := strings.Cut(head, "：")
	if !ok && !okWide {
		return false
	}
	word := strings.Trim(wide, " \t\n\f\r")
	return slices.ContainsFunc(forwardWords, func(w string) bool { return strings.EqualFold(w, word) })
}

// attachedForward looks for an enclosed message in a mail that is a forward.
func (r *reading) attachedForward() *Forwarded {
	p := r.find("message/rfc822", "message/global")
	if p == nil {
		return nil
	}
	// Without the subject's prefix, a mail that has little text of its own.
	if !isForwardSubject(r.m.Subject) && len([]rune(r.m.NewTextUnsigned)) > 500 {
		return nil
	}
	raw := rawHeaderOf(p.leaf.head)
	h := raw.decode("")
	f := &Forwarded{How: ForwardAttached, Subject: h.Get("Subject"), Date: h.Get("Date")}
	if ps := parseParties(raw.get("From"), ""); len(ps) > 0 {
		f.From = ps[0]
	}
	if ps := parseParties(raw.get("To"), ""); len(ps) > 0 {
		f.To = ps[0].Address
	}
	return f
}

// inlineForward looks for the first forwarded mail in the text: below a line
// that says so, or the fields of a quoted mail where the subject says so.
func (r *reading) inlineForward() *Forwarded {
	if !r.derived {
		if f := forwardIn(r.textLines(), r.m.Subject); f != nil {
			return f
		}
	}
	if r.html != nil {
		return forwardIn(r.html, r.m.Subject)
	}
	return nil
}

func forwardIn(lines []textLine, subject string) *Forwarded {
	prefixed := isForwardSubject(subject)
	for i, l := range lines {
		s := plainLine(strings.TrimLeft(l.text, "> "))
		switch {
		case isForwardLine(s) || prefixed && isOriginalLine(s):
			if f := forwardBlock(lines[i+1:]); f != nil {
				return f
			}
		case prefixed:
			if field, _, ok := labelled(l.text); ok && field == "from" {
				if f := forwardBlock(lines[i:]); f != nil {
					return f
				}
			}
		}
	}
	return nil
}

// forwardBlock reads the fields of a forwarded mail: a From, and a date or a
// subject within five lines.
func forwardBlock(lines []textLine) *Forwarded {
	f := &Forwarded{How: ForwardInline}
	n, last := 0, ""
	for _, l := range lines {
		s := strings.TrimSpace(strings.TrimLeft(plainLine(l.text), "> "))
		if s == "" {
			if last != "" && n > 1 {
				break // the fields end
			}
			continue
		}
		field, value, ok := labelled(s)
		if !ok {
			if last == "to" || last == "cc" || last == "subject" {
				last = "" // a folded value
				continue
			}
			if n++; n > 3 {
				break
			}
			continue
		}
		n++
		last = field
		f.set(field, value)
		if n > 10 {
			break
		}
	}
	if f.From == (channel.Party{}) || f.Date == "" && f.Subject == "" {
		return nil
	}
	return f
}

// mailtoInText matches how Outlook writes an address behind a name.
var mailtoInText = regexp.MustCompile(`(?i)[\[(<]\s*mailto:([^\])>\s]+)\s*[\])>]`)

// set takes one field of a forwarded mail; the first of equals counts.
func (f *Forwarded) set(field, value string) {
	value = mailtoInText.ReplaceAllString(value, "<$1>")
	switch field {
	case "from":
		if f.From != (channel.Party{}) || value == "" {
			return
		}
		ps := parseParties(value, "")
		if len(ps) == 0 {
			return
		}
		f.From = ps[0]
		if !strings.Contains(f.From.Address, "@") {
			// A name alone: there is no address to be had.
			f.From = channel.Party{Name: cleanLine(value)}
		}
	case "to":
		if f.To == "" {
			f.To = firstAddressOf(value)
		}
	case "date":
		if f.Date == "" {
			f.Date = value
		}
	case "subject":
		if f.Subject == "" {
			f.Subject = value
		}
	}
}

// firstAddressOf returns the first address of a list, or its text.
func firstAddressOf(value string) string {
	for _, p := range parseParties(value, "") {
		if strings.Contains(p.Address, "@") {
			return p.Address
		}
	}
	return ""
}
