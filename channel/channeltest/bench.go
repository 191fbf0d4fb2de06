package channeltest

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// bench is what one check works with: a harness, the environment of its
// channel, and all that the channel wrote.
type bench struct {
	testing.TB
	h        Harness
	ctx      context.Context
	patience time.Duration

	mu      sync.Mutex
	state   []byte
	status  []channel.Status
	news    chan struct{} // closed and replaced at each report
	written []writing
}

// writing is text that a channel let out, and where.
type writing struct{ where, text string }

func newBench(t testing.TB, start func(t testing.TB) Harness) *bench {
	t.Helper()
	b := &bench{TB: t, h: start(t), patience: 10 * time.Second, news: make(chan struct{})}
	if b.h.Patience > 0 {
		b.patience = b.h.Patience
	}
	if b.h.Connector == nil {
		t.Fatal("the harness has no Connector")
	}
	if b.h.Account.ID == "" {
		b.h.Account.ID = "channel-under-test"
	}
	ctx, cancel := context.WithCancel(context.Background())
	b.ctx = ctx
	t.Cleanup(cancel)
	if a, ok := b.h.Connector.(channel.Attacher); ok {
		t.Cleanup(a.Attach("portal", func(context.Context) error { return nil }))
	}
	t.Cleanup(b.findSecrets)
	return b
}

// open opens the account, with the state that earlier openings saved.
func (b *bench) open() channel.Channel {
	b.Helper()
	ch, err := b.h.Connector.Open(b.ctx, b.h.Account, b.env())
	if err != nil {
		b.noteError("an error of Open", err)
		b.Fatalf("Open: %v", err)
	}
	return ch
}

func (b *bench) env() channel.Env {
	return channel.Env{
		Portal: "portal",
		Log:    slog.New(slog.NewJSONHandler((*logWriter)(b), &slog.HandlerOptions{Level: slog.LevelDebug - 4})),
		Now:    time.Now,
		Report: func(s channel.Status) {
			b.note("a status report", s.Reason)
			b.mu.Lock()
			defer b.mu.Unlock()
			b.status = append(b.status, s)
			close(b.news)
			b.news = make(chan struct{})
		},
		LoadState: func(context.Context) ([]byte, error) {
			b.mu.Lock()
			defer b.mu.Unlock()
			return bytes.Clone(b.state), nil
		},
		SaveState: func(_ context.Context, state []byte) error {
			b.note("the saved state", string(state))
			b.mu.Lock()
			defer b.mu.Unlock()
			b.state = bytes.Clone(state)
			return nil
		},
		SaveCredentials: func(context.Context, channel.Credentials) error { return nil },
		Dial:            new(net.Dialer).DialContext,
	}
}

// receiver opens the channel as a receiver, or skips the check.
func (b *bench) receiver() channel.Receiver {
	b.Helper()
	r, ok := b.open().(channel.Receiver)
	if !ok {
		b.Skip("the channel does not receive")
	}
	if b.h.Deliver == nil && b.h.Put == nil {
		b.Fatal("the channel receives: the harness must have Deliver or Put")
	}
	return r
}

// receive runs Receive. stop ends it and returns once it has ended; it is also
// called at the end of the check.
func (b *bench) receive(r channel.Receiver, sink channel.Sink) (stop func()) {
	b.Helper()
	cancel, wait := b.receiveAsync(r, sink)
	stop = func() { b.Helper(); cancel(); wait() }
	b.Cleanup(stop)
	return stop
}

// receiveAsync is receive with the two halves of stop apart.
func (b *bench) receiveAsync(r channel.Receiver, sink channel.Sink) (cancel, wait func()) {
	ctx, cancel := context.WithCancel(b.ctx)
	done := make(chan error, 1)
	go func() { done <- r.Receive(ctx, sink) }()
	var once sync.Once
	return cancel, func() {
		b.Helper()
		once.Do(func() {
			select {
			case err := <-done:
				b.noteError("an error of Receive", err)
				if err != nil {
					b.Errorf("Receive returned %v; it must return nil when its context ends", err)
				}
			case <-time.After(b.patience):
				b.Errorf("Receive did not return within %v after its context had ended", b.patience)
			}
		})
	}
}

// deliver lets the source deliver thing n once; nil means acknowledged.
func (b *bench) deliver(n int) error {
	ctx, cancel := context.WithTimeout(b.ctx, b.patience)
	defer cancel()
	return b.h.Deliver(ctx, n)
}

// take has thing n taken, delivering again as a source does.
func (b *bench) take(sink *probe, n int) {
	b.Helper()
	if b.h.Put != nil {
		b.put(n)
		return
	}
	b.eventually(fmt.Sprintf("the delivery of thing %d was not acknowledged", n), func() error {
		before := sink.accepted()
		err := b.deliver(n)
		if err == nil && sink.accepted() == before {
			b.Fatalf("thing %d was acknowledged, but the sink has not accepted it", n)
		}
		return err
	})
}

