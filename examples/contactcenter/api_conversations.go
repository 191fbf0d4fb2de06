package main

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/ticket"
)

// maxScan is how many conversations are looked at for one page: the store
// filters by channel and contact only, the rest is done here.
const maxScan = 2000

func (s *server) getConversations(w http.ResponseWriter, r *http.Request) error {
	f, err := ticketFilter(r)
	if err != nil {
		return err
	}
	p, err := page(r)
	if err != nil {
		return err
	}
	if p.Limit == 0 {
		p.Limit = p.Size()
	}
	query := s.conversationQuery(f)
	out := []conversationJSON{}
	next := p.After
	for scanned := 0; scanned < maxScan; {
		// Never more than are missing, so that none is passed over.
		part := ticket.Page{Limit: p.Limit - len(out), After: next}
		found, after, err := s.desk.Conversations(r.Context(), ticket.ConversationFilter{Channel: f.Channel, Contact: f.Contact}, part)
		if err != nil {
			return err
		}
		shown, err := s.showConversations(r.Context(), found, query)
		if err != nil {
			return err
		}
		out, scanned, next = append(out, shown...), scanned+len(found), after
		if after == "" || len(out) >= p.Limit {
			break
		}
	}
	return answer(w, http.StatusOK, map[string]any{"conversations": out, "next": next})
}

// conversationQuery decides whether a conversation, with or without a ticket,
// is asked for.
func (s *server) conversationQuery(f ticket.TicketFilter) func(conversationJSON, *ticket.Ticket) bool {
	return func(c conversationJSON, t *ticket.Ticket) bool {
		switch {
		case f.Queue != "" && c.Queue != string(f.Queue),
			f.Unassigned && c.Assignee != "",
			f.Assignee != "" && c.Assignee != string(f.Assignee),
			len(f.Statuses) > 0 && (t == nil || !slices.Contains(f.Statuses, t.Status)),
			f.Number != 0 && (t == nil || t.Number != f.Number):
			return false
		}
		if len(f.Terms) == 0 {
			return true
		}
		text := []string{c.Subject}
		for _, p := range c.Participants {
			text = append(text, p.Name, p.Address)
		}
		if c.Contact != nil {
			text = append(text, c.Contact.Name, c.Contact.Address)
		}
		words := ticket.Terms(strings.Join(text, " "))
		for _, term := range f.Terms {
			if !slices.ContainsFunc(words, func(word string) bool { return strings.HasPrefix(word, term) }) {
				return false
			}
		}
		return true
	}
}

// showConversations shows those that keep lets through; nil keeps all.
func (s *server) showConversations(ctx context.Context, found []*ticket.Conversation, keep func(conversationJSON, *ticket.Ticket) bool) ([]conversationJSON, error) {
	var want ticket.Want
	for _, c := range found {
		if c.Ticket != "" {
			want.Tickets = append(want.Tickets, c.Ticket)
		}
		want.Contacts = append(want.Contacts, c.Contact)
	}
	snap, err := s.store.Snapshot(ctx, want)
	if err != nil {
		return nil, err
	}
	var out []conversationJSON
	for _, c := range found {
		t := snap.Tickets[c.Ticket]
		shown := showConversation(c, t, snap.Contacts)
		if keep == nil || keep(shown, t) {
			out = append(out, shown)
		}
	}
	return out, nil
}

func (s *server) getConversation(w http.ResponseWriter, r *http.Request) error {
	id := ticket.ConversationID(r.PathValue("id"))
	c, err := s.desk.Conversation(r.Context(), id)
	if err != nil {
		return err
	}
	shown, err := s.showConversations(r.Context(), []*ticket.Conversation{c}, nil)
	if err != nil {
		return err
	}
	messages, next, err := s.desk.Timeline(r.Context(), ticket.MessageFilter{Conversation: id}, ticket.Page{Limit: maxShownMessages})
	if err != nil {
		return err
	}
	until, closes, err := s.desk.SendableUntil(r.Context(), id)
	if err != nil {
		return err
	}
	if closes {
		shown[0].SendableUntil = stamp(until)
	}
	shown[0].Messages, shown[0].More = showMessages(messages), next != ""
	return answer(w, http.StatusOK, shown[0])
}

func (s *server) makeTicket(w http.ResponseWriter, r *http.Request) error {
	t, err := s.desk.MakeTicket(r.Context(), actor(r), ticket.ConversationID(r.PathValue("id")))
	if err != nil {
		return err
	}
	return s.answerTicket(w, r, http.StatusOK, t)
}
