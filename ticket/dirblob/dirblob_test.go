package dirblob_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/dirblob"
	"github.com/anteroom/anteroom/ticket/storetest"
)

func setup(t *testing.T) (*dirblob.Dir, string) {
	t.Helper()
	root := filepath.Join(t.TempDir(), "a", "blobs")
	d, err := dirblob.Open(root, dirblob.FreeDisk(0))
	require.NoError(t, err)
	return d, root
}

// files returns the paths of all files below root.
func files(t *testing.T, root string) (all []string) {
	t.Helper()
	require.NoError(t, filepath.WalkDir(root, func(path string, e fs.DirEntry, err error) error {
		if err == nil && !e.IsDir() {
			all = append(all, path)
		}
		return err
	}))
	return all
}

func TestBlobs(t *testing.T) {
	t.Parallel()
	storetest.RunBlobs(t, func(t *testing.T) ticket.Blobs {
		d, _ := setup(t)
		return d
	})
}

func TestAnIDIsNoPath(t *testing.T) {
	t.Parallel()
	d, root := setup(t)
	for _, id := range []ticket.BodyID{
		"", ".", "..", "../x", "../../x", "/etc/passwd", `..\x`, `c:\x`, "a/b", "a\x00b", ".put-1", ".hidden", "A", "ü", "a b", "-rf", "_x",
		"a.blob", ticket.BodyID(strings.Repeat("a", 129)),
	} {
		_, err := d.Put(t.Context(), id, strings.NewReader("x"))
		require.ErrorIs(t, err, dirblob.ErrID, "%q", id)
		_, err = d.Open(t.Context(), id)
		require.ErrorIs(t, err, ticket.ErrNotFound, "%q", id)
		require.NoError(t, d.Delete(t.Context(), id), "%q", id)
	}
	require.Empty(t, files(t, filepath.Dir(root)))
	for _, id := range []ticket.BodyID{"a", "con", "0-_", ticket.BodyID(strings.Repeat("a", 128))} {
		_, err := d.Put(t.Context(), id, strings.NewReader("x"))
		require.NoError(t, err, "%q", id)
	}
}

func TestReopeningKeepsBlobs(t *testing.T) {
	t.Parallel()
	d, root := setup(t)
	_, err := d.Put(t.Context(), "a", strings.NewReader("content"))
	require.NoError(t, err)
	again, err := dirblob.Open(root, dirblob.FreeDisk(0))
	require.NoError(t, err)
	r, err := again.Open(t.Context(), "a")
	require.NoError(t, err)
	defer r.Close()
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "content", string(got))
}

func TestOpenRemovesWhatCrashesLeft(t *testing.T) {
	t.Parallel()
	d, root := setup(t)
	_, err := d.Put(t.Context(), "a", strings.NewReader("content"))
	require.NoError(t, err)
	blob := files(t, root)[0]
	stale, fresh := filepath.Join(filepath.Dir(blob), ".put-1"), filepath.Join(filepath.Dir(blob), ".put-2")
	foreign := filepath.Join(root, "README")
	for _, path := range []string{stale, fresh, foreign} {
		require.NoError(t, os.WriteFile(path, []byte("half"), 0o600))
	}
	old := time.Now().Add(-25 * time.Hour)
	for _, path := range []string{stale, blob, foreign} {
		require.NoError(t, os.Chtimes(path, old, old))
	}
	again, err := dirblob.Open(root, dirblob.FreeDisk(0))
	require.NoError(t, err)
	require.ElementsMatch(t, []string{blob, fresh, foreign}, files(t, root))
	var listed []ticket.BodyID
	require.NoError(t, again.List(t.Context(), func(id ticket.BodyID, _ int64, _ time.Time) bool {
		listed = append(listed, id)
		return true
	}))
	require.Equal(t, []ticket.BodyID{"a"}, listed)
}

func TestAFailedPutLeavesNoFile(t *testing.T) {
	t.Parallel()
	d, root := setup(t)
	broken := errors.New("broken")
	_, err := d.Put(t.Context(), "a", io.MultiReader(strings.NewReader("half"), errorReader{broken}))
	require.ErrorIs(t, err, broken)
	require.Empty(t, files(t, root))
}

func TestABlobIsAsOldAsItsPut(t *testing.T) {
	t.Parallel()
	d, root := setup(t)
	// The source pauses for a day before it ends.
	pause := readerFunc(func([]byte) (int, error) {
		day := time.Now().Add(-24 * time.Hour)
		return 0, errors.Join(os.Chtimes(files(t, root)[0], day, day), io.EOF)
	})
	began := time.Now().Add(-time.Minute)
	_, err := d.Put(t.Context(), "a", io.MultiReader(strings.NewReader("content"), endReader{pause}))
	require.NoError(t, err)
	require.NoError(t, d.List(t.Context(), func(_ ticket.BodyID, _ int64, at time.Time) bool {
		require.True(t, at.After(began), "%v", at)
		return true
	}))
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// endReader reads once and ends.
type endReader struct{ r io.Reader }

func (r endReader) Read(p []byte) (int, error) { _, _ = r.r.Read(p); return 0, io.EOF }

type errorReader struct{ err error }

func (r errorReader) Read([]byte) (int, error) { return 0, r.err }

func TestAFolderThatSomebodyRemovedIsMadeAgain(t *testing.T) {
	t.Parallel()
	d, root := setup(t)
	const id = ticket.BodyID("0198-a-body")
	_, err := d.Put(t.Context(), id, strings.NewReader("one"))
	require.NoError(t, err)
	require.NoError(t, d.Delete(t.Context(), id))
	shards, err := os.ReadDir(root)
	require.NoError(t, err)
	for _, s := range shards {
		require.NoError(t, os.Remove(filepath.Join(root, s.Name())))
	}
	_, err = d.Put(t.Context(), id, strings.NewReader("two"))
	require.NoError(t, err)
	r, err := d.Open(t.Context(), id)
	require.NoError(t, err)
	defer r.Close()
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "two", string(got))
}

func TestBlobsCanSeek(t *testing.T) {
	t.Parallel()
	d, _ := setup(t)
	_, err := d.Put(context.Background(), "a", strings.NewReader("0123456789"))
	require.NoError(t, err)
	r, err := d.Open(t.Context(), "a")
	require.NoError(t, err)
	defer r.Close()
	_, err = r.(io.Seeker).Seek(7, io.SeekStart)
	require.NoError(t, err)
	got, err := io.ReadAll(r)
	require.NoError(t, err)
	require.Equal(t, "789", string(got))
}

func TestOpenOfAFileFails(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "file")
	require.NoError(t, os.WriteFile(path, nil, 0o600))
	_, err := dirblob.Open(path)
	require.Error(t, err)
	_, err = dirblob.Open("")
	require.Error(t, err)
}

func TestABlobLeavesRoomOnTheDisk(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	for _, tc := range []struct {
		options []dirblob.Option
		refused bool
	}{
		{[]dirblob.Option{dirblob.FreeDisk(101)}, runtime.GOOS == "linux" || runtime.GOOS == "darwin"},
		{[]dirblob.Option{dirblob.FreeDisk(0)}, false},
	} {
		d, err := dirblob.Open(root, tc.options...)
		require.NoError(t, err)
		_, err = d.Put(t.Context(), "x", strings.NewReader("x"))
		require.Equal(t, tc.refused, err != nil)
		if err != nil {
			require.ErrorContains(t, err, "and 101 must be")
			require.Empty(t, files(t, root))
		}
	}
}
