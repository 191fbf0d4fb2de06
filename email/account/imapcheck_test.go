package account_test

import (
	"context"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

func TestCheckTellsFailuresOfReceivingApart(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		prepare func(b *inbox, srv *emailtest.IMAP)
		codes   []string // of the findings about IMAP
		text    string
		opts    []emailtest.IMAPOption
		plain   bool
	}{
		"all is well": {prepare: func(*inbox, *emailtest.IMAP) {}, codes: []string{"ok"}, text: "INBOX can be read"},
		"no such name": {
			prepare: func(b *inbox, srv *emailtest.IMAP) {
				dial := b.env.Dial
				b.env.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
					if addr == srv.Addr() {
						return nil, &net.OpError{Op: "dial", Err: &net.DNSError{Err: "no such host", Name: "imap.shop.test", IsNotFound: true}}
					}
					return dial(ctx, network, addr)
				}
			},
			codes: []string{"dns"}, text: "no such host",
		},
		"nobody listens": {prepare: func(_ *inbox, srv *emailtest.IMAP) { srv.Close() }, codes: []string{"connect"}, text: "refused"},
		"a certificate of another": {
			prepare: func(*inbox, *emailtest.IMAP) {}, codes: []string{"tls"}, text: "another name",
			opts: []emailtest.IMAPOption{emailtest.IMAPWithCertificateFor("other.test")},
		},
		"no STARTTLS": {
			prepare: func(b *inbox, _ *emailtest.IMAP) { b.conf.IMAP.Security = account.STARTTLS },
			codes:   []string{"starttls_missing"}, text: "refuses STARTTLS",
			plain: true,
		},
		"turned away": {
			prepare: func(_ *inbox, srv *emailtest.IMAP) {
				srv.Fault(emailtest.Fault{At: emailtest.AtConnect, Reply: "BYE too many connections"})
			},
			codes: []string{"greeting"}, text: "too many connections",
		},
		"silence": {
			prepare: func(b *inbox, srv *emailtest.IMAP) {
				srv.Fault(emailtest.Fault{At: emailtest.AtSelect, Hang: true})
				b.connector.Timeouts.Check = 300 * time.Millisecond
			},
			codes: []string{"folder"}, text: "did not answer within",
		},
		"wrong password": {
			prepare: func(b *inbox, _ *emailtest.IMAP) { b.conf.Password = "wrong-password" },
			codes:   []string{"login"}, text: "do not fit",
		},
		"no such folder": {
			prepare: func(b *inbox, _ *emailtest.IMAP) { b.conf.IMAP.Folder = "Kunden" },
			codes:   []string{"folder"}, text: "there is no folder Kunden",
		},
		"moved nowhere, and not safely": {
			prepare: func(b *inbox, srv *emailtest.IMAP) {
				b.conf.IMAP.After = "move:Done"
				srv.Hide("MOVE")
				srv.Hide("UIDPLUS")
			},
			codes: []string{"after_folder", "after", "ok"}, text: "there is no folder Done",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			opts := append([]emailtest.IMAPOption{emailtest.IMAPWithUser(address, password)}, c.opts...)
			if !c.plain {
				opts = append(opts, emailtest.IMAPWithTLS())
			}
			srv := emailtest.NewIMAP(t, opts...)
			b := newInboxAt(t, fakeIMAP{srv}, account.TLS)
			c.prepare(b, srv)
			var got []string
			var first channel.Finding
			for _, f := range b.open(t).(channel.Checker).Check(t.Context()) {
				if f.Data["server"] != "imap" {
					continue
				}
				if got = append(got, f.Code); len(got) == 1 {
					first = f
				}
				require.Equal(t, f.Code == "ok", f.Fix == "", "%+v", f)
				require.NotContains(t, f.Fix, "465")
			}
			require.Equal(t, c.codes, got, "%+v", first)
			require.Contains(t, first.Text, c.text)
			if c.codes[0] == "ok" {
				require.Equal(t, "INBOX\nArchive\nJunk", first.Data["folders"])
			}
		})
	}
}

func TestTheNextTryIsToldWhenTheServerIsAway(t *testing.T) {
	t.Parallel()
	b, srv := newInbox(t)
	srv.Close()
	b.connector.Receiving.RetryMin, b.connector.Receiving.RetryMax = time.Hour, time.Hour
	b.receive(t)
	st := b.until(t, "degraded", is(channel.StateDegraded))
	require.Contains(t, st.Reason, strconv.Itoa(srv.Port()))
	require.WithinDuration(t, time.Now().Add(time.Hour), st.NextTry, 20*time.Minute)
}
