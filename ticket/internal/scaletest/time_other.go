//go:build !unix

package scaletest

import "time"

func processorTime() time.Duration { return 0 }
