package account_test

import (
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

func TestReceivingByIMAPFromTheFake(t *testing.T) {
	t.Parallel()
	receivesByIMAP(t, func(t *testing.T) *inbox {
		b, _ := newInbox(t)
		return b
	})
}

// receivesByIMAP is what holds for every server.
func receivesByIMAP(t *testing.T, start func(t *testing.T) *inbox) {
	for name, check := range map[string]func(t *testing.T, b *inbox){
		"history comes oldest first and what is new is told apart": func(t *testing.T, b *inbox) {
			for n := range 120 {
				b.srv.Put(t, "INBOX", letter(n), time.Now().Add(-time.Hour))
			}
			b.receive(t)
			b.wait(t, 120)
			b.until(t, "live", is(channel.StateLive))
			b.srv.Put(t, "INBOX", letter(120), time.Now())
			items := b.wait(t, 121)
			require.Equal(t, numbers(0, 120), subjects(items))
			for n, it := range items {
				require.Equal(t, n < 120, it.Imported, "mail %d", n)
			}
			require.Equal(t, "thư số 120\r\n", strings.ReplaceAll(items[120].Message.Text+"\r\n", "\n\r\n", "\r\n"))
			require.Equal(t, channel.ID("c1"), items[0].Channel)
		},
		"without history only what is new comes": func(t *testing.T, b *inbox) {
			b.conf.IMAP.FirstSync = "none"
			b.srv.Put(t, "INBOX", letter(1), time.Now())
			b.receive(t)
			b.until(t, "live", is(channel.StateLive))
			b.srv.Put(t, "INBOX", letter(2), time.Now())
			items := b.wait(t, 1)
			require.Equal(t, []string{"2"}, subjects(items))
			require.False(t, items[0].Imported)
		},
		"history since a time is what the server received since": func(t *testing.T, b *inbox) {
			since := time.Now().Add(-48 * time.Hour).Truncate(time.Second)
			b.conf.IMAP.FirstSync = since.Format(time.RFC3339)
			b.srv.Put(t, "INBOX", letter(1), since.AddDate(0, 0, -9))
			b.srv.Put(t, "INBOX", letter(2), since.Add(-time.Minute))
			b.srv.Put(t, "INBOX", letter(3), since.Add(time.Minute))
			b.receive(t)
			b.until(t, "live", is(channel.StateLive))
			// Moved there by hand: new, however old.
			b.srv.Put(t, "INBOX", letter(4), since.AddDate(-1, 0, 0))
			require.Equal(t, []string{"3", "4"}, subjects(b.wait(t, 2)))
		},
		"a restart goes on where it was": func(t *testing.T, b *inbox) {
			b.srv.Put(t, "INBOX", letter(1), time.Now())
			stop := b.receive(t)
			b.wait(t, 1)
			b.until(t, "live", is(channel.StateLive))
			stop()
			b.srv.Put(t, "INBOX", letter(2), time.Now())
			b.receive(t)
			require.Equal(t, []string{"1", "2"}, subjects(b.wait(t, 2)))
			require.Zero(t, b.sink.Duplicates())
		},
		"disconnections lose and double nothing": func(t *testing.T, b *inbox) {
			b.receive(t)
			b.until(t, "live", is(channel.StateLive))
			for n := range 20 {
				b.srv.Put(t, "INBOX", letter(n), time.Now())
				if n%5 == 0 {
					b.srv.Disconnect()
				}
			}
			require.Equal(t, numbers(0, 19), subjects(b.wait(t, 20)))
			require.Zero(t, b.srv.Seen(t, "INBOX"), "reading leaves no trace")
		},
		"new numbers for all mails lose and double nothing": func(t *testing.T, b *inbox) {
			for n := range 10 {
				b.srv.Put(t, "INBOX", letter(n), time.Now())
			}
			b.receive(t)
			b.wait(t, 10)
			b.until(t, "live", is(channel.StateLive))
			b.srv.Renumber("INBOX")
			b.srv.Put(t, "INBOX", letter(10), time.Now())
			require.Equal(t, numbers(0, 10), subjects(b.wait(t, 11)))
		},
		"mails taken in are marked, and only those": func(t *testing.T, b *inbox) {
			b.conf.IMAP.After, b.conf.IMAP.FirstSync = "seen", "none"
			b.srv.Put(t, "INBOX", letter(1), time.Now())
			b.receive(t)
			b.until(t, "live", is(channel.StateLive))
			b.srv.Put(t, "INBOX", letter(2), time.Now())
			b.wait(t, 1)
			require.Eventually(t, func() bool { return b.srv.Seen(t, "INBOX") == 1 }, patience, 10*time.Millisecond)
		},
		"mails taken in are moved": func(t *testing.T, b *inbox) {
			b.conf.IMAP.After = "move:Archive"
			for n := range 5 {
				b.srv.Put(t, "INBOX", letter(n), time.Now())
			}
			b.receive(t)
			b.wait(t, 5)
			require.Eventually(t, func() bool { return b.srv.Count(t, "Archive") == 5 && b.srv.Count(t, "INBOX") == 0 }, patience, 10*time.Millisecond)
			b.srv.Put(t, "INBOX", letter(5), time.Now())
			require.Equal(t, numbers(0, 5), subjects(b.wait(t, 6)))
		},
		"mails taken in are deleted": func(t *testing.T, b *inbox) {
			b.conf.IMAP.After = "delete"
			b.srv.Put(t, "INBOX", letter(1), time.Now())
			b.receive(t)
			b.wait(t, 1)
			require.Eventually(t, func() bool { return b.srv.Count(t, "INBOX") == 0 }, patience, 10*time.Millisecond)
		},
		"a large mail comes whole": func(t *testing.T, b *inbox) {
			body := strings.Repeat("một dòng dài của một bức thư lớn\r\n", 100_000)
			b.srv.Put(t, "INBOX", letter(1), time.Now())
			b.srv.Put(t, "INBOX", letterOf(2, body), time.Now())
			b.srv.Put(t, "INBOX", letter(3), time.Now())
			b.receive(t)
			items := b.wait(t, 3)
			require.Equal(t, []string{"1", "2", "3"}, subjects(items))
			require.Equal(t, int64(len(letterOf(2, body))), items[1].Raw.Size())
		},
		"a check finds the way in and the way out": func(t *testing.T, b *inbox) {
			require.Eventually(t, func() bool { return b.srv.Count(t, "INBOX") == 0 }, patience, 10*time.Millisecond)
			out := emailtest.NewSMTP(t, emailtest.WithUser(address, password))
			b.conf.SMTP = account.Server{Host: out.Host(), Port: out.Port(), Security: account.None}
			f := b.open(t).(channel.Checker).Check(t.Context())
			require.Len(t, f, 2, "%+v", f)
			require.Equal(t, []string{"ok", "ok"}, []string{f[0].Code, f[1].Code}, "%+v", f)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			check(t, start(t))
		})
	}
}

func TestReceivingByIMAPFromDovecot(t *testing.T) {
	t.Parallel()
	receivesByIMAP(t, func(t *testing.T) *inbox {
		return newInboxAt(t, startDovecot(t), account.TLS)
	})
}

func TestReceivingByIMAPFromCyrus(t *testing.T) {
	t.Parallel()
	receivesByIMAP(t, func(t *testing.T) *inbox {
		return newInboxAt(t, startCyrus(t), account.TLS)
	})
}

func startCyrus(t testing.TB) *emailtest.Cyrus {
	return emailtest.StartCyrus(t, emailtest.CyrusOptions{User: address})
}

func startDovecot(t testing.TB) *emailtest.Dovecot {
	return emailtest.StartDovecot(t, emailtest.DovecotOptions{User: address, Password: password})
}
