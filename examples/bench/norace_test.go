//go:build !race

package bench

// instrumented is how many times more memory the process may hold than without
// the race detector, which keeps shadows of what is written.
const instrumented = 1
