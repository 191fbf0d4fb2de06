package facebook_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

func TestAnOutageIsClosedByABackfill(t *testing.T) {
	inVariants(t, everything, func(w *world) {
		t := w.t
		post := w.page.Post("New shoes")
		w.ann.Write(w.page.ID, "Before")
		first := w.ann.Comment(post, "Before too")
		w.settle()
		time.Sleep(time.Hour)
		w.stop() // the webhook answers 503 meanwhile
		w.hold()
		for i := range 5 {
			w.ann.Write(w.page.ID, []string{"one", "two", "three", "four", "five"}[i])
			time.Sleep(time.Minute)
		}
		w.page.WriteInInbox(w.ann, "From the inbox")
		w.ann.Comment(first, "Anybody?")
		w.page.Comment(first, "Here")
		ben := w.fb.AddPerson("Ben")
		ben.Post(w.page.ID, "A wall post")
		ben.CommentPhoto(post, "a picture", []byte("jpeg"))
		lost := w.fb.Take() // for good
		require.NotEmpty(t, lost)
		w.fb.SubscribePage(w.page.ID, "feed") // and Facebook had ended the rest
		time.Sleep(2 * time.Hour)
		w.open()
		time.Sleep(2 * time.Hour)
		require.Subset(t, w.fb.Subscribed(w.page.ID), facebook.Fields())
		var all []string
		for _, tk := range w.tickets() {
			for _, m := range w.timeline(tk.ID) {
				all = append(all, string(m.Direction)+": "+m.Text)
				require.Equal(t, m.Text != "Before" && m.Text != "Before too", m.Imported, m.Text)
			}
		}
		require.ElementsMatch(t, []string{"in: Before", "in: Before too", "in: one", "in: two", "in: three", "in: four", "in: five", "out: From the inbox",
			"in: Anybody?", "out: Here", "in: A wall post", "in: a picture"}, all)
		before := w.ledger()
		for _, e := range lost { // what Facebook brings after all is known
			w.post(e)
		}
		w.settle()
		after := w.ledger()
		require.Equal(t, before.Messages, after.Messages)
		require.NoError(t, w.desk.Backfill(w.ctx, w.ch.ID, time.Now().Add(-24*time.Hour)))
		w.settle()
		require.Equal(t, before.Messages, w.ledger().Messages, "nor does a second backfill repeat anything")
	})
}

func TestASubscriptionThatFacebookEndedIsRenewedAndTheGapClosed(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		time.Sleep(time.Hour)
		w.fb.SubscribePage(w.page.ID, "mention")
		w.ann.Write(w.page.ID, "Does anybody hear me?")
		time.Sleep(2 * time.Hour)
		require.Equal(t, []string{"in: Does anybody hear me?"}, texts(w.timeline(w.only().ID)))
		w.ann.Write(w.page.ID, "And now?")
		w.settle()
		require.Len(t, w.timeline(w.only().ID), 2)
	})
}

func TestFacebookEndsTheSubscriptionOfAWebhookThatFails(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		w.broken.Store(true)
		w.ann.Write(w.page.ID, "Hello")
		time.Sleep(2 * time.Hour)
		require.Zero(t, w.app.Stats().Posts)
		w.broken.Store(false)
		time.Sleep(3 * time.Hour)
		require.Equal(t, []string{"in: Hello"}, texts(w.timeline(w.only().ID)))
	})
}

func TestWhatComesWhileThePageIsOffIsIgnoredAndCanBeBackfilled(t *testing.T) {
	inVariants(t, facebook.Rules{Messages: true}, func(w *world) {
		t := w.t
		_, err := w.desk.Update(w.ctx, w.ch.ID, ticket.ChannelPatch{Settings: &ticket.Settings{Inactive: true, Queue: "q"}})
		require.NoError(t, err)
		w.settle()
		w.ann.Write(w.page.ID, "Hello")
		time.Sleep(3 * time.Hour)
		require.Zero(t, w.fb.Pending(), "Facebook is told that it was taken")
		require.EqualValues(t, 1, w.ledger().Ignored[channel.CauseInactive])
		_, err = w.desk.Update(w.ctx, w.ch.ID, ticket.ChannelPatch{Settings: &ticket.Settings{Queue: "q"}})
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.Empty(t, w.tickets(), "it starts from now")
		require.NoError(t, w.desk.Backfill(w.ctx, w.ch.ID, time.Now().Add(-12*time.Hour)))
		w.settle()
		require.Equal(t, []string{"in: Hello"}, texts(w.timeline(w.only().ID)), "by choice it continues")
	})
}

func TestABackfillAsksForLessWhenItIsToldTo(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		w.hold()
		for range 30 {
			w.fb.AddPerson("P").Write(w.page.ID, "Hello")
		}
		w.fb.Take()
		w.fb.Fail(graphtest.Fault{Path: "/conversations", Code: 1, Status: 500, Times: 3})
		require.NoError(w.t, w.desk.Backfill(w.ctx, w.ch.ID, time.Now().Add(-time.Hour)))
		w.settle()
		require.Len(w.t, w.tickets(), 30)
	})
}
