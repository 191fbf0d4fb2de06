//go:build !linux && !darwin

package hosted

// freeDisk returns which part of the disk of dir is free.
func freeDisk(string) (free float64, known bool) { return 0, false }
