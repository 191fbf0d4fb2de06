package facebook_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// notices is what the portal itself sends by.
type notices struct {
	mu sync.Mutex
	to []string
}

func (*notices) Info() channel.Info {
	return channel.Info{Address: "sys@portal.example", Scheme: "mailto", Mail: true, CanSend: true}
}

func (n *notices) Send(_ context.Context, out *channel.Outbound) (channel.Receipt, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.to = append(n.to, out.To[0].Address)
	return channel.Receipt{}, nil
}

func (n *notices) seen() []string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return slices.Clone(n.to)
}

// inOffice is inWorld with three agents in the Page's queue, and notices.
func inOffice(t *testing.T, rules facebook.Rules, s ticket.Settings, f func(w *world, mails *notices)) {
	t.Helper()
	inWorld(t, graphtest.Options{}, rules, func(w *world) {
		mails := &notices{}
		w.stop()
		w.cfg.System = mails
		w.open()
		var all []routing.AgentID
		for _, id := range []routing.AgentID{"an", "bo", "chi"} {
			require.NoError(w.t, w.desk.PutAgent(w.ctx, routing.Agent{ID: id, Name: string(id), Email: string(id) + "@shop.example"}))
			all = append(all, id)
		}
		require.NoError(w.t, w.desk.PutQueue(w.ctx, routing.Queue{ID: "q", Name: "Q", Agents: all}))
		s.Queue = "q"
		_, err := w.desk.Update(w.ctx, w.ch.ID, ticket.ChannelPatch{Settings: &s})
		require.NoError(w.t, err)
		w.settle()
		f(w, mails)
	})
}

// writers are new customers who write, and whose work it becomes.
func (w *world) writers(n int) map[routing.AgentID]int {
	w.t.Helper()
	have := len(w.conversations())
	for i := range n {
		w.fb.AddPerson(fmt.Sprint("Customer ", i)).Write(w.page.ID, "Hello")
	}
	w.settle()
	out := map[routing.AgentID]int{}
	for _, c := range w.conversations() {
		owner := c.Assignee
		for _, tk := range w.tickets() {
			if tk.ID == c.Ticket {
				owner = tk.Assignee
			}
		}
		out[owner]++
	}
	require.Len(w.t, w.conversations(), have+n)
	return out
}

func (w *world) online(ids ...routing.AgentID) {
	w.t.Helper()
	for _, id := range ids {
		require.NoError(w.t, w.desk.SetPresence(w.ctx, id, routing.Online, 0))
	}
	w.settle()
}

func TestAPagesWorkGoesToOnlineAgentsFirstAndElseToAnyOfTheQueue(t *testing.T) {
	for _, rules := range []facebook.Rules{{Messages: true}, {}} { // tickets, and conversations without one
		for _, when := range []routing.WhenNoneOnline{"", routing.AnyAgent} {
			t.Run(fmt.Sprint(rules.Messages, when), func(t *testing.T) {
				inOffice(t, rules, ticket.Settings{PreferOnline: true, WhenNoneOnline: when}, func(w *world, _ *notices) {
					got := w.writers(30)
					require.Len(w.t, got, 3, "any agent: %v", got)
					require.Zero(w.t, got[""])
					before := got["chi"]
					w.online("chi")
					require.Equal(w.t, before+10, w.writers(10)["chi"])
				})
			})
		}
	}
}

func TestAPagesWorkWaitsForAnOnlineAgentIfSoSet(t *testing.T) {
	inOffice(t, facebook.Rules{Messages: true}, ticket.Settings{PreferOnline: true, WhenNoneOnline: routing.Wait}, func(w *world, mails *notices) {
		require.Equal(w.t, map[routing.AgentID]int{"": 3}, w.writers(3))
		w.online("bo")
		require.Equal(w.t, map[routing.AgentID]int{"bo": 3}, w.writers(0))
		require.Empty(w.t, mails.seen(), "nobody is to be told by mail")
	})
}

func TestTheSettingsOfAPageTakeEffectAtOnce(t *testing.T) {
	inOffice(t, facebook.Rules{Messages: true}, ticket.Settings{PreferOnline: true}, func(w *world, mails *notices) {
		t := w.t
		w.online("an")
		require.Equal(t, map[routing.AgentID]int{"an": 1}, w.writers(1))
		require.Empty(t, mails.seen())
		update := func(s ticket.Settings) {
			_, err := w.desk.Update(w.ctx, w.ch.ID, ticket.ChannelPatch{Settings: &s})
			require.NoError(t, err)
			w.settle()
		}
		update(ticket.Settings{Queue: "q", PreferOnline: true, NotifyAgent: true})
		w.writers(1)
		require.Equal(t, []string{"an@shop.example"}, mails.seen())
		update(ticket.Settings{PreferOnline: true})
		require.Equal(t, 1, w.writers(1)[""], "of no queue, it is nobody's")
		update(ticket.Settings{Queue: "q", Inactive: true})
		have := len(w.conversations())
		w.ann.Write(w.page.ID, "Hello")
		w.settle()
		require.Len(t, w.conversations(), have)
		require.EqualValues(t, 1, w.ledger().Ignored[channel.CauseInactive])
	})
}

