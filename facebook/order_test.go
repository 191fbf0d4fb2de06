package facebook_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

// permutations calls f with every order of n things.
func permutations(n int, f func(order []int)) {
	order := make([]int, 0, n)
	used := make([]bool, n)
	var next func()
	next = func() {
		if len(order) == n {
			f(slices.Clone(order))
			return
		}
		for i := range n {
			if !used[i] {
				used[i], order = true, append(order, i)
				next()
				used[i], order = false, order[:len(order)-1]
			}
		}
	}
	next()
}

// consensus is what the first of many came to.
type consensus struct {
	mu   sync.Mutex
	want string
}

func (c *consensus) agree(t *testing.T, got string) {
	t.Helper()
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.want == "" {
		c.want = got
	}
	require.Equal(t, c.want, got)
}

// post delivers events in one POST, which must be taken.
func (w *world) post(events ...*graphtest.Event) {
	w.t.Helper()
	status, err := w.fb.Post(w.ctx, w.fb.Body(events...))
	require.NoError(w.t, err)
	require.Equal(w.t, http.StatusOK, status)
}

// summary is what a ticket is in the end.
func (w *world) summary() string {
	w.t.Helper()
	out := ""
	for _, m := range w.timeline(w.only().ID) {
		out += fmt.Sprintf("%s %q %s\n", m.Direction, m.Text, m.State)
	}
	l := w.ledger()
	return out + fmt.Sprintf("messages %d, applied %d, waiting %d, ignored %v", l.Messages, l.Applied, l.Waiting, l.Ignored)
}

// The answer to a send: it comes, or is lost and the message is found, or is lost
// and nothing but the echo tells.
var answers = []string{"comes", "is lost", "is lost and nothing is found"}

func TestEveryOrderOfWebhookEchoAnswerDeliveryAndReadEndsAlike(t *testing.T) {
	t.Parallel()
	const response = 4
	for _, answer := range answers {
		for name, doubts := range graphtest.Variants() {
			t.Run(answer+", "+name, func(t *testing.T) {
				t.Parallel()
				var all consensus
				n := 0
				permutations(5, func(order []int) {
					n++
					seed := uint64(n)
					if name != "as likely" && n%20 != 0 { // the first variant runs all
						return
					}
					t.Run(fmt.Sprint(order), func(t *testing.T) {
						inWorld(t, graphtest.Options{Doubts: doubts}, facebook.Rules{Messages: true}, func(w *world) {
							rng := rand.New(rand.NewPCG(seed, 1))
							w.ann.Write(w.page.ID, "How much?")
							w.settle()
							w.hold()
							release := make(chan struct{})
							lost := answer != answers[0]
							w.fb.Fail(graphtest.Fault{Path: "/messages", Method: http.MethodPost, Before: func() { <-release }, Lost: lost, Done: lost})
							if answer == answers[2] {
								w.fb.Fail(graphtest.Fault{Path: "/conversations", Status: 500, Times: -1})
							}
							_, err := w.desk.Reply(w.ctx, w.only().ID, ticket.Draft{By: "an", Text: "20"})
							require.NoError(t, err)
							w.settle()
							w.ann.Receive(w.page.ID)
							w.settle()
							w.ann.Read(w.page.ID)
							w.ann.Write(w.page.ID, "Thanks")
							events := w.fb.Take()
							require.Len(t, events, 4)
							for _, i := range order {
								if i == response {
									close(release)
								} else {
									w.post(events[i])
								}
								time.Sleep(time.Duration(rng.IntN(3)) * time.Second)
								if again := order[rng.IntN(len(order))]; again != response && slices.Index(order, again) <= slices.Index(order, i) {
									w.post(events[again])
								}
							}
							time.Sleep(90 * time.Minute)
							got := w.summary()
							require.Contains(t, got, `out "20" read`)
							require.Contains(t, got, "messages 2, applied 3, waiting 0")
							all.agree(t, got)
						})
					})
				})
			})
		}
	}
}

