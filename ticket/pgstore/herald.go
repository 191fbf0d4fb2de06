package pgstore

import (
	"context"
	"crypto/rand"
	"encoding/json"
	mrand "math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/anteroom/anteroom/ticket"
)

// herald tells other processes of what this one has written, and this one of
// what others have. Notifications are not part of the commits they tell of: in
// PostgreSQL the transactions with one are made durable one after the other, in
// the whole server. So one that is lost is nobody's harm, and polling goes on.
type herald struct {
	b    *Backend
	self string // this process, which does not listen to itself

	mu       sync.Mutex
	pending  map[string]*ticket.Hint // by portal, not told yet
	telling  bool
	watchers map[*watcher]struct{}
	stop     context.CancelFunc // of the listener, while it runs
	running  sync.WaitGroup
	closed   bool
}

type watcher struct {
	portal string
	f      func(ticket.Hint)
}

func newHerald(b *Backend) *herald {
	return &herald{b: b, self: rand.Text()[:12], pending: map[string]*ticket.Hint{}, watchers: map[*watcher]struct{}{}}
}

// channelName is that of the notifications: one for each schema.
func (h *herald) channelName() string { return "anteroom_" + h.b.options.schema }

// notice is the payload of a notification.
type notice struct {
	From   string              `json:"f"`
	Portal string              `json:"p"`
	All    bool                `json:"a,omitempty"`
	Events bool                `json:"e,omitempty"`
	Lanes  []string            `json:"l,omitempty"`
	Kinds  []ticket.RecordKind `json:"k,omitempty"`
}

// maxNotice bounds the bytes of a notification, which takes less than 8000.
const maxNotice = 7000

func (h *herald) payload(from, portal string, hint *ticket.Hint) string {
	n := notice{from, portal, hint.All, hint.Events, hint.Lanes, hint.Kinds}
	doc, err := json.Marshal(n)
	if err != nil || len(doc) > maxNotice {
		doc, err = json.Marshal(notice{From: from, Portal: portal, All: true})
	}
	if len(doc) > maxNotice { // the name alone: all portals are told
		doc, err = json.Marshal(notice{From: from, All: true})
	}
	if err != nil {
		return "{}" // of nobody's portal; strings and a bool can be written
	}
	return string(doc)
}

// tellPause is how far apart the notifications of a process are.
const tellPause = 10 * time.Millisecond

// tell notes what was written. It is told soon, with what comes meanwhile.
func (h *herald) tell(portal string, batch []*request) {
	h.mu.Lock()
	defer h.mu.Unlock()
	hint := h.pending[portal]
	if hint == nil {
		hint = &ticket.Hint{}
	}
	for _, r := range batch {
		hint.Events = hint.Events || r.hint.Events
		for _, lane := range r.hint.Lanes {
			hint.Lanes = appendNew(hint.Lanes, lane)
		}
		for _, kind := range r.hint.Kinds {
			hint.Kinds = appendNew(hint.Kinds, kind)
		}
	}
	if h.closed || !hint.Events && len(hint.Lanes) == 0 && len(hint.Kinds) == 0 {
		return
	}
	h.pending[portal] = hint
	if !h.telling {
		h.telling = true
		h.running.Go(h.tellAll)
	}
}

const notify = "SELECT pg_notify($1::text, $2::text)"

// tellAll tells what is noted until there is nothing more.
func (h *herald) tellAll() {
	for {
		h.mu.Lock()
		pending := h.pending
		h.pending = map[string]*ticket.Hint{}
		if len(pending) == 0 || h.closed {
			h.telling = false
			h.mu.Unlock()
			return
		}
		h.mu.Unlock()
		b := &pgx.Batch{}
		for portal, hint := range pending {
			b.Queue(notify, h.channelName(), h.payload(h.self, portal, hint))
		}
		ctx, cancel := context.WithTimeout(context.Background(), h.b.options.timeout)
		_ = h.b.pool.SendBatch(ctx, b).Close() // others will poll
		cancel()
		time.Sleep(tellPause)
	}
}