func (b *bench) put(n int) {
	b.Helper()
	if err := b.h.Put(b.ctx, n); err != nil {
		b.Fatalf("Put(%d): %v", n, err)
	}
}

// eventually tries until there is no error.
func (b *bench) eventually(otherwise string, try func() error) {
	b.Helper()
	if err := b.retry(try); err != nil {
		b.Fatalf("%s within %v; last: %v", otherwise, b.patience, err)
	}
}

// retry tries until there is no error or patience ends, at growing distances,
// so that it stays below the limits that servers set on what comes at once.
func (b *bench) retry(try func() error) error {
	deadline := time.Now().Add(b.patience)
	for pause := 2 * time.Millisecond; ; pause = min(2*pause, 200*time.Millisecond) {
		err := try()
		if err == nil || time.Now().After(deadline) {
			return err
		}
		time.Sleep(pause)
	}
}

// within fails the check unless do returns in time.
func (b *bench) within(what string, do func()) {
	b.Helper()
	done := make(chan struct{})
	go func() { defer close(done); do() }()
	select {
	case <-done:
	case <-time.After(b.patience):
		b.Fatalf("%s did not return within %v", what, b.patience)
	}
}

// note remembers what the channel wrote.
func (b *bench) note(where, text string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.written = append(b.written, writing{where, text})
}

func (b *bench) noteError(where string, err error) {
	for ; err != nil; err = errors.Unwrap(err) {
		b.note(where, err.Error())
		b.note(where+" (%+v)", fmt.Sprintf("%+v", err))
	}
}

func (b *bench) noteJSON(where string, v any) {
	p, err := json.Marshal(v)
	if err != nil {
		b.Errorf("%s cannot be written as JSON: %v", where, err)
	}
	b.note(where, string(p))
	b.note(where+" (%+v)", fmt.Sprintf("%+v", v))
}

// findSecrets fails the check if anything that was written holds a secret.
func (b *bench) findSecrets() {
	b.Helper()
	b.mu.Lock()
	written := slices.Clone(b.written)
	b.mu.Unlock()
	for name, secret := range b.h.Account.Credentials.Reveal() {
		if len(secret) < 8 {
			continue // would be found by chance
		}
		forms := disguises(secret)
		for _, w := range written {
			if slices.ContainsFunc(forms, func(f string) bool { return strings.Contains(w.text, f) }) {
				b.Errorf("the secret %q is written in %s", name, w.where)
				break
			}
		}
	}
}

// disguises returns the forms in which a secret is usually written: as it is,
// quoted in JSON, and in base64 at each of its three alignments.
func disguises(secret string) []string {
	quoted := strconv.Quote(secret)
	forms := []string{secret, strings.Trim(quoted, `"`)}
	for pad := range 3 {
		enc := base64.RawStdEncoding.EncodeToString([]byte(strings.Repeat("\x00", pad) + secret))
		// What stands at the edges depends on the neighbours.
		from, to := []int{0, 2, 3}[pad], len(enc)
		if (pad+len(secret))%3 != 0 {
			to--
		}
		forms = append(forms, enc[from:to])
	}
	return forms
}

// logWriter takes the channel's log.
type logWriter bench

func (w *logWriter) Write(p []byte) (int, error) {
	(*bench)(w).note("the log", string(p))
	return len(p), nil
}

// probe is the suite's sink: it remembers each call and lets the check decide
// how it ends.
type probe struct {
	RecordingSink
	mu       sync.Mutex
	attempts [][]*channel.Item
	took     int
	// decide, if set, comes before the item is accepted; call counts from 0.
	decide func(ctx context.Context, call int) error
}

// Accept implements [channel.Sink].
func (p *probe) Accept(ctx context.Context, items ...*channel.Item) error {
	p.mu.Lock()
	call := len(p.attempts)
	p.attempts = append(p.attempts, items)
	p.mu.Unlock()
	if p.decide != nil {
		if err := p.decide(ctx, call); err != nil {
			return err
		}
	}
	err := p.RecordingSink.Accept(ctx, items...)
	p.mu.Lock()
	p.took++
	p.mu.Unlock()
	return err
}

// calls returns the items of each call so far.
func (p *probe) calls() [][]*channel.Item {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.attempts)
}

// accepted returns how many calls were accepted, duplicates too.
func (p *probe) accepted() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.took
}

// await waits until count items, duplicates aside, were accepted.
func (b *bench) await(sink *probe, count int) []*channel.Item {
	b.Helper()
	ctx, cancel := context.WithTimeout(b.ctx, b.patience)
	defer cancel()
	items, err := sink.Wait(ctx, count)
	if err != nil {
		b.Fatalf("%d items were accepted within %v, want %d", len(items), b.patience, count)
	}
	return items
}

// exactly fails unless count items, duplicates aside, were accepted by now.
func (b *bench) exactly(sink *probe, count int) {
	b.Helper()
	if got := b.await(sink, count); len(got) > count {
		b.Errorf("%d items were accepted, want %d: a thing that came again had none of its keys", len(got), count)
	}
}
