package facebook_test

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

func TestWhatTheAdminCommentsElsewhereShowsAtOnce(t *testing.T) {
	inVariants(t, everything, func(w *world) {
		t := w.t
		first := w.ann.Comment(w.page.Post("New shoes"), "How much?")
		w.settle()
		w.page.Comment(first, "20")
		w.settle()
		require.Equal(t, []string{"in: How much?", "out: 20"}, texts(w.timeline(w.only().ID)))
		// An answer of ours that is through holds nothing up.
		require.Equal(t, ticket.StateSent, w.reply(w.only().ID, "20, as said").State)
		w.page.Comment(first, "and it is the last pair")
		w.settle()
		require.Len(t, w.timeline(w.only().ID), 4)
		require.Zero(t, w.ledger().Waiting)
	})
}

func TestWhatTheAdminCommentsWaitsOnlyForAnswersUnderTheSamePost(t *testing.T) {
	inWorld(t, graphtest.Options{}, everything, func(w *world) {
		t := w.t
		ben := w.fb.AddPerson("Ben")
		shoes, hats := w.page.Post("New shoes"), w.page.Post("New hats")
		one := w.ann.Comment(shoes, "How much?")
		two := ben.Comment(shoes, "Which sizes?")
		three := ben.Comment(hats, "And hats?")
		w.settle()
		tickets := map[string]ticket.TicketID{}
		for _, tk := range w.tickets() {
			tickets[tk.Subject] = tk.ID
		}
		release := make(chan struct{})
		w.fb.Fail(graphtest.Fault{Path: one + "/comments", Method: http.MethodPost, Before: func() { <-release }})
		m, err := w.desk.Reply(w.ctx, tickets["How much?"], ticket.Draft{By: "an", Text: "20"})
		require.NoError(t, err)
		w.settle() // our comment is there, and has come back; its answer has not
		w.page.Comment(two, "38 to 44")
		w.page.Comment(three, "Tomorrow")
		w.settle()
		require.Equal(t, []string{"in: And hats?", "out: Tomorrow"}, texts(w.timeline(tickets["And hats?"])), "another post")
		require.Equal(t, []string{"in: Which sizes?"}, texts(w.timeline(tickets["Which sizes?"])), "it may be ours, for all that is known")
		require.Equal(t, []string{"in: How much?", "out: 20"}, texts(w.timeline(tickets["How much?"])))
		close(release)
		time.Sleep(20 * time.Second) // less than the bound
		require.Equal(t, []string{"in: Which sizes?", "out: 38 to 44"}, texts(w.timeline(tickets["Which sizes?"])))
		require.Equal(t, []string{"in: How much?", "out: 20"}, texts(w.timeline(tickets["How much?"])))
		require.Equal(t, ticket.StateSent, w.message(m.ID).State)
		require.Zero(t, w.ledger().Waiting)
	})
}

func TestOursAndTheAdminsAreToldApartInEveryOrder(t *testing.T) {
	t.Parallel()
	var all consensus
	permutations(3, func(order []int) {
		for _, same := range []bool{false, true} {
			t.Run(fmt.Sprint(order, same), func(t *testing.T) {
				inWorld(t, graphtest.Options{}, everything, func(w *world) {
					first := w.ann.Comment(w.page.Post("New shoes"), "How much?")
					w.settle()
					w.hold()
					release := make(chan struct{})
					w.fb.Fail(graphtest.Fault{Path: "/comments", Method: http.MethodPost, Before: func() { <-release }})
					_, err := w.desk.Reply(w.ctx, w.only().ID, ticket.Draft{By: "an", Text: "20"})
					require.NoError(t, err)
					w.settle()
					text := "21"
					if same {
						text = "20"
					}
					w.page.Comment(first, text)
					events := w.fb.Take()
					require.Len(t, events, 2)
					for _, i := range order {
						if i == 2 {
							close(release)
						} else {
							w.post(events[i])
							w.post(events[i])
						}
						w.settle()
					}
					time.Sleep(2 * time.Minute)
					require.Equal(t, []string{"in: How much?", "out: 20", "out: " + text}, texts(w.timeline(w.only().ID)))
					l := w.ledger()
					all.agree(t, fmt.Sprint(l.Messages, l.Applied, l.Waiting, l.Ignored))
				})
			})
		}
	})
}

func TestAnAnswerThatWasCutOffHoldsTheAdminsCommentsForAShortTimeOnly(t *testing.T) {
	inWorld(t, graphtest.Options{}, everything, func(w *world) {
		t := w.t
		first := w.ann.Comment(w.page.Post("New shoes"), "How much?")
		w.settle()
		w.fb.Fail(graphtest.Fault{Path: "/comments", Method: http.MethodPost, Lost: true}, graphtest.Fault{Path: "/comments", Method: http.MethodGet, Status: 500, Times: -1})
		m := w.reply(w.only().ID, "20")
		w.page.Comment(first, "We have more sizes")
		w.settle()
		require.Len(t, w.timeline(w.only().ID), 2)
		time.Sleep(3 * time.Minute)
		require.Len(t, w.timeline(w.only().ID), 3)
		require.Equal(t, ticket.StateUncertain, w.message(m.ID).State)
		_, err := w.desk.Resolve(w.ctx, ticket.Agent("an"), m.ID, ticket.AsFailed)
		require.NoError(t, err)
		w.page.Comment(first, "And colours")
		w.settle()
		require.Len(t, w.timeline(w.only().ID), 4, "a person said what became of it: nothing is on its way")
	})
}
