package main

import (
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/facebook/graphtest"
)

// onFacebook starts a host with an app, and Facebook beside it, which delivers
// as events come.
func onFacebook(t *testing.T) (*running, *graphtest.Graph) {
	t.Helper()
	var fb *graphtest.Graph
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fb.ServeHTTP(w, r) }))
	t.Cleanup(srv.Close)
	fb = graphtest.New(graphtest.Options{URL: srv.URL, RequireProof: true})
	env := map[string]string{"ANTEROOM_TOKEN": testToken, "FACEBOOK_APP_ID": fb.AppID(), "FACEBOOK_APP_SECRET": fb.AppSecret(),
		"FACEBOOK_VERIFY_TOKEN": "verify", "FACEBOOK_GRAPH": srv.URL}
	opts, err := parseOptions([]string{"-data", t.TempDir(), "-http", "127.0.0.1:0", "-smtp", "127.0.0.1:0", "-undo", "0s"}, func(k string) string { return env[k] }, io.Discard)
	require.NoError(t, err)
	opts.passwordRounds = 1000
	r := start(t, opts)
	r.office(nil, nil)
	require.NoError(t, fb.SubscribeURL(r.host.baseURL()+"/webhooks/facebook", "verify"))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); fb.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return r, fb
}

func TestAFacebookPageFromTheFirstMessageToTheReadAnswer(t *testing.T) {
	t.Parallel()
	r, fb := onFacebook(t)
	page, admin, ann := fb.AddPage("Shop"), fb.AddPerson("Admin"), fb.AddPerson("Ann Lê")
	config := object{"page_id": page.ID, "access_token": admin.PageToken(page.ID),
		"rules": object{"messages": true, "posts": "relevant", "comments": true, "keywords": []string{"giá"}}}
	bad := r.call("POST", "/api/channels", object{"kind": "facebook.page", "config": object{"page_id": "x", "access_token": "t"}}, 400)
	require.Equal(t, "config.page_id", text(bad, "error", "field"))
	bad = r.call("POST", "/api/channels", object{"kind": "facebook.page", "config": object{"page_id": "1"}}, 400)
	require.Equal(t, "config.access_token", text(bad, "error", "field"))
	bad = r.call("POST", "/api/channels", object{"kind": "facebook.page", "config": object{"page_id": "1", "access_token": "t", "rules": object{"posts": "x"}}}, 400)
	require.Equal(t, "config.rules.posts", text(bad, "error", "field"))
	ch := r.call("POST", "/api/channels", object{"kind": "facebook.page", "name": "Shop", "config": config, "settings": object{"queue": "support"}}, 201)
	require.Equal(t, "live", text(ch, "status", "state"))
	require.Equal(t, page.ID, text(ch, "address"))
	require.NotContains(t, r.body("/api/channels/"+text(ch, "id")), admin.PageToken(page.ID))
	r.eventually("/api/channels", func(object) bool { return len(fb.Subscribed(page.ID)) > 0 })
	for _, f := range r.call("POST", "/api/channels/"+text(ch, "id")+"/check", nil, 200)["findings"].([]any) {
		require.NotEqual(t, "error", text(f, "severity"), "%v", f)
	}

	ann.SetPicture([]byte("\xff\xd8\xff\xe0 a face"))
	ann.Write(page.ID, "Còn hàng không?", fb.File("image", "a.jpg", "image/jpeg", []byte("jpeg")))
	tk := get(r.eventually("/api/tickets", firstTicket), "tickets", 0)
	require.Equal(t, "Ann Lê", text(tk, "contact", "name"))
	full := r.call("GET", "/api/tickets/"+text(tk, "id"), nil, 200)
	face := "/api/contacts/" + text(tk, "contact", "id") + "/picture"
	require.Equal(t, "\xff\xd8\xff\xe0 a face", r.body(face))
	r.call("GET", "/api/contacts/nobody/picture", nil, 404)
	stranger, err := http.Get(r.host.baseURL() + face)
	require.NoError(t, err)
	stranger.Body.Close()
	require.Equal(t, 401, stranger.StatusCode)
	agent := r.browser()
	agent.signIn("an", "mat-khau-1", 200)
	require.Contains(t, agent.see("/tickets/"+text(tk, "id"), 200), face)
	require.Equal(t, "image/jpeg", text(full, "messages", 0, "attachments", 0, "type"))
	require.NotEmpty(t, text(r.call("GET", "/api/conversations/"+text(tk, "conversation"), nil, 200), "sendable_until"))
	reply := r.call("POST", "/api/tickets/"+text(tk, "id")+"/replies", object{"agent": "binh", "text": "Dạ còn ạ"}, 202)
	message := "/api/messages/" + text(reply, "id")
	r.eventually(message, func(m object) bool { return text(m, "state") == "sent" })
	r.eventually("/api/ledger", func(l object) bool { return l["applied"].(float64) >= 1 })
	ann.Read(page.ID)
	r.eventually(message, func(m object) bool { return text(m, "state") == "read" })
	r.call("POST", "/api/messages/"+text(full, "messages", 0, "id")+"/actions", object{"action": "react_love"}, 200)
	refused := r.call("POST", "/api/messages/"+text(full, "messages", 0, "id")+"/actions", object{"action": "hide"}, 409)
	require.Equal(t, "not_able", text(refused, "error", "code"))

	post := page.Post("New shoes")
	ann.Comment(post, "Nice!")
	ann.Comment(post, "Giá bao nhiêu?")
	both := r.eventually("/api/tickets", func(l object) bool { return len(l["tickets"].([]any)) == 2 })
	comment := get(both, "tickets", 0)
	require.Equal(t, "Giá bao nhiêu?", text(comment, "subject"))
	conversation := r.call("GET", "/api/conversations/"+text(comment, "conversation"), nil, 200)
	require.Contains(t, text(conversation, "context"), "New shoes")
	private := r.call("POST", "/api/conversations/"+text(comment, "conversation")+"/replies", object{"agent": "binh", "text": "20, riêng cho bạn", "how": "private"}, 202)
	r.eventually("/api/messages/"+text(private, "id"), func(m object) bool { return text(m, "state") == "sent" })
	public := r.call("POST", "/api/tickets/"+text(comment, "id")+"/replies", object{"agent": "binh", "text": "20", "how": "public"}, 202)
	sent := r.eventually("/api/messages/"+text(public, "id"), func(m object) bool { return text(m, "state") == "sent" })
	require.Equal(t, true, r.call("DELETE", "/api/messages/"+text(public, "id"), nil, 200)["withdrawn"])
	require.True(t, fb.Gone(text(sent, "external_id")))

	patched := r.call("PATCH", "/api/channels/"+text(ch, "id"), object{"config": object{"rules": object{"posts": "everything"}}}, 200)
	require.Equal(t, "everything", text(patched, "config", "rules", "posts"))
	require.Equal(t, true, get(patched, "config", "rules", "messages"), "what is not given stays")
	ann.Comment(post, "Nice again!")
	r.eventually("/api/tickets", func(l object) bool { return len(l["tickets"].([]any)) == 3 })
	r.call("POST", "/api/channels/"+text(ch, "id")+"/backfill", object{"since": "2020-01-01T00:00:00Z"}, 200)
	r.call("POST", "/api/channels/"+text(ch, "id")+"/backfill", object{}, 400)

	ann.WriteWith(page.ID, "Red", object{"quick_reply": object{"payload": "COLOUR_RED"}})
	r.eventually("/api/tickets/"+text(tk, "id"), func(l object) bool {
		m := l["messages"].([]any)
		return text(m[len(m)-1], "payload") == "COLOUR_RED"
	})

	resp, err := http.PostForm(r.host.baseURL()+"/webhooks/facebook", url.Values{"x": {"y"}})
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 403, resp.StatusCode)
}

