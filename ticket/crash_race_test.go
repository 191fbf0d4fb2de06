//go:build unix && race

package ticket_test

// crashStride is large since the race detector makes each process slow.
const crashStride = 8
