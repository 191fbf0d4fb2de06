package graphtest

import (
	"bytes"
	"cmp"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Fault is how an answer of the API goes wrong. The zero value is none, so that a
// script can let a call pass.
type Fault struct {
	// Path and Method say which calls it is for: those whose path ends with
	// Path. Empty means any.
	Path, Method string
	// Code and Subcode are a Graph error (ref 11.2), and Message its words;
	// empty is some.
	Code, Subcode int
	Message       string
	Transient     bool
	// Status is the HTTP status; 0 is the usual one. With no Code the body is
	// HTML, as of a broken front end (ref 11.2).
	Status int
	// Lost breaks the connection instead of answering: before the call has an
	// effect, or with Done after it.
	Lost, Done bool
	// Down refuses the connection.
	Down bool
	// Header is added to the answer, such as a usage header (ref 11.3).
	Header http.Header
	// Delay is how long the answer takes; the caller may give up meanwhile,
	// when the call has had its effect already.
	Delay time.Duration
	// Before runs before the answer, such as to deliver an echo first.
	Before func()
	// Times is how many calls it is for; 0 means one, negative all.
	Times int
}

// Fail sets what happens to the next calls, after the faults already set.
func (g *Graph) Fail(faults ...Fault) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, f := range faults {
		if f.Times == 0 {
			f.Times = 1
		}
		g.faults = append(g.faults, &f)
	}
}

// Heal forgets the faults that are left.
func (g *Graph) Heal() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.faults = nil
}

// Call is one call of the API.
type Call struct {
	Method, Path string
	Params       url.Values // without tokens and proofs
}

// Calls returns the calls so far whose path ends with suffix.
func (g *Graph) Calls(suffix string) []Call {
	g.mu.Lock()
	defer g.mu.Unlock()
	var out []Call
	for _, c := range g.calls {
		if strings.HasSuffix(c.Path, suffix) {
			out = append(out, c)
		}
	}
	return out
}

// wait delays an answer.
func (f *Fault) wait(ctx context.Context) {
	if f.Delay <= 0 {
		return
	}
	timer := time.NewTimer(f.Delay)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}

func (g *Graph) fault(method, path string) *Fault {
	for i, f := range g.faults {
		if f.Method != "" && f.Method != method || !strings.HasSuffix(path, f.Path) {
			continue
		}
		if f.Times--; f.Times == 0 {
			g.faults = slices.Delete(g.faults, i, i+1)
		}
		return f
	}
	return nil
}

// transport answers in memory.
type transport Graph

var errLost = errors.New("graphtest: connection reset by peer")

// RoundTrip implements http.RoundTripper.
func (tr *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	g := (*Graph)(tr)
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if r.URL.Scheme+"://"+r.URL.Host != g.opts.URL {
		return nil, errors.New("graphtest: the client may only reach the fake")
	}
	w := httptest.NewRecorder()
	if r.Body == nil {
		r.Body = http.NoBody
	}
	func() {
		defer r.Body.Close()
		defer func() {
			if p := recover(); p != nil {
				if p != http.ErrAbortHandler { //nolint:errorlint // panics carry the value itself
					panic(p)
				}
				w = nil
			}
		}()
		g.ServeHTTP(w, r)
	}()
	if w == nil {
		return nil, errLost
	}
	if err := r.Context().Err(); err != nil {
		return nil, err
	}
	if w.Code == statusDown {
		return nil, &downError{}
	}
	resp := w.Result()
	resp.Request = r
	return resp, nil
}

// statusDown stands for a refused connection.
const statusDown = 599

type downError struct{}

func (*downError) Error() string { return "dial tcp: connection refused" }

// NotConnected says that nothing was sent.
func (*downError) NotConnected() bool { return true }

// ServeHTTP implements http.Handler: the API, the dialog and the CDN.
func (g *Graph) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if strings.HasPrefix(r.URL.Path, "/media/") {
		g.serveMedia(w, r)
		return
	}
	_, path, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/") // without the version
	q, err := g.params(r)
	if err != nil {
		g.answerError(w, &apiError{code: 100, message: "Unreadable parameters"})
		return
	}
	g.mu.Lock()
	f := g.fault(r.Method, path)
	g.mu.Unlock()
	if f == nil {
		f = &Fault{}
	}
	if f.Down {
		w.WriteHeader(statusDown)
		return
	}
	maps.Copy(w.Header(), f.Header)
	if f.Lost && !f.Done {
		panic(http.ErrAbortHandler)
	}
	if !f.Done && (f.Code != 0 || f.Status != 0) {
		f.wait(r.Context())
		g.fail(w, f)
		return
	}
	g.mu.Lock()
	tok := bearer(r, q)
	proof, timed := q.Get("appsecret_proof"), q.Get("appsecret_time")
	if path == "oauth/access_token" && q.Get("client_secret") != appSecret {
		g.mu.Unlock()
		g.answerError(w, &apiError{code: 1, message: "Error validating client secret."})
		return
	}
	for _, secret := range []string{"access_token", "appsecret_proof", "appsecret_time", "client_secret"} {
		q.Del(secret)
	}
	g.calls = append(g.calls, Call{Method: r.Method, Path: path, Params: q})
	out, bad := g.handle(r.Method, path, q, tok, proof, timed, w)
	g.notify()
	g.mu.Unlock()
	f.wait(r.Context())
	if f.Before != nil {
		f.Before()
	}
	switch {
	case f.Lost:
		panic(http.ErrAbortHandler)
	case f.Done && (f.Code != 0 || f.Status != 0):
		g.fail(w, f)
	case bad != nil:
		g.answerError(w, bad)
	case out != nil:
		w.Header().Set("Content-Type", "application/json")
		writeJSON(w, out)
	}
}

