//go:build unix

package emailtest

import (
	"errors"
	"syscall"
)

// killGroup kills a process and all that belong to its group. It returns false
// once none is left.
func killGroup(pid int) (left bool) {
	return !errors.Is(syscall.Kill(-pid, syscall.SIGKILL), syscall.ESRCH)
}
