package channeltest

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/anteroom/anteroom/channel"
)

var errDown = errors.New("the store is down (the suite plays that)")

func delivers(b *bench) {
	r, sink := b.receiver(), &probe{}
	b.receive(r, sink)
	for n := range 3 {
		b.take(sink, n)
		b.await(sink, n+1)
	}
	b.exactly(sink, 3)
}

func itemsAreWellFormed(b *bench) {
	r := b.receiver()
	sink := &probe{}
	b.receive(r, sink)
	for n := range 3 {
		b.take(sink, n)
	}
	for _, it := range b.await(sink, 3) {
		for _, defect := range itemDefects(r.Info().ID, it) {
			b.Errorf("item %v: %s", it.Keys, defect)
		}
	}
}

// itemDefects returns what is wrong with an item of the channel.
func itemDefects(id channel.ID, it *channel.Item) []string {
	var out []string
	if it.Channel != id && it.Via != id {
		out = append(out, fmt.Sprintf("neither Channel (%q) nor Via (%q) is this channel (%q)", it.Channel, it.Via, id))
	}
	if it.Channel == "" {
		out = append(out, "Channel is empty")
	}
	if len(it.Keys) == 0 {
		out = append(out, "it has no key")
	}
	if slices.Contains(it.Keys, "") {
		out = append(out, "one of its keys is empty")
	}
	says := 0
	for _, set := range []bool{it.Message != nil && it.Update == nil, it.Update != nil, it.Notice != nil, it.Probe != "", it.Ignored != "", it.Quarantined != ""} {
		if set {
			says++
		}
	}
	if says > 1 {
		out = append(out, "it is several things at once")
	}
	if says == 0 && it.Raw == nil {
		out = append(out, "it says nothing and has no raw form to be interpreted")
	}
	if it.Message != nil {
		out = append(out, textDefects("Message", reflect.ValueOf(*it.Message))...)
		for _, a := range it.Message.Attachments {
			out = append(out, attachmentDefects(it.Raw, a)...)
		}
	}
	if it.Update != nil {
		out = append(out, textDefects("Update", reflect.ValueOf(*it.Update))...)
	}
	return append(out, bodyDefects("Raw", it.Raw)...)
}

// textDefects looks at all strings below v. Bodies hold bytes, not text.
func textDefects(where string, v reflect.Value) []string {
	switch v.Kind() {
	case reflect.String:
		s := v.String()
		if !utf8.ValidString(s) {
			return []string{where + " is not valid UTF-8"}
		}
		if strings.ContainsRune(s, 0) {
			return []string{where + " contains NUL"}
		}
	case reflect.Struct:
		var out []string
		for i := range v.NumField() {
			if f := v.Type().Field(i); f.IsExported() && f.Type != reflect.TypeFor[time.Time]() {
				out = append(out, textDefects(where+"."+f.Name, v.Field(i))...)
			}
		}
		return out
	case reflect.Slice:
		var out []string
		if v.Type().Elem().Kind() == reflect.Uint8 {
			return nil
		}
		for i := range v.Len() {
			out = append(out, textDefects(fmt.Sprintf("%s[%d]", where, i), v.Index(i))...)
		}
		return out
	case reflect.Pointer:
		if !v.IsNil() {
			return textDefects(where, v.Elem())
		}
	}
	return nil
}

func bodyDefects(where string, body channel.Body) []string {
	if body == nil {
		return nil
	}
	for range 2 { // it can be read more than once
		r, err := body.Open()
		if err != nil {
			return []string{fmt.Sprintf("%s cannot be opened: %v", where, err)}
		}
		n, err := io.Copy(io.Discard, r)
		if cerr := r.Close(); err == nil {
			err = cerr
		}
		if err != nil {
			return []string{fmt.Sprintf("%s cannot be read: %v", where, err)}
		}
		if n != body.Size() {
			return []string{fmt.Sprintf("%s has %d bytes and says %d", where, n, body.Size())}
		}
	}
	return nil
}

func attachmentDefects(raw channel.Body, a channel.Attachment) []string {
	where := fmt.Sprintf("attachment %q", a.Name)
	if strings.ContainsAny(a.Name, "/\\\r\n") {
		return []string{where + " has no clean name"}
	}
	if a.Window == nil {
		if a.Body == nil {
			return []string{where + " has neither Window nor Body"}
		}
		return bodyDefects(where, a.Body)
	}
	r, err := a.Window.Open(raw)
	if err != nil {
		return []string{fmt.Sprintf("%s cannot be opened: %v", where, err)}
	}
	defer r.Close()
	if n, err := io.Copy(io.Discard, r); err != nil || n != a.Size {
		return []string{fmt.Sprintf("%s has %d bytes (error %v) and says %d", where, n, err, a.Size)}
	}
	return nil
}

