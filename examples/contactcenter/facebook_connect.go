package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/ticket"
)

const (
	loginCookie = "anteroom_login" // binds a login to the browser that began it
	grantCookie = "anteroom_grant" // names what the login granted
	grantHolds  = 15 * time.Minute // to choose Pages
	maxGrants   = 50               // logins whose Pages are not chosen yet
)

// grants are logins whose Pages are not chosen yet. They hold tokens, and stay in
// memory: where several nodes serve one portal, the choice has to reach the node
// that the login ended at, and is begun again otherwise.
type grants struct {
	mu   sync.Mutex
	held map[string]heldGrant
}

type heldGrant struct {
	grant *facebook.Grant
	until time.Time
}

// keep returns the name by which a grant is had again.
func (g *grants) keep(grant *facebook.Grant) string {
	g.mu.Lock()
	defer g.mu.Unlock()
	now := time.Now()
	oldest := ""
	for id, h := range g.held {
		if now.After(h.until) {
			delete(g.held, id)
		} else if oldest == "" || h.until.Before(g.held[oldest].until) {
			oldest = id
		}
	}
	if len(g.held) >= maxGrants {
		delete(g.held, oldest)
	}
	if g.held == nil {
		g.held = map[string]heldGrant{}
	}
	id := rand.Text()
	g.held[id] = heldGrant{grant, now.Add(grantHolds)}
	return id
}

// of returns the grant that a browser's cookie names.
func (g *grants) of(r *http.Request) (id string, grant *facebook.Grant, err error) {
	c, err := r.Cookie(grantCookie)
	if err == nil {
		g.mu.Lock()
		defer g.mu.Unlock()
		if h, ok := g.held[c.Value]; ok && time.Now().Before(h.until) {
			return c.Value, h.grant, nil
		}
	}
	return "", nil, &apiError{status: http.StatusConflict, Code: "no_login", Message: "there is no login to choose Pages of, or it was used or took too long: begin again at /connect/facebook"}
}

// use ends a grant. It reports false if that was done before.
func (g *grants) use(id string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	_, ok := g.held[id]
	delete(g.held, id)
	return ok
}

// cookie sets a cookie of the login, or with an empty value takes it away. Lax,
// since the browser comes back from another site.
func (s *server) cookie(w http.ResponseWriter, r *http.Request, name, value, path string, holds time.Duration) {
	age := int(holds / time.Second)
	if value == "" {
		age = -1
	}
	//nolint:gosec // see secure
	http.SetCookie(w, &http.Cookie{Name: name, Value: value, Path: path, MaxAge: age, HttpOnly: true, Secure: s.pages.secure(r), SameSite: http.SameSiteLaxMode})
}

// beginFacebook sends the browser of a signed-in agent to Facebook's dialog.
func (s *server) beginFacebook(w http.ResponseWriter, r *http.Request) error {
	state, value := s.host.facebook.State()
	s.cookie(w, r, loginCookie, value, "/connect/facebook", 30*time.Minute)
	dialog := s.host.facebook.LoginURL(s.publicURL()+"/connect/facebook/callback", state, r.URL.Query().Has("again"))
	http.Redirect(w, r, dialog, http.StatusSeeOther) //nolint:gosec // Facebook's dialog, at an address from the environment
	return nil
}

