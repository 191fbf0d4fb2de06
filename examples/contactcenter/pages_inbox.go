package main

import (
	"context"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// names resolves ids for people.
type names struct {
	Agents   []agentJSON
	Queues   []queueJSON
	Channels []channelJSON
}

func (n names) AgentName(id string) string {
	for _, a := range n.Agents {
		if string(a.ID) == id && a.Name != "" {
			return a.Name
		}
	}
	return id
}

func (n names) QueueName(id string) string {
	for _, q := range n.Queues {
		if string(q.ID) == id && q.Name != "" {
			return q.Name
		}
	}
	return id
}

func (n names) ChannelName(id string) string {
	for _, c := range n.Channels {
		if c.ID == id {
			return c.Address
		}
	}
	return id
}

func (s *server) names(ctx context.Context) (names, error) {
	var n names
	agents, err := s.desk.Agents(ctx)
	if err != nil {
		return n, err
	}
	for _, a := range agents {
		n.Agents = append(n.Agents, showAgent(a))
	}
	queues, err := s.desk.Queues(ctx)
	if err != nil {
		return n, err
	}
	for _, q := range queues {
		n.Queues = append(n.Queues, showQueue(q))
	}
	channels, err := s.desk.Channels(ctx)
	if err != nil {
		return n, err
	}
	for _, c := range channels {
		n.Channels = append(n.Channels, showChannel(c))
	}
	return n, nil
}

// Story tells an event of a ticket to people; empty for what they need not know.
func (n names) Story(e eventJSON) string {
	by := func(passive, active string) string {
		if e.Actor.Kind == ticket.ActorAgent {
			return n.AgentName(e.Actor.ID) + " " + active
		}
		return passive
	}
	switch ticket.EventType(e.Type) {
	case ticket.EventTicketCreated:
		return by("The ticket was made", "made the ticket")
	case ticket.EventTicketReopened:
		return "The customer's mail opened it again"
	case ticket.EventTicketUpdated:
		if st := e.Data["status"]; st != "" {
			return by("The status became "+st, "set the status to "+st)
		}
		return by("The ticket was changed", "changed the ticket")
	case ticket.EventAssigned:
		return by("Given to "+n.AgentName(e.Agent), "gave it to "+n.AgentName(e.Agent))
	case ticket.EventQueued:
		return "It waits in " + n.QueueName(e.Data["queue"])
	case ticket.EventMessageReceived:
		if kind := e.Data["automatic"]; kind != "" {
			return "Automatic mail came in: " + kind
		}
		return "Mail came in"
	case ticket.EventMessageCreated:
		if e.Data["auto"] != "" {
			return "An automatic reply was written"
		}
		return by("An answer was written", "wrote an answer")
	case ticket.EventMessageState:
		switch st := e.Data["state"]; ticket.OutState(st) {
		case ticket.StatePending, ticket.StateSending:
			return ""
		case ticket.StateCancelled:
			return "An answer was taken back"
		default:
			return "A mail is " + st
		}
	case ticket.EventMessageEdited:
		return by("An answer was changed", "changed an answer")
	case ticket.EventMessageRedacted:
		return by("A message was deleted", "deleted a message")
	case ticket.EventNoteAdded:
		return by("A note was added", "added a note")
	case ticket.EventAutoReply:
		if e.Data["outcome"] != "sent" {
			return "No automatic reply: " + strings.ReplaceAll(e.Data["rule"], "_", " ")
		}
	}
	return ""
}

type inboxData struct {
	names
	Tickets []ticketJSON
	Queue   string
	Who     string
	Status  string
	Query   string
	Next    string // address of the next page
}

func (p *pages) inbox(w http.ResponseWriter, r *http.Request) error {
	cursor, err := p.desk.LastCursor(r.Context())
	if err != nil {
		return err
	}
	f, err := ticketFilter(r)
	if err != nil {
		return err
	}
	f.Order = ticket.LatestUpdate
	q := r.URL.Query()
	if !q.Has("status") {
		f.Statuses = []ticket.Status{ticket.Open, ticket.Pending}
	}
	pg, err := page(r)
	if err != nil {
		return err
	}
	tickets, next, err := p.desk.Tickets(r.Context(), f, pg)
	if err != nil {
		return err
	}
	d := inboxData{Queue: q.Get("queue"), Who: q.Get("assignee"), Status: q.Get("status"), Query: q.Get("q")}
	if !q.Has("status") {
		d.Status = "open,pending"
	}
	if d.Tickets, err = p.showTickets(r.Context(), tickets); err != nil {
		return err
	}
	if d.names, err = p.names(r.Context()); err != nil {
		return err
	}
	if next != "" {
		q.Set("cursor", string(next))
		d.Next = "/inbox?" + q.Encode()
	}
	return p.render(w, r, http.StatusOK, "inbox", "Inbox", view{Cursor: cursor, Data: d})
}

type ticketData struct {
	names
	Ticket  *ticketJSON
	Senders []channelJSON // by which an answer can leave, when the channel only receives
	Draft   string
	Face    bool // the customer's picture may be had
}

func (p *pages) ticket(w http.ResponseWriter, r *http.Request) error {
	return p.showTicketPage(w, r, http.StatusOK, "", "")
}

func (p *pages) showTicketPage(w http.ResponseWriter, r *http.Request, status int, draft, problem string) error {
	cursor, err := p.desk.LastCursor(r.Context())
	if err != nil {
		return err
	}
	d := ticketData{Draft: draft}
	if d.Ticket, err = p.fullTicket(r.Context(), pathTicket(r)); err != nil {
		return err
	}
	if d.names, err = p.names(r.Context()); err != nil {
		return err
	}
	receiveOnly, paired := false, 0
	for _, c := range d.Channels {
		if c.ID == d.Ticket.Channel {
			receiveOnly, d.Face = !c.CanSend, c.Kind == string(facebook.Kind)
		}
		if c.CanSend {
			d.Senders = append(d.Senders, c)
			if c.ForwardedTo == d.Ticket.Channel {
				paired++
			}
		}
	}
	if !receiveOnly || paired == 1 {
		d.Senders = nil // there is nothing to choose
	}
	title := d.Ticket.Subject
	if title == "" {
		title = "(no subject)"
	}
	return p.render(w, r, status, "ticket", title, view{Cursor: cursor, Problem: problem, Data: d})
}

// back leads to the ticket again, or shows it with what was wrong.
func (p *pages) back(w http.ResponseWriter, r *http.Request, draft string, err error) error {
	if err == nil {
		return p.goTo(w, r, "/tickets/"+url.PathEscape(r.PathValue("id")))
	}
	e := classify(err)
	if e.status >= 500 || e.status == http.StatusNotFound {
		return err
	}
	return p.showTicketPage(w, r, e.status, draft, e.Message)
}

func (p *pages) reply(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	text := strings.ReplaceAll(r.PostForm.Get("text"), "\r\n", "\n")
	_, err := p.desk.Reply(r.Context(), pathTicket(r), ticket.Draft{By: sessionOf(r).agent, Text: text,
		Via: channel.ID(r.PostForm.Get("via")), ReplyAll: r.PostForm.Get("all") == "on", Key: r.PostForm.Get("key")})
	return p.back(w, r, text, err)
}

func (p *pages) note(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	text := strings.ReplaceAll(r.PostForm.Get("text"), "\r\n", "\n")
	_, err := p.desk.Note(r.Context(), sessionOf(r).agent, pathTicket(r), text)
	return p.back(w, r, text, err)
}

func (p *pages) status(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	_, err := p.desk.SetStatus(r.Context(), actor(r), pathTicket(r), ticket.Status(r.PostForm.Get("status")))
	return p.back(w, r, "", err)
}

func (p *pages) assign(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	var err error
	if q := r.PostForm.Get("queue"); q != "" {
		_, err = p.desk.Move(r.Context(), actor(r), pathTicket(r), routing.QueueID(q))
	} else {
		_, err = p.desk.Assign(r.Context(), actor(r), pathTicket(r), routing.AgentID(r.PostForm.Get("agent")))
	}
	return p.back(w, r, "", err)
}

// ofMessage leads back to the ticket of a message.
func (p *pages) ofMessage(w http.ResponseWriter, r *http.Request, err error) error {
	if err != nil {
		return err
	}
	m, err := p.desk.Message(r.Context(), pathMessage(r))
	if err != nil {
		return err
	}
	return p.goTo(w, r, "/tickets/"+url.PathEscape(string(m.Ticket)))
}

func (p *pages) cancel(w http.ResponseWriter, r *http.Request) error {
	_, err := p.desk.Cancel(r.Context(), actor(r), pathMessage(r))
	return p.ofMessage(w, r, err)
}

func (p *pages) sendNow(w http.ResponseWriter, r *http.Request) error {
	_, err := p.desk.SendNow(r.Context(), actor(r), pathMessage(r))
	return p.ofMessage(w, r, err)
}

func (p *pages) resolve(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	_, err := p.desk.Resolve(r.Context(), actor(r), pathMessage(r), ticket.Resolution(r.PostForm.Get("as")))
	return p.ofMessage(w, r, err)
}

// messageHTML is a customer's HTML in a frame of its own: sanitised, without
// scripts, and with nothing loaded from elsewhere.
func (p *pages) messageHTML(w http.ResponseWriter, r *http.Request) error {
	m, err := p.desk.Message(r.Context(), pathMessage(r))
	if err != nil {
		return err
	}
	h := w.Header()
	h.Set("Content-Security-Policy", "default-src 'none'; img-src 'self'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'; "+
		"frame-ancestors 'self'; sandbox allow-same-origin allow-popups allow-popups-to-escape-sandbox")
	h.Set("Content-Type", "text/html; charset=utf-8")
	const head = `<!doctype html><meta charset="utf-8"><base target="_blank">` +
		`<style>body{font:15px/1.5 system-ui,sans-serif;margin:0;overflow-wrap:anywhere;color:#1c2430}img{max-width:100%;height:auto}</style>`
	_, _ = w.Write([]byte(head + safeBody(m))) //nolint:gosec // safeBody sanitises
	return nil
}

func (p *pages) presence(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	err := p.desk.SetPresence(r.Context(), sessionOf(r).agent, routing.PresenceState(r.PostForm.Get("state")), time.Duration(0))
	if err != nil {
		return err
	}
	return p.goTo(w, r, localPath(r.PostForm.Get("to")))
}
