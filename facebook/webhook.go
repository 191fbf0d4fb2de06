package facebook

import (
	"bytes"
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"reflect"
	"sync"

	"github.com/anteroom/anteroom/channel"
)

// Webhook returns what Facebook calls: the verification (GET) and the events
// (POST) of all Pages
// (https://developers.facebook.com/docs/graph-api/webhooks/getting-started).
//
// Answers to events: 200 when every event is durable, is a duplicate or is of a
// Page that nobody has connected; 403 without or with a wrong signature; 413, 400
// and 404 for what is too large, no JSON, or about something else than Pages; and
// 503 when something could not be made durable, so that all comes again. What of
// a POST can be made durable is, whatever becomes of the rest: one Page's events
// do not wait for another's portal.
func (a *App) Webhook() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.Method {
		case http.MethodGet:
			a.verify(w, r)
		case http.MethodPost:
			a.take(w, r)
		default:
			w.Header().Set("Allow", "GET, POST")
			w.WriteHeader(http.StatusMethodNotAllowed)
		}
	})
}

// maxChallenge bounds what is sent back to whoever knows the verify token.
const maxChallenge = 1000

func (a *App) verify(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	given := []byte(q.Get("hub.verify_token"))
	challenge := q.Get("hub.challenge")
	if a.VerifyToken == "" || subtle.ConstantTimeCompare(given, []byte(a.VerifyToken)) != 1 || q.Get("hub.mode") != "subscribe" || len(challenge) > maxChallenge {
		w.WriteHeader(http.StatusForbidden)
		return
	}
	w.Header().Set("Content-Type", "text/plain")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	_, _ = io.WriteString(w, challenge) //nolint:gosec // plain text, to who knows the token
}

// take takes the events of one POST.
func (a *App) take(w http.ResponseWriter, r *http.Request) {
	body, status := a.readBody(w, r)
	if status == http.StatusOK {
		status = a.takeBody(r.Context(), body)
	}
	a.stats.add(func(s *Stats) {
		switch {
		case status == http.StatusOK:
			s.Posts++
		case status >= http.StatusInternalServerError:
			s.Failed++
		default:
			s.Refused++
		}
	})
	w.WriteHeader(status)
}

// firstRead is how many bytes are got ready for a body before it has come.
const firstRead = 64 << 10

func (a *App) readBody(w http.ResponseWriter, r *http.Request) ([]byte, int) {
	limit := a.limits().Body
	if r.ContentLength > limit {
		return nil, http.StatusRequestEntityTooLarge
	}
	var buf bytes.Buffer
	if r.ContentLength > 0 { // what it says of its length is not to be believed yet
		buf.Grow(int(min(r.ContentLength, firstRead)) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(http.MaxBytesReader(w, r.Body, limit)); err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return nil, http.StatusRequestEntityTooLarge
		}
		return nil, http.StatusBadRequest
	}
	if !signed(a.Secrets, buf.Bytes(), r.Header.Get("X-Hub-Signature-256")) {
		return nil, http.StatusForbidden
	}
	return buf.Bytes(), http.StatusOK
}

// takeBody makes the events of a body durable.
func (a *App) takeBody(ctx context.Context, body []byte) int {
	events, status := a.split(body)
	if status != http.StatusOK {
		return status
	}
	// A commit under way may finish though the caller went away.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.limits().Commit)
	defer cancel()
	parcels, unknown, err := a.address(ctx, events)
	defer func() {
		for _, p := range parcels {
			p.to.commits.Done()
		}
	}()
	if err = errors.Join(err, a.commitAll(ctx, parcels)); err != nil {
		a.log().Warn("facebook: events not taken", slog.Any("error", err))
		return http.StatusServiceUnavailable
	}
	a.stats.add(func(s *Stats) { s.Events += int64(len(events)); s.UnknownPages += unknown })
	return http.StatusOK
}

// commitAll makes parcels durable, those of each sink at once and apart from
// those of others.
func (a *App) commitAll(ctx context.Context, parcels []*parcel) error {
	var groups [][]*parcel
	for len(parcels) > 0 {
		group, rest := together(parcels)
		groups, parcels = append(groups, group), rest
	}
	errs := make([]error, len(groups))
	commit := func(i int) {
		errs[i] = a.commit(ctx, groups[i])
		for _, p := range groups[i] {
			if errs[i] != nil {
				p.to.misses()
			} else {
				p.to.seen()
			}
		}
	}
	if len(groups) == 1 {
		commit(0)
		return errs[0]
	}
	var wg sync.WaitGroup
	for i := range groups {
		wg.Go(func() { commit(i) })
	}
	wg.Wait()
	return errors.Join(errs...)
}

// parcel is what goes to one Page.
type parcel struct {
	to    *page
	sink  channel.Sink
	items []*channel.Item
}

var errNotRunning = errors.New("facebook: the Page is connected, but its engine does not run here")

// address finds the Page of each event. The parcels must be ended, also beside
// an error, which is about the events that are in none.
func (a *App) address(ctx context.Context, events []*event) (out []*parcel, unknown int64, err error) {
	byPage := map[string]*parcel{} // nil: of nobody, or not to be had now
	var errs []error
	for _, e := range events {
		p, told := byPage[e.page]
		if !told {
			var known bool
			p, known, err = a.parcelFor(ctx, e.page)
			if err != nil {
				errs = append(errs, err)
			} else if !known {
				a.log().Info("facebook: event of a Page that nobody has connected", "page", e.page)
			}
			byPage[e.page] = p
			if p != nil {
				out = append(out, p)
			}
		}
		if p == nil {
			unknown++
			continue
		}
		p.items = append(p.items, p.to.arrival(e))
	}
	return out, unknown, errors.Join(errs...)
}

