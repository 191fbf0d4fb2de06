//go:build !unix

package emailtest

import "os"

// killGroup kills a process. It returns false once it is gone.
func killGroup(pid int) (left bool) {
	p, err := os.FindProcess(pid)
	return err == nil && p.Kill() == nil
}
