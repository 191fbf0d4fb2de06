package email

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// maxRecipients bounds the recipients of one report.
const maxRecipients = 500

// bounce reads a delivery status notification (RFC 3464, RFC 6533), or what a
// mail system writes in its place.
func (r *reading) bounce() {
	p := r.find("message/delivery-status", "message/global-delivery-status")
	if p != nil {
		r.m.Bounce = r.standardBounce(p)
	} else {
		r.m.Bounce = r.textBounce()
	}
	if b := r.m.Bounce; b != nil {
		if b.OriginalMessageID == "" {
			b.OriginalMessageID, b.Anchors = r.returnedID()
		}
		if b.OriginalMessageID == "" && len(r.m.InReplyTo) > 0 {
			b.OriginalMessageID = r.m.InReplyTo[0]
		}
		if b.OriginalMessageID == "" && len(r.m.References) > 0 {
			b.OriginalMessageID = r.m.References[len(r.m.References)-1]
		}
	}
}

// standardBounce reads the groups of fields of a delivery-status part: the first
// is about the message, each other one about a recipient.
func (r *reading) standardBounce(p *part) *Bounce {
	b := &Bounce{Standard: true}
	for i, group := range fieldGroups(p.leaf.head) {
		h := headerOf(group)
		if i == 0 {
			b.EnvelopeID = h.Get("Original-Envelope-Id")
		}
		// Some writers leave out the empty line after the first group.
		if h.Has("Final-Recipient") || h.Has("Original-Recipient") || h.Has("Action") {
			if len(b.Recipients) < maxRecipients {
				b.Recipients = append(b.Recipients, recipientOf(h))
			}
		}
	}
	if len(b.Recipients) == 0 {
		return nil
	}
	b.Kind = worst(b.Recipients)
	return b
}

// fieldGroups cuts at empty lines.
func fieldGroups(b []byte) [][]byte {
	b = bytes.ReplaceAll(b, []byte("\r"), nil)
	var out [][]byte
	for g := range bytes.SplitSeq(b, []byte("\n\n")) {
		if len(bytes.TrimSpace(g)) > 0 && len(out) < maxRecipients+1 {
			out = append(out, append(bytes.Trim(g, "\n"), '\n'))
		}
	}
	return out
}

// recipientOf reads the fields about one recipient (RFC 3464 section 2.3).
func recipientOf(h Header) BounceRecipient {
	var out BounceRecipient
	out.Address = typedAddress(h.Get("Final-Recipient"))
	out.Original = typedAddress(h.Get("Original-Recipient"))
	if out.Address == "" {
		out.Address = out.Original
	}
	out.Status = statusCode.FindString(h.Get("Status"))
	out.Diagnostic = strings.Join(strings.Fields(typedText(h.Get("Diagnostic-Code"))), " ")
	if out.Status == "" {
		out.Status = statusCode.FindString(out.Diagnostic)
	}
	class := byte(0)
	if out.Status != "" {
		class = out.Status[0]
	} else if c := replyCode.FindStringSubmatch(out.Diagnostic); c != nil {
		class = c[1][0]
	}
	switch action := firstToken(h.Get("Action")); action {
	case "failed", "delayed", "delivered", "relayed":
		out.Action = action
	case "expanded":
		out.Action = "delivered"
	default:
		out.Action = map[byte]string{'2': "delivered", '4': "delayed"}[class]
		if out.Action == "" {
			out.Action = "failed"
		}
	}
	// A failure after many tries is final for this message, but says nothing
	// lasting about the address.
	out.Permanent = out.Action == "failed" && class != '4' && class != '2'
	out.Undeliverable = out.Permanent && Undeliverable(out.Status, out.Diagnostic)
	return out
}

var (
	statusCode = regexp.MustCompile(`\b[245]\.\d{1,3}\.\d{1,3}\b`) // RFC 3463
	replyCode  = regexp.MustCompile(`\b([245])\d\d\b`)
)

// typedAddress reads "rfc822; user@example.com".
func typedAddress(s string) string {
	return cleanAddress(strings.Trim(typedText(s), "<>"))
}

// typedText drops the type in front of a value.
func typedText(s string) string {
	if t, v, ok := strings.Cut(s, ";"); ok && !strings.ContainsAny(strings.TrimSpace(t), " @") {
		return strings.TrimSpace(v)
	}
	return strings.TrimSpace(s)
}

// worst returns the worst that happened to any recipient.
func worst(rs []BounceRecipient) string {
	for _, action := range []string{"failed", "delayed", "relayed"} {
		for _, r := range rs {
			if r.Action == action {
				return action
			}
		}
	}
	return "delivered"
}

// returnedID finds the id of the returned message: in the enclosed message or
// header, else where the text quotes its header.
func (r *reading) returnedID() (id string, anchors []string) {
	r.walk(func(p *part) {
		switch p.typ {
		case "message/rfc822", "message/global", "message/rfc822-headers", "message/global-headers", "text/rfc822-headers", "message/partial":
			if id == "" {
				id, anchors = idAndAnchors(p.leaf.head)
			}
		}
	})
	if id != "" {
		return id, anchors
	}
	text := r.m.Text
	if len(text) > maxEnclosed {
		text = text[:maxEnclosed]
	}
	if m := idInText.FindStringSubmatch(text); m != nil {
		return firstID("<" + m[1] + ">"), nil
	}
	// Its References may be all that is left of it.
	r.walk(func(p *part) {
		if id == "" && p.leaf.head != nil {
			_, anchors = idAndAnchors(p.leaf.head)
		}
	})
	return "", anchors
}

// idInText finds the Message-ID in a header that is quoted in a text.
var idInText = regexp.MustCompile(`(?im)^[>|\s]*(?:original )?message-id\s*:\s*<?([^<>\s]{3,900})>?`)

// idAndAnchors reads the id of an enclosed message, and the last of our anchors
// in its References: it survives a relay that gave the message another id.
func idAndAnchors(head []byte) (id string, anchors []string) {
	h := rawHeaderOf(head)
	id = firstID(h.get("Message-ID"))
	refs := parseIDs(h.get("References"))
	for _, ref := range slices.Backward(refs) {
		local, _, _ := strings.Cut(ref, "@")
		if token, ok := strings.CutSuffix(local, anchorSuffix); ok && isToken(token) {
			return id, []string{ref}
		}
	}
	return id, nil
}

// actionKind is the kind of update that tells of an action of RFC 3464 section 2.3.3.
func actionKind(action string) channel.UpdateKind {
	switch action {
	case "delayed":
		return channel.UpdateDelayed
	case "relayed":
		return channel.UpdateRelayed
	case "delivered":
		return channel.UpdateDelivered
	}
	return channel.UpdateBounce
}

// recipientStatus returns what was said about each recipient.
func (b *Bounce) recipientStatus() []channel.RecipientStatus {
	out := make([]channel.RecipientStatus, len(b.Recipients))
	for i, r := range b.Recipients {
		out[i] = r.RecipientStatus
		if r.Action != b.Kind {
			out[i].Kind = actionKind(r.Action)
		}
	}
	return out
}
