package dirblob_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/dirblob"
	"github.com/anteroom/anteroom/ticket/internal/powerloss"
)

// powerBlobs are what a test of power loss puts.
const powerBlobs = 60

func powerBlob(n int) string { return strings.Repeat(fmt.Sprintf("content %d.", n), 100*(n%17)) }

// putPowered puts blobs from many goroutines, deletes some, and returns the
// moments at which that was acknowledged.
func putPowered(t *testing.T, d *powerloss.Disk, root string) (put, deleted map[ticket.BodyID]int) {
	t.Helper()
	b, err := dirblob.OpenOn(d.Files(), filepath.Join(root, "blobs"))
	require.NoError(t, err)
	put, deleted = map[ticket.BodyID]int{}, map[ticket.BodyID]int{}
	var mu sync.Mutex
	var busy sync.WaitGroup
	for w := range 6 {
		busy.Go(func() {
			for n := w; n < powerBlobs; n += 6 {
				id := ticket.BodyID(fmt.Sprint("blob-", n))
				// One byte at a time makes several writes of it.
				_, err := b.Put(context.Background(), id, io.MultiReader(strings.NewReader("content"[:min(7, len(powerBlob(n)))]), strings.NewReader(powerBlob(n)[min(7, len(powerBlob(n))):])))
				mu.Lock()
				if err == nil {
					put[id] = d.Now()
				}
				mu.Unlock()
				if n%5 == 0 {
					err := b.Delete(context.Background(), id)
					mu.Lock()
					if err == nil {
						deleted[id] = d.Now()
					}
					mu.Unlock()
				}
			}
		})
	}
	busy.Wait()
	return put, deleted
}

// checkBlobs looks at what a loss of power has left.
func checkBlobs(root string, moment int, put, deleted map[ticket.BodyID]int) error {
	b, err := dirblob.OpenOn(powerloss.Quick(root).Files(), filepath.Join(root, "blobs"))
	if err != nil {
		return err
	}
	ctx := context.Background()
	var half error
	listed := map[ticket.BodyID]bool{}
	err = b.List(ctx, func(id ticket.BodyID, _ int64, _ time.Time) bool {
		listed[id] = true
		r, err := b.Open(ctx, id)
		if err != nil {
			half = err
			return false
		}
		defer r.Close()
		var n int
		_, scan := fmt.Sscanf(string(id), "blob-%d", &n)
		got, err := io.ReadAll(r)
		if half = errors.Join(scan, err); half == nil && string(got) != powerBlob(n) {
			half = fmt.Errorf("%s has %d bytes, which are not its %d", id, len(got), len(powerBlob(n)))
		}
		return half == nil
	})
	if err := errors.Join(err, half); err != nil {
		return err
	}
	for id, at := range put {
		if _, mayBeGone := deleted[id]; at <= moment && !listed[id] && !mayBeGone {
			return fmt.Errorf("%s was acknowledged and is lost", id)
		}
	}
	for id, at := range deleted {
		if at <= moment && listed[id] {
			return fmt.Errorf("%s was deleted and is there", id)
		}
	}
	return nil
}

func TestPowerLossLosesNoBlobAndLeavesNoneHalf(t *testing.T) {
	t.Parallel()
	for _, seed := range []uint64{rand.Uint64(), rand.Uint64()} {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			d, err := powerloss.New(root)
			require.NoError(t, err)
			put, deleted := putPowered(t, d, root)
			require.Len(t, put, powerBlobs)
			rnd := rand.New(rand.NewPCG(seed, 1))
			require.NoError(t, d.Lose(rnd, t.TempDir(), d.Moments(rnd, *powerPoints/powerShare), func(root string, moment int) error {
				return checkBlobs(root, moment, put, deleted)
			}))
		})
	}
}

// What the test above would say of blobs that are not synced.
func TestPowerLossIsNoticedWhereBlobsAreNotSynced(t *testing.T) {
	t.Parallel()
	for name, ignore := range map[string]func(powerloss.Op) bool{
		"not the content": func(op powerloss.Op) bool { return op.Kind == powerloss.Sync },
		"not the shards":  func(op powerloss.Op) bool { return op.Kind == powerloss.SyncDir && strings.Contains(op.Path, "/") },
		"not the root":    func(op powerloss.Op) bool { return op.Kind == powerloss.SyncDir && op.Path == "blobs" },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			d, err := powerloss.New(root)
			require.NoError(t, err)
			d.Ignore(ignore)
			put, deleted := putPowered(t, d, root)
			rnd := rand.New(rand.NewPCG(1, 1))
			require.Error(t, d.Lose(rnd, t.TempDir(), d.Moments(rnd, 40), func(root string, moment int) error {
				return checkBlobs(root, moment, put, deleted)
			}))
		})
	}
}

// A folder that is there need not be durable: whoever made it may have failed.
func TestABlobInAShardOfAFailedPutSurvivesPowerLoss(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d, err := powerloss.New(root)
	require.NoError(t, err)
	b, err := dirblob.OpenOn(d.Files(), filepath.Join(root, "blobs"))
	require.NoError(t, err)
	d.Fault(func(op powerloss.Op) error {
		if op.Kind == powerloss.SyncDir {
			return errors.New("input/output error")
		}
		return nil
	})
	_, err = b.Put(t.Context(), "blob-1", strings.NewReader("lost"))
	require.Error(t, err)
	d.Fault(nil)
	_, err = b.Put(t.Context(), "blob-1", strings.NewReader(powerBlob(1)))
	require.NoError(t, err)
	for seed := range uint64(8) {
		require.NoError(t, d.Lose(rand.New(rand.NewPCG(seed, 1)), t.TempDir(), []int{d.Now()}, func(root string, moment int) error {
			return checkBlobs(root, moment, map[ticket.BodyID]int{"blob-1": moment}, nil)
		}))
	}
}

// Every op of a Put fails once, with every error a disk has.
func TestAPutOnAFailingDiskFailsAndTheNextOneWorks(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d, err := powerloss.New(root)
	require.NoError(t, err)
	b, err := dirblob.OpenOn(d.Files(), filepath.Join(root, "blobs"))
	require.NoError(t, err)
	kinds := map[powerloss.Kind]int{}
	for n := 1; ; n++ {
		id := ticket.BodyID(fmt.Sprint("blob-", n))
		seen, broken := 0, fmt.Errorf("disk error %d", n)
		d.Fault(func(op powerloss.Op) error {
			if op.Kind == powerloss.Remove {
				return nil
			}
			if seen++; seen == n {
				kinds[op.Kind]++
				return broken
			}
			return nil
		})
		_, err := b.Put(t.Context(), id, strings.NewReader(powerBlob(n)))
		if seen < n {
			require.NoError(t, err)
			break
		}
		require.ErrorIs(t, err, broken)
		d.Fault(nil)
		// What is listed is whole, whatever failed.
		require.NoError(t, checkBlobs(root, 0, nil, nil))
		_, err = b.Put(t.Context(), id, strings.NewReader(powerBlob(n)))
		require.NoError(t, err)
		require.NoError(t, checkBlobs(root, 0, map[ticket.BodyID]int{id: 0}, nil))
		for _, path := range files(t, root) {
			require.NotContains(t, path, ".put-", "no temporary file is left")
		}
	}
	for _, k := range []powerloss.Kind{powerloss.Mkdir, powerloss.SyncDir, powerloss.Create, powerloss.Write, powerloss.Sync, powerloss.Rename} {
		require.Positive(t, kinds[k], "no %s has failed", k)
	}
}
