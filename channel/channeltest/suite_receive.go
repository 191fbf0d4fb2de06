package channeltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

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
	if b.h.Put != nil {
		b.put(0)
	}
	b.eventually("nothing reached the sink", func() error {
		// Acknowledged or not: a source may have no word for "never".
		if b.h.Put == nil {
			_ = b.deliver(0)
		}
		if len(sink.calls()) == 0 {
			return errors.New("no call")
		}
		return nil
	})
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
		b.takeAgain()
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
		// A limit on what comes at once is fair, so it is tried again.
		wg.Go(func() { errs[i] = b.retry(func() error { return b.deliver(i % things) }) })
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
	b.takeAgain()
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
	b.takeAgain()
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
func (b *bench) takeAgain() {
	const n = 0
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
	b.takeAgain()
	b.exactly(sink, 1)
}
