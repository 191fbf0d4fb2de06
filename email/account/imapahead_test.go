package account_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/emailtest"
)

// Mails are taken in as they stand in the folder: the first alone, then 2 at a
// time, then 4, and so on. While 2 and 3 are committed, 4 to 7 are fetched.
const (
	secondBatch = 2
	thirdFetch  = "UID FETCH 4:7 "
)

// gate is a sink that waits at its n-th call until it is opened.
type gate struct {
	next          channel.Sink
	at            int
	reached, open chan struct{}

	mu    sync.Mutex
	calls int
}

func newGate(next channel.Sink, at int) *gate {
	return &gate{next: next, at: at, reached: make(chan struct{}), open: make(chan struct{})}
}

// receive has an account receive into it. It is opened in the end, whatever has
// failed.
func (g *gate) receive(t *testing.T, b *inbox) {
	t.Helper()
	stop := b.receiveTo(t, g)
	t.Cleanup(func() {
		select {
		case <-g.open:
		default:
			close(g.open)
		}
		stop()
	})
}

func (g *gate) Accept(ctx context.Context, items ...*channel.Item) error {
	g.mu.Lock()
	g.calls++
	here := g.calls == g.at
	g.mu.Unlock()
	if here {
		close(g.reached)
		<-g.open
	}
	return g.next.Accept(ctx, items...)
}

// called waits until the sink is at its call.
func (g *gate) called(t *testing.T) {
	t.Helper()
	select {
	case <-g.reached:
	case <-time.After(patience):
		t.Fatal("the sink was never called")
	}
}

// until waits until the sink is at its call and the server was asked for the
// batch behind.
func (g *gate) until(t *testing.T, srv *emailtest.IMAP) {
	t.Helper()
	g.called(t)
	require.Eventually(t, func() bool { return bodies(srv, thirdFetch) > 0 }, patience, time.Millisecond, "%v", srv.Commands())
}

// bodies counts the commands that ask for the beginning of mails.
func bodies(srv *emailtest.IMAP, prefix string) int {
	n := 0
	for _, line := range srv.Commands() {
		if strings.HasPrefix(line, prefix) && strings.Contains(line, "BODY.PEEK[]<0.") {
			n++
		}
	}
	return n
}

func TestTheNextBatchIsFetchedWhileOneIsCommitted(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	addLetters(srv, 40)
	g := newGate(b.sink, secondBatch)
	g.receive(t, b)
	g.until(t, srv)
	require.EqualValues(t, 1, b.saved(t).UID, "what is fetched is not taken in")
	close(g.open)
	require.Equal(t, numbers(0, 39), subjects(b.wait(t, 40)))
	require.Zero(t, b.sink.Duplicates())
	require.Equal(t, 1, srv.Connections())
}

// saved returns the cursor that was saved last.
func (b *inbox) saved(t *testing.T) (c struct{ UIDValidity, UID uint32 }) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	require.NoError(t, json.Unmarshal(b.state, &c))
	return c
}

func TestNoMoreThanOneBatchIsFetchedAhead(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	addLetters(srv, 700)
	var mu sync.Mutex
	calls, most, ahead := 0, 0, 0
	stop := b.receiveTo(t, channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error {
		mu.Lock()
		calls++
		most, ahead = max(most, len(items)), max(ahead, bodies(srv, "UID FETCH ")-calls)
		mu.Unlock()
		return b.sink.Accept(ctx, items...)
	}))
	require.Equal(t, numbers(0, 699), subjects(b.wait(t, 700)))
	stop()
	require.LessOrEqual(t, ahead, 1)
	require.Equal(t, 100, most)
}

func TestAConnectionThatEndsAheadOfTheCommitLosesAndDoublesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		fault emailtest.Fault
		cut   bool
	}{
		"after the batch has come": {cut: true},
		"within a mail":            {fault: emailtest.Fault{At: emailtest.AtLiteral, UID: 6, Bytes: 100, Drop: true, Times: 1}},
		"between command and mail": {fault: emailtest.Fault{At: emailtest.AtFetch, UID: 4, Skip: 1, Drop: true, Times: 1}},
		"at the description":       {fault: emailtest.Fault{At: emailtest.AtFetch, UID: 8, Drop: true, Times: 1}},
		"by a refusal":             {fault: emailtest.Fault{At: emailtest.AtFetch, UID: 4, Skip: 1, Reply: "NO [SERVERBUG] not now", Times: 1}},
	} {
		for _, after := range []string{"leave", "seen"} {
			t.Run(name+", "+after, func(t *testing.T) {
				t.Parallel()
				b, srv := newInbox(t)
				b.conf.IMAP.After = after
				addLetters(srv, 20)
				if c.fault.At != "" {
					srv.Fault(c.fault)
				}
				g := newGate(b.sink, secondBatch)
				g.receive(t, b)
				g.until(t, srv)
				if c.cut {
					srv.Disconnect()
				}
				close(g.open)
				require.Equal(t, numbers(0, 19), subjects(b.wait(t, 20)))
				require.Zero(t, b.sink.Duplicates())
				require.Eventually(t, func() bool { return b.saved(t).UID == 20 }, patience, time.Millisecond)
				want := 0
				if after == "seen" {
					want = 20
				}
				require.Eventually(t, func() bool { return b.srv.Seen(t, "INBOX") == want }, patience, 5*time.Millisecond)
			})
		}
	}
}

