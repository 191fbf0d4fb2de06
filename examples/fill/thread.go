package main

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// thread is a ticket with its conversation, as it goes on.
type thread struct {
	*batch
	w       *writer
	box     mailbox
	contact *ticket.Contact
	conv    *ticket.Conversation
	ticket  *ticket.Ticket
	outcome ticket.Status // what the ticket will be at last
	rounds  int           // of an answer and what the customer writes to it
	order   string        // a number that only this ticket's messages name
}

// open opens the n-th ticket of the store.
func (b *batch) open(n int, at time.Time) {
	box := []int{0, 0, 0, 0, 0, 1, 1, 1, 2, 2}[b.rnd.IntN(10)]
	th := &thread{batch: b, w: b.writers[box], box: b.boxes[box], order: fmt.Sprintf("DH%08d", n)}
	if len(b.threads) > 0 && b.one(4) {
		old := b.threads[b.rnd.IntN(len(b.threads))]
		th.w, th.box, th.contact = old.w, old.box, old.contact // a customer who writes again
	} else {
		th.contact = b.newContact(th.w, n, at)
	}
	switch p := b.rnd.IntN(100); {
	case p < 6:
		th.outcome = ticket.Open
	case p < 12:
		th.outcome = ticket.Pending
	case p < 20:
		th.outcome = ticket.Solved
	default:
		th.outcome = ticket.Closed
	}
	queue := queueOf(th.w.language)
	switch p := b.rnd.IntN(2000); {
	case p == 0:
		queue = "legal"
	case p < 300:
		queue = "billing"
	}
	subject := th.w.sentence(2+b.rnd.IntN(5)) + " " + th.order
	th.conv = &ticket.Conversation{ID: ticket.ConversationID(b.id(at)), Channel: th.box.id, Contact: th.contact.ID, Subject: subject, CreatedAt: at,
		Participants: []ticket.Participant{{Party: th.party()}}}
	th.ticket = &ticket.Ticket{ID: ticket.TicketID(b.id(at)), Subject: subject, Status: ticket.Open, Priority: th.priority(), Channel: th.box.id,
		Conversation: th.conv.ID, Conversations: []ticket.ConversationID{th.conv.ID}, Contact: th.contact.ID, CreatedAt: at,
		Assignment: ticket.Assignment{Queue: queue, WaitingSince: at, QueuedAt: at}}
	th.conv.Ticket = th.ticket.ID
	b.threads = append(b.threads, th)
	b.c.Conversations = append(b.c.Conversations, th.conv)
	b.c.Tickets = append(b.c.Tickets, th.ticket)
	b.event(ticket.Event{Type: ticket.EventConversation, Conversation: th.conv.ID, Channel: th.box.id}, at)
	b.event(ticket.Event{Type: ticket.EventTicketCreated, Ticket: th.ticket.ID, Conversation: th.conv.ID, Channel: th.box.id,
		Data: map[string]string{"queue": string(queue)}}, at)
	th.receive(at)
	if th.outcome == ticket.Open && b.one(3) {
		return // it waits for an agent to this day
	}
	for th.rounds = 1; th.rounds < 8 && b.one(3); {
		th.rounds++
	}
	b.after(at, 20*time.Minute, th.assign)
}

func (b *batch) newContact(w *writer, n int, at time.Time) *ticket.Contact {
	name := w.name()
	address := fmt.Sprintf("%s.%d@customer%d.example", strings.ToLower(strings.Fields(ticket.Fold(name))[0]), n, n%97)
	c := &ticket.Contact{ID: ticket.ContactID(b.id(at)), Name: name, CreatedAt: at, UpdatedAt: at,
		Identities: []ticket.Identity{{Scheme: "mailto", Address: address}}}
	b.c.Contacts = append(b.c.Contacts, c)
	b.claim(ticket.NewKey("contact", "mailto", address), ticket.RefContact, string(c.ID))
	return c
}

func (th *thread) priority() ticket.Priority {
	return []ticket.Priority{ticket.Low, ticket.Normal, ticket.Normal, ticket.Normal, ticket.Normal, ticket.High, ticket.Urgent}[th.rnd.IntN(7)]
}

