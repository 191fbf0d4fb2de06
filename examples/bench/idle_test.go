package bench

import (
	"bytes"
	"context"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/dirblob"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// BenchmarkIdleToTicket measures the time from the moment in which a server has a
// new mail and writes its notice to a client in IDLE, until the ticket is durable.
// The server is in memory, so that what it takes is small; it is counted with us.
func BenchmarkIdleToTicket(b *testing.B) {
	srv := emailtest.NewIMAP(b, emailtest.IMAPWithUser(imapUser, imapPassword))
	dir := b.TempDir()
	store, err := sqlitestore.Open(filepath.Join(dir, "portal.db"))
	require.NoError(b, err)
	defer store.Close()
	blobs, err := dirblob.Open(filepath.Join(dir, "blobs"))
	require.NoError(b, err)
	tap := &tapped{Connector: account.Connector{}, sinks: make(chan *counted, 1)}
	desk, err := ticket.New(ticket.Config{Store: store.Portal("main"), Blobs: blobs, Key: bytes.Repeat([]byte{7}, 32), Connectors: []channel.Connector{tap}})
	require.NoError(b, err)
	sink := &counted{Desk: desk, each: make(chan struct{}, 1)}
	tap.sinks <- sink
	_, err = desk.Connect(b.Context(), imapAccount(srv, account.None), ticket.Settings{})
	require.NoError(b, err)
	ctx, stop := context.WithCancel(b.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	wg.Go(func() { _ = desk.Run(ctx) })
	compose := text()
	took := make([]time.Duration, 0, b.N)
	b.ResetTimer()
	for n := range b.N {
		require.Eventually(b, func() bool { return srv.Idling() == 1 }, 10*time.Second, time.Millisecond)
		mail := compose(int64(n))
		began := time.Now()
		srv.Add("INBOX", mail, began)
		select {
		case <-sink.each:
		case <-time.After(10 * time.Second):
			b.Fatal("the mail did not come")
		}
		took = append(took, time.Since(began))
		srv.Forget()
	}
	slices.Sort(took)
	at := func(part int) float64 { return float64(took[(len(took)-1)*part/100].Microseconds()) / 1000 }
	b.ReportMetric(at(50), "p50-ms")
	b.ReportMetric(at(99), "p99-ms")
	b.ReportMetric(0, "ns/op")
}
