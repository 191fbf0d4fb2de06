package main

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

// replyIn is an answer as it is given.
type replyIn struct {
	Agent       string         `json:"agent"`
	Text        string         `json:"text"`
	HTML        string         `json:"html"`
	To          []partyJSON    `json:"to"`
	Cc          []partyJSON    `json:"cc"`
	Bcc         []partyJSON    `json:"bcc"`
	ReplyAll    bool           `json:"reply_all"`
	Subject     string         `json:"subject"`
	Attachments []attachmentIn `json:"attachments"`
	SendAt      string         `json:"send_at"`
	Undo        *string        `json:"undo"`
	Via         string         `json:"via"`
	Key         string         `json:"key"`
	How         string         `json:"how"` // "public" or "private", for comments
}

type attachmentIn struct {
	Name          string `json:"name"`
	Type          string `json:"type"`
	ContentBase64 string `json:"content_base64"`
	Inline        bool   `json:"inline"`
	ContentID     string `json:"content_id"`
}

func (in replyIn) draft(r *http.Request) (ticket.Draft, error) {
	var d ticket.Draft
	by, err := writer(r, in.Agent)
	if err != nil {
		return d, err
	}
	d = ticket.Draft{By: by, Text: in.Text, HTML: in.HTML, ReplyAll: in.ReplyAll, Subject: in.Subject, Via: channel.ID(in.Via),
		How: channel.How(in.How), Key: in.Key}
	for _, f := range []struct {
		field string
		in    []partyJSON
		to    *[]channel.Party
	}{{"to", in.To, &d.To}, {"cc", in.Cc, &d.Cc}, {"bcc", in.Bcc, &d.Bcc}} {
		if *f.to, err = parties(f.field, f.in); err != nil {
			return d, err
		}
	}
	if d.SendAt, err = parseTime("send_at", in.SendAt); err != nil {
		return d, err
	}
	if in.Undo != nil {
		undo, err := parseDuration("undo", *in.Undo)
		if err != nil {
			return d, err
		}
		d.Undo = &undo
	}
	if strings.ContainsFunc(in.Key, func(c rune) bool { return c < 0x20 || c == 0x7f }) {
		return d, badField("key", "must be one line")
	}
	d.Attachments, err = readFiles(in.Attachments)
	return d, err
}

// maxFiles is how many files a message can have; it bounds decoding.
const maxFiles = 50

func readFiles(in []attachmentIn) ([]channel.Attachment, error) {
	if len(in) > maxFiles {
		return nil, badField("attachments", "must be at most %d", maxFiles)
	}
	var out []channel.Attachment
	for i, a := range in {
		field := fmt.Sprintf("attachments[%d]", i)
		b, err := base64.StdEncoding.DecodeString(a.ContentBase64)
		switch {
		case err != nil:
			return nil, badField(field+".content_base64", "is not base64")
		case a.ContentBase64 == "":
			return nil, badField(field+".content_base64", "is missing")
		case !plainType(a.Type):
			return nil, badField(field+".type", "is no media type, such as application/pdf")
		case len(a.ContentID) > 200 || strings.ContainsFunc(a.ContentID, func(c rune) bool { return c <= ' ' || c >= 0x7f || c == '<' || c == '>' }):
			return nil, badField(field+".content_id", "must be printable ASCII without blanks and angle brackets")
		case a.Name == "." || a.Name == "..":
			return nil, badField(field+".name", "is no file name")
		}
		out = append(out, channel.Attachment{Name: a.Name, Type: a.Type, Size: int64(len(b)), Inline: a.Inline, ContentID: a.ContentID, Body: channel.Bytes(b)})
	}
	return out, nil
}

// plainType reports whether t is a media type without parameters, or empty.
func plainType(t string) bool {
	if t == "" {
		return true
	}
	major, minor, ok := strings.Cut(t, "/")
	token := func(s string) bool {
		return s != "" && len(s) <= 64 && !strings.ContainsFunc(s, func(c rune) bool {
			return c <= ' ' || c >= utf8.RuneSelf || strings.ContainsRune(`()<>@,;:\"/[]?=`, c) || c == 0x7f
		})
	}
	return ok && token(major) && token(minor)
}