// tellIn tells with the host's transaction, and this process too, which has
// looked already when the transaction ends.
func (h *herald) tellIn(ctx context.Context, tx conn, portal string, hint ticket.Hint) error {
	_, err := tx.Exec(ctx, notify, h.channelName(), h.payload("", portal, &hint))
	return err
}

// Watch calls f when other processes have written to the portal.
func (p *portal) Watch(ctx context.Context, f func(ticket.Hint)) {
	h := p.b.news
	w := &watcher{p.name, f}
	h.mu.Lock()
	h.watchers[w] = struct{}{}
	if h.stop == nil && !h.closed && h.b.options.listen != "" {
		listening, stop := context.WithCancel(context.Background())
		h.stop = stop
		h.running.Go(func() { h.listen(listening) })
	}
	h.mu.Unlock()
	<-ctx.Done()
	h.mu.Lock()
	defer h.mu.Unlock()
	delete(h.watchers, w)
	if len(h.watchers) == 0 && h.stop != nil {
		h.stop()
		h.stop = nil
	}
}

func (h *herald) close() {
	h.mu.Lock()
	h.closed = true
	if h.stop != nil {
		h.stop()
	}
	h.mu.Unlock()
	h.running.Wait()
}

// listenRetry is the longest pause before a broken listener connects again.
const listenRetry = 5 * time.Second

// listen keeps a connection that listens, until ctx ends.
func (h *herald) listen(ctx context.Context) {
	pause := 50 * time.Millisecond
	for ctx.Err() == nil {
		began := time.Now()
		_ = h.listenOnce(ctx) // polling goes on
		if time.Since(began) > time.Minute {
			pause = 50 * time.Millisecond
		}
		timer := time.NewTimer(pause/2 + mrand.N(pause/2))
		select {
		case <-ctx.Done():
		case <-timer.C:
		}
		timer.Stop()
		pause = min(2*pause, listenRetry)
	}
}

func (h *herald) listenOnce(ctx context.Context) error {
	cfg, err := parse(h.b.options.listen, h.b.options)
	if err != nil {
		return err
	}
	beginning, cancel := context.WithTimeout(ctx, h.b.options.listenCheck)
	defer cancel()
	if cfg.BeforeConnect != nil {
		if err := cfg.BeforeConnect(beginning, cfg.ConnConfig); err != nil {
			return err
		}
	}
	c, err := pgx.ConnectConfig(beginning, cfg.ConnConfig)
	if err != nil {
		return err
	}
	defer func() {
		ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = c.Close(ending)
	}()
	if _, err := c.Exec(beginning, "LISTEN "+pgx.Identifier{h.channelName()}.Sanitize()); err != nil {
		return err
	}
	h.spread("", ticket.Hint{All: true}) // what was missed until now
	for {
		n, err := h.next(ctx, c)
		if err != nil {
			return err
		}
		var m notice
		if n == nil || json.Unmarshal([]byte(n.Payload), &m) != nil || m.From == h.self {
			continue
		}
		h.spread(m.Portal, ticket.Hint{All: m.All, Events: m.Events, Lanes: m.Lanes, Kinds: m.Kinds})
	}
}

// next returns the next notification, nil if there was none for a while.
func (h *herald) next(ctx context.Context, c *pgx.Conn) (*pgconn.Notification, error) {
	waiting, cancel := context.WithTimeout(ctx, h.b.options.listenCheck)
	defer cancel()
	n, err := c.WaitForNotification(waiting)
	if err == nil || ctx.Err() != nil || waiting.Err() == nil {
		return n, err
	}
	asking, cancel := context.WithTimeout(ctx, h.b.options.listenCheck)
	defer cancel()
	return nil, c.Ping(asking)
}

// spread calls the watchers of a portal, "" being all.
func (h *herald) spread(portal string, hint ticket.Hint) {
	h.mu.Lock()
	var call []func(ticket.Hint)
	for w := range h.watchers {
		if portal == "" || w.portal == portal {
			call = append(call, w.f)
		}
	}
	h.mu.Unlock()
	for _, f := range call {
		f(hint)
	}
}
