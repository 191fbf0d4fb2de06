package main

import (
	"bufio"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
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
	end, err := r.host.server.feedEnd(t.Context())
	require.NoError(t, err)
	require.GreaterOrEqual(t, end, int64(n+1))
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
