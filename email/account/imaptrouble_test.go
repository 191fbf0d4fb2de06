package account_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/oauth2"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

func TestRefusedCredentialsAskAPersonOnce(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	b.conf.Password = "wrong-password"
	b.receive(t)
	st := b.until(t, "in need of authorization", is(channel.StateNeedsAuthorization))
	require.NotContains(t, st.Reason, "wrong-password")
	require.WithinDuration(t, time.Now().Add(time.Hour), st.NextTry, 30*time.Minute)
	require.Equal(t, 3, srv.Connections())
	require.NotContains(t, b.logs.String(), "wrong-password")
}

func TestALoginRefusedForAWhileNeedsNobody(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	srv.Fault(emailtest.Fault{At: emailtest.AtLogin, Reply: "NO [UNAVAILABLE] later", Times: 6})
	srv.Add("INBOX", letter(1), time.Now())
	b.receive(t)
	b.wait(t, 1)
	require.GreaterOrEqual(t, srv.Connections(), 7)
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, s := range b.statuses {
		require.NotEqual(t, channel.StateNeedsAuthorization, s.State)
	}
}

func TestTokensOpenAFolder(t *testing.T) {
	t.Parallel()
	for _, hide := range []string{"AUTH=OAUTHBEARER", "AUTH=XOAUTH2"} {
		t.Run("without "+hide, func(t *testing.T) {
			t.Parallel()
			srv := emailtest.NewIMAP(t, emailtest.IMAPWithSTARTTLS(), emailtest.IMAPWithToken(address, token))
			srv.Hide(hide)
			b := newInboxAt(t, fakeIMAP{srv}, account.STARTTLS)
			b.conf.Auth, b.conf.Password = account.AuthOAuth2, ""
			current := "expired-token-1"
			var mu sync.Mutex
			b.connector.TokenSource = func(context.Context, channel.Account) (oauth2.TokenSource, error) {
				mu.Lock()
				defer mu.Unlock()
				out := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: current})
				current = token
				return out, nil
			}
			srv.Add("INBOX", letter(1), time.Now())
			b.receive(t)
			b.wait(t, 1)
			require.NotContains(t, b.logs.String(), "expired-token-1")
		})
	}
}

func TestAPoisonMailDoesNotStopTheOthers(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	pass := b.clock()
	b.connector.Receiving.Idle = 20 * time.Millisecond
	addLetters(srv, 10)
	b.conf.IMAP.After = "delete"
	srv.Fault(emailtest.Fault{At: emailtest.AtFetch, UID: 4, Drop: true})
	b.receive(t)
	require.Equal(t, append(numbers(0, 2), numbers(4, 9)...), subjects(b.wait(t, 9)))
	b.until(t, "live", is(channel.StateLive))
	// It is tried again over hours, and then reported; it stays where it is.
	done := make(chan struct{})
	defer close(done)
	go func() {
		for {
			select {
			case <-done:
				return
			case <-time.After(5 * time.Millisecond):
				pass(time.Hour)
			}
		}
	}()
	last := b.wait(t, 10)[9]
	require.Equal(t, channel.CausePoison, last.Quarantined)
	require.Contains(t, last.Detail, "mail 4")
	require.Eventually(t, func() bool { return len(srv.Mails("INBOX")) == 1 }, patience, 5*time.Millisecond)
}

func TestAMailSetAsideComesWhenItCan(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	pass := b.clock()
	b.connector.Receiving.Idle = 20 * time.Millisecond
	addLetters(srv, 3)
	srv.Fault(emailtest.Fault{At: emailtest.AtFetch, UID: 1, Reply: "NO [SERVERBUG] cannot read it"})
	stop := b.receive(t)
	b.wait(t, 2)
	b.until(t, "live", is(channel.StateLive))
	stop()
	srv.Heal()
	pass(2 * time.Minute)
	b.receive(t) // a restart does not forget it
	require.Equal(t, []string{"1", "2", "0"}, subjects(b.wait(t, 3)))
}

