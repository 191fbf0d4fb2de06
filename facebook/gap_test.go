package facebook_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

// watchedStore notes the bodies that are put into a store, and fails on demand.
type watchedStore struct {
	ticket.Store

	down atomic.Bool
	mu   sync.Mutex
	ids  []ticket.BodyID
}

func (s *watchedStore) Commit(ctx context.Context, c *ticket.Changes) error {
	if s.down.Load() {
		return errors.New("the store is down")
	}
	s.mu.Lock()
	for _, b := range c.Bodies {
		s.ids = append(s.ids, b.ID)
	}
	s.mu.Unlock()
	return s.Store.Commit(ctx, c)
}

// watch puts a watchedStore before the world's store.
func (w *world) watch() *watchedStore {
	w.t.Helper()
	w.stop()
	s := &watchedStore{Store: w.cfg.Store}
	w.cfg.Store = s
	w.open()
	w.settle()
	return s
}

func TestWhatFacebookGaveUpWhileTheStoreWasDownIsFetched(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		s := w.watch()
		time.Sleep(time.Hour)
		s.down.Store(true)
		w.hold()
		w.ann.Write(w.page.ID, "Does anybody hear me?")
		status, err := w.fb.Post(w.ctx, w.fb.Body(w.fb.Take()...)) // and Facebook gives it up
		require.NoError(w.t, err)
		require.Equal(w.t, 503, status)
		s.down.Store(false)
		time.Sleep(2 * time.Hour)
		require.Equal(w.t, []string{"in: Does anybody hear me?"}, texts(w.timeline(w.only().ID)))
	})
}

func TestWhatFacebookGaveUpWhileNothingGotThroughIsFetched(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		time.Sleep(time.Hour)
		w.hold()
		w.fb.Fail(graphtest.Fault{Down: true, Times: -1}) // the network between, both ways
		w.ann.Write(w.page.ID, "Does anybody hear me?")
		time.Sleep(3 * time.Hour)
		w.fb.Take()
		w.fb.Heal()
		time.Sleep(2 * time.Hour)
		require.Equal(w.t, []string{"in: Does anybody hear me?"}, texts(w.timeline(w.only().ID)))
	})
}

func TestOnePostThatCannotBeReadHidesNothingElseFromABackfill(t *testing.T) {
	inWorld(t, graphtest.Options{}, everything, func(w *world) {
		first, second := w.page.Post("First"), w.page.Post("Second")
		w.settle()
		w.hold()
		w.ann.Comment(first, "To the first")
		w.ann.Comment(second, "To the second")
		w.ann.Write(w.page.ID, "Hello")
		w.fb.Take()
		w.fb.Fail(graphtest.Fault{Path: first + "/comments", Code: 100, Times: -1})
		require.NoError(w.t, w.desk.Backfill(w.ctx, w.ch.ID, time.Now().Add(-time.Hour)))
		w.settle()
		require.Len(w.t, w.tickets(), 2)
		w.ann.Comment(second, "Once more")
		w.fb.Take()
		w.fb.Fail(graphtest.Fault{Path: "/conversations", Code: 200, Times: -1})
		require.Error(w.t, w.desk.Backfill(w.ctx, w.ch.ID, time.Now().Add(-time.Hour)))
		w.settle()
		require.Len(w.t, w.tickets(), 3, "comments do not need what messages need")
	})
}

