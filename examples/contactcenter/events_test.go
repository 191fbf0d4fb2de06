package main

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
)

// nextEvents reads n ids from a live stream.
func nextEvents(t *testing.T, resp *http.Response, n int) []string {
	t.Helper()
	var ids []string
	lines := bufio.NewScanner(resp.Body)
	for len(ids) < n && lines.Scan() {
		if id, ok := strings.CutPrefix(lines.Text(), "id: "); ok {
			ids = append(ids, id)
		}
	}
	require.Len(t, ids, n, "the stream ended")
	return ids
}

func TestEventsCanBePagedAndFollowedAndResumed(t *testing.T) {
	t.Parallel()
	r := start(t, testOptions(t))
	r.office(nil, nil)
	// The mailbox's state is told last, a moment later.
	all := r.eventually("/api/events", func(o object) bool { return strings.Contains(fmt.Sprint(o), "channel.status") })
	n := len(all["events"].([]any))
	require.Greater(t, n, 3)
	require.EqualValues(t, n, all["next"])

	var paged []any
	after := "0"
	for len(paged) < n {
		p := r.call("GET", "/api/events?limit=2&after="+after, nil, 200)
		paged = append(paged, p["events"].([]any)...)
		after = fmt.Sprint(p["next"])
	}
	require.Equal(t, all["events"], paged)
	require.Empty(t, r.call("GET", "/api/events?after="+after, nil, 200)["events"])

	live := r.request("GET", "/api/events?after=0", nil, "Accept", "text/event-stream")
	require.Equal(t, 200, live.StatusCode)
	require.Contains(t, live.Header.Get("Content-Type"), "text/event-stream")
	require.Equal(t, []string{"1", "2"}, nextEvents(t, live, 2))
	live.Body.Close()

	live = r.request("GET", "/api/events?after=0", nil, "Accept", "text/event-stream", "Last-Event-ID", fmt.Sprint(n))
	r.mail("chau@khach.example", "support@portal.localhost", firstMail)
	require.Equal(t, fmt.Sprint(n+1), nextEvents(t, live, 1)[0], "it goes on where the client was")

	bad := r.request("GET", "/api/events", nil, "Accept", "text/event-stream", "Last-Event-ID", "x")
	require.Equal(t, 400, bad.StatusCode)
	end, err := r.host.desk.LastCursor(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, end, int64(n+1))
}

func TestATicketIsShownWithItsOwnEvents(t *testing.T) {
	t.Parallel()
	r := start(t, testOptions(t))
	r.office(nil, nil)
	for _, name := range []string{"chau", "dung"} {
		mail := strings.NewReplacer("chau@", name+"@", "first@", name+"1@").Replace(firstMail)
		r.mail(name+"@khach.example", "support@portal.localhost", mail)
	}
	list := r.eventually("/api/tickets", func(o object) bool { return get(o, "tickets", 1) != nil })
	ids := []string{text(list, "tickets", 0, "id"), text(list, "tickets", 1, "id")}
	for _, id := range ids {
		r.call("PATCH", "/api/tickets/"+id, object{"status": "solved"}, 200)
	}
	feed := r.call("GET", "/api/events?limit=500", nil, 200)
	for _, id := range ids {
		var want []any
		for _, e := range feed["events"].([]any) {
			if get(e, "ticket") == id {
				want = append(want, e)
			}
		}
		require.GreaterOrEqual(t, len(want), 3)
		full := r.call("GET", "/api/tickets/"+id, nil, 200)
		got := full["events"].([]any)
		require.Equal(t, want, got[:min(len(want), len(got))]) // others may have come meanwhile
		for _, e := range got {
			require.Equal(t, id, get(e, "ticket"))
		}
		require.Nil(t, full["more"])
	}

	c := &ticket.Changes{}
	for i := range maxShownEvents {
		c.Events = append(c.Events, &ticket.Event{ID: fmt.Sprint(i), Ticket: ticket.TicketID(ids[0])})
	}
	require.NoError(t, r.host.store.Commit(t.Context(), c))
	full := r.call("GET", "/api/tickets/"+ids[0], nil, 200)
	require.Len(t, full["events"], maxShownEvents)
	require.Equal(t, true, full["more"])
}

func TestLiveStreamsEndWhenTheHostDoes(t *testing.T) {
	t.Parallel()
	r := start(t, testOptions(t, "-store", "memory:"))
	r.office(nil, nil)
	live := r.request("GET", "/api/events", nil, "Accept", "text/event-stream")
	nextEvents(t, live, 1)
	r.stop()
	lines := bufio.NewScanner(live.Body)
	for lines.Scan() {
	}
	require.NoError(t, lines.Err())
}
