//go:build unix

package scaletest

import (
	"syscall"
	"time"
)

// processorTime is what the process used so far, the garbage collector included.
func processorTime() time.Duration {
	var r syscall.Rusage
	if syscall.Getrusage(syscall.RUSAGE_SELF, &r) != nil {
		return 0
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}
