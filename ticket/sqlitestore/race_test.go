//go:build race

package sqlitestore_test

// powerShare is large since the race detector makes SQLite slow.
const powerShare = 8
