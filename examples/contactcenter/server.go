package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/anteroom/anteroom/ticket"
)

// server answers HTTP: the JSON API and the pages.
type server struct {
	host   *host
	desk   *ticket.Desk
	store  ticket.Store
	log    *slog.Logger
	logins *logins
	pages  *pages
	grants grants

	patching sync.Mutex // one change of a channel at a time

	background sync.WaitGroup // what else runs, and ends with the host

	streams   chan struct{} // one slot for each live stream of events
	stopped   chan struct{} // closed when the program ends
	stopOnce  sync.Once
	healthMu  sync.Mutex
	healthAt  time.Time
	healthErr error
}

const (
	maxStreams = 200              // live streams of events at a time
	maxBody    = 4 << 20          // bytes of a request
	maxUpload  = 48 << 20         // bytes of a request that may carry files
	healthTTL  = time.Second      // how long an answer of healthz holds
	slowCall   = 90 * time.Second // longest time for a request but a stream
)

func newServer(h *host, key []byte) (*server, error) {
	signing, err := deriveKey(key, "sessions")
	if err != nil {
		return nil, err
	}
	s := &server{
		host: h, desk: h.desk, store: h.store, log: h.log,
		logins:  &logins{store: h.store, key: signing, rounds: h.opts.passwordRounds, hashing: make(chan struct{}, 2), failed: map[string]failures{}},
		streams: make(chan struct{}, maxStreams), stopped: make(chan struct{}),
	}
	s.pages, err = newPages(s)
	return s, err
}

func (s *server) stopStreams() { s.stopOnce.Do(func() { close(s.stopped) }) }

// access says who may call a route.
type access int

const (
	anybody access = iota
	apiCall        // the API token, or a signed-in agent
	browser        // a signed-in agent, else the sign-in page
)

// route is one call.
type route struct {
	method, pattern string
	access          access
	body            int64 // the largest request body
	handle          func(w http.ResponseWriter, r *http.Request) error
}

func (s *server) routes() []route {
	api := func(method, pattern string, h func(w http.ResponseWriter, r *http.Request) error) route {
		return route{method, "/api" + pattern, apiCall, maxBody, h}
	}
	upload := func(method, pattern string, h func(w http.ResponseWriter, r *http.Request) error) route {
		return route{method, "/api" + pattern, apiCall, maxUpload, h}
	}
	all := []route{
		{http.MethodGet, "/healthz", anybody, 0, s.getHealth},

		api("GET", "/channels", s.getChannels),
		api("POST", "/channels", s.postChannel),
		api("GET", "/channels/{id}", s.getChannel),
		api("PATCH", "/channels/{id}", s.patchChannel),
		api("DELETE", "/channels/{id}", s.deleteChannel),
		api("POST", "/channels/{id}/check", s.checkChannel),
		api("POST", "/channels/{id}/backfill", s.backfillChannel),

		api("GET", "/queues", s.getQueues),
		api("PUT", "/queues/{id}", s.putQueue),
		api("GET", "/agents", s.getAgents),
		api("PUT", "/agents/{id}", s.putAgent),
		api("PUT", "/agents/{id}/presence", s.putPresence),

		api("GET", "/tickets", s.getTickets),
		api("GET", "/tickets/{id}", s.getTicket),
		api("PATCH", "/tickets/{id}", s.patchTicket),
		api("DELETE", "/tickets/{id}", s.deleteTicket),
		api("POST", "/tickets/{id}/assign", s.assignTicket),
		api("POST", "/tickets/{id}/notes", s.postNote),
		upload("POST", "/tickets/{id}/replies", s.replyTicket),
		api("POST", "/tickets/{id}/merge", s.missing("merging tickets")),

		api("GET", "/conversations", s.getConversations),
		upload("POST", "/conversations", s.postConversation),
		api("GET", "/conversations/{id}", s.getConversation),
		upload("POST", "/conversations/{id}/replies", s.replyConversation),
		api("POST", "/conversations/{id}/ticket", s.makeTicket),

		api("GET", "/contacts/{id}/picture", s.getPicture),

		api("GET", "/messages/{id}", s.getMessage),
		api("PATCH", "/messages/{id}", s.patchMessage),
		api("DELETE", "/messages/{id}", s.deleteMessage),
		api("POST", "/messages/{id}/cancel", s.cancelMessage),
		api("POST", "/messages/{id}/resolve", s.resolveMessage),
		api("POST", "/messages/{id}/actions", s.actOnMessage),
		api("GET", "/messages/{id}/raw", s.getRaw),
		api("GET", "/messages/{id}/explain", s.explainMessage),
		api("GET", "/attachments/{id}", s.getAttachment),

		api("GET", "/quarantine", s.getQuarantine),
		api("POST", "/quarantine/{id}/release", s.releaseItem),
		api("POST", "/quarantine/{id}/discard", s.discardItem),
		api("GET", "/quarantine/{id}/raw", s.getRawItem),
		api("GET", "/undeliverable", s.getUndeliverable),
		api("DELETE", "/undeliverable/{address}", s.forgetUndeliverable),
		api("POST", "/erase", s.erase),
		api("GET", "/ledger", s.getLedger),
		api("GET", "/events", s.getEvents),
	}
	all = append(all, s.facebookRoutes()...)
	for _, path := range []string{"/webhooks/gmail"} {
		what := s.missing(path)
		all = append(all, route{"GET", path, anybody, maxBody, what}, route{"POST", path, anybody, maxBody, what})
	}
	for _, path := range []string{"/connect/gmail", "/connect/gmail/callback"} {
		all = append(all, route{"GET", path, anybody, 0, s.missing(path)})
	}
	return append(all, s.pages.routes()...)
}

