package account_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

// archived counts the mails of Archive by their content.
func archived(srv *emailtest.IMAP) map[string]int {
	count := map[string]int{}
	for _, m := range srv.Mails("Archive") {
		count[string(m.Raw)]++
	}
	return count
}

// once is what archived returns if each mail is there once.
func once(mails ...[]byte) map[string]int {
	count := map[string]int{}
	for _, m := range mails {
		count[string(m)]++
	}
	return count
}

// nameless is a mail without a Message-ID.
func nameless(n int) []byte {
	return fmt.Appendf(nil, "From: Mai <mai@c.example>\r\nDate: Fri, 20 Nov 2026 10:00:00 +0000\r\nSubject: letter %d\r\n\r\nXin chào\r\n", n)
}

func TestAMoveWithoutMOVEThatIsInterruptedLeavesOneCopy(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]emailtest.Fault{
		"the copy's answer is lost":                 {At: emailtest.AtCopied, Drop: true},
		"the copy is made and not yet marked":       {At: emailtest.AtStore, Drop: true},
		"the mail is marked and not yet removed":    {At: "EXPUNGE", Drop: true},
		"the server refuses to mark what is copied": {At: emailtest.AtStore, Reply: "NO [SERVERBUG] no"},
		"the server refuses to remove":              {At: "EXPUNGE", Reply: "NO [SERVERBUG] no"},
		"the removal hangs":                         {At: "EXPUNGE", Hang: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, srv := newInbox(t)
			srv.Hide("MOVE")
			b.conf.IMAP.After = "move:Archive"
			b.connector.Receiving.Fetch = 500 * time.Millisecond
			fault.Times = 3
			srv.Fault(fault)
			// Others with the same id and length have been filed by a person.
			alike := letterOf(2, "thư số 3\r\n")
			srv.Add("Archive", alike, time.Now())
			srv.Add("Archive", nameless(8), time.Now())
			// The same mail twice is two mails.
			mails := [][]byte{nameless(1), nameless(1), letter(1), letter(2), nameless(2)}
			for _, m := range mails {
				srv.Add("INBOX", m, time.Now())
			}
			b.receive(t)
			require.Eventually(t, func() bool { return len(srv.Mails("INBOX")) == 0 }, patience, 5*time.Millisecond)
			require.Equal(t, 3, srv.Struck())
			require.Equal(t, once(append(mails, alike, nameless(8))...), archived(srv))
		})
	}
}

func TestAMoveWithoutMOVELooksOnlyWhereOneMayHaveBeenInterrupted(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	srv.Hide("MOVE")
	b.conf.IMAP.After = "move:Archive"
	srv.Add("INBOX", letter(1), time.Now())
	b.receive(t)
	require.Eventually(t, func() bool { return len(srv.Mails("Archive")) == 1 }, patience, 5*time.Millisecond)
	opened := func() (n int) {
		for _, line := range srv.Commands() {
			if line == `EXAMINE "Archive"` || line == "EXAMINE Archive" {
				n++
			}
		}
		return n
	}
	require.Equal(t, 1, opened(), "after a start nobody knows: %v", srv.Commands())
	for n := 2; n < 5; n++ {
		srv.Add("INBOX", letter(n), time.Now())
		require.Eventually(t, func() bool { return len(srv.Mails("Archive")) == n }, patience, 5*time.Millisecond)
	}
	require.Equal(t, 1, opened(), "%v", srv.Commands())
}

func TestAMoveWithoutMOVEFindsItsCopyOnDovecot(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mail, there []byte
		want        int
	}{
		"by its id":                {letter(1), letter(1), 1},
		"by its length":            {nameless(1), nameless(1), 1},
		"and not what looks alike": {letter(1), letterOf(1, "thư số 2\r\n"), 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := newInboxAt(t, emailtest.StartDovecot(t, emailtest.DovecotOptions{
				User: address, Password: password, Config: "imap_capability = IMAP4rev1 LITERAL+ IDLE UIDPLUS ESEARCH SPECIAL-USE\n",
			}), account.TLS)
			b.conf.IMAP.After = "move:Archive"
			b.srv.Put(t, "INBOX", c.mail, time.Now())
			b.srv.Put(t, "Archive", c.there, time.Now()) // an earlier run has copied it, and died
			b.receive(t)
			require.Eventually(t, func() bool { return b.srv.Count(t, "INBOX") == 0 }, patience, 10*time.Millisecond)
			require.Equal(t, c.want, b.srv.Count(t, "Archive"))
		})
	}
}
