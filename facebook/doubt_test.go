package facebook_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

func TestAMessageThatGotNoConnectionWasNotSent(t *testing.T) {
	t.Parallel()
	s, _, _, out := direct(t, graphtest.Options{})
	// A network that swallows everything: no connection is refused, none is made.
	app := newApp(s.fb)
	app.Graph, app.Limits.Call = "http://graph.example", 20*time.Millisecond
	app.HTTP = &http.Client{Transport: &http.Transport{DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		<-ctx.Done()
		return nil, ctx.Err()
	}}}
	acct, err := facebook.Page{ID: "12", Token: "token"}.Account()
	require.NoError(t, err)
	ch, err := app.Open(t.Context(), acct, channel.Env{Portal: "main"})
	require.NoError(t, err)
	_, err = ch.(channel.Sender).Send(t.Context(), out("Hello"))
	require.Equal(t, channel.NotSent, refusal(t, err).Outcome)
	// Calls are slowed down near the limit: one that ends while it waits was not made.
	header := http.Header{"X-App-Usage": {`{"call_count":99}`}}
	s.fb.Fail(graphtest.Fault{Path: "/messages", Code: 2, Header: header})
	_, err = s.ch.(channel.Sender).Send(t.Context(), out("Hello"))
	require.Equal(t, channel.Unknown, refusal(t, err).Outcome)
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, err = s.ch.(channel.Sender).Send(short, out("Hello again"))
	require.Equal(t, channel.NotSent, refusal(t, err).Outcome)
}

func TestAnAnswerThatTakesTooLongIsLookedForAndNeverSentTwice(t *testing.T) {
	inVariants(t, facebook.Rules{Messages: true}, func(w *world) {
		w.ann.Write(w.page.ID, "Hello")
		w.settle()
		w.fb.Fail(graphtest.Fault{Path: "/messages", Delay: time.Hour})
		w.hold() // no echo tells
		m := w.reply(w.only().ID, "Hi")
		time.Sleep(time.Minute)
		require.Equal(w.t, ticket.StateSent, w.message(m.ID).State)
		require.Len(w.t, w.fb.Sent(), 1)
	})
}

func TestTheSameWordsTwiceAreTwoMessages(t *testing.T) {
	for _, how := range []string{"by us", "by us, before a restart", "in the inbox"} {
		t.Run(how, func(t *testing.T) {
			inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
				w.ann.Write(w.page.ID, "Hello")
				w.settle()
				tk := w.only()
				if how == "in the inbox" {
					w.page.WriteInInbox(w.ann, "Thank you")
					w.settle()
				} else {
					require.Equal(w.t, ticket.StateSent, w.reply(tk.ID, "Thank you").State)
				}
				if how == "by us, before a restart" { // nothing is remembered
					w.stop()
					app := newApp(w.fb)
					w.app, w.cfg.Connectors = app, []channel.Connector{app}
					require.NoError(w.t, w.fb.Subscribe(app.Webhook(), "verify"))
					w.open()
					w.settle()
				}
				w.fb.Fail(graphtest.Fault{Path: "/messages", Lost: true})
				m := w.reply(tk.ID, "Thank you")
				time.Sleep(time.Hour)
				require.Equal(w.t, ticket.StateUncertain, w.message(m.ID).State, "only the other one is there")
			})
		})
	}
}

func TestAPageThatMayNotWriteForNowIsNotAskedAgainAndAgain(t *testing.T) {
	for _, f := range []graphtest.Fault{{Code: 10, Subcode: 1893063}, {Code: 368}} {
		t.Run(fmt.Sprint(f.Code), func(t *testing.T) {
			inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
				w.ann.Write(w.page.ID, "Hello")
				w.settle()
				f.Path = "/messages"
				w.fb.Fail(f)
				first := w.reply(w.only().ID, "Hi")
				require.Equal(w.t, ticket.StatePending, first.State)
				second := w.reply(w.only().ID, "Are you there?")
				require.Equal(w.t, ticket.StatePending, second.State)
				require.Contains(w.t, second.StateDetail, "Facebook", second.StateDetail)
				require.Empty(w.t, w.fb.Calls("/messages"))
				ch, err := w.desk.Channel(w.ctx, w.ch.ID)
				require.NoError(w.t, err)
				require.Equal(w.t, channel.StateDegraded, ch.Status.State)
				w.fb.AddPerson("Ben").Write(w.page.ID, "What comes in does not wait")
				w.settle()
				require.Len(w.t, w.tickets(), 2)
				time.Sleep(8 * time.Hour)
				require.Equal(w.t, ticket.StateSent, w.message(first.ID).State)
				require.Equal(w.t, ticket.StateSent, w.message(second.ID).State)
				ch, err = w.desk.Channel(w.ctx, w.ch.ID)
				require.NoError(w.t, err)
				require.Equal(w.t, channel.StateLive, ch.Status.State)
			})
		})
	}
}

func TestAMissingPermissionIsToldOnce(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		w.ann.Write(w.page.ID, "Hello")
		w.settle()
		w.admin.Decline("pages_messaging")
		states := func() (out []string) {
			events, err := w.desk.Events(w.ctx, 0, 1000)
			require.NoError(w.t, err)
			for _, e := range events {
				if e.Type == ticket.EventChannelStatus {
					out = append(out, e.Data["state"])
				}
			}
			return out
		}
		before := len(states())
		m := w.reply(w.only().ID, "Hi")
		time.Sleep(6 * time.Hour)
		require.Equal(w.t, []string{string(channel.StateNeedsAuthorization)}, states()[before:])
		w.admin.Grant("pages_messaging")
		time.Sleep(time.Hour)
		require.Equal(w.t, ticket.StateSent, w.message(m.ID).State)
		require.Equal(w.t, []string{string(channel.StateNeedsAuthorization), string(channel.StateLive)}, states()[before:])
	})
}
