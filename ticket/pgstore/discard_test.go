package pgstore

import (
	"fmt"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

func TestOfReleaseAndDiscardOnTwoNodesOneSucceedsOnEveryStore(t *testing.T) {
	t.Parallel()
	lite, err := sqlitestore.Open(filepath.Join(t.TempDir(), "a.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lite.Close()) })
	for name, back := range map[string]ticket.Backend{"PostgreSQL": setup(t), "SQLite": lite, "memory": memstore.New()} {
		const box, items = "help@office.example", 20
		net := channeltest.NewNetwork()
		open := func() *ticket.Desk {
			d, err := ticket.New(ticket.Config{Store: back.Portal("main"), Connectors: []channel.Connector{net}})
			require.NoError(t, err, name)
			return d
		}
		here := open()
		ch, err := here.Connect(t.Context(), channeltest.MemoryAccount{Address: box, Mail: true}, ticket.Settings{})
		require.NoError(t, err)
		there := open()
		source := make([]*channel.Item, items)
		for i := range source {
			it := net.Item(box, channel.Message{From: channel.Party{Address: fmt.Sprintf("c%d@c.example", i)}, Text: "held"})
			it.Channel, it.Quarantined, it.Raw = ch.ID, "policy", channel.Bytes("raw")
			source[i] = it
		}
		require.NoError(t, here.Accept(t.Context(), source...))
		held, _, err := here.Quarantine(t.Context(), ticket.Page{Limit: 100})
		require.NoError(t, err)
		require.Len(t, held, items)
		released, discarded := make([]error, items), make([]error, items)
		var busy sync.WaitGroup
		for i := range held {
			busy.Go(func() { _, released[i] = here.Release(t.Context(), ticket.Agent("an"), held[i].ID) })
			busy.Go(func() { _, discarded[i] = there.Discard(t.Context(), ticket.Agent("bo"), held[i].ID) })
		}
		busy.Wait()
		messages := 0
		for i := range held {
			switch {
			case released[i] == nil:
				require.ErrorIs(t, discarded[i], ticket.ErrState, name)
				messages++
			default:
				require.ErrorIs(t, released[i], ticket.ErrState, name)
				require.NoError(t, discarded[i], name)
			}
		}
		l, err := here.Ledger(t.Context(), "", time.Time{})
		require.NoError(t, err)
		require.EqualValues(t, items, l.Received, name)
		require.EqualValues(t, messages, l.Messages, name)
		require.EqualValues(t, items-messages, l.Ignored[ticket.CauseDiscarded], name)
		require.Empty(t, l.Quarantined, name)
		require.NoError(t, there.Accept(t.Context(), source...))
		l.Duplicates = items
		again, err := here.Ledger(t.Context(), "", time.Time{})
		require.NoError(t, err)
		require.Equal(t, l, again, name)
	}
}
