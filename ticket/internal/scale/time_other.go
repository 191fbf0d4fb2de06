//go:build !unix

package scale

import "time"

func processorTime() time.Duration { return 0 }
