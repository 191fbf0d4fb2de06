package ticket

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"slices"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
)

// Refresh reads the configuration again: channels, queues and agents that
// another node may have changed. It opens, reopens and closes channels
// accordingly.
func (d *Desk) Refresh(ctx context.Context) error {
	d.refreshing.Lock()
	defer d.refreshing.Unlock()
	snap, err := d.store.Snapshot(ctx, Want{Kinds: []RecordKind{recordChannel, recordQueue, recordAgent, recordMove}})
	if err != nil {
		return fmt.Errorf("ticket: read configuration: %w", err)
	}
	if err := d.noticeMove(snap); err != nil {
		return err
	}
	v := &deskView{
		channels: map[channel.ID]*channelView{},
		queues:   map[routing.QueueID]routing.Queue{},
		agents:   map[routing.AgentID]routing.Agent{},
	}
	qs, err := decodeRecords[routing.Queue](snap, recordQueue)
	if err != nil {
		return err
	}
	for _, q := range qs {
		v.queues[q.ID] = q
	}
	as, err := decodeRecords[routing.Agent](snap, recordAgent)
	if err != nil {
		return err
	}
	for _, a := range as {
		v.agents[a.ID] = a
	}
	saved, err := savedChannels(snap)
	if err != nil {
		return err
	}
	d.openChannels(ctx, saved)
	d.mu.Lock()
	open := slices.Collect(maps.Values(d.channels))
	for id, o := range d.channels {
		_, sends := o.ch.(channel.Sender)
		_, files := o.ch.(channel.Filer)
		window, _ := o.ch.(channel.Windowed)
		v.channels[id] = &channelView{info: o.info(), settings: o.saved.Settings, via: o.saved.ReceivesVia, sends: sends, files: files, window: window}
	}
	d.mu.Unlock()
	// What a channel delivers at once must find the channel known.
	d.viewed.Store(v)
	for _, o := range open {
		d.startOrStop(o)
	}
	return nil
}

// openChannels makes the opened channels those that are saved. Hosted mailboxes
// learn of the accounts that are paired with them. d.refreshing is held.
func (d *Desk) openChannels(ctx context.Context, saved []savedChannel) {
	forwards := map[channel.ID][]channel.Forward{}
	ids := map[channel.ID]bool{}
	slices.SortFunc(saved, func(a, b savedChannel) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), cmp.Compare(a.ID, b.ID))
	})
	for _, s := range saved {
		ids[s.ID] = true
		if s.ReceivesVia != "" && s.ForwardToken != "" {
			forwards[s.ReceivesVia] = append(forwards[s.ReceivesVia],
				channel.Forward{Channel: s.ID, Address: s.Address, Token: s.ForwardToken})
		}
	}
	d.mu.Lock()
	known := maps.Clone(d.channels)
	d.mu.Unlock()
	for id, o := range known {
		if !ids[id] {
			d.mu.Lock()
			delete(d.channels, id)
			o.stop()
			d.mu.Unlock()
			if c, ok := o.ch.(io.Closer); ok {
				_ = c.Close()
			}
		}
	}
	for _, s := range saved {
		d.openChannel(ctx, s, forwards[s.ID], known[s.ID])
	}
}

// formOf tells apart what a channel is opened with. It holds a digest of the
// secrets: how they are sealed is all the same to the channel. nil if there is
// none.
func formOf(s savedChannel, c channel.Credentials, forwards []channel.Forward) []byte {
	form, err := json.Marshal(struct {
		K channel.Kind
		N string
		C json.RawMessage
		S []byte
		V channel.ID
		F []channel.Forward
	}{s.Kind, s.Name, s.Config, digestOf(c), s.ReceivesVia, forwards})
	if err != nil {
		return nil
	}
	return form
}

// stays reports whether a channel is open in a form, and then notes how it is
// saved now. What was read before the channel renewed its credentials is old, and
// the channel stays as it is.
func (d *Desk) stays(old *opened, s savedChannel, form []byte) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if old != nil && old.openErr == nil && s.revision < old.saved.revision {
		return true
	}
	if old == nil || old.openErr != nil || !bytes.Equal(old.form, form) {
		return false
	}
	old.saved = s
	return true
}

// openChannel opens a saved channel unless it is open in the same form.
func (d *Desk) openChannel(ctx context.Context, s savedChannel, forwards []channel.Forward, old *opened) {
	acct, err := d.account(s)
	form := formOf(s, acct.Credentials, forwards)
	if err == nil && form != nil && d.stays(old, s, form) {
		return
	}
	o := &opened{saved: s, form: form, forwards: forwards, opening: &opening{secrets: digestOf(acct.Credentials)}, status: channel.Status{State: channel.StateConnecting, Since: d.now()}}
	if err == nil {
		acct.Forwards = forwards
		if conn, ok := d.connectors[s.Kind]; ok {
			o.ch, err = conn.Open(ctx, acct, d.env(s.ID, o.opening))
		} else {
			err = fmt.Errorf("ticket: there is no connector for %q", s.Kind)
		}
	}
	if err != nil {
		d.log.Error("open channel", "channel", s.ID, "kind", s.Kind, slog.Any("error", err))
		o.openErr, o.ch = err, nil
		o.status.State, o.status.Reason = channel.StateDegraded, err.Error()
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.channels[s.ID] = o
	if old == nil {
		return
	}
	if o.openErr == nil && old.openErr == nil {
		o.status, o.told = old.status, old.told
	}
	_, receives := o.ch.(channel.Receiver)
	if receives && old.receiving != nil && !o.ch.Info().Exclusive {
		o.replaces = old // stopped when the new one has begun
		if old.sending != nil {
			old.sending()
		}
		return
	}
	o.received = old.received // the old Receive ends before the new begins
	old.stop()
}
