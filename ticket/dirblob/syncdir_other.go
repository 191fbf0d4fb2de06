//go:build !unix

package dirblob

// syncDir does nothing where folders cannot be synced.
func syncDir(string) error { return nil }
