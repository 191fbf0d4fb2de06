package channeltest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

// mutant is a chat of the in-memory network with one thing broken: each set
// func stands in for a method, or is put around the sink.
type mutant struct {
	*memory
	info    func(m *memory) channel.Info
	sink    func(m *memory, ctx context.Context, next channel.Sink) channel.Sink
	receive func(m *memory, ctx context.Context, sink channel.Sink) error
	send    func(m *memory, ctx context.Context, out *channel.Outbound) (channel.Receipt, error)
	find    func(m *memory, ctx context.Context, out *channel.Outbound) (channel.Receipt, channel.Found, error)
	do      func(m *memory, ctx context.Context, act channel.Action) error
	check   func(m *memory, ctx context.Context) []channel.Finding
	read    func(m *memory, ctx context.Context, raw *channel.Item) ([]*channel.Item, error)
	open    func(acct channel.Account) error
	harness func(h *Harness)
}

func (u *mutant) Info() channel.Info {
	if u.info != nil {
		return u.info(u.memory)
	}
	return u.memory.Info()
}

func (u *mutant) Receive(ctx context.Context, sink channel.Sink) error {
	if u.receive != nil {
		return u.receive(u.memory, ctx, sink)
	}
	if u.sink != nil {
		sink = u.sink(u.memory, ctx, sink)
	}
	return receives{u.memory}.Receive(ctx, sink)
}

func (u *mutant) Send(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
	if u.send != nil {
		return u.send(u.memory, ctx, out)
	}
	return sends{u.memory}.Send(ctx, out)
}

func (u *mutant) Find(ctx context.Context, out *channel.Outbound) (channel.Receipt, channel.Found, error) {
	if u.find != nil {
		return u.find(u.memory, ctx, out)
	}
	return sends{u.memory}.Find(ctx, out)
}

func (u *mutant) Do(ctx context.Context, act channel.Action) error {
	if u.do != nil {
		return u.do(u.memory, ctx, act)
	}
	return does{u.memory}.Do(ctx, act)
}

func (u *mutant) Check(ctx context.Context) []channel.Finding {
	if u.check != nil {
		return u.check(u.memory, ctx)
	}
	return u.memory.Check(ctx)
}

func (u *mutant) Interpret(ctx context.Context, raw *channel.Item) ([]*channel.Item, error) {
	if u.read != nil {
		return u.read(u.memory, ctx, raw)
	}
	return interprets{u.memory}.Interpret(ctx, raw)
}

// lab opens a fresh copy of the mutant instead of the memory channel.
type lab struct {
	*Network
	breed func() mutant
}

func (l lab) Open(ctx context.Context, acct channel.Account, env channel.Env) (channel.Channel, error) {
	u := l.breed()
	if u.open != nil {
		if err := u.open(acct); err != nil {
			return nil, err
		}
		acct.Config = []byte(`{"address":"help@example.com"}`)
	}
	if _, err := l.Network.Open(ctx, acct, env); err != nil {
		return nil, err
	}
	var latest *memory
	l.Network.at("help@example.com", func(b *box) { latest = b.memory })
	u.memory = latest
	return &u, nil
}

func mutantHarness(t testing.TB, breed func() mutant, raw bool) Harness {
	h := memoryHarness(t, MemoryAccount{Address: "help@example.com", Raw: raw})
	h.Connector = lab{h.Connector.(*Network), breed}
	h.Patience = 100 * time.Millisecond
	if change := breed().harness; change != nil {
		change(&h)
	}
	return h
}

const forwarding = "each pair has a forwarding address of its own"

// forwardee is a channel that can do nothing but be forwarded to.
type forwardee struct {
	*memory
	address func(token string) string
}

func (f forwardee) ForwardAddress(token string) string { return f.address(token) }

type forwardees struct {
	*Network
	address func(token string) string
}

func (f forwardees) Open(context.Context, channel.Account, channel.Env) (channel.Channel, error) {
	return forwardee{&memory{info: channel.Info{Address: "help@example.com"}}, f.address}, nil
}

func TestTheSuiteFindsForwardingAddressesThatAreNotApart(t *testing.T) {
	t.Parallel()
	var calls atomic.Int64
	for name, c := range map[string]struct {
		address func(token string) string
		fails   bool
	}{
		"one each":              {func(token string) string { return "help+" + token + "@example.com" }, false},
		"the same for all":      {func(string) string { return "forwards@example.com" }, true},
		"that of the channel":   {func(string) string { return "help@example.com" }, true},
		"another at each start": {func(token string) string { return fmt.Sprint(token, calls.Add(1), "@example.com") }, true},
	} {
		r := try(t, forwarding, func(testing.TB) Harness { return Harness{Connector: forwardees{NewNetwork(), c.address}} })
		require.Equal(t, c.fails, r.failed, "%s: %q", name, r.said)
	}
}