func TestACommitThatFailsIsNotOvertakenByWhatWasFetchedMeanwhile(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	addLetters(srv, 20)
	var mu sync.Mutex
	down, last := true, -1
	g := newGate(channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error {
		mu.Lock()
		defer mu.Unlock()
		for _, it := range items {
			var n int
			if _, err := fmt.Sscanf(it.Message.Subject, "letter %d", &n); err != nil || n != last+1 {
				t.Errorf("%q came after letter %d", it.Message.Subject, last)
			}
			if down && n >= 1 {
				return errors.New("the store is down")
			}
			last = n
		}
		return b.sink.Accept(ctx, items...)
	}), secondBatch)
	g.receive(t, b)
	g.until(t, srv)
	close(g.open)
	b.until(t, "degraded", func(s channel.Status) bool { return strings.Contains(s.Reason, "the store is down") })
	require.EqualValues(t, 1, b.saved(t).UID)
	mu.Lock()
	down = false
	mu.Unlock()
	require.Equal(t, numbers(0, 19), subjects(b.wait(t, 20)))
	require.Zero(t, b.sink.Duplicates())
}

func TestACommitThatFailsDoesNotWaitForASilentServer(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	b.connector.Receiving.Fetch = time.Hour
	addLetters(srv, 20)
	srv.Fault(emailtest.Fault{At: emailtest.AtFetch, UID: 4, Skip: 1, Hang: true, Times: 1})
	// The batch fails, and then the first of its mails alone.
	g := newGate(&failing{next: b.sink, from: secondBatch, times: 2}, secondBatch)
	g.receive(t, b)
	g.until(t, srv)
	require.Eventually(t, func() bool { return srv.Struck() == 1 }, patience, time.Millisecond)
	close(g.open)
	require.Equal(t, numbers(0, 19), subjects(b.wait(t, 20)))
	require.Equal(t, 2, srv.Connections())
}

// failing is a sink that fails some times, from its n-th call on.
type failing struct {
	next        channel.Sink
	from, times int

	mu    sync.Mutex
	calls int
}

func (f *failing) Accept(ctx context.Context, items ...*channel.Item) error {
	f.mu.Lock()
	f.calls++
	fails := f.calls >= f.from && f.calls < f.from+f.times
	f.mu.Unlock()
	if fails {
		return errors.New("the store is down")
	}
	return f.next.Accept(ctx, items...)
}

func TestNewNumbersWhileABatchWaitsLoseNothing(t *testing.T) {
	t.Parallel()
	for _, after := range []string{"leave", "seen", "move:Archive", "delete"} {
		t.Run(after, func(t *testing.T) {
			t.Parallel()
			b, srv := newInbox(t)
			b.conf.IMAP.After = after
			addLetters(srv, 20)
			g := newGate(b.sink, secondBatch)
			g.receive(t, b)
			g.until(t, srv)
			old := b.saved(t).UIDValidity
			// Every number is another mail's now.
			srv.Remove("INBOX", 1, 2, 3)
			srv.Renumber("INBOX")
			srv.Add("INBOX", letter(20), time.Now())
			close(g.open)
			require.Equal(t, numbers(0, 20), subjects(b.wait(t, 21)))
			require.Eventually(t, func() bool {
				c := b.saved(t)
				return c.UIDValidity != old && c.UID == 18
			}, patience, time.Millisecond)
			switch after {
			case "leave":
				require.Zero(t, b.srv.Seen(t, "INBOX"))
			case "seen":
				require.Eventually(t, func() bool { return b.srv.Seen(t, "INBOX") == 18 }, patience, 5*time.Millisecond)
			default:
				require.Eventually(t, func() bool { return b.srv.Count(t, "INBOX") == 0 }, patience, 5*time.Millisecond)
			}
		})
	}
}

func TestAFolderReplacedBetweenBatchesIsReadAnew(t *testing.T) {
	t.Parallel()
	b, srv, tp := newTampered(t)
	b.conf.IMAP.After = "seen"
	addLetters(srv, 20)
	g := newGate(b.sink, secondBatch)
	g.receive(t, b)
	g.until(t, srv)
	old := b.saved(t).UIDValidity
	// Seen when the folder is opened for writing, by the same connection.
	tp.set(replaced(fmt.Sprintf("[UIDVALIDITY %d]", old), fmt.Sprintf("[UIDVALIDITY %d]", old+1)), nil)
	close(g.open)
	require.Equal(t, numbers(0, 19), subjects(b.wait(t, 20)))
	require.Eventually(t, func() bool { c := b.saved(t); return c.UIDValidity == old+1 && c.UID == 20 }, patience, time.Millisecond)
	require.Eventually(t, func() bool { return b.srv.Seen(t, "INBOX") == 20 }, patience, 5*time.Millisecond)
	// 4 to 7 had come and were thrown away, so that they came again as the rest.
	require.Equal(t, 3, b.sink.Duplicates(), "the three that were committed, and no more")
}

// TestAServerThatLiesAboutSizesSendsNoMoreThanOneFlight: it says of every mail that
// it is small, so that many are fetched by one command, and they are not.
func TestAServerThatLiesAboutSizesSendsNoMoreThanOneFlight(t *testing.T) {
	t.Parallel()
	b, srv, tp := newTampered(t)
	size := regexp.MustCompile(`RFC822\.SIZE [0-9]+`)
	tp.set(func(line string) string {
		if strings.HasPrefix(line, "* ") {
			line = size.ReplaceAllString(line, "RFC822.SIZE 100")
		}
		return line
	}, nil)
	const mails = 63 // 1, 2, 4, 8, 16 and 32 at a time
	body := strings.Repeat(strings.Repeat("x", 510)+"\r\n", 1300)
	for n := range mails {
		srv.Add("INBOX", letterOf(n, body), time.Now())
	}
	b.receive(t)
	require.Equal(t, numbers(0, mails-1), subjects(b.wait(t, mails)))
	require.Zero(t, b.sink.Duplicates())
	require.Equal(t, 2, srv.Connections(), "the last 32 mails are more than one command may bring")
}
