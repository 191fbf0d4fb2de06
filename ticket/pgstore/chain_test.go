package pgstore

import (
	"bytes"
	"io"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// The six moves are all directions between three stores. Blobs stay where they are.
func TestAPortalThatMovesFromStoreToStoreInterruptedEachTimeIsTheSameAtTheEnd(t *testing.T) {
	t.Parallel()
	lite, err := sqlitestore.Open(filepath.Join(t.TempDir(), "a.db"))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, lite.Close()) })
	post, mem := setup(t), memstore.New()
	store, blobs := lite.Portal("first"), memstore.NewBlobs()
	lived(t, store, blobs)
	stream, first := exported(t, store, nil)
	ledger, err := store.Ledger(t.Context(), "", "")
	require.NoError(t, err)
	for i, to := range []ticket.Store{post.Portal("a"), lite.Portal("b"), mem.Portal("c"), post.Portal("d"), mem.Portal("e"), lite.Portal("f")} {
		in := func(r io.Reader) (*ticket.Moved, error) {
			return ticket.Import(t.Context(), ticket.ImportConfig{Store: to, Blobs: blobs}, r)
		}
		half := io.MultiReader(strings.NewReader(stream[:len(stream)*(i+1)/7]), iotest.ErrReader(io.ErrUnexpectedEOF)) // a little later each time
		_, err := in(half)
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "move %d", i)
		require.ErrorIs(t, ticket.Retire(t.Context(), to, start), ticket.ErrImporting)
		moved, err := in(strings.NewReader(stream))
		require.NoError(t, err, "move %d", i)
		rows := 0
		for _, n := range moved.Rows {
			rows += n
		}
		require.Positive(t, rows)
		_, err = in(strings.NewReader(stream))
		require.NoError(t, err, "move %d: once more does nothing", i)
		got, err := to.Ledger(t.Context(), "", "")
		require.NoError(t, err)
		require.ElementsMatch(t, ledger, got, "move %d", i)
		old := stream
		var again []string
		stream, again = exported(t, to, nil)
		slices.Sort(again)
		want := slices.Sorted(slices.Values(first))
		require.Len(t, again, len(want), "move %d", i)
		for k := range want {
			require.Equal(t, want[k], again[k], "move %d", i)
		}
		_, err = in(strings.NewReader(old))
		require.NoError(t, err, "move %d: the same export, which is in", i)
		_, err = in(strings.NewReader(stream))
		require.ErrorIs(t, err, ticket.ErrNotEmpty, "move %d: another", i)
		store = to
	}

	// Whoever reads the feed goes on where they were.
	require.NoError(t, ticket.Reinstate(t.Context(), store, start))
	desk, err := ticket.New(ticket.Config{Store: store, Blobs: blobs, Key: bytes.Repeat([]byte{7}, 32), Connectors: []channel.Connector{channeltest.NewNetwork()}})
	require.NoError(t, err)
	last, err := desk.LastCursor(t.Context())
	require.NoError(t, err)
	require.EqualValues(t, strings.Count(strings.Join(first, "\n"), `{"event":`), last)
	chs, err := desk.Channels(t.Context())
	require.NoError(t, err)
	require.NoError(t, desk.Accept(t.Context(), &channel.Item{Channel: chs[0].ID, Keys: []channel.Key{"new"}, Message: &channel.Message{From: channel.Party{Address: "lan@c.example"}, Text: "new"}}))
	events, err := desk.Events(t.Context(), last, 10)
	require.NoError(t, err)
	require.NotEmpty(t, events)
	require.Equal(t, last+1, events[0].Cursor)
}
