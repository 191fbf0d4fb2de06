package facebook_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

const callbackURL = "https://portal.example/connect/facebook/callback"

// login goes through the dialog and returns the query of the callback.
func login(t *testing.T, app *facebook.App, p *graphtest.Person, agrees, again bool) url.Values {
	t.Helper()
	state, cookie := app.State()
	to, err := p.Login(app.LoginURL(callbackURL, state, again), agrees)
	require.NoError(t, err)
	u, err := url.Parse(to)
	require.NoError(t, err)
	require.True(t, strings.HasPrefix(to, callbackURL))
	require.True(t, app.ValidState(u.Query().Get("state"), cookie))
	return u.Query()
}

func TestALoginGivesLastingTokensForTheChosenPages(t *testing.T) {
	inVariants(t, facebook.Rules{}, func(w *world) {
		t := w.t
		mai := w.fb.AddPerson("Mai")
		var pages []*graphtest.Page
		for i := range 130 { // more than one page of the list
			p := w.fb.AddPage(fmt.Sprint("Page ", i))
			mai.Manage(p.ID)
			pages = append(pages, p)
		}
		mai.Manage(pages[7].ID, "ANALYZE")
		g, err := w.app.Finish(w.ctx, callbackURL, login(t, w.app, mai, true, false))
		require.NoError(t, err)
		require.Equal(t, mai.ID, g.User)
		require.Len(t, g.Pages, 130)
		require.Empty(t, g.Missing())
		cfg, ok := g.Page(pages[3].ID, facebook.Rules{Messages: true})
		require.True(t, ok)
		require.Equal(t, "Page 3", cfg.Name)
		for _, p := range g.Pages {
			require.Equal(t, p.ID == pages[7].ID, len(p.MissingTasks()) > 0)
		}
		_, ok = g.Page("1", facebook.Rules{})
		require.False(t, ok)
		b, err := json.Marshal(g)
		require.NoError(t, err)
		require.NotContains(t, string(b)+fmt.Sprintf("%v %+v %#v", g.Pages, g.Pages[0], g.Pages[0]), cfg.Token)
		require.NoError(t, w.app.SubscribePage(w.ctx, cfg))
		require.Subset(t, w.fb.Subscribed(pages[3].ID), facebook.Fields())
		_, err = w.desk.Connect(w.ctx, cfg, ticket.Settings{Queue: "q"})
		require.NoError(t, err)
		w.later(70 * 24 * time.Hour) // longer than the person's own token holds
		w.ann.Write(pages[3].ID, "Hello")
		w.settle()
		require.Equal(t, ticket.StateSent, w.reply(w.only().ID, "Hi").State)
		require.NoError(t, w.app.UnsubscribePage(w.ctx, cfg))
		require.Empty(t, w.fb.Subscribed(pages[3].ID))
	})
}

func TestALoginThatFailsSaysHow(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{}, func(w *world) {
		t := w.t
		mai := w.fb.AddPerson("Mai")
		mai.Manage(w.page.ID)
		_, err := w.app.Finish(w.ctx, callbackURL, login(t, w.app, mai, false, false))
		require.ErrorIs(t, err, facebook.ErrDeclined)
		_, err = w.app.Finish(w.ctx, callbackURL, url.Values{})
		require.Error(t, err)
		var ge *facebook.Error
		q := login(t, w.app, mai, true, false)
		_, err = w.app.Finish(w.ctx, callbackURL+"/other", q)
		require.ErrorAs(t, err, &ge)
		require.Equal(t, "redirect_mismatch", ge.Name())
		_, err = w.app.Finish(w.ctx, callbackURL, q)
		require.NoError(t, err)
		_, err = w.app.Finish(w.ctx, callbackURL, q)
		require.ErrorAs(t, err, &ge)
		require.Equal(t, "code_used", ge.Name())
		q = login(t, w.app, mai, true, false)
		time.Sleep(time.Hour)
		_, err = w.app.Finish(w.ctx, callbackURL, q)
		require.ErrorAs(t, err, &ge)
		require.Equal(t, "code_expired", ge.Name())
		require.NotContains(t, err.Error(), q.Get("code"))

		mai.Decline("pages_show_list", "pages_messaging")
		g, err := w.app.Finish(w.ctx, callbackURL, login(t, w.app, mai, true, false))
		require.NoError(t, err)
		require.Empty(t, g.Pages)
		require.Len(t, g.Missing(), 2)
		require.Equal(t, "pages_show_list", g.Missing()[0].Name)
		g, err = w.app.Finish(w.ctx, callbackURL, login(t, w.app, mai, true, true))
		require.NoError(t, err)
		require.Empty(t, g.Missing(), "asked once more")
		mai.Tick()
		g, err = w.app.Finish(w.ctx, callbackURL, login(t, w.app, mai, true, false))
		require.NoError(t, err)
		require.Empty(t, g.Pages, "none was ticked")
	})
}

