//go:build !linux && !darwin

package disk

// Free returns which part of the disk of a folder is free, where that is known.
func Free(string) (free float64, known bool) { return 0, false }
