package ticket

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
)

// savedChannel is a channel's record.
type savedChannel struct {
	ID           channel.ID      `json:"id"`
	Kind         channel.Kind    `json:"kind"`
	Name         string          `json:"name"`
	Address      string          `json:"address"`
	Config       json.RawMessage `json:"config,omitempty"`
	Sealed       []byte          `json:"sealed,omitempty"`
	ReceivesVia  channel.ID      `json:"receives_via,omitempty"`
	ForwardToken string          `json:"forward_token,omitempty"`
	Settings     Settings        `json:"settings"`
	CreatedAt    time.Time       `json:"created_at"`

	revision int64 // of its record, as read
}

// savedChannels are the channels of a snapshot.
func savedChannels(snap *Snapshot) ([]savedChannel, error) {
	out, err := decodeRecords[savedChannel](snap, recordChannel)
	for i := range out {
		out[i].revision = snap.Records[channelRef(out[i].ID)].Revision
	}
	return out, err
}

// Channel is a connected channel as it is listed.
type Channel struct {
	channel.Info
	CreatedAt   time.Time
	Status      channel.Status
	Settings    Settings
	Config      json.RawMessage // without secrets
	ReceivesVia channel.ID
	// ForwardAddress is where a paired account's mail server is to forward to.
	ForwardAddress string
}

func channelRef(id channel.ID) RecordRef { return RecordRef{recordChannel, string(id)} }

// Connect adds a channel: it validates the configuration, opens it and keeps
// it. It does not test the connection; see Check.
//
// Errors: *channel.FieldError for a bad or taken value, with the Owner of what is
// taken; any other leaves open whether the channel is connected, since the store
// may have lost only its answer. Channels tells: a second Connect would find the
// address taken. See [Desk.Ensure] for channels that a program always has.
func (d *Desk) Connect(ctx context.Context, cfg channel.Config, s Settings) (*Channel, error) {
	acct, err := cfg.Account()
	if err != nil {
		return nil, err
	}
	if err := d.Refresh(ctx); err != nil {
		return nil, err
	}
	acct.ID = channel.ID(newID())
	saved := savedChannel{ID: acct.ID, CreatedAt: d.now(), Settings: s}
	if acct.ReceivesVia != "" {
		saved.ForwardToken = randomToken(8)
	}
	err = d.saveChannel(ctx, acct, &saved, EventChannelCreated, false, false)
	if err != nil && !(errors.Is(err, errMaybeCommitted) && d.isSaved(ctx, acct.ID)) {
		return nil, err
	}
	return d.Channel(ctx, acct.ID)
}

// isSaved reports whether a channel is in the store, as far as it can be read.
func (d *Desk) isSaved(ctx context.Context, id channel.ID) bool {
	snap, err := d.store.Snapshot(ctx, Want{Records: []RecordRef{channelRef(id)}})
	return err == nil && snap.Records[channelRef(id)] != nil
}

// ChannelPatch changes a channel; nil fields stay.
type ChannelPatch struct {
	Name     *string
	Settings *Settings
	// Config replaces the configuration, of the same kind. If it carries no
	// credentials, the saved ones stay.
	Config channel.Config
}

