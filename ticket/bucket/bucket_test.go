package bucket_test

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"gocloud.dev/blob"
	"gocloud.dev/blob/fileblob"
	"gocloud.dev/blob/memblob"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/bucket"
	"github.com/anteroom/anteroom/ticket/storetest"
)

func inMemory(t *testing.T) *blob.Bucket {
	t.Helper()
	b := memblob.OpenBucket(nil)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b
}

// inFolder returns a bucket in a folder and the folder.
func inFolder(t *testing.T) (*blob.Bucket, string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "a", "bucket")
	b, err := fileblob.OpenBucket(root, &fileblob.Options{CreateDir: true, NoTempDir: true})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	return b, root
}

func TestBlobs(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(t *testing.T) *blob.Bucket{
		"in memory":   inMemory,
		"in a folder": func(t *testing.T) *blob.Bucket { b, _ := inFolder(t); return b },
		"under a prefix": func(t *testing.T) *blob.Bucket {
			b := blob.PrefixedBucket(memblob.OpenBucket(nil), "help/") // which closes the other
			t.Cleanup(func() { require.NoError(t, b.Close()) })
			return b
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			storetest.RunBlobs(t, func(t *testing.T) ticket.Blobs { return bucket.New(open(t)) })
		})
	}
}

func TestAnIDIsNoPath(t *testing.T) {
	t.Parallel()
	objects, root := inFolder(t)
	b := bucket.New(objects)
	for _, id := range []ticket.BodyID{
		"", ".", "..", "../x", "../../x", "/etc/passwd", `..\x`, `c:\x`, "a/b", "a\x00b", ".hidden", "A", "ü", "a b", "-rf", "_x", "a.attrs",
		"a__0x2f__B", ticket.BodyID(strings.Repeat("a", 129)),
	} {
		_, err := b.Put(t.Context(), id, strings.NewReader("x"))
		require.ErrorIs(t, err, bucket.ErrID, "%q", id)
		_, err = b.Open(t.Context(), id)
		require.ErrorIs(t, err, ticket.ErrNotFound, "%q", id)
		require.NoError(t, b.Delete(t.Context(), id), "%q", id)
	}
	entries, err := os.ReadDir(filepath.Dir(root))
	require.NoError(t, err)
	require.Len(t, entries, 1, "only the bucket")
	entries, err = os.ReadDir(root)
	require.NoError(t, err)
	require.Empty(t, entries)
	for _, id := range []ticket.BodyID{"a", "con", "0-_", ticket.BodyID(strings.Repeat("a", 128))} {
		_, err := b.Put(t.Context(), id, strings.NewReader("x"))
		require.NoError(t, err, "%q", id)
	}
}

func TestWhatIsNotOursIsNeitherListedNorTouched(t *testing.T) {
	t.Parallel()
	objects := inMemory(t)
	for _, key := range []string{"README.txt", "folder/0a", "Upper"} {
		require.NoError(t, objects.WriteAll(t.Context(), key, []byte("x"), nil))
	}
	b := bucket.New(objects)
	_, err := b.Put(t.Context(), "0a", strings.NewReader("x"))
	require.NoError(t, err)
	require.Equal(t, []ticket.BodyID{"0a"}, ids(t, b))
	require.NoError(t, b.Delete(t.Context(), "README.txt"))
	require.NoError(t, b.Delete(t.Context(), "folder/0a"))
	n := 0
	objectsLeft := objects.List(nil)
	for {
		_, err := objectsLeft.Next(t.Context())
		if errors.Is(err, io.EOF) {
			break
		}
		require.NoError(t, err)
		n++
	}
	require.Equal(t, 4, n)
}

func TestAnObjectCanBeReadFromTheMiddle(t *testing.T) {
	t.Parallel()
	b := bucket.New(inMemory(t))
	_, err := b.Put(t.Context(), "a", strings.NewReader("0123456789"))
	require.NoError(t, err)
	r, err := b.Open(t.Context(), "a")
	require.NoError(t, err)
	defer r.Close()
	s, ok := r.(io.Seeker)
	require.True(t, ok)
	_, err = s.Seek(7, io.SeekStart)
	require.NoError(t, err)
	rest, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "789", string(rest))
}

// zeros yields n bytes, and looks at the heap on its way.
type zeros struct {
	left    int
	highest uint64
}

func (z *zeros) Read(p []byte) (int, error) {
	if z.left == 0 {
		return 0, io.EOF
	}
	if z.left%(8<<20) == 0 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		z.highest = max(z.highest, m.HeapAlloc)
	}
	n := min(len(p), z.left, 32<<10)
	clear(p[:n])
	z.left -= n
	return n, nil
}

//nolint:paralleltest // it looks at the heap of the process
func TestALargeBodyIsNotHeldInMemory(t *testing.T) {
	objects, _ := inFolder(t)
	b := bucket.New(objects)
	var before runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	const size = 64 << 20
	z := &zeros{left: size}
	n, err := b.Put(t.Context(), "large", z)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
	require.Less(t, z.highest, before.HeapAlloc+(16<<20))
	r, err := b.Open(t.Context(), "large")
	require.NoError(t, err)
	defer r.Close()
	n, err = io.Copy(io.Discard, r)
	require.NoError(t, err)
	require.EqualValues(t, size, n)
}

func ids(t *testing.T, b ticket.Blobs) (all []ticket.BodyID) {
	t.Helper()
	require.NoError(t, b.List(context.WithoutCancel(t.Context()), listInto(&all)))
	return all
}
