// Package dirblob keeps large content as files in a folder.
//
// # Durability
//
// A blob is written to a temporary file, synced and renamed, and the folder is
// synced, before Put returns: after a crash a blob is there whole or not at all.
// What a crash has left of unfinished puts is removed by [Open]. A Put that fails
// at its last step, the sync of the folder, may leave the whole blob.
//
// # Concurrency
//
// All methods are safe for concurrent use, also by several processes on one
// folder, as long as none of them opens it while another has been putting one
// blob for longer than a day.
package dirblob

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/bodies"
	"github.com/anteroom/anteroom/ticket/internal/disk"
)

// Dir is a [ticket.Blobs] in a folder. Make one with [Open].
type Dir struct {
	root string
	fs   disk.FS
	free int // percent

	mu   sync.Mutex
	made map[string]bool // shards that are durable
}

var _ ticket.Blobs = (*Dir)(nil)

const (
	temporary = ".put-" // begins the names of files that are being written
	// staleAfter is the age from which on a temporary file is a crash's.
	staleAfter = 24 * time.Hour
)

// An Option changes how [Open] opens a folder.
type Option func(*Dir)

// FreeDisk sets which part of the disk must be free before a blob is begun, in
// percent, so that large content leaves room for what is small and for the
// database beside it. The default is 10; 0 is no limit. It is not known on every
// system, and then does not apply. What is refused is temporary.
func FreeDisk(percent int) Option { return func(d *Dir) { d.free = percent } }

// Open opens the folder at path, making it if it does not exist, and removes
// what crashes have left: temporary files that have not been written to for a
// day.
func Open(path string, opts ...Option) (*Dir, error) {
	if path == "" {
		return nil, errors.New("dirblob: open: the path is empty")
	}
	return open(disk.OS{}, path, append([]Option{FreeDisk(10)}, opts...)...)
}

func open(files disk.FS, path string, opts ...Option) (*Dir, error) {
	d := &Dir{root: filepath.Clean(path), fs: files, made: map[string]bool{}}
	for _, opt := range opts {
		opt(d)
	}
	if err := d.makeAll(d.root); err != nil {
		return nil, fmt.Errorf("dirblob: open: %w", err)
	}
	if err := d.clean(time.Now().Add(-staleAfter)); err != nil {
		return nil, fmt.Errorf("dirblob: open: %w", err)
	}
	return d, nil
}

// makeAll makes a folder and those above it, durably.
func (d *Dir) makeAll(path string) error {
	parent := filepath.Dir(path)
	if _, err := d.fs.Stat(parent); errors.Is(err, fs.ErrNotExist) && parent != path {
		if err := d.makeAll(parent); err != nil {
			return err
		}
	}
	if err := d.fs.Mkdir(path); err != nil {
		if info, stat := d.fs.Stat(path); stat != nil || !info.IsDir() {
			return err
		}
	}
	return d.fs.SyncDir(parent)
}

// makeShard makes one of the folders among which blobs are spread. It may be
// there without being durable yet: another Put has just made it, or a process
// that died then. So each is synced once by each process.
func (d *Dir) makeShard(path string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.made[path] {
		return nil
	}
	if err := d.fs.Mkdir(path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	if err := d.fs.SyncDir(d.root); err != nil {
		return err
	}
	d.made[path] = true
	return nil
}

// clean removes temporary files last written to before the given time.
func (d *Dir) clean(before time.Time) error {
	return d.walk(func(path string, e fs.DirEntry) error {
		if !strings.HasPrefix(e.Name(), temporary) {
			return nil
		}
		info, err := e.Info()
		if err == nil && info.ModTime().Before(before) {
			err = d.fs.Remove(path)
		}
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	})
}

// walk calls f for each file of each shard. What is not ours is left alone.
func (d *Dir) walk(f func(path string, e fs.DirEntry) error) error {
	folders, err := d.fs.ReadDir(d.root)
	if err != nil {
		return err
	}
	for _, shard := range folders {
		if !shard.IsDir() || len(shard.Name()) != 2 {
			continue
		}
		entries, err := d.fs.ReadDir(filepath.Join(d.root, shard.Name()))
		if err != nil {
			return err
		}
		for _, e := range entries {
			if !e.Type().IsRegular() {
				continue
			}
			if err := f(filepath.Join(d.root, shard.Name(), e.Name()), e); err != nil {
				return err
			}
		}
	}
	return nil
}

// ErrID says that an id cannot be the name of a file.
var ErrID = errors.New("dirblob: an id has 1 to 128 lower-case letters, digits, '-' and '_', and begins with a letter or digit")

// file returns the path of a blob. The rule for ids leaves no way out of the
// folder and no two ids in one file, also where letter case does not count.
func (d *Dir) file(id ticket.BodyID) (string, error) {
	if !bodies.ValidID(string(id)) {
		return "", ErrID
	}
	h := fnv.New32a()
	_, _ = io.WriteString(h, string(id))
	// The name has an ending so that it is never one that a system reserves.
	return filepath.Join(d.root, fmt.Sprintf("%02x", byte(h.Sum32())), string(id)+ending), nil
}

const ending = ".blob"

// Put stores what r yields. Putting an id again replaces it at once; whoever
// reads the old one goes on reading that. An id that cannot be a file's name is
// refused with [ErrID].
func (d *Dir) Put(ctx context.Context, id ticket.BodyID, r io.Reader) (size int64, err error) {
	path, err := d.file(id)
	if err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if size, err = d.put(ctx, path, r); err != nil {
		if ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return 0, ctx.Err()
		}
		return 0, fmt.Errorf("dirblob: put: %w", err)
	}
	return size, nil
}

