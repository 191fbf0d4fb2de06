package pgstore

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// Snapshot reads what is wanted in one read-only transaction, which is sent at
// once and needs one round trip.
func (p *portal) Snapshot(ctx context.Context, w ticket.Want) (*ticket.Snapshot, error) {
	s := ticket.NewSnapshot()
	err := p.view(ctx, "snapshot", func(ctx context.Context, c conn, id int64) error {
		s = ticket.NewSnapshot() // it may be the second try
		r := reader{portal: id, s: s, sql: p.b.sql, batch: &pgx.Batch{}}
		r.want(&w)
		if r.batch.Len() == 0 {
			return nil
		}
		if joined(ctx) == nil && (r.batch.Len() > 1 || w.Follow) {
			all := r.batch
			r.batch = &pgx.Batch{}
			r.batch.Queue("begin isolation level repeatable read read only")
			r.batch.Queue(withoutJIT)
			r.batch.QueuedQueries = append(r.batch.QueuedQueries, all.QueuedQueries...)
			r.batch.Queue("commit")
		}
		return c.SendBatch(ctx, r.batch).Close()
	})
	if err != nil {
		return nil, err
	}
	return s, nil
}

// withoutJIT keeps the server from compiling what it runs. It does so where it
// expects many rows, and of circles that are followed it knows nothing and expects
// far too many: compiling took a hundred times as long as reading.
const withoutJIT = "SELECT set_config('jit', 'off', true)"

// reader collects the statements of a snapshot and fills it.
type reader struct {
	portal int64
	s      *ticket.Snapshot
	sql    *statements
	batch  *pgx.Batch
}

// each queues a statement and calls f for each of its rows. The first argument
// is the portal.
func (r *reader) each(sql string, f func(rows pgx.Rows) error, args ...any) {
	r.batch.Queue(r.sql.in(sql), append([]any{r.portal}, args...)...).Query(func(rows pgx.Rows) error {
		for rows.Next() {
			if err := f(rows); err != nil {
				return err
			}
		}
		return rows.Err()
	})
}

func (r *reader) want(w *ticket.Want) {
	if w.Follow {
		r.follow(w)
	} else {
		r.keys(w.Keys)
		r.entities("contact", texts(w.Contacts))
		r.entities("conversation", texts(w.Conversations))
		r.entities("ticket", texts(w.Tickets))
		r.entities("message", texts(w.Messages))
		r.entities("item", texts(w.Items))
	}
	if len(w.Works) > 0 {
		r.each("SELECT "+workColumns+" FROM anteroom.works WHERE portal = $1 AND id = ANY($2::text[])", func(rows pgx.Rows) error {
			v, err := scanWork(rows)
			if err == nil {
				r.s.Works[v.ID] = v
			}
			return err
		}, texts(w.Works))
	}
	r.records(w)
	if len(w.Counters) > 0 {
		r.each("SELECT name, value FROM anteroom.counters WHERE portal = $1 AND name = ANY($2::text[]) AND value <> 0 AND (expires IS NULL OR expires > $3::bigint)",
			func(rows pgx.Rows) error {
				var name string
				var value int64
				err := rows.Scan(&name, &value)
				r.s.Counters[name] = value
				return err
			}, texts(w.Counters), driver.Micros(w.Now))
	}
	if len(w.Bodies) > 0 {
		r.each("SELECT id, data FROM anteroom.bodies WHERE portal = $1 AND id = ANY($2::text[])", func(rows pgx.Rows) error {
			var id string
			data := []byte{}
			err := rows.Scan(&id, &data)
			r.s.Bodies[ticket.BodyID(id)] = data
			return err
		}, texts(w.Bodies))
	}
}

func keyBytes(keys []ticket.Key) [][]byte {
	out := make([][]byte, len(keys))
	for i := range keys {
		out[i] = keys[i][:]
	}
	return out
}

func (r *reader) keys(keys []ticket.Key) {
	if len(keys) == 0 {
		return
	}
	r.each("SELECT key, kind, ref FROM anteroom.keys WHERE portal = $1 AND key = ANY($2::bytea[])", func(rows pgx.Rows) error {
		var key []byte
		var ref ticket.Ref
		if err := rows.Scan(&key, &ref.Kind, &ref.ID); err != nil {
			return err
		}
		r.s.Refs[ticket.Key(key)] = ref
		return nil
	}, keyBytes(keys))
}

func (r *reader) entities(kind string, ids []string) {
	if len(ids) == 0 {
		return
	}
	number := "0::bigint"
	if kind == "ticket" {
		number = "number"
	}
	r.each("SELECT rev, "+number+", doc FROM anteroom."+kind+"s WHERE portal = $1 AND id = ANY($2::text[])", func(rows pgx.Rows) error {
		var rev, number int64
		var doc []byte
		if err := rows.Scan(&rev, &number, &doc); err != nil {
			return err
		}
		return r.keep(kind, rev, number, doc)
	}, ids)
}

// keep adds an entity to the snapshot.
func (r *reader) keep(kind string, rev, number int64, doc []byte) error {
	switch ticket.RefKind(kind) {
	case ticket.RefContact:
		return keep(doc, r.s.Contacts, func(v *ticket.Contact) ticket.ContactID { v.Revision = rev; return v.ID })
	case ticket.RefConversation:
		return keep(doc, r.s.Conversations, func(v *ticket.Conversation) ticket.ConversationID { v.Revision = rev; return v.ID })
	case ticket.RefTicket:
		return keep(doc, r.s.Tickets, func(v *ticket.Ticket) ticket.TicketID { v.Revision, v.Number = rev, number; return v.ID })
	case ticket.RefMessage:
		return keep(doc, r.s.Messages, func(v *ticket.Message) ticket.MessageID { v.Revision = rev; return v.ID })
	case ticket.RefItem:
		return keep(doc, r.s.Items, func(v *ticket.Item) ticket.ItemID { v.Revision = rev; return v.ID })
	}
	return nil
}

