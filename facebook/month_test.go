package facebook_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// month is a world with many Pages, and what happened in it.
type month struct {
	*world

	rng    *rand.Rand
	pages  []*graphtest.Page
	chans  map[string]*ticket.Channel
	people []*graphtest.Person
	mids   map[string][]string // of a Page: messages of customers
	nodes  map[string][]string // posts and comments
	off    time.Time           // until when the engine is off
	lost   map[string]time.Time

	mu     sync.Mutex // of what the webhook is concerned with, too
	bodies [][]byte   // some POSTs that came, to come again
	down   time.Time  // until when the webhook fails
}

// takes keeps a POST, and reports whether the webhook is up.
func (m *month) takes(method string, body []byte) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	if time.Now().Before(m.down) {
		return false
	}
	if method == http.MethodPost && len(m.bodies) < 200 {
		m.bodies = append(m.bodies, body)
	}
	return true
}

// fails lets the webhook fail for a while.
func (m *month) fails(long time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.down = time.Now().Add(long)
}

// came returns the POSTs that may come again.
func (m *month) came() [][]byte {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.bodies
}

func pick[T any](rng *rand.Rand, list []T) T { return list[rng.IntN(len(list))] }

// A month of 20 Pages with outages, redeliveries, expiring tokens, other apps and
// admins: each event ends as one thing, and what Facebook still shows is there.
func TestAMonthOfTwentyPages(t *testing.T) {
	if testing.Short() {
		t.Skip("a month takes half a minute: not with -short")
	}
	for i, name := range []string{"as likely", "other forms"} {
		t.Run(name, func(t *testing.T) {
			inWorld(t, graphtest.Options{Doubts: graphtest.Variants()[name], Batch: 1 + 3*i, HumanAgent: true}, everything, func(w *world) {
				m := &month{world: w, rng: rand.New(rand.NewPCG(uint64(i), 7)), chans: map[string]*ticket.Channel{}, mids: map[string][]string{},
					nodes: map[string][]string{}, lost: map[string]time.Time{}}
				m.begin()
				end := time.Now().Add(30 * 24 * time.Hour)
				for time.Now().Before(end) {
					time.Sleep(time.Duration(m.rng.ExpFloat64() * float64(25*time.Minute)))
					m.act()
				}
				m.heal()
				time.Sleep(3 * 24 * time.Hour)
				m.check()
			})
		})
	}
}

func (m *month) begin() {
	w := m.world
	w.stop()
	hook := w.app.Webhook()
	require.NoError(w.t, w.fb.Subscribe(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if !m.takes(r.Method, body) {
			rw.WriteHeader(http.StatusBadGateway)
			return
		}
		again := httptest.NewRequest(r.Method, r.URL.String(), bytes.NewReader(body))
		again.Header = r.Header
		hook.ServeHTTP(rw, again)
	}), "verify"))
	w.cfg.Log = slog.New(slog.DiscardHandler)
	w.open()
	for i := range 3 {
		id := routing.AgentID(fmt.Sprint("agent", i))
		require.NoError(w.t, w.desk.PutAgent(w.ctx, routing.Agent{ID: id, Name: string(id)}))
	}
	m.pages, m.chans[w.page.ID] = append(m.pages, w.page), w.ch
	for i := range 19 {
		p := w.fb.AddPage(fmt.Sprint("Page ", i))
		m.pages, m.chans[p.ID] = append(m.pages, p), w.connect(p, everything)
	}
	for i := range 40 {
		m.people = append(m.people, w.fb.AddPerson(fmt.Sprint("Person ", i)))
	}
}

// act lets something happen.
func (m *month) act() {
	w, rng := m.world, m.rng
	page, who := pick(rng, m.pages), pick(rng, m.people)
	if !m.off.IsZero() && time.Now().After(m.off) {
		m.off = time.Time{}
		w.open()
	}
	for id, until := range m.lost {
		if time.Now().After(until) && m.off.IsZero() {
			delete(m.lost, id)
			_, err := w.desk.Update(w.ctx, m.chans[id].ID, ticket.ChannelPatch{Config: facebook.Page{ID: id, Token: w.admin.PageToken(id), Rules: everything}})
			require.NoError(w.t, err)
		}
	}
	text := fmt.Sprint("text ", rng.IntN(1e9))
	switch n := rng.IntN(100); {
	case n < 30:
		m.mids[page.ID] = append(m.mids[page.ID], who.Write(page.ID, text))
	case n < 40:
		m.nodes[page.ID] = append(m.nodes[page.ID], who.Post(page.ID, text))
	case n < 55 && len(m.nodes[page.ID]) > 0:
		m.nodes[page.ID] = append(m.nodes[page.ID], who.Comment(pick(rng, m.nodes[page.ID]), text))
	case n < 58:
		m.nodes[page.ID] = append(m.nodes[page.ID], page.Post(text))
	case n < 62 && len(m.nodes[page.ID]) > 0:
		page.Comment(pick(rng, m.nodes[page.ID]), text)
	case n < 66:
		who.PSID(page.ID)
		page.WriteInInbox(who, text)
	case n < 69:
		who.PSID(page.ID)
		page.WriteByApp(who, text, "campaign")
	case n < 74:
		who.Read(page.ID)
	case n < 76 && len(m.mids[page.ID]) > 0:
		who.React(page.ID, pick(rng, m.mids[page.ID]), "love")
	case n < 79 && len(m.nodes[page.ID]) > 0:
		w.fb.EditText(pick(rng, m.nodes[page.ID]), text)
	case n < 93 && m.off.IsZero():
		m.reply(text)
	case n < 96 && len(m.came()) > 0:
		_, _ = w.fb.Post(w.ctx, pick(rng, m.came())) // once more
	case n == 97:
		m.fault()
	}
}

