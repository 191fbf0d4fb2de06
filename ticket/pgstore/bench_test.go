package pgstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
	"github.com/anteroom/anteroom/ticket/internal/scaletest"
)

var benchNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// byHand are the inserts of a program that does nothing else: one row each, no
// preconditions, in the order of the commit's statements. $1 is the portal.
func byHand(s *statements) map[int]string {
	out := map[int]string{
		claimKeys:       "INSERT INTO anteroom.keys (portal, kind, ref, key) VALUES ($1, $2, $3, $4)",
		insertWords:     "INSERT INTO anteroom.words (portal, message, ticket, words) VALUES ($1, $2, $3, array_to_tsvector(string_to_array($4::text, E'\\n')))",
		insertBodies:    "INSERT INTO anteroom.bodies (portal, id, data) VALUES ($1, $2, $3)",
		insertDecisions: "INSERT INTO anteroom.decisions (portal, id, doc, ticket, conversation, message) VALUES ($1, $2, $3, nullif($4, ''), nullif($5, ''), nullif($6, ''))",
		insertEvents:    "INSERT INTO anteroom.events (portal, ticket, doc, cursor) SELECT $1::bigint, $2::text, $3::text, event - $4 FROM anteroom.portals WHERE id = $1",
		addLedger: `INSERT INTO anteroom.ledger AS l (portal, day, channel, disposition, cause, count) VALUES ($1, $2, $3, $4, $5, 1)
			ON CONFLICT (portal, day, channel, disposition, cause) DO UPDATE SET count = l.count + 1`,
	}
	for statement, e := range map[int]entity{
		insertContacts: contacts, insertConversations: conversations, insertTickets: tickets, insertMessages: messages, insertItems: items, insertWorks: works,
	} {
		names, exprs := e.columns()
		for i, c := range append(append([]string{}, e.texts...), e.ints...) {
			arg := fmt.Sprintf("$%d::text", i+2)
			if i >= len(e.texts) {
				arg = fmt.Sprintf("$%d::bigint", i+2)
			}
			exprs[i] = strings.ReplaceAll(exprs[i], "n."+strings.TrimRight(c, "?!"), arg)
		}
		number := ""
		if statement == insertTickets {
			number = "number, "
			exprs = append([]string{"(SELECT number FROM anteroom.portals WHERE id = $1)"}, exprs...)
		}
		out[statement] = "INSERT INTO anteroom." + e.table + " (portal, rev, " + number + strings.Join(names, ", ") + ") VALUES ($1, 1, " + strings.Join(exprs, ", ") + ")"
	}
	for i, sql := range out {
		out[i] = s.in(sql)
	}
	return out
}

// commitByHand writes c in one pipeline over the pool.
func commitByHand(b *Backend, portal int64, inserts map[int]string, c *ticket.Changes) error {
	p, err := prepare(portal, c)
	if err != nil {
		return err
	}
	batch := &pgx.Batch{}
	events := int64(0)
	locked := false
	for i := range countStatements {
		for _, r := range p.rows {
			if r.statement != i {
				continue
			}
			if i >= insertTickets && !locked {
				locked = true
				batch.Queue(b.sql.lockPortal, portal, int64(p.events), int64(p.tickets))
			}
			args := []any{portal}
			for _, v := range r.texts {
				args = append(args, v)
			}
			for _, v := range r.ints {
				args = append(args, v)
			}
			for _, v := range r.bytes {
				args = append(args, v)
			}
			if i == insertEvents {
				events++
				args = append(args, int64(p.events)-events)
			}
			batch.Queue(inserts[i], args...)
		}
	}
	return b.pool.SendBatch(context.Background(), batch).Close()
}

