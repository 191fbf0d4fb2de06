package account_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

// growing is a body with other content each time it is read.
type growing struct{ n atomic.Int64 }

func (g *growing) Size() int64 { return 3 }

func (g *growing) Open() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(bytes.Repeat([]byte("x"), int(g.n.Add(100))))), nil
}

// broken is a body that can be read once.
type broken struct{ n atomic.Int64 }

func (b *broken) Size() int64 { return 3 }

func (b *broken) Open() (io.ReadCloser, error) {
	if b.n.Add(1) > 1 {
		return nil, errors.New("the disk is gone")
	}
	return io.NopCloser(strings.NewReader("abc")), nil
}

// TestOutcomes is the table of the package documentation, each row on the wire.
func TestOutcomes(t *testing.T) {
	t.Parallel()
	short := account.Timeouts{Command: 150 * time.Millisecond, Final: 150 * time.Millisecond}
	for _, c := range []struct {
		name     string
		fault    emailtest.Fault
		timeouts account.Timeouts
		outcome  channel.Outcome
		code     string
		auth     bool
		stored   int
	}{
		{name: "no greeting", fault: emailtest.Fault{At: emailtest.AtConnect, Drop: true}, outcome: channel.NotSent, code: "greeting"},
		{name: "silent greeting", fault: emailtest.Fault{At: emailtest.AtConnect, Hang: true}, timeouts: short, outcome: channel.NotSent, code: "greeting"},
		{name: "greeting 554", fault: emailtest.Fault{At: emailtest.AtConnect, Reply: "554 5.7.1 blocked"}, outcome: channel.NotSent, code: "smtp_554"},
		{name: "greeting 421", fault: emailtest.Fault{At: emailtest.AtConnect, Reply: "421 4.3.2 busy"}, outcome: channel.NotSent, code: "smtp_421"},
		{name: "greeting is HTTP", fault: emailtest.Fault{At: emailtest.AtConnect, Reply: "HTTP/1.1 400 Bad Request"}, outcome: channel.NotSent, code: "greeting"},
		{name: "hello 550", fault: emailtest.Fault{At: emailtest.AtHello, Reply: "550 5.7.1 go away"}, outcome: channel.NotSent, code: "smtp_550"},
		{name: "login 535", fault: emailtest.Fault{At: emailtest.AtAuth, Reply: "535 5.7.8 bad"}, outcome: channel.NotSent, code: "smtp_535", auth: true},
		{name: "login 534", fault: emailtest.Fault{At: emailtest.AtAuth, Reply: "534 5.7.9 app password"}, outcome: channel.NotSent, code: "smtp_534", auth: true},
		{name: "login 550 basic auth is off", fault: emailtest.Fault{At: emailtest.AtAuth, Reply: "550 5.7.30 Basic authentication is not supported for Client Submission"}, outcome: channel.NotSent, code: "smtp_550", auth: true},
		{name: "login 454", fault: emailtest.Fault{At: emailtest.AtAuth, Reply: "454 4.7.0 later"}, outcome: channel.NotSent, code: "smtp_454"},
		{name: "login dropped", fault: emailtest.Fault{At: emailtest.AtAuth, Drop: true}, outcome: channel.NotSent, code: "connection_lost"},
		{name: "sender 530", fault: emailtest.Fault{At: emailtest.AtMail, Reply: "530 5.7.0 authenticate"}, outcome: channel.NotSent, code: "smtp_530", auth: true},
		{name: "sender 451", fault: emailtest.Fault{At: emailtest.AtMail, Reply: "451 4.3.0 later"}, outcome: channel.NotSent, code: "smtp_451"},
		{name: "sender 421", fault: emailtest.Fault{At: emailtest.AtMail, Reply: "421 4.7.0 too fast"}, outcome: channel.NotSent, code: "smtp_421"},
		{name: "sender 553", fault: emailtest.Fault{At: emailtest.AtMail, Reply: "553 5.7.1 not yours"}, outcome: channel.Rejected, code: "smtp_553"},
		{name: "sender 552 size", fault: emailtest.Fault{At: emailtest.AtMail, Reply: "552 5.3.4 too big"}, outcome: channel.Rejected, code: "too_large"},
		{name: "sender dropped", fault: emailtest.Fault{At: emailtest.AtMail, Drop: true}, outcome: channel.NotSent, code: "connection_lost"},
		{name: "sender hangs", fault: emailtest.Fault{At: emailtest.AtMail, Hang: true}, timeouts: short, outcome: channel.NotSent, code: "timeout"},
		{name: "recipient 550", fault: emailtest.Fault{At: emailtest.AtRcpt, Reply: "550 5.1.1 unknown"}, outcome: channel.Rejected, code: "smtp_550"},
		{name: "recipient 450", fault: emailtest.Fault{At: emailtest.AtRcpt, Reply: "450 4.2.0 greylisted"}, outcome: channel.NotSent, code: "smtp_450"},
		{name: "recipient 552 5.5.3 means 452", fault: emailtest.Fault{At: emailtest.AtRcpt, Reply: "552 5.5.3 too many"}, outcome: channel.NotSent, code: "smtp_552"},
		{name: "recipient 421", fault: emailtest.Fault{At: emailtest.AtRcpt, Reply: "421 4.7.0 too many"}, outcome: channel.NotSent, code: "smtp_421"},
		{name: "recipient 530", fault: emailtest.Fault{At: emailtest.AtRcpt, Reply: "530 5.7.0 authenticate"}, outcome: channel.NotSent, code: "smtp_530", auth: true},
		{name: "recipient dropped", fault: emailtest.Fault{At: emailtest.AtRcpt, Drop: true}, outcome: channel.NotSent, code: "connection_lost"},
		{name: "data 451", fault: emailtest.Fault{At: emailtest.AtData, Reply: "451 4.3.0 later"}, outcome: channel.NotSent, code: "smtp_451"},
		{name: "data 554", fault: emailtest.Fault{At: emailtest.AtData, Reply: "554 5.5.0 no"}, outcome: channel.Rejected, code: "smtp_554"},
		{name: "data dropped", fault: emailtest.Fault{At: emailtest.AtData, Drop: true}, outcome: channel.NotSent, code: "connection_lost"},
		{name: "answer 452", fault: emailtest.Fault{At: emailtest.AtDot, Reply: "452 4.3.1 disk full"}, outcome: channel.NotSent, code: "smtp_452"},
		{name: "answer 421", fault: emailtest.Fault{At: emailtest.AtDot, Reply: "421 4.3.0 closing"}, outcome: channel.NotSent, code: "smtp_421"},
		{name: "answer 554 spam", fault: emailtest.Fault{At: emailtest.AtDot, Reply: "554 5.7.1 spam"}, outcome: channel.Rejected, code: "smtp_554"},
		{name: "answer 552 size", fault: emailtest.Fault{At: emailtest.AtDot, Reply: "552 too big"}, outcome: channel.Rejected, code: "too_large"},
		{name: "answer 523 size", fault: emailtest.Fault{At: emailtest.AtDot, Reply: "523 too big"}, outcome: channel.Rejected, code: "too_large"},
		{name: "lost after the dot, not stored", fault: emailtest.Fault{At: emailtest.AtDot, Drop: true}, outcome: channel.Unknown, code: "connection_lost"},
		{name: "lost after the dot, stored", fault: emailtest.Fault{At: emailtest.AtAnswer, Drop: true}, outcome: channel.Unknown, code: "connection_lost", stored: 1},
		{name: "silence after the dot", fault: emailtest.Fault{At: emailtest.AtAnswer, Hang: true}, timeouts: short, outcome: channel.Unknown, code: "timeout", stored: 1},
		{name: "garbage after the dot", fault: emailtest.Fault{At: emailtest.AtAnswer, Reply: "yes thanks"}, outcome: channel.Unknown, code: "protocol", stored: 1},
		{name: "354 after the dot", fault: emailtest.Fault{At: emailtest.AtAnswer, Reply: "354 go on"}, outcome: channel.Unknown, code: "smtp_354", stored: 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.srv.Fault(c.fault)
			w.connector.Timeouts = c.timeouts
			rec, err := w.open(t).Send(t.Context(), outbound("an@example.com"))
			se := sendError(t, err)
			require.Equal(t, c.outcome, se.Outcome, "%v", se)
			require.Equal(t, c.code, se.Code, "%v", se)
			require.Equal(t, c.auth, se.Authorization)
			require.NotEmpty(t, se.Reason)
			require.Len(t, w.srv.Messages(), c.stored)
			switch c.outcome {
			case channel.Rejected:
				require.Equal(t, channel.DeliveryFailed, stateOf(rec)["an@example.com"])
			case channel.Unknown:
				require.NotEmpty(t, rec.ExternalIDs, "what to look for")
				require.Empty(t, rec.Deliveries)
			default:
				require.NotContains(t, []channel.DeliveryState{channel.DeliverySent, channel.DeliveryFailed}, stateOf(rec)["an@example.com"])
			}
			want := channel.StateLive
			switch {
			case c.auth:
				want = channel.StateNeedsAuthorization
			case slices.Contains([]emailtest.Point{emailtest.AtConnect, emailtest.AtHello, emailtest.AtAuth}, c.fault.At):
				want = channel.StateDegraded
			}
			require.Equal(t, want, w.state())
		})
	}
}

