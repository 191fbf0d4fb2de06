package account_test

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/emailtest"
)

func TestNewsOfFlagsIsNotTakenForAMail(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	addLetters(srv, 3)
	// Another client marks a mail just when it is asked for: at first its
	// size, then its content. The first mail is asked for alone.
	srv.Fault(emailtest.Fault{At: emailtest.AtFetch, Untagged: `2 FETCH (UID 2 FLAGS (\Seen))`, Skip: 2, Times: 1})
	srv.Fault(emailtest.Fault{At: emailtest.AtFetch, Untagged: `3 FETCH (UID 3 FLAGS (\Seen))`, Skip: 2, Times: 1})
	b.receive(t)
	require.Equal(t, numbers(0, 2), subjects(b.wait(t, 3)))
	require.Equal(t, 1, srv.Connections(), "it is no failure")
}

func TestAMailOfWhichNothingIsHandedOutIsNotTakenForAnEmptyOne(t *testing.T) {
	t.Parallel()
	for name, nothing := range map[string]string{"an empty string": `""`, "NIL": "NIL"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, srv, tp := newTampered(t)
			b.conf.IMAP.After = "delete"
			b.connector.Receiving.Idle = 50 * time.Millisecond
			// What follows then is content of a mail that nobody asked for.
			tp.set(replaced("(UID 2 BODY[]<0> ", "(UID 2 BODY[]<0> "+nothing+")\r\n* 9 FETCH (UID 9 BODY[]<0> "), nil)
			for n := 1; n <= 3; n++ {
				srv.Add("INBOX", letter(n), time.Now())
			}
			b.receive(t)
			require.Equal(t, []string{"1", "3"}, subjects(b.wait(t, 2)))
			require.Eventually(t, func() bool { return len(srv.Mails("INBOX")) == 1 }, patience, 5*time.Millisecond)
			require.EqualValues(t, 2, srv.Mails("INBOX")[0].UID, "it is not deleted")
		})
	}
}

func TestAServerThatHandsOutLessThanItIsAskedForCutsNothing(t *testing.T) {
	t.Parallel()
	b, srv, tp := newTampered(t)
	tp.set(nil, replaced(".1048576>", ".5000>"))
	body := strings.Repeat("a line of a mail\r\n", 1000)
	for n := range 4 {
		srv.Add("INBOX", letterOf(n, body), time.Now())
	}
	b.receive(t)
	for n, it := range b.wait(t, 4) {
		require.EqualValues(t, len(letterOf(n, body)), it.Raw.Size())
	}
}

func TestASizeThatIsAnEstimateIsSeenThroughSoon(t *testing.T) {
	t.Parallel()
	b, srv, tp := newTampered(t)
	tp.set(replaced("RFC822.SIZE ", "RFC822.SIZE 9"), nil) // as Exchange does it
	addLetters(srv, 20)
	b.receive(t)
	require.Equal(t, numbers(0, 19), subjects(b.wait(t, 20)))
	asked := 0
	for _, line := range srv.Commands() {
		if strings.Contains(line, "BODY.PEEK[]<") && !strings.Contains(line, "<0.") {
			asked++
		}
	}
	require.Equal(t, 3, asked)
}

func TestATimeThatCannotBeReadHoldsNoMailBack(t *testing.T) {
	t.Parallel()
	b, srv, tp := newTampered(t)
	at := time.Date(2026, 11, 19, 1, 2, 3, 0, time.UTC)
	tp.set(replaced("19-Nov-2026", "00-Jan-0000"), nil)
	srv.Add("INBOX", letter(1), time.Now())
	srv.Add("INBOX", letter(2), at)
	srv.Add("INBOX", letter(3), time.Now())
	b.receive(t)
	items := b.wait(t, 3)
	require.Equal(t, []string{"1", "2", "3"}, subjects(items))
	require.WithinDuration(t, time.Now(), items[1].At, time.Minute)
}

func TestAFolderThatMayNotBeChangedIsReadAtOnceAllTheSame(t *testing.T) {
	t.Parallel()
	b, srv, tp := newTampered(t)
	b.conf.IMAP.After = "seen"
	tp.set(nil, replaced(" SELECT ", " SELECT no-")) // EXAMINE works
	srv.Add("INBOX", letter(1), time.Now())
	b.receive(t)
	b.wait(t, 1)
	b.until(t, "live with a note", func(s channel.Status) bool {
		return s.State == channel.StateLive && strings.Contains(s.Reason, "no such folder")
	})
	// IDLE lasts half a minute here.
	srv.Add("INBOX", letter(2), time.Now())
	b.wait(t, 2)
	require.Equal(t, 1, srv.Connections())
}

