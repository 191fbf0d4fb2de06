package facebook

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Connecting Pages by Facebook's login
// (https://developers.facebook.com/docs/facebook-login/guides/advanced/manual-flow):
//
//	state, cookie := app.State()                  // the cookie goes to the browser
//	redirect to app.LoginURL(callbackURL, state, false)
//	... the browser comes back to callbackURL?code=...&state=...
//	if !app.ValidState(state, cookie) { refuse }
//	grant, err := app.Finish(ctx, callbackURL, r.URL.Query())
//	... keep the grant, and show grant.Pages, each with MissingTasks, and grant.Missing
//	chosen, err := grant.Choose(ids...)           // what the user ticked
//	cfg, ok := grant.Page(chosen[0].ID, rules)    // for Desk.Connect, or Desk.Update to renew
//	err = app.SubscribePage(ctx, cfg)

// LoginURL returns the address of the login dialog. redirect must be registered
// with the app. again asks once more for what the person declined before.
func (a *App) LoginURL(redirect, state string, again bool) string {
	base := strings.TrimSuffix(a.Dialog, "/")
	if base == "" {
		base = strings.TrimSuffix(a.Graph, "/")
	}
	if base == "" {
		base = "https://www.facebook.com"
	}
	var scopes []string
	for _, s := range a.scopes() {
		scopes = append(scopes, s.Name)
	}
	q := url.Values{"client_id": {a.ID}, "redirect_uri": {redirect}, "state": {state}, "response_type": {"code"}, "scope": {strings.Join(scopes, ",")}}
	if again {
		q.Set("auth_type", "rerequest")
	}
	return base + "/" + a.version() + "/dialog/oauth?" + q.Encode()
}

// stateHolds is how long a login may take.
const stateHolds = 30 * time.Minute

// State returns a state for a login, and what is to be kept in a cookie of the
// browser that begins it, so that only that one can end it.
func (a *App) State() (state, cookie string) {
	cookie = rand.Text()
	b := binary.BigEndian.AppendUint64(nil, uint64(a.now().Add(stateHolds).Unix()))
	return base64.RawURLEncoding.EncodeToString(append(b, a.stateSum(b, cookie)...)), cookie
}

func (a *App) stateSum(expires []byte, cookie string) []byte {
	mac := hmac.New(sha256.New, []byte("anteroom login state:"+a.secret()))
	mac.Write(expires)
	mac.Write([]byte(cookie))
	return mac.Sum(nil)
}

// ValidState reports whether a state is one of ours, belongs to the cookie, and
// is not too old.
func (a *App) ValidState(state, cookie string) bool {
	b, err := base64.RawURLEncoding.DecodeString(state)
	if err != nil || len(b) != 8+sha256.Size || cookie == "" || a.secret() == "" {
		return false
	}
	expires := time.Unix(int64(binary.BigEndian.Uint64(b[:8])), 0)
	return hmac.Equal(b[8:], a.stateSum(b[:8], cookie)) && !a.now().After(expires)
}

// Grant is what a person granted.
type Grant struct {
	User     string   // app-scoped id
	Granted  []string // permissions
	Declined []string
	Pages    []GrantedPage
	wanted   []Scope
}

// GrantedPage is a Page that the person let the app see.
type GrantedPage struct {
	ID, Name string
	Tasks    []string
	token    string
	user     string
}

// Missing returns the permissions that were asked for, [Scopes] at least, and not
// granted.
func (g *Grant) Missing() []Scope {
	return slices.DeleteFunc(slices.Clone(g.wanted), func(s Scope) bool { return slices.Contains(g.Granted, s.Name) })
}

// Tasks of Pages in their newer form stand under other names beside the plain
// ones.
const (
	newTaskPrefix  = "PROFILE_PLUS_"
	newTaskControl = newTaskPrefix + "FULL_CONTROL"
)

// MissingTasks returns the tasks of [Tasks] that the person may not do.
func (p GrantedPage) MissingTasks() []string {
	return slices.DeleteFunc(Tasks(), func(t string) bool {
		return slices.Contains(p.Tasks, t) || slices.Contains(p.Tasks, newTaskPrefix+t) || slices.Contains(p.Tasks, newTaskControl)
	})
}

