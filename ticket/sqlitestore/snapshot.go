package sqlitestore

import (
	"context"

	"github.com/anteroom/anteroom/ticket"
)

// Snapshot reads what is wanted in one read transaction.
func (p *portal) Snapshot(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error) {
	s := ticket.NewSnapshot()
	err := p.b.read(ctx, func(c *conn) error {
		return c.consistent(func() error {
			id, err := p.b.portalID(c, p.name)
			if err != nil || id == 0 {
				return err
			}
			r := reader{c: c, portal: id, s: s, follow: w.Follow}
			r.read(&w)
			return r.err
		})
	})
	if err != nil {
		return nil, wrap("snapshot", err)
	}
	return s, nil
}

// reader fills a snapshot. What is in it already is not read again, which also
// ends the following of circles. After an error it does nothing.
type reader struct {
	c      *conn
	portal int64
	s      *ticket.Snapshot
	follow bool
	err    error
}

func (r *reader) read(w *ticket.Want) {
	for _, k := range w.Keys {
		var ref ticket.Ref
		if r.one("SELECT kind, ref FROM keys WHERE portal = ? AND key = ?", k[:], &ref.Kind, &ref.ID) {
			r.s.Refs[k] = ref
			if r.follow {
				r.ref(ref)
			}
		}
	}
	for _, id := range w.Contacts {
		r.contact(id)
	}
	for _, id := range w.Conversations {
		r.conversation(id)
	}
	for _, id := range w.Tickets {
		r.ticket(id)
	}
	for _, id := range w.Messages {
		r.message(id)
	}
	for _, id := range w.Items {
		r.item(id)
	}
	for _, id := range w.Works {
		r.each(selectWork, []any{r.portal, string(id)}, func(scan func(...any) error) error {
			v, err := scanWork(scan)
			r.s.Works[id] = v
			return err
		})
	}
	r.records(w)
	for _, name := range w.Counters {
		var value int64
		var expires *int64
		found := r.one("SELECT value, expires FROM counters WHERE portal = ? AND name = ?", name, &value, &expires)
		if found && value != 0 && (expires == nil || *expires > micros(w.Now)) {
			r.s.Counters[name] = value
		}
	}
	for _, id := range w.Bodies {
		var data []byte
		if r.one("SELECT data FROM bodies WHERE portal = ? AND id = ?", string(id), &data) {
			r.s.Bodies[id] = append([]byte{}, data...)
		}
	}
}

func (r *reader) records(w *ticket.Want) {
	add := func(scan func(...any) error) error {
		v := &ticket.Record{}
		if err := scan(&v.Kind, &v.ID, &v.Revision, &v.Doc); err != nil {
			return err
		}
		if v.Doc == nil {
			v.Doc = []byte{}
		}
		r.s.Records[ticket.RecordRef{Kind: v.Kind, ID: v.ID}] = v
		return nil
	}
	for _, ref := range w.Records {
		r.each("SELECT kind, id, rev, doc FROM records WHERE portal = ? AND kind = ? AND id = ?", []any{r.portal, string(ref.Kind), ref.ID}, add)
	}
	for _, kind := range w.Kinds {
		r.each("SELECT kind, id, rev, doc FROM records WHERE portal = ? AND kind = ?", []any{r.portal, string(kind)}, add)
	}
}

func (r *reader) one(query string, id any, dest ...any) bool {
	if r.err != nil {
		return false
	}
	found, err := r.c.one(query, []any{r.portal, id}, dest...)
	r.err = err
	return found && err == nil
}

func (r *reader) each(query string, args []any, f func(scan func(...any) error) error) {
	if r.err == nil {
		r.err = r.c.each(context.Background(), query, args, f)
	}
}

// entity reads the row of an entity.
func entity[V any](r *reader, table, id string) (v *V, rev int64) {
	var doc []byte
	if id == "" || !r.one("SELECT rev, doc FROM "+table+" WHERE portal = ? AND id = ?", id, &rev, &doc) {
		return nil, 0
	}
	v, r.err = decode[V](doc)
	if r.err != nil {
		return nil, 0
	}
	return v, rev
}

func (r *reader) ref(ref ticket.Ref) {
	switch ref.Kind {
	case ticket.RefContact:
		r.contact(ticket.ContactID(ref.ID))
	case ticket.RefConversation:
		r.conversation(ticket.ConversationID(ref.ID))
	case ticket.RefTicket:
		r.ticket(ticket.TicketID(ref.ID))
	case ticket.RefMessage:
		r.message(ticket.MessageID(ref.ID))
	case ticket.RefItem:
		r.item(ticket.ItemID(ref.ID))
	}
}

func (r *reader) contact(id ticket.ContactID) {
	if r.s.Contacts[id] != nil {
		return
	}
	if v, rev := entity[ticket.Contact](r, "contacts", string(id)); v != nil {
		v.Revision = rev
		r.s.Contacts[id] = v
	}
}

func (r *reader) conversation(id ticket.ConversationID) {
	if r.s.Conversations[id] != nil {
		return
	}
	v, rev := entity[ticket.Conversation](r, "conversations", string(id))
	if v == nil {
		return
	}
	v.Revision = rev
	r.s.Conversations[id] = v
	if r.follow {
		r.ticket(v.Ticket)
		r.contact(v.Contact)
	}
}

func (r *reader) ticket(id ticket.TicketID) {
	if id == "" || r.s.Tickets[id] != nil {
		return
	}
	r.each("SELECT "+ticketColumns+" FROM tickets WHERE portal = ? AND id = ?", []any{r.portal, string(id)}, func(scan func(...any) error) error {
		v, _, err := scanTicket(scan)
		if err == nil {
			r.s.Tickets[id] = v
		}
		return err
	})
	if v := r.s.Tickets[id]; v != nil && r.follow {
		r.conversation(v.Conversation)
	}
}

func (r *reader) message(id ticket.MessageID) {
	if r.s.Messages[id] != nil {
		return
	}
	v, rev := entity[ticket.Message](r, "messages", string(id))
	if v == nil {
		return
	}
	v.Revision = rev
	r.s.Messages[id] = v
	if r.follow {
		r.conversation(v.Conversation)
	}
}

func (r *reader) item(id ticket.ItemID) {
	if r.s.Items[id] != nil {
		return
	}
	if v, rev := entity[ticket.Item](r, "items", string(id)); v != nil {
		v.Revision = rev
		r.s.Items[id] = v
	}
}
