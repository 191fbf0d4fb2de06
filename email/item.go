package email

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Own are the addresses that belong to a channel or its portal.
type Own struct {
	Addresses []string
	Domains   []string // domains of which every address is ours
}

// Is reports whether an address is ours: letter case, +tag and the wrappings
// that [NormalizeAddress] undoes aside.
func (o Own) Is(address string) bool {
	if address == "" {
		return false
	}
	n := NormalizeAddress(address)
	for _, a := range o.Addresses {
		if NormalizeAddress(a) == n {
			return true
		}
	}
	_, domain, _ := strings.Cut(n, "@")
	for _, d := range o.Domains {
		if domain != "" && strings.EqualFold(d, domain) {
			return true
		}
	}
	return false
}

// Context is what [Item] must know besides the mail.
type Context struct {
	Channel, Via channel.ID
	ViaInferred  bool
	Envelope     channel.Envelope
	Own          Own
	// Key is the provider's primary key (folder, UIDVALIDITY and UID, say),
	// empty where there is none.
	Key      channel.Key
	At       time.Time
	Imported bool
}

// Item turns a mail into the item to accept. It never fails.
//
// Its keys are c.Key, if set, and the mail's content key: a SHA-256 over From,
// Date, Subject, Message-ID and the decoded bodies, so that copies of one mail
// that came by different ways are one; or over the whole raw mail where it has
// neither Message-ID nor Date. That of a probe is its token and the way by which
// it came, since by each way it proves something else.
//
// A mail of 100 or more hops is ignored as a loop; a probe carries its token; a
// forwarding confirmation becomes a notice; an aggregate report is ignored; a
// delivery report, receipt or complaint has an update beside its message.
// Everything else is a message.
func Item(raw channel.Body, m *Mail, c Context) *channel.Item {
	it := &channel.Item{
		Channel: c.Channel, Via: c.Via, ViaInferred: c.ViaInferred,
		Keys: keysOf(m, c), At: c.At, Imported: c.Imported, Raw: raw,
	}
	switch {
	case m.Received >= maxHops:
		it.Ignored = channel.CauseLoop
		it.Detail = fmt.Sprintf("%d Received fields", m.Received)
	case isToken(m.Header.Get(ProbeHeader)):
		it.Probe = m.Header.Get(ProbeHeader)
		// By each way it is to come in once.
		it.Keys = []channel.Key{channel.Key("probe:" + it.Probe + ":" + string(c.Via))}
	case m.Confirmation != nil:
		it.Notice = notice(m, c.Own)
	case m.MachineReport != "":
		it.Ignored = channel.CauseReport
		it.Detail = m.MachineReport + " report"
	default:
		it.Message = message(m, c)
		it.Update = update(m, c)
	}
	return it
}

// keysOf returns the keys of a mail, at least one.
func keysOf(m *Mail, c Context) []channel.Key {
	var keys []channel.Key
	if c.Key != "" {
		keys = append(keys, c.Key)
	}
	switch {
	case m.ContentKey != "" && m.ContentKey != c.Key:
		keys = append(keys, m.ContentKey)
	case len(keys) == 0:
		// The raw mail could not be read a second time.
		sum := sha256.Sum256(fmt.Appendf(nil, "%q", m.Header.Fields))
		keys = append(keys, channel.Key("header:"+hex.EncodeToString(sum[:])))
	}
	return keys
}

// message is the mail as the engine takes it.
func message(m *Mail, c Context) *channel.Message {
	msg := &channel.Message{
		From: author(m, c.Own), ReplyTo: m.ReplyTo, To: m.To, Cc: m.Cc,
		Subject: m.Subject, Text: m.Text, HTML: m.HTML,
		ExternalID: m.MessageID,
		Evidence:   channel.Evidence{Self: tokenOf(m.MessageID), Tokens: tokens(m, c.Envelope), IDs: evidenceIDs(m)},
		Automatic:  m.Automatic, Quiet: m.Quiet,
		Defects: m.Defects, Received: c.Envelope,
	}
	if m.NewText != m.Text {
		msg.NewText = m.NewText
	}
	for _, a := range m.Attachments {
		msg.Attachments = append(msg.Attachments, a.Attachment)
	}
	if !msg.Automatic.Is() && c.Envelope.Known && (c.Envelope.NullPath || c.Envelope.From == "") {
		msg.Automatic = channel.Automatic{Kind: nullPathKind(m), Reason: "MAIL FROM:<>"}
	}
	if msg.Quiet == "" {
		msg.Quiet = quietByContext(m, c)
	}
	// A receipt and good news are no work for anybody.
	if m.Disposition != nil || m.Bounce != nil && m.Bounce.Kind != "failed" {
		msg.NoTicket = true
	}
	return msg
}