func TestAFolderThatIsReplacedWhileItIsReadIsReadFromItsBeginning(t *testing.T) {
	t.Parallel()
	b, srv, tp := newTampered(t)
	b.conf.IMAP.After = "seen"
	var now atomic.Bool
	tp.set(func(line string) string {
		if now.Load() {
			return strings.Replace(line, "[UIDVALIDITY 1000]", "[UIDVALIDITY 77]", 1)
		}
		return line
	}, nil)
	srv.Add("INBOX", letter(1), time.Now())
	b.receive(t)
	b.wait(t, 1)
	require.Eventually(t, func() bool { return srv.Idling() == 1 }, patience, time.Millisecond)
	now.Store(true) // the next SELECT tells
	srv.Add("INBOX", letter(2), time.Now())
	b.until(t, "replaced", func(s channel.Status) bool { return strings.Contains(s.Reason, "replaced by another") })
	srv.Add("INBOX", letter(3), time.Now())
	require.Equal(t, []string{"1", "2", "3"}, subjects(b.wait(t, 3)))
	require.Eventually(t, func() bool { return b.srv.Seen(t, "INBOX") == 3 }, patience, 5*time.Millisecond)
}

func TestAMailUnderAnotherMailsOldNumberIsNotRemovedUnread(t *testing.T) {
	t.Parallel()
	for _, after := range []string{"delete", "move:Archive"} {
		t.Run(after, func(t *testing.T) {
			t.Parallel()
			b, srv, tp := newTampered(t)
			b.conf.IMAP.After = after
			srv.Add("INBOX", letter(1), time.Now())
			g := newGate(b.sink, 1)
			g.receive(t, b)
			g.called(t)
			// The folder is replaced while the mail is committed, and the connection stays.
			srv.Remove("INBOX", 1)
			srv.AddAt("INBOX", 1, letter(2), time.Now())
			tp.set(replaced("[UIDVALIDITY 1000]", "[UIDVALIDITY 77]"), nil)
			close(g.open)
			require.Equal(t, []string{"1", "2"}, subjects(b.wait(t, 2)))
			require.Eventually(t, func() bool { return b.srv.Count(t, "INBOX") == 0 }, patience, 5*time.Millisecond)
		})
	}
}

func TestAServerThatAlwaysTellsHowManyThereAreIsNotAskedWithoutEnd(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	b.connector.Receiving.RetryMin, b.connector.Receiving.Poll = time.Hour, time.Hour
	srv.Fault(emailtest.Fault{At: emailtest.AtSearch, Untagged: "0 EXISTS"})
	b.receive(t)
	b.until(t, "live", is(channel.StateLive))
	searches := func() int {
		n := 0
		for _, line := range srv.Commands() {
			if strings.HasPrefix(line, "UID SEARCH") {
				n++
			}
		}
		return n
	}
	require.Eventually(t, func() bool { return searches() >= 7 }, patience, time.Millisecond)
	require.Never(t, func() bool { return searches() > 7 }, 200*time.Millisecond, 10*time.Millisecond)
}

func TestOneFolderWithABadNameIsInNobodysWay(t *testing.T) {
	t.Parallel()
	b, srv, tp := newTampered(t)
	tp.set(func(line string) string {
		if strings.Contains(line, `"INBOX"`) { // in the list of all
			return "* LIST () \"/\" \"Entw\xfcrfe\"\r\n" + line
		}
		return line
	}, nil)
	b.conf.IMAP.Folder, b.conf.IMAP.After = "Junk", "move:Archive"
	found := false
	for _, f := range b.open(t).(channel.Checker).Check(t.Context()) {
		if f.Data["server"] == "imap" {
			found = true
			require.Equal(t, "ok", f.Code, "%+v", f)
			require.Empty(t, f.Data["folders"])
		}
	}
	require.True(t, found)
	srv.Add("Junk", letter(1), time.Now())
	b.receive(t)
	b.wait(t, 1)
	require.Eventually(t, func() bool { return len(srv.Mails("Archive")) == 1 }, patience, time.Millisecond)
}

func TestAServerThatStumblesOverIDIsSpokenToWithout(t *testing.T) {
	t.Parallel()
	b, srv, tp := newTampered(t)
	tp.set(replaced(`* ID (`, `* ID ((`), nil)
	srv.Add("INBOX", letter(1), time.Now())
	b.receive(t)
	b.wait(t, 1)
	require.Equal(t, 2, srv.Connections())
}

func TestWhatIsOfferedAfterTheLoginCounts(t *testing.T) {
	t.Parallel()
	for range 5 { // it was a race
		b, srv, tp := newTampered(t)
		srv.Hide("ID")
		tp.set(func(line string) string {
			if strings.Contains(line, "AUTH=PLAIN") {
				return strings.Replace(line, " IDLE", "", 1)
			}
			if i := strings.Index(line, "[CAPABILITY"); i > 0 && strings.Contains(line, " OK ") {
				return line[:i] + "welcome\r\n"
			}
			return line
		}, nil)
		stop := b.receive(t)
		require.Eventually(t, func() bool { return srv.Idling() == 1 }, patience, time.Millisecond)
		stop()
	}
}