// endFacebook ends a login, and leads to the choice of Pages. Where there is
// nothing to choose or to be told of, be it one Page or only such as are connected
// already, they are connected, or renewed, at once. That a signed-in agent began
// it is proved by state and cookie; the session's own cookie is not sent by a
// browser that comes from another site.
func (s *server) endFacebook(w http.ResponseWriter, r *http.Request) error {
	app := s.host.facebook
	cookie, err := r.Cookie(loginCookie)
	if err != nil || !app.ValidState(r.URL.Query().Get("state"), cookie.Value) {
		return &apiError{status: http.StatusForbidden, Code: "forbidden", Message: "this login was not begun here, or took too long: begin it again"}
	}
	s.cookie(w, r, loginCookie, "", "/connect/facebook", 0)
	grant, err := app.Finish(r.Context(), s.publicURL()+"/connect/facebook/callback", r.URL.Query())
	if err != nil {
		return facebookError(err)
	}
	if len(grant.Pages) == 0 {
		return &apiError{status: http.StatusConflict, Code: "no_pages", Message: "no Page was chosen in Facebook's dialog, or you run none: begin again and tick the Pages"}
	}
	shown, err := s.showGrant(r.Context(), grant)
	if err != nil {
		return err
	}
	if shown.settled() {
		var ids []string
		for _, p := range shown.Pages {
			ids = append(ids, p.ID)
		}
		done, err := s.connectPages(r.Context(), grant, ids)
		if err != nil {
			return err
		}
		if len(done.Failed) > 0 {
			return &apiError{status: http.StatusConflict, Code: "not_connected", Message: done.Failed[0].Name + ": " + done.Failed[0].Problem}
		}
		return leadOn(w, "/channels", fmt.Sprintf("Connected: %d Pages.", len(ids)))
	}
	s.cookie(w, r, grantCookie, s.grants.keep(grant), "/", grantHolds)
	return leadOn(w, "/connect/facebook/pages", "Choose the Pages.")
}

// leadOn is a page of ours that leads on, so that the browser sends the session
// again.
func leadOn(w http.ResponseWriter, to, text string) error {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, err := fmt.Fprintf(w, "<!doctype html><meta http-equiv=\"refresh\" content=\"0;url=%s\"><p>%s <a href=\"%[1]s\">Go on</a></p>", to, html.EscapeString(text))
	return err
}

// grantJSON is what a login granted, without tokens.
type grantJSON struct {
	Missing []missingJSON     `json:"missing_permissions"`
	Pages   []grantedPageJSON `json:"pages"`
}

type missingJSON struct {
	Name    string `json:"name"`
	Without string `json:"without"` // what does not work
}

type grantedPageJSON struct {
	ID           string   `json:"id"`
	Name         string   `json:"name"`
	Tasks        []string `json:"tasks"`
	MissingTasks []string `json:"missing_tasks"`
	// Connectable is false where Facebook gives no access to the Page.
	Connectable bool `json:"connectable"`
	// Channel is the channel that the Page is already; choosing it renews its
	// access.
	Channel string `json:"channel,omitempty"`
}

func (g *grantJSON) settled() bool {
	known := func(p grantedPageJSON) bool { return p.Channel != "" }
	if len(g.Pages) > 1 && slices.ContainsFunc(g.Pages, func(p grantedPageJSON) bool { return !known(p) }) {
		return false
	}
	return len(g.Missing) == 0 && !slices.ContainsFunc(g.Pages, func(p grantedPageJSON) bool { return len(p.MissingTasks) > 0 || !p.Connectable })
}

func (s *server) showGrant(ctx context.Context, grant *facebook.Grant) (*grantJSON, error) {
	all, err := s.desk.Channels(ctx)
	if err != nil {
		return nil, err
	}
	out := &grantJSON{Missing: []missingJSON{}}
	for _, m := range grant.Missing() {
		out.Missing = append(out.Missing, missingJSON(m))
	}
	for _, p := range grant.Pages {
		one := grantedPageJSON{ID: p.ID, Name: p.Name, Tasks: list(p.Tasks), MissingTasks: list(p.MissingTasks()), Connectable: p.Connectable()}
		for _, c := range all {
			if c.Kind == facebook.Kind && c.Address == p.ID {
				one.Channel = string(c.ID)
			}
		}
		out.Pages = append(out.Pages, one)
	}
	return out, nil
}

// connectedJSON is what became of a choice.
type connectedJSON struct {
	Channels []channelJSON `json:"channels"`
	Failed   []failedJSON  `json:"failed"`
}

type failedJSON struct {
	Page    string `json:"page"`
	Name    string `json:"name"`
	Problem string `json:"problem"`
}

// connectPages connects Pages of a grant, or renews them. A choice that is not of
// the grant does nothing; a Page that fails does not keep the others from it.
func (s *server) connectPages(ctx context.Context, grant *facebook.Grant, ids []string) (*connectedJSON, error) {
	chosen, err := grant.Choose(ids...)
	if err != nil {
		return nil, err
	}
	out := &connectedJSON{Channels: []channelJSON{}, Failed: []failedJSON{}}
	for _, p := range chosen {
		c, err := s.connectPage(ctx, grant, p.ID)
		if err != nil {
			e := classify(facebookError(err))
			if e.status >= 500 {
				return nil, err // the store is in trouble: nothing is known of the rest
			}
			out.Failed = append(out.Failed, failedJSON{Page: p.ID, Name: p.Name, Problem: e.Message})
			continue
		}
		out.Channels = append(out.Channels, showChannel(c))
	}
	return out, nil
}

