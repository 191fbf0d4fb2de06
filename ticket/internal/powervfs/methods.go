//go:build linux

package powervfs

import (
	"path/filepath"

	"modernc.org/libc"
	sqlite "modernc.org/sqlite/lib"

	"github.com/anteroom/anteroom/ticket/internal/powerloss"
)

func libcSize(n uintptr) libc.Tsize_t { return libc.Tsize_t(n) }

// Functions of sqlite3_io_methods, by their arguments.
type (
	plain  = func(*libc.TLS, uintptr) int32
	withI  = func(*libc.TLS, uintptr, int32) int32
	withP  = func(*libc.TLS, uintptr, uintptr) int32
	rw     = func(*libc.TLS, uintptr, uintptr, int32, int64) int32
	cut    = func(*libc.TLS, uintptr, int64) int32
	ctl    = func(*libc.TLS, uintptr, int32, uintptr) int32
	shmMap = func(*libc.TLS, uintptr, int32, int32, int32, uintptr) int32
	shmTry = func(*libc.TLS, uintptr, int32, int32, int32) int32
	nobody = func(*libc.TLS, uintptr)
)

// below returns the methods of the file of the VFS below.
func below(pFile uintptr) *sqlite.Tsqlite3_io_methods {
	return at[sqlite.Tsqlite3_io_methods](at[sqlite.Tsqlite3_file](pFile + header).FpMethods)
}

// methods fills in the methods of files. Memory-mapped reads are left out, and
// so is nothing else.
func (v *VFS) methods(m *sqlite.Tsqlite3_io_methods) {
	m.FiVersion = 2
	v.set(&m.FxClose, v.xClose)
	v.set(&m.FxRead, func(tls *libc.TLS, f, buf uintptr, n int32, off int64) int32 {
		return fn[rw](below(f).FxRead)(tls, f+header, buf, n, off)
	})
	v.set(&m.FxWrite, v.xWrite)
	v.set(&m.FxTruncate, v.xTruncate)
	v.set(&m.FxSync, v.xSync)
	v.set(&m.FxFileSize, func(tls *libc.TLS, f, p uintptr) int32 { return fn[withP](below(f).FxFileSize)(tls, f+header, p) })
	v.set(&m.FxLock, func(tls *libc.TLS, f uintptr, n int32) int32 { return fn[withI](below(f).FxLock)(tls, f+header, n) })
	v.set(&m.FxUnlock, func(tls *libc.TLS, f uintptr, n int32) int32 { return fn[withI](below(f).FxUnlock)(tls, f+header, n) })
	v.set(&m.FxCheckReservedLock, func(tls *libc.TLS, f, p uintptr) int32 {
		return fn[withP](below(f).FxCheckReservedLock)(tls, f+header, p)
	})
	v.set(&m.FxFileControl, func(tls *libc.TLS, f uintptr, n int32, p uintptr) int32 {
		if n == sqlite.SQLITE_FCNTL_SIZE_HINT || n == sqlite.SQLITE_FCNTL_CHUNK_SIZE {
			return sqlite.SQLITE_NOTFOUND // it would write past us
		}
		return fn[ctl](below(f).FxFileControl)(tls, f+header, n, p)
	})
	v.set(&m.FxSectorSize, func(tls *libc.TLS, f uintptr) int32 { return fn[plain](below(f).FxSectorSize)(tls, f+header) })
	v.set(&m.FxDeviceCharacteristics, func(tls *libc.TLS, f uintptr) int32 {
		return fn[plain](below(f).FxDeviceCharacteristics)(tls, f+header)
	})
	v.set(&m.FxShmMap, func(tls *libc.TLS, f uintptr, page, size, extend int32, pp uintptr) int32 {
		return fn[shmMap](below(f).FxShmMap)(tls, f+header, page, size, extend, pp)
	})
	v.set(&m.FxShmLock, func(tls *libc.TLS, f uintptr, offset, n, flags int32) int32 {
		return fn[shmTry](below(f).FxShmLock)(tls, f+header, offset, n, flags)
	})
	v.set(&m.FxShmBarrier, func(tls *libc.TLS, f uintptr) { fn[nobody](below(f).FxShmBarrier)(tls, f+header) })
	v.set(&m.FxShmUnmap, func(tls *libc.TLS, f uintptr, remove int32) int32 {
		return fn[withI](below(f).FxShmUnmap)(tls, f+header, remove)
	})
}

func (v *VFS) xClose(tls *libc.TLS, pFile uintptr) int32 {
	v.mu.Lock()
	delete(v.open, pFile)
	v.mu.Unlock()
	return fn[plain](below(pFile).FxClose)(tls, pFile+header)
}

func (v *VFS) xWrite(tls *libc.TLS, pFile, buf uintptr, n int32, off int64) int32 {
	do := func() int32 { return fn[rw](below(pFile).FxWrite)(tls, pFile+header, buf, n, off) }
	f := v.recorded(pFile)
	if f == nil {
		return do()
	}
	op := powerloss.WriteAt(f.path, bytes(buf, n), off)
	return code(v.disk.Do(op, func() error { return failed(do()) }), sqlite.SQLITE_IOERR_WRITE)
}

func (v *VFS) xTruncate(tls *libc.TLS, pFile uintptr, size int64) int32 {
	do := func() int32 { return fn[cut](below(pFile).FxTruncate)(tls, pFile+header, size) }
	f := v.recorded(pFile)
	if f == nil {
		return do()
	}
	return code(v.disk.Do(powerloss.CutTo(f.path, size), func() error { return failed(do()) }), sqlite.SQLITE_IOERR_TRUNCATE)
}

// xSync records; the file below is not synced, which tests would wait for.
func (v *VFS) xSync(tls *libc.TLS, pFile uintptr, flags int32) int32 {
	f := v.recorded(pFile)
	if f == nil {
		return fn[withI](below(pFile).FxSync)(tls, pFile+header, flags)
	}
	nothing := func() error { return nil }
	if err := v.disk.Do(powerloss.Op{Kind: powerloss.Sync, Path: f.path}, nothing); err != nil {
		return code(err, sqlite.SQLITE_IOERR_FSYNC)
	}
	if f.folder { // as os_unix.c does for a new journal
		f.folder = false
		return code(v.disk.Do(powerloss.Op{Kind: powerloss.SyncDir, Path: filepath.Dir(f.path)}, nothing), sqlite.SQLITE_IOERR_DIR_FSYNC)
	}
	return sqlite.SQLITE_OK
}