func TestAStateIsGoodOnceForItsBrowserAndNotForLong(t *testing.T) {
	t.Parallel()
	now := time.Now()
	app := &facebook.App{ID: "1", Secrets: []string{"s"}, Now: func() time.Time { return now }}
	state, cookie := app.State()
	require.True(t, app.ValidState(state, cookie))
	other, otherCookie := app.State()
	require.False(t, app.ValidState(state, otherCookie))
	require.False(t, app.ValidState(other, cookie))
	for _, bad := range []string{"", "x", state + "A", state[:len(state)-2] + "AA"} {
		require.False(t, app.ValidState(bad, cookie), bad)
	}
	require.False(t, app.ValidState(state, ""))
	require.False(t, (&facebook.App{ID: "1", Secrets: []string{"t"}, Now: app.Now}).ValidState(state, cookie))
	now = now.Add(31 * time.Minute)
	require.False(t, app.ValidState(state, cookie))
}

func TestARevokedPageNeedsAuthorizationAndIsRenewedInPlace(t *testing.T) {
	for _, why := range []int{graphtest.AppRemoved, graphtest.Checkpoint, graphtest.PasswordChanged, graphtest.RoleLost} {
		t.Run(fmt.Sprint(why), func(t *testing.T) {
			inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
				t := w.t
				w.ann.Write(w.page.ID, "Hello")
				w.settle()
				w.admin.Invalidate(why)
				m := w.reply(w.only().ID, "Hi")
				require.Equal(t, ticket.StatePending, m.State)
				ch, err := w.desk.Channel(w.ctx, w.ch.ID)
				require.NoError(t, err)
				require.Equal(t, channel.StateNeedsAuthorization, ch.Status.State)
				require.NotEmpty(t, ch.Status.Reason)
				w.ann.Write(w.page.ID, "Are you there?") // events go on
				w.settle()
				require.Len(t, w.timeline(w.only().ID), 3)
				_, err = w.desk.Update(w.ctx, w.ch.ID, ticket.ChannelPatch{Config: facebook.Page{ID: w.page.ID, Token: w.admin.PageToken(w.page.ID), Rules: facebook.Rules{Messages: true}}})
				require.NoError(t, err)
				time.Sleep(time.Hour)
				require.Equal(t, ticket.StateSent, w.message(m.ID).State)
				ch, err = w.desk.Channel(w.ctx, w.ch.ID)
				require.NoError(t, err)
				require.Equal(t, channel.StateLive, ch.Status.State)
				require.Len(t, w.fb.Sent(), 1)
			})
		})
	}
}

func post(h http.Handler, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, "/", strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	h.ServeHTTP(rec, r)
	return rec
}

