//go:build !race

package dirblob_test

// powerShare divides the moments at which the tests lose power.
const powerShare = 1
