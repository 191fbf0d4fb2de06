package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/hosted"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

func TestADeskRunsOnAFilledStore(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	path := filepath.Join(t.TempDir(), "filled.db")
	var out bytes.Buffer
	require.NoError(t, run(ctx, []string{"-store", path, "-tickets", "1000", "-portal", "office"}, &out))
	require.Contains(t, out.String(), "1000 are written")

	db, err := sqlitestore.Open(path)
	require.NoError(t, err)
	defer db.Close()
	store := db.Portal("office")
	desk, err := ticket.New(ticket.Config{Store: store, Connectors: []channel.Connector{&hosted.Server{Domain: domain}}})
	require.NoError(t, err)
	ended := make(chan error, 1)
	go func() { ended <- desk.Run(ctx) }()

	// Every list is read to its end, and they agree with each other.
	messages, in := 0, int64(0)
	statuses, queues, boxes := map[ticket.Status]int{}, map[string]int{}, map[channel.ID]int{}
	load := map[string]int64{}
	all := tickets(t, desk, ticket.TicketFilter{})
	require.Len(t, all, 1000)
	require.EqualValues(t, 1000, all[0].Number, "the newest is the last")
	for _, tk := range all {
		statuses[tk.Status]++
		queues[string(tk.Queue)]++
		boxes[tk.Channel]++
		if tk.Status.Active() && tk.Assignee != "" {
			load["load:"+string(tk.Assignee)]++
		}
		require.Equal(t, tk.Assignee == "", !tk.WaitingSince.IsZero(), "ticket #%d", tk.Number)
		list, next, err := desk.Timeline(ctx, ticket.MessageFilter{Ticket: tk.ID}, ticket.Page{})
		require.NoError(t, err)
		require.Empty(t, next)
		require.Len(t, list, tk.MessageCount)
		require.Equal(t, ticket.In, list[0].Direction)
		for i, m := range list {
			require.Zero(t, i > 0 && m.CreatedAt.Before(list[i-1].CreatedAt))
			if messages++; m.Direction == ticket.In {
				in++
			}
		}
	}
	require.Greater(t, messages, 1300, "some have several messages")
	require.Len(t, statuses, 4)
	require.GreaterOrEqual(t, len(queues), 4)
	require.Len(t, boxes, 3)

	ledger, err := desk.Ledger(ctx, "", time.Time{})
	require.NoError(t, err)
	require.Equal(t, in, ledger.Received)
	require.Equal(t, in, ledger.Messages)
	w := ticket.Want{Now: time.Now()}
	for name := range load {
		w.Counters = append(w.Counters, name)
	}
	snap, err := store.Snapshot(ctx, w)
	require.NoError(t, err)
	require.Equal(t, load, snap.Counters, "agents' loads follow the tickets")

	found, _, err := desk.Search(ctx, "dh00000123", ticket.Page{})
	require.NoError(t, err)
	require.Len(t, found, 1)
	require.EqualValues(t, 124, found[0].Number)
	for _, word := range []string{"the", "không", "não"} {
		n := len(tickets(t, desk, ticket.TicketFilter{}.WithQuery(word)))
		require.Greater(t, n, 100, word)
		require.Less(t, n, 900, word)
	}
	raw, err := desk.Raw(ctx, first1(t, desk, found[0]).ID)
	require.NoError(t, err)
	require.Greater(t, raw.Size(), int64(300))

	replyJoins(t, desk, found[0])
	cancel()
	require.NoError(t, <-ended)
}

// tickets reads a list to its end.
func tickets(t *testing.T, d *ticket.Desk, f ticket.TicketFilter) (all []*ticket.Ticket) {
	t.Helper()
	for p := (ticket.Page{Limit: 200}); ; {
		list, next, err := d.Tickets(t.Context(), f, p)
		require.NoError(t, err)
		if all = append(all, list...); next == "" {
			return all
		}
		p.After = next
	}
}

// first1 returns the ticket's first message.
func first1(t *testing.T, d *ticket.Desk, tk *ticket.Ticket) *ticket.Message {
	t.Helper()
	list, _, err := d.Timeline(t.Context(), ticket.MessageFilter{Ticket: tk.ID}, ticket.Page{Limit: 1})
	require.NoError(t, err)
	return list[0]
}

