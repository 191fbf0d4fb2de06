package graphtest

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Event is one event of a Page on its way to the app.
type Event struct {
	Page   string
	Field  string         // the webhook field that it comes by
	Source string         // messaging, standby or changes
	Body   map[string]any // the event; of a change its value
	At     time.Time

	next    time.Time
	failing time.Time // since when
	tries   int
}

// callback is where the app takes events.
type callback struct {
	handler http.Handler
	url     string
	client  *http.Client
}

// Subscribe sets the app's callback, with all fields, after the verification
// (ref 2.1, D). The handler is called in memory.
func (g *Graph) Subscribe(webhook http.Handler, verifyToken string) error {
	return g.subscribe(&callback{handler: webhook, url: "https://app.example/webhooks/facebook"}, verifyToken, allFields)
}

// SubscribeURL is Subscribe for a callback with an address.
func (g *Graph) SubscribeURL(callbackURL, verifyToken string) error {
	return g.subscribe(&callback{url: callbackURL, client: http.DefaultClient}, verifyToken, allFields)
}

func (g *Graph) subscribe(cb *callback, verifyToken string, fields []string) error {
	g.mu.Lock()
	challenge := g.id()
	g.mu.Unlock()
	q := url.Values{"hub.mode": {"subscribe"}, "hub.challenge": {challenge}, "hub.verify_token": {verifyToken}}
	status, body, err := cb.do(context.Background(), http.MethodGet, q, nil, "")
	if err != nil {
		return err
	}
	if status != http.StatusOK || string(body) != challenge {
		return fmt.Errorf("graphtest: the callback answered %d to the verification", status)
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.callback, g.fields = cb, fields
	return nil
}

// SetAppFields sets the fields subscribed at app level.
func (g *Graph) SetAppFields(fields ...string) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fields = fields
}

func (cb *callback) do(ctx context.Context, method string, q url.Values, body []byte, signature string) (int, []byte, error) {
	u := cb.url
	if len(q) > 0 {
		u += "?" + q.Encode()
	}
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second) // ref 2.3, D
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, method, u, bytes.NewReader(body))
	if err != nil {
		return 0, nil, fmt.Errorf("graphtest: call webhook: %w", err)
	}
	if method == http.MethodPost {
		req.Header.Set("Content-Type", "application/json")
	}
	if signature != "" {
		req.Header.Set("X-Hub-Signature-256", signature)
	}
	if cb.handler != nil {
		w := httptest.NewRecorder()
		cb.handler.ServeHTTP(w, req)
		return w.Code, w.Body.Bytes(), nil
	}
	resp, err := cb.client.Do(req)
	if err != nil {
		return 0, nil, fmt.Errorf("graphtest: call webhook: %w", err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	return resp.StatusCode, answer, err
}

// enqueue queues an event, if the app is subscribed to it at both levels (ref
// 2.3, D).
func (g *Graph) enqueue(page, field, source string, body object) {
	p := g.pages[page]
	if p == nil || !slices.Contains(p.subscribed, field) || !slices.Contains(g.fields, field) {
		return
	}
	g.queue = append(g.queue, &Event{Page: page, Field: field, Source: source, Body: body, At: g.now(), next: g.now()})
	g.notify()
}

// Take takes the queued events out of the queue.
func (g *Graph) Take() []*Event {
	g.mu.Lock()
	defer g.mu.Unlock()
	q := g.queue
	g.queue = nil
	return q
}

// Pending returns how many events are queued.
func (g *Graph) Pending() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return len(g.queue)
}

// Posts returns how many POSTs the app was sent.
func (g *Graph) Posts() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.posts
}

// Body returns the body of one POST with the events: an entry for each run of
// events of one Page and source (ref 2.3, D).
func (g *Graph) Body(events ...*Event) []byte {
	var entries []object
	var last *Event
	for _, e := range events {
		body := any(e.Body)
		if e.Source == "changes" {
			body = object{"field": e.Field, "value": e.Body}
		}
		sent := any(g.now().UnixMilli())
		if e.Source == "changes" {
			sent = g.now().Unix()
		}
		if last != nil && last.Page == e.Page && last.Source == e.Source && e.Source == "changes" {
			n := len(entries) - 1
			list, _ := entries[n][e.Source].([]any)
			entries[n][e.Source] = append(list, body)
		} else {
			entries = append(entries, object{"id": g.num(e.Page), "time": sent, e.Source: []any{body}})
		}
		last = e
	}
	return Escape(object{"object": "page", "entry": entries})
}

