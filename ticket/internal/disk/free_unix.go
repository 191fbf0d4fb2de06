//go:build linux || darwin

package disk

import "syscall"

// Free returns which part of the disk of a folder is free, for who is not root.
func Free(path string) (free float64, known bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(path, &st); err != nil || st.Blocks == 0 {
		return 0, false
	}
	return float64(st.Bavail) / float64(st.Blocks), true
}
