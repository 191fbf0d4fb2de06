package account_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/emailtest"
)

// crash ends a run at its n-th step: before or after the cursor is saved or a
// mail is committed. Of a step after, what was done stays done.
type crash struct {
	mu   sync.Mutex
	left int
	once sync.Once
	now  chan struct{}
}

var errCrashed = errors.New("crashed")

func (c *crash) step() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.left--; c.left <= 0 {
		c.once.Do(func() { close(c.now) })
		return errCrashed
	}
	return nil
}

func (c *crash) around(do func() error) error {
	if err := c.step(); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	return c.step()
}

func TestACrashAtAnyStepLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	day := time.Now().AddDate(0, 0, -3).UTC().Truncate(time.Second)
	for policy, history := range map[string][]string{"none": nil, "all": numbers(0, 4), day.Format(time.RFC3339): numbers(2, 4)} {
		for n := 1; n <= 24; n++ {
			t.Run(fmt.Sprint(strings.Split(policy, "T")[0], " ", n), func(t *testing.T) {
				t.Parallel()
				b, srv := newInbox(t)
				b.conf.IMAP.FirstSync, b.conf.IMAP.After = policy, "seen"
				for i := range 5 {
					srv.Add("INBOX", letter(i), day.AddDate(0, 0, i-2))
				}
				c := &crash{left: n, now: make(chan struct{})}
				save := b.env.SaveState
				b.env.SaveState = func(ctx context.Context, s []byte) error {
					return c.around(func() error { return save(ctx, s) })
				}
				stop := b.receiveTo(t, channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error {
					return c.around(func() error { return b.sink.Accept(ctx, items...) })
				}))
				select {
				case <-c.now:
				case <-time.After(200 * time.Millisecond): // there are not so many steps
				}
				stop()
				b.env.SaveState = save
				b.mu.Lock()
				begun := len(b.state) > 0
				b.mu.Unlock()
				for i := 5; i < 9; i++ {
					srv.Add("INBOX", letter(i), time.Now())
				}
				want := append(slices.Clone(history), numbers(5, 8)...)
				if policy == "none" && !begun {
					want = nil // it begins only now
				}
				b.receive(t)
				b.until(t, "live", is(channel.StateLive))
				srv.Add("INBOX", letter(9), time.Now())
				want = append(want, "9")
				require.Equal(t, want, subjects(b.wait(t, len(want))))
				require.Eventually(t, func() bool { return b.srv.Seen(t, "INBOX") == len(want) }, patience, 5*time.Millisecond)
			})
		}
	}
}

func TestTwoNodesAtOnceDoubleNothing(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	b.conf.IMAP.After = "move:Archive"
	// One has lost the lease and does not know it yet.
	b.receive(t)
	b.receive(t)
	for n := range 60 {
		srv.Add("INBOX", letter(n), time.Now())
		if n%20 == 0 {
			srv.Disconnect()
		}
	}
	got := subjects(b.wait(t, 60))
	slices.Sort(got)
	want := numbers(0, 59)
	slices.Sort(want)
	require.Equal(t, want, got)
	require.Eventually(t, func() bool { return len(srv.Mails("INBOX")) == 0 }, patience, 5*time.Millisecond)
	require.Len(t, srv.Mails("Archive"), 60)
}

func TestSendingIsFoundWellAgainThoughNobodySends(t *testing.T) {
	t.Parallel()
	b, _ := newInbox(t)
	b.connector.Receiving.Idle = 20 * time.Millisecond
	out := emailtest.NewSMTP(t, emailtest.WithUser(address, password))
	b.conf.SMTP.Host, b.conf.SMTP.Port, b.conf.SMTP.Security = out.Host(), out.Port(), "none"
	out.Fault(emailtest.Fault{At: emailtest.AtConnect, Reply: "421 4.3.2 later", Times: 2})
	pass := b.clock()
	ch := b.open(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- ch.(channel.Receiver).Receive(ctx, b.sink) }()
	b.until(t, "live", is(channel.StateLive))
	_, err := ch.(channel.Sender).Send(ctx, outbound("mai@c.example")) // and is then cancelled
	require.Error(t, err)
	b.until(t, "degraded", is(channel.StateDegraded))
	last := func() channel.State {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.statuses[len(b.statuses)-1].State
	}
	require.Equal(t, channel.StateDegraded, last())
	require.Eventually(t, func() bool { // the first try fails, too
		pass(time.Minute)
		return last() == channel.StateLive
	}, patience, 20*time.Millisecond)
	require.Empty(t, out.Messages())
	cancel()
	require.NoError(t, <-done)
}