func TestHidingAndShowingEndAlikeInAnyOrder(t *testing.T) {
	permutations(3, func(order []int) {
		t.Run("", func(t *testing.T) {
			inWorld(t, graphtest.Options{}, everything, func(w *world) {
				w.hold()
				first := w.ann.Comment(w.page.Post("New shoes"), "How much?")
				var events []*graphtest.Event
				for _, hidden := range []bool{true, false, true} {
					time.Sleep(time.Minute)
					w.fb.Hide(first, hidden)
				}
				for _, e := range w.fb.Take() {
					if e.Body["verb"] == "add" {
						w.post(e)
					} else {
						events = append(events, e)
					}
				}
				require.Len(w.t, events, 3)
				bodies := [][]byte{}
				for i, e := range events {
					b := w.fb.Body(e)
					// entry.time says when it was sent, which the fake takes from now.
					var m map[string]any
					require.NoError(w.t, json.Unmarshal(b, &m))
					m["entry"].([]any)[0].(map[string]any)["time"] = time.Now().Unix() + int64(i)
					b, err := json.Marshal(m)
					require.NoError(w.t, err)
					bodies = append(bodies, b)
				}
				for _, i := range order {
					_, err := w.fb.Post(w.ctx, bodies[i])
					require.NoError(w.t, err)
					w.settle()
				}
				require.True(w.t, w.timeline(w.only().ID)[0].Hidden, "%v", order)
			})
		})
	})
}

func TestATokenThatWasGivenWithoutItsPersonIsForgottenToo(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{}, func(w *world) {
		mai := w.fb.AddPerson("Mai")
		second := w.fb.AddPage("Second")
		ch, err := w.desk.Connect(w.ctx, facebook.Page{ID: second.ID, Token: mai.PageToken(second.ID)}, ticket.Settings{Queue: "q"})
		require.NoError(w.t, err)
		w.settle()
		w.stop()
		w.open() // it is known after a restart, too
		w.settle()
		require.Equal(w.t, 200, post(w.app.DeleteData("https://portal.example/status"), url.Values{"signed_request": {mai.SignedRequest()}}).Code)
		w.settle()
		ch, err = w.desk.Channel(w.ctx, ch.ID)
		require.NoError(w.t, err)
		require.Equal(w.t, channel.StateNeedsAuthorization, ch.Status.State)
	})
}

func TestNothingIsLeftOfWhatIsDeleted(t *testing.T) {
	rules := facebook.Rules{Messages: true, Posts: facebook.Relevant, Comments: true, Keywords: []string{"price"}}
	inWorld(t, graphtest.Options{}, rules, func(w *world) {
		s := w.watch()
		post := w.page.Post("New shoes")
		w.settle()
		mid := w.ann.Write(w.page.ID, "secret one", w.fb.File("file", "secret.pdf", "application/pdf", []byte("secret two")))
		w.settle()
		w.ann.EditMessage(w.page.ID, mid, "secret three", 1)
		w.page.WriteInInbox(w.ann, "secret four")
		w.reply(w.only().ID, "secret five")
		w.ann.Comment(post, "secret six, not of the keyword")
		first := w.ann.Comment(post, "secret price")
		w.settle()
		w.fb.EditText(first, "secret price, again")
		w.settle()
		w.page.Comment(first, "secret seven")
		time.Sleep(2 * time.Hour)
		require.Len(w.t, w.tickets(), 2)
		for _, tk := range w.tickets() {
			require.NoError(w.t, w.desk.DeleteTicket(w.ctx, ticket.Agent("an"), tk.ID))
		}
		w.settle()
		s.mu.Lock()
		defer s.mu.Unlock()
		snap, err := s.Snapshot(w.ctx, ticket.Want{Bodies: s.ids})
		require.NoError(w.t, err)
		require.NotEmpty(w.t, s.ids)
		var all []string
		for _, b := range snap.Bodies {
			all = append(all, string(b))
		}
		items, _, err := s.Items(w.ctx, ticket.ItemFilter{}, ticket.Page{Limit: 500})
		require.NoError(w.t, err)
		ms, _, err := s.Messages(w.ctx, ticket.MessageFilter{}, ticket.Page{Limit: 500})
		require.NoError(w.t, err)
		for _, v := range []any{items, ms, w.conversations()} {
			b, err := json.Marshal(v)
			require.NoError(w.t, err)
			all = append(all, string(b))
		}
		require.NotContains(w.t, strings.Join(all, "\n"), "secret")
	})
}
