//go:build linux

package sqlitestore_test

import (
	"context"
	"database/sql"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/powerloss"
	"github.com/anteroom/anteroom/ticket/internal/powervfs"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

var powerPoints = flag.Int("power.points", 40, "moments at which the tests lose power")

const (
	powerWriters = 8
	powerCommits = 24 // of each writer
)

// powered opens a store whose disk is recorded.
func powered(t *testing.T, d *powerloss.Disk, root string) *sqlitestore.Backend {
	t.Helper()
	vfs, err := powervfs.Install(d)
	require.NoError(t, err)
	b, err := sqlitestore.Open(filepath.Join(root, "desk.db"))
	require.NoError(t, err)
	t.Cleanup(func() {
		require.NoError(t, b.Close())
		require.NoError(t, vfs.Close())
	})
	return b
}

// powerCommit is the n-th commit of a writer: parts that must be there together.
func powerCommit(writer, n int) *ticket.Changes {
	id := fmt.Sprintf("%d-%d", writer, n)
	at := time.Date(2026, 3, 1, 12, n, 0, 0, time.UTC)
	return &ticket.Changes{
		At:     at,
		Claims: []ticket.KeyClaim{{Key: ticket.NewKey(id), Ref: ticket.Ref{Kind: ticket.RefItem, ID: id}}},
		Items:  []*ticket.Item{{ID: ticket.ItemID(id), Channel: "c", Day: "2026-03-01", Disposition: ticket.DisposedMessage, ReceivedAt: at}},
		Tickets: []*ticket.Ticket{{ID: ticket.TicketID(id), Subject: id, Status: ticket.Open, CreatedAt: at, UpdatedAt: at,
			Assignment: ticket.Assignment{Queue: "q"}}},
		Messages: []*ticket.Message{{ID: ticket.MessageID(id), Ticket: ticket.TicketID(id), Search: "word " + id, Text: id, CreatedAt: at}},
		Works:    []*ticket.Work{{ID: ticket.WorkID(id), Kind: ticket.WorkSend, NotBefore: at, CreatedAt: at}},
		Bodies:   []ticket.StoredBody{{ID: ticket.BodyID(id), Data: []byte(strings.Repeat(id+" ", 1500))}},
		Counts:   []ticket.Count{{Name: "sum", Add: 1}},
		Events:   []*ticket.Event{{ID: id, Type: ticket.EventTicketCreated, Ticket: ticket.TicketID(id), At: at}},
	}
}

// acks are the moments at which commits were acknowledged, by id.
type acks struct {
	mu sync.Mutex
	at map[string]int
}

func (a *acks) note(id string, at int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.at[id] = at
}

// writePowered lets many write at once, so that they are committed in groups.
func writePowered(t *testing.T, d *powerloss.Disk, s ticket.Store) *acks {
	t.Helper()
	got := &acks{at: map[string]int{}}
	var busy sync.WaitGroup
	for w := range powerWriters {
		busy.Go(func() {
			for n := range powerCommits {
				if s.Commit(context.Background(), powerCommit(w, n)) == nil {
					got.note(fmt.Sprintf("%d-%d", w, n), d.Now())
				}
			}
		})
	}
	busy.Wait()
	return got
}

// checkPowered opens what a loss of power has left. It returns an error if
// something acknowledged is not there once and whole, or anything is there half.
func checkPowered(root string, acked []string) (err error) {
	path := filepath.Join(root, "desk.db")
	b, err := sqlitestore.Open(path)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	ctx := context.Background()
	s := b.Portal("main")
	w := ticket.Want{Now: time.Date(2026, 3, 2, 0, 0, 0, 0, time.UTC), Counters: []string{"sum"}}
	for writer := range powerWriters + 1 { // the last are of earlier checks
		for n := range powerCommits {
			id := fmt.Sprintf("%d-%d", writer, n)
			w.Keys = append(w.Keys, ticket.NewKey(id))
			w.Items = append(w.Items, ticket.ItemID(id))
			w.Tickets = append(w.Tickets, ticket.TicketID(id))
			w.Messages = append(w.Messages, ticket.MessageID(id))
			w.Works = append(w.Works, ticket.WorkID(id))
			w.Bodies = append(w.Bodies, ticket.BodyID(id))
		}
	}
	snap, err := s.Snapshot(ctx, w)
	if err != nil {
		return err
	}
	for _, id := range acked {
		if snap.Items[ticket.ItemID(id)] == nil {
			return fmt.Errorf("%s was acknowledged and is lost", id)
		}
	}
	n, checks := len(snap.Items), 0
	for id := range snap.Items {
		whole := snap.Refs[ticket.NewKey(string(id))].ID == string(id) && snap.Messages[ticket.MessageID(id)] != nil &&
			snap.Tickets[ticket.TicketID(id)] != nil && snap.Works[ticket.WorkID(id)] != nil &&
			string(snap.Bodies[ticket.BodyID(id)]) == strings.Repeat(string(id)+" ", 1500)
		if !whole {
			return fmt.Errorf("%s is there half", id)
		}
		if strings.HasPrefix(string(id), fmt.Sprint(powerWriters, "-")) {
			checks++
		}
	}
	events, err := s.Events(ctx, ticket.EventFilter{}, 1000)
	if err != nil {
		return err
	}
	ledger, err := s.Ledger(ctx, "", "")
	if err != nil {
		return err
	}
	counted := int64(0)
	for _, row := range ledger {
		counted += row.Count
	}
	found, _, err := s.Tickets(ctx, ticket.TicketFilter{Terms: []string{"word"}}, ticket.Page{Limit: 500})
	if err != nil {
		return err
	}
	if len(snap.Refs) != n || len(snap.Tickets) != n || len(snap.Messages) != n || len(snap.Works) != n || len(snap.Bodies) != n ||
		int(snap.Counters["sum"]) != n || len(events) != n || int(counted) != n || len(found) != n {
		return fmt.Errorf("of %d commits there are %d keys, %d tickets, %d found, %d messages, %d works, %d bodies, %d counted, %d events, %d in the ledger",
			n, len(snap.Refs), len(snap.Tickets), len(found), len(snap.Messages), len(snap.Works), len(snap.Bodies), snap.Counters["sum"], len(events), counted)
	}
	for i, e := range events {
		if e.Cursor != int64(i)+1 {
			return fmt.Errorf("event %d has cursor %d", i, e.Cursor)
		}
	}
	return errors.Join(sound(path), s.Commit(ctx, powerCommit(powerWriters, checks)))
}

func sound(path string) error {
	db, err := sql.Open("sqlite", "file:"+path+"?_pragma=busy_timeout(10000)")
	if err != nil {
		return err
	}
	defer db.Close()
	var text string
	if err := db.QueryRow("PRAGMA integrity_check").Scan(&text); err != nil {
		return err
	}
	if text != "ok" {
		return fmt.Errorf("integrity check: %s", text)
	}
	_, err = db.Exec("INSERT INTO search(search) VALUES ('integrity-check')")
	return err
}

// losePower loses power at each moment and checks. It returns the first failure.
func losePower(t *testing.T, d *powerloss.Disk, seed uint64, at []int, check func(root string, moment int) error) error {
	t.Helper()
	temp := t.TempDir()
	quick, err := powervfs.Install(powerloss.Quick(temp))
	require.NoError(t, err)
	defer func() { require.NoError(t, quick.Close()) }()
	return d.Lose(rand.New(rand.NewPCG(seed, 3)), temp, at, check)
}

func (a *acks) by(moment int) (ids []string) {
	for id, at := range a.at {
		if at <= moment {
			ids = append(ids, id)
		}
	}
	return ids
}

// TestPowerLossLosesAndTearsNothing loses power around syncs and at other moments
// while many write at once, through checkpoints.
func TestPowerLossLosesAndTearsNothing(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{rand.Uint64(), rand.Uint64()} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			d, err := powerloss.New(root)
			require.NoError(t, err)
			got := writePowered(t, d, powered(t, d, root).Portal("main"))
			require.Len(t, got.at, powerWriters*powerCommits)
			at := d.Moments(rand.New(rand.NewPCG(seed, 4)), *powerPoints/powerShare)
			t.Logf("%d ops, %d around syncs; power is lost at %d moments", d.Now(), len(d.Syncs()), len(at))
			require.NoError(t, losePower(t, d, seed, at, func(root string, moment int) error {
				return checkPowered(root, got.by(moment))
			}))
		})
	}
}

