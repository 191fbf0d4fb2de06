package sqlitestore

import (
	"os"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"
)

// forgetFile has the system keep nothing of a file in memory.
func forgetFile(b *testing.B, path string) {
	b.Helper()
	f, err := os.Open(path)
	require.NoError(b, err)
	require.NoError(b, f.Sync())
	const dontNeed = 4 // POSIX_FADV_DONTNEED
	_, _, errno := syscall.Syscall6(syscall.SYS_FADVISE64, f.Fd(), 0, 0, dontNeed, 0, 0)
	require.Zero(b, errno)
	require.NoError(b, f.Close())
}
