package ticket

import (
	"context"
	"fmt"
	"io"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Ticket returns one ticket. Error: ErrNotFound, also for a deleted one.
func (d *Desk) Ticket(ctx context.Context, id TicketID) (*Ticket, error) {
	snap, err := d.store.Snapshot(ctx, Want{Tickets: []TicketID{id}})
	if err != nil {
		return nil, fmt.Errorf("ticket: read ticket: %w", err)
	}
	t := snap.Tickets[id]
	if t == nil || !t.DeletedAt.IsZero() {
		return nil, fmt.Errorf("ticket %q: %w", id, ErrNotFound)
	}
	return t, nil
}

// maxEmptyPages is how many pages of the store Tickets reads at the most until one
// has a ticket.
const maxEmptyPages = 8

// Tickets lists tickets. Where f has Terms, a page may be short though there is
// more; see [Next]. It is empty only if several of the store's were, one after the
// other. Error: ErrBadCursor.
func (d *Desk) Tickets(ctx context.Context, f TicketFilter, p Page) (list []*Ticket, next Next, err error) {
	for range maxEmptyPages {
		list, next, err = d.store.Tickets(ctx, f, p)
		if err != nil || len(list) > 0 || next == "" {
			break
		}
		p.After = next
	}
	return list, next, err
}

// Search lists the tickets that hold every word of the query, in one message;
// "#12" finds the ticket with that number. Subjects are found with the messages
// that have them, so a ticket without a message is found by its number only. Pages
// are those of [Desk.Tickets].
func (d *Desk) Search(ctx context.Context, query string, p Page) ([]*Ticket, Next, error) {
	f := TicketFilter{}.WithQuery(query)
	if f.Number == 0 && len(f.Terms) == 0 {
		return nil, "", nil
	}
	return d.Tickets(ctx, f, p)
}

// WithQuery returns f restricted to what a person typed.
func (f TicketFilter) WithQuery(query string) TicketFilter {
	query = strings.TrimSpace(query)
	if n, err := strconv.ParseInt(strings.TrimPrefix(query, "#"), 10, 64); err == nil && strings.HasPrefix(query, "#") {
		f.Number = n
		return f
	}
	f.Terms = Terms(query)
	if len(f.Terms) > maxTerms {
		f.Terms = f.Terms[:maxTerms]
	}
	return f
}

const maxTerms = 16 // of one query

// Conversation returns one conversation. Error: ErrNotFound.
func (d *Desk) Conversation(ctx context.Context, id ConversationID) (*Conversation, error) {
	snap, err := d.store.Snapshot(ctx, Want{Conversations: []ConversationID{id}})
	if err != nil {
		return nil, fmt.Errorf("ticket: read conversation: %w", err)
	}
	if c := snap.Conversations[id]; c != nil {
		return c, nil
	}
	return nil, fmt.Errorf("conversation %q: %w", id, ErrNotFound)
}

// Conversations lists conversations. Error: ErrBadCursor.
func (d *Desk) Conversations(ctx context.Context, f ConversationFilter, p Page) ([]*Conversation, Next, error) {
	return d.store.Conversations(ctx, f, p)
}

// Timeline lists the messages of a ticket or a conversation. Error:
// ErrBadCursor.
func (d *Desk) Timeline(ctx context.Context, f MessageFilter, p Page) ([]*Message, Next, error) {
	return d.store.Messages(ctx, f, p)
}

// Message returns one message. Error: ErrNotFound.
func (d *Desk) Message(ctx context.Context, id MessageID) (*Message, error) {
	snap, err := d.store.Snapshot(ctx, Want{Messages: []MessageID{id}})
	if err != nil {
		return nil, fmt.Errorf("ticket: read message: %w", err)
	}
	if m := snap.Messages[id]; m != nil {
		return m, nil
	}
	return nil, fmt.Errorf("message %q: %w", id, ErrNotFound)
}

// Contacts returns the contacts with the given ids that exist.
func (d *Desk) Contacts(ctx context.Context, ids ...ContactID) (map[ContactID]*Contact, error) {
	snap, err := d.store.Snapshot(ctx, Want{Contacts: ids})
	if err != nil {
		return nil, fmt.Errorf("ticket: read contacts: %w", err)
	}
	return snap.Contacts, nil
}

// Raw returns a message as it came, byte for byte. It may be read while ctx
// lasts. Error: ErrNotFound, also when the message has no raw form or was
// deleted.
func (d *Desk) Raw(ctx context.Context, id MessageID) (channel.Body, error) {
	m, err := d.Message(ctx, id)
	if err != nil {
		return nil, err
	}
	if m.Raw.IsZero() {
		return nil, fmt.Errorf("raw form of message %q: %w", id, ErrNotFound)
	}
	return d.body(ctx, m.Raw)
}

// OpenAttachment opens a file of a message for reading, decoded, while ctx
// lasts. Error: ErrNotFound.
func (d *Desk) OpenAttachment(ctx context.Context, id string) (*Attachment, io.ReadCloser, error) {
	notFound := fmt.Errorf("attachment %q: %w", id, ErrNotFound)
	msg, _, ok := strings.Cut(id, ".")
	if !ok {
		return nil, nil, notFound
	}
	m, err := d.Message(ctx, MessageID(msg))
	if err != nil {
		return nil, nil, notFound
	}
	for i := range m.Attachments {
		a := &m.Attachments[i]
		if a.ID != id {
			continue
		}
		ref := a.Body
		if a.Window != nil {
			ref = m.Raw
		}
		if ref.IsZero() {
			return nil, nil, notFound
		}
		body, err := d.body(ctx, ref)
		if err != nil {
			return nil, nil, err
		}
		var r io.ReadCloser
		if a.Window != nil {
			r, err = a.Window.Open(body)
		} else {
			r, err = body.Open()
		}
		return a, r, err
	}
	return nil, nil, notFound
}

// Explain returns the decisions on a message: why this conversation and ticket,
// why an automatic reply was or was not sent; and those on its ticket: why this
// agent. Error: ErrNotFound.
func (d *Desk) Explain(ctx context.Context, id MessageID) ([]*Decision, error) {
	m, err := d.Message(ctx, id)
	if err != nil {
		return nil, err
	}
	out, err := d.store.Decisions(ctx, DecisionFilter{Message: id}, 100)
	if err != nil {
		return nil, fmt.Errorf("ticket: read decisions: %w", err)
	}
	f := DecisionFilter{Ticket: m.Ticket}
	if m.Ticket == "" {
		f = DecisionFilter{Conversation: m.Conversation}
	}
	all, err := d.store.Decisions(ctx, f, 500)
	if err != nil {
		return nil, fmt.Errorf("ticket: read decisions: %w", err)
	}
	for _, dec := range all {
		if dec.Message == "" {
			out = append(out, dec)
		}
	}
	return out, nil
}

// ExplainTicket returns all decisions on a ticket, oldest first.
func (d *Desk) ExplainTicket(ctx context.Context, id TicketID) ([]*Decision, error) {
	return d.store.Decisions(ctx, DecisionFilter{Ticket: id}, 1000)
}

// Ledger is what came in and what became of it. Received is the sum of the
// others but Duplicates.
type Ledger struct {
	Received    int64                   `json:"received"`
	Messages    int64                   `json:"messages"`
	Applied     int64                   `json:"applied"`
	Notices     int64                   `json:"notices"`
	Waiting     int64                   `json:"waiting,omitempty"` // to be interpreted
	Ignored     map[channel.Cause]int64 `json:"ignored"`
	Quarantined map[channel.Cause]int64 `json:"quarantined"`
	Duplicates  int64                   `json:"duplicates"`
}

// Ledger counts what came in, of one channel or all ("") and on one UTC day or
// all (zero).
func (d *Desk) Ledger(ctx context.Context, ch channel.ID, day time.Time) (Ledger, error) {
	out := Ledger{Ignored: map[channel.Cause]int64{}, Quarantined: map[channel.Cause]int64{}}
	when := ""
	if !day.IsZero() {
		when = day.UTC().Format(time.DateOnly)
	}
	rows, err := d.store.Ledger(ctx, ch, when)
	if err != nil {
		return out, fmt.Errorf("ticket: read ledger: %w", err)
	}
	for _, r := range rows {
		switch r.Disposition {
		case DisposedDuplicate:
			out.Duplicates += r.Count
			continue
		case DisposedMessage:
			out.Messages += r.Count
		case DisposedApplied:
			out.Applied += r.Count
		case DisposedNotice:
			out.Notices += r.Count
		case DisposedWaiting:
			out.Waiting += r.Count
		case DisposedIgnored:
			out.Ignored[r.Cause] += r.Count
		case DisposedQuarantined:
			out.Quarantined[r.Cause] += r.Count
		}
		out.Received += r.Count
	}
	return out, nil
}

// Events returns up to limit events after a cursor, in order. A limit of 0 means
// 50, and it is capped at 500.
func (d *Desk) Events(ctx context.Context, after int64, limit int) ([]*Event, error) {
	return d.store.Events(ctx, EventFilter{After: after}, Page{Limit: limit}.Size())
}

// TicketEvents returns up to limit events of one ticket after a cursor, in
// order: what happened to it and who did it. The limit is as that of Events. A
// deleted ticket keeps its events; one that never was has none.
func (d *Desk) TicketEvents(ctx context.Context, id TicketID, after int64, limit int) ([]*Event, error) {
	if id == "" {
		return nil, nil // to a store it would mean all tickets
	}
	return d.store.Events(ctx, EventFilter{Ticket: id, After: after}, Page{Limit: limit}.Size())
}

// LastCursor returns the cursor of the newest event, 0 before the first. To
// Follow from it is to see only what happens from now on.
func (d *Desk) LastCursor(ctx context.Context) (int64, error) {
	events, err := d.store.Events(ctx, EventFilter{Newest: true}, 1)
	if err != nil {
		return 0, fmt.Errorf("ticket: read events: %w", err)
	}
	if len(events) == 0 {
		return 0, nil
	}
	return events[0].Cursor, nil
}

// Follow yields the events after a cursor, in order, for ever: none is skipped
// and none repeated; it can be resumed with the last event's Cursor. It ends,
// without an error, when ctx does. An error of the store is yielded with a nil
// event; a loop that goes on then has Follow try again where it was, after
// Timing.Poll.
//
// Every caller sees every event, on each node. So what must be done once is done
// on one node, or in a way that can be repeated, such as by [Draft].Key.
func (d *Desk) Follow(ctx context.Context, after int64) iter.Seq2[*Event, error] {
	return func(yield func(*Event, error) bool) {
		for {
			more := d.feed.wait()
			events, err := d.store.Events(ctx, EventFilter{After: after}, 200)
			if ctx.Err() != nil {
				return
			}
			if err != nil {
				if !yield(nil, fmt.Errorf("ticket: read events: %w", err)) {
					return
				}
				more = nil
			}
			for _, e := range events {
				if !yield(e, nil) {
					return
				}
				after = e.Cursor
			}
			if len(events) > 0 {
				continue
			}
			timer := time.NewTimer(d.cfg.Timing.Poll) // other nodes' events
			select {
			case <-ctx.Done():
				timer.Stop()
				return
			case <-more:
			case <-timer.C:
			}
			timer.Stop()
		}
	}
}
