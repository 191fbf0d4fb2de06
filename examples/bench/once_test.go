package bench

import (
	"bytes"
	"context"
	"io"
	"path/filepath"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/hosted"
	"github.com/anteroom/anteroom/ticket"
)

// meter keeps in mind what is put into blobs, and how much was removed.
type meter struct {
	ticket.Blobs
	mu      sync.Mutex
	put     []bytes.Buffer
	removed int
}

func (m *meter) Put(ctx context.Context, id ticket.BodyID, r io.Reader) (int64, error) {
	var copied bytes.Buffer
	n, err := m.Blobs.Put(ctx, id, io.TeeReader(r, &copied))
	m.mu.Lock()
	defer m.mu.Unlock()
	m.put = append(m.put, copied)
	return n, err
}

func (m *meter) Delete(ctx context.Context, id ticket.BodyID) error {
	m.mu.Lock()
	m.removed++
	m.mu.Unlock()
	return m.Blobs.Delete(ctx, id)
}

func TestLargeMailIsWrittenOnce(t *testing.T) {
	t.Parallel()
	var blobs meter
	addr := portal(t, func(c *ticket.Config, mx *hosted.Server) {
		blobs.Blobs = c.Blobs
		c.Blobs = &blobs
		mx.SpoolDir = filepath.Join(mx.SpoolDir, "no such folder") // a file there would fail
	})
	mail := large()(1)
	c := dial(t, addr, 1).conns[0]
	_, err := c.send("customer1@shop.example", mail)
	require.NoError(t, err)
	require.Len(t, blobs.put, 1)
	require.True(t, bytes.Equal(bytes.TrimSuffix(mail, []byte(".\r\n")), blobs.put[0].Bytes()), "every byte, once")
	require.Zero(t, blobs.removed)

	_, err = c.send("customer1@shop.example", mail)
	require.NoError(t, err)
	require.NoError(t, c.expectAfter("NOOP", "250")) // the message is done with
	require.Len(t, blobs.put, 2)
	require.Equal(t, 1, blobs.removed, "a duplicate is not kept")
}
