package sqlitestore

import (
	flags "flag"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket/internal/scaletest"
)

var (
	scaleFolder = flags.String("scale.dir", "", "`folder` in which filled databases are kept for later runs")
	scaleSmall  = flags.Int("scale.small", 10_000, "tickets in the small store; 1000 with -short")
	scaleCold   = flags.Bool("scale.cold", false, "read each list as the first one after the machine was started: from a store that was just opened, with none of its file in memory")
	scaleLarge  = flags.Int("scale.large", 1_000_000, "tickets in the large store; 4000 with -short")
)

// Bounds of what the large store takes, in multiples of what the small one does.
const (
	listBound   = 1.5 // time of a list, at the most
	intakeBound = 0.9 // rate of intake, at the least
)

// fillBoth returns the small store and the large one.
func fillBoth(b *testing.B) [2]*scaletest.Filled {
	small, large, dir := *scaleSmall, *scaleLarge, *scaleFolder
	if testing.Short() {
		small, large = 1000, 4000
	}
	if dir == "" {
		dir = b.TempDir()
	}
	var out [2]*scaletest.Filled
	for i, n := range []int{small, large} {
		path := filepath.Join(dir, strconv.Itoa(n)+".db")
		fill := exec.CommandContext(b.Context(), "go", "run", "github.com/anteroom/anteroom/examples/fill", "-store", path, "-tickets", strconv.Itoa(n))
		said, err := fill.CombinedOutput()
		require.NoError(b, err, "%s", said)
		db, err := Open(path)
		require.NoError(b, err)
		b.Cleanup(func() { require.NoError(b, db.Close()) })
		f := scaletest.Open(b, db.Portal("main"), n, n)
		if *scaleCold {
			f.Before = func() {
				require.NoError(b, db.Close())
				forgetFile(b, path)
				db, err = Open(path)
				require.NoError(b, err)
				f.Store = db.Portal("main")
				_, err := f.Ledger(b.Context(), "nothing", "") // opens the reader and finds the portal
				require.NoError(b, err)
			}
		}
		out[i] = f
	}
	return out
}

// BenchmarkScale reads lists of fifty in a store with a million tickets and in
// one with ten thousand, in turns, and compares the medians. Filling takes
// minutes, once if the databases are kept. With -scale.cold nothing of either is in
// memory when a list is read:
//
//	go test -run='^$' -bench=Scale -benchtime=200x -timeout=2h -scale.dir=/var/tmp/scale ./ticket/sqlitestore
func BenchmarkScale(b *testing.B) {
	stores := fillBoth(b)
	for _, l := range scaletest.Lists() {
		b.Run(l.Name, func(b *testing.B) {
			r := l.Measure(b, stores)
			if b.N >= 20 && !testing.Short() && r > listBound {
				b.Errorf("the ratio %.2f is over %.1f", r, listBound)
			}
		})
	}
	for _, l := range scaletest.Slow() {
		b.Run(l.Name, func(b *testing.B) { l.Measure(b, stores) })
	}
}

// BenchmarkScaleIntake commits first mails to the same two stores, in turns. What
// it wrote is left there, so that a small store that is kept does not stay small:
// remove it before another run.
func BenchmarkScaleIntake(b *testing.B) {
	stores := fillBoth(b)
	for _, writers := range []int{1, 20} {
		b.Run(strconv.Itoa(writers), func(b *testing.B) {
			if ratio := scaletest.MeasureIntake(b, stores, writers); b.N >= 20 && !testing.Short() && ratio < intakeBound {
				b.Errorf("the ratio %.2f is under %.1f", ratio, intakeBound)
			}
		})
	}
}