func reportsLive(b *bench) {
	r, sink := b.receiver(), &probe{}
	b.receive(r, sink)
	b.take(sink, 0)
	b.await(sink, 1)
	b.eventually("it did not report that it is live", func() error {
		b.mu.Lock()
		defer b.mu.Unlock()
		if !slices.ContainsFunc(b.status, func(s channel.Status) bool { return s.State == channel.StateLive }) {
			return fmt.Errorf("%d reports", len(b.status))
		}
		return nil
	})
}

func comesAgain(b *bench) {
	failsFirst(b, func(context.Context, int) error { return errDown })
}

func survivesPanic(b *bench) {
	failsFirst(b, func(context.Context, int) error { panic("the sink panics (the suite plays that)") })
}

// failsFirst has the first call of Accept fail, and wants the thing again with
// a key that it had.
func failsFirst(b *bench, fail func(context.Context, int) error) {
	b.Helper()
	r := b.receiver()
	sink := &probe{decide: func(ctx context.Context, call int) error {
		if call == 0 {
			return fail(ctx, call)
		}
		return nil
	}}
	b.receive(r, sink)
	if b.h.Put == nil {
		b.refused(sink, 0)
	}
	b.take(sink, 0)
	b.exactly(sink, 1)
	calls := sink.calls()
	if !sharesKey(calls[0][0], calls[len(calls)-1][0]) {
		b.Errorf("it came with the keys %v and again with %v, which share none", calls[0][0].Keys, calls[len(calls)-1][0].Keys)
	}
	b.take(sink, 1)
	b.exactly(sink, 2)
}

// refused delivers thing n until the sink was asked, and wants no
// acknowledgement.
func (b *bench) refused(sink *probe, n int) {
	b.Helper()
	before := len(sink.calls())
	b.eventually("no delivery reached the sink", func() error {
		err := b.deliver(n)
		if err == nil {
			b.Fatalf("thing %d was acknowledged though the sink did not accept it", n)
		}
		if len(sink.calls()) == before {
			return err
		}
		return nil
	})
}

func sharesKey(x, y *channel.Item) bool {
	return slices.ContainsFunc(x.Keys, func(k channel.Key) bool { return slices.Contains(y.Keys, k) })
}

func passesRejected(b *bench) {
	r := b.receiver()
	sink := &probe{decide: func(_ context.Context, call int) error {
		if call == 0 {
			return fmt.Errorf("this one never (the suite plays that): %w", channel.ErrRejected)
		}
		return nil
	}}
	b.receive(r, sink)
	if b.h.Put == nil {
		b.refused(sink, 0)
	} else {
		b.put(0)
		b.eventually("nothing reached the sink", func() error {
			if len(sink.calls()) == 0 {
				return errors.New("no call")
			}
			return nil
		})
	}
	first := sink.calls()[0][0]
	b.take(sink, 1)
	b.eventually("thing 1 was not accepted after thing 0 had been rejected", func() error {
		// A source that does not understand "never" may have brought thing 0 again.
		if !slices.ContainsFunc(sink.Items(), func(it *channel.Item) bool { return !sharesKey(it, first) }) {
			return errors.New("not yet")
		}
		return nil
	})
}

func deliversTwice(b *bench) {
	r, sink := b.receiver(), &probe{}
	b.mu.Lock()
	before := b.state
	b.mu.Unlock()
	stop := b.receive(r, sink)
	b.take(sink, 0)
	b.await(sink, 1)
	if b.h.Put == nil {
		b.takeAgain(0)
	} else {
		// The state may lag: it is set back, as after a crash.
		stop()
		b.mu.Lock()
		b.state = before
		b.mu.Unlock()
		b.receive(b.receiver(), sink)
	}
	b.take(sink, 1)
	b.exactly(sink, 2)
}

func deliversAtOnce(b *bench) {
	r, sink := b.receiver(), &probe{}
	b.receive(r, sink)
	const things = 6
	if b.h.Put != nil {
		for n := range things {
			b.put(n)
		}
		b.exactly(sink, things)
		return
	}
	b.take(sink, 0) // it is ready now
	errs := make([]error, 2*things)
	var wg sync.WaitGroup
	for i := range errs {
		wg.Go(func() { errs[i] = b.deliver(i % things) })
	}
	wg.Wait()
	for i, err := range errs {
		if err != nil {
			b.Errorf("thing %d, delivered with others at once, was not acknowledged: %v", i%things, err)
		}
	}
	b.exactly(sink, things)
}

func receiveEnds(b *bench) {
	r, sink := b.receiver(), &probe{}
	stop := b.receive(r, sink)
	b.take(sink, 0)
	b.await(sink, 1)
	stop()
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	b.within("Receive with a context that has ended", func() {
		if err := r.Receive(ctx, sink); err != nil {
			b.Errorf("Receive with a context that has ended returned %v, want nil", err)
		}
	})
}

func acknowledgesNothingAfterwards(b *bench) {
	r, sink := b.receiver(), &probe{}
	if b.h.Put != nil {
		b.Skip("the channel fetches: see the restart")
	}
	stop := b.receive(r, sink)
	b.take(sink, 0)
	stop()
	before := sink.accepted()
	if err := b.deliver(1); err == nil && sink.accepted() == before {
		b.Error("thing 1 was acknowledged while nobody received, and is lost")
	}
}