// body returns what a path answers, as text.
func (r *running) body(path string) string {
	resp := r.request("GET", path, nil)
	b, err := io.ReadAll(resp.Body)
	require.NoError(r.t, err)
	return string(b)
}

// login goes from the page of channels through Facebook's dialog, and returns
// where the browser is sent back to.
func (b browserOf) login(who *graphtest.Person, agrees bool) string {
	b.t.Helper()
	b.client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	defer func() { b.client.CheckRedirect = nil }()
	to := "/channels/new?kind=facebook.page"
	for range 2 {
		resp, err := b.client.Get(b.host.baseURL() + to)
		require.NoError(b.t, err)
		resp.Body.Close()
		to = resp.Header.Get("Location")
	}
	back, err := who.Login(to, agrees)
	require.NoError(b.t, err)
	return strings.TrimPrefix(back, b.host.baseURL())
}

// pageChannels are the Pages that are channels.
func (r *running) pageChannels() (names []string) {
	for _, c := range r.call("GET", "/api/channels", nil, 200)["channels"].([]any) {
		if text(c, "kind") == "facebook.page" {
			names = append(names, text(c, "name"))
		}
	}
	return names
}

func TestTheUserChoosesWhichPagesBecomeChannels(t *testing.T) {
	t.Parallel()
	r, fb := onFacebook(t)
	mai := fb.AddPerson("Mai")
	var pages []*graphtest.Page
	for _, name := range []string{"First", "Second <b>", "Third", "Fourth", "Hidden"} {
		p := fb.AddPage(name)
		mai.Manage(p.ID)
		pages = append(pages, p)
	}
	mai.Manage(pages[1].ID, "MESSAGING", "ANALYZE")
	mai.Follow(pages[3].ID)
	mai.Tick(pages[0].ID, pages[1].ID, pages[2].ID, pages[3].ID)
	mai.Decline("pages_manage_engagement")
	b := r.browser()
	b.signIn("an", "mat-khau-1", 200)
	b.see("/connect/facebook/pages", 409)

	back := b.login(mai, true)
	require.Contains(t, b.see(back, 200), "/connect/facebook/pages")
	require.Empty(t, r.pageChannels(), "nothing is connected yet")
	shown := b.see("/connect/facebook/pages", 200)
	require.Contains(t, shown, "Second &lt;b&gt;")
	require.Contains(t, shown, "You may not: MODERATE, CREATE_CONTENT.")
	require.Contains(t, shown, "pages_manage_engagement was not granted.")
	require.Contains(t, shown, `value="`+pages[3].ID+`" disabled`)
	require.NotContains(t, shown, pages[4].ID)
	require.NotContains(t, shown, mai.PageToken(pages[0].ID))

	// What is not of this login is refused, and connects nothing.
	const path = "/connect/facebook/pages"
	require.Contains(t, b.post(path, 400), "choose at least one")
	for _, bad := range []string{pages[4].ID, pages[3].ID, "x", ""} {
		refused := b.post(path, 400, "page", pages[0].ID, "page", bad)
		require.Contains(t, refused, "First", "they may choose again")
	}
	b.post(path, 403, "csrf", "x", "page", pages[0].ID)
	other := r.browser()
	other.signIn("an", "mat-khau-1", 200)
	other.post(path, 409, "page", pages[0].ID)
	other.see(back, 403)
	require.Empty(t, r.pageChannels())
	require.Empty(t, fb.Subscribed(pages[0].ID))

	b.post(path, 200, "page", pages[0].ID)
	require.Equal(t, []string{"First"}, r.pageChannels())
	require.NotEmpty(t, fb.Subscribed(pages[0].ID))
	b.post(path, 409, "page", pages[1].ID) // the login was used
	b.see(back, 403)
	b.login(mai, true)
	b.see(back, 403) // nor is it good for another login
	require.Equal(t, []string{"First"}, r.pageChannels())
}

