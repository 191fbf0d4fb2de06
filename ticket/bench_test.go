package ticket_test

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// BenchmarkAccept takes in 2 KB mails of new customers: decision and commit,
// without a network.
func BenchmarkAccept(b *testing.B) {
	text := strings.Repeat("Xin chào, đơn hàng của tôi đâu rồi? ", 40)
	backends := map[string]func(b *testing.B) ticket.Backend{
		"memstore": func(*testing.B) ticket.Backend { return memstore.New() },
		"sqlitestore": func(b *testing.B) ticket.Backend {
			db, err := sqlitestore.Open(filepath.Join(b.TempDir(), "bench.db"))
			require.NoError(b, err)
			return db
		},
	}
	for name, open := range backends {
		for _, workers := range []int{1, 20} {
			b.Run(fmt.Sprintf("%s/%d", name, workers), func(b *testing.B) {
				back := open(b)
				defer back.Close()
				net := channeltest.NewNetwork()
				desk, err := ticket.New(ticket.Config{Store: back.Portal("main"), Connectors: []channel.Connector{net}})
				require.NoError(b, err)
				ch, err := desk.Connect(b.Context(), mailAccount(box), ticket.Settings{})
				require.NoError(b, err)
				var n atomic.Int64
				b.SetParallelism(max(1, workers/2))
				b.ReportAllocs()
				b.ResetTimer()
				take := func() {
					i := n.Add(1)
					m := channel.Message{From: from(fmt.Sprintf("c%d@c.example", i)), Subject: "Hi", Text: text, ExternalID: fmt.Sprintf("%d@c.example", i)}
					it := &channel.Item{Channel: ch.ID, Keys: []channel.Key{channel.Key(fmt.Sprint(i))}, Message: &m, Raw: channel.Bytes(text)}
					if err := desk.Accept(context.Background(), it); err != nil {
						b.Error(err)
					}
				}
				if workers == 1 {
					for b.Loop() {
						take()
					}
				} else {
					b.RunParallel(func(pb *testing.PB) {
						for pb.Next() {
							take()
						}
					})
				}
				b.ReportMetric(float64(n.Load())/b.Elapsed().Seconds(), "mails/s")
			})
		}
	}
}
