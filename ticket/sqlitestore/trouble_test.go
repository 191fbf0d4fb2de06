//go:build linux

package sqlitestore_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket/internal/powerloss"
	"github.com/anteroom/anteroom/ticket/internal/powervfs"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// Result codes of SQLite, https://www.sqlite.org/rescode.html.
const (
	errReadonly powervfs.CodeError = 8
	errIO       powervfs.CodeError = 10
	errFull     powervfs.CodeError = 13
	errFsync    powervfs.CodeError = 1034
)

// changes reports whether an op changes the disk, rather than opens a file.
func changes(op powerloss.Op) bool { return op.Kind != powerloss.Create }

// TestADiskThatFailsOnceFailsOneCommitAndHarmsNoOther lets each op of a short
// run fail in turn, with every error a disk has.
func TestADiskThatFailsOnceFailsOneCommitAndHarmsNoOther(t *testing.T) {
	t.Parallel()
	for _, code := range []powervfs.CodeError{errFull, errIO, errReadonly} {
		t.Run(code.Error(), func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			d, err := powerloss.New(root)
			require.NoError(t, err)
			b := powered(t, d, root)
			s := b.Portal("main")
			got, failed, total := map[string]bool{}, 0, 0
			for n := range powerWriters * powerCommits / powerShare {
				id, seen := fmt.Sprintf("%d-%d", n/powerCommits, n%powerCommits), 0
				d.Fault(func(op powerloss.Op) error {
					if !changes(op) {
						return nil
					}
					// Another op each time, so that all come to fail.
					if seen++; seen == 1+n%37 {
						return code
					}
					return nil
				})
				err := s.Commit(t.Context(), powerCommit(n/powerCommits, n%powerCommits))
				d.Fault(nil)
				total++
				if err != nil {
					failed++
					// The source sends it again.
					err = s.Commit(t.Context(), powerCommit(n/powerCommits, n%powerCommits))
				}
				require.NoError(t, err, "after the disk has recovered")
				got[id] = true
			}
			t.Logf("%d of %d commits failed once", failed, total)
			require.Greater(t, failed, total/4)
			require.NoError(t, losePower(t, d, 1, []int{d.Now()}, func(root string, _ int) error {
				var ids []string
				for id := range got {
					ids = append(ids, id)
				}
				return checkPowered(root, ids)
			}))
		})
	}
}

// TestADiskThatStaysFullAcknowledgesNothing keeps a disk full for a while.
func TestADiskThatStaysFullAcknowledgesNothing(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	d, err := powerloss.New(root)
	require.NoError(t, err)
	s := powered(t, d, root).Portal("main")
	require.NoError(t, s.Commit(t.Context(), powerCommit(0, 0)))
	d.Fault(func(op powerloss.Op) error {
		if changes(op) {
			return errFull
		}
		return nil
	})
	for n := range 5 {
		require.Error(t, s.Commit(t.Context(), powerCommit(1, n)))
	}
	_, err = s.Ledger(t.Context(), "", "")
	require.NoError(t, err, "what is there can be read")
	d.Fault(nil)
	require.NoError(t, s.Commit(t.Context(), powerCommit(2, 0)))
	require.NoError(t, losePower(t, d, 1, []int{d.Now()}, func(root string, _ int) error { return checkPowered(root, []string{"0-0", "2-0"}) }))
}

// failWALSync lets the sync of the log fail.
func failWALSync(op powerloss.Op) error {
	if op.Kind == powerloss.Sync && strings.HasSuffix(op.Path, "-wal") {
		return errFsync
	}
	return nil
}

// What a failed sync has left in the log may be seen by all who read the file,
// and never come to the disk. No later commit may rest on it.
func TestWhatIsCommittedAfterAFailedSyncSurvivesPowerLoss(t *testing.T) {
	t.Parallel()
	for _, restart := range []bool{false, true} {
		t.Run(fmt.Sprint("the process is started anew: ", restart), func(t *testing.T) {
			t.Parallel()
			root := t.TempDir()
			d, err := powerloss.New(root)
			require.NoError(t, err)
			b := powered(t, d, root)
			acked := map[string]int{}
			commit := func(b *sqlitestore.Backend, d *powerloss.Disk, w, n int) {
				require.NoError(t, b.Portal("main").Commit(t.Context(), powerCommit(w, n)))
				acked[fmt.Sprintf("%d-%d", w, n)] = d.Now()
			}
			commit(b, d, 0, 0)
			d.Fault(failWALSync)
			for n := range 3 {
				require.Error(t, b.Portal("main").Commit(t.Context(), powerCommit(1, n)))
			}
			d.Fault(nil)
			if restart {
				root := t.TempDir()
				d, err = d.Restart(root)
				require.NoError(t, err)
				b = powered(t, d, root)
			}
			for n := range 4 {
				commit(b, d, 2, n)
			}
			for seed := range uint64(2) {
				var at []int
				for n := acked["2-0"]; n <= d.Now(); n += 1 + int(seed) + 4*powerShare {
					at = append(at, n)
				}
				require.NoError(t, losePower(t, d, seed, at, func(root string, moment int) error {
					var ids []string
					for id, at := range acked {
						if at <= moment {
							ids = append(ids, id)
						}
					}
					return checkPowered(root, ids)
				}))
			}
		})
	}
}

// Opening on a disk in trouble fails and leaves nothing that is in the way.
func TestAStoreIsNotOpenedOnADiskInTrouble(t *testing.T) {
	t.Parallel()
	for n := 1; ; n++ {
		root := t.TempDir()
		d, err := powerloss.New(root)
		require.NoError(t, err)
		vfs, err := powervfs.Install(d)
		require.NoError(t, err)
		seen := 0
		d.Fault(func(op powerloss.Op) error {
			if seen++; seen >= n && changes(op) {
				return errIO
			}
			return nil
		})
		b, err := sqlitestore.Open(filepath.Join(root, "desk.db"))
		d.Fault(nil)
		last := seen < n
		if err == nil {
			// What failed was not needed, such as tidying up.
			require.NoError(t, b.Close())
		}
		b, err = sqlitestore.Open(filepath.Join(root, "desk.db"))
		require.NoError(t, err, "after the disk has recovered")
		require.NoError(t, errors.Join(b.Portal("main").Commit(t.Context(), powerCommit(0, 0)), b.Close(), vfs.Close()))
		if last {
			require.Greater(t, n, 20, "the store writes when it is made")
			return
		}
		n += 3 * powerShare
	}
}