func TestRemovingTheAppOrAskingForDeletionErasesTheTokens(t *testing.T) {
	for _, what := range []string{"deauthorize", "delete"} {
		t.Run(what, func(t *testing.T) {
			inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
				t := w.t
				other := w.fb.AddPerson("Other")
				second := w.fb.AddPage("Second")
				kept, err := w.desk.Connect(w.ctx, facebook.Page{ID: second.ID, Token: other.PageToken(second.ID), User: other.ID}, ticket.Settings{})
				require.NoError(t, err)
				h := w.app.Deauthorize()
				if what == "delete" {
					h = w.app.DeleteData("https://portal.example/status")
				}
				good := w.admin.SignedRequest()
				sig, payload, _ := strings.Cut(good, ".")
				_, theirs, _ := strings.Cut(other.SignedRequest(), ".")
				for _, bad := range []string{"", ".", good + "x", sig, sig + ".", "." + payload, sig + "." + theirs, "AAAA." + payload} {
					require.Equal(t, 403, post(h, url.Values{"signed_request": {bad}}).Code, bad)
				}
				state := func(id channel.ID) channel.State {
					ch, err := w.desk.Channel(w.ctx, id)
					require.NoError(t, err)
					return ch.Status.State
				}
				w.settle()
				require.Equal(t, channel.StateLive, state(w.ch.ID))
				rec := post(h, url.Values{"signed_request": {good}})
				require.Equal(t, 200, rec.Code)
				require.Equal(t, 200, post(h, url.Values{"signed_request": {good}}).Code, "once more")
				w.settle()
				require.Equal(t, channel.StateNeedsAuthorization, state(w.ch.ID))
				require.Equal(t, channel.StateLive, state(kept.ID))
				w.ann.Write(w.page.ID, "Hello")
				w.settle()
				calls := len(w.fb.Calls("/messages"))
				require.Equal(t, ticket.StatePending, w.reply(w.only().ID, "Hi").State)
				require.Len(t, w.fb.Calls("/messages"), calls, "there is no token left to call with")
				w.stop()
				w.open() // nor after a restart
				w.settle()
				require.Equal(t, channel.StateNeedsAuthorization, state(w.ch.ID))
				if what != "delete" {
					return
				}
				var out struct {
					URL  string `json:"url"`
					Code string `json:"confirmation_code"`
				}
				require.NoError(t, json.Unmarshal(rec.Body.Bytes(), &out))
				require.Equal(t, "https://portal.example/status?code="+out.Code, out.URL)
				require.NotContains(t, out.Code, w.admin.ID)
				status := func(code string) int {
					rec := httptest.NewRecorder()
					w.app.DeletionStatus().ServeHTTP(rec, httptest.NewRequest(http.MethodGet, "/?code="+code, nil))
					return rec.Code
				}
				require.Equal(t, 200, status(out.Code))
				later := httptest.NewRecorder() // the secret was changed meanwhile
				(&facebook.App{ID: "1", Secrets: []string{"the new one", w.fb.AppSecret()}}).DeletionStatus().ServeHTTP(later, httptest.NewRequest(http.MethodGet, "/?code="+out.Code, nil))
				require.Equal(t, 200, later.Code)
				require.Equal(t, 404, status("x"+out.Code[1:]+"0"))
				require.Equal(t, 404, status(""))
			})
		})
	}
}

func TestWhatAUserChoosesIsOfTheirLogin(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{}, func(w *world) {
		t := w.t
		mai := w.fb.AddPerson("Mai")
		first, second, third := w.fb.AddPage("First"), w.fb.AddPage("Second"), w.fb.AddPage("Third")
		mai.Manage(first.ID)
		mai.Manage(second.ID, "PROFILE_PLUS_MESSAGING", "PROFILE_PLUS_CREATE_CONTENT", "ANALYZE")
		mai.Follow(third.ID)
		g, err := w.app.Finish(w.ctx, callbackURL, login(t, w.app, mai, true, false))
		require.NoError(t, err)
		require.Len(t, g.Pages, 3)
		require.Empty(t, g.Pages[0].MissingTasks())
		require.Equal(t, []string{"MODERATE"}, g.Pages[1].MissingTasks())
		require.Equal(t, facebook.Tasks(), g.Pages[2].MissingTasks())
		chosen, err := g.Choose(second.ID, first.ID, second.ID)
		require.NoError(t, err)
		require.Equal(t, []string{second.ID, first.ID}, []string{chosen[0].ID, chosen[1].ID})
		for _, bad := range [][]string{{}, {first.ID, w.page.ID}, {""}, {"\x00<script>"}, {third.ID}} {
			_, err := g.Choose(bad...)
			var fe *channel.FieldError
			require.ErrorAs(t, err, &fe, "%q", bad)
			require.Equal(t, "pages", fe.Field)
			require.NotContains(t, err.Error(), "\x00")
		}
		_, ok := g.Page(third.ID, facebook.Rules{})
		require.False(t, ok, "there is no token for it")
		require.Error(t, w.app.SubscribePage(w.ctx, facebook.Page{ID: third.ID}))
		require.Empty(t, w.fb.Calls(third.ID+"/subscribed_apps"), "the app's own token is not used for it")
	})
}