// TestPowerLossAfterPowerLossLosesNothingEither loses power once more while what
// the first loss has left is opened, written to and closed.
func TestPowerLossAfterPowerLossLosesNothingEither(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	first, err := powerloss.New(root)
	require.NoError(t, err)
	got := writePowered(t, first, powered(t, first, root).Portal("main"))
	rnd := rand.New(rand.NewPCG(1, 5))
	require.NoError(t, losePower(t, first, 1, first.Moments(rnd, max(1, 4/powerShare)), func(root string, moment int) error {
		acked := got.by(moment)
		d, err := powerloss.New(root)
		if err != nil {
			return err
		}
		vfs, err := powervfs.Install(d)
		if err != nil {
			return err
		}
		if err := errors.Join(checkPowered(root, acked), vfs.Close()); err != nil {
			return err
		}
		for round := range 2 {
			err := losePower(t, d, uint64(round), d.Moments(rnd, 4), func(root string, _ int) error { return checkPowered(root, acked) })
			if err != nil {
				return err
			}
		}
		return nil
	}))
}

// An unsynced store is on disk when it is closed, and a process that ends before
// loses nothing.
func TestAnUnsyncedStoreIsOnDiskOnceItIsClosed(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d, err := powerloss.New(root)
	require.NoError(t, err)
	vfs, err := powervfs.Install(d)
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, vfs.Close()) })
	b, err := sqlitestore.Open(filepath.Join(root, "desk.db"), sqlitestore.Unsynced())
	require.NoError(t, err)
	open := len(d.Syncs())
	got := writePowered(t, d, b.Portal("main"))
	require.Len(t, got.at, powerWriters*powerCommits)
	require.Len(t, d.Syncs(), open, "commits do not wait for the disk")
	require.NoError(t, b.Close())
	acked := got.by(d.Now())
	require.NoError(t, losePower(t, d, 1, []int{d.Now()}, func(root string, _ int) error { return checkPowered(root, acked) }))
}

// What the tests above would say of a store that does not sync.
func TestPowerLossIsNoticedWhereNothingIsSynced(t *testing.T) {
	t.Parallel()
	for name, ignore := range map[string]func(powerloss.Op) bool{
		"no sync at all":    func(powerloss.Op) bool { return true },
		"not the log":       func(op powerloss.Op) bool { return strings.HasSuffix(op.Path, "-wal") },
		"not the main file": func(op powerloss.Op) bool { return strings.HasSuffix(op.Path, ".db") },
		"not the folder":    func(op powerloss.Op) bool { return op.Kind == powerloss.SyncDir },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			d, err := powerloss.New(root)
			require.NoError(t, err)
			d.Ignore(ignore)
			got := writePowered(t, d, powered(t, d, root).Portal("main"))
			var at []int
			for n := range 40 {
				at = append(at, d.Now()*(n+1)/40)
			}
			require.Error(t, losePower(t, d, 1, at, func(root string, moment int) error { return checkPowered(root, got.by(moment)) }))
		})
	}
}
