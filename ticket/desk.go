package ticket

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
)

// Kinds of configuration records.
const (
	recordChannel  RecordKind = "channel"
	recordQueue    RecordKind = "queue"
	recordAgent    RecordKind = "agent"
	recordPresence RecordKind = "presence"
	recordAssigned RecordKind = "assigned" // when an agent was last given work
	recordKeyRing  RecordKind = "keyring"
	recordState    RecordKind = "state" // a channel's own, such as a cursor
	recordProbe    RecordKind = "probe" // of a channel
)

// Desk is the engine of one portal: it takes items in, decides, keeps, routes
// and sends. All methods are safe for concurrent use. A Desk works without Run,
// except for what happens later: receiving, sending, routing, auto replies.
type Desk struct {
	cfg        Config
	store      Store
	log        *slog.Logger
	now        func() time.Time
	sealer     *sealer
	ring       keyRing
	connectors map[channel.Kind]channel.Connector
	policies   map[string]routing.Policy
	feed       signal        // of new events
	hooks      signal        // of changed webhooks
	changed    chan struct{} // another process has changed the configuration
	erasures   chan struct{} // an erasure had to wait

	viewed atomic.Pointer[deskView]

	// losers holds who decides anew after losing a race; see decide.
	losers chan struct{}

	// refreshing serialises reading the configuration and opening channels.
	refreshing sync.Mutex

	mu       sync.Mutex
	channels map[channel.ID]*opened
	lanes    map[string]chan struct{} // wakes the lane's loop
	run      *runner                  // while Run runs
	// trouble are the channels of which an item could not be kept; see noteAccept.
	trouble map[channel.ID]channel.Status
	// troubled says that there are some, for Accept to see without d.mu.
	troubled atomic.Bool
	// retired says that the portal has moved away: nothing is written any more.
	retired atomic.Bool
}

// deskView is the configuration as last read: what decisions look at besides
// their snapshot. It is never changed, only replaced.
type deskView struct {
	channels map[channel.ID]*channelView
	queues   map[routing.QueueID]routing.Queue
	agents   map[routing.AgentID]routing.Agent
}

// channelView is one channel as decisions see it.
type channelView struct {
	info     channel.Info
	settings Settings
	via      channel.ID // ReceivesVia
	sends    bool
	files    bool             // keeps copies of what it sent
	window   channel.Windowed // nil if its network has none
}

// scheme returns the name space of a channel's addresses.
func (v *deskView) scheme(id channel.ID) string {
	if c, ok := v.channels[id]; ok && c.info.Scheme != "" {
		return c.info.Scheme
	}
	return "unknown"
}

// agentMail reports whether an address is an agent's own.
func (v *deskView) agentMail(address string) bool {
	k := addressKey(address)
	for _, a := range v.agents {
		if a.Email != "" && addressKey(a.Email) == k {
			return true
		}
	}
	return false
}

// settings returns the settings that apply to what came to ch by via: those of
// the receiving mailbox, where there is one.
func (v *deskView) settings(ch, via channel.ID) Settings {
	if via != "" {
		if c, ok := v.channels[via]; ok {
			return c.settings
		}
	}
	if c, ok := v.channels[ch]; ok {
		return c.settings
	}
	return Settings{}
}

// String returns the names of portal and node, and nothing that is secret.
func (d *Desk) String() string { return "ticket.Desk(" + d.cfg.Portal + " " + d.cfg.Node + ")" }

// GoString returns the same as String.
func (d *Desk) GoString() string { return d.String() }

// LogValue returns the same as String.
func (d *Desk) LogValue() slog.Value { return slog.StringValue(d.String()) }

// New returns the desk of the portal whose data is in cfg.Store, with its saved
// channels opened. It reads the store; it does not use the network.
//
// It returns ErrWrongKey if the store's secrets were sealed with another key,
// ErrRetired if the portal has moved away, and ErrImporting if it has not come in
// as a whole.
func New(cfg Config) (*Desk, error) {
	if err := cfg.complete(); err != nil {
		return nil, err
	}
	s, err := newSealer(cfg.Key, cfg.OldKeys)
	if err != nil {
		return nil, err
	}
	d := &Desk{
		cfg: cfg, store: cfg.Store, log: cfg.Log, sealer: s,
		now:        func() time.Time { return cfg.Now().UTC().Truncate(time.Microsecond) },
		connectors: map[channel.Kind]channel.Connector{},
		policies:   routing.Stock(),
		channels:   map[channel.ID]*opened{},
		lanes:      map[string]chan struct{}{},
		trouble:    map[channel.ID]channel.Status{},
		losers:     make(chan struct{}, 1),
	}
	d.feed.init()
	d.hooks.init()
	d.changed = make(chan struct{}, 1)
	d.erasures = make(chan struct{}, 1)
	d.viewed.Store(&deskView{})
	for _, c := range cfg.Connectors {
		if _, ok := d.connectors[c.Kind()]; ok {
			return nil, fmt.Errorf("ticket: two connectors of kind %q", c.Kind())
		}
		d.connectors[c.Kind()] = c
	}
	maps.Copy(d.policies, cfg.Policies)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	if err := d.loadKeyRing(ctx); err != nil {
		return nil, err
	}
	if err := d.Refresh(ctx); err != nil {
		return nil, err
	}
	return d, nil
}