// Update changes a channel. It takes effect at once on this node, and within
// Timing.Refresh on others. Errors: ErrNotFound, *channel.FieldError.
func (d *Desk) Update(ctx context.Context, id channel.ID, p ChannelPatch) (*Channel, error) {
	if err := d.Refresh(ctx); err != nil {
		return nil, err
	}
	snap, err := d.store.Snapshot(ctx, Want{Records: []RecordRef{channelRef(id)}})
	if err != nil {
		return nil, fmt.Errorf("ticket: read channel: %w", err)
	}
	rec := snap.Records[channelRef(id)]
	if rec == nil {
		return nil, fmt.Errorf("channel %q: %w", id, ErrNotFound)
	}
	var saved savedChannel
	if err := json.Unmarshal(rec.Doc, &saved); err != nil {
		return nil, fmt.Errorf("ticket: read channel: %w", err)
	}
	acct, err := d.account(saved)
	if err != nil {
		return nil, err
	}
	keep := true
	if p.Config != nil {
		next, err := p.Config.Account()
		if err != nil {
			return nil, err
		}
		if next.Kind != acct.Kind {
			return nil, badField("kind", "is %q and cannot be changed to %q", acct.Kind, next.Kind)
		}
		next.ID = id
		if next.Name == "" {
			next.Name = acct.Name
		}
		if next.Credentials.Empty() {
			next.Credentials = acct.Credentials
		} else {
			keep = false
		}
		acct = next
		if acct.ReceivesVia != "" && saved.ForwardToken == "" {
			saved.ForwardToken = randomToken(8)
		}
	}
	if p.Name != nil {
		acct.Name = *p.Name
	}
	if p.Settings != nil {
		saved.Settings = *p.Settings
	}
	if p.Config == nil && p.Name == nil {
		err = d.saveSettings(ctx, saved)
	} else {
		err = d.saveChannel(ctx, acct, &saved, EventChannelUpdated, keep, p.Settings == nil)
	}
	if err != nil {
		return nil, err
	}
	return d.Channel(ctx, id)
}

// saveSettings commits new settings of a channel, which stays open.
func (d *Desk) saveSettings(ctx context.Context, saved savedChannel) error {
	if err := d.checkSettings(saved.Settings); err != nil {
		return err
	}
	ref := channelRef(saved.ID)
	_, err := d.decide(ctx, Actor{Kind: ActorHost}, func() Want { return Want{Records: []RecordRef{ref}} }, func(u *unit) error {
		now, err := decodeRecords[savedChannel](u.snap, recordChannel)
		if err != nil {
			return err
		}
		if len(now) == 0 {
			return fmt.Errorf("channel %q: %w", saved.ID, ErrNotFound)
		}
		now[0].Settings = saved.Settings
		u.event(Event{Type: EventChannelUpdated, Channel: saved.ID, Data: map[string]string{"kind": string(saved.Kind)}})
		if saved.Settings.Queue != "" {
			u.addWork(&Work{Kind: WorkAssign, Queue: saved.Settings.Queue})
		}
		return u.putRecord(ref, now[0])
	})
	if err != nil {
		return err
	}
	return d.Refresh(ctx)
}

