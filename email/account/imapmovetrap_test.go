package account_test

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

// asked reports whether a command was given that begins with a text.
func asked(commands []string, prefix string) bool {
	return slices.ContainsFunc(commands, func(line string) bool { return strings.HasPrefix(line, prefix) })
}

func TestAMoveToTheFolderThatIsReadRemovesNothing(t *testing.T) {
	t.Parallel()
	t.Run("named by what it is for", func(t *testing.T) {
		t.Parallel()
		b, srv := newInbox(t)
		srv.Hide("MOVE")
		b.conf.IMAP.Folder, b.conf.IMAP.After = `\Junk`, "move:Junk"
		srv.Add("Junk", letter(1), time.Now())
		b.receive(t)
		b.until(t, "live with a note", func(s channel.Status) bool {
			return s.State == channel.StateLive && strings.Contains(s.Reason, "would be moved to the folder that they are in")
		})
		require.Len(t, srv.Mails("Junk"), 1)
	})
	t.Run("under a name that only the server knows to be another's", func(t *testing.T) {
		t.Parallel()
		b, srv, tp := newTampered(t)
		srv.Hide("MOVE")
		b.conf.IMAP.After = "move:Archive"
		tp.set(nil, func(line string) string {
			return strings.NewReplacer(`"Archive"`, "INBOX", "Archive", "INBOX").Replace(line)
		})
		srv.Add("INBOX", letter(1), time.Now())
		stop := b.receive(t)
		require.Eventually(t, func() bool { return asked(srv.Commands(), "UID COPY ") || len(srv.Mails("INBOX")) == 0 }, patience, time.Millisecond)
		stop()
		require.NotEmpty(t, srv.Mails("INBOX"))
	})
}

func TestAServerThatDoesNotSearchHeadersMovesMailsAllTheSame(t *testing.T) {
	t.Parallel()
	b, srv, tp := newTampered(t)
	srv.Hide("MOVE")
	b.conf.IMAP.After = "move:Archive"
	tp.set(nil, func(line string) string {
		if strings.Contains(line, " HEADER ") {
			return strings.Replace(line, "UID SEARCH", "UID SEEK", 1)
		}
		return line
	})
	srv.Add("INBOX", letter(1), time.Now())
	b.receive(t)
	require.Eventually(t, func() bool { return len(srv.Mails("INBOX")) == 0 }, patience, 5*time.Millisecond)
	require.Equal(t, once(letter(1)), archived(srv))
	require.True(t, asked(srv.Commands(), "UID SEEK "))
}

// TestManyMailsWithLongHeadersAreMoved: together their headers are more than a
// server may send in answer to one command.
func TestManyMailsWithLongHeadersAreMoved(t *testing.T) {
	t.Parallel()
	b, srv, tp := newTampered(t)
	srv.Hide("MOVE")
	b.conf.IMAP.After = "move:Archive"
	tp.set(nil, func(line string) string { return strings.Replace(line, "UID COPY", "UID KEEP", 1) })
	const mails = 300
	long := "X-Long: " + strings.Repeat(strings.Repeat("x", 70)+"\r\n ", 860) + "x\r\n"
	for n := range mails {
		srv.Add("INBOX", []byte(long+string(letter(n))), time.Now())
	}
	b.receive(t)
	b.wait(t, mails)
	tp.set(nil, nil)
	srv.Disconnect() // whoever comes back does not know what was copied
	require.Eventually(t, func() bool { return len(srv.Mails("Archive")) == mails && len(srv.Mails("INBOX")) == 0 }, patience, 20*time.Millisecond)
}

func TestAMailWithoutEndIsNotReadForEver(t *testing.T) {
	t.Parallel()
	b, srv, tp := newTampered(t)
	srv.Hide("MOVE")
	b.connector.Receiving.Mail = 2 << 20
	b.conf.IMAP.After = "move:Archive"
	mail := letterOf(1, strings.Repeat(strings.Repeat("x", 70)+"\r\n", 17000))
	srv.Add("Archive", mail, time.Now())
	inArchive, from := false, regexp.MustCompile(`BODY\.PEEK\[\]<[0-9]+\.`)
	tp.set(nil, func(line string) string {
		inArchive = inArchive || strings.Contains(line, "EXAMINE Archive") || strings.Contains(line, `EXAMINE "Archive"`)
		if inArchive {
			line = from.ReplaceAllString(line, "BODY.PEEK[]<0.")
		}
		return line
	})
	srv.Add("INBOX", mail, time.Now())
	b.receive(t)
	b.until(t, "live with a note", func(s channel.Status) bool {
		return s.State == channel.StateLive && strings.Contains(s.Reason, fmt.Sprintf("more than %d bytes", 2<<20))
	})
	require.Len(t, srv.Mails("INBOX"), 1)
}