func TestAMailCutInTheMiddleIsNotSent(t *testing.T) {
	t.Parallel()
	for name, f := range map[string]emailtest.Fault{
		"dropped":            {At: emailtest.AtBody, Drop: true, Bytes: 5000},
		"refused for now":    {At: emailtest.AtBody, Reply: "451 4.3.0 later", Bytes: 5000},
		"refused for good":   {At: emailtest.AtBody, Reply: "552 5.3.4 too big", Bytes: 5000},
		"no longer read":     {At: emailtest.AtBody, Drop: true},
		"dropped before dot": {At: emailtest.AtBody, Drop: true, Bytes: 20000},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.srv.Fault(f)
			out := outbound("an@example.com")
			out.Text = strings.Repeat("một dòng dài của thư này\n", 40_000)
			_, err := w.open(t).Send(t.Context(), out)
			se := sendError(t, err)
			if name == "refused for good" {
				// What a server said before it closed may be lost with it.
				require.NotEqual(t, channel.Unknown, se.Outcome)
			} else {
				require.Equal(t, channel.NotSent, se.Outcome)
			}
			require.Empty(t, w.srv.Messages())
		})
	}
}

func TestContentThatCannotBeReadIsNotSent(t *testing.T) {
	t.Parallel()
	w := setup(t)
	out := outbound("an@example.com")
	out.Attachments = []channel.Attachment{{Name: "a.bin", Type: "application/octet-stream", Size: 3, Body: &broken{}}}
	_, err := w.open(t).Send(t.Context(), out)
	require.Equal(t, channel.NotSent, sendError(t, err).Outcome)
	w.srv.Close()
	require.Empty(t, w.srv.Messages())
}

