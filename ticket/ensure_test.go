package ticket_test

import (
	"context"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/hosted"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

// changed counts the events of channels that were made or changed.
func changed(t *testing.T, desk *ticket.Desk) (n int) {
	t.Helper()
	events, err := desk.Events(t.Context(), 0, 500)
	require.NoError(t, err)
	for _, e := range events {
		if e.Type == ticket.EventChannelCreated || e.Type == ticket.EventChannelUpdated {
			n++
		}
	}
	return n
}

func TestAProgramThatStartsAgainFindsTheChannelsThatItEnsures(t *testing.T) {
	t.Parallel()
	back := memstore.New()
	key := []byte("32 bytes by which all are sealed.")[:32]
	start := func(password, text string) (desk *ticket.Desk, ids []channel.ID) {
		mx := &hosted.Server{Domain: "help.example.com"}
		app := &facebook.App{ID: "1", Secrets: []string{"s"}, VerifyToken: "v"}
		desk, err := ticket.New(ticket.Config{Store: back.Portal("main"), Connectors: []channel.Connector{mx, account.Connector{}, app}, Key: key})
		require.NoError(t, err)
		ensure := func(cfg channel.Config, s ticket.Settings) channel.ID {
			ch, err := desk.Ensure(t.Context(), cfg, s)
			require.NoError(t, err)
			ids = append(ids, ch.ID)
			return ch.ID
		}
		box := ensure(hosted.Mailbox{LocalPart: "Support", Name: "Support"}, ticket.Settings{AutoReply: ticket.AutoReply{On: true, Body: text}})
		ensure(account.Account{Address: "help@example.com", Password: password, SMTP: account.Server{Host: "smtp.example.com"}, ForwardedTo: box}, ticket.Settings{})
		ensure(facebook.Page{ID: "123", Token: password, Rules: facebook.Rules{Messages: true}}, ticket.Settings{})
		return desk, ids
	}
	desk, first := start("one", "Hello")
	require.Equal(t, 3, changed(t, desk))
	desk, again := start("one", "Hello")
	require.Equal(t, first, again)
	require.Equal(t, 3, changed(t, desk), "what is that way already is left alone")

	desk, again = start("two", "Good day")
	require.Equal(t, first, again)
	require.Equal(t, 6, changed(t, desk), "of each something is new")
	box, err := desk.Channel(t.Context(), first[0])
	require.NoError(t, err)
	require.Equal(t, "Good day", box.Settings.AutoReply.Body)
	desk, _ = start("two", "Good day")
	require.Equal(t, 6, changed(t, desk))

	// Without a token and a name those that are saved stay.
	_, err = desk.Ensure(t.Context(), facebook.Page{ID: "123", Rules: facebook.Rules{Messages: true}}, ticket.Settings{})
	require.NoError(t, err)
	_, err = desk.Ensure(t.Context(), hosted.Mailbox{LocalPart: "support"}, box.Settings)
	require.NoError(t, err)
	require.Equal(t, 6, changed(t, desk))
}

func TestToEnsureAChannelIsRefusedAsConnectingItIs(t *testing.T) {
	t.Parallel()
	back := memstore.New()
	mx := &hosted.Server{Domain: "help.example.com"}
	conns := []channel.Connector{mx, account.Connector{}}
	desk, err := ticket.New(ticket.Config{Store: back.Portal("main"), Connectors: conns})
	require.NoError(t, err)
	other, err := ticket.New(ticket.Config{Store: back.Portal("other"), Portal: "other", Connectors: conns})
	require.NoError(t, err)
	refused := func(desk *ticket.Desk, cfg channel.Config, s ticket.Settings, field string) {
		t.Helper()
		var bad *channel.FieldError
		_, err := desk.Ensure(t.Context(), cfg, s)
		require.ErrorAs(t, err, &bad)
		require.Equal(t, field, bad.Field)
	}
	refused(desk, hosted.Mailbox{LocalPart: "a b"}, ticket.Settings{}, "local_part")
	refused(desk, hosted.Mailbox{LocalPart: "support"}, ticket.Settings{Queue: "none"}, "settings.queue")
	_, err = desk.Ensure(t.Context(), hosted.Mailbox{LocalPart: "support"}, ticket.Settings{})
	require.NoError(t, err)
	refused(desk, hosted.Mailbox{LocalPart: "support"}, ticket.Settings{Queue: "none"}, "settings.queue")
	refused(desk, account.Account{Address: "support@help.example.com", SMTP: account.Server{Host: "smtp.example.com"}, Auth: account.AuthNone}, ticket.Settings{}, "address")
	refused(other, hosted.Mailbox{LocalPart: "support"}, ticket.Settings{}, "local_part")
	require.Equal(t, 1, changed(t, desk))
}

func TestNodesThatEnsureTheSameAtOnceMakeItOnce(t *testing.T) {
	t.Parallel()
	for name, network := range map[string]func() *channeltest.Network{
		"in processes of their own": channeltest.NewNetwork,
		"in one process":            sync.OnceValue(channeltest.NewNetwork), // which knows of a channel before it is saved
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ensureAtOnce(t, network)
		})
	}
}

func ensureAtOnce(t *testing.T, network func() *channeltest.Network) {
	t.Helper()
	back := memstore.New()
	const nodes = 4
	ids := make(chan channel.ID, nodes)
	errs := make(chan error, nodes)
	for range nodes {
		desk, err := ticket.New(ticket.Config{Store: back.Portal("main"), Connectors: []channel.Connector{network()}})
		require.NoError(t, err)
		go func() {
			ch, err := desk.Ensure(context.Background(), mailAccount(box), ticket.Settings{})
			if err == nil {
				ids <- ch.ID
			}
			errs <- err
		}()
	}
	for range nodes {
		require.NoError(t, <-errs)
	}
	first := <-ids
	for range nodes - 1 {
		require.Equal(t, first, <-ids)
	}
}