func TestEveryOrderOfACommentsAnswerAndItsOwnEventEndsAlike(t *testing.T) {
	t.Parallel()
	for _, answer := range answers {
		for _, first := range []string{"event", "answer"} {
			t.Run(answer+", first the "+first, func(t *testing.T) {
				inWorld(t, graphtest.Options{}, everything, func(w *world) {
					w.ann.Comment(w.page.Post("New shoes"), "How much?")
					w.settle()
					w.hold()
					release := make(chan struct{})
					lost := answer != answers[0]
					w.fb.Fail(graphtest.Fault{Path: "/comments", Method: http.MethodPost, Before: func() { <-release }, Lost: lost, Done: lost})
					if answer == answers[2] {
						w.fb.Fail(graphtest.Fault{Path: "/comments", Method: http.MethodGet, Status: 500, Times: -1})
					}
					_, err := w.desk.Reply(w.ctx, w.only().ID, ticket.Draft{By: "an", Text: "20"})
					require.NoError(t, err)
					w.settle()
					events := w.fb.Take()
					require.Len(t, events, 1)
					if first == "answer" {
						close(release)
						w.settle()
					}
					w.post(events...)
					w.post(events...)
					w.settle()
					if first != "answer" {
						close(release)
					}
					time.Sleep(90 * time.Minute)
					require.Contains(t, w.summary(), "in \"How much?\" received\nout \"20\" sent\n")
					require.Contains(t, w.summary(), "messages 1, applied 1, waiting 0")
					require.Len(t, w.fb.Sent(), 1)
				})
			})
		}
	}
}

// aDay makes events of all kinds, and returns them in order.
func (w *world) aDay() []*graphtest.Event {
	w.hold()
	ben := w.fb.AddPerson("Ben")
	mid := w.ann.Write(w.page.ID, "How much?")
	time.Sleep(time.Second)
	w.ann.EditMessage(w.page.ID, mid, "How much is it?", 1)
	post := w.page.Post("New shoes")
	time.Sleep(time.Second)
	first := w.ann.Comment(post, "Price please")
	time.Sleep(time.Second)
	w.ann.Comment(first, "Anybody?")
	time.Sleep(time.Second)
	w.page.Comment(first, "20")
	ben.Comment(first, "Thanks, I wondered too")
	w.page.WriteInInbox(w.ann, "20 as well")
	time.Sleep(time.Second)
	w.fb.EditText(first, "Price, please")
	w.ann.Read(w.page.ID)
	second := ben.Comment(post, "Price in red?")
	time.Sleep(time.Second)
	w.fb.Remove(second)
	w.ann.React(w.page.ID, mid, "love")
	return w.fb.Take()
}

// whole is all that there is in the end.
func (w *world) whole() string {
	var out []string
	for _, c := range w.conversations() {
		line := fmt.Sprintf("%s ticket %t:", c.Key, c.Ticket != "")
		for _, m := range w.messages(ticket.MessageFilter{Conversation: c.ID}) {
			line += fmt.Sprintf(" %s %q %s %t;", m.Direction, m.Text, m.State, m.RedactedAt.IsZero())
		}
		out = append(out, line)
	}
	slices.Sort(out)
	l := w.ledger()
	return fmt.Sprintf("%q messages %d, applied %d, waiting %d, ignored %v", out, l.Messages, l.Applied, l.Waiting, l.Ignored)
}