func TestRecipientsAreJudgedOneByOne(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.srv.Fault(emailtest.Fault{At: emailtest.AtRcpt, Recipient: "gone@example.com", Reply: "550-5.1.1 no\n550 5.1.1 such user"})
	w.srv.Fault(emailtest.Fault{At: emailtest.AtRcpt, Recipient: "full@example.com", Reply: "452 4.2.2 full", Times: 1})
	ch := w.open(t)
	out := outbound("ok@example.com", "gone@example.com", "full@example.com")
	rec, err := ch.Send(t.Context(), out)
	se := sendError(t, err)
	require.Equal(t, channel.NotSent, se.Outcome)
	require.Equal(t, "smtp_452", se.Code)
	require.Equal(t, map[string]channel.DeliveryState{
		"ok@example.com": channel.DeliverySent, "gone@example.com": channel.DeliveryFailed, "full@example.com": channel.DeliveryPending,
	}, stateOf(rec))
	for _, d := range rec.Deliveries {
		if d.Recipient == "gone@example.com" {
			require.Equal(t, "550 5.1.1 no such user", d.Detail)
		}
	}

	out.Taken = []string{"ok@example.com", "gone@example.com"}
	rec, err = ch.Send(t.Context(), out)
	require.NoError(t, err)
	require.Equal(t, map[string]channel.DeliveryState{"full@example.com": channel.DeliverySent}, stateOf(rec))
	got := w.srv.Messages()
	require.Len(t, got, 2)
	require.Equal(t, []string{"ok@example.com"}, got[0].To)
	require.Equal(t, []string{"full@example.com"}, got[1].To)
}