// missing answers for what later parts of the library bring.
func (s *server) missing(what string) func(http.ResponseWriter, *http.Request) error {
	return func(http.ResponseWriter, *http.Request) error { return notAvailableError{what} }
}

func (s *server) handler() http.Handler {
	byPattern := map[string]map[string]route{}
	for _, rt := range s.routes() {
		if byPattern[rt.pattern] == nil {
			byPattern[rt.pattern] = map[string]route{}
		}
		byPattern[rt.pattern][rt.method] = rt
	}
	mux := http.NewServeMux()
	for pattern, methods := range byPattern {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, r *http.Request) { s.dispatch(w, r, methods) })
	}
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		s.fail(w, r, &apiError{status: http.StatusNotFound, Code: "not_found", Message: "there is nothing at this path"})
	})
	return s.protect(mux)
}

// dispatch calls the route for the method.
func (s *server) dispatch(w http.ResponseWriter, r *http.Request, methods map[string]route) {
	method := r.Method
	if method == http.MethodHead {
		method = http.MethodGet
	}
	rt, ok := methods[method]
	if !ok {
		allowed := slices.Sorted(maps.Keys(methods))
		w.Header().Set("Allow", strings.Join(allowed, ", "))
		s.fail(w, r, &apiError{status: http.StatusMethodNotAllowed, Code: "method_not_allowed",
			Message: "use " + strings.Join(allowed, " or ")})
		return
	}
	if err := s.call(w, r, rt); err != nil && !errors.Is(err, errAnswered) {
		s.fail(w, r, err)
	}
}

func (s *server) call(w http.ResponseWriter, r *http.Request, rt route) error {
	r, err := s.admit(w, r, rt.access)
	if err != nil {
		return err
	}
	if id := r.PathValue("id"); !utf8.ValidString(id) || strings.ContainsRune(id, 0) || len(id) > maxIDLength {
		if r.Method == http.MethodPut {
			return badField("id", "must be UTF-8 of at most %d bytes without NUL", maxIDLength)
		}
		return fmt.Errorf("id: %w", ticket.ErrNotFound)
	}
	if err := checkQuery(r); err != nil {
		return err
	}
	r.Body = http.MaxBytesReader(w, r.Body, rt.body)
	return rt.handle(w, r)
}

// protect is around everything: headers, time limits, and a net for panics.
func (s *server) protect(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("X-Frame-Options", "SAMEORIGIN")
		h.Set("Cache-Control", "no-store")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "+
			"frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'self'")
		defer func() {
			if p := recover(); p != nil {
				s.log.Error("request panicked", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				s.fail(w, r, &apiError{status: http.StatusInternalServerError, Code: "internal", Message: "this is a fault of ours; it was logged"})
			}
		}()
		if !strings.HasPrefix(r.URL.Path, "/api/events") {
			ctx, cancel := context.WithTimeout(r.Context(), slowCall)
			defer cancel()
			r = r.WithContext(ctx)
		}
		next.ServeHTTP(w, r)
	})
}

// getHealth tries a commit. An answer holds for a second, so that asking often
// costs nothing.
func (s *server) getHealth(w http.ResponseWriter, r *http.Request) error {
	s.healthMu.Lock()
	defer s.healthMu.Unlock()
	if now := time.Now(); now.Sub(s.healthAt) > healthTTL {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), 5*time.Second)
		defer cancel()
		now := now.UTC().Truncate(time.Microsecond)
		_, s.healthErr = s.store.Lease(ctx, "health", "healthz", now, now.Add(time.Second))
		s.healthAt = now
	}
	if s.healthErr != nil {
		return unavailable(s.healthErr)
	}
	return answer(w, http.StatusOK, map[string]any{"ok": true})
}
