package ticket

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"time"
)

const (
	recordWebhook       RecordKind = "webhook"
	recordWebhookCursor RecordKind = "webhook_cursor"
)

// Webhook is an URL of the host's that is told of events: at least once, in the
// order of the feed, from the moment the webhook was added.
//
// Each event is one POST of its JSON, signed as the Standard Webhooks
// specification says (https://www.standardwebhooks.com): webhook-id is the
// event's id and the same on every try, webhook-timestamp the time of the try
// in Unix seconds, webhook-signature "v1," and the base64 of the
// HMAC-SHA-256 of "id.timestamp.body". A receiver in Go calls [VerifyWebhook];
// other libraries for that specification want the secret as "whsec_" and its
// base64. Any answer but 2xx is tried again, with growing pauses, before any later
// event; 410 switches the webhook off.
type Webhook struct {
	ID  string `json:"id"`
	URL string `json:"url"` // https, or http to this machine
	// Types are the events it wants; empty means all.
	Types    []EventType `json:"types,omitempty"`
	Inactive bool        `json:"inactive,omitempty"`
	// Secret signs; at least 16 bytes. It is kept sealed and not given back.
	Secret []byte `json:"-"`
}

// String returns the webhook's id, without what is secret.
func (h Webhook) String() string { return "ticket.Webhook(" + h.ID + ")" }

// GoString returns the same as String.
func (h Webhook) GoString() string { return h.String() }

// LogValue returns the same as String.
func (h Webhook) LogValue() slog.Value { return slog.StringValue(h.String()) }

type savedWebhook struct {
	Webhook
	Sealed []byte `json:"sealed"`
}

// PutWebhook adds or changes a webhook; an empty secret keeps the saved one.
// It needs Config.Key. A bad value is a *channel.FieldError.
func (d *Desk) PutWebhook(ctx context.Context, h Webhook) error {
	if err := checkID("id", h.ID); err != nil {
		return err
	}
	u, err := url.Parse(h.URL)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !isLoopback(u.Hostname())) {
		return badField("url", "must be an https URL without user name, or an http URL of this machine")
	}
	if len(h.Secret) > 0 && len(h.Secret) < 16 {
		return badField("secret", "must have at least 16 bytes")
	}
	if !d.sealer.enabled() {
		return badField("secret", "cannot be kept: set Config.Key, which seals secrets")
	}
	ref, at := RecordRef{recordWebhook, h.ID}, RecordRef{recordWebhookCursor, h.ID}
	last, err := d.LastCursor(ctx)
	if err != nil {
		return err
	}
	_, err = d.decide(ctx, Actor{Kind: ActorHost}, func() Want { return Want{Records: []RecordRef{ref, at}} }, func(u *unit) error {
		saved := savedWebhook{Webhook: h}
		if old := u.snap.Records[ref]; old != nil {
			var was savedWebhook
			if err := json.Unmarshal(old.Doc, &was); err != nil {
				return fmt.Errorf("ticket: read webhook: %w", err)
			}
			saved.Sealed = was.Sealed
		}
		if len(h.Secret) > 0 {
			sealed, err := d.sealer.seal(h.Secret, sealedWebhook(h.ID))
			if err != nil {
				return err
			}
			saved.Sealed = sealed
		}
		if saved.Sealed == nil {
			return badField("secret", "must not be empty")
		}
		if u.snap.Records[at] == nil {
			if err := u.putRecord(at, last); err != nil {
				return err
			}
		}
		return u.putRecord(ref, saved)
	})
	d.hooks.broadcast()
	return err
}

// DeleteWebhook removes a webhook. Error: ErrNotFound.
func (d *Desk) DeleteWebhook(ctx context.Context, id string) error {
	ref, at := RecordRef{recordWebhook, id}, RecordRef{recordWebhookCursor, id}
	_, err := d.decide(ctx, Actor{Kind: ActorHost}, func() Want { return Want{Records: []RecordRef{ref, at}} }, func(u *unit) error {
		if u.snap.Records[ref] == nil {
			return fmt.Errorf("webhook %q: %w", id, ErrNotFound)
		}
		u.dropRecord(ref)
		u.dropRecord(at)
		return nil
	})
	d.hooks.broadcast()
	return err
}

// WebhookStatus is a webhook and how far it has come.
type WebhookStatus struct {
	Webhook
	Cursor int64 // of the last event that was taken
}

// Webhooks lists the webhooks by id, without their secrets.
func (d *Desk) Webhooks(ctx context.Context) ([]WebhookStatus, error) {
	snap, err := d.store.Snapshot(ctx, Want{Kinds: []RecordKind{recordWebhook, recordWebhookCursor}})
	if err != nil {
		return nil, fmt.Errorf("ticket: read webhooks: %w", err)
	}
	hooks, err := decodeRecords[savedWebhook](snap, recordWebhook)
	if err != nil {
		return nil, err
	}
	out := make([]WebhookStatus, 0, len(hooks))
	for _, h := range hooks {
		s := WebhookStatus{Webhook: h.Webhook}
		if rec := snap.Records[RecordRef{recordWebhookCursor, h.ID}]; rec != nil {
			if err := json.Unmarshal(rec.Doc, &s.Cursor); err != nil {
				return nil, fmt.Errorf("ticket: read webhook cursor: %w", err)
			}
		}
		out = append(out, s)
	}
	slices.SortFunc(out, func(a, b WebhookStatus) int { return cmp.Compare(a.ID, b.ID) })
	return out, nil
}

func isLoopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// runWebhooks tells each webhook of its events, on one node at a time, until
// ctx ends.
func (d *Desk) runWebhooks(ctx context.Context) {
	type tries struct {
		n    int
		next time.Time
	}
	failed := map[string]tries{}
	for ctx.Err() == nil {
		changed, more := d.hooks.wait(), d.feed.wait()
		wait := d.cfg.Timing.Poll
		snap, err := d.store.Snapshot(ctx, Want{Kinds: []RecordKind{recordWebhook}})
		var hooks []savedWebhook
		if err == nil {
			hooks, err = decodeRecords[savedWebhook](snap, recordWebhook)
		}
		if err != nil && ctx.Err() == nil {
			d.log.Warn("read webhooks", slog.Any("error", err))
		}
		for _, h := range hooks {
			if h.Inactive {
				continue
			}
			f := failed[h.ID]
			if left := f.next.Sub(d.now()); left > 0 {
				wait = min(wait, left)
				continue
			}
			if err := d.tellWebhook(ctx, h); err != nil && ctx.Err() == nil {
				f.n++
				pause := backoff(f.n, time.Second, time.Hour)
				f.next = d.now().Add(pause)
				failed[h.ID] = f
				wait = min(wait, pause)
				d.log.Warn("webhook", "webhook", h.ID, "tries", f.n, slog.Any("error", err))
				continue
			}
			delete(failed, h.ID)
		}
		if len(hooks) == 0 {
			more = nil // nobody to tell
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
		case <-changed:
		case <-more:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// tellWebhook posts the events that a webhook has not taken yet.
func (d *Desk) tellWebhook(ctx context.Context, h savedWebhook) error {
	name := "webhook:" + h.ID // of the lease
	held, err := d.store.Lease(ctx, name, d.cfg.Node, d.now(), d.now().Add(d.cfg.Timing.Lease))
	if err != nil || !held {
		return err
	}
	defer func() { _, _ = d.store.Lease(context.WithoutCancel(ctx), name, d.cfg.Node, d.now(), d.now()) }()
	secret, err := d.sealer.open(h.Sealed, sealedWebhook(h.ID))
	if err != nil {
		return err
	}
	at := RecordRef{recordWebhookCursor, h.ID}
	for ctx.Err() == nil {
		snap, err := d.store.Snapshot(ctx, Want{Records: []RecordRef{at}})
		if err != nil {
			return fmt.Errorf("ticket: read webhook cursor: %w", err)
		}
		rec := snap.Records[at]
		if rec == nil {
			return nil // deleted meanwhile
		}
		var cursor int64
		if err := json.Unmarshal(rec.Doc, &cursor); err != nil {
			return fmt.Errorf("ticket: read webhook cursor: %w", err)
		}
		events, err := d.store.Events(ctx, EventFilter{After: cursor}, 100)
		if err != nil {
			return fmt.Errorf("ticket: read events: %w", err)
		}
		if len(events) == 0 {
			return nil
		}
		// What was taken is noted even if a later event fails.
		var failure error
		for _, e := range events {
			if len(h.Types) == 0 || slices.Contains(h.Types, e.Type) {
				if ok, err := d.store.Lease(ctx, name, d.cfg.Node, d.now(), d.now().Add(d.cfg.Timing.Lease)); err != nil || !ok {
					failure = errors.Join(errors.New("ticket: the webhook's lease was lost"), err)
					break
				}
				if failure = d.post(ctx, h, secret, e); failure != nil {
					break
				}
			}
			cursor = e.Cursor
		}
		doc, err := json.Marshal(cursor)
		if err != nil {
			return fmt.Errorf("ticket: write webhook cursor: %w", err)
		}
		err = d.commit(ctx, &Changes{At: d.now(), Records: []*Record{{Kind: at.Kind, ID: at.ID, Doc: doc, Revision: rec.Revision}}})
		if failure != nil {
			return failure
		}
		if err != nil {
			return fmt.Errorf("ticket: write webhook cursor: %w", err)
		}
	}
	return ctx.Err()
}

// post delivers one event.
func (d *Desk) post(ctx context.Context, h savedWebhook, secret []byte, e *Event) error {
	body, err := json.Marshal(e)
	if err != nil {
		return fmt.Errorf("ticket: write event: %w", err)
	}
	ctx, cancel := context.WithTimeout(ctx, min(d.cfg.Timing.Lease/2, 20*time.Second))
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, h.URL, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("ticket: webhook: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	SignWebhook(req.Header, secret, e.ID, d.now(), body)
	resp, err := d.cfg.HTTP.Do(req)
	if err != nil {
		if known, ok := errors.AsType[*url.Error](err); ok {
			err = known.Err // an URL may hold what only its owner should know
		}
		return fmt.Errorf("ticket: webhook: %w", err)
	}
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 64<<10))
	switch {
	case resp.StatusCode/100 == 2:
		return nil
	case resp.StatusCode == http.StatusGone:
		h.Inactive = true
		if err := d.putConfig(ctx, RecordRef{recordWebhook, h.ID}, h, func(*unit) error { return nil }); err != nil {
			return err
		}
	}
	return fmt.Errorf("ticket: webhook answered %d", resp.StatusCode)
}
