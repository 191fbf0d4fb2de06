//go:build !race

package sqlitestore_test

// powerShare divides the moments at which the tests lose power.
const powerShare = 1