// Connectable reports whether Facebook gave a token for the Page. It gives none to
// who may do too little on it.
func (p GrantedPage) Connectable() bool { return p.token != "" }

// Choose returns the Pages with the given ids, each once, in that order. It is for
// what a user chose, which may be anything: the error is a *channel.FieldError for
// "pages" if there is none, or one that is not in the grant or not connectable.
func (g *Grant) Choose(ids ...string) ([]GrantedPage, error) {
	if len(ids) == 0 {
		return nil, channel.BadField("pages", "choose at least one")
	}
	var out []GrantedPage
	for _, id := range ids {
		i := slices.IndexFunc(g.Pages, func(p GrantedPage) bool { return p.ID == id })
		switch {
		case i < 0:
			return nil, channel.BadField("pages", "%q is no Page of this login", short(plain(id)))
		case !g.Pages[i].Connectable():
			return nil, channel.BadField("pages", "Facebook gives no access to the Page %s: let somebody who runs it connect it", g.Pages[i])
		case !slices.ContainsFunc(out, func(p GrantedPage) bool { return p.ID == id }):
			out = append(out, g.Pages[i])
		}
	}
	return out, nil
}

// Page returns the configuration for a Page of the grant. It reports false if
// there is none with that id, or it is not connectable.
func (g *Grant) Page(id string, rules Rules) (Page, bool) {
	for _, p := range g.Pages {
		if p.ID == id && p.Connectable() {
			return Page{ID: p.ID, Name: p.Name, Token: p.token, User: p.user, Rules: rules}, true
		}
	}
	return Page{}, false
}

// ErrDeclined is returned by [App.Finish] when the person declined.
var ErrDeclined = errors.New("facebook: the login was declined")

// maxGrantedPages bounds the Pages that are read of one person.
const maxGrantedPages = 1000

// Finish ends a login: it exchanges the code for a token that lasts, and reads
// what was granted for which Pages. callback is the query that the browser came
// back with, whose state the caller has checked; redirect is the same as in
// [App.LoginURL]. A code works once: begin anew after an error.
//
// Errors: ErrDeclined, *Error of the API, and those of the connection.
func (a *App) Finish(ctx context.Context, redirect string, callback url.Values) (*Grant, error) {
	if callback.Get("error") != "" {
		return nil, ErrDeclined
	}
	code := callback.Get("code")
	if code == "" || len(code) > 4096 {
		return nil, errors.New("facebook: finish login: there is no code")
	}
	short, err := a.exchange(ctx, url.Values{"redirect_uri": {redirect}, "code": {code}})
	if err != nil {
		return nil, fmt.Errorf("facebook: exchange code: %w", err)
	}
	long, err := a.exchange(ctx, url.Values{"grant_type": {"fb_exchange_token"}, "fb_exchange_token": {short}})
	if err != nil {
		return nil, fmt.Errorf("facebook: exchange token: %w", err)
	}
	return a.granted(ctx, long)
}

// exchange asks for a token. It is never repeated by itself.
func (a *App) exchange(ctx context.Context, q url.Values) (string, error) {
	q.Set("client_id", a.ID)
	q.Set("client_secret", a.secret())
	var out struct {
		Token string `json:"access_token"`
	}
	if err := a.do(ctx, call{method: http.MethodGet, path: "oauth/access_token", params: q, pool: poolApp, anonymous: true, out: &out}); err != nil {
		return "", err
	}
	if out.Token == "" {
		return "", &Error{Status: http.StatusOK, Message: "the answer has no token"}
	}
	return out.Token, nil
}

