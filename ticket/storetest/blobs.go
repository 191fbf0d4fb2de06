package storetest

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// RunBlobs checks the blobs that open returns, each of which is new and empty.
func RunBlobs(t *testing.T, open func(t *testing.T) ticket.Blobs) {
	t.Helper()
	for _, c := range blobChecks() {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			c.run(&blobKit{tb: t, ctx: context.Background(), b: open(t)})
		})
	}
}

type blobCheck struct {
	name string
	run  func(k *blobKit)
}

type blobKit struct {
	tb
	ctx context.Context
	b   ticket.Blobs
}

// blobID returns the n-th id.
func blobID(n int) ticket.BodyID {
	return ticket.BodyID(fmt.Sprintf("019ca000-0000-7000-8000-%012x", n))
}

func (k *blobKit) put(id ticket.BodyID, data string) {
	k.Helper()
	n, err := k.b.Put(k.ctx, id, strings.NewReader(data))
	if err != nil || n != int64(len(data)) {
		k.Fatalf("Put: %d bytes, %v; want %d", n, err, len(data))
	}
}

// holds compares a blob.
func (k *blobKit) holds(id ticket.BodyID, want string) {
	k.Helper()
	r, err := k.b.Open(k.ctx, id)
	if err != nil {
		k.Fatalf("Open: %v", err)
	}
	defer r.Close()
	got, err := io.ReadAll(r)
	if err != nil || string(got) != want {
		k.Fatalf("read %d bytes, %v; want %d, the same", len(got), err, len(want))
	}
}

func (k *blobKit) absent(id ticket.BodyID) {
	k.Helper()
	r, err := k.b.Open(k.ctx, id)
	if err == nil {
		r.Close()
	}
	if !errors.Is(err, ticket.ErrNotFound) {
		k.Fatalf("Open: %v, want ErrNotFound", err)
	}
}

// list returns the sizes of all blobs.
func (k *blobKit) list() map[ticket.BodyID]int64 {
	k.Helper()
	all := map[ticket.BodyID]int64{}
	err := k.b.List(k.ctx, func(id ticket.BodyID, size int64, at time.Time) bool {
		if _, twice := all[id]; twice || at.IsZero() {
			k.Errorf("List: %s at %v, twice: %v", id, at, twice)
		}
		all[id] = size
		return true
	})
	if err != nil {
		k.Fatalf("List: %v", err)
	}
	return all
}

// failing yields some bytes and then an error.
type failing struct{ left int }

var errFailing = errors.New("the source failed")

func (f *failing) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, errFailing
	}
	n := min(len(p), f.left)
	f.left -= n
	return n, nil
}