// around returns a sink that changes items, or takes the place of next.
func around(f func(ctx context.Context, next channel.Sink, items []*channel.Item) error) func(*memory, context.Context, channel.Sink) channel.Sink {
	return func(_ *memory, _ context.Context, next channel.Sink) channel.Sink {
		return channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error { return f(ctx, next, items) })
	}
}

func change(f func(it *channel.Item)) func(*memory, context.Context, channel.Sink) channel.Sink {
	return around(func(ctx context.Context, next channel.Sink, items []*channel.Item) error {
		for _, it := range items {
			f(it)
		}
		return next.Accept(ctx, items...)
	})
}

// hanging returns a func that blocks until the test and its subtests are over.
func hanging(t *testing.T) func() {
	over := make(chan struct{})
	t.Cleanup(func() { close(over) })
	return func() { <-over }
}

func TestTheSoundMutantPassesEachCheck(t *testing.T) {
	t.Parallel()
	for _, c := range checks() {
		h := func(t testing.TB) Harness {
			h := mutantHarness(t, func() mutant { return mutant{} }, true)
			h.Patience = 10 * time.Second
			return h
		}
		r := try(t, c.name, h)
		require.False(t, r.failed, "%s: %q", c.name, r.said)
		require.Equal(t, c.name == forwarding, r.skipped, "%s: %q", c.name, r.said)
	}
}