func (s *server) replyTicket(w http.ResponseWriter, r *http.Request) error {
	var in replyIn
	if err := decode(r, &in); err != nil {
		return err
	}
	d, err := in.draft(r)
	if err != nil {
		return err
	}
	m, err := s.desk.Reply(r.Context(), pathTicket(r), d)
	if err != nil {
		return err
	}
	return answer(w, http.StatusAccepted, showMessage(m))
}

func (s *server) replyConversation(w http.ResponseWriter, r *http.Request) error {
	var in replyIn
	if err := decode(r, &in); err != nil {
		return err
	}
	d, err := in.draft(r)
	if err != nil {
		return err
	}
	m, err := s.desk.ReplyTo(r.Context(), ticket.ConversationID(r.PathValue("id")), d)
	if err != nil {
		return err
	}
	return answer(w, http.StatusAccepted, showMessage(m))
}

// postConversation writes first.
func (s *server) postConversation(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Channel     string         `json:"channel"`
		Agent       string         `json:"agent"`
		To          []partyJSON    `json:"to"`
		Cc          []partyJSON    `json:"cc"`
		Bcc         []partyJSON    `json:"bcc"`
		Subject     string         `json:"subject"`
		Text        string         `json:"text"`
		HTML        string         `json:"html"`
		Attachments []attachmentIn `json:"attachments"`
		SendAt      string         `json:"send_at"`
		Undo        *string        `json:"undo"`
		Send        bool           `json:"send"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	if in.Channel == "" {
		return badField("channel", "is missing")
	}
	d, err := replyIn{Agent: in.Agent, Text: in.Text, HTML: in.HTML, To: in.To, Cc: in.Cc, Bcc: in.Bcc, Subject: in.Subject,
		Attachments: in.Attachments, SendAt: in.SendAt, Undo: in.Undo}.draft(r)
	if err != nil {
		return err
	}
	o, err := s.desk.Start(r.Context(), ticket.Opening{Channel: channel.ID(in.Channel), By: d.By, To: d.To, Cc: d.Cc, Bcc: d.Bcc,
		Subject: d.Subject, Text: d.Text, HTML: d.HTML, Send: in.Send, Attachments: d.Attachments, SendAt: d.SendAt, Undo: d.Undo})
	if err != nil {
		return err
	}
	contacts, err := s.desk.Contacts(r.Context(), o.Conversation.Contact)
	if err != nil {
		return err
	}
	out := map[string]any{"conversation": showConversation(o.Conversation, o.Ticket, contacts), "ticket": showTicket(o.Ticket, contacts), "message": nil}
	if o.Message != nil {
		out["message"] = showMessage(o.Message)
	}
	return answer(w, http.StatusCreated, out)
}

func pathMessage(r *http.Request) ticket.MessageID { return ticket.MessageID(r.PathValue("id")) }

func (s *server) cancelMessage(w http.ResponseWriter, r *http.Request) error {
	c, err := s.desk.Cancel(r.Context(), actor(r), pathMessage(r))
	if err != nil {
		return err
	}
	result := "too_late"
	if c.Cancelled {
		result = "cancelled"
	}
	return answer(w, http.StatusOK, map[string]any{"result": result, "state": c.State})
}

func (s *server) patchMessage(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Text    *string `json:"text"`
		HTML    *string `json:"html"`
		Subject *string `json:"subject"`
		SendAt  *string `json:"send_at"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	e := ticket.Edit{Text: in.Text, HTML: in.HTML, Subject: in.Subject}
	if in.SendAt != nil {
		at, err := parseTime("send_at", *in.SendAt)
		if err != nil {
			return err
		}
		if *in.SendAt == "" {
			return badField("send_at", "must be a time in RFC 3339")
		}
		e.SendAt = &at
	}
	m, err := s.desk.Edit(r.Context(), actor(r), pathMessage(r), e)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, showMessage(m))
}

func (s *server) resolveMessage(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		As ticket.Resolution `json:"as"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	m, err := s.desk.Resolve(r.Context(), actor(r), pathMessage(r), in.As)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, showMessage(m))
}
