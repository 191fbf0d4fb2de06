package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"sort"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

const (
	heartbeat    = 15 * time.Second
	streamWrite  = 30 * time.Second // longest write to a live stream
	clockSkew    = time.Minute      // between nodes
	maxEventScan = 50_000           // events looked at for one ticket
)

func (s *server) getEvents(w http.ResponseWriter, r *http.Request) error {
	from := r.URL.Query().Get("after")
	field := "after"
	stream := strings.Contains(r.Header.Get("Accept"), "text/event-stream")
	if id := r.Header.Get("Last-Event-ID"); stream && id != "" {
		from, field = id, "Last-Event-ID"
	}
	after := int64(0)
	if from != "" {
		var err error
		if after, err = strconv.ParseInt(from, 10, 64); err != nil || after < 0 {
			return badField(field, "must be a cursor of this feed")
		}
	}
	limit, err := pageLimit(r)
	if err != nil {
		return err
	}
	if stream {
		return s.streamEvents(w, r, after)
	}
	events, err := s.desk.Events(r.Context(), after, limit)
	if err != nil {
		return err
	}
	out := []eventJSON{}
	for _, e := range events {
		out = append(out, showEvent(e))
		after = e.Cursor
	}
	return answer(w, http.StatusOK, map[string]any{"events": out, "next": after})
}

// streamEvents sends events as they happen (WHATWG HTML section 9.2), until
// the client goes or the program ends.
func (s *server) streamEvents(w http.ResponseWriter, r *http.Request, after int64) error {
	select {
	case s.streams <- struct{}{}:
		defer func() { <-s.streams }()
	default:
		return &apiError{status: http.StatusTooManyRequests, Code: "too_many", Message: "too many live streams"}
	}
	ctx, cancel := context.WithCancel(r.Context())
	var feeding sync.WaitGroup
	defer feeding.Wait()
	defer cancel()
	events := make(chan *ticket.Event)
	feeding.Go(func() {
		defer cancel()
		for e, err := range s.desk.Follow(ctx, after) {
			if err != nil {
				s.log.Warn("stream of events", "error", err)
				return // the client comes back with its cursor
			}
			select {
			case events <- e:
			case <-ctx.Done():
				return
			}
		}
	})
	rc := http.NewResponseController(w)
	send := func(text string) bool {
		_ = rc.SetWriteDeadline(time.Now().Add(streamWrite))
		_, err := w.Write([]byte(text))
		return err == nil && rc.Flush() == nil
	}
	_ = rc.SetReadDeadline(time.Time{})
	w.Header().Set("Content-Type", "text/event-stream; charset=utf-8")
	w.Header().Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if !send("retry: 1000\n\n") {
		return nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		text := ": still here\n\n"
		select {
		case <-ctx.Done():
			return nil
		case <-s.stopped:
			return nil
		case <-beat.C:
		case e := <-events:
			b, err := json.Marshal(showEvent(e))
			if err != nil {
				return nil // an event of strings and numbers marshals
			}
			text = fmt.Sprintf("id: %d\ndata: %s\n\n", e.Cursor, b)
		}
		if !send(text) {
			return nil
		}
	}
}

// lastCursor remembers how far the feed was seen to go.
type lastCursor struct {
	mu   sync.Mutex
	seen int64
}

// feedEnd is the cursor of the last event. Cursors have no gaps, so it can be
// searched for.
func (s *server) feedEnd(ctx context.Context) (int64, error) {
	s.lastCursor.mu.Lock()
	defer s.lastCursor.mu.Unlock()
	at := s.lastCursor.seen
	beyond := func(c int64) (bool, error) {
		events, err := s.store.Events(ctx, c, 1)
		return len(events) > 0, err
	}
	step := int64(1)
	for ; ; step *= 2 {
		more, err := beyond(at + step)
		if err != nil {
			return 0, err
		}
		if !more {
			break
		}
		at += step
	}
	var failed error
	n := sort.Search(int(step), func(i int) bool {
		more, err := beyond(at + int64(i))
		if err != nil {
			failed = err
		}
		return !more
	})
	if failed != nil {
		return 0, failed
	}
	s.lastCursor.seen = at + int64(n)
	return s.lastCursor.seen, nil
}

// ticketEvents finds a ticket's events in the feed: it searches for the time
// when the ticket was made, and looks through what came after. more says that
// the feed goes on beyond what was looked at.
func (s *server) ticketEvents(ctx context.Context, t *ticket.Ticket) (out []eventJSON, more bool, err error) {
	end, err := s.feedEnd(ctx)
	if err != nil {
		return nil, false, err
	}
	begin := t.CreatedAt.Add(-clockSkew)
	var failed error
	first := sort.Search(int(end), func(i int) bool {
		events, err := s.store.Events(ctx, int64(i), 1)
		if err != nil {
			failed = err
		}
		return len(events) == 0 || !events[0].At.Before(begin)
	})
	if failed != nil {
		return nil, false, failed
	}
	out = []eventJSON{}
	after := int64(first)
	for scanned := 0; scanned < maxEventScan; {
		events, err := s.store.Events(ctx, after, 500)
		if err != nil {
			return nil, false, err
		}
		for _, e := range events {
			if e.Ticket == t.ID {
				out = append(out, showEvent(e))
			}
			after = e.Cursor
		}
		if len(events) < 500 {
			return out, false, nil
		}
		scanned += len(events)
	}
	return out, true, nil
}
