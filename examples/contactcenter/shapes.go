package main

import (
	"net/mail"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
	"github.com/anteroom/anteroom/ticket"
)

// stamp is a time in JSON: RFC 3339 in UTC, null when there is none.
func stamp(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// list makes an empty list of an absent one.
func list[T any](v []T) []T {
	if v == nil {
		return []T{}
	}
	return v
}

type contactJSON struct {
	ID      string `json:"id"`
	Name    string `json:"name"`
	Address string `json:"address"`
}

func contactOf(id ticket.ContactID, known map[ticket.ContactID]*ticket.Contact) *contactJSON {
	c := known[id]
	if c == nil {
		return &contactJSON{} // a mail without a readable sender
	}
	return &contactJSON{ID: string(c.ID), Name: c.Name, Address: c.Address()}
}

type ticketJSON struct {
	ID           string       `json:"id"`
	Number       int64        `json:"number"`
	Subject      string       `json:"subject"`
	Status       string       `json:"status"`
	Queue        string       `json:"queue"`
	Assignee     string       `json:"assignee"`
	Priority     string       `json:"priority"`
	Tags         []string     `json:"tags"`
	Channel      string       `json:"channel"`
	Conversation string       `json:"conversation"`
	Contact      *contactJSON `json:"contact"`
	FollowUpOf   string       `json:"follow_up_of,omitempty"`
	Revision     int64        `json:"revision"`
	CreatedAt    *time.Time   `json:"created_at"`
	UpdatedAt    *time.Time   `json:"updated_at"`
	WaitingSince *time.Time   `json:"waiting_since,omitempty"`
	MessageCount int          `json:"message_count"`

	Messages []messageJSON `json:"messages,omitzero"` // present where a single one is asked for, be it empty
	Events   []eventJSON   `json:"events,omitempty"`
	// Undeliverable are those to whom answers go whose mail came back for good.
	Undeliverable []ticket.Undeliverable `json:"undeliverable,omitempty"`
	// More says that the ticket has more messages or events than are shown.
	More bool `json:"more,omitempty"`
}

func showTicket(t *ticket.Ticket, contacts map[ticket.ContactID]*ticket.Contact) ticketJSON {
	return ticketJSON{
		ID: string(t.ID), Number: t.Number, Subject: t.Subject, Status: string(t.Status), Queue: string(t.Queue),
		Assignee: string(t.Assignee), Priority: string(t.Priority), Tags: list(t.Tags), Channel: string(t.Channel),
		Conversation: string(t.Conversation), Contact: contactOf(t.Contact, contacts), FollowUpOf: string(t.FollowUpOf),
		Revision: t.Revision, CreatedAt: stamp(t.CreatedAt), UpdatedAt: stamp(t.UpdatedAt), WaitingSince: stamp(t.WaitingSince),
		MessageCount: t.MessageCount,
	}
}

type conversationJSON struct {
	ID            string               `json:"id"`
	Channel       string               `json:"channel"`
	Via           string               `json:"via"`
	Ticket        string               `json:"ticket"`
	Contact       *contactJSON         `json:"contact"`
	Subject       string               `json:"subject"`
	Context       string               `json:"context,omitempty"`
	Status        string               `json:"status"` // of its ticket
	Queue         string               `json:"queue"`
	Assignee      string               `json:"assignee"`
	Participants  []ticket.Participant `json:"participants"`
	SendableUntil *time.Time           `json:"sendable_until"`
	CreatedAt     *time.Time           `json:"created_at"`
	UpdatedAt     *time.Time           `json:"updated_at"`
	MessageCount  int                  `json:"message_count"`

	Messages []messageJSON `json:"messages,omitzero"` // present where a single one is asked for, be it empty
	More     bool          `json:"more,omitempty"`
}

// showConversation shows a conversation; t is its ticket, if it has one, whose
// queue and assignee are then the conversation's.
func showConversation(c *ticket.Conversation, t *ticket.Ticket, contacts map[ticket.ContactID]*ticket.Contact) conversationJSON {
	out := conversationJSON{
		ID: string(c.ID), Channel: string(c.Channel), Via: string(c.Via), Ticket: string(c.Ticket), Contact: contactOf(c.Contact, contacts),
		Subject: c.Subject, Context: c.Context, Queue: string(c.Queue), Assignee: string(c.Assignee), Participants: list(c.Participants),
		CreatedAt: stamp(c.CreatedAt), UpdatedAt: stamp(c.UpdatedAt), MessageCount: c.MessageCount,
	}
	if t != nil {
		out.Status, out.Queue, out.Assignee = string(t.Status), string(t.Queue), string(t.Assignee)
	}
	return out
}

type attachmentJSON struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	Type      string `json:"type"`
	Size      int64  `json:"size"`
	Inline    bool   `json:"inline"`
	ContentID string `json:"content_id"`
}

