package powerloss

import (
	"io"
	"io/fs"
	"path/filepath"
	"time"

	"github.com/anteroom/anteroom/ticket/internal/disk"
)

// Files is the file system that a Disk records. Nothing is really synced.
func (d *Disk) Files() disk.FS { return files{d: d} }

type files struct {
	disk.OS
	d *Disk
}

// on does an op on a path, which is recorded if it is in the folder.
func (f files) on(kind Kind, path, to string, do func() error) error {
	rel, in := f.d.Path(path)
	if !in {
		return do()
	}
	op := Op{Kind: kind, Path: rel}
	if to != "" {
		op.To, _ = f.d.Path(to)
	}
	return f.d.Do(op, do)
}

func (f files) Mkdir(path string) error {
	return f.on(Mkdir, path, "", func() error { return f.OS.Mkdir(path) })
}

func (f files) Rename(from, to string) error {
	return f.on(Rename, from, to, func() error { return f.OS.Rename(from, to) })
}

func (f files) Remove(path string) error {
	return f.on(Remove, path, "", func() error { return f.OS.Remove(path) })
}

func (f files) SyncDir(path string) error {
	return f.on(SyncDir, path, "", func() error {
		_, err := f.Stat(path)
		return err
	})
}

func (f files) Create(dir, prefix string) (made disk.File, err error) {
	// The name is known when the file is there.
	rel, in := f.d.Path(filepath.Join(dir, prefix))
	if !in {
		return f.OS.Create(dir, prefix)
	}
	if fault := f.d.faulty(Op{Kind: Create, Path: rel}); fault != nil {
		return nil, fault
	}
	if made, err = f.OS.Create(dir, prefix); err != nil {
		return nil, err
	}
	rel, _ = f.d.Path(made.Name())
	return &file{File: made, d: f.d, path: rel, id: f.d.created(rel)}, nil
}

func (f files) Open(path string) (io.ReadCloser, error)        { return f.OS.Open(path) }
func (f files) ReadDir(path string) ([]fs.DirEntry, error)     { return f.OS.ReadDir(path) }
func (f files) Stat(path string) (info fs.FileInfo, err error) { return f.OS.Stat(path) }

// faulty asks whether an op fails.
func (d *Disk) faulty(op Op) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault == nil {
		return nil
	}
	return d.fault(op)
}

// created records a new file.
func (d *Disk) created(path string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.next++
	d.names[path] = d.next
	d.log = append(d.log, Op{Kind: Create, Path: path, file: d.next})
	return d.next
}

type file struct {
	disk.File
	d    *Disk
	path string
	id   int
	size int64
}

func (f *file) Write(p []byte) (n int, err error) {
	err = f.d.Do(Op{Kind: Write, Path: f.path, file: f.id, at: f.size, data: p}, func() error {
		n, err = f.File.Write(p)
		return err
	})
	f.size += int64(n)
	return n, err
}

func (f *file) Sync() error {
	return f.d.Do(Op{Kind: Sync, Path: f.path, file: f.id}, func() error { return nil })
}

func (f *file) SetTime(at time.Time) error { return f.File.SetTime(at) }
