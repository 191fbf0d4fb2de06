//go:build unix && !race

package ticket_test

// crashStride is how many write points the short form goes on by.
const crashStride = 1