func (d *Desk) view() *deskView { return d.viewed.Load() }

// savedKeyRing is the record of the portal's token secrets. They are sealed
// unless there is no key.
type savedKeyRing struct {
	Sealed []byte   `json:"sealed,omitempty"`
	Plain  *keyRing `json:"plain,omitempty"`
}

func keyRingRef() RecordRef { return RecordRef{Kind: recordKeyRing, ID: "tokens"} }

// loadKeyRing reads the portal's token secrets, and makes them the first time.
func (d *Desk) loadKeyRing(ctx context.Context) error {
	_, err := d.decide(ctx, Actor{Kind: ActorSystem}, func() Want {
		return Want{Records: []RecordRef{keyRingRef(), retiredRef(), importingRef()}}
	}, func(u *unit) error {
		if err := d.noticeMove(u.snap); err != nil {
			return err
		}
		rec := u.snap.Records[keyRingRef()]
		var s savedKeyRing
		if rec != nil {
			if err := json.Unmarshal(rec.Doc, &s); err != nil {
				return fmt.Errorf("ticket: read key ring: %w", err)
			}
		}
		switch {
		case s.Sealed != nil:
			plain, err := d.sealer.open(s.Sealed, sealedKeyRing)
			if err != nil {
				return err
			}
			if err := json.Unmarshal(plain, &d.ring); err != nil {
				return errors.New("ticket: read key ring")
			}
			return errNothing
		case s.Plain != nil:
			d.ring = *s.Plain
			if !d.sealer.enabled() {
				return errNothing
			}
		default:
			secret := make([]byte, 32)
			_, _ = rand.Read(secret) // never fails, by its documentation
			d.ring = keyRing{Secrets: [][]byte{secret}}
		}
		return d.putKeyRing(u, d.ring)
	})
	return err
}

// putKeyRing writes the token secrets, sealed if there is a key.
func (d *Desk) putKeyRing(u *unit, ring keyRing) error {
	if !d.sealer.enabled() {
		return u.putRecord(keyRingRef(), savedKeyRing{Plain: &ring})
	}
	plain, err := json.Marshal(ring)
	if err != nil {
		return errors.New("ticket: write key ring")
	}
	sealed, err := d.sealer.seal(plain, sealedKeyRing)
	if err != nil {
		return err
	}
	return u.putRecord(keyRingRef(), savedKeyRing{Sealed: sealed})
}

// putRecord writes a configuration record over what was read of it.
func (u *unit) putRecord(ref RecordRef, v any) error {
	doc, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("ticket: write %s %s: %w", ref.Kind, ref.ID, err)
	}
	rec := &Record{Kind: ref.Kind, ID: ref.ID, Doc: doc}
	if old := u.snap.Records[ref]; old != nil {
		rec.Revision = old.Revision
	}
	u.c.Records = append(u.c.Records, rec)
	return nil
}

func (u *unit) dropRecord(ref RecordRef) {
	if old := u.snap.Records[ref]; old != nil {
		u.c.Records = append(u.c.Records, &Record{Kind: ref.Kind, ID: ref.ID, Revision: old.Revision})
	}
}

// Ping reports whether the store can be read.
func (d *Desk) Ping(ctx context.Context) error {
	_, err := d.store.Snapshot(ctx, Want{Records: []RecordRef{keyRingRef()}})
	return err
}

// signal wakes everybody who waits.
type signal struct {
	mu sync.Mutex
	ch chan struct{}
}

func (s *signal) init() { s.ch = make(chan struct{}) }

func (s *signal) wait() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ch
}

func (s *signal) broadcast() {
	s.mu.Lock()
	defer s.mu.Unlock()
	close(s.ch)
	s.ch = make(chan struct{})
}

// wake tells the loop of a lane that there may be work.
func (d *Desk) wake(lane string) {
	d.mu.Lock()
	ch := d.lanes[lane]
	d.mu.Unlock()
	if ch == nil {
		return
	}
	select {
	case ch <- struct{}{}:
	default:
	}
}

var errClosed = errors.New("ticket: the desk runs already")
