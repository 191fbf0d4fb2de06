package email

import (
	"regexp"
	"strings"
)

// bounceMarks are what mail systems write that do not follow RFC 3464. They are
// field knowledge.
var bounceMarks = regexp.MustCompile(`(?i)(this is the qmail-send program|this is the mail system at host|this message was created automatically by (the )?mail (delivery|system|transfer)|delivery has failed to these recipients|diagnostic information for administrators|your message (could not|couldn't|wasn't|was not|cannot) be delivered|the following (message|address|recipient)[^\n]{0,60}(undeliverable|could not|failed|had permanent fatal errors|permanent fatal errors)|a message that you sent could not be delivered|permanent fatal errors|unable to deliver your message|delivery to the following recipients? failed|address not found|message not delivered|mail delivery failed|undeliverable message|the original message was received at|host or domain name not found|recipient address rejected|user unknown|no such user|mailbox (is )?(full|unavailable|not found)|i'm sorry to have to inform you|không thể gửi|thư của bạn không|não foi possível entregar|não pôde ser entregue|no se (pudo|ha podido) entregar|n'a pas pu être (remis|délivré|distribué)|konnte nicht zugestellt|nicht zugestellt werden|impossibile recapitare|niet (worden )?bezorgd|не удалось доставить|не доставлено|无法送达|配信できません|전송되지 않)`)

// bounceSubjects are the subjects of such mails.
var bounceSubjects = regexp.MustCompile(`(?i)^\W*(undeliver(able|ed)|returned mail|failure notice|mail delivery (failed|failure|subsystem|system)|delivery (status notification|failure|has failed|delayed)|mail system error|delivery notification|warning: (message|could not)|message (delayed|undeliverable)|mail delivery: |nicht zustellbar|unzustellbar|não é possível entregar|falha na entrega|no se puede entregar|non remis|échec de la remise|remise impossible|non recapitabile|onbestelbaar|недоставленное|не доставлено|không gửi được|không thể gửi|gửi thư thất bại|thư không gửi được|无法投递|無法傳遞|系统退信|配信不能|반송)`)

var (
	angleAddress = regexp.MustCompile(`<([^<>\s@]{1,64}@[^<>\s@]{1,255})>`)
	bareAddress  = regexp.MustCompile(`(?m)([A-Za-z0-9._%+'=-]{1,64}@[A-Za-z0-9-]{1,63}(?:\.[A-Za-z0-9-]{1,63})+)`)
	codeLine     = regexp.MustCompile(`(?m)^.*\b(?:[45]\d\d[ -]|[45]\.\d{1,3}\.\d{1,3}\b).*$`)
)

// textBounce recognises a bounce by what it says. Its author must look like a
// mail system, so that a person who quotes an error is not taken for one.
func (r *reading) textBounce() *Bounce {
	m := r.m
	failedField := m.Header.Values("X-Failed-Recipients")
	if !r.fromMailSystem() && len(failedField) == 0 {
		return nil
	}
	text := m.Text
	if len(text) > maxEnclosed {
		text = text[:maxEnclosed]
	}
	subject := bounceSubjects.MatchString(m.Subject)
	if len(failedField) == 0 && !subject && !bounceMarks.MatchString(text) {
		return nil
	}
	if isAwaySubject(m.Subject) {
		return nil
	}
	// What is returned below says nothing about the failure.
	report := text
	if i := returnedBelow.FindStringIndex(text); i != nil {
		report = text[:i[0]]
	}
	b := &Bounce{Kind: "failed"}
	if delayedText.MatchString(m.Subject) || delayedText.MatchString(report) && !bounceMarksFinal.MatchString(report) {
		b.Kind = "delayed"
	}
	for _, v := range failedField {
		for _, p := range parseParties(v, "") {
			if len(b.Recipients) < maxTextRecipients {
				b.add(p.Address, report)
			}
		}
	}
	for _, re := range []*regexp.Regexp{angleAddress, bareAddress} {
		if len(b.Recipients) > 0 {
			break
		}
		for _, a := range re.FindAllStringSubmatch(report, maxTextRecipients) {
			if !r.systemAddress(a[1]) {
				b.add(a[1], report)
			}
		}
	}
	if len(b.Recipients) == 0 && !subject {
		return nil
	}
	return b
}

