// Fill fills a store with tickets as a few years of intake would leave them, so
// that a host can see how its lists and searches behave at that size:
//
//	go run ./examples/fill -store filled.db -tickets 1000000
//	go run ./examples/fill -store postgres://user@host/filled -tickets 1000000
//
// There are customers who write in English, Vietnamese and Portuguese to three
// mailboxes, some of them again; answers and replies between later tickets;
// queues from large to nearly empty, forty agents, statuses, events, decisions,
// raw bodies, and the keys by which a reply finds its conversation. Words follow
// Zipf's law: some are in most messages, most in a few, and each ticket has an
// order number, DH00000123, that no other has.
//
// It writes through ticket.Store alone, 8000 tickets in a commit. A run that was
// ended goes on where it was; a larger -tickets adds what is missing. An SQLite file
// is on disk only when the tool has ended: if power was lost before, begin with a
// new one. The same -seed makes the same tickets, but for the ids of the mailboxes.
// Use a store of its own: the tickets would be hard to tell from real ones.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/pgstore"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "fill:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) (err error) {
	fs := flag.NewFlagSet("fill", flag.ContinueOnError)
	fs.SetOutput(out)
	where := fs.String("store", "filled.db", "SQLite `file`, made if there is none, or postgres://USER@HOST/DATABASE")
	tickets := fs.Int("tickets", 10_000, "how many `tickets` the store is to have, rounded up to a multiple of 1000")
	portal := fs.String("portal", "main", "the portal's `name`")
	seed := fs.Uint64("seed", 1, "a `number` from which everything is drawn")
	cache := fs.Int64("cache", 512, "how many `MB` of an SQLite file are kept, in twice as much memory: each commit claims keys that are spread over all of their table")
	if err := fs.Parse(args); err != nil {
		return err
	}
	if fs.NArg() > 0 || *tickets < 0 || *cache < 1 {
		return errors.New("only flags are expected, no negative number of tickets, and a cache of one MB at least")
	}
	db, err := open(ctx, *where, *cache)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	return fill(ctx, db.Portal(*portal), *tickets, *seed, out)
}

func open(ctx context.Context, where string, cache int64) (ticket.Backend, error) {
	if strings.HasPrefix(where, "postgres://") || strings.HasPrefix(where, "postgresql://") {
		return pgstore.Open(ctx, where, pgstore.Timeout(10*time.Minute))
	}
	return sqlitestore.Open(where, sqlitestore.WriterCache(cache<<20), sqlitestore.Unsynced())
}

// progress is how often is said how far it is.
const progress = 5 * time.Second

// fill brings the store to the given number of tickets.
func fill(ctx context.Context, s ticket.Store, tickets int, seed uint64, out io.Writer) error {
	boxes, err := configure(ctx, s)
	if err != nil {
		return fmt.Errorf("configure the portal: %w", err)
	}
	missing, err := missingBatches(ctx, s, seed, (tickets+batchSize-1)/batchSize)
	if err != nil {
		return err
	}
	start, said := time.Now(), time.Now()
	say := func(done int) {
		said = time.Now()
		rate := float64(done*batchSize) / max(said.Sub(start).Seconds(), 1e-9)
		fmt.Fprintf(out, "%d of %d tickets were missing, %d are written, %.0f a second\n", len(missing)*batchSize, tickets, done*batchSize, rate)
	}
	made := make(chan *ticket.Changes, 1) // the next is made while one is written
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	go func() {
		defer close(made)
		for numbers := range slices.Chunk(missing, together) {
			c := joined(seed, numbers, boxes)
			select {
			case made <- c:
			case <-ctx.Done():
				return
			}
		}
	}()
	done := 0
	for c := range made {
		if err := s.Commit(ctx, c); err != nil {
			return fmt.Errorf("after %d tickets: %w", done*batchSize, err)
		}
		if done += len(c.Tickets) / batchSize; time.Since(said) >= progress {
			say(done)
		}
	}
	say(done)
	return ctx.Err()
}

// missingBatches returns the numbers of the batches, of n, that are not in the
// store.
func missingBatches(ctx context.Context, s ticket.Store, seed uint64, n int) ([]int, error) {
	w := ticket.Want{}
	for i := range n {
		w.Keys = append(w.Keys, batchKey(seed, i))
	}
	have, err := s.Snapshot(ctx, w)
	if err != nil {
		return nil, fmt.Errorf("look for what is there: %w", err)
	}
	var missing []int
	for i, k := range w.Keys {
		if _, ok := have.Refs[k]; !ok {
			missing = append(missing, i)
		}
	}
	return missing, nil
}