// keep adds what a document holds to a map, under the id that complete returns.
func keep[K ~string, V any](doc []byte, in map[K]*V, complete func(*V) K) error {
	v, err := decode[V](doc)
	if err == nil {
		in[complete(v)] = v
	}
	return err
}

func decode[V any](doc []byte) (*V, error) {
	v, err := driver.Decode[V](doc)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errDecode, err)
	}
	return v, nil
}

// follow reads what is wanted and what it leads to. Circles end because a row
// that is there already is not followed again.
func (r *reader) follow(w *ticket.Want) {
	r.keys(w.Keys)
	var kinds, ids []string
	add := func(kind ticket.RefKind, list []string) {
		for _, id := range list {
			kinds, ids = append(kinds, string(kind)), append(ids, id)
		}
	}
	add(ticket.RefContact, texts(w.Contacts))
	add(ticket.RefConversation, texts(w.Conversations))
	add(ticket.RefTicket, texts(w.Tickets))
	add(ticket.RefMessage, texts(w.Messages))
	add(ticket.RefItem, texts(w.Items))
	if len(kinds) == 0 && len(w.Keys) == 0 {
		return
	}
	r.each(followed, func(rows pgx.Rows) error {
		var kind string
		var rev, number int64
		var doc []byte
		if err := rows.Scan(&kind, &rev, &number, &doc); err != nil {
			return err
		}
		return r.keep(kind, rev, number, doc)
	}, keyBytes(w.Keys), kinds, ids)
}

const followed = `WITH RECURSIVE f(kind, id) AS (
		SELECT kind, ref FROM anteroom.keys WHERE portal = $1 AND key = ANY($2::bytea[])
		UNION SELECT kind, id FROM unnest($3::text[], $4::text[]) AS w(kind, id)
	UNION
		SELECT n.kind, n.id FROM f, LATERAL (
			SELECT 'conversation', m.conversation FROM anteroom.messages m WHERE f.kind = 'message' AND m.portal = $1 AND m.id = f.id
			UNION ALL SELECT 'ticket', c.ticket FROM anteroom.conversations c WHERE f.kind = 'conversation' AND c.portal = $1 AND c.id = f.id
			UNION ALL SELECT 'contact', c.contact FROM anteroom.conversations c WHERE f.kind = 'conversation' AND c.portal = $1 AND c.id = f.id
			UNION ALL SELECT 'conversation', t.conversation FROM anteroom.tickets t WHERE f.kind = 'ticket' AND t.portal = $1 AND t.id = f.id
		) AS n(kind, id) WHERE n.id IS NOT NULL
	)
	SELECT f.kind, e.rev, e.number, e.doc FROM f, LATERAL (
		SELECT rev, 0::bigint, doc FROM anteroom.contacts t WHERE f.kind = 'contact' AND t.portal = $1 AND t.id = f.id
		UNION ALL SELECT rev, 0, doc FROM anteroom.conversations t WHERE f.kind = 'conversation' AND t.portal = $1 AND t.id = f.id
		UNION ALL SELECT rev, number, doc FROM anteroom.tickets t WHERE f.kind = 'ticket' AND t.portal = $1 AND t.id = f.id
		UNION ALL SELECT rev, 0, doc FROM anteroom.messages t WHERE f.kind = 'message' AND t.portal = $1 AND t.id = f.id
		UNION ALL SELECT rev, 0, doc FROM anteroom.items t WHERE f.kind = 'item' AND t.portal = $1 AND t.id = f.id
	) AS e(rev, number, doc)`

func (r *reader) records(w *ticket.Want) {
	add := func(rows pgx.Rows) error {
		v := &ticket.Record{Doc: []byte{}}
		if err := rows.Scan(&v.Kind, &v.ID, &v.Revision, &v.Doc); err != nil {
			return err
		}
		r.s.Records[ticket.RecordRef{Kind: v.Kind, ID: v.ID}] = v
		return nil
	}
	if len(w.Records) > 0 {
		kinds, ids := make([]string, len(w.Records)), make([]string, len(w.Records))
		for i, ref := range w.Records {
			kinds[i], ids[i] = clean(string(ref.Kind)), clean(ref.ID)
		}
		r.each(`SELECT t.kind, t.id, t.rev, t.doc FROM unnest($2::text[], $3::text[]) AS w(kind, id)
			JOIN anteroom.records t ON t.portal = $1 AND t.kind = w.kind AND t.id = w.id`, add, kinds, ids)
	}
	if len(w.Kinds) > 0 {
		r.each("SELECT kind, id, rev, doc FROM anteroom.records WHERE portal = $1 AND kind = ANY($2::text[])", add, texts(w.Kinds))
	}
	if w := w.Range; w.Kind != "" {
		r.each("SELECT kind, id, rev, doc FROM anteroom.records WHERE portal = $1 AND kind = $2::text AND id > $3::text ORDER BY id LIMIT $4::bigint",
			add, clean(string(w.Kind)), clean(w.After), max(w.Limit, 0))
	}
}

// texts returns ids as an argument.
func texts[S ~string](list []S) []string {
	out := make([]string, len(list))
	for i, v := range list {
		out[i] = clean(string(v))
	}
	return out
}