func TestEverySplitOverPostsAndEntriesEndsAlike(t *testing.T) {
	t.Parallel()
	rules := facebook.Rules{Messages: true, Posts: facebook.Relevant, Comments: true, Keywords: []string{"price"}}
	var all consensus
	check := func(t *testing.T, deliver func(w *world, events []*graphtest.Event)) {
		t.Helper()
		inWorld(t, graphtest.Options{}, rules, func(w *world) {
			deliver(w, w.aDay())
			time.Sleep(3 * time.Hour)
			all.agree(w.t, w.whole())
		})
	}
	t.Run("one each", func(t *testing.T) {
		check(t, func(w *world, events []*graphtest.Event) {
			for _, e := range events {
				w.post(e)
				w.settle()
			}
		})
	})
	// A split is a set of the places between events where a POST ends: all of
	// them at a time would be many, so that seeded ones stand for them.
	for seed := range 60 {
		t.Run(fmt.Sprint("split ", seed), func(t *testing.T) {
			check(t, func(w *world, events []*graphtest.Event) {
				rng := rand.New(rand.NewPCG(uint64(seed), 2))
				if seed%3 == 2 { // and in any order
					rng.Shuffle(len(events), func(i, j int) { events[i], events[j] = events[j], events[i] })
				}
				for len(events) > 0 {
					n := 1 + rng.IntN(len(events))
					w.post(events[:n]...)
					if rng.IntN(2) == 0 {
						w.settle()
					}
					events = events[n:]
				}
			})
		})
	}
	t.Run("all in one", func(t *testing.T) {
		check(t, func(w *world, events []*graphtest.Event) { w.post(events...) })
	})
}

// gaps calls f with every way to go from one to the next of n+1 events: within an
// entry, to the next entry, or to the next POST.
func gaps(n int, f func(how []int)) {
	how := make([]int, n)
	for {
		f(slices.Clone(how))
		i := 0
		for ; i < n && how[i] == 2; i++ {
			how[i] = 0
		}
		if i == n {
			return
		}
		how[i]++
	}
}

// bodies are the POSTs with the events, split as how says.
func (w *world) bodies(events []*graphtest.Event, how []int) [][]byte {
	w.t.Helper()
	type object = map[string]json.RawMessage
	encode := func(v any) json.RawMessage {
		b, err := json.Marshal(v)
		require.NoError(w.t, err)
		return b
	}
	posts := [][]object{{}}
	for i, e := range events {
		var body struct{ Entry []object }
		require.NoError(w.t, json.Unmarshal(w.fb.Body(e), &body))
		entry, post := body.Entry[0], &posts[len(posts)-1]
		switch {
		case i == 0 || how[i-1] == 1:
			*post = append(*post, entry)
		case how[i-1] == 2:
			posts = append(posts, []object{entry})
		default:
			last := (*post)[len(*post)-1]
			var list, more []json.RawMessage
			if have := last[e.Source]; have != nil {
				require.NoError(w.t, json.Unmarshal(have, &list))
			}
			require.NoError(w.t, json.Unmarshal(entry[e.Source], &more))
			last[e.Source] = encode(append(list, more...))
		}
	}
	var out [][]byte
	for _, p := range posts {
		out = append(out, encode(object{"object": json.RawMessage(`"page"`), "entry": encode(p)}))
	}
	return out
}

func TestEverySplitOfFiveEventsEndsAlike(t *testing.T) {
	t.Parallel()
	rules := facebook.Rules{Messages: true, Posts: facebook.Relevant, Comments: true, Keywords: []string{"price"}}
	var all consensus
	count := 0
	gaps(4, func(how []int) {
		count++
		t.Run(fmt.Sprint(how), func(t *testing.T) {
			inWorld(t, graphtest.Options{}, rules, func(w *world) {
				post := w.page.Post("New shoes")
				w.settle()
				w.hold()
				w.ann.Write(w.page.ID, "Hello")
				first := w.ann.Comment(post, "Price, please")
				time.Sleep(time.Second)
				w.page.WriteInInbox(w.ann, "How can we help?")
				w.ann.Comment(first, "Anybody?")
				time.Sleep(time.Second)
				w.fb.EditText(first, "The price, please")
				events := w.fb.Take()
				require.Len(t, events, 5)
				for _, b := range w.bodies(events, how) {
					status, err := w.fb.Post(w.ctx, b)
					require.NoError(t, err)
					require.Equal(t, http.StatusOK, status)
				}
				time.Sleep(2 * time.Hour)
				require.Equal(t, int64(5), w.ledger().Messages+w.ledger().Applied)
				all.agree(t, w.whole())
			})
		})
	})
	require.Equal(t, 81, count)
}
