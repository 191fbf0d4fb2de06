package main

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

const (
	maxShownMessages = 500 // of one ticket or conversation, at once
	unassigned       = "none"
)

// ticketFilter reads the filters of lists.
func ticketFilter(r *http.Request) (ticket.TicketFilter, error) {
	q := r.URL.Query()
	f := ticket.TicketFilter{
		Queue: routing.QueueID(q.Get("queue")), Channel: channel.ID(q.Get("channel")), Contact: ticket.ContactID(q.Get("contact")),
	}
	if a := q.Get("assignee"); a == unassigned {
		f.Unassigned = true
	} else {
		f.Assignee = routing.AgentID(a)
	}
	for _, s := range q["status"] {
		for one := range strings.SplitSeq(s, ",") {
			st := ticket.Status(one)
			if one == "" {
				continue
			}
			if !slices.Contains([]ticket.Status{ticket.Open, ticket.Pending, ticket.Solved, ticket.Closed}, st) {
				return f, badField("status", `must be "open", "pending", "solved" or "closed"`)
			}
			f.Statuses = append(f.Statuses, st)
		}
	}
	if s := strings.TrimSpace(q.Get("q")); s != "" {
		f = f.WithQuery(s)
		if f.Number == 0 && len(f.Terms) == 0 {
			return f, badField("q", "holds no word to look for")
		}
	}
	return f, nil
}

func (s *server) getTickets(w http.ResponseWriter, r *http.Request) error {
	f, err := ticketFilter(r)
	if err != nil {
		return err
	}
	p, err := page(r)
	if err != nil {
		return err
	}
	tickets, next, err := s.desk.Tickets(r.Context(), f, p)
	if err != nil {
		return err
	}
	shown, err := s.showTickets(r.Context(), tickets)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, map[string]any{"tickets": shown, "next": next})
}

func (s *server) showTickets(ctx context.Context, tickets []*ticket.Ticket) ([]ticketJSON, error) {
	var ids []ticket.ContactID
	for _, t := range tickets {
		ids = append(ids, t.Contact)
	}
	contacts, err := s.desk.Contacts(ctx, ids...)
	if err != nil {
		return nil, err
	}
	out := []ticketJSON{}
	for _, t := range tickets {
		out = append(out, showTicket(t, contacts))
	}
	return out, nil
}

func pathTicket(r *http.Request) ticket.TicketID { return ticket.TicketID(r.PathValue("id")) }

// fullTicket is a ticket with its messages and events.
func (s *server) fullTicket(ctx context.Context, id ticket.TicketID) (*ticketJSON, error) {
	t, err := s.desk.Ticket(ctx, id)
	if err != nil {
		return nil, err
	}
	shown, err := s.showTickets(ctx, []*ticket.Ticket{t})
	if err != nil {
		return nil, err
	}
	out := &shown[0]
	messages, next, err := s.desk.Timeline(ctx, ticket.MessageFilter{Ticket: id}, ticket.Page{Limit: maxShownMessages})
	if err != nil {
		return nil, err
	}
	out.Messages = showMessages(messages)
	if out.Undeliverable, err = s.undeliverableOf(ctx, out, messages); err != nil {
		return nil, err
	}
	events, more, err := s.ticketEvents(ctx, id)
	if err != nil {
		return nil, err
	}
	out.Events, out.More = events, next != "" || more
	return out, nil
}

func showMessages(messages []*ticket.Message) []messageJSON {
	out := []messageJSON{}
	for _, m := range messages {
		out = append(out, showMessage(m))
	}
	return out
}

func (s *server) getTicket(w http.ResponseWriter, r *http.Request) error {
	t, err := s.fullTicket(r.Context(), pathTicket(r))
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, t)
}

// answerTicket answers with a ticket that was just changed.
func (s *server) answerTicket(w http.ResponseWriter, r *http.Request, status int, t *ticket.Ticket) error {
	shown, err := s.showTickets(r.Context(), []*ticket.Ticket{t})
	if err != nil {
		return err
	}
	return answer(w, status, shown[0])
}

func (s *server) patchTicket(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Status   *ticket.Status   `json:"status"`
		Priority *ticket.Priority `json:"priority"`
		Tags     *[]string        `json:"tags"`
		Subject  *string          `json:"subject"`
		Revision *int64           `json:"revision"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	p := ticket.TicketPatch{Status: in.Status, Priority: in.Priority, Tags: in.Tags, Subject: in.Subject}
	if in.Revision != nil {
		if *in.Revision < 1 {
			return badField("revision", "must be that of the ticket, from 1")
		}
		p.Revision = *in.Revision
	}
	t, err := s.desk.UpdateTicket(r.Context(), actor(r), pathTicket(r), p)
	if err != nil {
		return err
	}
	return s.answerTicket(w, r, http.StatusOK, t)
}

func (s *server) deleteTicket(w http.ResponseWriter, r *http.Request) error {
	if err := s.desk.DeleteTicket(r.Context(), actor(r), pathTicket(r)); err != nil {
		return err
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (s *server) assignTicket(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Agent *string `json:"agent"`
		Queue *string `json:"queue"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	var t *ticket.Ticket
	var err error
	switch {
	case in.Agent == nil && in.Queue == nil:
		return badField("agent", "give an agent or a queue")
	case in.Agent != nil && in.Queue != nil:
		return badField("queue", "give an agent or a queue, not both")
	case in.Agent != nil:
		t, err = s.desk.Assign(r.Context(), actor(r), pathTicket(r), routing.AgentID(*in.Agent))
	default:
		t, err = s.desk.Move(r.Context(), actor(r), pathTicket(r), routing.QueueID(*in.Queue))
	}
	if err != nil {
		return err
	}
	return s.answerTicket(w, r, http.StatusOK, t)
}

func (s *server) postNote(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Agent string `json:"agent"`
		Text  string `json:"text"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	by, err := writer(r, in.Agent)
	if err != nil {
		return err
	}
	m, err := s.desk.Note(r.Context(), by, pathTicket(r), in.Text)
	if err != nil {
		return err
	}
	return answer(w, http.StatusCreated, showMessage(m))
}
