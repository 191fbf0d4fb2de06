//go:build race

package dirblob_test

// powerShare is large since the race detector makes SQLite slow.
const powerShare = 8