// together runs f n times, from several goroutines.
func together(b *testing.B, goroutines int, n int64, f func() error) time.Duration {
	var left atomic.Int64
	left.Store(n)
	var wg sync.WaitGroup
	start := time.Now()
	for range goroutines {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := f(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return time.Since(start)
}

// BenchmarkIntake reports the commits per second of the store as a ratio to those
// of the same rows written by hand, one pipelined transaction each, in turns.
func BenchmarkIntake(b *testing.B) {
	for _, writers := range []int{1, 16} {
		// Three transactions under way at a time instead of one; and none with
		// several commits.
		for _, way := range []string{"", "&default_query_exec_mode=exec", "three", "alone"} {
			b.Run(fmt.Sprint(writers, way), func(b *testing.B) {
				url := cluster.URL(b)
				if strings.HasPrefix(way, "&") {
					url += way
				}
				store, plain := open(b, url, Schema(schema(b))), open(b, cluster.URL(b), Schema(schema(b)))
				defer store.Close()
				defer plain.Close()
				switch way {
				case "three":
					store.options.writers = 3
				case "alone":
					store.options.writers = 100
				}
				p, hand := store.Portal("main"), plain.Portal("main").(*portal)
				id, err := hand.made(b.Context())
				require.NoError(b, err)
				inserts := byHand(plain.sql)
				var n atomic.Int64
				var mine, theirs time.Duration
				b.ResetTimer()
				const turn = 64
				for done := int64(0); done < int64(b.N); done += turn {
					mine += together(b, writers, turn, func() error { return p.Commit(context.Background(), scaletest.Intake(n.Add(1))) })
					theirs += together(b, writers, turn, func() error { return commitByHand(plain, id, inserts, scaletest.Intake(n.Add(1))) })
				}
				b.ReportMetric(theirs.Seconds()/mine.Seconds(), "ratio")
				turns := (int64(b.N) + turn - 1) / turn
				b.ReportMetric(float64(turns*turn)/mine.Seconds(), "commits/s")
				b.ReportMetric(float64(turns*turn)/theirs.Seconds(), "by-hand/s")
			})
		}
	}
}

// BenchmarkHold reports the commits per second of intakes under the lease that all
// desks of a portal write under, as a ratio to those under none, in turns, and how
// many of the locks on its row were shared by several transactions.
func BenchmarkHold(b *testing.B) {
	const writers, turn = 16, 256
	for _, nodes := range []int{1, 4} {
		b.Run(fmt.Sprint(nodes, "-nodes"), func(b *testing.B) {
			url, name := cluster.URL(b), schema(b)
			all := make([]ticket.Store, nodes)
			for i := range all {
				back := open(b, url, Schema(name))
				defer back.Close()
				all[i] = back.Portal("main")
			}
			held, err := all[0].Lease(b.Context(), "portal", "open", time.Unix(1, 0), time.Unix(2, 0))
			require.NoError(b, err)
			require.True(b, held)
			shared := func() (n int64) {
				admin, err := pgx.Connect(b.Context(), url)
				require.NoError(b, err)
				defer admin.Close(b.Context())
				_, err = admin.Exec(b.Context(), "CHECKPOINT")
				require.NoError(b, err)
				require.NoError(b, admin.QueryRow(b.Context(), "SELECT next_multixact_id::text::bigint FROM pg_control_checkpoint()").Scan(&n))
				return n
			}
			var n atomic.Int64
			took := map[bool]time.Duration{}
			before := shared()
			b.ResetTimer()
			turns := (int64(b.N) + turn - 1) / turn
			for range turns {
				for _, under := range []bool{true, false} {
					took[under] += together(b, writers, turn, func() error {
						i := n.Add(1)
						c := scaletest.Intake(i)
						if under {
							c.Holds = []ticket.Hold{{Lease: "portal", Owner: "open"}}
						}
						return all[i%int64(nodes)].Commit(context.Background(), c)
					})
				}
			}
			b.StopTimer()
			b.ReportMetric(took[false].Seconds()/took[true].Seconds(), "ratio")
			b.ReportMetric(float64(turns*turn)/took[true].Seconds(), "commits/s")
			b.ReportMetric(float64(shared()-before)/float64(turns*turn), "multixacts/commit")
		})
	}
}

// BenchmarkClaim reports the claims per second of the store, of 8 pieces each, as
// a ratio to a bare loop with SKIP LOCKED on the same table, in turns.
func BenchmarkClaim(b *testing.B) {
	const each, connections, turn = 8, 16, 64
	url := cluster.URL(b)
	store, bare := open(b, url, Schema(schema(b))), open(b, url, Schema(schema(b)))
	defer store.Close()
	defer bare.Close()
	turns := (b.N + turn - 1) / turn
	var ids [2]int64
	for i, s := range []*Backend{store, bare} {
		id, err := s.Portal("main").(*portal).made(b.Context())
		require.NoError(b, err)
		ids[i] = id
		doc, err := driver.WorkDoc(scaletest.Intake(1).Works[0])
		require.NoError(b, err)
		_, err = s.pool.Exec(b.Context(), s.sql.in(`INSERT INTO anteroom.works (portal, id, rev, lane, not_before, lease, due, parked, owner, attempts, doc)
			SELECT $1::bigint, 'work' || i, 1, '', i, 0, i, false, '', 0, $3::text FROM generate_series(1, $2::bigint) AS i`), id, int64(each*turn*turns), doc)
		require.NoError(b, err)
		_, err = s.pool.Exec(b.Context(), s.sql.in(`ANALYZE anteroom.works`))
		require.NoError(b, err)
	}
	until := benchNow.Add(time.Minute)
	p := store.Portal("main")
	query := bare.sql.in(`UPDATE anteroom.works SET owner = 'o', lease = $3::bigint, due = $3, attempts = attempts + 1, rev = rev + 1
		WHERE portal = $1 AND id = ANY(ARRAY(SELECT id FROM anteroom.works WHERE portal = $1 AND lane = '' AND NOT parked AND not_before <= $2::bigint AND lease <= $2
		ORDER BY not_before, id LIMIT 8 FOR UPDATE SKIP LOCKED)) RETURNING id, rev, doc`)
	var mine, theirs time.Duration
	b.ResetTimer()
	for range turns {
		mine += together(b, connections, turn, func() error {
			works, _, err := p.Claim(context.Background(), ticket.Claim{Owner: "o", Now: benchNow, Until: until, Limit: each})
			if err == nil && len(works) == 0 {
				err = errors.New("nothing was left to claim")
			}
			return err
		})
		theirs += together(b, connections, turn, func() error {
			rows, err := bare.pool.Query(context.Background(), query, ids[1], benchNow.UnixMicro(), until.UnixMicro())
			if err != nil {
				return err
			}
			_, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (ticket.Work, error) {
				var id string
				var rev int64
				var doc []byte
				if err := row.Scan(&id, &rev, &doc); err != nil {
					return ticket.Work{}, err
				}
				w, err := driver.Decode[ticket.Work](doc)
				return *w, err
			})
			return err
		})
	}
	b.ReportMetric(theirs.Seconds()/mine.Seconds(), "ratio")
	b.ReportMetric(float64(turns*turn)/mine.Seconds(), "claims/s")
}