// maxTextRecipients bounds the recipients that are looked for in a text.
const maxTextRecipients = 20

var (
	returnedBelow    = regexp.MustCompile(`(?i)(\n-{2,} ?(this is a copy of|below this line is a copy|original message|the header of the original|forwarded message|message header|returned message)|\nbelow this line is a copy|\noriginal message headers:|\n[>|\s]*(received|return-path): )`)
	delayedText      = regexp.MustCompile(`(?i)(\bdelayed\b|has not (yet )?been delivered|not yet been delivered|will (be retried|keep trying|retry)|still (trying|being retried)|warning: (message|could not)|no action is required|chậm trễ|tạm hoãn|atrasad|retrasad|retard|verzögert|vertraagd|задерж)`)
	bounceMarksFinal = regexp.MustCompile(`(?i)(permanent|given up|giving up|failed permanently|could not be delivered|gave up)`)
)

// fromMailSystem reports whether the mail comes from a mail system: a null
// return path, or the names that such systems use.
func (r *reading) fromMailSystem() bool {
	m := r.m
	if m.HasReturnPath && m.ReturnPath == "" {
		return true
	}
	if len(m.From) == 0 {
		return false
	}
	local, _, _ := strings.Cut(strings.ToLower(m.From[0].Address), "@")
	switch {
	case local == "mailer-daemon" || local == "postmaster" || local == "mail-daemon" || local == "maildaemon" || local == "mailerdaemon":
		return true
	case strings.HasPrefix(local, "microsoftexchange"):
		return true
	}
	name := strings.ToLower(m.From[0].Name)
	return strings.HasPrefix(name, "mail delivery") || name == "mailer-daemon"
}

// systemAddress reports whether an address is one of the mail system itself.
func (r *reading) systemAddress(a string) bool {
	for _, p := range r.m.From {
		if p.Is(a) {
			return true
		}
	}
	for _, p := range r.m.To {
		if p.Is(a) {
			return true
		}
	}
	local, _, _ := strings.Cut(strings.ToLower(a), "@")
	return local == "postmaster" || local == "mailer-daemon" || a == r.m.MessageID
}

// add notes a recipient with the lines of the report that stand near it.
func (b *Bounce) add(address, report string) {
	address = strings.TrimSuffix(address, ".")
	for _, r := range b.Recipients {
		if strings.EqualFold(r.Address, address) {
			return
		}
	}
	if addressProblem(address) != "" || len(b.Recipients) >= maxRecipients {
		return
	}
	out := BounceRecipient{Action: b.Kind}
	out.Address = address
	near := report
	if i := strings.Index(asciiLower(report), asciiLower(address)); i >= 0 {
		near = report[i:]
		if j := strings.LastIndexByte(report[:i], '\n'); j >= 0 {
			near = report[j+1:]
		}
	}
	line := codeLine.FindString(near[:min(len(near), 2000)])
	if line == "" {
		line = codeLine.FindString(report)
	}
	out.Diagnostic = cleanLine(line)
	if rs := []rune(out.Diagnostic); len(rs) > 500 {
		out.Diagnostic = string(rs[:500])
	}
	out.Status = statusCode.FindString(line)
	class := byte('5')
	if out.Status != "" {
		class = out.Status[0]
	} else if c := replyCode.FindStringSubmatch(line); c != nil {
		class = c[1][0]
	}
	out.Permanent = b.Kind == "failed" && class == '5'
	out.Undeliverable = out.Permanent && Undeliverable(out.Status, out.Diagnostic)
	b.Recipients = append(b.Recipients, out)
}
