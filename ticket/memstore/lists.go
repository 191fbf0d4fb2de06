package memstore

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"sort"
	"strings"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// query is one list: which ids to look at, in ascending order, which of them
// to take, and in which order.
type query[K ~string, V any] struct {
	name    string
	rows    map[K]*V
	ids     []K
	match   func(*V) bool
	oldest  bool           // by id ascending; else descending
	updated func(*V) int64 // if set, by this descending, then by id descending
	clone   func(*V) *V
}

func page[K ~string, V any](q query[K, V], p ticket.Page) ([]*V, ticket.Next, error) {
	list := q.name
	if q.updated != nil {
		list += ".updated"
	}
	if q.oldest {
		list += ".oldest"
	}
	after, continued, err := driver.ParsePlace(p.After, list)
	if err != nil {
		return nil, "", fmt.Errorf("memstore: %w", err)
	}
	var found []K
	if q.updated != nil {
		found = latest(q, after, continued)
	} else {
		found = byID(q, after, continued, p.Size()+1)
	}
	var next ticket.Next
	if len(found) > p.Size() {
		found = found[:p.Size()]
		last := found[p.Size()-1]
		end := driver.Place{List: list, ID: string(last)}
		if q.updated != nil {
			end.At = q.updated(q.rows[last])
		}
		next = end.Next()
	}
	out := make([]*V, len(found))
	for i, id := range found {
		out[i] = q.clone(q.rows[id])
	}
	return out, next, nil
}

func byID[K ~string, V any](q query[K, V], after driver.Place, continued bool, n int) (found []K) {
	i, step := len(q.ids)-1, -1
	if q.oldest {
		i, step = 0, 1
	}
	if continued {
		at, exact := slices.BinarySearch(q.ids, K(after.ID))
		switch {
		case !q.oldest:
			i = at - 1
		case exact:
			i = at + 1
		default:
			i = at
		}
	}
	for ; i >= 0 && i < len(q.ids) && len(found) < n; i += step {
		if q.match(q.rows[q.ids[i]]) {
			found = append(found, q.ids[i])
		}
	}
	return found
}

func latest[K ~string, V any](q query[K, V], after driver.Place, continued bool) (found []K) {
	for _, id := range q.ids {
		v := q.rows[id]
		if continued && cmp.Or(cmp.Compare(q.updated(v), after.At), cmp.Compare(string(id), after.ID)) >= 0 {
			continue
		}
		if q.match(v) {
			found = append(found, id)
		}
	}
	slices.SortFunc(found, func(a, b K) int {
		return cmp.Or(cmp.Compare(q.updated(q.rows[b]), q.updated(q.rows[a])), cmp.Compare(b, a))
	})
	return found
}

