//go:build linux

package dirblob_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/dirblob"
	"github.com/anteroom/anteroom/ticket/internal/powerloss"
	"github.com/anteroom/anteroom/ticket/internal/powervfs"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// powerMails are what a test of the desk takes in, of several sizes.
const powerMails = 30

func powerRaw(n int) string {
	return strings.Repeat(fmt.Sprintf("raw form of mail %d\r\n", n), []int{20, 2000, 4000, 15000}[n%4])
}

func powerMail(ch channel.ID, n int) *channel.Item {
	return &channel.Item{Channel: ch, Keys: []channel.Key{channel.Key(fmt.Sprint("mail:", n))}, Raw: channel.Bytes(powerRaw(n)), Message: &channel.Message{
		From: channel.Party{Address: fmt.Sprintf("c%d@c.example", n%7)}, Subject: "mail", Text: fmt.Sprint(n), ExternalID: fmt.Sprintf("%d@c.example", n),
		Attachments: []channel.Attachment{{Name: "f", Size: 12000, Body: channel.Bytes(strings.Repeat("f", 12000))}},
	}}
}

// openDesk opens a desk on one disk for both the store and the blobs.
func openDesk(d *powerloss.Disk, root string, timing ticket.Timing) (*ticket.Desk, *sqlitestore.Backend, error) {
	back, err := sqlitestore.Open(filepath.Join(root, "desk.db"))
	if err != nil {
		return nil, nil, err
	}
	blobs, err := dirblob.OpenOn(d.Files(), filepath.Join(root, "blobs"))
	if err != nil {
		return nil, nil, errors.Join(err, back.Close())
	}
	desk, err := ticket.New(ticket.Config{Store: back.Portal("main"), Blobs: blobs, Limits: ticket.Limits{InlineBody: 10000},
		Connectors: []channel.Connector{channeltest.NewNetwork()}, Timing: timing})
	if err != nil {
		return nil, nil, errors.Join(err, back.Close())
	}
	return desk, back, nil
}

// acceptPowered takes mail in from many goroutines and deletes some of it, while
// orphans are looked for all the time. It returns the moments at which mails
// were acknowledged, and those at which it was begun to delete them.
func acceptPowered(t *testing.T, d *powerloss.Disk, root string) (acked, deleted map[int]int) {
	t.Helper()
	vfs, err := powervfs.Install(d)
	require.NoError(t, err)
	defer func() { require.NoError(t, vfs.Close()) }()
	desk, back, err := openDesk(d, root, ticket.Timing{Sweep: 30 * time.Millisecond, OrphanAge: time.Millisecond})
	require.NoError(t, err)
	defer func() { require.NoError(t, back.Close()) }()
	ch, err := desk.Connect(t.Context(), channeltest.MemoryAccount{Address: "help@portal.example", Mail: true}, ticket.Settings{})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- desk.Run(ctx) }()
	defer func() { cancel(); require.NoError(t, <-done) }()

	acked, deleted = map[int]int{}, map[int]int{}
	var mu sync.Mutex
	var busy sync.WaitGroup
	for w := range 6 {
		busy.Go(func() {
			for n := w; n < powerMails; n += 6 {
				for desk.Accept(ctx, powerMail(ch.ID, n)) != nil && ctx.Err() == nil {
					continue // its body was taken for an orphan
				}
				mu.Lock()
				acked[n] = d.Now()
				if n%5 == 0 {
					deleted[n] = d.Now()
				}
				mu.Unlock()
				if n%5 == 0 {
					deleteMail(t, desk, n)
				}
			}
		})
	}
	busy.Wait()
	return acked, deleted
}

func deleteMail(t *testing.T, desk *ticket.Desk, n int) {
	t.Helper()
	ts, _, err := desk.Tickets(t.Context(), ticket.TicketFilter{}, ticket.Page{Limit: 500})
	if err != nil {
		t.Errorf("Tickets: %v", err)
	}
	for _, tk := range ts {
		ms, _, err := desk.Timeline(t.Context(), ticket.MessageFilter{Ticket: tk.ID}, ticket.Page{Limit: 500})
		for _, m := range ms {
			if m.Text == fmt.Sprint(n) {
				_, err = desk.DeleteMessage(t.Context(), ticket.Actor{}, m.ID)
			}
		}
		if err != nil {
			t.Errorf("delete mail %d: %v", n, err)
		}
	}
}

