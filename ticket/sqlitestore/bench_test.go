package sqlitestore

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/scaletest"
)

var benchNow = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// byHand writes the same rows as a program would that does nothing else: a
// goroutine, one transaction for whoever waits, no preconditions, no savepoints.
type byHand struct {
	c        *conn
	requests chan handRequest
	n        int64
}

type handRequest struct {
	rows *rows
	text string
	done chan error
}

func (h *byHand) run() {
	for first := range h.requests {
		batch := []handRequest{first}
		for more := true; more && len(batch) < maxBatch; {
			select {
			case r := <-h.requests:
				batch = append(batch, r)
			default:
				more = false
			}
		}
		err := h.write(batch)
		for _, r := range batch {
			r.done <- err
		}
	}
}

func (h *byHand) write(batch []handRequest) error {
	if _, err := h.c.exec("BEGIN IMMEDIATE"); err != nil {
		return err
	}
	for _, r := range batch {
		h.n++
		for _, k := range r.rows.claims {
			if _, err := h.c.exec("INSERT INTO keys (portal, key, kind, ref) VALUES (1, ?, ?, ?)", k.Key[:], string(k.Ref.Kind), k.Ref.ID); err != nil {
				return err
			}
		}
		for _, s := range r.rows.steps {
			s.args[0] = 1
			switch s.what {
			case "ticket":
				s.args[1] = h.n
			case "message":
				s.args[1] = 1<<placeBits | h.n
			}
			query, _, _ := strings.Cut(s.into.queries[1], " ON CONFLICT")
			if _, err := h.c.exec(query, s.args...); err != nil {
				return err
			}
		}
		if _, err := h.c.exec("INSERT INTO search (rowid, text) VALUES (?, ?)", 1<<placeBits|h.n, r.text); err != nil {
			return err
		}
		if _, err := h.c.exec(ledgerAdd, 1, "2026-03-01", "support", "message", "", 1); err != nil {
			return err
		}
		for i, e := range r.rows.events {
			if _, err := h.c.exec("INSERT INTO events (place, ticket, doc) VALUES (?, ?, ?)", 1<<placeBits+h.n*3+int64(i), e.ticket, e.doc); err != nil {
				return err
			}
		}
	}
	_, err := h.c.exec("COMMIT")
	return err
}

// BenchmarkIntake reports how much longer the store takes than the same rows
// written by hand, alone and from 20 goroutines.
func BenchmarkIntake(b *testing.B) {
	for _, writers := range []int{1, 20} {
		b.Run(fmt.Sprint(writers), func(b *testing.B) {
			store, err := Open(filepath.Join(b.TempDir(), "store.db"))
			require.NoError(b, err)
			defer store.Close()
			plain, err := Open(filepath.Join(b.TempDir(), "hand.db"))
			require.NoError(b, err)
			defer plain.Close()
			h := &byHand{c: plain.writer.c, requests: make(chan handRequest, 64)}
			go h.run()
			defer close(h.requests)
			p := store.Portal("main")
			held, err := p.Lease(b.Context(), openHold.Lease, openHold.Owner, benchNow, benchNow.Add(time.Second))
			require.NoError(b, err)
			require.True(b, held)
			var n atomic.Int64
			run := func(commit func(c *ticket.Changes) error) time.Duration {
				var left atomic.Int64
				left.Store(int64(b.N))
				var wg sync.WaitGroup
				start := time.Now()
				for range writers {
					wg.Go(func() {
						for left.Add(-1) >= 0 {
							if err := commit(scaletest.Intake(n.Add(1))); err != nil {
								b.Error(err)
								return
							}
						}
					})
				}
				wg.Wait()
				return time.Since(start)
			}
			b.ResetTimer()
			mine := run(func(c *ticket.Changes) error {
				c.Holds = []ticket.Hold{openHold} // as all commits of desks do
				return p.Commit(context.Background(), c)
			})
			b.StopTimer()
			hand := run(func(c *ticket.Changes) error {
				r, err := prepare(c)
				if err != nil {
					return err
				}
				done := make(chan error, 1)
				h.requests <- handRequest{r, c.Messages[0].Search, done}
				return <-done
			})
			b.ReportMetric(mine.Seconds()/hand.Seconds(), "ratio")
			b.ReportMetric(float64(b.N)/mine.Seconds(), "commits/s")
		})
	}
}

// BenchmarkNewestOpen lists the newest 50 open tickets of a queue among 10,000.
func BenchmarkNewestOpen(b *testing.B) {
	store := setup(b)
	p := store.Portal("main")
	for i := range 100 {
		c := &ticket.Changes{}
		for j := range 100 {
			t := scaletest.Intake(int64(i*100 + j)).Tickets[0]
			if j%3 == 0 {
				t.Status = ticket.Closed
			}
			t.Queue = []routing.QueueID{"support", "sales"}[j%2]
			c.Tickets = append(c.Tickets, t)
		}
		require.NoError(b, p.Commit(b.Context(), c))
	}
	b.ResetTimer()
	for b.Loop() {
		list, _, err := p.Tickets(context.Background(), ticket.TicketFilter{Queue: "support", Statuses: []ticket.Status{ticket.Open}}, ticket.Page{})
		if err != nil || len(list) != 50 {
			b.Fatal(len(list), err)
		}
	}
}