func (d *Dir) put(ctx context.Context, path string, r io.Reader) (size int64, err error) {
	if d.free > 0 {
		if free, known := disk.Free(d.root); known && free*100 < float64(d.free) {
			return 0, fmt.Errorf("%.1f%% of the disk are free, and %d must be", free*100, d.free)
		}
	}
	shard := filepath.Dir(path)
	if err := d.makeShard(shard); err != nil {
		return 0, err
	}
	f, err := d.fs.Create(shard, temporary)
	if errors.Is(err, fs.ErrNotExist) { // somebody has removed it, as empty
		d.mu.Lock()
		delete(d.made, shard)
		d.mu.Unlock()
		if err = d.makeShard(shard); err == nil {
			f, err = d.fs.Create(shard, temporary)
		}
	}
	if err != nil {
		return 0, err
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = d.fs.Remove(f.Name())
		}
	}()
	if size, err = io.Copy(f, bodies.Reader(ctx, r)); err != nil {
		return 0, err
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	// The last write may be long ago; List tells when it was put.
	if err := f.SetTime(time.Now()); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	if err := f.Close(); err != nil {
		return 0, err
	}
	if err := d.fs.Rename(f.Name(), path); err != nil {
		return 0, err
	}
	return size, d.fs.SyncDir(shard)
}

// Open returns a reader of a blob, which can seek. It returns an error wrapping
// [ticket.ErrNotFound] when there is none.
func (d *Dir) Open(ctx context.Context, id ticket.BodyID) (io.ReadCloser, error) {
	path, err := d.file(id)
	if err != nil {
		return nil, fmt.Errorf("dirblob: open: %w", ticket.ErrNotFound) // since it was never put
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	f, err := d.fs.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("dirblob: open: %w", ticket.ErrNotFound)
	}
	if err != nil {
		return nil, fmt.Errorf("dirblob: open: %w", err)
	}
	return f, nil
}

// Delete removes a blob.
func (d *Dir) Delete(ctx context.Context, id ticket.BodyID) error {
	path, err := d.file(id)
	if err != nil {
		return nil //nolint:nilerr // an id that cannot be was never put
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err = d.fs.Remove(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil {
		err = d.fs.SyncDir(filepath.Dir(path))
	}
	if err != nil {
		return fmt.Errorf("dirblob: delete: %w", err)
	}
	return nil
}

// errStop ends a walk.
var errStop = errors.New("stop")

// List calls f for each blob, shard by shard, with the time at which it was put.
// Of blobs that come or go meanwhile each may be listed or not.
func (d *Dir) List(ctx context.Context, f func(id ticket.BodyID, size int64, at time.Time) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := d.walk(func(_ string, e fs.DirEntry) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		id, is := strings.CutSuffix(e.Name(), ending)
		if !is || !bodies.ValidID(id) {
			return nil
		}
		info, err := e.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err == nil && !f(ticket.BodyID(id), info.Size(), info.ModTime().UTC()) {
			err = errStop
		}
		return err
	})
	if err == nil || errors.Is(err, errStop) {
		return nil
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("dirblob: list: %w", err)
}
