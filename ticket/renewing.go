package ticket

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"

	"github.com/anteroom/anteroom/channel"
)

// digestOf is a digest of secrets, by which it is seen whether they are the same,
// however they are sealed. nil if there is none.
func digestOf(c channel.Credentials) []byte {
	secrets, err := json.Marshal(c.Reveal())
	if err != nil {
		return nil // strings marshal
	}
	sum := sha256.Sum256(secrets)
	return sum[:]
}

// renew keeps credentials that a channel has renewed. The opening that renewed
// them goes on; those of other nodes are opened anew. An opening whose own are not
// those that are saved any more, since an admin or another node has renewed them, is
// refused with ErrConflict, and opened anew: what it has may be of an older grant.
func (d *Desk) renew(ctx context.Context, id channel.ID, op *opening, c channel.Credentials) error {
	sealed, err := d.sealCredentials(id, c)
	if err != nil {
		return err
	}
	d.mu.Lock()
	had := op.secrets
	d.mu.Unlock()
	ref, next := channelRef(id), digestOf(c)
	u, err := d.decide(ctx, Actor{Kind: ActorSystem}, func() Want { return Want{Records: []RecordRef{ref}} }, func(u *unit) error {
		saved, err := savedChannels(u.snap)
		if err != nil {
			return err
		}
		if len(saved) == 0 {
			return fmt.Errorf("channel %q: %w", id, ErrNotFound)
		}
		acct, err := d.account(saved[0])
		if err != nil {
			return err
		}
		switch now := digestOf(acct.Credentials); {
		case had == nil || bytes.Equal(now, had):
		case bytes.Equal(now, next):
			return errNothing // another node was first to learn the same
		default:
			return fmt.Errorf("ticket: the credentials of channel %q were renewed elsewhere: %w", id, ErrConflict)
		}
		saved[0].Sealed = sealed
		return u.putRecord(ref, saved[0])
	})
	if err != nil {
		d.hinted(Hint{Kinds: []RecordKind{recordChannel}})
		return err
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if op.secrets != nil {
		op.secrets = next
	}
	if o := d.channels[id]; o != nil && o.opening == op && o.form != nil && len(u.c.Records) > 0 {
		o.saved.Sealed, o.saved.revision = sealed, u.c.Records[0].Revision
		o.form = formOf(o.saved, c, o.forwards)
	}
	return nil
}
