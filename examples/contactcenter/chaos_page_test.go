//go:build unix

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

// chaosVisitors write to the Page at once.
const chaosVisitors = 4

// wall is a Page of Facebook with people who write to it.
type wall struct {
	c       *town
	page    *graphtest.Page
	channel string
	people  []*graphtest.Person
	written []int // messages of each person
	pause   int   // between two, at the least, in milliseconds
	agent   *answerer
	end     func() // of the delivery of webhooks
}

// openPage connects a Page. Webhooks go to whichever process is there.
func (c *town) openPage() *wall {
	c.t.Helper()
	w := &wall{c: c, page: c.graph.AddPage("Shop"), written: make([]int, chaosVisitors), pause: 300}
	if *crashRounds > 0 {
		w.pause = 100
	}
	admin := c.graph.AddPerson("Admin")
	require.NoError(c.t, c.graph.SubscribeURL(c.http+"/webhooks/facebook", "verify"))
	w.channel = c.connect(object{"kind": "facebook.page", "name": "Shop", "settings": object{"queue": "support"},
		"config": object{"page_id": w.page.ID, "access_token": admin.PageToken(w.page.ID)}})
	require.Eventually(c.t, func() bool { return len(c.graph.Subscribed(w.page.ID)) > 0 }, time.Minute, 10*time.Millisecond)
	for i := range chaosVisitors {
		w.people = append(w.people, c.graph.AddPerson(fmt.Sprint("Khách ", i)))
	}
	w.agent = &answerer{s: c.site, name: "page", channel: w.channel, rnd: rand.New(rand.NewPCG(c.seed, 7000))}
	ctx, cancel := context.WithCancel(context.WithoutCancel(c.t.Context()))
	var delivering sync.WaitGroup
	delivering.Go(func() { c.graph.Run(ctx) })
	w.end = func() { cancel(); delivering.Wait() }
	c.t.Cleanup(w.end)
	return w
}

func (w *wall) run(ctx context.Context, busy *sync.WaitGroup) {
	for i, p := range w.people {
		rnd := rand.New(rand.NewPCG(w.c.seed, uint64(7001+i)))
		busy.Go(func() {
			for ctx.Err() == nil {
				p.Write(w.page.ID, fmt.Sprintf("Tin %d.%d", i, w.written[i]))
				w.written[i]++
				linger(ctx, time.Duration(w.pause+rnd.IntN(4*w.pause))*time.Millisecond)
			}
		})
	}
	busy.Go(func() { w.agent.run(ctx) })
}

// finish waits until Facebook has no event left, and everything is answered.
func (w *wall) finish() {
	w.c.t.Helper()
	w.agent.finish()
	require.Eventually(w.c.t, func() bool { return w.c.graph.Pending() == 0 }, 3*time.Minute, 50*time.Millisecond, "all webhooks are taken")
}

// check wants what people wrote once, and each answer at most once with them.
func (w *wall) check() {
	c, t := w.c, w.c.t
	t.Helper()
	got, states, uncertain := map[string]int{}, map[string]string{}, 0
	for _, m := range c.messages(w.channel) {
		if m.Direction == ticket.In {
			got[m.Text]++
			continue
		}
		key := replyKey(m.Text)
		require.Empty(t, states[key], "answer %s is there twice", key)
		states[key] = string(m.State)
	}
	wrote := 0
	for i, n := range w.written {
		wrote += n
		for k := range n {
			require.Equal(t, 1, got[fmt.Sprintf("Tin %d.%d", i, k)], "message %d of person %d", k, i)
		}
	}
	require.Len(t, got, wrote, "nothing else was written")
	require.Equal(t, chaosVisitors, c.count("SELECT count(*) FROM anteroom.conversations WHERE channel = $1", w.channel))
	arrived := map[string]int{}
	for _, s := range c.graph.Sent() {
		if key := replyKey(s.Text); key != "" {
			arrived[key]++
		}
	}
	require.Len(t, states, len(w.agent.replies))
	for _, r := range w.agent.replies {
		switch states[r.key] {
		case "sent", "delivered", "read":
			require.Equal(t, 1, arrived[r.key], "answer %s is %s", r.key, states[r.key])
		case "uncertain":
			uncertain++
			require.LessOrEqual(t, arrived[r.key], 1, "answer %s", r.key)
		default:
			t.Errorf("answer %s is %s", r.key, states[r.key])
		}
	}
	t.Logf("page: %d messages of %d people by %d webhooks; %d answers, %d uncertain", wrote, chaosVisitors, c.graph.Posts(), len(states), uncertain)
}

// messages are those of a channel, as they are kept.
func (c *town) messages(channel string) (out []*ticket.Message) {
	c.t.Helper()
	conn, err := pgx.Connect(c.t.Context(), c.url)
	require.NoError(c.t, err)
	defer conn.Close(c.t.Context())
	rows, err := conn.Query(c.t.Context(), `SELECT m.doc FROM anteroom.messages m JOIN anteroom.conversations v ON v.portal = m.portal AND v.id = m.conversation
		WHERE v.channel = $1`, channel)
	require.NoError(c.t, err)
	docs, err := pgx.CollectRows(rows, pgx.RowTo[string])
	require.NoError(c.t, err)
	for _, doc := range docs {
		m := &ticket.Message{}
		require.NoError(c.t, json.Unmarshal([]byte(doc), m))
		out = append(out, m)
	}
	return out
}
