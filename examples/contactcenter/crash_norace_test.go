//go:build unix && !race

package main

// crashShare is the share of the named points at which the short form kills.
const crashShare = 1