func TestAProgramShowsTheChoiceAndTellsWhichPages(t *testing.T) {
	t.Parallel()
	r, fb := onFacebook(t)
	mai := fb.AddPerson("Mai")
	first, second := fb.AddPage("First"), fb.AddPage("Second")
	mai.Manage(first.ID)
	mai.Manage(second.ID, "MODERATE")
	b := r.browser()
	b.signIn("an", "mat-khau-1", 200)
	b.see(b.login(mai, true), 200)
	call := func(method, body string, status int) object {
		req, err := http.NewRequest(method, r.host.baseURL()+"/api/connect/facebook", strings.NewReader(body))
		require.NoError(t, err)
		req.Header.Set("Authorization", "Bearer "+testToken)
		out := object{}
		require.NoError(t, json.Unmarshal([]byte(b.do(req, status)), &out))
		return out
	}
	require.Equal(t, "no_login", text(r.call("GET", "/api/connect/facebook", nil, 409), "error", "code"), "another browser has none")
	got := call("GET", "", 200)
	require.Equal(t, []any{}, got["missing_permissions"])
	require.Equal(t, "Second", text(got, "pages", 1, "name"))
	require.Equal(t, []any{"MESSAGING", "CREATE_CONTENT"}, get(got, "pages", 1, "missing_tasks"))
	require.Equal(t, "pages", text(call("POST", `{"pages":[]}`, 400), "error", "field"))
	require.Equal(t, "pages", text(call("POST", `{"pages":["`+second.ID+`","1"]}`, 400), "error", "field"))
	require.Equal(t, "page", text(call("POST", `{"page":"1"}`, 400), "error", "field"))
	require.Empty(t, r.pageChannels())
	// Who lacks a task cannot subscribe: that one fails, and the other does not.
	mai.Manage(second.ID, "MESSAGING")
	done := call("POST", `{"pages":["`+second.ID+`","`+first.ID+`"]}`, 201)
	require.Equal(t, "First", text(done, "channels", 0, "name"))
	require.Equal(t, second.ID, text(done, "failed", 0, "page"))
	require.NotEmpty(t, text(done, "failed", 0, "problem"))
	require.Equal(t, []string{"First"}, r.pageChannels())
	call("POST", `{"pages":["`+first.ID+`"]}`, 409)
}

