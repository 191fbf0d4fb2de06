package channeltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

const testSecret = `s3cr3t"pass-word`

// memoryHarness plays the far side of an in-memory channel with the network's
// own means.
func memoryHarness(t testing.TB, conf MemoryAccount) Harness {
	n := NewNetwork()
	conf.Password = testSecret
	conf.Aliases = []string{"alias@example.com"}
	acct, err := conf.Account()
	require.NoError(t, err)
	acct.ID = "c1"
	h := Harness{Connector: n, Account: acct, Patience: 10 * time.Second}
	if !conf.SendOnly {
		var mu sync.Mutex
		things := map[int]*channel.Item{}
		h.Deliver = func(ctx context.Context, i int) error {
			mu.Lock()
			if things[i] == nil {
				things[i] = n.Item(conf.Address, channel.Message{
					From: channel.Party{Name: "A\xffnn\x00", Address: "ann@customer.example"}, Subject: "Hi", Text: fmt.Sprint("thing ", i),
					Attachments: []channel.Attachment{{Name: "a.txt", Size: 3, Body: channel.Bytes("abc")}},
				})
			}
			it := things[i]
			mu.Unlock()
			return n.Deliver(ctx, conf.Address, it)
		}
	}
	if !conf.ReceiveOnly {
		h.Outbound = func(i int) *channel.Outbound {
			return &channel.Outbound{
				ID: fmt.Sprint("o", i), Channel: "c1", Conversation: "ann", To: []channel.Party{{Address: "ann@customer.example"}},
				Text: fmt.Sprint("message number ", i, " of the suite"), Token: fmt.Sprint("token", i), Attempt: 1,
			}
		}
		h.Arrived = func(_ context.Context, i int) (int, error) {
			count := 0
			for _, s := range n.Sent(conf.Address) {
				if s.Out.ID == fmt.Sprint("o", i) {
					count++
				}
			}
			return count, nil
		}
		fault := func(f Fault) func(context.Context) error {
			return func(context.Context) error { n.Fail(conf.Address, f); return nil }
		}
		h.LoseAnswer = fault(Fault{Arrives: true, Err: &channel.SendError{Outcome: channel.Unknown}})
		h.Refuse = fault(Fault{Err: &channel.SendError{Outcome: channel.Rejected}})
		h.Down = fault(Fault{Early: true, Err: &channel.SendError{Outcome: channel.NotSent}})
		if !conf.Mail && !conf.SendOnly {
			h.Action = channel.Action{Verb: channel.VerbSeen, Conversation: "ann"}
		}
	}
	return h
}

func TestTheMemoryChannelKeepsTheContract(t *testing.T) {
	t.Parallel()
	for name, conf := range map[string]MemoryAccount{
		"chat":               {},
		"mail":               {Mail: true},
		"chat, raw":          {Raw: true},
		"mail, receive only": {Mail: true, ReceiveOnly: true},
		"send only":          {SendOnly: true},
		"send only, paired":  {Mail: true, SendOnly: true, ReceivesVia: "hosted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conf.Address = "help@example.com"
			Run(t, func(t testing.TB) Harness { return memoryHarness(t, conf) })
		})
	}
}

// mailbox is the far side of a channel that fetches, and its connector: a list
// and, in the channel's state, a cursor.
type mailbox struct {
	mu     sync.Mutex
	things []int
	// eager saves the cursor before the sink has accepted; skips leaves behind
	// what the sink does not accept at once.
	eager, skips bool
}

func (m *mailbox) Kind() channel.Kind { return "mailbox" }

func (m *mailbox) Open(_ context.Context, acct channel.Account, env channel.Env) (channel.Channel, error) {
	var conf struct{}
	if err := json.Unmarshal(acct.Config, &conf); err != nil {
		return nil, errors.New("mailbox: bad configuration")
	}
	return &fetcher{m, acct, env}, nil
}

type fetcher struct {
	box  *mailbox
	acct channel.Account
	env  channel.Env
}

