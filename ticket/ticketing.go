package ticket

import (
	"time"
)

// ticketFor finds or makes the ticket of a message, by the return policy.
func (u *unit) ticketFor(a *arrival, conv *Conversation, msg *Message, s Settings, rules intakeRules, why *trace) *Ticket {
	old := u.snap.Tickets[conv.Ticket]
	if old != nil && !old.DeletedAt.IsZero() {
		old = nil
	}
	if old == nil {
		if a.item.Message.NoTicket || a.item.Ignored != "" {
			why.add("ticket", "none", "the channel's rules make no ticket of it")
			return nil
		}
		if msg.Direction == Out && !a.item.Message.OwnTicket {
			why.add("ticket", "none", "written on our side, outside this system")
			return nil
		}
		if conv.Ticket == "" && conv.MessageCount > 0 && conv.Revision > 0 && msg.Automatic.Is() {
			why.add("ticket", "none", "automatic mail opens no ticket in a known conversation")
			return nil
		}
		return u.newTicket(a, conv, msg, s, "", why)
	}
	c := ReturnCase{
		Status: old.Status, Automatic: msg.Automatic.Is(), Imported: a.item.Imported, Outbound: msg.Direction == Out && !a.item.Message.OwnTicket,
		SubjectChanged: a.item.Message.Subject != "" && baseSubject(a.item.Message.Subject) != baseSubject(old.Subject),
	}
	switch old.Status {
	case Solved:
		c.Since = u.now.Sub(old.SolvedAt)
	case Closed:
		c.Since = u.now.Sub(old.ClosedAt)
	}
	action := rules.ret.Decide(c)
	why.add("return", string(action), "ticket #"+itoa(old.Number)+" is "+string(old.Status))
	if action == FollowUp && (a.item.Message.NoTicket || a.item.Ignored != "") {
		why.add("ticket", "none", "the channel's rules make no ticket of it")
		conv.Ticket = ""
		return nil
	}
	if action == FollowUp {
		return u.newTicket(a, conv, msg, s, old.ID, why)
	}
	u.editTicket(old).MessageCount++
	if action != Reopen || msg.Automatic.Is() {
		if !msg.Automatic.Is() && msg.Direction == In {
			old.LastCustomerAt = u.now
		}
		return old
	}
	old.LastCustomerAt = u.now
	from := old.Status
	old.Status, old.SolvedAt, old.ClosedAt = Open, time.Time{}, time.Time{}
	old.Imported = old.Imported && a.item.Imported
	if old.Assignee == "" && old.Queue != "" {
		old.wait(old.Queue, u.now)
	}
	u.event(Event{Type: EventTicketReopened, Ticket: old.ID, Conversation: conv.ID, Message: msg.ID, Data: map[string]string{"from": string(from)}})
	return old
}

// subjectOfText is how many code points of a chat's first message stand for a
// ticket's subject.
const subjectOfText = 80

// newTicket opens a ticket on a conversation and puts it in its queue.
func (u *unit) newTicket(a *arrival, conv *Conversation, msg *Message, s Settings, followUp TicketID, why *trace) *Ticket {
	subject := clean(msg.Subject, 400)
	if subject == "" && conv.Key != "" {
		subject = clean(msg.Text, subjectOfText) // a chat has none
	}
	t := &Ticket{
		ID: TicketID(newID()), Subject: subject, Status: Open, Priority: Normal, Channel: conv.Channel,
		Conversation: conv.ID, Conversations: []ConversationID{conv.ID}, Contact: conv.Contact, FollowUpOf: followUp,
		MessageCount: 1, Imported: a.item.Imported, CreatedAt: u.now,
	}
	if msg.Direction == In && !msg.Automatic.Is() {
		t.LastCustomerAt = u.now
	}
	if conv.Ticket == "" && conv.Assignee != "" {
		t.Assignee = conv.Assignee
	}
	t.Queue = s.Queue
	if t.Queue != "" && t.Assignee == "" {
		t.wait(t.Queue, u.now)
		why.add("queue", "waits in queue", string(t.Queue))
	} else if t.Queue == "" {
		why.add("queue", "none", "the channel has no queue")
	}
	conv.Assignment, conv.ClosedAt = Assignment{}, time.Time{}
	conv.Ticket = t.ID
	u.editTicket(t)
	why.add("ticket", "new", "")
	data := map[string]string{"queue": string(t.Queue)}
	if followUp != "" {
		data["follow_up_of"] = string(followUp)
	}
	u.event(Event{Type: EventTicketCreated, Ticket: t.ID, Conversation: conv.ID, Channel: conv.Channel, Message: msg.ID, Data: data})
	return t
}
