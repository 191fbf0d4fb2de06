package ticket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/anteroom/anteroom/channel"
)

// What a secret is sealed for: it opens for nothing else.
const sealedKeyRing = "keyring"

func sealedCredentials(id channel.ID) string { return "credentials:" + string(id) }

func sealedWebhook(id string) string { return "webhook:" + id }

// Reseal seals everything with Config.Key that one of Config.OldKeys sealed, in
// one commit, and returns how much that was. Nothing is opened anew for it.
//
// A key is replaced in three steps, each finished on every node of the portal
// before the next begins:
//
//  1. add the new key to OldKeys, so that each node can open what it seals;
//  2. make it Key, put the old one into OldKeys, and call Reseal once;
//  3. when it returned nil, remove the old key.
//
// With one node the first step can be left out. What is in backups still needs
// the old key. Errors: ErrWrongKey, naming what no key opens; the store's.
func (d *Desk) Reseal(ctx context.Context) (int, error) {
	n := 0
	if !d.sealer.enabled() {
		return 0, nil
	}
	_, err := d.decide(ctx, Actor{Kind: ActorHost}, func() Want {
		return Want{Kinds: []RecordKind{recordKeyRing, recordChannel, recordWebhook}}
	}, func(u *unit) error {
		n = 0
		for ref, rec := range u.snap.Records {
			changed, err := d.resealRecord(u, ref, rec)
			if err != nil {
				return fmt.Errorf("%s %q: %w", ref.Kind, ref.ID, err)
			}
			if changed {
				n++
			}
		}
		if n == 0 {
			return errNothing
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	return n, nil
}

// resealRecord reports whether a record's secret had to be sealed anew.
func (d *Desk) resealRecord(u *unit, ref RecordRef, rec *Record) (changed bool, err error) {
	again := func(sealed *[]byte, purpose string) {
		if len(*sealed) == 0 {
			return
		}
		plain, current, openErr := d.sealer.openBy(*sealed, purpose)
		if openErr != nil || current {
			err = openErr
			return
		}
		*sealed, err = d.sealer.seal(plain, purpose)
		changed = err == nil
	}
	var doc any
	switch ref.Kind {
	case recordKeyRing:
		var s savedKeyRing
		if err := json.Unmarshal(rec.Doc, &s); err != nil {
			return false, errors.New("ticket: read key ring")
		}
		if again(&s.Sealed, sealedKeyRing); s.Sealed == nil && s.Plain != nil {
			return true, d.putKeyRing(u, *s.Plain)
		}
		doc = &s
	case recordChannel:
		var s savedChannel
		if err := json.Unmarshal(rec.Doc, &s); err != nil {
			return false, errors.New("ticket: read channel")
		}
		again(&s.Sealed, sealedCredentials(s.ID))
		doc = &s
	case recordWebhook:
		var s savedWebhook
		if err := json.Unmarshal(rec.Doc, &s); err != nil {
			return false, errors.New("ticket: read webhook")
		}
		again(&s.Sealed, sealedWebhook(s.ID))
		doc = &s
	}
	if err != nil || !changed {
		return false, err
	}
	return true, u.putRecord(ref, doc)
}