// granted reads what a person granted.
func (a *App) granted(ctx context.Context, token string) (*Grant, error) {
	var me struct {
		ID ident `json:"id"`
	}
	if err := a.read(ctx, call{path: "me", params: url.Values{"fields": {"id"}}, token: token, pool: poolApp, out: &me}); err != nil {
		return nil, fmt.Errorf("facebook: read who logged in: %w", err)
	}
	g := &Grant{User: string(me.ID), wanted: a.scopes()}
	var perms struct {
		Data []struct {
			Permission string `json:"permission"`
			Status     string `json:"status"`
		} `json:"data"`
	}
	if err := a.read(ctx, call{path: "me/permissions", token: token, pool: poolApp, out: &perms}); err != nil {
		return nil, fmt.Errorf("facebook: read permissions: %w", err)
	}
	for _, p := range perms.Data {
		if p.Status == "granted" {
			g.Granted = append(g.Granted, p.Permission)
		} else {
			g.Declined = append(g.Declined, p.Permission)
		}
	}
	if !slices.Contains(g.Granted, "pages_show_list") {
		return g, nil // then there is no list; Missing says so
	}
	return g, a.grantedPages(ctx, g, token)
}

func (a *App) grantedPages(ctx context.Context, g *Grant, token string) error {
	q := url.Values{"fields": {"id,name,access_token,tasks"}, "limit": {"100"}}
	for len(g.Pages) < maxGrantedPages {
		var out struct {
			Data []struct {
				ID    ident    `json:"id"`
				Name  string   `json:"name"`
				Token string   `json:"access_token"`
				Tasks []string `json:"tasks"`
			} `json:"data"`
			Paging paging `json:"paging"`
		}
		if err := a.read(ctx, call{path: "me/accounts", params: q, token: token, pool: poolApp, out: &out}); err != nil {
			return fmt.Errorf("facebook: read Pages: %w", err)
		}
		for _, p := range out.Data {
			g.Pages = append(g.Pages, GrantedPage{ID: string(p.ID), Name: plain(oneLine(p.Name)), Tasks: p.Tasks, token: p.Token, user: g.User})
		}
		if out.Paging.Next == "" || out.Paging.Cursors.After == "" {
			return nil
		}
		q.Set("after", out.Paging.Cursors.After)
	}
	return nil
}

// SubscribePage subscribes the app to a Page's events, which its channel does too
// when it begins to receive. To call it before the channel is connected shows
// what is wrong while the person is still there.
func (a *App) SubscribePage(ctx context.Context, p Page) error {
	if p.Token == "" { // else it would be the app's own
		return channel.BadField("access_token", "is missing")
	}
	if err := a.subscribe(ctx, p.ID, p.Token); err != nil {
		return fmt.Errorf("facebook: subscribe to Page: %w", err)
	}
	return nil
}

// UnsubscribePage ends the subscription to a Page's events, as when it is
// disconnected.
func (a *App) UnsubscribePage(ctx context.Context, p Page) error {
	if err := a.do(ctx, call{method: http.MethodDelete, path: p.ID + "/subscribed_apps", token: p.Token, page: p.ID, pool: poolPages}); err != nil {
		return fmt.Errorf("facebook: unsubscribe from Page: %w", err)
	}
	return nil
}

// Subscribe sets the app's own webhook to callback, which Facebook verifies at
// once, with all [Fields]. It is needed once, and after a change of the address.
func (a *App) Subscribe(ctx context.Context, callback string) error {
	var out struct {
		Success flexBool `json:"success"`
	}
	c := call{method: http.MethodPost, path: a.ID + "/subscriptions", pool: poolApp, out: &out, params: url.Values{"object": {"page"},
		"callback_url": {callback}, "fields": {strings.Join(Fields(), ",")}, "verify_token": {a.VerifyToken}, "include_values": {"true"}}}
	if err := a.do(ctx, c); err != nil {
		return fmt.Errorf("facebook: subscribe app: %w", err)
	}
	if !out.Success {
		return errors.New("facebook: the app's webhook could not be set")
	}
	return nil
}

// MarshalJSON leaves the token out.
func (p GrantedPage) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		ID    string   `json:"id"`
		Name  string   `json:"name"`
		Tasks []string `json:"tasks"`
	}{p.ID, p.Name, p.Tasks})
}

// String names the Page, without the token.
func (p GrantedPage) String() string { return p.Name + " (" + p.ID + ")" }

// Format writes String whatever the verb.
func (p GrantedPage) Format(f fmt.State, _ rune) { fmt.Fprint(f, p.String()) }
