//go:build linux || darwin

package hosted

import "syscall"

// freeDisk returns which part of the disk of dir is free.
func freeDisk(dir string) (free float64, known bool) {
	var st syscall.Statfs_t
	if err := syscall.Statfs(dir, &st); err != nil || st.Blocks == 0 {
		return 0, false
	}
	return float64(st.Bavail) / float64(st.Blocks), true
}