func (th *thread) party() channel.Party {
	return channel.Party{Name: th.contact.Name, Address: th.contact.Address()}
}

// touch marks what a commit about the ticket would have changed.
func (th *thread) touch(at time.Time) { th.ticket.UpdatedAt, th.conv.UpdatedAt = at, at }

// receive takes in a mail of the customer.
func (th *thread) receive(at time.Time) {
	id := ticket.MessageID(th.id(at))
	external := string(id) + "@customer.example"
	address := th.contact.Address()
	text := th.w.text(10+int(th.rnd.ExpFloat64()*30)) + "\n" + th.order + "\n"
	raw := fmt.Sprintf("From: %s\r\nTo: <%s>\r\nSubject: %s\r\nDate: %s\r\nMessage-ID: <%s>\r\nMIME-Version: 1.0\r\n"+
		"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n%s",
		th.party(), th.box.address, th.ticket.Subject, at.Format(time.RFC1123Z), external, strings.ReplaceAll(text, "\n", "\r\n"))
	m := th.message(id, at, text)
	m.Direction, m.State, m.Contact, m.From = ticket.In, ticket.StateReceived, th.contact.ID, th.party()
	m.To = []channel.Party{{Address: th.box.address}}
	m.Envelope = channel.Envelope{From: address, To: th.box.address, Known: true, RemoteIP: "192.0.2.1", Helo: "mx.customer.example", TLS: true, Transport: "smtp"}
	m.ExternalIDs = []string{external}
	m.Raw = ticket.BodyRef{ID: ticket.BodyID(th.id(at)), Size: int64(len(raw))}
	th.c.Bodies = append(th.c.Bodies, ticket.StoredBody{ID: m.Raw.ID, Data: []byte(raw)})
	m.Search = ticket.Fold(strings.Join([]string{m.Subject, m.From.Name, m.From.Address, m.To[0].Address, m.Text}, " "))
	item := &ticket.Item{ID: ticket.ItemID(th.id(at)), Channel: th.box.id, Day: at.Format(time.DateOnly), Disposition: ticket.DisposedMessage,
		Message: id, Raw: m.Raw, ReceivedAt: at}
	th.c.Items = append(th.c.Items, item)
	for _, key := range []string{"content:", "header:"} {
		th.claim(ticket.NewKey("item", string(th.box.id), key+external), ticket.RefItem, string(item.ID))
	}
	th.claim(ticket.NewKey("ref", string(th.box.id), external, address), ticket.RefConversation, string(th.conv.ID))
	th.conv.LastIncoming, th.conv.LastCustomerAt, th.ticket.LastCustomerAt = id, at, at
	th.event(ticket.Event{Type: ticket.EventMessageReceived, Ticket: th.ticket.ID, Conversation: th.conv.ID, Message: id, Channel: th.box.id,
		Data: map[string]string{"automatic": "", "direction": "in"}}, at)
	th.decide(ticket.Decision{Kind: "intake", Ticket: th.ticket.ID, Conversation: th.conv.ID, Message: id, Outcome: "message", Steps: []ticket.Step{
		{Rule: "evidence", Outcome: "none"}, {Rule: "queue", Outcome: "waits in queue", Detail: string(th.ticket.Queue)}, {Rule: "ticket", Outcome: "new"}}}, at)
}

func (th *thread) message(id ticket.MessageID, at time.Time, text string) *ticket.Message {
	m := &ticket.Message{ID: id, Conversation: th.conv.ID, Ticket: th.ticket.ID, Channel: th.box.id, Subject: th.ticket.Subject, Text: text,
		At: at, CreatedAt: at, UpdatedAt: at}
	th.c.Messages = append(th.c.Messages, m)
	th.ticket.MessageCount++
	th.conv.MessageCount++
	th.touch(at)
	return m
}

