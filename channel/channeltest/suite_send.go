package channeltest

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"sync"

	"github.com/anteroom/anteroom/channel"
)

var errWithheld = errors.New("the claim was lost (the suite plays that)")

// sender opens the channel as a sender, or skips the check.
func (b *bench) sender() channel.Sender {
	b.Helper()
	s, ok := b.open().(channel.Sender)
	if !ok {
		b.Skip("the channel does not send")
	}
	if b.h.Outbound == nil || b.h.Arrived == nil {
		b.Fatal("the channel sends: the harness must have Outbound and Arrived")
	}
	return s
}

func (b *bench) arrived(n int) int {
	b.Helper()
	count, err := b.h.Arrived(b.ctx, n)
	if err != nil {
		b.Fatalf("Arrived(%d): %v", n, err)
	}
	return count
}

// sending is one call of Send and what was seen of it.
type sending struct {
	out     *channel.Outbound
	receipt channel.Receipt
	err     error
	handed  int
	early   int // how often it had arrived when it was handed
}

// send sends message n. handed, if set, is what Handed returns.
func (b *bench) send(ctx context.Context, s channel.Sender, n int, handed error) *sending {
	b.Helper()
	r := &sending{out: b.h.Outbound(n)}
	var mu sync.Mutex
	r.out.Handed = func(context.Context) error {
		arrived, err := b.h.Arrived(b.ctx, n)
		mu.Lock()
		defer mu.Unlock()
		r.handed++
		if err == nil {
			r.early = max(r.early, arrived)
		}
		return handed
	}
	b.within("Send", func() { r.receipt, r.err = s.Send(ctx, r.out) })
	b.judge(r)
	return r
}

// judge checks what holds for every send, however it ended.
func (b *bench) judge(r *sending) {
	b.Helper()
	b.noteError("an error of Send", r.err)
	b.noteJSON("a receipt", r.receipt)
	if r.handed > 1 {
		b.Errorf("Handed was called %d times in one Send", r.handed)
	}
	if r.err == nil {
		return
	}
	var se *channel.SendError
	if !errors.As(r.err, &se) {
		b.Errorf("Send returned a %T, not a *channel.SendError: %v", r.err, r.err)
		return
	}
	if text := r.out.Text; len(text) >= 12 && strings.Contains(r.err.Error(), text) {
		b.Error("the error text contains the message's text")
	}
	if strings.ContainsAny(se.Reason, "\r\n") {
		b.Errorf("the reason is not one line: %q", se.Reason)
	}
	if r.handed == 0 && se.Outcome == channel.Unknown {
		b.Error("the outcome is unknown though the message was never handed over")
	}
}

// outcome fails unless the send ended so.
func (b *bench) outcome(r *sending, want channel.Outcome) {
	b.Helper()
	if se, ok := errors.AsType[*channel.SendError](r.err); !ok {
		b.Errorf("Send returned %v, want the outcome %q", r.err, want)
	} else if se.Outcome != want {
		b.Errorf("the outcome is %q, want %q: %v", se.Outcome, want, r.err)
	}
}

func sendsOnce(b *bench) {
	s := b.sender()
	for n := range 2 {
		r := b.send(b.ctx, s, n, nil)
		if r.err != nil {
			b.Fatalf("Send: %v", r.err)
		}
		if r.handed != 1 {
			b.Errorf("Handed was called %d times, want once", r.handed)
		}
		if r.early > 0 {
			b.Error("the message had arrived before Handed was called")
		}
		if got := b.arrived(n); got != 1 {
			b.Errorf("the message arrived %d times, want once", got)
		}
		if slices.Contains(r.receipt.ExternalIDs, "") {
			b.Error("the receipt has an empty external id")
		}
	}
}

func withholds(b *bench) {
	s := b.sender()
	r := b.send(b.ctx, s, 0, errWithheld)
	b.outcome(r, channel.NotSent)
	if r.handed == 0 {
		b.Error("Handed was not called")
	}
	if !errors.Is(r.err, errWithheld) {
		b.Errorf("the error does not wrap that of Handed: %v", r.err)
	}
	if got := b.arrived(0); got != 0 {
		b.Errorf("the message arrived %d times though Handed had failed", got)
	}
	if r := b.send(b.ctx, s, 0, nil); r.err != nil {
		b.Errorf("the next try failed: %v", r.err)
	}
	if got := b.arrived(0); got != 1 {
		b.Errorf("after the next try the message arrived %d times, want once", got)
	}
}