func (g *Graph) fail(w http.ResponseWriter, f *Fault) {
	if f.Code != 0 {
		g.answerError(w, &apiError{code: f.Code, subcode: f.Subcode, status: f.Status, transient: f.Transient, message: cmp.Or(f.Message, "An error by script")})
		return
	}
	w.Header().Set("Content-Type", "text/html")
	w.WriteHeader(f.Status)
	_, _ = io.WriteString(w, "<html><body>Sorry, something went wrong.</body></html>")
}

// params are those of the URL, of a form and of a JSON body, whose objects stay
// JSON (ref 5, D).
func (g *Graph) params(r *http.Request) (url.Values, error) {
	q := r.URL.Query()
	const limit = 64 << 20
	switch ct := r.Header.Get("Content-Type"); {
	case strings.HasPrefix(ct, "application/json"):
		var body map[string]json.RawMessage
		if err := json.NewDecoder(io.LimitReader(r.Body, limit)).Decode(&body); err != nil {
			return nil, err
		}
		for k, v := range body {
			var s string
			if json.Unmarshal(v, &s) != nil {
				s = string(v)
			}
			q.Set(k, s)
		}
	case strings.HasPrefix(ct, "multipart/form-data"):
		if err := r.ParseMultipartForm(limit); err != nil {
			return nil, err
		}
		maps.Copy(q, r.MultipartForm.Value)
		for k, files := range r.MultipartForm.File {
			q.Set(k, strconv.FormatInt(files[0].Size, 10)+" bytes of "+files[0].Header.Get("Content-Type")+" "+files[0].Filename)
		}
	case strings.HasPrefix(ct, "application/x-www-form-urlencoded"):
		b, err := io.ReadAll(io.LimitReader(r.Body, limit))
		if err != nil {
			return nil, err
		}
		form, err := url.ParseQuery(string(b))
		if err != nil {
			return nil, err
		}
		maps.Copy(q, form)
	}
	return q, nil
}

// bearer takes the token from the header or the parameters (ref 1, D and O).
func bearer(r *http.Request, q url.Values) string {
	if t, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer "); ok {
		return t
	}
	return q.Get("access_token")
}

// apiError is an error of the API (ref 11.1).
type apiError struct {
	code, subcode, status int
	transient             bool
	message               string
}

func (g *Graph) answerError(w http.ResponseWriter, e *apiError) {
	code, sub := e.code, e.subcode
	if g.opts.Doubts.SubcodeAsCode && sub >= 2018000 && sub < 2019000 {
		code, sub = sub, 0
	}
	status := e.status
	if status == 0 {
		status = http.StatusBadRequest
		if g.opts.Doubts.OtherStatus {
			status = map[int]int{190: 401, 102: 401, 10: 403, 200: 403, 4: 429, 17: 429, 32: 429, 613: 429, 1: 500, 2: 503}[e.code]
			if status == 0 {
				status = http.StatusBadRequest
			}
			if e.subcode == 33 {
				status = http.StatusNotFound
			}
		}
	}
	body := object{"message": e.message, "type": "OAuthException", "code": code, "fbtrace_id": "AbCdEf"}
	if sub != 0 {
		body["error_subcode"] = sub
	}
	if e.transient {
		body["is_transient"] = true
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	writeJSON(w, object{"error": body})
}

// writeJSON writes an answer. What cannot be written any more is the caller's.
func writeJSON(w io.Writer, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		panic("graphtest: encode answer: " + err.Error())
	}
	_, _ = w.Write(b)
}

// proven reports whether a proof is right, in the classic or the timed form (ref
// 1, O and D).
func (g *Graph) proven(tok, proof, timed string) bool {
	msg := tok
	if timed != "" {
		at, err := strconv.ParseInt(timed, 10, 64)
		if err != nil || g.now().Sub(time.Unix(at, 0)).Abs() > 5*time.Minute {
			return false
		}
		msg += "|" + timed
	}
	mac := hmac.New(sha256.New, []byte(appSecret))
	mac.Write([]byte(msg))
	return hmac.Equal([]byte(hex.EncodeToString(mac.Sum(nil))), []byte(proof))
}

func (g *Graph) serveMedia(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	f := g.fault(r.Method, r.URL.Path)
	m, ok := g.media[r.URL.Path]
	now := g.now()
	g.mu.Unlock()
	if f != nil {
		f.wait(r.Context())
	}
	switch {
	case r.Header.Get("Authorization") != "":
		http.Error(w, "no token is wanted here", http.StatusBadRequest) // ref 3.3, O
	case f != nil && f.Lost:
		panic(http.ErrAbortHandler)
	case f != nil && f.Status != 0:
		http.Error(w, "by script", f.Status)
	case !ok:
		http.NotFound(w, r)
	case now.After(m.until):
		http.Error(w, "URL signature expired", http.StatusForbidden) // ref 3.3, O
	default:
		w.Header().Set("Content-Type", m.contentType)
		_, _ = io.Copy(w, bytes.NewReader(m.data))
	}
}

// Sent is a message that arrived from the app.
type Sent struct {
	ID        string // mid, or comment id
	Page      string
	Recipient string // PSID, or the comment or post that it answers
	Text      string
	Metadata  string
	File      string // what was uploaded, or the URL
	Type      string // messaging_type
	Tag       string
	Private   bool // a private reply
}

// Sent returns what arrived from the app, oldest first.
func (g *Graph) Sent() []Sent {
	g.mu.Lock()
	defer g.mu.Unlock()
	return slices.Clone(g.sent)
}

// Wait blocks until ok says so, asking again after each call and event.
func (g *Graph) Wait(ctx context.Context, ok func() bool) error {
	for {
		g.mu.Lock()
		changed := g.changed
		g.mu.Unlock()
		if ok() {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}
