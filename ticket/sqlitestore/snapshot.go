package sqlitestore

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// Snapshot reads what is wanted in one read transaction. What a first mail wants
// are keys that nobody has: one statement then tells all, and is consistent by
// itself.
func (p *portal) Snapshot(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error) {
	s := ticket.NewSnapshot()
	err := p.view(ctx, "snapshot", func(c *conn, id int64) error {
		if onlyKeys(&w) {
			refs, err := c.refs(id, w.Keys)
			if err != nil || len(refs) == 0 || !w.Follow {
				maps.Copy(s.Refs, refs)
				return err
			}
		}
		return c.consistent(func() error {
			r := &reader{c: c, portal: id, s: s}
			r.read(&w)
			return r.err
		})
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// onlyKeys reports whether w wants keys, as many as one statement takes, and
// nothing else.
func onlyKeys(w *ticket.Want) bool {
	return len(w.Keys) > 0 && len(w.Keys) <= maxKeys &&
		len(w.Contacts)+len(w.Conversations)+len(w.Tickets)+len(w.Messages)+len(w.Items)+len(w.Works)+
			len(w.Records)+len(w.Kinds)+len(w.Counters)+len(w.Bodies) == 0 && w.Range.Kind == ""
}

// maxKeys bounds the keys that one statement looks for.
const maxKeys = 32

// selectKeys are statements by the number of keys. Point reads joined cost two
// thirds of an IN, which first makes a table of what it looks for.
var selectKeys = func() (queries [maxKeys + 1]string) {
	for n := 1; n <= maxKeys; n++ {
		if n > 1 {
			queries[n] = queries[n-1] + " UNION ALL "
		}
		queries[n] += fmt.Sprintf("SELECT key, kind, ref FROM keys WHERE portal = ?1 AND key = ?%d", n+1)
	}
	return queries
}()

// refs returns what at most maxKeys keys stand for.
func (c *conn) refs(portal int64, keys []ticket.Key) (map[ticket.Key]ticket.Ref, error) {
	args := make([]any, 1, 1+len(keys))
	args[0] = portal
	for i := range keys {
		args = append(args, keys[i][:])
	}
	var refs map[ticket.Key]ticket.Ref
	err := c.each(context.Background(), selectKeys[len(keys)], args, func(scan func(...any) error) error {
		var key []byte
		var ref ticket.Ref
		if err := scan(&key, &ref.Kind, &ref.ID); err != nil {
			return err
		}
		if refs == nil {
			refs = map[ticket.Key]ticket.Ref{}
		}
		refs[ticket.Key(key)] = ref
		return nil
	})
	return refs, err
}

// reader fills a snapshot. After an error it does nothing.
type reader struct {
	c      *conn
	portal int64
	s      *ticket.Snapshot
	refs   map[ticket.Key]ticket.Ref // of the keys that are wanted
	err    error
}

func (r *reader) read(w *ticket.Want) {
	r.refs = make(map[ticket.Key]ticket.Ref, len(w.Keys))
	for keys := range slices.Chunk(w.Keys, maxKeys) {
		refs, err := r.c.refs(r.portal, keys)
		if r.err = err; err != nil {
			return
		}
		maps.Copy(r.refs, refs)
	}
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
	if w := w.Range; w.Kind != "" {
		r.each("SELECT kind, id, rev, doc FROM records WHERE portal = ? AND kind = ? AND id > ? ORDER BY id LIMIT ?",
			[]any{r.portal, string(w.Kind), w.After, max(w.Limit, 0)}, add)
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
	ref, found = r.refs[k]
	return ref, found, nil
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
