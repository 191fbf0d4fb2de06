// Package powerloss records what is done to the files of a folder, and makes the
// folders that a loss of power could have left at any moment of it. It is for
// tests.
//
// # The model
//
// What was written to a file is sure once the file was synced after it; of what
// was written later any part may be there, in pieces of 512 bytes and in any
// order. A piece that is written in part leaves its neighbours alone (SQLite
// asks as much). A name that was made, changed or removed is sure once its
// folder was synced; a rename happens or does not. Syncing a file says nothing
// about its name.
//
// A sync of a file that fails loses what was written since the one before: who
// reads the file still sees it, and no later sync makes it sure. That is what
// Linux may do (https://lwn.net/Articles/752063/).
package powerloss

import (
	"cmp"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
)

// Disk records. Its methods are safe for concurrent use.
type Disk struct {
	root   string
	quiet  bool
	ignore func(Op) bool
	fault  func(Op) error

	mu    sync.Mutex
	log   []Op
	names map[string]int // the file that has a name now
	next  int
	began int
}

// Kind says what an Op does.
type Kind string

// Kinds of ops.
const (
	Create  Kind = "create"
	Mkdir   Kind = "mkdir"
	Write   Kind = "write"
	Cut     Kind = "truncate"
	Sync    Kind = "sync"
	Rename  Kind = "rename"
	Remove  Kind = "remove"
	SyncDir Kind = "sync folder"
	Lost    Kind = "failed sync"
)

// Op is one thing done to the folder. Paths are relative to it.
type Op struct {
	Kind Kind
	Path string
	To   string // of Rename
	file int
	at   int64 // of Write; the size, of Cut
	data []byte
}

// New returns a Disk that records what is done below root. What is there is sure.
func New(root string) (*Disk, error) {
	d := &Disk{root: filepath.Clean(root), names: map[string]int{}}
	err := filepath.WalkDir(d.root, func(path string, e fs.DirEntry, err error) error {
		rel, _ := d.Path(path)
		if err != nil || rel == "." {
			return err
		}
		if e.IsDir() {
			d.log = append(d.log, Op{Kind: Mkdir, Path: rel})
			return nil
		}
		data, err := os.ReadFile(path) //nolint:gosec // a test's own folder
		d.next++
		d.names[rel] = d.next
		d.log = append(d.log, Op{Kind: Create, Path: rel, file: d.next}, Op{Kind: Write, Path: rel, file: d.next, data: data},
			Op{Kind: Sync, Path: rel, file: d.next})
		return err
	})
	for _, op := range slices.Clone(d.log) {
		if op.Kind == Mkdir || op.Kind == Create {
			d.log = append(d.log, Op{Kind: SyncDir, Path: filepath.Dir(op.Path)})
		}
	}
	d.began = len(d.log)
	return d, err
}

// Quick returns a Disk that neither records nor syncs: for looking at what a
// loss of power has left below root.
func Quick(root string) *Disk {
	return &Disk{root: filepath.Clean(root), names: map[string]int{}, quiet: true}
}

// Restart returns a Disk that goes on with d below another folder, into which it
// copies the files as who reads them sees them: what a process finds that is
// started after one was killed, while power stays.
func (d *Disk) Restart(root string) (*Disk, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	files := map[string][]byte{}
	for path := range d.names {
		data, err := os.ReadFile(filepath.Join(d.root, path))
		if err != nil {
			return nil, err
		}
		files[path] = data
	}
	next := &Disk{root: filepath.Clean(root), log: slices.Clone(d.log), names: maps.Clone(d.names), next: d.next, began: len(d.log)}
	return next, write(root, nil, files)
}

// Began returns the first moment.
func (d *Disk) Began() int { return d.began }

// Ignore makes the syncs for which f returns true do nothing: a disk that lies,
// or a program that does not sync.
func (d *Disk) Ignore(f func(Op) bool) { d.ignore = f }

// Fault makes f decide over each op before it is done; an error from f is
// returned in its place. nil ends that.
func (d *Disk) Fault(f func(Op) error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.fault = f
}

// Now returns how many ops there have been. What has returned by then must
// survive every loss of power from then on.
func (d *Disk) Now() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return len(d.log)
}

// Syncs lists the moments right before and right after each sync.
func (d *Disk) Syncs() (moments []int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for i, op := range d.log {
		if i < d.began {
			continue
		}
		if op.Kind == Sync || op.Kind == SyncDir {
			moments = append(moments, i, i+1)
		}
	}
	return slices.Compact(moments)
}

// Path returns the path within the folder, and whether it is in it.
func (d *Disk) Path(path string) (string, bool) {
	rel, ok := strings.CutPrefix(filepath.Clean(path), d.root+string(filepath.Separator))
	if !ok && filepath.Clean(path) == d.root {
		return ".", true
	}
	return rel, ok
}

// Do does an op and records it, unless a fault prevents it or it fails.
func (d *Disk) Do(op Op, do func() error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.fault != nil {
		if err := d.fault(op); err != nil {
			if op.Kind == Sync {
				op.Kind, op.file = Lost, cmp.Or(op.file, d.names[op.Path])
				d.log = append(d.log, op)
			}
			return err
		}
	}
	if err := do(); err != nil || d.quiet {
		return err
	}
	switch op.Kind {
	case Create:
		if _, exists := d.names[op.Path]; exists {
			return nil // it was opened
		}
		d.next++
		d.names[op.Path] = d.next
		op.file = d.next
	case Write, Cut, Sync:
		if op.file == 0 {
			op.file = d.names[op.Path]
		}
	case Rename:
		op.file = d.names[op.Path]
		d.names[op.To] = op.file
		delete(d.names, op.Path)
	case Remove:
		delete(d.names, op.Path)
	}
	if (op.Kind == Sync || op.Kind == SyncDir) && d.ignore != nil && d.ignore(op) {
		return nil
	}
	op.data = slices.Clone(op.data)
	d.log = append(d.log, op)
	return nil
}

// WriteAt is the Op of a write.
func WriteAt(path string, data []byte, at int64) Op {
	return Op{Kind: Write, Path: path, data: data, at: at}
}

// CutTo is the Op of a truncation.
func CutTo(path string, size int64) Op { return Op{Kind: Cut, Path: path, at: size} }

// write writes the files of a folder.
func write(root string, dirs []string, files map[string][]byte) error {
	for _, dir := range dirs {
		if err := os.MkdirAll(filepath.Join(root, dir), 0o700); err != nil {
			return err
		}
	}
	for path, data := range files {
		if err := os.WriteFile(filepath.Join(root, path), data, 0o600); err != nil {
			return err
		}
	}
	return nil
}
