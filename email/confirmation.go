package email

import (
	"net/url"
	"regexp"
	"strings"
)

// gmailConfirmer is who asks when a Gmail user adds an address to forward to.
const gmailConfirmer = "forwarding-noreply@google.com"

var (
	confirmCode = regexp.MustCompile(`\d{6,12}`)
	webLink     = regexp.MustCompile(`https://[^\s<>"')\]]+`)
)

// confirmation recognises Gmail's question whether mail may be forwarded here.
// The words are translated and carry the organisation's name, so only the
// author, the number and the address count.
func (r *reading) confirmation() {
	m := r.m
	if len(m.From) == 0 || !m.From[0].Is(gmailConfirmer) {
		return
	}
	c := &Confirmation{Provider: "gmail"}
	c.Code = confirmCode.FindString(m.Subject)
	text := m.Text
	if len(text) > maxEnclosed {
		text = text[:maxEnclosed]
	}
	if c.Code == "" {
		c.Code = confirmCode.FindString(text)
	}
	if all := bareAddress.FindAllString(m.Subject, -1); len(all) > 0 {
		c.Address = all[len(all)-1]
	} else if a := bareAddress.FindString(text); a != "" && !strings.HasSuffix(a, "@google.com") {
		c.Address = a
	}
	// Confirm comes first, cancel second.
	for _, l := range webLink.FindAllString(text+"\n"+r.htmlText(), 50) {
		u, err := url.Parse(strings.TrimRight(l, ".,;"))
		if err == nil && (u.Host == "mail.google.com" || u.Host == "mail-settings.google.com") && u.User == nil {
			c.Link = u.String()
			break
		}
	}
	if c.Code == "" && c.Link == "" {
		return
	}
	m.Confirmation = c
}

// htmlText is the text of the HTML, where links stand behind their words.
func (r *reading) htmlText() string {
	if r.html == nil {
		return ""
	}
	return textOf(r.html)
}