func TestAPageIsConnectedInTheBrowserAndGivenUpAgain(t *testing.T) {
	t.Parallel()
	r, fb := onFacebook(t)
	first, second, hidden := fb.AddPage("First"), fb.AddPage("Second"), fb.AddPage("Hidden")
	mai := fb.AddPerson("Mai")
	for _, p := range []*graphtest.Page{first, second, hidden} {
		mai.Manage(p.ID)
	}
	b := r.browser()
	require.Contains(t, b.see("/connect/facebook", 200), "Sign in", "only for who is signed in")
	b.signIn("an", "mat-khau-1", 200)
	login := func(agrees bool) string { return b.login(mai, agrees) }
	mai.Tick(second.ID)
	other := r.browser()
	other.see(login(true), 403)
	require.Contains(t, b.see(login(false), 409), "declined")
	require.Contains(t, b.see(login(true), 200), "1 Pages", "with one Page there is nothing to choose")
	mai.Tick(first.ID, second.ID)
	b.see(login(true), 200)
	b.post("/connect/facebook/pages", 200, "page", first.ID)
	list := r.call("GET", "/api/channels", nil, 200)["channels"].([]any)
	require.Len(t, list, 3)
	require.Equal(t, "Second", text(list[1], "name"))
	form := b.see("/channels/"+text(list[1], "id"), 200)
	require.Contains(t, form, "Convert messages into tickets")
	b.post("/channels/"+text(list[1], "id"), 200, "name", "Second", "queue", "support", "active", "on", "posts", "relevant", "comments", "on", "keywords", "giá\r\nđặt hàng")
	saved := r.call("GET", "/api/channels/"+text(list[1], "id"), nil, 200)
	require.Equal(t, []any{"giá", "đặt hàng"}, get(saved, "config", "rules", "keywords"))
	require.Equal(t, "support", text(saved, "settings", "queue"))
	mai.Invalidate(graphtest.PasswordChanged)
	require.Contains(t, b.see(login(true), 200), "2 Pages") // again: the tokens are new, the rules stay
	require.Equal(t, []any{"giá", "đặt hàng"}, get(r.call("GET", "/api/channels/"+text(list[1], "id"), nil, 200), "config", "rules", "keywords"))
	require.Len(t, r.call("GET", "/api/channels", nil, 200)["channels"].([]any), 3)

	resp, err := http.PostForm(r.host.baseURL()+"/webhooks/facebook/delete", url.Values{"signed_request": {mai.SignedRequest()}})
	require.NoError(t, err)
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, 200, resp.StatusCode)
	status := regexp.MustCompile(`/webhooks/facebook/deleted\?code=\w+`).FindString(string(answer))
	require.Contains(t, r.body(status), "deleted")
	r.eventually("/api/channels/"+text(list[1], "id"), func(c object) bool { return text(c, "status", "state") == "needs_authorization" })
	resp, err = http.PostForm(r.host.baseURL()+"/webhooks/facebook/deauthorize", url.Values{"signed_request": {"forged.x"}})
	require.NoError(t, err)
	resp.Body.Close()
	require.Equal(t, 403, resp.StatusCode)
}
