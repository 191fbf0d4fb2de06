package account_test

import (
	"context"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/emailtest"
)

// What the IMAP library leaves to who uses it, one test each.

func TestMovingWithoutMOVELosesNothing(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		hide    []string
		target  string
		inbox   int
		archive int
		flag    string
	}{
		"copied, then removed":                 {[]string{"MOVE"}, "Archive", 1, 1, ""},
		"the folder does not exist":            {[]string{"MOVE"}, "Nowhere", 2, 0, ""},
		"it does not exist, and there is MOVE": {nil, "Nowhere", 2, 0, ""},
		"no safe way":                          {[]string{"MOVE", "UIDPLUS"}, "Archive", 2, 0, "$AnteroomTaken"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, srv := newInbox(t)
			for _, h := range c.hide {
				srv.Hide(h)
			}
			// What another client has marked must not be expunged by us.
			other := srv.Add("INBOX", letter(9), time.Now())
			srv.Flag("INBOX", other, `\Deleted`)
			b.conf.IMAP.FirstSync, b.conf.IMAP.After = "none", "move:"+c.target
			b.receive(t)
			b.until(t, "live", is(channel.StateLive))
			srv.Add("INBOX", letter(1), time.Now())
			b.wait(t, 1)
			require.Eventually(t, func() bool {
				tried := 0
				for _, line := range srv.Commands() {
					if strings.Contains(line, " MOVE ") || strings.Contains(line, "COPY") || strings.Contains(line, "$Anteroom") {
						tried++
					}
				}
				return tried > 0 && srv.Idling() == 1 && len(srv.Mails("INBOX")) == c.inbox
			}, patience, 5*time.Millisecond, "%v", srv.Commands())
			require.Len(t, srv.Mails("Archive"), c.archive)
			if c.flag != "" {
				require.Contains(t, srv.Mails("INBOX")[1].Flags, c.flag)
			}
			if c.archive == 0 {
				b.until(t, "live with a note", func(s channel.Status) bool { return s.State == channel.StateLive && s.Reason != "" })
			}
			// And it goes on.
			srv.Add("INBOX", letter(2), time.Now())
			require.Equal(t, []string{"1", "2"}, subjects(b.wait(t, 2)))
		})
	}
}

func TestASilentServerIsLeftAtEachCommand(t *testing.T) {
	t.Parallel()
	for _, at := range []emailtest.Point{
		emailtest.AtConnect, emailtest.AtLogin, "ID", emailtest.AtSelect, emailtest.AtSearch, emailtest.AtFetch,
		emailtest.AtLiteral, emailtest.AtStore, emailtest.AtIdle, emailtest.AtDone,
	} {
		t.Run(string(at), func(t *testing.T) {
			t.Parallel()
			b, srv := newInbox(t)
			b.connector.Receiving.Command, b.connector.Receiving.Fetch = 150*time.Millisecond, 150*time.Millisecond
			b.connector.Receiving.Idle = 50 * time.Millisecond
			b.connector.Timeouts.Connect = 150 * time.Millisecond
			b.conf.IMAP.After = "seen"
			srv.Fault(emailtest.Fault{At: at, Hang: true, Times: 1})
			srv.Add("INBOX", letter(1), time.Now())
			b.receive(t)
			require.Equal(t, []string{"1"}, subjects(b.wait(t, 1)))
			require.Eventually(t, func() bool { return srv.Connections() > 1 }, patience, 5*time.Millisecond)
			b.until(t, "live", is(channel.StateLive))
		})
	}
}

func TestBreakingOffDuringAFetchDoesNotHang(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	for n := range 400 { // more than the library queues
		srv.Add("INBOX", letterOf(n, strings.Repeat("x\r\n", 2000)), time.Now())
	}
	b.receive(t)
	b.wait(t, 60)
	srv.Fault(emailtest.Fault{At: emailtest.AtLiteral, Slow: 10 * time.Millisecond})
	b.srv.Disconnect()
	stopped := b.receive(t) // the first of the cleanups stops it too
	stopped()
}

func TestEnvelopeAndStructureAreNeverAskedFor(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	srv.Add("INBOX", []byte("From: \"a (b <c@d>, ;;\r\nSubject: =?x?\r\nnot a field\r\n\r\nbody\r\n"), time.Now())
	srv.Add("INBOX", letter(2), time.Now())
	b.receive(t)
	b.wait(t, 2)
	for _, line := range srv.Commands() {
		require.NotContains(t, line, "ENVELOPE")
		require.NotContains(t, strings.ReplaceAll(line, "BODY.PEEK[", ""), "BODY")
		require.False(t, strings.HasPrefix(line, "SELECT"), "reading changes nothing")
	}
	require.Empty(t, srv.Mails("INBOX")[0].Flags)
}

func TestAnUnknownAnswerIsAnOutageAndNoMore(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	srv.Fault(emailtest.Fault{At: emailtest.AtSearch, Untagged: "VANISHED (EARLIER) 1:3", Times: 1})
	srv.Fault(emailtest.Fault{At: emailtest.AtFetch, Untagged: "1 FETCH (X-GM-MSGID 12)", Skip: 1, Times: 1})
	srv.Add("INBOX", letter(1), time.Now())
	b.receive(t)
	require.Equal(t, []string{"1"}, subjects(b.wait(t, 1)))
	for _, line := range srv.Commands() {
		require.NotContains(t, line, "QRESYNC")
		require.NotContains(t, line, "X-GM")
		require.NotContains(t, line, "ENABLE")
	}
}

