package ticket_test

import (
	"context"
	"net"
	"net/smtp"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
	"github.com/anteroom/anteroom/email/hosted"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

func TestTheTourInTheREADMEIsTheCompiledExample(t *testing.T) {
	t.Parallel()
	readme, err := os.ReadFile("../README.md")
	require.NoError(t, err)
	_, tour, ok := strings.Cut(string(readme), "```go\n")
	require.True(t, ok)
	tour, _, _ = strings.Cut(tour, "```")
	code, err := os.ReadFile("example_test.go")
	require.NoError(t, err)
	require.Contains(t, strings.ReplaceAll(string(code), "\n\t", "\n"), strings.TrimSpace(tour))
}

// What the tour does, with servers of its own: what comes to the mailbox is
// answered by the account, and a second start answers nothing again.
func TestTheTourAnswersOnceThoughItIsStartedAgain(t *testing.T) {
	t.Parallel()
	out := emailtest.NewSMTP(t, emailtest.WithSTARTTLS(), emailtest.WithUser("support@example.com", "secret"))
	path := filepath.Join(t.TempDir(), "anteroom.db")
	start := func(send bool) (answered ticket.MessageID) {
		ctx, stop := context.WithTimeout(t.Context(), time.Minute)
		var running sync.WaitGroup
		defer running.Wait()
		defer stop()
		db, err := sqlitestore.Open(path)
		require.NoError(t, err)
		defer func() { stop(); running.Wait(); require.NoError(t, db.Close()) }()
		mx := &hosted.Server{Domain: "help.example.com"}
		desk, err := ticket.New(ticket.Config{Store: db.Portal("main"), Key: []byte(strings.Repeat("k", 32)), Undo: -1,
			Connectors: []channel.Connector{mx, account.Connector{TLS: out.ClientTLS()}}})
		require.NoError(t, err)
		require.NoError(t, desk.PutAgent(ctx, routing.Agent{ID: "an", Name: "An", Email: "an@example.com"}))
		require.NoError(t, desk.PutQueue(ctx, routing.Queue{ID: "support", Name: "Support", Agents: []routing.AgentID{"an"}}))
		settings := ticket.Settings{Queue: "support", PreferOnline: true}
		mailbox, err := desk.Ensure(ctx, hosted.Mailbox{LocalPart: "support"}, settings)
		require.NoError(t, err)
		_, err = desk.Ensure(ctx, account.Account{Address: "support@example.com", Password: "secret",
			SMTP: account.Server{Host: out.Host(), Port: out.Port()}, ForwardedTo: mailbox.ID}, settings)
		require.NoError(t, err)
		l, err := net.Listen("tcp", "127.0.0.1:0")
		require.NoError(t, err)
		running.Go(func() { _ = mx.Serve(ctx, l) })
		running.Go(func() { _ = desk.Run(ctx) })
		if send {
			require.Eventually(t, func() bool { // 450 until the mailbox receives
				return smtp.SendMail(l.Addr().String(), nil, "mai@c.example", []string{"support@help.example.com"}, []byte("From: mai@c.example\r\nSubject: Hi\r\n\r\nHello\r\n")) == nil
			}, 30*time.Second, 20*time.Millisecond)
		}
		for e, err := range desk.Follow(ctx, 0) {
			require.NoError(t, err)
			if e.Type == ticket.EventAssigned {
				m, err := desk.Reply(ctx, e.Ticket, ticket.Draft{By: e.Agent, Text: "We are on it.", Key: e.ID})
				require.NoError(t, err)
				answered = m.ID
			}
			if e.Type == ticket.EventMessageState && e.Data["state"] == string(ticket.StateSent) {
				return answered
			}
		}
		require.NoError(t, ctx.Err(), "nothing was sent")
		return ""
	}
	first := start(true)
	require.NotEmpty(t, first)
	require.Equal(t, first, start(false))
	sent := out.Messages()
	require.Len(t, sent, 1)
	require.Equal(t, []string{"mai@c.example"}, sent[0].To)
}
