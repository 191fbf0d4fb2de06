package email

import (
	"time"

	"github.com/anteroom/anteroom/channel"
)

// View is a mail in the form in which it is shown and exchanged as JSON. Lists
// are never null; HTML is sanitised.
type View struct {
	MessageID  string          `json:"message_id"`
	InReplyTo  []string        `json:"in_reply_to"`
	References []string        `json:"references"`
	Date       string          `json:"date"` // RFC 3339, or empty
	From       []channel.Party `json:"from"`
	Sender     []channel.Party `json:"sender"`
	ReplyTo    []channel.Party `json:"reply_to"`
	To         []channel.Party `json:"to"`
	Cc         []channel.Party `json:"cc"`
	Subject    string          `json:"subject"`

	Text            string `json:"text"`
	HTML            string `json:"html"`
	NewText         string `json:"new_text"`
	NewTextUnsigned string `json:"new_text_unsigned"`
	Signature       string `json:"signature"`

	Attachments  []ViewAttachment `json:"attachments"`
	Automatic    ViewAutomatic    `json:"automatic"`
	Bounce       *ViewBounce      `json:"bounce"`
	Report       *Report          `json:"report"`
	Forwarded    *Forwarded       `json:"forwarded"`
	Confirmation *Confirmation    `json:"confirmation"`
	Defects      []string         `json:"defects"`
}

// ViewAttachment is an [Attachment] in a [View].
type ViewAttachment struct {
	Filename  string `json:"filename"`
	Type      string `json:"type"`
	Size      int64  `json:"size"` // decoded bytes
	SHA256    string `json:"sha256"`
	Inline    bool   `json:"inline"`
	ContentID string `json:"content_id"`
}

// ViewAutomatic is a [channel.Automatic] in a [View].
type ViewAutomatic struct {
	Is     bool                  `json:"is"`
	Kind   channel.AutomaticKind `json:"kind"`
	Reason string                `json:"reason"`
}

// ViewBounce is a [Bounce] in a [View].
type ViewBounce struct {
	Kind              string          `json:"kind"`
	Recipients        []ViewRecipient `json:"recipients"`
	OriginalMessageID string          `json:"original_message_id"`
}

// ViewRecipient is a [BounceRecipient] in a [View].
type ViewRecipient struct {
	Address         string `json:"address"`
	OriginalAddress string `json:"original_address"`
	Status          string `json:"status"`
	Permanent       bool   `json:"permanent"`
	Diagnostic      string `json:"diagnostic"`
}

// View returns the mail for JSON.
func (m *Mail) View() View {
	v := View{
		MessageID: m.MessageID, InReplyTo: list(m.InReplyTo), References: list(m.References),
		From: list(m.From), Sender: list(m.Sender), ReplyTo: list(m.ReplyTo), To: list(m.To), Cc: list(m.Cc),
		Subject: m.Subject, Text: m.Text, NewText: m.NewText, NewTextUnsigned: m.NewTextUnsigned, Signature: m.Signature,
		Attachments: make([]ViewAttachment, 0, len(m.Attachments)),
		Automatic:   ViewAutomatic{m.Automatic.Is(), m.Automatic.Kind, m.Automatic.Reason},
		Report:      m.Report, Forwarded: m.Forwarded, Confirmation: m.Confirmation,
		Defects: list(m.Defects),
	}
	if m.HTML != "" {
		v.HTML = SanitizeHTML(m.HTML, SanitizeOptions{})
	}
	if !m.Date.IsZero() {
		v.Date = m.Date.UTC().Format(time.RFC3339)
	}
	for _, a := range m.Attachments {
		v.Attachments = append(v.Attachments, ViewAttachment{a.Name, a.Type, a.Size, a.SHA256, a.Inline, a.ContentID})
	}
	if b := m.Bounce; b != nil {
		v.Bounce = &ViewBounce{Kind: b.Kind, OriginalMessageID: b.OriginalMessageID, Recipients: []ViewRecipient{}}
		for _, r := range b.Recipients {
			v.Bounce.Recipients = append(v.Bounce.Recipients, ViewRecipient{r.Address, r.Original, r.Status, r.Permanent, r.Diagnostic})
		}
	}
	return v
}

// list makes a nil list an empty one, for JSON.
func list[T any](s []T) []T {
	if s == nil {
		return []T{}
	}
	return s
}
