package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

const (
	heartbeat      = 15 * time.Second
	streamWrite    = 30 * time.Second // longest write to a live stream
	maxShownEvents = 2000             // of one ticket, at once
	eventPage      = 500              // of them read at once
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

// ticketEvents reads a ticket's events, from the first. more says that there are
// others than those.
func (s *server) ticketEvents(ctx context.Context, id ticket.TicketID) (out []eventJSON, more bool, err error) {
	out = []eventJSON{}
	for after := int64(0); ; {
		events, err := s.desk.TicketEvents(ctx, id, after, eventPage)
		if err != nil {
			return nil, false, err
		}
		for _, e := range events {
			if len(out) == maxShownEvents {
				return out, true, nil
			}
			out = append(out, showEvent(e))
			after = e.Cursor
		}
		if len(events) < eventPage {
			return out, false, nil
		}
	}
}