// assign gives the ticket to an agent.
func (th *thread) assign(at time.Time) {
	of := agentsOf(th.ticket.Queue)
	agent := of[min(int(th.rnd.ExpFloat64()*float64(len(of))/4), len(of)-1)]
	th.ticket.Assignee, th.ticket.WaitingSince, th.ticket.QueuedAt = agent, time.Time{}, time.Time{}
	th.touch(at)
	th.event(ticket.Event{Type: ticket.EventAssigned, Ticket: th.ticket.ID, Conversation: th.conv.ID, Agent: agent, Data: map[string]string{"reason": "policy"}}, at)
	th.decide(ticket.Decision{Kind: "assign", Ticket: th.ticket.ID, Outcome: string(agent), Steps: []ticket.Step{{Rule: "round_robin", Outcome: string(agent)}}}, at)
	if th.outcome.Active() {
		th.load[agent]++
	}
	switch {
	case th.outcome == ticket.Open && th.one(2): // not answered yet
	case th.outcome != ticket.Pending && !th.one(3):
		th.after(at, time.Hour, th.finish) // it needed no answer
	default:
		th.after(at, 3*time.Hour, th.answer)
	}
}

// answer sends the agent's answer.
func (th *thread) answer(at time.Time) {
	id := ticket.MessageID(th.id(at))
	external := string(id) + "@help.example.com"
	m := th.message(id, at, th.w.text(8+int(th.rnd.ExpFloat64()*20)))
	m.Direction, m.State, m.Agent, m.From = ticket.Out, ticket.StateSent, th.ticket.Assignee, channel.Party{Name: "Help", Address: th.box.address}
	m.To, m.ExternalIDs, m.SentAt = []channel.Party{th.party()}, []string{external}, at
	m.Attempts, m.FirstTryAt, m.NotBefore = 1, at, at
	m.Search = ticket.Fold(strings.Join([]string{m.Subject, m.From.Name, m.From.Address, m.To[0].Name, m.To[0].Address, m.Text}, " "))
	th.claim(ticket.NewKey("external", string(th.box.id), external), ticket.RefMessage, string(id))
	th.claim(ticket.NewKey("ref", string(th.box.id), external, th.contact.Address()), ticket.RefConversation, string(th.conv.ID))
	if th.ticket.FirstReplyAt.IsZero() {
		th.ticket.FirstReplyAt = at
	}
	by := ticket.Agent(m.Agent)
	th.event(ticket.Event{Type: ticket.EventMessageCreated, Actor: by, Ticket: th.ticket.ID, Conversation: th.conv.ID, Message: id, Agent: m.Agent}, at)
	th.event(ticket.Event{Type: ticket.EventMessageState, Actor: ticket.Actor{Kind: ticket.ActorSystem}, Ticket: th.ticket.ID, Conversation: th.conv.ID,
		Message: id, Data: map[string]string{"state": "sent"}}, at)
	if th.rounds--; th.rounds > 0 || th.outcome == ticket.Open {
		th.after(at, 5*time.Hour, th.reply)
		return
	}
	th.after(at, time.Hour, th.finish)
}

// reply is the customer's answer.
func (th *thread) reply(at time.Time) {
	th.receive(at)
	if th.rounds > 0 {
		th.after(at, 3*time.Hour, th.answer)
	}
}

// finish sets the status at last.
func (th *thread) finish(at time.Time) {
	th.ticket.Status = th.outcome
	switch th.outcome {
	case ticket.Solved:
		th.ticket.SolvedAt = at
	case ticket.Closed:
		th.ticket.SolvedAt, th.ticket.ClosedAt = at, at
	}
	th.ticket.UpdatedAt = at
	th.event(ticket.Event{Type: ticket.EventTicketUpdated, Actor: ticket.Agent(th.ticket.Assignee), Ticket: th.ticket.ID,
		Data: map[string]string{"status": string(th.outcome)}}, at)
}

func queueOf(l *language) routing.QueueID { return routing.QueueID(l.mailbox) }

// agentsOf returns who works in a queue: the first ones do most.
func agentsOf(q routing.QueueID) []routing.AgentID {
	for _, queue := range queues() {
		if queue.ID == q {
			return slices.Clone(queue.Agents)
		}
	}
	return nil
}