// saveChannel validates, opens and commits a channel. With keep the sealed
// credentials stay as they are by then, since the channel may have renewed them,
// and with keepSettings the settings.
func (d *Desk) saveChannel(ctx context.Context, acct channel.Account, saved *savedChannel, event EventType, keep, keepSettings bool) (err error) {
	if err := d.checkSettings(saved.Settings); err != nil {
		return err
	}
	if clean(acct.Name, maxNameLength+1) != acct.Name || len([]rune(acct.Name)) > maxNameLength {
		return badField("name", "must be one line of at most %d characters", maxNameLength)
	}
	if via := acct.ReceivesVia; via != "" {
		d.mu.Lock()
		o := d.channels[via]
		d.mu.Unlock()
		if o == nil {
			return badField("forwarded_to", "there is no channel %q", via)
		}
		if _, ok := o.ch.(channel.Forwardee); !ok {
			return badField("forwarded_to", "channel %q takes no forwarded mail; name a hosted mailbox", via)
		}
	}
	conn, ok := d.connectors[acct.Kind]
	if !ok {
		return badField("kind", "there is no connector for %q", acct.Kind)
	}
	ch, err := conn.Open(ctx, acct, d.env(acct.ID, &opening{}))
	if err != nil {
		return err
	}
	// Whatever comes of it, the opening above counts now, so that the channel
	// as it is saved must be opened once more.
	defer func() {
		d.forget(acct.ID)
		if rerr := d.Refresh(ctx); err == nil {
			err = rerr
		}
	}()
	oldAddress := saved.Address
	saved.Kind, saved.Name, saved.Config, saved.ReceivesVia = acct.Kind, acct.Name, acct.Config, acct.ReceivesVia
	saved.Address = ch.Info().Address
	saved.Sealed = nil
	if !acct.Credentials.Empty() {
		if !d.sealer.enabled() {
			d.abandon(ch, acct.ID)
			return badField("password", "cannot be kept: set Config.Key, which seals secrets")
		}
		if saved.Sealed, err = d.sealCredentials(acct.ID, acct.Credentials); err != nil {
			return err
		}
	}
	addressKey := func(a string) Key { return NewKey("address", strings.ToLower(a)) }
	ref := channelRef(acct.ID)
	_, err = d.decide(ctx, Actor{Kind: ActorHost}, func() Want {
		return Want{Records: []RecordRef{ref}, Keys: []Key{addressKey(saved.Address)}}
	}, func(u *unit) error {
		if event == EventChannelUpdated {
			now, err := decodeRecords[savedChannel](u.snap, recordChannel)
			if err != nil {
				return err
			}
			if len(now) == 0 {
				return fmt.Errorf("channel %q: %w", acct.ID, ErrNotFound)
			}
			if keep {
				saved.Sealed = now[0].Sealed
			}
			if keepSettings {
				saved.Settings = now[0].Settings
			}
		}
		owner, taken := u.snap.Refs[addressKey(saved.Address)]
		if taken && owner.ID != string(acct.ID) {
			return &channel.FieldError{Field: "address", Problem: saved.Address + " is connected already", Owner: channel.ID(owner.ID)}
		}
		if oldAddress != "" && !strings.EqualFold(oldAddress, saved.Address) {
			u.release(addressKey(oldAddress))
		}
		u.claim(addressKey(saved.Address), "channel", string(acct.ID))
		u.event(Event{Type: event, Channel: acct.ID, Data: map[string]string{"kind": string(acct.Kind)}})
		if saved.Settings.Queue != "" {
			u.addWork(&Work{Kind: WorkAssign, Queue: saved.Settings.Queue})
		}
		return u.putRecord(ref, saved)
	})
	if err != nil {
		d.abandon(ch, acct.ID)
	}
	return err
}

// forget makes the next Refresh open a channel anew.
func (d *Desk) forget(id channel.ID) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if o := d.channels[id]; o != nil {
		o.form = nil
	}
}

// abandon closes a channel that was opened only to be validated, unless the
// desk has it open under the same id.
func (d *Desk) abandon(ch channel.Channel, id channel.ID) {
	d.mu.Lock()
	_, open := d.channels[id]
	d.mu.Unlock()
	if c, ok := ch.(io.Closer); ok && !open {
		_ = c.Close()
	}
}

func (d *Desk) sealCredentials(id channel.ID, c channel.Credentials) ([]byte, error) {
	plain, err := json.Marshal(c.Reveal())
	if err != nil {
		return nil, errors.New("ticket: seal credentials")
	}
	return d.sealer.seal(plain, sealedCredentials(id))
}

// account returns the account of a saved channel.
func (d *Desk) account(s savedChannel) (channel.Account, error) {
	a := channel.Account{ID: s.ID, Kind: s.Kind, Name: s.Name, Config: s.Config, ReceivesVia: s.ReceivesVia}
	if s.Sealed != nil {
		plain, err := d.sealer.open(s.Sealed, sealedCredentials(s.ID))
		if err != nil {
			return a, err
		}
		var m map[string]string
		if err := json.Unmarshal(plain, &m); err != nil {
			return a, errors.New("ticket: read credentials")
		}
		a.Credentials = channel.NewCredentials(m)
	}
	return a, nil
}

