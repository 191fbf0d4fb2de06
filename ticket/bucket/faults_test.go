package bucket_test

import (
	"context"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/driver"
	"gocloud.dev/gcerrors"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/bucket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

func listInto(all *[]ticket.BodyID) func(ticket.BodyID, int64, time.Time) bool {
	return func(id ticket.BodyID, _ int64, _ time.Time) bool {
		*all = append(*all, id)
		return true
	}
}

var errService = errors.New("the service is in trouble")

// trouble is a driver all of whose calls fail, some of them late.
type trouble struct {
	driver.Bucket
	atClose bool // writes fail when they are closed, not before
	closed  *int // how many were closed with a context that had not ended
}

func (trouble) ErrorCode(error) gcerrors.ErrorCode { return gcerrors.Internal }
func (trouble) ErrorAs(error, any) bool            { return false }
func (trouble) Close() error                       { return nil }

func (trouble) ListPaged(context.Context, *driver.ListOptions) (*driver.ListPage, error) {
	return nil, errService
}

func (trouble) NewRangeReader(context.Context, string, int64, int64, *driver.ReaderOptions) (driver.Reader, error) {
	return nil, errService
}

func (trouble) Delete(context.Context, string, *driver.DeleteOptions) error { return errService }

func (b trouble) NewTypedWriter(ctx context.Context, _, _ string, _ *driver.WriterOptions) (driver.Writer, error) {
	return &troubledWriter{ctx: ctx, b: b}, nil
}

type troubledWriter struct {
	ctx context.Context
	b   trouble
}

func (w *troubledWriter) Write(p []byte) (int, error) {
	if w.b.atClose {
		return len(p), nil
	}
	return 0, errService
}

func (w *troubledWriter) Upload(io.Reader) error { return errService }

func (w *troubledWriter) Close() error {
	if w.ctx.Err() == nil {
		*w.b.closed++
	}
	return errService
}

func TestTroubleOfTheServiceIsAnErrorOfItsOwn(t *testing.T) {
	t.Parallel()
	for name, atClose := range map[string]bool{"while it is written": false, "at the confirmation": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			closed := 0
			objects := blob.NewBucket(trouble{atClose: atClose, closed: &closed})
			defer objects.Close()
			b := bucket.New(objects)
			n, put := b.Put(t.Context(), "a", strings.NewReader(strings.Repeat("x", 1000)))
			require.Zero(t, n)
			_, open := b.Open(t.Context(), "a")
			list := b.List(t.Context(), func(ticket.BodyID, int64, time.Time) bool { return true })
			for what, err := range map[string]error{"put": put, "open": open, "delete": b.Delete(t.Context(), "a"), "list": list} {
				require.ErrorIs(t, err, errService, what)
				require.ErrorContains(t, err, "bucket: "+what)
				require.NotErrorIs(t, err, ticket.ErrNotFound, what)
			}
			require.Equal(t, atClose, closed == 1, "what could not be written is given up, and not confirmed")
		})
	}
}

func TestADeskKeepsAndCollectsItsBodiesInABucket(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		blobs := bucket.New(inMemory(t))
		network := channeltest.NewNetwork()
		desk, err := ticket.New(ticket.Config{
			Store: memstore.New().Portal("main"), Blobs: blobs, Connectors: []channel.Connector{network},
			Limits: ticket.Limits{InlineBody: 10}, Timing: ticket.Timing{Poll: time.Hour, Refresh: time.Hour},
		})
		require.NoError(t, err)
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- desk.Run(ctx) }()
		synctest.Wait()
		const box = "support@help.example"
		_, err = desk.Connect(ctx, channeltest.MemoryAccount{Address: box, Name: "Help", Mail: true}, ticket.Settings{})
		require.NoError(t, err)
		synctest.Wait()
		it := network.Item(box, channel.Message{From: channel.Party{Address: "mai@c.example"}, Text: "hello"})
		it.Raw = channel.Bytes("a raw form of more than ten bytes")
		require.NoError(t, network.Deliver(ctx, box, it))
		kept := ids(t, blobs)
		require.Len(t, kept, 1)

		mark, _, _ := strings.Cut(string(kept[0]), "-")
		_, err = blobs.Put(ctx, ticket.BodyID(mark+"-orphan"), strings.NewReader("of a crash"))
		require.NoError(t, err)
		time.Sleep(96 * time.Hour)
		require.Equal(t, kept, ids(t, blobs))
		r, err := blobs.Open(ctx, kept[0])
		require.NoError(t, err)
		raw, err := io.ReadAll(r)
		require.NoError(t, err)
		require.NoError(t, r.Close())
		require.Equal(t, "a raw form of more than ten bytes", string(raw))
		cancel()
		require.NoError(t, <-done)
	})
}
