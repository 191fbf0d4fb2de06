package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/ticket"
)

// newFacebook returns the app that the environment describes, or nil.
func newFacebook(o options) *facebook.App {
	if o.facebookID == "" {
		return nil
	}
	app := &facebook.App{ID: o.facebookID, Secrets: strings.Fields(o.facebookSecret), VerifyToken: o.facebookVerify, Graph: o.facebookGraph,
		CommentPictures: o.facebookPictures}
	if o.facebookGraph != "" { // a stand-in serves its media itself
		app.MediaHosts = append(facebook.DefaultMediaHosts(), origin(o.facebookGraph))
	}
	return app
}

// origin is the part of an address before its path.
func origin(address string) string {
	scheme, rest, _ := strings.Cut(address, "://")
	host, _, _ := strings.Cut(rest, "/")
	return scheme + "://" + host
}

// pageIn is the configuration of a facebook.page as it is given.
type pageIn struct {
	PageID      *string         `json:"page_id"`
	AccessToken *string         `json:"access_token"`
	Rules       json.RawMessage `json:"rules"`
}

// merge puts what is given over a configuration, field by field.
func (in pageIn) merge(p facebook.Page) (facebook.Page, error) {
	set(&p.ID, in.PageID)
	if in.AccessToken != nil {
		if *in.AccessToken == "" {
			return p, badField("config.access_token", "must not be empty")
		}
		p.Token = *in.AccessToken
	}
	if len(in.Rules) > 0 && string(in.Rules) != "null" {
		if err := decodeJSON("config.rules", in.Rules, &p.Rules); err != nil {
			return p, err
		}
	}
	return p, nil
}

// readPage reads the configuration of a new Page. Without rules its messages
// make tickets.
func readPage(name string, raw json.RawMessage) (channel.Config, error) {
	var in pageIn
	if err := decodeJSON("config", raw, &in); err != nil {
		return nil, err
	}
	if in.AccessToken == nil {
		return nil, badField("config.access_token", "is missing")
	}
	p := facebook.Page{Name: name}
	if len(in.Rules) == 0 {
		p.Rules.Messages = true
	}
	return in.merge(p)
}

func patchPage(old *ticket.Channel, raw json.RawMessage) (channel.Config, error) {
	var in pageIn
	if err := decodeJSON("config", raw, &in); err != nil {
		return nil, err
	}
	var saved facebook.Page
	if err := json.Unmarshal(old.Config, &saved); err != nil {
		return nil, fmt.Errorf("read configuration: %w", err)
	}
	saved.Name = old.Name
	return in.merge(saved)
}

// facebookRoutes are what Facebook and those who connect Pages call.
func (s *server) facebookRoutes() []route {
	const hook = "/webhooks/facebook"
	const connect = "/connect/facebook"
	app := s.host.facebook
	if app == nil {
		missing := func(method, path string) route { return route{method, path, anybody, maxBody, s.missing(path)} }
		return []route{missing("GET", hook), missing("POST", hook), missing("GET", hook+"/deauthorize"), missing("POST", hook+"/deauthorize"),
			missing("GET", hook+"/delete"), missing("POST", hook+"/delete"), missing("GET", connect), missing("GET", connect+"/callback"),
			missing("GET", connect+"/pages"), missing("POST", connect+"/pages"), {"GET", "/api" + connect, apiCall, 0, s.missing("/api" + connect)}, {"POST", "/api" + connect, apiCall, maxBody, s.missing("/api" + connect)}}
	}
	serve := func(h http.Handler) func(http.ResponseWriter, *http.Request) error {
		return func(w http.ResponseWriter, r *http.Request) error { h.ServeHTTP(w, r); return nil }
	}
	return []route{
		{http.MethodGet, hook, anybody, 0, serve(app.Webhook())},
		{http.MethodPost, hook, anybody, 2 * maxBody, serve(app.Webhook())}, // it has a bound of its own
		{http.MethodPost, hook + "/deauthorize", anybody, maxBody, serve(app.Deauthorize())},
		{http.MethodPost, hook + "/delete", anybody, maxBody, func(w http.ResponseWriter, r *http.Request) error {
			app.DeleteData(s.publicURL()+hook+"/deleted").ServeHTTP(w, r)
			return nil
		}},
		{http.MethodGet, hook + "/deleted", anybody, 0, serve(app.DeletionStatus())},
		{http.MethodGet, connect, browser, 0, s.beginFacebook},
		{http.MethodGet, connect + "/callback", anybody, 0, s.endFacebook},
		{http.MethodGet, connect + "/pages", browser, 0, s.showPages},
		{http.MethodPost, connect + "/pages", browser, maxBody, s.choosePages},
		{http.MethodGet, "/api/connect/facebook", apiCall, 0, s.getGrant},
		{http.MethodPost, "/api/connect/facebook", apiCall, maxBody, s.postGrant},
	}
}

// publicURL is where others reach this program.
func (s *server) publicURL() string {
	if u := strings.TrimSuffix(s.host.opts.publicURL, "/"); u != "" {
		return u
	}
	return s.host.baseURL()
}

// facebookError tells what Facebook said.
func facebookError(err error) error {
	if errors.Is(err, facebook.ErrDeclined) {
		return &apiError{status: http.StatusConflict, Code: "declined", Message: "the login was declined", cause: err}
	}
	ge, ok := errors.AsType[*facebook.Error](err)
	if !ok {
		return err
	}
	text := strings.TrimSpace("Facebook refused it (" + ge.Name() + "). " + ge.Fix())
	return &apiError{status: http.StatusConflict, Code: ge.Name(), Message: text, cause: err}
}