// author returns who wrote the mail: From, unless that is an address of ours or
// a group's behind which the author stands.
func author(m *Mail, own Own) channel.Party {
	var from channel.Party
	if len(m.From) > 0 {
		from = m.From[0]
	} else if len(m.Sender) > 0 {
		from = m.Sender[0]
	}
	ours := own.Is(from.Address)
	via := strings.Contains(asciiLower(from.Name), " via ")
	if !ours && !via {
		return from
	}
	for _, name := range []string{"X-Original-From", "X-Original-Sender"} {
		for _, p := range parseParties(m.Header.Get(name), "") {
			if addressProblem(p.Address) == "" && !own.Is(p.Address) {
				if p.Name == "" && via {
					p.Name = nameBeforeVia(from.Name)
				}
				return p
			}
		}
	}
	if via {
		for _, p := range m.ReplyTo {
			if addressProblem(p.Address) == "" && !own.Is(p.Address) {
				if p.Name == "" {
					p.Name = nameBeforeVia(from.Name)
				}
				return p
			}
		}
	}
	return from
}

// nameBeforeVia returns the person's part of "Jane via Support".
func nameBeforeVia(name string) string {
	i := strings.LastIndex(asciiLower(name), " via ")
	if i < 0 {
		return name
	}
	return strings.Trim(strings.TrimSpace(name[:i]), `'"`)
}

// quietByContext finds reasons for silence that depend on whose mailbox it is.
func quietByContext(m *Mail, c Context) string {
	for _, p := range append(slices.Clip(m.From), m.Sender...) {
		if c.Own.Is(p.Address) {
			return QuietOwnAddress
		}
	}
	for _, v := range m.Header.Values("X-Loop") {
		for _, p := range parseParties(v, "") {
			if c.Own.Is(p.Address) {
				return QuietMarkedQuiet
			}
		}
	}
	if len(c.Own.Addresses) == 0 && len(c.Own.Domains) == 0 || addressed(m, c) {
		return ""
	}
	return QuietNotToUs
}

// addressed reports whether the mail is to one of our addresses: by its
// recipient fields, or, if it was forwarded here, by what forwarders leave
// behind.
func addressed(m *Mail, c Context) bool {
	for _, list := range [][]channel.Party{m.To, m.Cc} {
		for _, p := range list {
			if c.Own.Is(p.Address) {
				return true
			}
		}
	}
	names := []string{"Resent-To", "Resent-Cc"}
	if c.Via != "" || m.Forwarded != nil && m.Forwarded.How == ForwardRedirect {
		names = append(names, "X-Forwarded-For", "Resent-From", "X-Original-To", "Envelope-To", "Delivered-To")
	}
	for _, name := range names {
		for _, v := range m.Header.Values(name) {
			for _, p := range parseParties(strings.ReplaceAll(v, " ", ","), "") {
				if c.Own.Is(p.Address) {
					return true
				}
			}
		}
	}
	return false
}

// notice is what an admin sees of a forwarding confirmation. Anybody can ask
// for a forward to us, so it says whether the address is one of the channel's.
func notice(m *Mail, own Own) *channel.Notice {
	c := m.Confirmation
	who := c.Address
	if who == "" {
		who = "an address it does not name"
	}
	n := &channel.Notice{Finding: channel.Finding{
		Code:     channel.CodeForwardingConfirmation,
		Severity: channel.SeverityWarning,
		Text:     "Google asks to confirm forwarding from " + who,
		Fix:      "If you expect this, enter the code in Gmail or open the link.",
		Data:     map[string]string{"provider": c.Provider, "code": c.Code, "link": c.Link, "address": c.Address},
	}}
	if !own.Is(c.Address) {
		n.Text += ", which is no address of this channel"
		n.Fix = "Do nothing, unless you know who asks for it: it would bring that address's mail here."
		n.Data["unexpected"] = "yes"
	}
	if len(m.From) > 0 {
		n.From = m.From[0]
	}
	return n
}

// update is the news that a report brings about a message of ours.
func update(m *Mail, c Context) *channel.Update {
	var u *channel.Update
	var id string
	var anchors []string
	switch {
	case m.Bounce != nil:
		u = &channel.Update{Kind: actionKind(m.Bounce.Kind), Recipients: m.Bounce.recipientStatus()}
		id, anchors = m.Bounce.OriginalMessageID, m.Bounce.Anchors
		u.Tokens = appendTokens(nil, m.Bounce.EnvelopeID)
	case m.Report != nil && m.Report.Type != "not-spam":
		u = &channel.Update{Kind: channel.UpdateComplaint}
		if m.Report.Recipient != "" {
			u.Recipients = []channel.RecipientStatus{{Address: m.Report.Recipient}}
		}
		id, anchors = m.Report.OriginalMessageID, m.Report.Anchors
	case m.Disposition != nil && m.Disposition.Type == "displayed":
		u = &channel.Update{Kind: channel.UpdateRead}
		if m.Disposition.Recipient != "" {
			u.Recipients = []channel.RecipientStatus{{Address: m.Disposition.Recipient}}
		}
		id = m.Disposition.OriginalMessageID
	default:
		return nil
	}
	u.Tokens = appendTokens(u.Tokens, tagOf(c.Envelope.To))
	if id != "" {
		u.Tokens = appendTokens(u.Tokens, tokenOf(id))
		u.IDs = append(u.IDs, id)
	}
	for _, a := range anchors {
		u.Tokens = appendTokens(u.Tokens, tokenOf(a))
	}
	if len(u.IDs) == 0 && len(u.Tokens) == 0 {
		return nil // nothing says what it is about
	}
	return u
}
