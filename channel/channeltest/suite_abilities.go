package channeltest

import (
	"context"
	"fmt"
	"slices"

	"github.com/anteroom/anteroom/channel"
)

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
func (b *bench) find(f channel.Finder, n int) (found channel.Found, err error) {
	b.Helper()
	b.within("Find", func() { _, found, err = f.Find(b.ctx, b.h.Outbound(n)) })
	b.noteError("an error of Find", err)
	return found, err
}

func finds(b *bench) {
	f, ok := b.sender().(channel.Finder)
	if !ok {
		b.Skip("the channel cannot look for what it sent")
	}
	if found, _ := b.find(f, 0); found == channel.FoundYes {
		b.Error("Find affirms a message that was never sent")
	}
	if r := b.send(b.ctx, f, 0, nil); r.err != nil {
		b.Fatalf("Send: %v", r.err)
	}
	if found, _ := b.find(f, 0); found == channel.FoundNo {
		b.Error("Find denies a message that was sent")
	}
	if found, _ := b.find(f, 1); found == channel.FoundYes {
		b.Error("Find affirms another message than the one that was sent")
	}
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	b.within("Find with a context that has ended", func() {
		if _, found, err := f.Find(ctx, b.h.Outbound(1)); err == nil && found == channel.FoundYes {
			b.Error("Find with a context that has ended affirms a message that was never sent")
		}
	})
}

func forwardsApart(b *bench) {
	ch := b.open()
	f, ok := ch.(channel.Forwardee)
	if !ok {
		b.Skip("nothing is forwarded to the channel")
	}
	one, other := f.ForwardAddress("token1"), f.ForwardAddress("token2")
	if one == other || one == ch.Info().Address || one == "" {
		b.Errorf("two pairs have the addresses %q and %q, the channel itself %q: the envelope could not tell them apart", one, other, ch.Info().Address)
	}
	if again := b.open().(channel.Forwardee).ForwardAddress("token1"); again != one {
		b.Errorf("a pair's address was %q and, opened again, is %q", one, again)
	}
}

func doesWhatItLists(b *bench) {
	ch := b.open()
	d, ok := ch.(channel.Doer)
	if !ok {
		b.Skip("the channel has no actions")
	}
	can := ch.Info().Can
	for i, v := range can {
		if v == "" || slices.Contains(can[:i], v) {
			b.Errorf("Can lists %q, which is empty or there twice", v)
		}
	}
	b.within("Do", func() {
		act := channel.Action{Verb: "no_such_verb", Conversation: "c", Message: "m"}
		if err := d.Do(b.ctx, act); err == nil {
			b.Errorf("Do accepted the verb %q, which Can does not list", act.Verb)
		} else {
			b.noteError("an error of Do", err)
		}
	})
	if b.h.Action.Verb == "" {
		return
	}
	if !slices.Contains(can, b.h.Action.Verb) {
		b.Errorf("the harness's action %q is not listed in Can", b.h.Action.Verb)
	}
	b.within("Do", func() {
		if err := d.Do(b.ctx, b.h.Action); err != nil {
			b.noteError("an error of Do", err)
			b.Errorf("Do(%v): %v", b.h.Action, err)
		}
	})
}

func checksItself(b *bench) {
	c, ok := b.open().(channel.Checker)
	if !ok {
		b.Skip("the channel cannot diagnose itself")
	}
	b.findings(c)
	ctx, cancel := context.WithCancel(b.ctx)
	cancel()
	b.within("Check with a context that has ended", func() { c.Check(ctx) })
}

func (b *bench) findings(c channel.Checker) {
	b.Helper()
	var found []channel.Finding
	b.within("Check", func() { found = c.Check(b.ctx) })
	b.noteJSON("the findings", found)
	if len(found) == 0 {
		b.Error("Check returned no finding; if all is well it says so")
	}
	known := []channel.Severity{channel.SeverityOK, channel.SeverityWarning, channel.SeverityError}
	for _, f := range found {
		if f.Code == "" || f.Text == "" || !slices.Contains(known, f.Severity) {
			b.Errorf("a finding needs a code, a text and a known severity: %+v", f)
		}
	}
}

// keepsSecrets lets the channel do everything, with faults; the secrets are
// looked for when the check ends, as in all checks.
func keepsSecrets(b *bench) {
	if !slices.ContainsFunc(mapValues(b.h.Account.Credentials.Reveal()), func(s string) bool { return len(s) >= 8 }) {
		b.Skip("the account has no secret of at least 8 characters")
	}
	ch := b.open()
	b.noteJSON("the info", ch.Info())
	b.note("the account's configuration", string(b.h.Account.Config))
	if r, ok := ch.(channel.Receiver); ok && (b.h.Put != nil || b.h.Deliver != nil) {
		sink := &probe{decide: func(_ context.Context, call int) error {
			if call == 0 {
				return errDown
			}
			return nil
		}}
		defer b.receive(r, sink)()
		if b.h.Put == nil {
			b.noteError("the answer to the source", b.deliver(0))
		}
		b.take(sink, 0)
		for _, it := range b.await(sink, 1) {
			b.note("an item's details", fmt.Sprintf("%s %v %+v", it.Detail, it.Keys, it.Notice))
		}
	}
	if s, ok := ch.(channel.Sender); ok && b.h.Outbound != nil && b.h.Arrived != nil {
		b.send(b.ctx, s, 0, nil)
		b.send(b.ctx, s, 1, errWithheld)
		for i, fault := range []func(context.Context) error{b.h.LoseAnswer, b.h.Refuse, b.h.Down} {
			if fault != nil && fault(b.ctx) == nil {
				b.send(b.ctx, s, 2+i, nil)
			}
		}
	}
	if c, ok := ch.(channel.Checker); ok {
		b.findings(c)
	}
}
