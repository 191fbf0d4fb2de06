//go:build unix && race

package main

// crashShare is large since the race detector makes the program slow.
const crashShare = 6