// Sign returns the signature of a body (ref 2.2, D).
func (g *Graph) Sign(body []byte) string {
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// Post sends a body, signed, and returns the status of the answer.
func (g *Graph) Post(ctx context.Context, body []byte) (int, error) {
	return g.PostSigned(ctx, body, g.Sign(body))
}

// PostSigned sends a body with any signature.
func (g *Graph) PostSigned(ctx context.Context, body []byte, signature string) (int, error) {
	g.mu.Lock()
	cb := g.callback
	g.posts++
	g.mu.Unlock()
	if cb == nil {
		return 0, errors.New("graphtest: the app has no callback")
	}
	status, _, err := cb.do(ctx, http.MethodPost, nil, body, signature)
	return status, err
}

// Deliver delivers what is due of the queue, in order. It returns an error if
// something was not taken; that stays queued, and is tried again later.
func (g *Graph) Deliver(ctx context.Context) error {
	var failed error
	for {
		g.mu.Lock()
		now := g.now()
		var batch []*Event
		var rest []*Event
		for _, e := range g.queue {
			if len(batch) < g.opts.Batch && !e.next.After(now) {
				batch = append(batch, e)
			} else {
				rest = append(rest, e)
			}
		}
		g.queue = rest
		g.mu.Unlock()
		if len(batch) == 0 {
			return failed
		}
		status, err := g.Post(ctx, g.Body(batch...))
		if err == nil && status == http.StatusOK {
			continue
		}
		if err == nil {
			err = fmt.Errorf("graphtest: the webhook answered %d", status)
		}
		failed = err
		g.mu.Lock()
		g.retry(batch)
		g.mu.Unlock()
	}
}

// retry puts failed events back, or gives up: after an hour the app is
// unsubscribed from the Page, or after 36 the event is dropped (ref 2.3, D,
// contradictory).
func (g *Graph) retry(batch []*Event) {
	now := g.now()
	for _, e := range batch {
		if e.failing.IsZero() {
			e.failing = now
		}
		e.tries++
		age := now.Sub(e.failing)
		if g.opts.Doubts.LongRetry && age >= 36*time.Hour {
			continue
		}
		if !g.opts.Doubts.LongRetry && age >= time.Hour {
			g.pages[e.Page].subscribed = nil
			continue
		}
		e.next = now.Add(min(time.Second<<min(e.tries, 12), time.Hour))
		g.queue = append(g.queue, e)
	}
}

// Run delivers events as they come, and retries, until ctx ends.
func (g *Graph) Run(ctx context.Context) {
	for ctx.Err() == nil {
		_ = g.Deliver(ctx) // what failed is tried again
		g.mu.Lock()
		wait := time.Hour
		for _, e := range g.queue {
			wait = min(wait, e.next.Sub(g.now()))
		}
		g.mu.Unlock()
		timer := time.NewTimer(max(wait, time.Millisecond))
		select {
		case <-ctx.Done():
		case <-g.wake:
		case <-timer.C:
		}
		timer.Stop()
	}
}

// num is an id as it stands in payloads.
func (g *Graph) num(id string) any {
	if g.opts.Doubts.NumericIDs {
		if n, err := strconv.ParseInt(id, 10, 64); err == nil {
			return n
		}
	}
	return id
}

// millis is a time as messaging events have it.
func (g *Graph) millis(t time.Time) int64 {
	if g.opts.Doubts.SecondsInMessaging {
		return t.Unix()
	}
	return t.UnixMilli()
}

// Escape writes JSON as Facebook signs it: what is not ASCII as \u with small
// hex digits, and / as \/ (ref 2.2, D and O).
func Escape(v any) []byte {
	var plain bytes.Buffer
	enc := json.NewEncoder(&plain)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic("graphtest: encode event: " + err.Error())
	}
	var out strings.Builder
	src := bytes.TrimSpace(plain.Bytes())
	for len(src) > 0 {
		r, n := utf8.DecodeRune(src)
		switch {
		case r == '/':
			out.WriteString(`\/`)
		case r < utf8.RuneSelf:
			out.WriteByte(byte(r))
		default:
			for _, u := range utf16.Encode([]rune{r}) {
				fmt.Fprintf(&out, `\u%04x`, u)
			}
		}
		src = src[n:]
	}
	return []byte(out.String())
}