func blobChecks() []blobCheck {
	return []blobCheck{
		{"a blob is read as it was put", func(k *blobKit) {
			var all strings.Builder
			for i := range 300000 {
				all.WriteByte(byte(i * i >> 7))
			}
			k.put(blobID(1), all.String())
			k.put(blobID(2), "")
			k.holds(blobID(1), all.String())
			k.holds(blobID(2), "")
		}},
		{"a blob that is absent is not found", func(k *blobKit) {
			k.absent(blobID(1))
		}},
		{"a blob is deleted, and an absent one is fine", func(k *blobKit) {
			k.put(blobID(1), "x")
			for range 2 {
				if err := k.b.Delete(k.ctx, blobID(1)); err != nil {
					k.Fatalf("Delete: %v", err)
				}
				k.absent(blobID(1))
			}
		}},
		{"a blob that is put again is replaced", func(k *blobKit) {
			k.put(blobID(1), "a longer one")
			k.put(blobID(1), "short")
			k.holds(blobID(1), "short")
		}},
		{"of a failed put nothing is left, and what was before stays", func(k *blobKit) {
			k.put(blobID(1), "before")
			for _, id := range []ticket.BodyID{blobID(1), blobID(2)} {
				if _, err := k.b.Put(k.ctx, id, &failing{100000}); !errors.Is(err, errFailing) {
					k.Fatalf("Put: %v, want the source's error", err)
				}
			}
			k.holds(blobID(1), "before")
			k.absent(blobID(2))
			if all := k.list(); len(all) != 1 {
				k.Fatalf("List: %v", all)
			}
		}},
		{"blobs are listed with their sizes until told to stop", func(k *blobKit) {
			if all := k.list(); len(all) != 0 {
				k.Fatalf("List of nothing: %v", all)
			}
			for i := range 20 {
				k.put(blobID(i), strings.Repeat("x", i))
			}
			all := k.list()
			for i := range 20 {
				if size, ok := all[blobID(i)]; !ok || size != int64(i) {
					k.Fatalf("List: blob %d has size %d, listed: %v", i, size, ok)
				}
			}
			if len(all) != 20 {
				k.Fatalf("List: %d blobs", len(all))
			}
			n := 0
			err := k.b.List(k.ctx, func(ticket.BodyID, int64, time.Time) bool { n++; return n < 3 })
			if err != nil || n != 3 {
				k.Fatalf("List stopped after %d of 3, %v", n, err)
			}
		}},
		{"blobs can be deleted while they are listed", func(k *blobKit) {
			for i := range 5 {
				k.put(blobID(i), "x")
			}
			err := k.b.List(k.ctx, func(id ticket.BodyID, _ int64, _ time.Time) bool { return k.b.Delete(k.ctx, id) == nil })
			if err != nil || len(k.list()) != 0 {
				k.Fatalf("List: %v, left %v", err, k.list())
			}
		}},
		{"an open blob can be read to its end though it is replaced or deleted", func(k *blobKit) {
			k.put(blobID(1), "first")
			r, err := k.b.Open(k.ctx, blobID(1))
			if err != nil {
				k.Fatalf("Open: %v", err)
			}
			defer r.Close()
			k.put(blobID(1), "second")
			if err := k.b.Delete(k.ctx, blobID(1)); err != nil {
				k.Fatalf("Delete: %v", err)
			}
			if got, err := io.ReadAll(r); err != nil || string(got) != "first" {
				k.Fatalf("read %q, %v", got, err)
			}
		}},
		{"a context that has ended ends every method", func(k *blobKit) {
			k.put(blobID(1), "x")
			ctx, cancel := context.WithCancel(k.ctx)
			cancel()
			_, put := k.b.Put(ctx, blobID(2), strings.NewReader("x"))
			_, open := k.b.Open(ctx, blobID(1))
			del := k.b.Delete(ctx, blobID(1))
			list := k.b.List(ctx, func(ticket.BodyID, int64, time.Time) bool { return true })
			for name, err := range map[string]error{"Put": put, "Open": open, "Delete": del, "List": list} {
				if !errors.Is(err, context.Canceled) {
					k.Errorf("%s: %v", name, err)
				}
			}
			k.absent(blobID(2))
			k.holds(blobID(1), "x")
		}},
		{"a context that ends while the source is read leaves nothing", func(k *blobKit) {
			ctx, cancel := context.WithCancel(k.ctx)
			source := io.MultiReader(strings.NewReader("some"), readerFunc(func([]byte) (int, error) { cancel(); return 0, io.EOF }))
			if _, err := k.b.Put(ctx, blobID(1), source); !errors.Is(err, context.Canceled) {
				k.Fatalf("Put: %v", err)
			}
			k.absent(blobID(1))
		}},
		{"concurrent puts of one blob leave one of them", func(k *blobKit) {
			a, b := bytes.Repeat([]byte("a"), 100000), bytes.Repeat([]byte("b"), 100000)
			var wg sync.WaitGroup
			errs := make([]error, 8)
			for i := range errs {
				wg.Go(func() { _, errs[i] = k.b.Put(k.ctx, blobID(1), bytes.NewReader([][]byte{a, b}[i%2])) })
			}
			wg.Wait()
			if err := errors.Join(errs...); err != nil {
				k.Fatalf("Put: %v", err)
			}
			r, err := k.b.Open(k.ctx, blobID(1))
			if err != nil {
				k.Fatalf("Open: %v", err)
			}
			defer r.Close()
			got, err := io.ReadAll(r)
			if err != nil || (!bytes.Equal(got, a) && !bytes.Equal(got, b)) {
				k.Fatalf("a mixture of %d bytes, %v", len(got), err)
			}
		}},
	}
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }
