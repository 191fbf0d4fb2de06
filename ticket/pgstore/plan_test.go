package pgstore

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
	"github.com/anteroom/anteroom/ticket/internal/scaletest"
)

// crowded is a store with thousands of rows of everything, as the planner knows.
func crowded(t *testing.T) (*Backend, *recorder) {
	t.Helper()
	rec := &recorder{had: map[string]bool{}}
	b := setup(t, traced(rec))
	p := b.Portal("main").(*portal)
	id, err := p.made(t.Context())
	require.NoError(t, err)
	const rows = 8000
	fill := []string{
		`INSERT INTO anteroom.keys SELECT $1::bigint, sha256(i::text::bytea), 'message', 'id' || i FROM g`,
		`INSERT INTO anteroom.counters SELECT $1::bigint, 'c' || i, i, i FROM g`,
		`INSERT INTO anteroom.contacts SELECT $1::bigint, 'id' || i, 1, '{}' FROM g`,
		`INSERT INTO anteroom.conversations SELECT $1::bigint, 'id' || i, 1, 'ch' || i % 20, 'id' || i % 2000, CASE WHEN i % 9 > 0 THEN 'id' || i END,
			'q' || i % 10, CASE WHEN i % 9 = 0 THEN 'a' || i % 50 END, CASE WHEN i % 50 = 0 THEN i END, i, '{}' FROM g`,
		`INSERT INTO anteroom.tickets SELECT $1::bigint, 'id' || i, 1, i, 1 + i % 4, 'open', 'q' || i % 10, CASE WHEN i % 9 > 0 THEN 'a' || i % 50 END, 'ch' || i % 20, 'id' || i % 2000, 'id' || i,
			CASE WHEN i % 50 = 0 THEN i END, i, false, '{}' FROM g`,
		`INSERT INTO anteroom.messages SELECT $1::bigint, 'id' || i, 1, 'id' || i / 3, 'id' || i / 3, '{}' FROM g`,
		`INSERT INTO anteroom.words SELECT $1::bigint, 'id' || i, 'id' || i / 3, array_to_tsvector(ARRAY['a' || $1::bigint || ' word' || i, 'a' || $1::bigint || ' common']) FROM g`,
		`INSERT INTO anteroom.items SELECT $1::bigint, 'id' || i, 1, 'ch' || i % 20, '2026', 'd' || i % 7, '', 'id' || i, '{}' FROM g`,
		`INSERT INTO anteroom.ledger SELECT $1::bigint, 'day' || i, 'ch' || i % 20, 'd', '', 1 FROM g`,
		`INSERT INTO anteroom.works SELECT $1::bigint, 'id' || i, 1, 'l' || i % 20, i, 0, i, false, '', 0, '{}' FROM g`,
		`INSERT INTO anteroom.leases SELECT $1::bigint, 'n' || i, 'o', 1 FROM g`,
		`INSERT INTO anteroom.records SELECT $1::bigint, 'k' || i % 500, 'id' || i, 1, '' FROM g`,
		`INSERT INTO anteroom.bodies SELECT $1::bigint, 'id' || i, '' FROM g`,
		`INSERT INTO anteroom.events SELECT $1::bigint, i, 'id' || i / 3, '{}' FROM g`,
		`INSERT INTO anteroom.decisions SELECT $1::bigint, 'id' || i, 'id' || i / 3, 'id' || i / 3, 'id' || i, '{}' FROM g`,
	}
	for _, sql := range fill {
		_, err := b.pool.Exec(t.Context(), b.sql.in(fmt.Sprintf("WITH g AS (SELECT i FROM generate_series(1, %d) AS i) ", rows)+sql), id)
		require.NoError(t, err, sql)
	}
	_, err = b.pool.Exec(t.Context(), b.sql.in(`UPDATE anteroom.portals SET number = 8000, event = 8000`))
	require.NoError(t, err)
	for _, sql := range fill {
		table := strings.Fields(sql)[2]
		_, err := b.pool.Exec(t.Context(), "ANALYZE "+b.sql.in(table))
		require.NoError(t, err)
	}
	return b, rec
}

func TestEveryQueryUsesAnIndex(t *testing.T) {
	t.Parallel()
	b, rec := crowded(t)
	s := b.Portal("main")
	ctx := t.Context()
	tickets := func(f ticket.TicketFilter) func() {
		return func() {
			for _, order := range []ticket.Order{ticket.NewestFirst, ticket.LatestUpdate} {
				f.Order = order
				list := "tickets"
				if order == ticket.LatestUpdate {
					list = "tickets.updated"
				}
				for _, after := range []ticket.Next{"", driver.Place{List: list, At: 500, ID: "id5"}.Next()} {
					_, _, err := s.Tickets(ctx, f, ticket.Page{After: after, Limit: 10})
					require.NoError(t, err)
				}
			}
		}
	}
	conversations := func(f ticket.ConversationFilter) func() {
		return func() {
			_, _, err := s.Conversations(ctx, f, ticket.Page{})
			require.NoError(t, err)
		}
	}
	messages := func(f ticket.MessageFilter) func() {
		return func() {
			_, _, err := s.Messages(ctx, f, ticket.Page{})
			require.NoError(t, err)
		}
	}
	items := func(f ticket.ItemFilter) func() {
		return func() {
			_, _, err := s.Items(ctx, f, ticket.Page{})
			require.NoError(t, err)
		}
	}
	events := func(f ticket.EventFilter) func() {
		return func() {
			_, err := s.Events(ctx, f, 10)
			require.NoError(t, err)
		}
	}
	decisions := func(f ticket.DecisionFilter) func() {
		return func() {
			_, err := s.Decisions(ctx, f, 10)
			require.NoError(t, err)
		}
	}
	open, both := []ticket.Status{ticket.Open}, []ticket.Status{ticket.Open, ticket.Pending}
	for name, tc := range map[string]struct {
		run  func()
		want []string // indexes
	}{
		"all tickets":                    {tickets(ticket.TicketFilter{}), []string{"tickets_rank", "tickets_rank_updated"}},
		"open tickets":                   {tickets(ticket.TicketFilter{Statuses: open}), []string{"tickets_rank", "tickets_rank_updated"}},
		"tickets of a queue":             {tickets(ticket.TicketFilter{Queue: "q1"}), []string{"tickets_queue", "tickets_queue_updated"}},
		"active tickets of a queue":      {tickets(ticket.TicketFilter{Queue: "q1", Statuses: both}), []string{"tickets_queue", "tickets_queue_updated"}},
		"tickets of an agent":            {tickets(ticket.TicketFilter{Assignee: "a1", Statuses: open}), []string{"tickets_assignee", "tickets_assignee_updated"}},
		"tickets of nobody":              {tickets(ticket.TicketFilter{Unassigned: true, Queue: "q1"}), []string{"tickets_unassigned"}},
		"tickets with a common word":     {tickets(ticket.TicketFilter{Terms: []string{"common"}}), []string{"messages_ticket", "words_pkey", "tickets_rank_updated"}},
		"tickets of a channel":           {tickets(ticket.TicketFilter{Channel: "ch1", Statuses: open}), []string{"tickets_channel"}},
		"tickets of a contact":           {tickets(ticket.TicketFilter{Contact: "id7"}), []string{"tickets_contact"}},
		"a ticket by number":             {tickets(ticket.TicketFilter{Number: 9}), []string{"tickets_number"}},
		"tickets with a word":            {tickets(ticket.TicketFilter{Terms: []string{"word77"}}), []string{"words_words", "InitPlan", "tickets_pkey"}},
		"conversations":                  {conversations(ticket.ConversationFilter{}), []string{"conversations_pkey"}},
		"conversations by update":        {conversations(ticket.ConversationFilter{Order: ticket.LatestUpdate}), []string{"conversations_updated"}},
		"conversations of a ticket":      {conversations(ticket.ConversationFilter{Ticket: "id7"}), []string{"conversations_ticket"}},
		"conversations of a contact":     {conversations(ticket.ConversationFilter{Contact: "id7"}), []string{"conversations_contact"}},
		"conversations of a queue":       {conversations(ticket.ConversationFilter{Queue: "q1"}), []string{"conversations_queue"}},
		"conversations without a ticket": {conversations(ticket.ConversationFilter{WithoutTicket: true}), []string{"conversations_lone"}},
		"messages of a ticket":           {messages(ticket.MessageFilter{Ticket: "id7"}), []string{"messages_ticket"}},
		"messages of a conversation":     {messages(ticket.MessageFilter{Conversation: "id7", NewestFirst: true}), []string{"messages_conversation"}},
		"items of a channel":             {items(ticket.ItemFilter{Channel: "ch1"}), []string{"items_channel"}},
		"items by disposition":           {items(ticket.ItemFilter{Disposition: "d1"}), []string{"items_disposition"}},
		"items of a message":             {items(ticket.ItemFilter{Message: "id7"}), []string{"items_message"}},
		"events":                         {events(ticket.EventFilter{After: 500}), []string{"events_pkey"}},
		"the newest events":              {events(ticket.EventFilter{Newest: true}), []string{"events_pkey"}},
		"events of a ticket":             {events(ticket.EventFilter{Ticket: "id7"}), []string{"events_ticket"}},
		"decisions of a ticket":          {decisions(ticket.DecisionFilter{Ticket: "id7"}), []string{"decisions_ticket"}},
		"decisions of a conversation":    {decisions(ticket.DecisionFilter{Conversation: "id7"}), []string{"decisions_conversation"}},
		"decisions of a message":         {decisions(ticket.DecisionFilter{Message: "id7"}), []string{"decisions_message"}},
		"what waits": {func() {
			_, err := s.Waiting(ctx, "q0", 10)
			require.NoError(t, err)
		}, []string{"tickets_waiting", "conversations_waiting"}},
		"the ledger of a day": {func() {
			_, err := s.Ledger(ctx, "", "day7")
			require.NoError(t, err)
		}, []string{"ledger_pkey"}},
		"due work": {func() {
			_, _, err := s.Claim(ctx, ticket.Claim{Lane: "l1", Owner: "o", Now: time.UnixMicro(4000), Until: time.UnixMicro(5000), Limit: 8})
			require.NoError(t, err)
		}, []string{"works_order", "works_due", "works_pkey"}},
		"a snapshot": {func() {
			_, err := s.Snapshot(ctx, ticket.Want{
				Contacts: []ticket.ContactID{"id1"}, Conversations: []ticket.ConversationID{"id1"}, Tickets: []ticket.TicketID{"id1"},
				Messages: []ticket.MessageID{"id1"}, Items: []ticket.ItemID{"id1"}, Works: []ticket.WorkID{"id1"}, Keys: []ticket.Key{{}},
				Records: []ticket.RecordRef{{Kind: "k1", ID: "id1"}}, Kinds: []ticket.RecordKind{"k2"},
				Range: ticket.RecordRange{Kind: "k3", After: "id1", Limit: 10}, Counters: []string{"c1"}, Bodies: []ticket.BodyID{"id1"},
			})
			require.NoError(t, err)
		}, []string{"keys_pkey", "records_pkey", "counters_pkey", "bodies_pkey", "works_pkey", "items_pkey"}},
		"a snapshot that follows": {func() {
			_, err := s.Snapshot(ctx, ticket.Want{Keys: []ticket.Key{{}}, Messages: []ticket.MessageID{"id1"}, Follow: true})
			require.NoError(t, err)
		}, []string{"keys_pkey", "messages_pkey", "conversations_pkey", "tickets_pkey", "contacts_pkey"}},
		"a commit": {func() {
			c := scaletest.Intake(1)
			c.Counts = []ticket.Count{{Name: "c5", Add: 1}}
			require.NoError(t, s.Commit(ctx, c))
			c.Claims, c.Bodies, c.Decisions, c.Counts, c.At = nil, nil, nil, nil, time.Now()
			c.DropBodies = []ticket.BodyID{"id1"}
			c.Releases = []ticket.Key{{}}
			c.Records = []*ticket.Record{{Kind: "k1", ID: "id1", Doc: []byte{1}, Revision: 1}, {Kind: "k2", ID: "id2", Revision: 1}}
			c.Done = []ticket.Done{{ID: "id3000", Revision: 1}}
			require.NoError(t, s.Commit(ctx, c))
		}, []string{"contacts_pkey", "conversations_pkey", "tickets_pkey", "messages_pkey", "items_pkey", "works_pkey", "records_pkey", "bodies_pkey", "counters_pkey"}},
	} {
		plan := plans(t, b, rec, tc.run)
		for _, index := range tc.want {
			require.Contains(t, plan, index, "%s:\n%s", name, plan)
		}
		require.NotRegexp(t, scanned, plan, name)
	}
}

// What a test of the package does not think of is run by the suite of stores.
func everyStatementUsesAnIndex(t *testing.T, rec *recorder) {
	t.Helper()
	b, _ := crowded(t)
	all := rec.statements(b)
	require.Greater(t, len(all), int(countStatements))
	for _, s := range b.sql.commit {
		require.True(t, slices.ContainsFunc(all, func(q ran) bool { return q.sql == s.sql }), "the suite does not run: %s", s.sql)
	}
	// It is to return all that there is.
	wholeLedger := b.sql.in("FROM anteroom.ledger WHERE count > 0 AND portal = $1 ORDER BY")
	for _, q := range all {
		if strings.Contains(q.sql, wholeLedger) {
			continue
		}
		custom, generic := q.plans(t, b)
		if scanned.MatchString(custom) {
			t.Errorf("%s\n%v\n%s", q.sql, q.args, custom)
		}
		if scanned.MatchString(generic) {
			t.Errorf("for any arguments: %s\n%s", q.sql, generic)
		}
	}
}

// Where the server expects many rows it compiles a statement before it runs it,
// and of circles that are followed it expects far too many. Compiling takes some
// hundred times as long as the reading.
func TestNoSnapshotIsCompiled(t *testing.T) {
	t.Parallel()
	b, rec := crowded(t)
	s := b.Portal("main")
	keys := make([]ticket.Key, 300) // of fifty mails
	for i := range keys {
		keys[i] = ticket.NewKey("mail", fmt.Sprint(i))
	}
	read := func() {
		_, err := s.Snapshot(t.Context(), ticket.Want{Keys: keys, Follow: true})
		require.NoError(t, err)
		_, err = s.Snapshot(t.Context(), ticket.Want{Messages: make([]ticket.MessageID, 300), Follow: true})
		require.NoError(t, err)
	}
	require.NotContains(t, explained(t, b, rec, true, read), "JIT:")
	var can bool
	require.NoError(t, b.pool.QueryRow(t.Context(), "SELECT pg_jit_available()").Scan(&can))
	if can {
		require.Contains(t, explained(t, b, rec, false, read), "JIT:", "else nothing is shown")
	}
}

// explained returns what the server says of all statements that f runs, with the
// settings that they have, or without.
func explained(t *testing.T, b *Backend, rec *recorder, settings bool, f func()) string {
	t.Helper()
	rec.clear()
	f()
	var out strings.Builder
	for _, q := range rec.statements(b) {
		tx, err := b.pool.Begin(t.Context())
		require.NoError(t, err)
		for _, s := range q.settings {
			if settings {
				_, err := tx.Exec(t.Context(), s.sql, s.args...)
				require.NoError(t, err)
			}
		}
		rows, err := tx.Query(t.Context(), "EXPLAIN "+q.sql, q.args...)
		require.NoError(t, err)
		lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
		require.NoError(t, err, q.sql)
		require.NoError(t, tx.Rollback(t.Context()))
		out.WriteString(strings.Join(lines, "\n") + "\n")
	}
	return out.String()
}