// replyJoins shows that the customer's next mail finds the conversation by the
// keys that were filled in.
func replyJoins(t *testing.T, d *ticket.Desk, tk *ticket.Ticket) {
	t.Helper()
	m := first1(t, d, tk)
	conv, err := d.Conversation(t.Context(), tk.Conversation)
	require.NoError(t, err)
	require.NoError(t, d.Accept(t.Context(), &channel.Item{Channel: tk.Channel, Keys: []channel.Key{"content:reply"}, Message: &channel.Message{
		From: m.From, To: m.To, Subject: "Re: " + m.Subject, Text: "One more thing.", ExternalID: "reply@customer.example",
		Evidence: channel.Evidence{IDs: []string{m.ExternalIDs[0]}}}}))
	again, err := d.Conversation(t.Context(), tk.Conversation)
	require.NoError(t, err)
	require.Equal(t, conv.MessageCount+1, again.MessageCount)
	require.Equal(t, m.Contact, again.Contact)

	// What came once is known for ever.
	before, err := d.Ledger(t.Context(), "", time.Time{})
	require.NoError(t, err)
	require.NoError(t, d.Accept(t.Context(), &channel.Item{Channel: tk.Channel, Keys: []channel.Key{channel.Key("content:" + m.ExternalIDs[0])},
		Message: &channel.Message{From: m.From, Text: "again"}}))
	after, err := d.Ledger(t.Context(), "", time.Time{})
	require.NoError(t, err)
	require.Equal(t, before.Duplicates+1, after.Duplicates)
}

func TestAStoppedFillGoesOn(t *testing.T) {
	t.Parallel()
	s := memstore.New().Portal("main")
	var out bytes.Buffer
	require.NoError(t, fill(t.Context(), s, 1000, 7, &out))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	require.ErrorIs(t, fill(ctx, s, 2000, 7, &out), context.Canceled)
	require.NoError(t, fill(t.Context(), s, 1500, 7, &out))
	require.NoError(t, fill(t.Context(), s, 2000, 7, &out), "nothing is missing")
	list, _, err := s.Tickets(t.Context(), ticket.TicketFilter{}, ticket.Page{Limit: 1})
	require.NoError(t, err)
	require.EqualValues(t, 2000, list[0].Number)
	require.Contains(t, out.String(), "0 of 2000 tickets were missing")
}

func TestTheSameSeedMakesTheSameTickets(t *testing.T) {
	t.Parallel()
	boxes := [len(languages)]mailbox{{"a", "a@x"}, {"b", "b@x"}, {"c", "c@x"}}
	made := func(seed uint64, number int) string {
		doc, err := json.Marshal(newBatch(seed, number, boxes).changes(seed))
		require.NoError(t, err)
		return string(doc)
	}
	one, again := made(1, 0), made(1, 0)
	require.Equal(t, one, again)
	require.NotEqual(t, made(1, 0), made(2, 0))
	require.NotEqual(t, made(1, 0), made(1, 1))
}

func TestBatchesAreJoinedInTheOrderOfTheirKeys(t *testing.T) {
	t.Parallel()
	boxes := [len(languages)]mailbox{{"a", "a@x"}, {"b", "b@x"}, {"c", "c@x"}}
	one, two := newBatch(1, 0, boxes).changes(1), newBatch(1, 1, boxes).changes(1)
	both := joined(1, []int{0, 1}, boxes)
	require.Len(t, both.Tickets, 2*batchSize)
	require.Equal(t, two.At, both.At)
	want := append(slices.Clone(one.Claims), two.Claims...)
	slices.SortFunc(want, func(a, b ticket.KeyClaim) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	require.True(t, slices.Equal(want, both.Claims))
}

func TestBadFlagsAreRefused(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"-tickets", "-1"}, {"more"}, {"-cache", "0"}, {"-store", ""}, {"-store", filepath.Join(t.TempDir(), "no", "folder")}} {
		require.Error(t, run(t.Context(), args, new(bytes.Buffer)), fmt.Sprint(args))
	}
}

func TestRareWordsAreDistinct(t *testing.T) {
	t.Parallel()
	for i := range languages {
		seen := map[string]bool{}
		for rank := range uint64(vocabulary) {
			if w := languages[i].word(rank); rank >= uint64(len(languages[i].common)) {
				require.False(t, seen[w], "%s, rank %d", w, rank)
				seen[w] = true
			}
		}
	}
}
