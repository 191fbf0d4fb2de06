//go:build linux

package dirblob_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/smtp"
	"net/textproto"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/hosted"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/dirblob"
	"github.com/anteroom/anteroom/ticket/internal/powerloss"
	"github.com/anteroom/anteroom/ticket/internal/powervfs"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// smtpMails are of three sizes and meet each error of a disk.
const smtpMails = 9

// TestMailToADiskThatFailsIsAnsweredTemporarilyAndTakenOnceItHasRecovered sends
// mail through SMTP to a desk whose disk fails at one op after another. The
// sender does what the answers say.
func TestMailToADiskThatFailsIsAnsweredTemporarilyAndTakenOnceItHasRecovered(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d, err := powerloss.New(root)
	require.NoError(t, err)
	vfs, err := powervfs.Install(d)
	require.NoError(t, err)
	defer func() { require.NoError(t, vfs.Close()) }()
	back, err := sqlitestore.Open(filepath.Join(root, "desk.db"))
	require.NoError(t, err)
	defer func() { require.NoError(t, back.Close()) }()
	blobs, err := dirblob.OpenOn(d.Files(), filepath.Join(root, "blobs"))
	require.NoError(t, err)
	server := &hosted.Server{Domain: "portal.example", Limits: hosted.Limits{Pregreet: -1, MemoryBytes: 5000, ConnectionRate: 10_000}}
	desk, err := ticket.New(ticket.Config{Store: back.Portal("main"), Blobs: blobs, Limits: ticket.Limits{InlineBody: 10_000},
		Connectors: []channel.Connector{server}})
	require.NoError(t, err)
	ch, err := desk.Connect(t.Context(), hosted.Mailbox{LocalPart: "help"}, ticket.Settings{})
	require.NoError(t, err)
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- desk.Run(ctx) }()
	go func() { done <- server.Serve(ctx, l) }()
	defer func() {
		cancel()
		require.NoError(t, errors.Join(<-done, <-done))
	}()
	state := func() channel.State {
		got, err := desk.Channel(t.Context(), ch.ID)
		require.NoError(t, err)
		return got.Status.State
	}
	require.Eventually(t, func() bool { return state() == channel.StateLive }, time.Minute, time.Millisecond)

	sent := map[string]string{} // raw forms by subject
	refused, where := 0, map[string]int{}
	for n := range smtpMails {
		subject := fmt.Sprint("mail ", n)
		sent[subject] = fmt.Sprintf("From: c%d@c.example\r\nTo: help@portal.example\r\nSubject: %s\r\nMessage-ID: <%d@c.example>\r\n\r\n", n%7, subject, n) +
			strings.Repeat("what the customer wrote\r\n", []int{3, 300, 2000}[n%3])
		for at := 1 + n; ; at += 9 + 4*(n%2) {
			var seen atomic.Int64
			d.Fault(func(op powerloss.Op) error {
				if op.Kind == powerloss.Remove || seen.Add(1) < int64(at) {
					return nil // and all after it fail, as on a full disk
				}
				where[strings.SplitN(op.Path, string(filepath.Separator), 2)[0]]++
				return []powervfs.CodeError{8, 10, 13}[n/3] // read-only, I/O error, full
			})
			err := smtp.SendMail(l.Addr().String(), nil, "", []string{"help@portal.example"}, []byte(sent[subject]))
			degraded := state() == channel.StateDegraded
			d.Fault(nil)
			if err == nil {
				break
			}
			var answer *textproto.Error
			require.ErrorAs(t, err, &answer, "the connection goes on")
			require.Equal(t, 451, answer.Code, answer.Msg)
			require.NotContains(t, answer.Msg, root)
			require.True(t, degraded)
			refused++
		}
	}
	require.Greater(t, refused, smtpMails)
	require.Positive(t, where["blobs"])
	require.Positive(t, where["desk.db-wal"])
	require.Eventually(t, func() bool { return state() == channel.StateLive }, time.Minute, 10*time.Millisecond, "it recovers")

	ledger, err := desk.Ledger(t.Context(), "", time.Time{})
	require.NoError(t, err)
	require.EqualValues(t, smtpMails, ledger.Messages, "each once")
	ts, _, err := desk.Tickets(t.Context(), ticket.TicketFilter{}, ticket.Page{Limit: 500})
	require.NoError(t, err)
	for _, tk := range ts {
		ms, _, err := desk.Timeline(t.Context(), ticket.MessageFilter{Ticket: tk.ID}, ticket.Page{Limit: 500})
		require.NoError(t, err)
		for _, m := range ms {
			body, err := desk.Raw(t.Context(), m.ID)
			require.NoError(t, err)
			raw, err := channel.ReadBody(body, 1<<20)
			require.NoError(t, err)
			require.Equal(t, sent[m.Subject], string(raw))
			delete(sent, m.Subject)
		}
	}
	require.Empty(t, sent, "nothing is lost")
}