type messageJSON struct {
	ID              string             `json:"id"`
	Ticket          string             `json:"ticket"`
	Conversation    string             `json:"conversation"`
	Channel         string             `json:"channel"`
	Direction       string             `json:"direction"`
	Automatic       bool               `json:"automatic"`
	AutomaticKind   string             `json:"automatic_kind,omitempty"`
	AutomaticReason string             `json:"automatic_reason,omitempty"`
	Agent           string             `json:"agent,omitempty"`
	From            channel.Party      `json:"from"`
	To              []channel.Party    `json:"to"`
	Cc              []channel.Party    `json:"cc"`
	Bcc             []channel.Party    `json:"bcc,omitempty"`
	Subject         string             `json:"subject"`
	Text            string             `json:"text"`
	NewText         string             `json:"new_text"`
	HTML            string             `json:"html"` // safe to show
	Payload         string             `json:"payload,omitempty"`
	Attachments     []attachmentJSON   `json:"attachments"`
	State           string             `json:"state"`
	StateDetail     string             `json:"state_detail"`
	ExternalID      string             `json:"external_id"`
	MessageID       string             `json:"message_id"`
	Deliveries      []channel.Delivery `json:"deliveries"`
	Warnings        []ticket.Warning   `json:"warnings,omitempty"`
	Auth            struct {
		SPF   string `json:"spf"`
		DKIM  string `json:"dkim"`
		DMARC string `json:"dmarc"`
	} `json:"auth"`
	Via        string     `json:"via"`
	Unverified bool       `json:"unverified,omitempty"`
	Inferred   bool       `json:"inferred,omitempty"`
	Defects    []string   `json:"defects,omitempty"`
	At         *time.Time `json:"at"`
	NotBefore  *time.Time `json:"not_before,omitempty"` // of a pending one: when it leaves
	CreatedAt  *time.Time `json:"created_at"`
	SentAt     *time.Time `json:"sent_at"`
	RedactedAt *time.Time `json:"redacted_at,omitempty"`
	RedactedBy string     `json:"redacted_by,omitempty"`
}

func showMessage(m *ticket.Message) messageJSON {
	out := messageJSON{
		ID: string(m.ID), Ticket: string(m.Ticket), Conversation: string(m.Conversation), Channel: string(m.Channel),
		Direction: string(m.Direction), Automatic: m.Automatic.Is() || m.Auto != "", AutomaticKind: string(m.Automatic.Kind),
		AutomaticReason: m.Automatic.Reason, Agent: string(m.Agent), From: m.From, To: list(m.To), Cc: list(m.Cc), Bcc: m.Bcc,
		Subject: m.Subject, Text: m.Text, NewText: m.NewText, HTML: safeBody(m), Payload: m.Payload, State: string(m.State), StateDetail: m.StateDetail,
		Deliveries: list(m.Deliveries), Warnings: m.Warnings, Via: string(m.Via), Unverified: m.Unverified, Inferred: m.Inferred, Defects: m.Defects,
		At: stamp(m.At), CreatedAt: stamp(m.CreatedAt), SentAt: stamp(m.SentAt), RedactedAt: stamp(m.RedactedAt), RedactedBy: m.RedactedBy,
		Attachments: []attachmentJSON{},
	}
	if out.NewText == "" {
		out.NewText = m.Text
	}
	if m.Auto != "" {
		out.AutomaticKind = string(m.Auto)
	}
	if m.Direction == ticket.Out && out.Via == "" {
		out.Via = string(m.Channel)
	}
	if m.State == ticket.StatePending {
		out.NotBefore = stamp(m.NotBefore)
	}
	if len(m.ExternalIDs) > 0 {
		out.ExternalID = m.ExternalIDs[0]
		if looksLikeMessageID(out.ExternalID) {
			out.MessageID = out.ExternalID
		}
	}
	out.Auth.SPF, out.Auth.DKIM, out.Auth.DMARC = m.Auth.SPF, m.Auth.DKIM, m.Auth.DMARC
	for _, a := range m.Attachments {
		out.Attachments = append(out.Attachments, attachmentJSON{ID: a.ID, Name: a.Name, Type: a.Type, Size: a.Size, Inline: a.Inline, ContentID: a.ContentID})
	}
	return out
}

// safeBody is a message's HTML, fit to show, with its inline images as ours.
func safeBody(m *ticket.Message) string {
	if m.HTML == "" {
		return ""
	}
	return email.SanitizeHTML(m.HTML, email.SanitizeOptions{ResolveCID: func(cid string) string {
		for _, a := range m.Attachments {
			if a.ContentID == cid {
				return "/api/attachments/" + a.ID
			}
		}
		return ""
	}})
}

func looksLikeMessageID(id string) bool { return strings.Contains(id, "@") }

// eventJSON is an event of the feed. Its cursor is a number.
type eventJSON struct {
	Cursor       int64             `json:"cursor"`
	ID           string            `json:"id"`
	Type         string            `json:"type"`
	At           *time.Time        `json:"at"`
	Actor        ticket.Actor      `json:"actor"`
	Ticket       string            `json:"ticket"`
	Conversation string            `json:"conversation"`
	Message      string            `json:"message"`
	Agent        string            `json:"agent"`
	Channel      string            `json:"channel"`
	Data         map[string]string `json:"data"`
}

func showEvent(e *ticket.Event) eventJSON {
	out := eventJSON{
		Cursor: e.Cursor, ID: e.ID, Type: string(e.Type), At: stamp(e.At), Actor: e.Actor, Ticket: string(e.Ticket),
		Conversation: string(e.Conversation), Message: string(e.Message), Agent: string(e.Agent), Channel: string(e.Channel), Data: e.Data,
	}
	if out.Data == nil {
		out.Data = map[string]string{}
	}
	return out
}

// parties reads addresses as people and programs write them: "a@example.com",
// "An <a@example.com>", or an object with name and address.
func parties(field string, in []partyJSON) ([]channel.Party, error) {
	var out []channel.Party
	for _, p := range in {
		party := channel.Party(p)
		if strings.ContainsFunc(party.Name+party.Address, func(r rune) bool { return r < 0x20 || r == 0x7f }) {
			return nil, badField(field, "must not hold control characters")
		}
		if party.Name == "" && strings.Contains(party.Address, "<") {
			a, err := mail.ParseAddress(party.Address)
			if err != nil {
				return nil, badField(field, "%q is not a mail address", oneLineString(party.Address))
			}
			party = channel.Party{Name: a.Name, Address: a.Address}
		}
		if strings.TrimSpace(party.Address) == "" {
			return nil, badField(field, "has an empty address")
		}
		out = append(out, party)
	}
	return out, nil
}