func TestEachCheckFindsBrokenReceivers(t *testing.T) {
	t.Parallel()
	stuck := hanging(t)
	var mu sync.Mutex
	fresh := 0
	const (
		arrives = "what is delivered reaches the sink and is acknowledged"
		formed  = "items are well formed"
		again   = "what the sink does not accept is not acknowledged and comes again with the same key"
	)
	for _, c := range []struct {
		name, check string
		mutant      mutant
	}{
		{"drops everything", arrives, mutant{sink: around(func(context.Context, channel.Sink, []*channel.Item) error { return nil })}},
		{"acknowledges before the commit", again, mutant{sink: around(func(ctx context.Context, next channel.Sink, items []*channel.Item) error {
			go func() { _ = next.Accept(ctx, items...) }()
			return nil
		})}},
		{"swallows errors", again, mutant{sink: around(func(ctx context.Context, next channel.Sink, items []*channel.Item) error {
			_ = next.Accept(ctx, items...)
			return nil
		})}},
		{"makes new keys each time", again, mutant{sink: change(func(it *channel.Item) {
			mu.Lock()
			defer mu.Unlock()
			fresh++
			it.Keys = []channel.Key{channel.Key(fmt.Sprint(fresh))}
		})}},
		{"never takes more than one", "deliveries at once each arrive", mutant{sink: func(_ *memory, _ context.Context, next channel.Sink) channel.Sink {
			var taken atomic.Bool
			return channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error {
				if taken.Swap(true) {
					return errors.New("busy")
				}
				return next.Accept(ctx, items...)
			})
		}}},
		{"makes new keys at the second delivery", "a second delivery carries the same key", mutant{sink: change(func(it *channel.Item) {
			mu.Lock()
			defer mu.Unlock()
			fresh++
			it.Keys = []channel.Key{channel.Key(fmt.Sprint(fresh))}
		})}},
		{"has no keys", formed, mutant{sink: change(func(it *channel.Item) { it.Keys = nil })}},
		{"has an empty key", formed, mutant{sink: change(func(it *channel.Item) { it.Keys = append(it.Keys, "") })}},
		{"names another channel", formed, mutant{sink: change(func(it *channel.Item) { it.Channel = "other" })}},
		{"lets NUL through", formed, mutant{sink: change(func(it *channel.Item) { it.Message.Text += "\x00" })}},
		{"lets broken UTF-8 through", formed, mutant{sink: change(func(it *channel.Item) { it.Message.Cc = []channel.Party{{Name: "\xff"}} })}},
		{"is two things at once", formed, mutant{sink: change(func(it *channel.Item) { it.Ignored = "rule" })}},
		{"has unclean attachment names", formed, mutant{sink: change(func(it *channel.Item) { it.Message.Attachments[0].Name = "../a" })}},
		{"has attachments outside the raw body", formed, mutant{sink: change(func(it *channel.Item) {
			it.Message.Attachments[0].Window = &channel.Window{Offset: 1 << 30, Length: 1}
		})}},
		{"never reports", "it reports that it is live", mutant{receive: func(m *memory, ctx context.Context, sink channel.Sink) error {
			quiet := *m
			quiet.env.Report = func(channel.Status) {}
			return receives{&quiet}.Receive(ctx, sink)
		}}},
		{"stops after a panic", "a panic of the sink is an error like others", mutant{sink: func(_ *memory, _ context.Context, next channel.Sink) channel.Sink {
			dead := false
			return channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error {
				if dead {
					return errors.New("dead")
				}
				dead = true
				err := next.Accept(ctx, items...)
				dead = false
				return err
			})
		}}},
		{"stops after a rejection", "what is rejected for good does not stop what follows", mutant{sink: func(_ *memory, _ context.Context, next channel.Sink) channel.Sink {
			dead := false
			return channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error {
				if dead {
					return errors.New("dead")
				}
				err := next.Accept(ctx, items...)
				dead = errors.Is(err, channel.ErrRejected)
				return err
			})
		}}},
		{"takes one at a time and loses the others", "deliveries at once each arrive", mutant{sink: func(_ *memory, _ context.Context, next channel.Sink) channel.Sink {
			var mu sync.Mutex
			known, lost := map[channel.Key]bool{}, make(chan struct{})
			return channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error {
				mu.Lock()
				key := items[0].Keys[0]
				if known[key] {
					mu.Unlock()
					return nil
				}
				known[key] = true
				second, third := len(known) == 2, len(known) == 3
				mu.Unlock()
				if third { // came while the second is under way
					close(lost)
					return nil
				}
				if second {
					<-lost
				}
				return next.Accept(ctx, items...)
			})
		}}},
		{"returns the error of its context", "receive ends with its context, without an error", mutant{receive: func(m *memory, ctx context.Context, sink channel.Sink) error {
			_ = receives{m}.Receive(ctx, sink)
			return ctx.Err()
		}}},
		{"never returns", "receive ends with its context, without an error", mutant{receive: func(m *memory, ctx context.Context, sink channel.Sink) error {
			_ = receives{m}.Receive(ctx, sink)
			stuck()
			return nil
		}}},
		{"acknowledges when nobody receives", "nothing is acknowledged after receive has ended", mutant{harness: func(h *Harness) {
			deliver := h.Deliver
			h.Deliver = func(ctx context.Context, n int) error {
				if err := deliver(ctx, n); !errors.Is(err, ErrNotReceiving) {
					return err
				}
				return nil
			}
		}}},
		{"cancels commits", "a commit under way when receive ends may finish", mutant{sink: func(_ *memory, ctx context.Context, next channel.Sink) channel.Sink {
			return channel.SinkFunc(func(_ context.Context, items ...*channel.Item) error { return next.Accept(ctx, items...) })
		}}},
		{"acknowledges what fails late", "a commit that fails after receive has ended is not acknowledged", mutant{sink: func(_ *memory, ctx context.Context, next channel.Sink) channel.Sink {
			return channel.SinkFunc(func(c context.Context, items ...*channel.Item) error {
				if err := next.Accept(c, items...); ctx.Err() == nil {
					return err
				}
				return nil
			})
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			found(t, c.check, c.mutant, false)
		})
	}
}

func TestEachCheckFindsBrokenMailboxes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, check  string
		eager, skips bool
	}{
		{"moves its cursor before the commit", "what was not accepted comes again after a restart", true, false},
		{"leaves behind what fails", "what the sink does not accept is not acknowledged and comes again with the same key", false, true},
		{"leaves behind what fails late", "a commit that fails after receive has ended is not acknowledged", false, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := try(t, c.check, func(testing.TB) Harness {
				h := mailboxHarness(&mailbox{eager: c.eager, skips: c.skips})
				h.Patience = 100 * time.Millisecond
				return h
			})
			require.True(t, r.failed, "%q does not find it", c.check)
		})
	}
}

// found wants the named check to fail on the mutant, and says why it did not.
func found(t *testing.T, check string, u mutant, raw bool) {
	t.Helper()
	r := try(t, check, func(t testing.TB) Harness { return mutantHarness(t, func() mutant { return u }, raw) })
	require.True(t, r.failed, "%q does not find it; it said %q", check, r.said)
}