// Tickets lists tickets.
func (p *portal) Tickets(ctx context.Context, f ticket.TicketFilter, pg ticket.Page) ([]*ticket.Ticket, ticket.Next, error) {
	if err := p.backend.begin(ctx, "tickets"); err != nil {
		return nil, "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q := query[ticket.TicketID, ticket.Ticket]{name: "tickets", rows: p.tickets.rows, clone: cloneTicket}
	if f.Order == ticket.LatestUpdate {
		q.updated = func(t *ticket.Ticket) int64 { return t.UpdatedAt.UnixMicro() }
	}
	q.ids = p.tickets.among(
		indexKey{byContact, string(f.Contact)}, indexKey{byAssignee, string(f.Assignee)}, indexKey{byQueue, string(f.Queue)})
	if f.Number != 0 {
		q.ids = nil
		if id, ok := p.byNumber[f.Number]; ok {
			q.ids = []ticket.TicketID{id}
		}
	}
	if len(f.Terms) > 0 {
		found := p.search(f.Terms)
		q.ids = slices.DeleteFunc(slices.Clone(q.ids), func(id ticket.TicketID) bool { return !found[id] })
	}
	q.match = func(t *ticket.Ticket) bool {
		return t.DeletedAt.IsZero() &&
			(f.Queue == "" || f.Queue == t.Queue) &&
			(len(f.Statuses) == 0 || slices.Contains(f.Statuses, t.Status)) &&
			(f.Assignee == "" || f.Assignee == t.Assignee) &&
			(!f.Unassigned || t.Assignee == "") &&
			(f.Channel == "" || f.Channel == t.Channel) &&
			(f.Contact == "" || f.Contact == t.Contact)
	}
	return page(q, pg)
}

// search returns the tickets with a message that has all terms.
func (p *portal) search(terms []string) map[ticket.TicketID]bool {
	var starts []string
	for _, t := range ticket.Terms(strings.Join(terms, " ")) {
		starts = append(starts, " "+t)
	}
	found := map[ticket.TicketID]bool{}
	if len(starts) == 0 {
		return found // terms without a letter or digit, which begin no word
	}
	for _, m := range p.messages.rows {
		if m.Ticket == "" || m.Search == "" || found[m.Ticket] {
			continue
		}
		text := " " + m.Search
		if !slices.ContainsFunc(starts, func(s string) bool { return !strings.Contains(text, s) }) {
			found[m.Ticket] = true
		}
	}
	return found
}

// Conversations lists conversations.
func (p *portal) Conversations(ctx context.Context, f ticket.ConversationFilter, pg ticket.Page) ([]*ticket.Conversation, ticket.Next, error) {
	if err := p.backend.begin(ctx, "conversations"); err != nil {
		return nil, "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q := query[ticket.ConversationID, ticket.Conversation]{
		name: "conversations", rows: p.conversations.rows, clone: cloneConversation,
	}
	if f.Order == ticket.LatestUpdate {
		q.updated = func(c *ticket.Conversation) int64 { return c.UpdatedAt.UnixMicro() }
	}
	q.ids = p.conversations.among(
		indexKey{byTicket, string(f.Ticket)}, indexKey{byContact, string(f.Contact)}, indexKey{byQueue, string(f.Queue)})
	q.match = func(c *ticket.Conversation) bool {
		return (f.Queue == "" || f.Queue == c.Queue) &&
			(f.Assignee == "" || f.Assignee == c.Assignee) &&
			(!f.Unassigned || c.Assignee == "") &&
			(f.Channel == "" || f.Channel == c.Channel) &&
			(f.Contact == "" || f.Contact == c.Contact) &&
			(f.Ticket == "" || f.Ticket == c.Ticket) &&
			(!f.WithoutTicket || c.Ticket == "")
	}
	return page(q, pg)
}

// Messages lists messages.
func (p *portal) Messages(ctx context.Context, f ticket.MessageFilter, pg ticket.Page) ([]*ticket.Message, ticket.Next, error) {
	if err := p.backend.begin(ctx, "messages"); err != nil {
		return nil, "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q := query[ticket.MessageID, ticket.Message]{
		name: "messages", rows: p.messages.rows, clone: messageOut, oldest: !f.NewestFirst,
	}
	q.ids = p.messages.among(indexKey{byTicket, string(f.Ticket)}, indexKey{byConversation, string(f.Conversation)})
	q.match = func(m *ticket.Message) bool {
		return (f.Ticket == "" || f.Ticket == m.Ticket) && (f.Conversation == "" || f.Conversation == m.Conversation)
	}
	return page(q, pg)
}

// Items lists items.
func (p *portal) Items(ctx context.Context, f ticket.ItemFilter, pg ticket.Page) ([]*ticket.Item, ticket.Next, error) {
	if err := p.backend.begin(ctx, "items"); err != nil {
		return nil, "", err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	q := query[ticket.ItemID, ticket.Item]{name: "items", rows: p.items.rows, clone: cloneItem}
	q.ids = p.items.among(indexKey{byMessage, string(f.Message)})
	q.match = func(i *ticket.Item) bool {
		return (f.Channel == "" || f.Channel == i.Channel) &&
			(f.Disposition == "" || f.Disposition == i.Disposition) &&
			(f.Message == "" || f.Message == i.Message)
	}
	return page(q, pg)
}

// Decisions lists decisions, oldest first by id.
func (p *portal) Decisions(ctx context.Context, f ticket.DecisionFilter, limit int) ([]*ticket.Decision, error) {
	if err := p.backend.begin(ctx, "decisions"); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []*ticket.Decision
	for _, id := range p.decisions.among(indexKey{byTicket, string(f.Ticket)},
		indexKey{byConversation, string(f.Conversation)}, indexKey{byMessage, string(f.Message)}) {
		if len(out) >= limit {
			break
		}
		d := p.decisions.rows[id]
		if (f.Ticket == "" || f.Ticket == d.Ticket) && (f.Conversation == "" || f.Conversation == d.Conversation) &&
			(f.Message == "" || f.Message == d.Message) {
			out = append(out, cloneDecision(d))
		}
	}
	return out, nil
}

// Events lists events.
func (p *portal) Events(ctx context.Context, f ticket.EventFilter, limit int) ([]*ticket.Event, error) {
	if err := p.backend.begin(ctx, "events"); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	list := p.events
	if f.Ticket != "" {
		list = p.eventsOf[f.Ticket]
	}
	if !f.Newest {
		start := sort.Search(len(list), func(i int) bool { return list[i].Cursor > f.After })
		list = list[start:]
	}
	n := min(len(list), max(limit, 0))
	var out []*ticket.Event
	for i := range n {
		if f.Newest {
			i = len(list) - 1 - i
		}
		out = append(out, cloneEvent(list[i]))
	}
	return out, nil
}

// Waiting lists what waits in a queue.
func (p *portal) Waiting(ctx context.Context, queue routing.QueueID, limit int) ([]ticket.Waiter, error) {
	if err := p.backend.begin(ctx, "waiting"); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []ticket.Waiter
	for _, id := range p.tickets.by[indexKey{byWaiting, string(queue)}] {
		out = append(out, ticket.Waiter{Ticket: id, Since: p.tickets.rows[id].WaitingSince})
	}
	for _, id := range p.conversations.by[indexKey{byWaiting, string(queue)}] {
		out = append(out, ticket.Waiter{Conversation: id, Since: p.conversations.rows[id].WaitingSince})
	}
	slices.SortFunc(out, func(a, b ticket.Waiter) int {
		return cmp.Or(a.Since.Compare(b.Since),
			cmp.Compare(string(a.Ticket)+string(a.Conversation), string(b.Ticket)+string(b.Conversation)))
	})
	return out[:min(len(out), max(limit, 0))], nil
}

// Ledger counts items.
func (p *portal) Ledger(ctx context.Context, ch channel.ID, day string) ([]ticket.LedgerRow, error) {
	if err := p.backend.begin(ctx, "ledger"); err != nil {
		return nil, err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var out []ticket.LedgerRow
	for k, n := range p.ledger {
		if (ch == "" || ch == k.channel) && (day == "" || day == k.day) {
			out = append(out, ticket.LedgerRow{Channel: k.channel, Day: k.day, Disposition: k.disposition, Cause: k.cause, Count: n})
		}
	}
	sort.Slice(out, func(i, j int) bool {
		a, b := out[i], out[j]
		return cmp.Or(cmp.Compare(a.Day, b.Day), cmp.Compare(a.Channel, b.Channel),
			cmp.Compare(a.Disposition, b.Disposition), cmp.Compare(a.Cause, b.Cause)) < 0
	})
	return out, nil
}

var _ ticket.Store = (*portal)(nil)
