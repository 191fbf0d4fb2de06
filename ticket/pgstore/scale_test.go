package pgstore

import (
	"cmp"
	flags "flag"
	"os/exec"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket/internal/scaletest"
)

var (
	scaleSmall  = flags.String("scale.small", "", "connection `string` of a database with 10 thousand tickets of examples/fill; empty: a small one is filled")
	scaleLarge  = flags.String("scale.large", "", "connection `string` of the large database, such as a million tickets; empty: a small one is filled")
	scaleOrders = flags.Int("scale.orders", 0, "`tickets` of the large one that examples/fill has made, if the rest are copies")
)

// scaleBound is what a list of the large store takes at the most, in multiples of
// what it takes in the small one.
const scaleBound = 2

// scaled returns the small store and the large one.
func scaled(b *testing.B) (out [2]*scaletest.Filled) {
	for i, url := range []string{*scaleSmall, *scaleLarge} {
		given := url != ""
		if !given {
			url = cluster.Database(b)
			n := strconv.Itoa([]int{1000, 2000}[i])
			fill := exec.CommandContext(b.Context(), "go", "run", "github.com/anteroom/anteroom/examples/fill", "-store", url, "-tickets", n)
			said, err := fill.CombinedOutput()
			require.NoError(b, err, "%s", said)
		}
		db := open(b, url)
		b.Cleanup(func() { require.NoError(b, db.Close()) })
		var n int
		require.NoError(b, db.pool.QueryRow(b.Context(), db.sql.in("SELECT number FROM anteroom.portals WHERE name = 'main'")).Scan(&n))
		if !given {
			_, err := db.pool.Exec(b.Context(), "VACUUM ANALYZE")
			require.NoError(b, err)
		}
		orders := n
		if i == 1 {
			orders = cmp.Or(*scaleOrders, n)
		}
		out[i] = scaletest.Open(b, db.Portal("main"), n, orders)
	}
	return out
}

// BenchmarkScale reads lists of fifty in two stores, in turns, and compares the
// medians. With the databases given, which were filled and vacuumed before:
//
//	go test -run='^$' -bench=Scale -benchtime=100x ./ticket/pgstore -scale.small=postgres://... -scale.large=postgres://...
func BenchmarkScale(b *testing.B) {
	stores := scaled(b)
	for _, l := range append(scaletest.Lists(), scaletest.Slow()...) {
		b.Run(l.Name, func(b *testing.B) {
			r := l.Measure(b, stores)
			if b.N >= 20 && *scaleLarge != "" && !strings.HasPrefix(l.Name, "slow/") && r > scaleBound {
				b.Errorf("the ratio %.2f is over %d", r, scaleBound)
			}
		})
	}
}

// BenchmarkScaleIntake commits first mails to the same two stores, in turns. What
// it wrote is left there.
func BenchmarkScaleIntake(b *testing.B) {
	stores := scaled(b)
	for _, writers := range []int{1, 16} {
		b.Run(strconv.Itoa(writers), func(b *testing.B) { scaletest.MeasureIntake(b, stores, writers) })
	}
}