func TestTheLargestNumberOfAllIsNoEndlessLoop(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	b.connector.Receiving.Idle = 10 * time.Millisecond
	srv.Skip("INBOX", 1<<32-2)
	srv.AddAt("INBOX", 1<<32-1, letter(1), time.Now())
	b.receive(t)
	b.wait(t, 1)
	require.Eventually(t, func() bool { return srv.Idling() == 1 }, patience, time.Millisecond)
	b.srv.Renumber("INBOX")
	srv.Add("INBOX", letter(2), time.Now())
	b.wait(t, 2)
}

func TestNumbersThatBeginAgainLoseNothing(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	addLetters(srv, 9)
	stop := b.receive(t)
	b.wait(t, 9)
	b.until(t, "live", is(channel.StateLive))
	stop()
	// A backup is put back: the same UIDVALIDITY, and numbers given anew.
	srv.Remove("INBOX", 4, 5, 6, 7, 8, 9)
	srv.Rewind("INBOX", 4)
	srv.Add("INBOX", letter(9), time.Now())
	b.receive(t)
	srv.Add("INBOX", letter(10), time.Now())
	require.Equal(t, numbers(0, 10), subjects(b.wait(t, 11)))
}

func TestAnotherServerOrUserIsNotReadByOldNumbers(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(b *inbox, other *emailtest.IMAP){
		"another server": func(b *inbox, other *emailtest.IMAP) { b.conf.IMAP.Port = other.Port() },
		"another address": func(b *inbox, other *emailtest.IMAP) {
			b.conf.IMAP.Port, b.conf.Address, b.conf.Username = other.Port(), "sales@shop.test", address
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// Both number from 1, under the same UIDVALIDITY.
			b, srv, _ := newTampered(t)
			other := emailtest.NewIMAP(t, emailtest.IMAPWithUser(address, password))
			addLetters(srv, 9)
			stop := b.receive(t)
			b.wait(t, 9)
			b.until(t, "live", is(channel.StateLive))
			stop()
			other.Add("INBOX", letter(9), time.Now())
			change(b, other)
			b.receive(t)
			b.wait(t, 10)
			other.Add("INBOX", letter(10), time.Now())
			require.Equal(t, numbers(0, 10), subjects(b.wait(t, 11)))
		})
	}
}

func TestWhatWasDoneWithAMailIsNotDoneAgainAfterARestart(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	b.conf.IMAP.After = "seen"
	stop := b.receive(t)
	for n := 1; n <= 2; n++ {
		srv.Add("INBOX", letter(n), time.Now())
		b.wait(t, n)
		require.Eventually(t, func() bool { return b.srv.Seen(t, "INBOX") == n && srv.Idling() == 1 }, patience, time.Millisecond)
	}
	stop()
	srv.Unflag("INBOX", 2, `\Seen`) // somebody means to answer it later
	srv.Add("INBOX", letter(3), time.Now())
	b.receive(t)
	b.wait(t, 3)
	require.Eventually(t, func() bool { return b.srv.Seen(t, "INBOX") == 2 && srv.Idling() == 1 }, patience, time.Millisecond)
	require.Empty(t, srv.Mails("INBOX")[1].Flags)
}

func TestAServerMayEndASessionAtAnyTime(t *testing.T) {
	t.Parallel()
	for n, line := range []string{
		"BYE Autologout; idle for too long", "BYE [UNAVAILABLE] going down", "nonsense", "(((((((((", "1 FETCH (UID", "OK [UIDVALIDITY x] y",
		`LIST (\X) "//" x`, "SEARCH 1 2 x", "ESEARCH UID ALL 1:*", "99999999999999999999 EXISTS", "STATUS", "\x00\xff\xfe", "5 FETCH (ENVELOPE NIL)",
	} {
		t.Run(fmt.Sprint(n, " ", strings.ToValidUTF8(line, "?")), func(t *testing.T) {
			t.Parallel()
			b, srv := newInbox(t)
			for _, at := range []emailtest.Point{emailtest.AtSelect, emailtest.AtSearch, emailtest.AtFetch, emailtest.AtDone} {
				srv.Fault(emailtest.Fault{At: at, Untagged: line, Drop: strings.HasPrefix(line, "BYE"), Times: 1})
			}
			b.connector.Receiving.Idle = 20 * time.Millisecond
			srv.Add("INBOX", letter(1), time.Now())
			b.receive(t)
			b.wait(t, 1)
			srv.Add("INBOX", letter(2), time.Now())
			require.Equal(t, []string{"1", "2"}, subjects(b.wait(t, 2)))
		})
	}
}
