package main

import (
	"net/http"
	"strings"

	"github.com/anteroom/anteroom/ticket"
)

// eraseIn says who is to be erased. With preview nothing is, and the answer is
// the list of what would be.
type eraseIn struct {
	Contact    ticket.ContactID  `json:"contact"`
	Identities []ticket.Identity `json:"identities"`
	Preview    bool              `json:"preview"`
}

// maxIdentities bounds how many addresses one request names.
const maxIdentities = 100

type tracesJSON struct {
	Empty         bool                    `json:"empty"`
	Contacts      []ticket.ContactID      `json:"contacts"`
	Identities    []ticket.Identity       `json:"identities"`
	Conversations []ticket.ConversationID `json:"conversations"`
	Shared        []ticket.ConversationID `json:"shared"`
	Tickets       []ticket.TicketID       `json:"tickets"`
	Messages      []ticket.MessageID      `json:"messages"`
	Mentions      []ticket.MessageID      `json:"mentions"`
	Kept          []ticket.MessageID      `json:"kept"`
	Items         []ticket.ItemID         `json:"items"`
	Unread        []ticket.ItemID         `json:"unread"`
	Works         int                     `json:"works"`
	Decisions     int                     `json:"decisions"`
	Keys          int                     `json:"keys"`
	Counters      int                     `json:"counters"`
	Bodies        int                     `json:"bodies"`
	Undeliverable []string                `json:"undeliverable"`
}

func showTraces(t *ticket.Traces) tracesJSON {
	return tracesJSON{Empty: t.Empty(), Contacts: list(t.Contacts), Identities: list(t.Identities), Conversations: list(t.Conversations),
		Shared: list(t.Shared), Tickets: list(t.Tickets), Messages: list(t.Messages), Mentions: list(t.Mentions), Kept: list(t.Kept), Items: list(t.Items), Unread: list(t.Unread),
		Works: len(t.Works), Decisions: len(t.Decisions), Keys: len(t.Keys), Counters: len(t.Counters), Bodies: len(t.Bodies), Undeliverable: list(t.Undeliverable)}
}

// erase erases a person, and shows what that was.
func (s *server) erase(w http.ResponseWriter, r *http.Request) error {
	var in eraseIn
	if err := decode(r, &in); err != nil {
		return err
	}
	if in.Contact == "" && len(in.Identities) == 0 {
		return badField("contact", "name a contact or identities")
	}
	if len(in.Identities) > maxIdentities {
		return badField("identities", "are too many")
	}
	for _, i := range in.Identities {
		if strings.TrimSpace(i.Address) == "" {
			return badField("identities", "each has an address")
		}
	}
	who := ticket.Person{Contact: in.Contact, Identities: in.Identities}
	do := func() (*ticket.Traces, error) { return s.desk.Erase(r.Context(), actor(r), who) }
	if in.Preview {
		do = func() (*ticket.Traces, error) { return s.desk.Traces(r.Context(), who) }
	}
	t, err := do()
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, showTraces(t))
}
