package email

import (
	"regexp"
	"strings"
)

// reports reads what machines report other than about delivery: receipts (RFC
// 8098), complaints (RFC 5965), and aggregate reports (RFC 7489, RFC 8460).
func (r *reading) reports() {
	if p := r.find("message/disposition-notification"); p != nil {
		r.disposition(p)
	}
	if p := r.find("message/feedback-report"); p != nil {
		r.complaint(p)
	}
	r.aggregate()
}

func (r *reading) disposition(p *part) {
	h := headerOf(joinGroups(p.leaf.head))
	d := &Disposition{
		Recipient:         typedAddress(h.Get("Final-Recipient")),
		OriginalMessageID: firstID(h.Get("Original-Message-ID")),
	}
	// "manual-action/MDN-sent-manually; displayed"
	if _, t, ok := strings.Cut(h.Get("Disposition"), ";"); ok {
		t, _, _ = strings.Cut(t, "/")
		d.Type = firstToken(t)
	}
	if d.OriginalMessageID == "" {
		d.OriginalMessageID, _ = r.returnedID()
	}
	if d.OriginalMessageID == "" && len(r.m.InReplyTo) > 0 {
		d.OriginalMessageID = r.m.InReplyTo[0]
	}
	r.m.Disposition = d
}

func (r *reading) complaint(p *part) {
	h := headerOf(joinGroups(p.leaf.head))
	c := &Report{Type: firstToken(h.Get("Feedback-Type"))}
	if c.Type == "" {
		c.Type = "abuse"
	}
	c.Recipient = cleanAddress(strings.Trim(h.Get("Original-Rcpt-To"), "<> "))
	c.OriginalMessageID, c.Anchors = r.returnedID()
	r.m.Report = c
}

// joinGroups makes one block of fields of several.
func joinGroups(b []byte) []byte {
	var out []byte
	for _, g := range fieldGroups(b) {
		out = append(out, g...)
	}
	return out
}

// dmarcSubject is the subject that RFC 7489 section 7.2.1.1 asks for.
var dmarcSubject = regexp.MustCompile(`(?i)^\W*report domain:\s*\S+.*submitter:`)

// dmarcFile is the file name of the same section: receiver!domain!begin!end.
var dmarcFile = regexp.MustCompile(`(?i)^[^!\s]+![^!\s]+!\d+!\d+(![^!]*)?\.(xml|zip|gz|xml\.gz)$`)

// aggregate recognises reports that a machine wrote for a machine.
func (r *reading) aggregate() {
	m := r.m
	for _, a := range m.Attachments {
		switch {
		case strings.HasPrefix(a.Type, "application/tlsrpt+"):
			m.MachineReport = "tlsrpt"
		case dmarcFile.MatchString(a.Name):
			m.MachineReport = "dmarc"
		case dmarcSubject.MatchString(m.Subject) && (strings.HasSuffix(a.Type, "zip") || strings.HasSuffix(a.Type, "/xml")):
			m.MachineReport = "dmarc"
		}
	}
	if r.root != nil && r.root.typ == "multipart/report" && strings.EqualFold(r.root.params.get("report-type"), "tlsrpt") {
		m.MachineReport = "tlsrpt"
	}
}
