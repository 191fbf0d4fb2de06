package memstore

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// blobs is a [ticket.Blobs] in memory.
type blobs struct {
	mu   sync.Mutex
	data map[ticket.BodyID]blob
}

type blob struct {
	data []byte // never changed once it is here
	at   time.Time
}

// NewBlobs returns an empty [ticket.Blobs] in memory. Its entries have the time
// at which they were put, by time.Now.
func NewBlobs() ticket.Blobs { return &blobs{data: map[ticket.BodyID]blob{}} }

func (b *blobs) Put(ctx context.Context, id ticket.BodyID, r io.Reader) (int64, error) {
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	data, err := io.ReadAll(r)
	if err != nil {
		return 0, fmt.Errorf("memstore: put blob: %w", err)
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data[id] = blob{data, time.Now().UTC()}
	return int64(len(data)), nil
}

func (b *blobs) Open(ctx context.Context, id ticket.BodyID) (io.ReadCloser, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	v, ok := b.data[id]
	if !ok {
		return nil, fmt.Errorf("memstore: open blob: %w", ticket.ErrNotFound)
	}
	return readSeekCloser{bytes.NewReader(v.data)}, nil
}

// readSeekCloser lets windows into a body be reached by seeking.
type readSeekCloser struct{ *bytes.Reader }

func (readSeekCloser) Close() error { return nil }

func (b *blobs) Delete(ctx context.Context, id ticket.BodyID) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.data, id)
	return nil
}

func (b *blobs) List(ctx context.Context, f func(id ticket.BodyID, size int64, at time.Time) bool) error {
	b.mu.Lock()
	ids := make([]ticket.BodyID, 0, len(b.data))
	for id := range b.data {
		ids = append(ids, id)
	}
	b.mu.Unlock()
	slices.Sort(ids)
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return err
		}
		b.mu.Lock()
		v, ok := b.data[id]
		b.mu.Unlock()
		if ok && !f(id, int64(len(v.data)), v.at) {
			return nil
		}
	}
	return nil
}
