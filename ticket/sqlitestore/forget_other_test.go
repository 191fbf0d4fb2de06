//go:build !linux

package sqlitestore

import "testing"

func forgetFile(b *testing.B, _ string) {
	b.Helper()
	b.Skip("how to have the system forget a file is known for Linux only")
}