func commitFinishes(b *bench) {
	r := b.receiver()
	entered, release := make(chan struct{}), make(chan struct{})
	var inside context.Context
	sink := &probe{decide: func(ctx context.Context, call int) error {
		if call == 0 {
			inside = ctx
			close(entered)
			<-release
		}
		return nil
	}}
	// Acknowledged or not: either is right.
	_ = b.endDuring(r, sink, entered, func() {
		if err := inside.Err(); err != nil {
			b.Errorf("the context of Accept ended with that of Receive: %v", err)
		}
		close(release)
	})
	b.exactly(sink, 1)
	b.receive(b.receiver(), sink)
	b.takeAgain(0)
	b.take(sink, 1)
	b.exactly(sink, 2)
}

func lateFailureComesAgain(b *bench) {
	r := b.receiver()
	entered, release := make(chan struct{}), make(chan struct{})
	sink := &probe{decide: func(_ context.Context, call int) error {
		if call == 0 {
			close(entered)
			<-release
			return errDown
		}
		return nil
	}}
	if err := b.endDuring(r, sink, entered, func() { close(release) }); err == nil && b.h.Put == nil {
		b.Error("thing 0 was acknowledged though its commit failed")
	}
	b.receive(b.receiver(), sink)
	b.takeAgain(0)
	b.exactly(sink, 1)
}

// endDuring ends Receive while a commit of thing 0 is under way, calls then and
// returns what the source was told.
func (b *bench) endDuring(r channel.Receiver, sink *probe, entered <-chan struct{}, then func()) error {
	b.Helper()
	cancel, wait := b.receiveAsync(r, sink)
	told := make(chan error, 1)
	go func() {
		if b.h.Put != nil {
			told <- b.h.Put(b.ctx, 0)
			return
		}
		var err error
		for b.ctx.Err() == nil {
			if err = b.deliver(0); err == nil || len(sink.calls()) > 0 {
				break
			}
			time.Sleep(2 * time.Millisecond) // it was not ready
		}
		told <- err
	}()
	select {
	case <-entered:
	case <-time.After(b.patience):
		cancel()
		then()
		b.Fatalf("nothing reached the sink within %v", b.patience)
	}
	cancel()
	then()
	wait()
	select {
	case err := <-told:
		return err
	case <-time.After(b.patience + time.Second):
		b.Fatal("the delivery did not end")
		return nil
	}
}

// takeAgain lets the source bring again what it has brought before. What was
// accepted before may be acknowledged without asking the sink.
func (b *bench) takeAgain(n int) {
	b.Helper()
	if b.h.Put == nil {
		b.eventually(fmt.Sprintf("a further delivery of thing %d was not acknowledged", n), func() error { return b.deliver(n) })
	}
}

func comesAgainAfterRestart(b *bench) {
	r := b.receiver()
	down := true
	var mu sync.Mutex
	sink := &probe{decide: func(context.Context, int) error {
		mu.Lock()
		defer mu.Unlock()
		if down {
			return errDown
		}
		return nil
	}}
	stop := b.receive(r, sink)
	if b.h.Put == nil {
		b.refused(sink, 0)
	} else {
		b.put(0)
		b.eventually("nothing reached the sink", func() error {
			if len(sink.calls()) < 2 {
				return errors.New("fewer than two tries")
			}
			return nil
		})
	}
	stop()
	mu.Lock()
	down = false
	mu.Unlock()
	b.receive(b.receiver(), sink)
	b.takeAgain(0)
	b.exactly(sink, 1)
}

func interpretsRaw(b *bench) {
	r, sink := b.receiver(), &probe{}
	in, ok := r.(channel.Interpreter)
	if !ok {
		b.Skip("the channel understands at once")
	}
	b.receive(r, sink)
	b.take(sink, 0)
	raw := b.await(sink, 1)[0]
	var keys [2][]channel.Key
	for i := range keys {
		items, err := in.Interpret(b.ctx, raw)
		b.noteError("an error of Interpret", err)
		if err != nil {
			b.Fatalf("Interpret: %v", err)
		}
		for _, it := range items {
			for _, defect := range itemDefects(r.Info().ID, it) {
				b.Errorf("interpreted item %v: %s", it.Keys, defect)
			}
			if it.Channel != raw.Channel {
				b.Errorf("interpreted item %v is of channel %q, the raw one of %q", it.Keys, it.Channel, raw.Channel)
			}
			if sharesKey(it, raw) {
				b.Errorf("interpreted item %v has a key of the raw one and would be taken for a duplicate", it.Keys)
			}
			keys[i] = append(keys[i], it.Keys...)
		}
	}
	if !slices.Equal(keys[0], keys[1]) {
		b.Errorf("the same item was interpreted with the keys %v and again with %v", keys[0], keys[1])
	}
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	b.within("Interpret with a context that has ended", func() { _, _ = in.Interpret(ctx, raw) })
}