// parcelFor begins the parcel of a Page. It is nil if there is nobody to take it:
// known is false, beside no error, if the Page is not connected.
func (a *App) parcelFor(ctx context.Context, page string) (p *parcel, known bool, err error) {
	if page == "" { // an entry without an id that can be read
		return nil, false, nil
	}
	to, known, err := a.resolve(ctx, page)
	switch {
	case err != nil:
		return nil, known, err
	case !known:
		return nil, false, nil
	case to == nil:
		return nil, true, errNotRunning
	}
	sink := to.currentSink()
	if sink == nil {
		to.commits.Done()
		return nil, true, errNotRunning
	}
	return &parcel{to: to, sink: sink}, true, nil
}

// together returns the parcels of the first one's sink, which are committed in
// one call, and the others.
func together(parcels []*parcel) (group, rest []*parcel) {
	group = append(group, parcels[0])
	for _, p := range parcels[1:] {
		if same(p.sink, group[0].sink) {
			group = append(group, p)
		} else {
			rest = append(rest, p)
		}
	}
	return group, rest
}

// same reports whether two sinks are one. Sinks that cannot be compared, such as
// funcs, never are.
func same(a, b channel.Sink) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}

// commit has the items of one sink accepted.
func (a *App) commit(ctx context.Context, group []*parcel) error {
	var items []*channel.Item
	for _, p := range group {
		items = append(items, p.items...)
	}
	return a.acceptAll(ctx, group[0].sink, items)
}

// acceptAll has items accepted. What can never be taken does not stop the rest.
func (a *App) acceptAll(ctx context.Context, sink channel.Sink, items []*channel.Item) error {
	err := accept(ctx, sink, items...)
	if !errors.Is(err, channel.ErrRejected) {
		return err
	}
	for _, it := range items {
		switch err := accept(ctx, sink, it); {
		case errors.Is(err, channel.ErrRejected):
			a.stats.add(func(s *Stats) { s.Rejected++ })
			a.log().Error("facebook: event can never be taken", "channel", it.Channel, slog.Any("error", err))
		case err != nil:
			return err
		}
	}
	return nil
}

// accept calls a sink. A panic there is an error like others.
func accept(ctx context.Context, sink channel.Sink, items ...*channel.Item) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = errors.New("facebook: the sink panicked")
		}
	}()
	if err := sink.Accept(ctx, items...); err != nil {
		return fmt.Errorf("facebook: accept: %w", err)
	}
	return nil
}

// envelope is the body of a POST.
type envelope struct {
	Object string  `json:"object"`
	Entry  []entry `json:"entry"`
}

type entry struct {
	ID            ident             `json:"id"`
	Time          json.RawMessage   `json:"time"`
	Messaging     []json.RawMessage `json:"messaging"`
	Standby       []json.RawMessage `json:"standby"`
	Changes       []json.RawMessage `json:"changes"`
	ChangedFields json.RawMessage   `json:"changed_fields"`
}

// looseEnvelope reads a body of which a part is not in its usual form. That part
// becomes an event of its own, which nobody understands, and keeps nothing else
// from being taken. It reports false for what is no envelope at all.
func looseEnvelope(body []byte) (envelope, bool) {
	var in struct {
		Object string            `json:"object"`
		Entry  []json.RawMessage `json:"entry"`
	}
	if json.Unmarshal(body, &in) != nil {
		return envelope{}, false
	}
	env := envelope{Object: in.Object, Entry: make([]entry, len(in.Entry))}
	for i, b := range in.Entry {
		e := &env.Entry[i]
		if json.Unmarshal(b, e) == nil {
			continue
		}
		var parts map[string]json.RawMessage
		*e = entry{}
		if json.Unmarshal(b, &parts) != nil || e.ID.UnmarshalJSON(parts["id"]) != nil {
			*e = entry{Changes: []json.RawMessage{b}} // of nobody
			continue
		}
		e.Time, e.ChangedFields = parts["time"], parts[inFields]
		for source, list := range map[string]*[]json.RawMessage{inMessaging: &e.Messaging, inStandby: &e.Standby, inChanges: &e.Changes} {
			if part := parts[source]; len(part) > 0 && json.Unmarshal(part, list) != nil {
				*list = []json.RawMessage{part}
			}
		}
	}
	return env, true
}

// split reads a body into its events.
func (a *App) split(body []byte) ([]*event, int) {
	if deeper(body, a.limits().Depth) {
		return nil, http.StatusBadRequest
	}
	var env envelope
	if err := json.Unmarshal(body, &env); err != nil {
		var ok bool
		if env, ok = looseEnvelope(body); !ok {
			return nil, http.StatusBadRequest
		}
	}
	if env.Object != "page" {
		return nil, http.StatusNotFound
	}
	var out []*event
	for i := range env.Entry {
		out = append(out, env.Entry[i].events()...)
		if len(out) > a.limits().Events {
			return nil, http.StatusRequestEntityTooLarge
		}
	}
	if len(out) == 1 {
		out[0].raw = body // it is a body of its own
	}
	return out, http.StatusOK
}