// reply answers a ticket.
func (m *month) reply(text string) {
	w := m.world
	ts, _, err := w.desk.Tickets(w.ctx, ticket.TicketFilter{}, ticket.Page{Limit: 100})
	require.NoError(w.t, err)
	if len(ts) == 0 {
		return
	}
	_, err = w.desk.Reply(w.ctx, pick(m.rng, ts).ID, ticket.Draft{By: "an", Text: text})
	if err != nil {
		require.True(w.t, errors.Is(err, ticket.ErrWindowClosed) || errors.Is(err, ticket.ErrNoRecipient), err)
	}
}

// fault breaks something for a while.
func (m *month) fault() {
	w := m.world
	long := time.Duration(10+m.rng.IntN(290)) * time.Minute
	switch m.rng.IntN(6) {
	case 0:
		m.fails(long)
	case 1:
		if m.off.IsZero() {
			m.off = time.Now().Add(long)
			w.stop()
		}
	case 2:
		w.fb.Fail(graphtest.Fault{Status: 503, Times: 1 + m.rng.IntN(20)})
	case 3:
		w.fb.Fail(graphtest.Fault{Path: "/messages", Lost: true, Done: true, Times: 1 + m.rng.IntN(3)})
	case 4:
		w.fb.Fail(graphtest.Fault{Code: pick(m.rng, []int{4, 32, 80001, 80006, 2}), Times: 1 + m.rng.IntN(5)})
	case 5:
		// One person connected all Pages: each needs a new token.
		w.admin.Invalidate(graphtest.PasswordChanged)
		for _, p := range m.pages {
			m.lost[p.ID] = time.Now().Add(long)
		}
	}
}

// heal ends what is broken.
func (m *month) heal() {
	m.fails(0)
	m.world.fb.Heal()
	if !m.off.IsZero() {
		m.off = time.Time{}
		m.world.open()
	}
	for id := range m.lost {
		m.lost[id] = time.Time{}
	}
	for len(m.lost) > 0 {
		m.act()
	}
	m.world.fb.Heal()
}

func (m *month) check() {
	t, w := m.world.t, m.world
	l := w.ledger()
	require.Zero(t, l.Waiting, "nothing is left undecided")
	require.Empty(t, l.Quarantined, "nothing was poison")
	require.Positive(t, l.Duplicates)
	require.Greater(t, l.Messages, int64(700))
	count := map[channel.ID]map[string]int{}
	for _, c := range m.chans {
		count[c.ID] = map[string]int{}
	}
	var after ticket.Next
	var uncertain []string
	for {
		cs, next, err := w.desk.Conversations(w.ctx, ticket.ConversationFilter{}, ticket.Page{Limit: 500, After: after})
		require.NoError(t, err)
		for _, c := range cs {
			for _, msg := range w.messages(ticket.MessageFilter{Conversation: c.ID}) {
				for _, id := range msg.ExternalIDs {
					count[c.Channel][id]++
				}
				require.NotContains(t, []ticket.OutState{ticket.StateSending, ticket.StatePending}, msg.State)
				if msg.State == ticket.StateUncertain {
					uncertain = append(uncertain, msg.Text)
				}
			}
		}
		if after = next; next == "" {
			break
		}
	}
	missing := 0
	for _, p := range m.pages {
		messages, feed := w.fb.History(p.ID)
		seen := count[m.chans[p.ID].ID]
		for _, x := range messages {
			require.LessOrEqual(t, seen[x.ID], 1, "twice: %+v", x)
			if seen[x.ID] == 0 {
				missing++
				t.Logf("missing message %+v", x)
			}
		}
		for _, x := range feed {
			require.LessOrEqual(t, seen[x.ID], 1, "twice: %+v", x)
			if seen[x.ID] == 0 && !x.ByPage && !x.Gone {
				missing++
				t.Logf("missing %+v", x)
			}
		}
	}
	require.Zero(t, missing)
	tokens := map[string]bool{}
	for _, s := range w.fb.Sent() {
		require.False(t, s.Metadata != "" && tokens[s.Metadata], "sent twice")
		tokens[s.Metadata] = true
		require.False(t, s.Metadata != "" && slices.Contains(uncertain, s.Text), "its echo came: %+v", s)
	}
	t.Logf("received %d: messages %d, applied %d, ignored %v; duplicates %d; posts %d; sent %d, uncertain %d", l.Received, l.Messages, l.Applied, l.Ignored, l.Duplicates, w.fb.Posts(), len(w.fb.Sent()), len(uncertain))
}