// checkDesk looks at what a loss of power has left.
func checkDesk(root string, moment int, acked, deleted map[int]int) (err error) {
	ctx := context.Background()
	desk, back, err := openDesk(powerloss.Quick(root), root, ticket.Timing{})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, back.Close()) }()
	seen, redacted := map[string]int{}, 0
	ts, _, err := desk.Tickets(ctx, ticket.TicketFilter{}, ticket.Page{Limit: 500})
	if err != nil {
		return err
	}
	for _, tk := range ts {
		ms, _, err := desk.Timeline(ctx, ticket.MessageFilter{Ticket: tk.ID}, ticket.Page{Limit: 500})
		if err != nil {
			return err
		}
		for _, m := range ms {
			if !m.RedactedAt.IsZero() {
				redacted++
				continue
			}
			seen[m.Text]++
			if err := checkMail(ctx, desk, m); err != nil {
				return fmt.Errorf("mail %s: %w", m.Text, err)
			}
		}
	}
	for n, at := range acked {
		begun, mayBeGone := deleted[n]
		if seen[fmt.Sprint(n)] == 0 && at <= moment && (!mayBeGone || begun > moment) {
			return fmt.Errorf("mail %d was acknowledged and is lost", n)
		}
	}
	for n, times := range seen {
		if times > 1 {
			return fmt.Errorf("mail %s is there %d times", n, times)
		}
	}
	l, err := desk.Ledger(ctx, "", time.Time{})
	if err != nil {
		return err
	}
	if int(l.Messages) != len(seen)+redacted {
		return fmt.Errorf("the ledger has %d messages, there are %d", l.Messages, len(seen)+redacted)
	}
	return nil
}

func checkMail(ctx context.Context, desk *ticket.Desk, m *ticket.Message) error {
	var n int
	if _, err := fmt.Sscan(m.Text, &n); err != nil {
		return err
	}
	raw, err := desk.Raw(ctx, m.ID)
	if err != nil {
		return err
	}
	got, err := channel.ReadBody(raw, 1<<20)
	if err != nil {
		return err
	}
	if string(got) != powerRaw(n) {
		return fmt.Errorf("the raw form has %d bytes, not its %d", len(got), len(powerRaw(n)))
	}
	_, r, err := desk.OpenAttachment(ctx, m.Attachments[0].ID)
	if err != nil {
		return err
	}
	return r.Close()
}

func losePower(t *testing.T, d *powerloss.Disk, seed uint64, points int, check func(root string, moment int) error) error {
	t.Helper()
	temp := t.TempDir()
	quick, err := powervfs.Install(powerloss.Quick(temp))
	require.NoError(t, err)
	defer func() { require.NoError(t, quick.Close()) }()
	rnd := rand.New(rand.NewPCG(seed, 1))
	return d.Lose(rnd, temp, d.Moments(rnd, points), check)
}

// TestPowerLossLosesNoMailThatTheDeskHasAccepted loses power while mails with
// large bodies are accepted, deleted, and swept.
func TestPowerLossLosesNoMailThatTheDeskHasAccepted(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d, err := powerloss.New(root)
	require.NoError(t, err)
	acked, deleted := acceptPowered(t, d, root)
	require.Len(t, acked, powerMails)
	seed := rand.Uint64()
	t.Logf("seed %d, %d ops, %d around syncs", seed, d.Now(), len(d.Syncs()))
	require.NoError(t, losePower(t, d, seed, *powerPoints/powerShare, func(root string, moment int) error {
		return checkDesk(root, moment, acked, deleted)
	}))
}

// What the test above would say if the one or the other were not synced.
func TestPowerLossIsNoticedWhereTheDeskRestsOnNothing(t *testing.T) {
	t.Parallel()
	for name, ignore := range map[string]func(powerloss.Op) bool{
		"the blobs are not synced": func(op powerloss.Op) bool { return strings.HasPrefix(op.Path, "blobs") },
		"the store is not synced":  func(op powerloss.Op) bool { return strings.HasPrefix(op.Path, "desk.db") },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			d, err := powerloss.New(root)
			require.NoError(t, err)
			d.Ignore(ignore)
			acked, deleted := acceptPowered(t, d, root)
			require.Error(t, losePower(t, d, 1, 60, func(root string, moment int) error { return checkDesk(root, moment, acked, deleted) }))
		})
	}
}