func TestARefusedRecipientBesideAnAcceptedOneIsNoError(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.srv.Fault(emailtest.Fault{At: emailtest.AtRcpt, Recipient: "gone@example.com", Reply: "550 5.1.1 no such user"})
	rec, err := w.open(t).Send(t.Context(), outbound("gone@example.com", "ok@example.com"))
	require.NoError(t, err)
	require.Equal(t, map[string]channel.DeliveryState{
		"ok@example.com": channel.DeliverySent, "gone@example.com": channel.DeliveryFailed,
	}, stateOf(rec))
}

func TestAServerThatClosesAmongTheRecipientsGetsNoMail(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.srv.Fault(emailtest.Fault{At: emailtest.AtRcpt, Recipient: "b@example.com", Reply: "421 4.7.0 closing", Times: 1})
	rec, err := w.open(t).Send(t.Context(), outbound("a@example.com", "b@example.com", "c@example.com"))
	se := sendError(t, err)
	require.Equal(t, channel.NotSent, se.Outcome)
	require.Equal(t, "smtp_421", se.Code)
	require.Empty(t, rec.Deliveries)
	require.Empty(t, w.srv.Messages())
}

func TestMixedRefusalsLeaveTheTemporaryOnesToARetry(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.srv.Fault(emailtest.Fault{At: emailtest.AtRcpt, Recipient: "gone@example.com", Reply: "550 5.1.1 no"})
	w.srv.Fault(emailtest.Fault{At: emailtest.AtRcpt, Recipient: "full@example.com", Reply: "452 4.2.2 full"})
	rec, err := w.open(t).Send(t.Context(), outbound("gone@example.com", "full@example.com"))
	require.Equal(t, channel.NotSent, sendError(t, err).Outcome)
	require.Equal(t, map[string]channel.DeliveryState{
		"gone@example.com": channel.DeliveryFailed, "full@example.com": channel.DeliveryPending,
	}, stateOf(rec))
}

// TestNeverTwoCopies acts as the engine does: it retries what was not sent,
// leaves out who has it, and stops at anything uncertain. Whatever goes wrong,
// nobody gets a mail twice, and a mail called sent has arrived.
func TestNeverTwoCopies(t *testing.T) {
	t.Parallel()
	var faults []emailtest.Fault
	for _, at := range []emailtest.Point{
		emailtest.AtConnect, emailtest.AtHello, emailtest.AtAuth, emailtest.AtMail, emailtest.AtRcpt,
		emailtest.AtData, emailtest.AtBody, emailtest.AtDot, emailtest.AtAnswer, emailtest.AtQuit,
	} {
		for skip := range 2 {
			faults = append(faults, emailtest.Fault{At: at, Drop: true, Times: 1, Skip: skip})
			if at != emailtest.AtAnswer { // to store and then say no is a lie
				faults = append(faults,
					emailtest.Fault{At: at, Reply: "451 4.0.0 later", Times: 1, Skip: skip},
					emailtest.Fault{At: at, Reply: "550 5.0.0 never", Times: 1, Skip: skip})
			}
		}
	}
	for _, f := range faults {
		t.Run(fmt.Sprintf("%s drop=%v reply=%.3s skip=%d", f.At, f.Drop, f.Reply, f.Skip), func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.srv.Fault(f)
			ch := w.open(t)
			out := outbound("a@example.com", "b@example.com", "c@example.com")
			var err error
			failed := map[string]bool{}
			for range 4 {
				var rec channel.Receipt
				rec, err = ch.Send(t.Context(), out)
				for who, state := range stateOf(rec) {
					if state == channel.DeliverySent || state == channel.DeliveryFailed {
						out.Taken = append(out.Taken, who)
						failed[who] = state == channel.DeliveryFailed
					}
				}
				if err == nil || sendError(t, err).Outcome != channel.NotSent {
					break
				}
			}
			w.srv.Close()
			copies := map[string]int{}
			for _, m := range w.srv.Messages() {
				for _, to := range m.To {
					copies[to]++
				}
			}
			for _, to := range out.To {
				require.LessOrEqual(t, copies[to.Address], 1)
				if err == nil && !failed[to.Address] {
					require.Equal(t, 1, copies[to.Address], "called sent")
				}
			}
		})
	}
}

