package facebook_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
)

func TestNothingPrintsASecret(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{}, func(w *world) {
		mai := w.fb.AddPerson("Mai")
		mai.Manage(w.page.ID)
		grant, err := w.app.Finish(w.ctx, callbackURL, login(w.t, w.app, mai, true, false))
		require.NoError(w.t, err)
		page, ok := grant.Page(w.page.ID, facebook.Rules{})
		require.True(w.t, ok)
		acct, err := page.Account()
		require.NoError(w.t, err)
		ch, err := w.app.Open(w.ctx, channel.Account{ID: w.ch.ID, Kind: acct.Kind, Config: acct.Config, Credentials: acct.Credentials}, channel.Env{Portal: "main"})
		require.NoError(w.t, err)
		for _, v := range []any{page, &page, grant, *grant, grant.Pages, grant.Pages[0], w.app, acct, ch, struct{ P facebook.Page }{page}, []any{w.app, page}} {
			var out bytes.Buffer
			for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
				fmt.Fprintf(&out, verb+"\n", v)
			}
			b, _ := json.Marshal(v)
			out.Write(b)
			slog.New(slog.NewTextHandler(&out, nil)).Info("x", "v", v)
			slog.New(slog.NewJSONHandler(&out, nil)).Info("x", "v", v)
			for _, secret := range []string{page.Token, w.fb.AppSecret(), "verify"} {
				require.NotContains(w.t, out.String(), secret, "%T", v)
				require.NotContains(w.t, out.String(), fmt.Sprintf("%x", secret), "%T", v)
			}
		}
	})
}

func TestFacebooksWordsAreKeptWithoutTheSecretsThatTheyRepeat(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		token := w.admin.PageToken(w.page.ID)
		long := strings.Repeat("x", 290) + " " // its end is cut off
		w.fb.Fail(graphtest.Fault{Code: 190, Message: "Malformed access token " + token + " of app secret " + w.fb.AppSecret() + long + token, Times: -1})
		w.ann.Write(w.page.ID, "Hello")
		w.settle()
		m := w.reply(w.only().ID, "Hi")
		ch, err := w.desk.Channel(w.ctx, w.ch.ID)
		require.NoError(w.t, err)
		all := fmt.Sprint(m.StateDetail, ch.Status)
		require.Contains(w.t, all, "Malformed access token …")
		require.NotContains(w.t, all, token[:12])
		require.NotContains(w.t, all, w.fb.AppSecret())
	})
}

// elsewhere sends calls of some paths elsewhere, and notes what is asked for there.
type elsewhere struct {
	inner http.RoundTripper
	asked []string
}

func (e *elsewhere) RoundTrip(r *http.Request) (*http.Response, error) {
	if r.URL.Host == "graph.fake" && !strings.HasSuffix(r.URL.Path, "/feed") && !strings.HasSuffix(r.URL.Path, ".pdf") {
		return e.inner.RoundTrip(r)
	}
	if r.URL.Host != "graph.fake" {
		e.asked = append(e.asked, r.URL.String()+r.Header.Get("Authorization"))
		return nil, fmt.Errorf("refused")
	}
	h := http.Header{"Location": {"http://169.254.169.254/latest/meta-data"}}
	return &http.Response{StatusCode: http.StatusTemporaryRedirect, Header: h, Body: http.NoBody, Request: r}, nil
}

func TestNoRedirectLeadsAnywhereElse(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		w.stop()
		e := &elsewhere{inner: w.fb.Client().Transport}
		// The host's own client follows redirects, as http.DefaultClient does.
		app := newApp(w.fb)
		app.HTTP = &http.Client{Transport: e}
		w.app, w.cfg.Connectors = app, []channel.Connector{app}
		require.NoError(w.t, w.fb.Subscribe(app.Webhook(), "verify"))
		w.open()
		w.settle()
		w.ann.Write(w.page.ID, "A file", w.fb.File("file", "a.pdf", "application/pdf", []byte("x")))
		w.settle()
		require.Len(w.t, w.timeline(w.only().ID)[0].Defects, 1)
		_, err := w.desk.Check(w.ctx, w.ch.ID) // it reads the feed
		require.NoError(w.t, err)
		require.Error(w.t, w.desk.Backfill(w.ctx, w.ch.ID, time.Now().Add(-time.Hour)))
		require.Empty(w.t, e.asked)
	})
}
