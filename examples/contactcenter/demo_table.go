package main

import (
	"context"
	"fmt"
	"io"
	"net/textproto"
	"sort"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

// refusal is what the forged bounce says.
var refusal = textproto.Error{Code: 550, Msg: "5.1.1 no such user"}

// table is what a person watches.
type table struct {
	desk *ticket.Desk
	mu   sync.Mutex
	out  io.Writer
	tty  bool
}

func newTable(out io.Writer, desk *ticket.Desk) *table {
	return &table{desk: desk, out: out, tty: isTerminal(out)}
}

// columns are the widths in characters; the last column is open.
var columns = [...]int{9, 19, 60, 7, 26}

func (t *table) begin() {
	t.sayf("")
	t.row("TIME", "WHO", "WHAT", "TICKET", "QUEUE → AGENT", "STATE")
}

func (t *table) row(cells ...string) {
	var b strings.Builder
	for i, c := range cells {
		if i < len(columns) {
			c = fit(c, columns[i])
		}
		b.WriteString(c)
	}
	t.sayf("%s", strings.TrimRight(b.String(), " "))
}

// fit cuts or pads a cell, with a blank at its end.
func fit(s string, width int) string {
	if r := []rune(s); len(r) > width-1 {
		s = string(r[:width-2]) + "…"
	}
	return s + strings.Repeat(" ", width-utf8.RuneCountInString(s))
}

func (t *table) sayf(format string, args ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	fmt.Fprintf(t.out, format+"\n", args...)
}

func (t *table) line(who, what, number, where, state string) {
	if t.tty && state != "" {
		color := map[string]string{"open": "34", "sent": "32", "bounced": "31", "cancelled": "33", "pending": "33", "quarantined": "31", "solved": "32"}[state]
		if color != "" {
			state = "\x1b[" + color + "m" + state + "\x1b[0m"
		}
	}
	t.row(time.Now().Format("15:04:05"), who, what, number, where, state)
}

// watch shows what the engine does, from its feed of events, and has the
// agents act on it.
func (d *demo) watch(ctx context.Context) {
	for e, err := range d.desk.Follow(ctx, 0) {
		if err != nil {
			return
		}
		d.show(ctx, e)
		if e.Type == ticket.EventAssigned {
			d.agentsAnswer(ctx, e, 2*time.Second)
		}
	}
}

func (d *demo) show(ctx context.Context, e *ticket.Event) {
	number, where, status := d.place(ctx, e)
	who := d.name(ctx, e)
	switch e.Type {
	case ticket.EventPresence:
		d.table.line(who, "is "+e.Data["state"], "", "", "")
	case ticket.EventTicketCreated:
		d.table.line(who, "opens a ticket: "+d.subject(ctx, e), number, where, status)
	case ticket.EventTicketReopened:
		d.table.line(who, "the ticket is open again", number, where, status)
	case ticket.EventTicketUpdated:
		d.table.line(who, "sets the status", number, where, e.Data["status"])
	case ticket.EventAssigned:
		d.table.line("Routing", "gives the ticket to an agent", number, where, status)
	case ticket.EventMessageReceived:
		if e.Data["automatic"] != "" {
			d.table.line(who, "automatic mail ("+e.Data["automatic"]+"): no answer, no clock touched", number, where, status)
		} else if d.joined(ctx, e) {
			d.table.line(who, "joins the ticket by its thread", number, where, status)
		}
	case ticket.EventMessageCreated:
		what := "writes an answer; the undo clock runs"
		if e.Data["auto"] != "" {
			who, what = "Auto reply", "is put in the outbox"
		}
		d.table.line(who, what, number, where, e.Data["state"])
	case ticket.EventMessageState:
		what := map[string]string{"sent": "the mail has left", "bounced": "the mail came back", "cancelled": "takes the answer back in time",
			"failed": "the mail was refused", "uncertain": "nobody knows whether it left"}[e.Data["state"]]
		if e.Data["state"] == string(ticket.StateSent) && e.Channel == d.pageChannel.ID {
			what = "the answer is on Facebook"
		}
		if e.Data["state"] == string(ticket.StateCancelled) {
			who = d.agentName(ctx, string(e.Agent))
		}
		if what != "" {
			d.table.line(who, what, number, where, e.Data["state"])
		}
	case ticket.EventItemQuarantined:
		d.table.line("Intake", "holds a mail: "+e.Data["cause"], "", "", "quarantined")
	}
}

// place is where an event's ticket is: its number, queue and agent, status.
func (d *demo) place(ctx context.Context, e *ticket.Event) (number, where, status string) {
	t, err := d.desk.Ticket(ctx, e.Ticket)
	if err != nil {
		return "", "", ""
	}
	where = d.queueName(ctx, t)
	agent := t.Assignee
	if e.Type == ticket.EventTicketCreated {
		agent = e.Agent // not what became of it since
	}
	switch {
	case agent != "":
		where = strings.TrimSpace(where + " → " + d.agentName(ctx, string(agent)))
	case where != "":
		where += " (waits)"
	}
	return fmt.Sprintf("#%d", t.Number), where, string(t.Status)
}

func (d *demo) queueName(ctx context.Context, t *ticket.Ticket) string {
	queues, _ := d.desk.Queues(ctx)
	for _, q := range queues {
		if q.ID == t.Queue {
			return q.Name
		}
	}
	return string(t.Queue)
}

func (d *demo) agentName(ctx context.Context, id string) string {
	agents, _ := d.desk.Agents(ctx)
	for _, a := range agents {
		if string(a.ID) == id {
			return a.Name
		}
	}
	return id
}

// name is who did what an event tells of.
func (d *demo) name(ctx context.Context, e *ticket.Event) string {
	switch {
	case e.Actor.Kind == ticket.ActorAgent:
		return d.agentName(ctx, e.Actor.ID)
	case e.Actor.Kind == ticket.ActorCustomer && e.Message != "":
		if m, err := d.desk.Message(ctx, e.Message); err == nil && m.Direction == ticket.In {
			return m.From.Name
		}
	case e.Type == ticket.EventMessageState:
		return "Outbox"
	}
	return "System"
}

func (d *demo) subject(ctx context.Context, e *ticket.Event) string {
	t, err := d.desk.Ticket(ctx, e.Ticket)
	if err != nil {
		return ""
	}
	return t.Subject
}

// joined reports whether a message is not the first of its ticket.
func (d *demo) joined(ctx context.Context, e *ticket.Event) bool {
	messages, _, err := d.desk.Timeline(ctx, ticket.MessageFilter{Ticket: e.Ticket}, ticket.Page{Limit: 1})
	return err == nil && len(messages) > 0 && messages[0].ID != e.Message
}

// outgoing counts what we wrote, by state.
func (d *demo) outgoing(ctx context.Context) (map[ticket.OutState]int, error) {
	out := map[ticket.OutState]int{}
	tickets, _, err := d.desk.Tickets(ctx, ticket.TicketFilter{}, ticket.Page{Limit: 500})
	if err != nil {
		return nil, err
	}
	for _, t := range tickets {
		messages, _, err := d.desk.Timeline(ctx, ticket.MessageFilter{Ticket: t.ID}, ticket.Page{Limit: 500})
		if err != nil {
			return nil, err
		}
		for _, m := range messages {
			if m.Direction == ticket.Out {
				out[m.State]++
			}
		}
	}
	return out, nil
}

// summary says what the morning came to, and whether it adds up.
func (d *demo) summary(ctx context.Context) {
	l, err := d.desk.Ledger(ctx, "", time.Time{})
	if err != nil {
		return
	}
	sent, err := d.outgoing(ctx)
	if err != nil {
		return
	}
	tickets, _, err := d.desk.Tickets(ctx, ticket.TicketFilter{}, ticket.Page{Limit: 500})
	if err != nil {
		return
	}
	byStatus := map[ticket.Status]int{}
	for _, t := range tickets {
		byStatus[t.Status]++
	}
	ignored, quarantined := sum(l.Ignored), sum(l.Quarantined)
	total := l.Messages + l.Applied + l.Notices + l.Waiting + ignored + quarantined
	verdict := "adds up"
	if total != l.Received {
		verdict = "DOES NOT ADD UP"
	}
	t := d.table
	t.sayf("\nWhat came in      %d received = %d messages + %d applied + %d notices + %d ignored + %d quarantined: %s (and %d duplicates)",
		l.Received, l.Messages, l.Applied, l.Notices, ignored, quarantined, verdict, l.Duplicates)
	t.sayf("What became of it %d tickets: %s", len(tickets), counts(byStatus))
	t.sayf("What went out     %s", counts(sent))
	left := sent[ticket.StateSent] + sent[ticket.StateBounced]
	t.sayf("What arrived      %d mails at the customers' servers and %d answers on Facebook, %d came back, of %d that left",
		d.post.arrivals(), len(d.page.fb.Sent()), sent[ticket.StateBounced], left)
}

func sum(m map[channel.Cause]int64) (n int64) {
	for _, v := range m {
		n += v
	}
	return n
}

func counts[K ~string](m map[K]int) string {
	var parts []string
	for k, n := range m {
		parts = append(parts, fmt.Sprintf("%d %s", n, k))
	}
	sort.Strings(parts)
	return strings.Join(parts, ", ")
}
