package ticket

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// maxEnsureTries is how often Ensure begins anew, within some two seconds, when the
// channel that it found is not saved: disconnected at the same time, or opened by
// another call of this process, which is about to save it.
const maxEnsureTries = 8

// Ensure connects a channel, or, when one of its kind has its address already,
// makes that one as it is asked for. It is for channels that stand in a program
// or a file: a host calls it whenever it starts, on every node. What is that way
// already is left alone.
//
// The settings are replaced by s, and the configuration by cfg. As with Update, a
// name or credentials that cfg does not have stay; those that it has replace what
// the channel may have renewed by itself, such as the token of a login.
//
// Errors: those of Connect and of Update.
func (d *Desk) Ensure(ctx context.Context, cfg channel.Config, s Settings) (*Channel, error) {
	for try := 1; ; try++ {
		ch, err := d.Connect(ctx, cfg, s)
		var taken *channel.FieldError
		if !errors.As(err, &taken) || taken.Owner == "" {
			return ch, err
		}
		same, kind, kerr := d.compare(ctx, taken.Owner, cfg, s)
		switch {
		case kerr == nil && !kind:
			return nil, err
		case kerr == nil && same:
			ch, kerr = d.Channel(ctx, taken.Owner)
		case kerr == nil:
			ch, kerr = d.Update(ctx, taken.Owner, ChannelPatch{Settings: &s, Config: cfg})
		}
		if !errors.Is(kerr, ErrNotFound) {
			return ch, kerr
		}
		if try == maxEnsureTries {
			return nil, err
		}
		if err := sleep(ctx, backoff(try, 20*time.Millisecond, time.Second)); err != nil {
			return nil, err
		}
	}
}

// compare says whether a saved channel is of the kind of cfg, and whether it is
// what cfg and s ask for.
func (d *Desk) compare(ctx context.Context, id channel.ID, cfg channel.Config, s Settings) (same, kind bool, err error) {
	want, err := cfg.Account()
	if err != nil {
		return false, false, err
	}
	snap, err := d.store.Snapshot(ctx, Want{Records: []RecordRef{channelRef(id)}})
	if err != nil {
		return false, false, fmt.Errorf("ticket: read channel: %w", err)
	}
	list, err := savedChannels(snap)
	if err != nil {
		return false, false, err
	}
	if len(list) == 0 {
		return false, false, fmt.Errorf("channel %q: %w", id, ErrNotFound)
	}
	saved := list[0]
	have, err := d.account(saved)
	if err != nil {
		return false, false, err
	}
	same = (want.Name == "" || want.Name == have.Name) && want.ReceivesVia == have.ReceivesVia && sameJSON(want.Config, have.Config) &&
		(want.Credentials.Empty() || maps.Equal(want.Credentials.Reveal(), have.Credentials.Reveal())) && sameSettings(s, saved.Settings)
	return same, want.Kind == have.Kind, nil
}

// sameJSON compares what the documents hold, since a store may write them anew.
func sameJSON(a, b json.RawMessage) bool {
	var x, y any
	return bytes.Equal(a, b) || json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && reflect.DeepEqual(x, y)
}

func sameSettings(a, b Settings) bool {
	x, xerr := json.Marshal(a)
	y, yerr := json.Marshal(b)
	return xerr == nil && yerr == nil && bytes.Equal(x, y)
}