func TestAThrottlingServerIsGivenTime(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	srv.Add("INBOX", letter(1), time.Now())
	srv.Fault(emailtest.Fault{At: emailtest.AtSearch, Reply: "NO [LIMIT] slow down", Times: 5})
	srv.Fault(emailtest.Fault{At: emailtest.AtLiteral, Slow: 100 * time.Microsecond})
	b.receive(t)
	b.wait(t, 1)
	b.until(t, "degraded", func(s channel.Status) bool { return strings.Contains(s.Reason, "slow down") })
}

func TestAMailThatIsRejectedTakesNoOtherOfItsBatchAlong(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	addLetters(srv, 60)
	next, batches := b.sink, 0
	stop := b.receiveTo(t, channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error {
		if len(items) > 1 {
			batches++
		}
		for _, it := range items {
			if slices.Contains([]string{"letter 7", "letter 33"}, it.Message.Subject) {
				return channel.ErrRejected
			}
		}
		return next.Accept(ctx, items...)
	}))
	want := slices.DeleteFunc(numbers(0, 59), func(n string) bool { return n == "7" || n == "33" })
	require.Equal(t, want, subjects(b.wait(t, 58)))
	stop()
	require.Zero(t, b.sink.Duplicates())
	require.Positive(t, batches)
}

func TestTheCursorNeverLeadsTheCommit(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	addLetters(srv, 30)
	var mu sync.Mutex
	calls, accepted := 0, 0
	down := errors.New("the store is down")
	next, save := b.sink, b.env.SaveState
	b.env.SaveState = func(ctx context.Context, s []byte) error {
		var c struct{ UID int }
		mu.Lock()
		defer mu.Unlock()
		if err := json.Unmarshal(s, &c); err != nil || c.UID > accepted {
			t.Errorf("the cursor %s was saved when %d mails were committed", s, accepted)
		}
		return save(ctx, s)
	}
	stop := b.receiveTo(t, channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error {
		mu.Lock()
		defer mu.Unlock()
		if calls++; calls%3 == 0 {
			return down
		}
		if err := next.Accept(ctx, items...); err != nil {
			return err
		}
		accepted += len(items)
		return nil
	}))
	require.Equal(t, numbers(0, 29), subjects(b.wait(t, 30)), "in order, whatever fails")
	stop()
	b.mu.Lock()
	defer b.mu.Unlock()
	var last uint32
	for _, s := range b.states {
		var c struct{ UID uint32 }
		require.NoError(t, json.Unmarshal(s, &c))
		require.GreaterOrEqual(t, c.UID, last)
		last = c.UID
	}
	require.LessOrEqual(t, last, uint32(30))
	require.Positive(t, b.counted(func(s channel.Status) bool { return strings.Contains(s.Reason, "the store is down") }))
}

// counted counts statuses. b.mu is held.
func (b *inbox) counted(ok func(channel.Status) bool) int {
	n := 0
	for _, s := range b.statuses {
		if ok(s) {
			n++
		}
	}
	return n
}

func TestACrashBetweenCommitAndCursorDoublesNothing(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	addLetters(srv, 5)
	save := b.env.SaveState
	var mu sync.Mutex
	broken := true
	first := true
	b.env.SaveState = func(ctx context.Context, s []byte) error {
		mu.Lock()
		defer mu.Unlock()
		if broken && !first {
			return errors.New("cannot save")
		}
		first = false
		return save(ctx, s)
	}
	stop := b.receive(t)
	b.wait(t, 1)
	stop()
	mu.Lock()
	broken = false
	mu.Unlock()
	b.receive(t)
	require.Equal(t, numbers(0, 4), subjects(b.wait(t, 5)))
	require.Positive(t, b.sink.Duplicates(), "it came again, with the same key")
}

func TestALostStateIsNotTakenForAFirstSync(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	b.conf.IMAP.FirstSync = "none"
	load := b.env.LoadState
	fails := 3
	var mu sync.Mutex
	stop := b.receive(t)
	b.until(t, "live", is(channel.StateLive))
	stop()
	srv.Add("INBOX", letter(1), time.Now())
	b.env.LoadState = func(ctx context.Context) ([]byte, error) {
		mu.Lock()
		defer mu.Unlock()
		if fails--; fails > 0 {
			return nil, errors.New("cannot load")
		}
		return load(ctx)
	}
	b.receive(t)
	b.wait(t, 1)
}