// explained is the trace of a message, a step a line.
func (w *world) explained(id ticket.MessageID) string {
	w.t.Helper()
	why, err := w.desk.Explain(w.ctx, id)
	require.NoError(w.t, err)
	var out strings.Builder
	for _, d := range why {
		for _, s := range d.Steps {
			fmt.Fprintf(&out, "%s %s: %s: %s\n", d.Kind, s.Rule, s.Outcome, s.Detail)
		}
	}
	return out.String()
}

func TestWhyAPagesItemBecameWhatItDidCanBeRead(t *testing.T) {
	rules := facebook.Rules{Messages: true, Posts: facebook.Relevant, Comments: true, Keywords: []string{"price"}}
	inOffice(t, rules, ticket.Settings{PreferOnline: true}, func(w *world, _ *notices) {
		t := w.t
		w.online("bo")
		post := w.page.Post("New shoes")
		first := w.ann.Comment(post, "What is the price?")
		w.settle()
		reply := w.ann.Comment(first, "Hello?")
		w.ann.Comment(post, "Nice")
		w.ann.Write(w.page.ID, "Hi there")
		w.page.Comment(first, "20")
		w.settle()
		why := map[string]string{}
		for _, tk := range w.tickets() {
			for _, m := range w.timeline(tk.ID) {
				why[m.Text] = w.explained(m.ID)
			}
		}
		require.Contains(t, why["What is the price?"], "it has a keyword")
		require.Contains(t, why["What is the price?"], "auto_reply: no")
		require.Contains(t, why["What is the price?"], "bo", "the agent")
		require.Contains(t, why["Hello?"], "the comment that it replies to has a keyword")
		require.Contains(t, why["Hello?"], "conversation", reply)
		require.Contains(t, why["Hi there"], "messages make tickets")
		require.Contains(t, why["20"], "the Page's own comments make no tickets")
		ignored, _, err := w.cfg.Store.Items(w.ctx, ticket.ItemFilter{Channel: w.ch.ID, Disposition: ticket.DisposedIgnored}, ticket.Page{})
		require.NoError(t, err)
		var reasons []string
		for _, i := range ignored {
			reasons = append(reasons, string(i.Cause)+": "+i.Detail)
		}
		require.Contains(t, reasons, "rule: it has no keyword")
		require.Contains(t, reasons, "rule: the Page's own posts make no tickets")
	})
}

// Issue: a reply under a comment that already is a ticket joins it whatever the
// keyword rule says; several people under one post never mix.
func TestAReplyUnderATicketedCommentIsTakenInWhoeverWritesIt(t *testing.T) {
	rules := facebook.Rules{Posts: facebook.Relevant, Comments: true, Keywords: []string{"price"}}
	inVariants(t, rules, func(w *world) {
		t := w.t
		quy := w.fb.AddPerson("Quy")
		post := w.page.Post("New shoes")
		first := w.ann.Comment(post, "What is the price?")
		plain := w.ann.Comment(post, "Nice")
		own := w.page.Comment(post, "Ask us for the price")
		w.settle()
		quy.Comment(first, "I would like to know, too")
		quy.Comment(plain, "So I think")
		quy.Comment(own, "And the size?")
		w.settle()
		require.Len(t, w.tickets(), 2)
		// Whom the Page answers in a thread of several people is not told in all forms
		// of events; an agent answers whom they mean.
		for _, tk := range w.tickets() {
			if w.timeline(tk.ID)[0].Text == "I would like to know, too" {
				require.Equal(t, ticket.StateSent, w.reply(tk.ID, "20, for both of you").State)
			}
		}
		sent := w.fb.Sent()
		require.Len(t, sent, 1)
		require.Equal(t, first, sent[0].Recipient, "answers stand under the head of the thread")
		texts := map[string][]string{}
		for _, tk := range w.tickets() {
			for _, m := range w.timeline(tk.ID) {
				texts[string(tk.Contact)] = append(texts[string(tk.Contact)], m.Text)
			}
		}
		all := make([][]string, 0, len(texts))
		for _, list := range texts {
			all = append(all, list)
		}
		require.ElementsMatch(t, [][]string{{"What is the price?"}, {"I would like to know, too", "20, for both of you"}}, all)
	})
}
