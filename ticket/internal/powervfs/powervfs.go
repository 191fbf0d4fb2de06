//go:build linux

// Package powervfs lets SQLite write by way of a powerloss.Disk. It is for tests.
//
// It is a VFS (https://www.sqlite.org/vfs.html) that hands everything on to the
// one that was the default before, and records what is done to the files below a
// folder. Files elsewhere are left alone, so that it can be the default of a
// whole process while other tests run.
package powervfs

import (
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"unsafe"

	"modernc.org/libc"
	sqlite "modernc.org/sqlite/lib"

	"github.com/anteroom/anteroom/ticket/internal/powerloss"
)

// VFS is a registered VFS. Make one with [Install].
type VFS struct {
	disk  *powerloss.Disk
	under uintptr // the VFS to hand on to
	self  uintptr
	io    uintptr // sqlite3_io_methods of recorded files
	tls   *libc.TLS
	// keep holds the functions to which C memory points, for the garbage collector.
	keep []any

	mu   sync.Mutex
	open map[uintptr]*file // by the address of its sqlite3_file
}

// installed holds every VFS there was. SQLite's registry is the process's, a later
// VFS may hand on to one that is closed, and the garbage collector sees neither.
var installed = new(sync.Map)

// file is an open file below the folder.
type file struct {
	path   string
	folder bool // the first sync also syncs the folder
	wal    bool
}

// CodeError is an error for a fault that SQLite is to see: SQLITE_FULL and the like.
type CodeError int32

func (c CodeError) Error() string { return fmt.Sprintf("sqlite code %d", int32(c)) }

// header is how much of a sqlite3_file is ours; the rest is that of the VFS below.
const header = 16

// Install makes a VFS the default of the process, until Close. It records on d.
func Install(d *powerloss.Disk) (*VFS, error) {
	v := &VFS{disk: d, tls: libc.NewTLS(), open: map[uintptr]*file{}}
	if rc := sqlite.Xsqlite3_initialize(v.tls); rc != sqlite.SQLITE_OK {
		return nil, fmt.Errorf("powervfs: initialize: %w", CodeError(rc))
	}
	v.under = sqlite.Xsqlite3_vfs_find(v.tls, 0)
	size := unsafe.Sizeof(sqlite.Tsqlite3_vfs{})
	v.self = libc.Xcalloc(v.tls, 1, libcSize(size))
	v.io = libc.Xcalloc(v.tls, 1, libcSize(unsafe.Sizeof(sqlite.Tsqlite3_io_methods{})))
	name, err := libc.CString(fmt.Sprintf("power%x", v.self))
	if err != nil || v.self == 0 || v.io == 0 {
		return nil, errors.New("powervfs: out of memory")
	}
	vfs := at[sqlite.Tsqlite3_vfs](v.self)
	*vfs = *at[sqlite.Tsqlite3_vfs](v.under)
	vfs.FpNext, vfs.FzName = 0, name
	vfs.FszOsFile += header
	// The others do not look at their VFS, or only at what is copied.
	v.set(&vfs.FxOpen, v.xOpen)
	v.set(&vfs.FxDelete, v.xDelete)
	v.methods(at[sqlite.Tsqlite3_io_methods](v.io))
	if rc := sqlite.Xsqlite3_vfs_register(v.tls, v.self, 1); rc != sqlite.SQLITE_OK {
		return nil, fmt.Errorf("powervfs: register: %w", CodeError(rc))
	}
	installed.Store(v.self, v)
	return v, nil
}

// Close unregisters the VFS. Its memory stays, as another one may hand on to it.
func (v *VFS) Close() error {
	defer v.tls.Close()
	if rc := sqlite.Xsqlite3_vfs_unregister(v.tls, v.self); rc != sqlite.SQLITE_OK {
		return fmt.Errorf("powervfs: unregister: %w", CodeError(rc))
	}
	return nil
}

// at returns what is at an address of C memory.
func at[T any](p uintptr) *T { return *(**T)(unsafe.Pointer(&p)) } //nolint:gosec // C memory

