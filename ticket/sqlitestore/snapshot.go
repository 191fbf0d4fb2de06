package sqlitestore

import (
	"context"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
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
			r := &reader{c: c, portal: id, s: s}
			r.read(&w)
			return r.err
		})
	})
	if err != nil {
		return nil, wrap("snapshot", err)
	}
	return s, nil
}

// reader fills a snapshot. After an error it does nothing.
type reader struct {
	c      *conn
	portal int64
	s      *ticket.Snapshot
	err    error
}

func (r *reader) read(w *ticket.Want) {
	if r.err = driver.Follow(r.s, w, r); r.err != nil {
		return
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
		if found && value != 0 && (expires == nil || *expires > driver.Micros(w.Now)) {
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

// entity reads the row of an entity, nil if there is none.
func entity[V any](r *reader, table, id string) (v *V, rev int64, err error) {
	var doc []byte
	found, err := r.c.one("SELECT rev, doc FROM "+table+" WHERE portal = ? AND id = ?", []any{r.portal, id}, &rev, &doc)
	if err != nil || !found {
		return nil, 0, err
	}
	v, err = driver.Decode[V](doc)
	return v, rev, err
}

func (r *reader) Ref(k ticket.Key) (ref ticket.Ref, found bool, err error) {
	found, err = r.c.one("SELECT kind, ref FROM keys WHERE portal = ? AND key = ?", []any{r.portal, k[:]}, &ref.Kind, &ref.ID)
	return ref, found, err
}

func (r *reader) Contact(id ticket.ContactID) (*ticket.Contact, error) {
	v, rev, err := entity[ticket.Contact](r, "contacts", string(id))
	if v != nil {
		v.Revision = rev
	}
	return v, err
}

func (r *reader) Conversation(id ticket.ConversationID) (*ticket.Conversation, error) {
	v, rev, err := entity[ticket.Conversation](r, "conversations", string(id))
	if v != nil {
		v.Revision = rev
	}
	return v, err
}

func (r *reader) Ticket(id ticket.TicketID) (found *ticket.Ticket, err error) {
	err = r.c.each(context.Background(), "SELECT "+ticketColumns+" FROM tickets WHERE portal = ? AND id = ?", []any{r.portal, string(id)}, func(scan func(...any) error) error {
		v, _, err := scanTicket(scan)
		if err == nil {
			found = v
		}
		return err
	})
	return found, err
}

func (r *reader) Message(id ticket.MessageID) (*ticket.Message, error) {
	v, rev, err := entity[ticket.Message](r, "messages", string(id))
	if v != nil {
		v.Revision = rev
	}
	return v, err
}

func (r *reader) Item(id ticket.ItemID) (*ticket.Item, error) {
	v, rev, err := entity[ticket.Item](r, "items", string(id))
	if v != nil {
		v.Revision = rev
	}
	return v, err
}