func TestCancellingEndsASendAtOnce(t *testing.T) {
	t.Parallel()
	for at, want := range map[emailtest.Point]channel.Outcome{
		emailtest.AtConnect: channel.NotSent, emailtest.AtHello: channel.NotSent, emailtest.AtAuth: channel.NotSent,
		emailtest.AtMail: channel.NotSent, emailtest.AtRcpt: channel.NotSent, emailtest.AtData: channel.NotSent,
		emailtest.AtDot: channel.Unknown, emailtest.AtAnswer: channel.Unknown,
	} {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			w := setup(t)
			w.srv.Fault(emailtest.Fault{At: at, Hang: true})
			ctx, cancel := context.WithCancel(t.Context())
			ch := w.open(t)
			done := make(chan error, 1)
			go func() {
				_, err := ch.Send(ctx, outbound("an@example.com"))
				done <- err
			}()
			require.Eventually(t, func() bool { return w.srv.Connections() > 0 }, time.Minute, time.Millisecond)
			cancel() // with the default timeouts it would hang for minutes
			err := <-done
			se := sendError(t, err)
			if se.Outcome != channel.NotSent { // it may not have come that far
				require.Equal(t, want, se.Outcome)
			}
			require.ErrorIs(t, err, context.Canceled)
			require.NotEqual(t, channel.StateDegraded, w.state(), "it was we who broke off")
		})
	}
}

func TestCancellingBetweenHandedAndTheDotSendsNothing(t *testing.T) {
	t.Parallel()
	w := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	out := outbound("an@example.com")
	out.Handed = func(context.Context) error {
		cancel()
		return nil
	}
	_, err := w.open(t).Send(ctx, out)
	require.Equal(t, channel.NotSent, sendError(t, err).Outcome)
	w.srv.Close()
	require.Empty(t, w.srv.Messages())
}

func TestADeadlineTellsAgainstTheServer(t *testing.T) {
	t.Parallel()
	for _, at := range []emailtest.Point{emailtest.AtConnect, emailtest.AtMail} {
		w := setup(t)
		w.srv.Fault(emailtest.Fault{At: at, Hang: true})
		ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
		defer cancel()
		_, err := w.open(t).Send(ctx, outbound("an@example.com"))
		require.ErrorIs(t, err, context.DeadlineExceeded)
		require.Equal(t, channel.NotSent, sendError(t, err).Outcome)
		if at == emailtest.AtConnect {
			require.Equal(t, channel.StateDegraded, w.state())
		}
	}
}

func TestAServerThatStopsReadingIsLeft(t *testing.T) {
	t.Parallel()
	w := setup(t, emailtest.WithTLS(), emailtest.WithUser(address, password), emailtest.WithMaxSize(100<<20))
	w.srv.Fault(emailtest.Fault{At: emailtest.AtBody, Hang: true, Bytes: 1})
	w.connector.Timeouts.Block = 200 * time.Millisecond
	out := outbound("an@example.com")
	out.Attachments = []channel.Attachment{{Name: "a.bin", Type: "application/octet-stream", Body: channel.Bytes(make([]byte, 24<<20))}}
	_, err := w.open(t).Send(t.Context(), out)
	se := sendError(t, err)
	require.Equal(t, channel.NotSent, se.Outcome)
	require.Equal(t, "timeout", se.Code)
}