// bytes returns n bytes of C memory.
func bytes(p uintptr, n int32) []byte { return unsafe.Slice(at[byte](p), n) } //nolint:gosec // C memory

// fn returns the Go function that a C function pointer stands for.
func fn[F any](p uintptr) F {
	holder := &struct{ p uintptr }{p}
	return *(*F)(unsafe.Pointer(holder)) //nolint:gosec // how the driver calls, too
}

// set makes a C function pointer stand for a Go function.
func (v *VFS) set(slot *uintptr, f any) {
	v.keep = append(v.keep, f)
	// The second word of an interface that holds a function is the function.
	*slot = (*[2]uintptr)(unsafe.Pointer(&f))[1] //nolint:gosec // how the driver sets them, too
}

func (v *VFS) recorded(pFile uintptr) *file {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.open[pFile]
}

// code turns an error into what SQLite is told.
func code(err error, otherwise int32) int32 {
	if err == nil {
		return sqlite.SQLITE_OK
	}
	if c, ok := errors.AsType[CodeError](err); ok {
		return int32(c)
	}
	return otherwise
}

// failed is what an op returns that the VFS below has failed at.
func failed(rc int32) error {
	if rc == sqlite.SQLITE_OK {
		return nil
	}
	return CodeError(rc)
}

type (
	openFunc   = func(*libc.TLS, uintptr, uintptr, uintptr, int32, uintptr) int32
	deleteFunc = func(*libc.TLS, uintptr, uintptr, int32) int32
)

func (v *VFS) xOpen(tls *libc.TLS, _, name, pFile uintptr, flags int32, out uintptr) int32 {
	*at[[2]uintptr](pFile) = [2]uintptr{}
	under := at[sqlite.Tsqlite3_vfs](v.under)
	do := func() int32 {
		return fn[openFunc](under.FxOpen)(tls, v.under, name, pFile+header, flags, out)
	}
	opened := func(rc int32, f *file) int32 {
		// A file whose opening has failed is closed if it has methods.
		if at[sqlite.Tsqlite3_file](pFile+header).FpMethods == 0 {
			return rc
		}
		v.mu.Lock()
		v.open[pFile] = f
		v.mu.Unlock()
		at[sqlite.Tsqlite3_file](pFile).FpMethods = v.io
		return rc
	}
	rel, in := "", false
	if name != 0 {
		rel, in = v.disk.Path(libc.GoString(name))
	}
	if !in {
		return opened(do(), nil)
	}
	journal := flags&(sqlite.SQLITE_OPEN_MAIN_JOURNAL|sqlite.SQLITE_OPEN_SUPER_JOURNAL|sqlite.SQLITE_OPEN_WAL) != 0
	create := flags&sqlite.SQLITE_OPEN_CREATE != 0
	f := &file{path: rel, folder: journal && create, wal: flags&sqlite.SQLITE_OPEN_WAL != 0}
	if !create {
		return opened(do(), f)
	}
	rc := int32(sqlite.SQLITE_OK)
	err := v.disk.Do(powerloss.Op{Kind: powerloss.Create, Path: rel}, func() error {
		rc = opened(do(), f)
		return failed(rc)
	})
	if err != nil && rc == sqlite.SQLITE_OK {
		return code(err, sqlite.SQLITE_CANTOPEN)
	}
	return rc
}

func (v *VFS) xDelete(tls *libc.TLS, _, name uintptr, sync int32) int32 {
	under := at[sqlite.Tsqlite3_vfs](v.under)
	do := func() int32 { return fn[deleteFunc](under.FxDelete)(tls, v.under, name, sync) }
	path := libc.GoString(name)
	rel, in := v.disk.Path(path)
	if !in || strings.HasSuffix(path, "-shm") {
		return do()
	}
	err := v.disk.Do(powerloss.Op{Kind: powerloss.Remove, Path: rel}, func() error { return failed(do()) })
	if err == nil && sync != 0 {
		err = v.disk.Do(powerloss.Op{Kind: powerloss.SyncDir, Path: filepath.Dir(rel)}, func() error { return nil })
	}
	return code(err, sqlite.SQLITE_IOERR_DELETE)
}
