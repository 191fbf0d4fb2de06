// Package disk is the file system as package dirblob uses it, so that tests can
// put another one in its place: one that loses power, or fails.
package disk

import (
	"io"
	"io/fs"
	"os"
	"time"
)

// FS is a file system. Paths are as package os takes them.
type FS interface {
	Mkdir(path string) error
	ReadDir(path string) ([]fs.DirEntry, error)
	Stat(path string) (fs.FileInfo, error)
	// Create makes a new file in a folder, whose name begins with prefix.
	Create(dir, prefix string) (File, error)
	Open(path string) (io.ReadCloser, error)
	Rename(from, to string) error
	Remove(path string) error
	// SyncDir makes the names in a folder durable.
	SyncDir(path string) error
}

// File is a file that is being written.
type File interface {
	io.WriteCloser
	Name() string
	SetTime(at time.Time) error
	// Sync makes the content durable, not the name.
	Sync() error
}

// OS is the operating system's file system.
type OS struct{}

var _ FS = OS{}

// Mkdir makes a folder for this user alone.
func (OS) Mkdir(path string) error { return os.Mkdir(path, 0o700) }

// ReadDir lists a folder.
func (OS) ReadDir(path string) ([]fs.DirEntry, error) { return os.ReadDir(path) }

// Stat describes a file.
func (OS) Stat(path string) (fs.FileInfo, error) { return os.Stat(path) }

// Create makes a file for this user alone.
func (OS) Create(dir, prefix string) (File, error) {
	f, err := os.CreateTemp(dir, prefix)
	if err != nil {
		return nil, err
	}
	return file{f}, nil
}

// Open opens a file for reading.
func (OS) Open(path string) (io.ReadCloser, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// Rename renames a file, replacing the one that has the name.
func (OS) Rename(from, to string) error { return os.Rename(from, to) }

// Remove removes a file.
func (OS) Remove(path string) error { return os.Remove(path) }

// SyncDir syncs a folder.
func (OS) SyncDir(path string) error { return syncDir(path) }

type file struct{ *os.File }

func (f file) SetTime(at time.Time) error { return os.Chtimes(f.Name(), at, at) }