func sendEnds(b *bench) {
	s := b.sender()
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	r := b.send(ctx, s, 0, nil)
	if r.err == nil {
		b.Error("Send with a context that has ended returned no error")
		return
	}
	if r.handed == 0 {
		b.outcome(r, channel.NotSent)
	}
	var se *channel.SendError
	if errors.As(r.err, &se) && se.Outcome == channel.NotSent && b.arrived(0) != 0 {
		b.Error("the message arrived though the outcome says that it was not sent")
	}
}

func leavesOutbound(b *bench) {
	s := b.sender()
	want := b.h.Outbound(0)
	r := b.send(b.ctx, s, 0, nil)
	r.out.Handed, want.Handed = nil, nil
	if !reflect.DeepEqual(r.out, want) {
		b.Errorf("Send changed the message, so that a retry would differ:\n before %+v\n after  %+v\n"+
			"(Outbound must return equal messages for equal numbers)", want, r.out)
	}
}

func sendsAtOnce(b *bench) {
	s := b.sender()
	const messages = 5
	var wg sync.WaitGroup
	sends := make([]*sending, messages)
	for n := range sends {
		sends[n] = &sending{out: b.h.Outbound(n)}
		var mu sync.Mutex
		sends[n].out.Handed = func(context.Context) error {
			mu.Lock()
			defer mu.Unlock()
			sends[n].handed++
			return nil
		}
		wg.Go(func() { sends[n].receipt, sends[n].err = s.Send(b.ctx, sends[n].out) })
	}
	b.within("Send", wg.Wait)
	for n, r := range sends {
		b.judge(r)
		got := b.arrived(n)
		if r.err == nil && got != 1 {
			b.Errorf("message %d was sent without an error and arrived %d times", n, got)
		}
		if r.err != nil {
			b.Errorf("message %d, sent with others at once, failed: %v", n, r.err)
		}
	}
}

func sparesTaken(b *bench) {
	s := b.sender()
	out := b.h.Outbound(0)
	if len(out.To) == 0 {
		b.Skip("the message has no recipients")
	}
	for _, p := range slices.Concat(out.To, out.Cc, out.Bcc) {
		out.Taken = append(out.Taken, p.Address)
	}
	out.Handed = func(context.Context) error { return nil }
	r := &sending{out: out}
	b.within("Send", func() { r.receipt, r.err = s.Send(b.ctx, out) })
	b.judge(r)
	if got := b.arrived(0); got != 0 {
		b.Errorf("the message arrived %d times though all its recipients had it", got)
	}
}

func lostAnswerIsUnknown(b *bench) {
	s := b.sender()
	b.play(b.h.LoseAnswer, "LoseAnswer")
	r := b.send(b.ctx, s, 0, nil)
	b.outcome(r, channel.Unknown)
	if got := b.arrived(0); got > 1 {
		b.Errorf("the message arrived %d times: it was sent again without being looked for", got)
	}
	if f, ok := s.(channel.Finder); ok && b.arrived(0) == 1 {
		if found, _ := b.find(f, 0); found == channel.FoundNo {
			b.Error("Find says that it surely was not sent, but it arrived")
		}
	}
}

func refusalIsFinal(b *bench) {
	s := b.sender()
	b.play(b.h.Refuse, "Refuse")
	r := b.send(b.ctx, s, 0, nil)
	failed := slices.ContainsFunc(r.receipt.Deliveries, func(d channel.Delivery) bool { return d.State == channel.DeliveryFailed })
	if r.err != nil || !failed { // else the receipt says it, recipient by recipient
		b.outcome(r, channel.Rejected)
	}
	if got := b.arrived(0); got != 0 {
		b.Errorf("the message arrived %d times though the network refused it", got)
	}
}

func downIsNotSent(b *bench) {
	s := b.sender()
	b.play(b.h.Down, "Down")
	b.outcome(b.send(b.ctx, s, 0, nil), channel.NotSent)
	if got := b.arrived(0); got != 0 {
		b.Errorf("the message arrived %d times though the network was down", got)
	}
}

func (b *bench) play(far func(context.Context) error, name string) {
	b.Helper()
	if far == nil {
		b.Skip("the harness has no " + name)
	}
	if err := far(b.ctx); err != nil {
		b.Fatalf("%s: %v", name, err)
	}
}