func TestAMailThatTurnsUpBeforeTheCursorIsTakenIn(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	srv.Add("INBOX", letter(1), time.Now())
	b.receive(t)
	b.wait(t, 1)
	late := srv.Skip("INBOX", 1)
	srv.Add("INBOX", letter(2), time.Now())
	b.wait(t, 2)
	require.Eventually(t, func() bool { return srv.Idling() == 1 }, patience, time.Millisecond)
	srv.AddAt("INBOX", late, letter(3), time.Now())
	require.Equal(t, []string{"1", "2", "3"}, subjects(b.wait(t, 3)))
	require.Zero(t, b.sink.Duplicates())
}

func TestAMailOverTheLimitComesAsANote(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	b.connector.Receiving.Mail = 1 << 20
	b.conf.IMAP.After = "delete"
	srv.Add("INBOX", letterOf(1, strings.Repeat("much\r\n", 400_000)), time.Now())
	srv.Add("INBOX", letter(2), time.Now())
	b.receive(t)
	items := b.wait(t, 2)
	require.Equal(t, []string{"1", "2"}, subjects(items))
	require.Contains(t, items[0].Message.Text, "more than is taken in")
	require.Equal(t, "mai1@c.example", items[0].Message.From.Address)
	require.Less(t, items[0].Raw.Size(), int64(2000))
	require.Eventually(t, func() bool { return len(srv.Mails("INBOX")) == 1 }, patience, 5*time.Millisecond)
	require.EqualValues(t, 1, srv.Mails("INBOX")[0].UID, "the mail itself stays")
}

// keeper is a sink that keeps bodies.
type keeper struct {
	*channeltest.RecordingSink
	mu              sync.Mutex
	kept, discarded int
	body            bytes.Buffer
}

func (k *keeper) KeepBody(context.Context) (channel.KeptBody, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.kept++
	return &keptBody{k: k}, nil
}

type keptBody struct {
	k *keeper
	b bytes.Buffer
}

func (b *keptBody) Write(p []byte) (int, error) { return b.b.Write(p) }
func (b *keptBody) Finish() (channel.Body, error) {
	b.k.mu.Lock()
	defer b.k.mu.Unlock()
	b.k.body.Write(b.b.Bytes())
	return channel.Bytes(b.b.Bytes()), nil
}

func (b *keptBody) Discard() {
	b.k.mu.Lock()
	defer b.k.mu.Unlock()
	b.k.discarded++
}

func TestALargeMailIsKeptByTheSink(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	raw := letterOf(1, strings.Repeat("a line of a large mail\r\n", 60_000))
	srv.Add("INBOX", raw, time.Now())
	k := &keeper{RecordingSink: b.sink}
	b.connector.Receiving.SpoolDir = "/nowhere" // not needed
	stop := b.receiveTo(t, k)
	items := b.wait(t, 1)
	stop()
	require.Equal(t, 1, k.kept)
	require.Equal(t, k.kept, k.discarded)
	require.True(t, bytes.Equal(raw, k.body.Bytes()))
	r, err := items[0].Raw.Open()
	require.NoError(t, err)
	defer r.Close()
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.True(t, bytes.Equal(raw, got))
}

func TestFoldersThatCustomersDoNotWriteToAreNotRead(t *testing.T) {
	t.Parallel()
	for folder, want := range map[string]string{
		"Sent": `\sent`, `\Trash`: `\trash`, "Drafts": `\drafts`, "Missing": "there is no folder", `\Junk`: "",
	} {
		t.Run(folder, func(t *testing.T) {
			t.Parallel()
			b, srv := newInbox(t)
			b.conf.IMAP.Folder = folder
			srv.Add("Junk", letter(1), time.Now())
			f := b.open(t).(channel.Checker).Check(t.Context())
			last := f[len(f)-1]
			b.receive(t)
			if want == "" {
				require.Equal(t, "ok", last.Code)
				b.wait(t, 1)
				return
			}
			require.Equal(t, "folder", last.Code)
			require.Contains(t, last.Text, want)
			b.until(t, "degraded", func(s channel.Status) bool {
				return s.State == channel.StateDegraded && strings.Contains(s.Reason, want)
			})
		})
	}
}
