package sqlitestore

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

func setup(t testing.TB) *Backend {
	t.Helper()
	b, err := Open(filepath.Join(t.TempDir(), "anteroom.db"), Readers(1))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// plans returns SQLite's plans of all statements that f runs on a reader.
func plans(t *testing.T, b *Backend, f func(s ticket.Store)) string {
	t.Helper()
	s := b.Portal("main")
	_, err := s.Ledger(t.Context(), "", "") // opens the reader and finds the portal
	require.NoError(t, err)
	require.Len(t, b.idle, 1)
	c := b.idle[0]
	c.forget()
	f(s)
	var out strings.Builder
	var queries []string
	for query := range c.stmts {
		if !strings.HasPrefix(query, "SELECT") {
			continue
		}
		queries = append(queries, query)
	}
	for _, query := range queries {
		require.NoError(t, c.each(t.Context(), "EXPLAIN QUERY PLAN "+query, make([]any, strings.Count(query, "?")), func(scan func(...any) error) error {
			var id, parent, unused int
			var detail string
			if err := scan(&id, &parent, &unused, &detail); err != nil {
				return err
			}
			fmt.Fprintln(&out, detail)
			return nil
		}))
	}
	return out.String()
}

func TestListsAreRangesOfIndexes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	require.NoError(t, b.Portal("main").Commit(t.Context(), &ticket.Changes{Counts: []ticket.Count{{Name: "n", Add: 1}}}))
	open := []ticket.Status{ticket.Open}
	both := []ticket.Status{ticket.Open, ticket.Pending}
	tickets := func(f ticket.TicketFilter) func(s ticket.Store) {
		return func(s ticket.Store) {
			for _, order := range []ticket.Order{ticket.NewestFirst, ticket.LatestUpdate} {
				f.Order = order
				_, _, err := s.Tickets(t.Context(), f, ticket.Page{})
				require.NoError(t, err)
				list := "tickets"
				if order == ticket.LatestUpdate {
					list = "tickets.updated"
				}
				_, _, err = s.Tickets(t.Context(), f, ticket.Page{After: driver.Place{List: list, At: 1, ID: "x"}.Next()})
				require.NoError(t, err)
			}
		}
	}
	conversations := func(f ticket.ConversationFilter) func(s ticket.Store) {
		return func(s ticket.Store) {
			_, _, err := s.Conversations(t.Context(), f, ticket.Page{})
			require.NoError(t, err)
		}
	}
	for name, tc := range map[string]struct {
		run  func(s ticket.Store)
		want []string
	}{
		"open tickets of a queue": {tickets(ticket.TicketFilter{Queue: "q", Statuses: open}), []string{"tickets_queue (portal=? AND queue=? AND status=?", "tickets_queue_updated (portal=? AND queue=? AND status=?"}},
		"active of a queue":       {tickets(ticket.TicketFilter{Queue: "q", Statuses: both}), []string{"tickets_queue (", "tickets_queue_updated ("}},
		"all tickets of a queue":  {tickets(ticket.TicketFilter{Queue: "q"}), []string{"tickets_queue (", "tickets_queue_updated ("}},
		"unassigned of a queue":   {tickets(ticket.TicketFilter{Queue: "q", Statuses: open, Unassigned: true}), []string{"tickets_queue (", "tickets_queue_updated ("}},
		"all tickets":             {tickets(ticket.TicketFilter{}), []string{"tickets_status (", "tickets_status_updated ("}},
		"of an agent":             {tickets(ticket.TicketFilter{Assignee: "an"}), []string{"tickets_assignee (portal=? AND assignee=? AND status=?", "tickets_assignee_updated (portal=? AND assignee=? AND status=?"}},
		"of an agent in a queue":  {tickets(ticket.TicketFilter{Assignee: "an", Queue: "q", Channel: "c"}), []string{"tickets_assignee (", "tickets_assignee_updated ("}},
		"of a channel":            {tickets(ticket.TicketFilter{Channel: "c"}), []string{"tickets_channel (portal=? AND channel=? AND status=?", "tickets_channel_updated (portal=? AND channel=? AND status=?"}},
		"unassigned":              {tickets(ticket.TicketFilter{Unassigned: true}), []string{"tickets_status (", "tickets_unowned (portal=? AND status=?", "tickets_unowned_updated (portal=? AND status=?"}},
		"all unassigned of a queue": {tickets(ticket.TicketFilter{Queue: "q", Unassigned: true}), []string{"tickets_queue (", "tickets_unowned_queue (portal=? AND queue=? AND status=?",
			"tickets_unowned_queue_updated (portal=? AND queue=? AND status=?"}},
		"open tickets": {tickets(ticket.TicketFilter{Statuses: open}), []string{"tickets_status (", "tickets_status_updated ("}},
		"messages": {func(s ticket.Store) {
			_, _, err := s.Messages(t.Context(), ticket.MessageFilter{Ticket: "t"}, ticket.Page{})
			require.NoError(t, err)
			_, _, err = s.Messages(t.Context(), ticket.MessageFilter{Conversation: "c", NewestFirst: true}, ticket.Page{})
			require.NoError(t, err)
		}, []string{"messages_ticket (portal=? AND ticket=?", "messages_conversation (portal=? AND conversation=?"}},
		"conversations":                  {conversations(ticket.ConversationFilter{}), []string{"conversations"}},
		"conversations by update":        {conversations(ticket.ConversationFilter{Order: ticket.LatestUpdate}), []string{"conversations_updated ("}},
		"conversations of a ticket":      {conversations(ticket.ConversationFilter{Ticket: "t"}), []string{"conversations_ticket ("}},
		"conversations of a contact":     {conversations(ticket.ConversationFilter{Contact: "c"}), []string{"conversations_contact ("}},
		"conversations of a queue":       {conversations(ticket.ConversationFilter{Queue: "q"}), []string{"conversations_queue ("}},
		"conversations without a ticket": {conversations(ticket.ConversationFilter{WithoutTicket: true}), []string{"conversations_lone ("}},
		"waiting": {func(s ticket.Store) {
			_, err := s.Waiting(t.Context(), "q", 10)
			require.NoError(t, err)
		}, []string{"tickets_waiting (portal=? AND queue=? AND waiting", "conversations_waiting (portal=? AND queue=? AND waiting"}},
		"items": {func(s ticket.Store) {
			for _, f := range []ticket.ItemFilter{{Channel: "c"}, {Disposition: "d"}, {Message: "m"}, {Channel: "c", Disposition: "d"}} {
				_, _, err := s.Items(t.Context(), f, ticket.Page{})
				require.NoError(t, err)
			}
		}, []string{"items_channel (", "items_disposition (", "items_message (", "items_channel_disposition ("}},
		"decisions": {func(s ticket.Store) {
			for _, f := range []ticket.DecisionFilter{{Ticket: "t"}, {Conversation: "c"}, {Message: "m"}} {
				_, err := s.Decisions(t.Context(), f, 5)
				require.NoError(t, err)
			}
		}, []string{"decisions_ticket (", "decisions_conversation (", "decisions_message ("}},
		"due work": {func(s ticket.Store) {
			_, _, err := s.Claim(t.Context(), ticket.Claim{Lane: "l", Owner: "a", Now: time.Now(), Until: time.Now(), Limit: 1})
			require.NoError(t, err)
		}, []string{"works_due (portal=? AND lane=?"}},
		"events": {func(s ticket.Store) {
			_, err := s.Events(t.Context(), ticket.EventFilter{After: 5}, 10)
			require.NoError(t, err)
		}, []string{"INTEGER PRIMARY KEY (rowid>? AND rowid<?)"}},
		"the newest event": {func(s ticket.Store) {
			_, err := s.Events(t.Context(), ticket.EventFilter{Newest: true}, 1)
			require.NoError(t, err)
		}, []string{"INTEGER PRIMARY KEY (rowid>? AND rowid<?)"}},
		"events of a ticket": {func(s ticket.Store) {
			_, err := s.Events(t.Context(), ticket.EventFilter{Ticket: "t", After: 5}, 10)
			require.NoError(t, err)
		}, []string{"events_ticket (ticket=? AND rowid>? AND rowid<?)"}},
		"the newest events of a ticket": {func(s ticket.Store) {
			_, err := s.Events(t.Context(), ticket.EventFilter{Ticket: "t", Newest: true}, 10)
			require.NoError(t, err)
		}, []string{"events_ticket (ticket=? AND rowid>? AND rowid<?)"}},
	} {
		plan := plans(t, b, tc.run)
		for _, want := range tc.want {
			require.Contains(t, plan, want, name)
		}
		require.NotContains(t, plan, "TEMP B-TREE", name)
		require.NotContains(t, plan, "SCAN tickets\n", name)
	}
}

func TestClaimingIsARangeOfAnIndex(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var a, parent, unused int
	var details []string
	require.NoError(t, b.writer.c.each(t.Context(), `EXPLAIN QUERY PLAN SELECT id FROM works WHERE portal = 1 AND lane = '' AND parked = 0
		AND not_before <= 5 AND lease <= 5 ORDER BY not_before, id LIMIT 3`, nil, func(scan func(...any) error) error {
		details = append(details, "")
		return scan(&a, &parent, &unused, &details[len(details)-1])
	}))
	require.Len(t, details, 1)
	require.Contains(t, details[0], "works_order (portal=? AND lane=? AND not_before<?)")
}