func (d *Desk) checkSettings(s Settings) error {
	v := d.view()
	if _, ok := v.queues[s.Queue]; s.Queue != "" && !ok {
		return badField("settings.queue", "there is no queue %q", s.Queue)
	}
	switch s.WhenNoneOnline {
	case "", routing.AnyAgent, routing.Wait:
	default:
		return badField("settings.when_none_online", "must be %q or %q", routing.AnyAgent, routing.Wait)
	}
	if clean(s.AutoReply.Subject, d.cfg.Limits.Subject+1) != strings.TrimSpace(s.AutoReply.Subject) {
		return badField("settings.auto_reply.subject", "must be one line of at most %d characters", d.cfg.Limits.Subject)
	}
	if len(s.AutoReply.Body) > d.cfg.Limits.Text {
		return badField("settings.auto_reply.body", "must have at most %d bytes", d.cfg.Limits.Text)
	}
	if s.AutoReply.On && strings.TrimSpace(s.AutoReply.Body) == "" {
		return badField("settings.auto_reply.body", "must not be empty when auto reply is on")
	}
	for a := range s.Signatures.Agents {
		if _, ok := v.agents[a]; !ok {
			return badField("settings.signatures.agents", "there is no agent %q", a)
		}
	}
	return nil
}

// Disconnect removes a channel. Its conversations stay; what is pending on it
// stays pending and can be cancelled. Error: ErrNotFound.
func (d *Desk) Disconnect(ctx context.Context, id channel.ID) error {
	refs := []RecordRef{channelRef(id), {recordState, string(id)}, probeRef(id)}
	_, err := d.decide(ctx, Actor{Kind: ActorHost}, func() Want { return Want{Records: refs} }, func(u *unit) error {
		rec := u.snap.Records[refs[0]]
		if rec == nil {
			return fmt.Errorf("channel %q: %w", id, ErrNotFound)
		}
		var saved savedChannel
		if err := json.Unmarshal(rec.Doc, &saved); err != nil {
			return fmt.Errorf("ticket: read channel: %w", err)
		}
		u.release(NewKey("address", strings.ToLower(saved.Address)))
		u.dropRecord(refs[0])
		u.dropRecord(refs[1])
		u.dropRecord(refs[2])
		u.event(Event{Type: EventChannelDeleted, Channel: id})
		return nil
	})
	if err != nil {
		return err
	}
	return d.Refresh(ctx)
}

// Channels lists the channels in the order they were connected.
func (d *Desk) Channels(ctx context.Context) ([]*Channel, error) {
	if err := d.Refresh(ctx); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	out := make([]*Channel, 0, len(d.channels))
	for _, o := range d.channels {
		out = append(out, d.describe(o))
	}
	slices.SortFunc(out, func(a, b *Channel) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	return out, nil
}

// Channel returns one channel. Error: ErrNotFound.
func (d *Desk) Channel(ctx context.Context, id channel.ID) (*Channel, error) {
	if err := d.Refresh(ctx); err != nil {
		return nil, err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	o, ok := d.channels[id]
	if !ok {
		return nil, fmt.Errorf("channel %q: %w", id, ErrNotFound)
	}
	return d.describe(o), nil
}

// describe returns o as it is listed. d.mu is held.
func (d *Desk) describe(o *opened) *Channel {
	c := &Channel{
		Info: o.info(), CreatedAt: o.saved.CreatedAt, Settings: o.saved.Settings, Status: d.statusOf(o),
		Config: slices.Clone(o.saved.Config), ReceivesVia: o.saved.ReceivesVia,
	}
	if o.saved.Settings.Inactive {
		c.Status.State = channel.StateInactive
	}
	c.CanStart = c.CanStart && !o.saved.Settings.NoWriteFirst
	if via := d.channels[o.saved.ReceivesVia]; via != nil && o.saved.ForwardToken != "" {
		if f, ok := via.ch.(channel.Forwardee); ok {
			c.ForwardAddress = f.ForwardAddress(o.saved.ForwardToken)
		}
	}
	return c
}