// connectPage connects a Page, or renews its token in place.
func (s *server) connectPage(ctx context.Context, grant *facebook.Grant, id string) (*ticket.Channel, error) {
	all, err := s.desk.Channels(ctx)
	if err != nil {
		return nil, err
	}
	rules := facebook.Rules{Messages: true}
	for _, c := range all {
		if c.Kind != facebook.Kind || c.Address != id {
			continue
		}
		var saved facebook.Page
		if err := json.Unmarshal(c.Config, &saved); err != nil {
			return nil, fmt.Errorf("read configuration: %w", err)
		}
		cfg, _ := grant.Page(id, saved.Rules)
		cfg.Name = c.Name
		return s.desk.Update(ctx, c.ID, ticket.ChannelPatch{Config: cfg})
	}
	cfg, _ := grant.Page(id, rules)
	if err := s.host.facebook.SubscribePage(ctx, cfg); err != nil {
		return nil, err
	}
	return s.desk.Connect(ctx, cfg, ticket.Settings{})
}

// getGrant answers what the login of this browser granted.
func (s *server) getGrant(w http.ResponseWriter, r *http.Request) error {
	_, grant, err := s.grants.of(r)
	if err != nil {
		return err
	}
	shown, err := s.showGrant(r.Context(), grant)
	if err != nil {
		return err
	}
	return answer(w, http.StatusOK, shown)
}

// postGrant connects the Pages that were chosen, which ends the login.
func (s *server) postGrant(w http.ResponseWriter, r *http.Request) error {
	var in struct {
		Pages []string `json:"pages"`
	}
	if err := decode(r, &in); err != nil {
		return err
	}
	done, err := s.choose(w, r, in.Pages)
	if err != nil {
		return err
	}
	return answer(w, http.StatusCreated, done)
}

// choose connects the Pages that were chosen, once for a login.
func (s *server) choose(w http.ResponseWriter, r *http.Request, ids []string) (*connectedJSON, error) {
	id, grant, err := s.grants.of(r)
	if err != nil {
		return nil, err
	}
	if _, err := grant.Choose(ids...); err != nil {
		return nil, err // they may choose again
	}
	if !s.grants.use(id) {
		_, _, err := s.grants.of(r)
		return nil, err
	}
	s.cookie(w, r, grantCookie, "", "/", 0)
	done, err := s.connectPages(r.Context(), grant, ids)
	if err == nil && len(done.Channels) == 0 {
		f := done.Failed[0]
		err = &apiError{status: http.StatusConflict, Code: "not_connected", Message: f.Name + ": " + f.Problem, Field: "pages"}
	}
	return done, err
}

// showPages is the choice as a page.
func (s *server) showPages(w http.ResponseWriter, r *http.Request) error {
	return s.showChoice(w, r, http.StatusOK, "")
}

func (s *server) showChoice(w http.ResponseWriter, r *http.Request, status int, problem string) error {
	_, grant, err := s.grants.of(r)
	if err != nil {
		return err
	}
	shown, err := s.showGrant(r.Context(), grant)
	if err != nil {
		return err
	}
	return s.pages.render(w, r, status, "choose", "Choose Pages", view{Problem: problem, Data: shown})
}

// choosePages is the choice, posted.
func (s *server) choosePages(w http.ResponseWriter, r *http.Request) error {
	if err := readForm(r); err != nil {
		return err
	}
	done, err := s.choose(w, r, r.PostForm["page"])
	if fe, ok := errors.AsType[*channel.FieldError](err); ok {
		return s.showChoice(w, r, http.StatusBadRequest, fe.Problem)
	}
	if err != nil {
		return err
	}
	if len(done.Failed) > 0 {
		return s.pages.render(w, r, http.StatusOK, "chosen", "Pages", view{Data: done})
	}
	return s.pages.goTo(w, r, "/channels")
}
