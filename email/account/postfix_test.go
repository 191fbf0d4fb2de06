package account_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

// TestAgainstPostfix holds the fake's picture of a server against a real one.
func TestAgainstPostfix(t *testing.T) {
	t.Parallel()
	p := emailtest.StartPostfix(t, emailtest.PostfixOptions{
		STARTTLS: true, MaxSize: 200_000,
		Refuse: map[string]string{
			"gone@example.com": "550 5.1.1 no such user", "full@example.com": "452 4.2.2 mailbox full",
		},
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	relay := account.NewRelay(p.Addr(), account.RelayOptions{Security: account.STARTTLS, TLS: p.ClientTLS(), HelloName: "portal.test"})
	require.Equal(t, "ok", relay.Check(ctx)[0].Code)

	t.Run("an account sends", func(t *testing.T) {
		conf := account.Account{
			Address: address, Auth: account.AuthNone,
			SMTP: account.Server{Host: p.Host(), Port: p.Port(), Security: account.STARTTLS},
		}
		w := setup(t)
		w.conf, w.connector.TLS = conf, p.ClientTLS()
		out := outbound("an@example.com", "gone@example.com", "full@example.com")
		rec, err := w.open(t).Send(ctx, out)
		require.Equal(t, "smtp_452", sendError(t, err).Code)
		require.Equal(t, map[string]channel.DeliveryState{
			"an@example.com": channel.DeliverySent, "gone@example.com": channel.DeliveryFailed, "full@example.com": channel.DeliveryPending,
		}, stateOf(rec))
		m, err := p.Sink().Next(ctx)
		require.NoError(t, err)
		require.Equal(t, address, m.From)
		require.Equal(t, []string{"an@example.com"}, m.To)
		mail, err := m.Mail()
		require.NoError(t, err)
		require.Equal(t, "Xin chào", mail.Subject)
		require.Equal(t, rec.ExternalIDs[0], mail.MessageID)
		require.Contains(t, mail.Text, "\n.\n..hidden dots")
	})
	t.Run("a null return path arrives", func(t *testing.T) {
		out := outbound("an@example.com")
		out.Automatic = channel.AutoReplied
		_, err := relay.Send(ctx, out)
		require.NoError(t, err)
		m, err := p.Sink().Next(ctx)
		require.NoError(t, err)
		require.Empty(t, m.From)
	})
	t.Run("letters before the @ arrive", func(t *testing.T) {
		_, err := relay.Send(ctx, outbound("nguyễn@example.com"))
		require.NoError(t, err)
		m, err := p.Sink().Next(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{"nguyễn@example.com"}, m.To)
	})
	t.Run("too large is known beforehand", func(t *testing.T) {
		out := outbound("an@example.com")
		out.Text = strings.Repeat("0123456789\n", 30_000)
		_, err := relay.Send(ctx, out)
		require.Equal(t, "too_large", sendError(t, err).Code)
	})
	t.Run("without Handed nothing arrives", func(t *testing.T) {
		out := outbound("an@example.com")
		out.Handed = func(context.Context) error { return context.Canceled }
		_, err := relay.Send(ctx, out)
		require.Equal(t, channel.NotSent, sendError(t, err).Outcome)
		// What is sent next is what comes next.
		out = outbound("next@example.com")
		_, err = relay.Send(ctx, out)
		require.NoError(t, err)
		m, err := p.Sink().Next(ctx)
		require.NoError(t, err)
		require.Equal(t, []string{"next@example.com"}, m.To)
	})
	t.Run("a bounce names our message", func(t *testing.T) {
		p.Sink().Fault(emailtest.Fault{At: emailtest.AtRcpt, Recipient: "late@example.com", Reply: "550 5.1.1 gone"})
		out := outbound("late@example.com")
		_, err := relay.Send(ctx, out)
		require.NoError(t, err)
		m, err := p.Sink().Next(ctx)
		require.NoError(t, err)
		require.Empty(t, m.From)
		require.Equal(t, []string{address}, m.To)
		require.Contains(t, string(m.Raw), "Original-Envelope-Id: "+out.Token)
		require.Contains(t, string(m.Raw), out.Token+"@shop.test")
	})
}