func TestADeadConnectionIsNoticedWhileIdling(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	b.connector.Receiving.Idle, b.connector.Receiving.Command = 100*time.Millisecond, 200*time.Millisecond
	b.receive(t)
	b.until(t, "live", is(channel.StateLive))
	srv.Deafen(true)
	srv.Fault(emailtest.Fault{At: emailtest.AtDone, Hang: true, Times: 1})
	down := b.until(t, "degraded", is(channel.StateDegraded))
	require.Contains(t, down.Reason, "did not answer in time")
	require.False(t, down.NextTry.IsZero())
	require.False(t, down.LastSeen.IsZero())
	srv.Add("INBOX", letter(1), time.Now())
	require.Equal(t, []string{"1"}, subjects(b.wait(t, 1)))
}

func TestADeafServerIsPolledBeneathIDLE(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	b.connector.Receiving.Idle = 50 * time.Millisecond
	srv.Deafen(true)
	b.receive(t)
	b.until(t, "live", is(channel.StateLive))
	srv.Add("INBOX", letter(1), time.Now())
	b.wait(t, 1)
	require.Equal(t, 1, srv.Connections())
}

func TestAServerWithoutIDLEIsPolled(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	srv.Hide("IDLE")
	srv.Hide("ESEARCH")
	srv.Hide("ID")
	srv.Hide("SASL-IR")
	b.receive(t)
	b.until(t, "live", is(channel.StateLive))
	srv.Add("INBOX", letter(1), time.Now())
	b.wait(t, 1)
	require.NotContains(t, srv.Commands(), "IDLE")
}

func TestAServerThatRefusesIDLEIsPolled(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	srv.Fault(emailtest.Fault{At: emailtest.AtIdle, Reply: "NO not now"})
	b.receive(t)
	b.until(t, "live", is(channel.StateLive))
	srv.Add("INBOX", letter(1), time.Now())
	b.wait(t, 1)
	require.Equal(t, 1, srv.Connections())
}

func TestALargeMailComesInPartsEachWithADeadline(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	raw := letterOf(1, strings.Repeat("0123456789abcdef\r\n", 200_000)) // 3.6 MB
	srv.Add("INBOX", raw, time.Now())
	srv.Fault(emailtest.Fault{At: emailtest.AtLiteral, Bytes: 500_000, Drop: true, Skip: 1, Times: 2})
	b.receive(t)
	items := b.wait(t, 1)
	require.Equal(t, int64(len(raw)), items[0].Raw.Size())
	var parts int
	for _, line := range srv.Commands() {
		if strings.Contains(line, "BODY.PEEK[]<") {
			parts++
		}
	}
	require.Greater(t, parts, 4)
}

func TestALiteralCutOffIsNeitherTakenForWholeNorDrainedByTwo(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	raw := letterOf(1, strings.Repeat("a line\r\n", 1000))
	srv.Add("INBOX", raw, time.Now())
	srv.Fault(emailtest.Fault{At: emailtest.AtLiteral, Bytes: 2000, Drop: true, Times: 2})
	b.receive(t)
	require.Equal(t, int64(len(raw)), b.wait(t, 1)[0].Raw.Size())
	require.Zero(t, b.sink.Duplicates())
}

// flood is a connection on which the server, once asked, never stops talking.
type flood struct {
	net.Conn
	on   *atomic.Bool
	read *atomic.Int64
}

func (f flood) Read(p []byte) (int, error) {
	if !f.on.Load() {
		return f.Conn.Read(p)
	}
	for i := range p {
		p[i] = 'x'
	}
	f.read.Add(int64(len(p)))
	return len(p), nil
}

func TestAServerThatNeverStopsTalkingIsLeft(t *testing.T) {
	t.Parallel()
	srv := emailtest.NewIMAP(t, emailtest.IMAPWithUser(address, password))
	b := newInboxAt(t, fakeIMAP{srv}, "none")
	var on atomic.Bool
	var read atomic.Int64
	dial := b.env.Dial
	b.env.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := dial(ctx, network, addr)
		return flood{c, &on, &read}, err
	}
	b.connector.Receiving.Idle = 20 * time.Millisecond
	b.receive(t)
	b.until(t, "live", is(channel.StateLive))
	on.Store(true)
	down := b.until(t, "degraded", is(channel.StateDegraded))
	require.NotContains(t, down.Reason, "xxxx")
	on.Store(false)
	require.Less(t, read.Load(), int64(600<<20))
	srv.Add("INBOX", letter(1), time.Now())
	b.wait(t, 1)
}

func TestNewsDuringOtherCommandsBlockNothing(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	for range 50 {
		srv.Fault(emailtest.Fault{At: emailtest.AtSearch, Untagged: "7 EXISTS", Times: 1})
	}
	srv.Fault(emailtest.Fault{At: emailtest.AtFetch, Untagged: "1 FETCH (FLAGS (\\Seen))"})
	b.receive(t)
	for n := range 30 {
		srv.Add("INBOX", letter(n), time.Now())
		srv.Announce("INBOX")
		srv.Announce("INBOX")
	}
	require.Equal(t, numbers(0, 29), subjects(b.wait(t, 30)))
	require.Zero(t, b.sink.Duplicates())
	require.Equal(t, 1, srv.Connections())
}

func TestTheLastMailIsNotNewAgain(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	b.connector.Receiving.Idle = 10 * time.Millisecond
	srv.Add("INBOX", letter(1), time.Now())
	b.receive(t)
	b.wait(t, 1)
	looks := func() int {
		n := 0
		for _, line := range srv.Commands() {
			if strings.HasPrefix(line, "UID SEARCH") {
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return looks() > 6 }, patience, 5*time.Millisecond)
	require.Zero(t, b.sink.Duplicates())
	fetched := 0
	for _, line := range srv.Commands() {
		if strings.Contains(line, "BODY.PEEK[]") {
			fetched++
		}
	}
	require.Equal(t, 1, fetched, fmt.Sprint(srv.Commands()))
}