func (f *fetcher) Info() channel.Info {
	return channel.Info{ID: f.acct.ID, Kind: "mailbox", Address: "box", Scheme: "mailto", CanReceive: true}
}

func (f *fetcher) Receive(ctx context.Context, sink channel.Sink) error {
	state, err := f.env.LoadState(ctx)
	if err != nil && ctx.Err() == nil {
		return err
	}
	cursor, _ := strconv.Atoi(string(state))
	f.env.Report(channel.Status{State: channel.StateLive})
	for ctx.Err() == nil {
		f.box.mu.Lock()
		rest := f.box.things[min(cursor, len(f.box.things)):]
		f.box.mu.Unlock()
		for _, n := range rest {
			if f.box.eager {
				_ = f.env.SaveState(context.WithoutCancel(ctx), []byte(strconv.Itoa(cursor+1)))
			}
			err := f.accept(ctx, sink, n)
			if err != nil && !f.box.skips && !errors.Is(err, channel.ErrRejected) {
				break
			}
			cursor++
			_ = f.env.SaveState(context.WithoutCancel(ctx), []byte(strconv.Itoa(cursor)))
			if ctx.Err() != nil {
				return nil
			}
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Millisecond):
		}
	}
	return nil
}

func (f *fetcher) accept(ctx context.Context, sink channel.Sink, n int) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	return sink.Accept(context.WithoutCancel(ctx), &channel.Item{
		Channel: f.acct.ID, Keys: []channel.Key{channel.Key(fmt.Sprint("uid:", n))},
		Message: &channel.Message{From: channel.Party{Address: "ann"}, Text: "hi"},
	})
}

func mailboxHarness(m *mailbox) Harness {
	return Harness{
		Connector: m, Account: channel.Account{ID: "c1", Kind: "mailbox", Config: []byte("{}")},
		Patience: 10 * time.Second,
		Put: func(_ context.Context, n int) error {
			m.mu.Lock()
			defer m.mu.Unlock()
			m.things = append(m.things, n)
			return nil
		},
	}
}

func TestAChannelThatFetchesKeepsTheContract(t *testing.T) {
	t.Parallel()
	Run(t, func(testing.TB) Harness { return mailboxHarness(&mailbox{}) })
}

// recorder is a testing.TB that remembers how the checks on it end.
type recorder struct {
	testing.TB
	mu      sync.Mutex
	said    []string
	failed  bool
	skipped bool
	cleanup []func()
}

func (r *recorder) say(fails bool, text string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.said = append(r.said, text)
	r.failed = r.failed || fails
}

func (r *recorder) Helper()                   {}
func (r *recorder) Error(args ...any)         { r.say(true, fmt.Sprint(args...)) }
func (r *recorder) Errorf(f string, a ...any) { r.say(true, fmt.Sprintf(f, a...)) }
func (r *recorder) Cleanup(f func())          { r.cleanup = append(r.cleanup, f) }

// A check ends early by a panic that try catches.
type ended struct{}

func (r *recorder) Fatal(args ...any)         { r.say(true, fmt.Sprint(args...)); panic(ended{}) }
func (r *recorder) Fatalf(f string, a ...any) { r.say(true, fmt.Sprintf(f, a...)); panic(ended{}) }
func (r *recorder) Skip(args ...any) {
	r.say(false, fmt.Sprint(args...))
	r.skipped = true
	panic(ended{})
}

// try runs the named check and returns how it ended.
func try(t *testing.T, name string, start func(t testing.TB) Harness) *recorder {
	for _, c := range checks() {
		if c.name != name {
			continue
		}
		r := &recorder{TB: t}
		ends := func(f func()) {
			defer func() {
				if e := recover(); e != nil && e != (ended{}) {
					panic(e)
				}
			}()
			f()
		}
		ends(func() { c.run(newBench(r, start)) })
		for len(r.cleanup) > 0 {
			last := r.cleanup[len(r.cleanup)-1]
			r.cleanup = r.cleanup[:len(r.cleanup)-1]
			ends(last)
		}
		return r
	}
	t.Fatalf("there is no check %q", name)
	return nil
}
