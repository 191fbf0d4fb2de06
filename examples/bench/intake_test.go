package bench

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"runtime/metrics"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/hosted"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/dirblob"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// portal starts the whole: a hosted mailbox, a desk, SQLite, a directory.
func portal(b testing.TB, changes ...func(c *ticket.Config, mx *hosted.Server)) string {
	dir := b.TempDir()
	store, err := sqlitestore.Open(filepath.Join(dir, "portal.db"))
	require.NoError(b, err)
	blobs, err := dirblob.Open(filepath.Join(dir, "blobs"))
	require.NoError(b, err)
	mx := &hosted.Server{Domain: "help.example", SpoolDir: dir, Limits: hosted.Limits{
		Messages: -1, ConnectionRate: -1, ConnectionsPerIP: -1, Pregreet: -1,
	}}
	cfg := ticket.Config{Store: store.Portal("main"), Blobs: blobs, Connectors: []channel.Connector{mx}}
	for _, change := range changes {
		change(&cfg, mx)
	}
	desk, err := ticket.New(cfg)
	require.NoError(b, err)
	_, err = desk.Connect(b.Context(), hosted.Mailbox{LocalPart: "support"}, ticket.Settings{})
	require.NoError(b, err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	ctx, stop := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	wg.Go(func() { _ = desk.Run(ctx) })
	wg.Go(func() { _ = mx.Serve(ctx, l) })
	b.Cleanup(func() {
		stop()
		wg.Wait()
		store.Close()
	})
	require.Eventually(b, func() bool {
		all, _ := desk.Channels(b.Context())
		return len(all) == 1 && all[0].Status.State == channel.StateLive
	}, 10*time.Second, time.Millisecond)
	return l.Addr().String()
}

func allocated() uint64 {
	s := []metrics.Sample{{Name: "/gc/heap/allocs:bytes"}}
	metrics.Read(s)
	return s[0].Value.Uint64()
}

// turn is how many mails one side takes before the other's turn.
const turn = 500

// BenchmarkIntake has the same mails taken by the library and by the bounds.
func BenchmarkIntake(b *testing.B) {
	for _, m := range []struct {
		name    string
		compose func(serial int64) []byte
	}{{"text-2KB", text()}, {"alternative-30KB", html(true)}, {"html-30KB", html(false)}} {
		for _, n := range []int{1, 20, 100} {
			b.Run(fmt.Sprintf("%s/%d", m.name, n), func(b *testing.B) {
				if testing.Short() && n > 20 {
					b.Skip("-short")
				}
				compare(b, n, m.compose)
			})
		}
	}
}

func compare(b *testing.B, connections int, compose func(serial int64) []byte) {
	var serial atomic.Int64
	var ours, a, two tally
	sides := []struct {
		fleet *fleet
		tally *tally
	}{{dial(b, portal(b), connections), &ours}, {dial(b, boundA(b), connections), &a}, {dial(b, boundB(b), connections), &two}}
	for _, s := range sides { // statements prepared, pages allocated
		s.fleet.run(max(1, min(b.N, connections)), &serial, compose, &tally{})
	}
	b.SetBytes(int64(len(compose(1))))
	b.ResetTimer()
	for left := b.N; left > 0; left -= turn {
		for _, s := range sides {
			s.fleet.run(min(left, turn), &serial, compose, s.tally)
		}
	}
	b.StopTimer()
	of := func(x, y *tally) float64 { return y.took.Seconds() / x.took.Seconds() }
	b.ReportMetric(of(&ours, &a), "of-A")
	b.ReportMetric(of(&ours, &two), "of-B")
	b.ReportMetric(float64(ours.p99())/float64(a.p99()), "p99-of-A")
	b.ReportMetric(float64(ours.cpu)/float64(a.cpu), "cpu-of-A")
	b.ReportMetric(float64(ours.bytes)/float64(a.bytes), "B-of-A")
	b.ReportMetric(float64(ours.n)/ours.took.Seconds(), "mails/s")
	b.ReportMetric(float64(ours.cpu.Microseconds())/float64(ours.n), "cpu-us/mail")
	b.ReportMetric(float64(ours.bytes)/float64(ours.n), "B/mail")
	b.ReportMetric(0, "ns/op")
}
