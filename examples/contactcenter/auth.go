package main

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

const (
	sessionCookie = "anteroom_session"
	sessionTime   = 12 * time.Hour
	csrfHeader    = "X-CSRF-Token"
	csrfField     = "csrf"
)

// session is a signed-in agent.
type session struct {
	agent routing.AgentID
	value string // of the cookie
}

type sessionKey struct{}

// sessionOf returns the session of a request, or nil for the API token.
func sessionOf(r *http.Request) *session {
	s, _ := r.Context().Value(sessionKey{}).(*session)
	return s
}

// errAnswered says that the request has been answered already.
var errAnswered = errors.New("answered")

// admit checks who calls, and returns the request with their session.
func (s *server) admit(w http.ResponseWriter, r *http.Request, need access) (*http.Request, error) {
	if need == anybody {
		return r, nil
	}
	if auth := r.Header.Get("Authorization"); auth != "" && need == apiCall {
		scheme, token, _ := strings.Cut(auth, " ")
		if !strings.EqualFold(scheme, "Bearer") || !sameSecret(token, s.host.token) {
			return nil, &apiError{status: http.StatusUnauthorized, Code: "unauthorized", Message: "the API token is wrong"}
		}
		return r, nil
	}
	sess := s.logins.session(r)
	if sess == nil {
		if need == browser && r.Method == http.MethodGet {
			http.Redirect(w, r, "/signin?to="+url.QueryEscape(r.URL.RequestURI()), http.StatusSeeOther)
			return nil, errAnswered
		}
		return nil, &apiError{status: http.StatusUnauthorized, Code: "unauthorized", Message: "send Authorization: Bearer TOKEN, or sign in"}
	}
	if err := s.logins.checkForgery(r, sess); err != nil {
		return nil, err
	}
	return r.WithContext(context.WithValue(r.Context(), sessionKey{}, sess)), nil
}

// sameSecret compares in a time that tells nothing of the secret.
func sameSecret(given, want string) bool {
	a, b := sha256.Sum256([]byte(given)), sha256.Sum256([]byte(want))
	return subtle.ConstantTimeCompare(a[:], b[:]) == 1
}

// actor is who a request acts for: the signed-in agent, or the host.
func actor(r *http.Request) ticket.Actor {
	if sess := sessionOf(r); sess != nil {
		return ticket.Agent(sess.agent)
	}
	return ticket.Actor{Kind: ticket.ActorHost}
}

// writer is the agent who writes: the signed-in one, or the one that is named.
func writer(r *http.Request, named string) (routing.AgentID, error) {
	sess := sessionOf(r)
	switch {
	case sess == nil && named == "":
		return "", badField("agent", "is missing")
	case sess == nil:
		return routing.AgentID(named), nil
	case named != "" && named != string(sess.agent):
		return "", &apiError{status: http.StatusForbidden, Code: "forbidden", Message: "agent: you can only write as yourself", Field: "agent"}
	}
	return sess.agent, nil
}

// The cookie is AGENT.EXPIRY.MAC. The MAC covers a mark of the agent's
// password, so that a new password ends the sessions of the old one.

func (l *logins) cookie(agent routing.AgentID, mark string, expires time.Time) string {
	head := base64.RawURLEncoding.EncodeToString([]byte(agent)) + "." + strconv.FormatInt(expires.Unix(), 10)
	return head + "." + l.mac("session", head, mark)
}

func (l *logins) mac(parts ...string) string {
	h := hmac.New(sha256.New, l.key)
	k := ticket.NewKey(parts...) // parts that cannot run into each other
	h.Write(k[:])
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// session returns the session of a request's cookie, or nil.
func (l *logins) session(r *http.Request) *session {
	c, err := r.Cookie(sessionCookie)
	if err != nil {
		return nil
	}
	parts := strings.Split(c.Value, ".")
	if len(parts) != 3 {
		return nil
	}
	agent, err := base64.RawURLEncoding.DecodeString(parts[0])
	expires, err2 := strconv.ParseInt(parts[1], 10, 64)
	if err != nil || err2 != nil || time.Now().Unix() >= expires {
		return nil
	}
	saved, ok, err := l.read(r.Context(), routing.AgentID(agent))
	if err != nil || !ok {
		return nil
	}
	if !sameSecret(parts[2], l.mac("session", parts[0]+"."+parts[1], saved.mark())) {
		return nil
	}
	return &session{agent: routing.AgentID(agent), value: c.Value}
}

// csrf is the token that a page sends back, to show that it is ours.
func (l *logins) csrf(s *session) string { return l.mac("csrf", s.value) }

// checkForgery refuses what another site had the browser send.
func (l *logins) checkForgery(r *http.Request, s *session) error {
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions:
		return nil
	}
	forbidden := &apiError{status: http.StatusForbidden, Code: "csrf", Message: "the request does not come from a page of ours; load it again"}
	if err := http.NewCrossOriginProtection().Check(r); err != nil {
		return forbidden
	}
	given := r.Header.Get(csrfHeader)
	if given == "" && strings.HasPrefix(r.Header.Get("Content-Type"), "application/x-www-form-urlencoded") {
		r.Body = http.MaxBytesReader(nil, r.Body, maxBody)
		given = r.PostFormValue(csrfField)
	}
	if !sameSecret(given, l.csrf(s)) {
		return forbidden
	}
	return nil
}
