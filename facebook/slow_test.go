package facebook_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

func TestAnEventWaitsForNoOtherConversationsHungMedia(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		w.ann.Write(w.page.ID, "Hello")
		w.settle()
		tk := w.only()
		w.fb.Fail(graphtest.Fault{Path: ".pdf", Delay: time.Hour, Times: -1})
		for i := range 40 {
			w.fb.AddPerson(fmt.Sprint("P", i)).Write(w.page.ID, "See this", w.fb.File("file", "a.pdf", "application/pdf", []byte("x")))
		}
		time.Sleep(30 * time.Second)
		w.ann.Write(w.page.ID, "Are you there?")
		w.settle()
		require.Len(w.t, w.timeline(tk.ID), 2)
		require.Equal(w.t, ticket.StateSent, w.reply(tk.ID, "Yes").State)
		w.fb.Heal()
		time.Sleep(10 * time.Minute)
		require.Len(w.t, w.tickets(), 41)
		require.Zero(w.t, w.ledger().Waiting)
	})
}

func TestFilesThatTakeLongToFetchAreFetchedOnce(t *testing.T) {
	inWorld(t, graphtest.Options{}, facebook.Rules{Messages: true}, func(w *world) {
		slow := graphtest.Fault{Path: ".pdf", Delay: 90 * time.Second, Times: 4}
		w.fb.Fail(slow, graphtest.Fault{Path: ".pdf", Status: 404, Times: -1})
		file := func() map[string]any { return w.fb.File("file", "a.pdf", "application/pdf", []byte("x")) }
		w.ann.Write(w.page.ID, "Four files", file(), file(), file(), file())
		time.Sleep(4*90*time.Second + 5*time.Second)
		ms := w.timeline(w.only().ID)
		require.Len(w.t, ms, 1)
		require.Len(w.t, ms[0].Attachments, 4, "the lease of the work was kept meanwhile: %v", ms[0].Defects)
	})
}
