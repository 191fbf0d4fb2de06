package pgstore

import "testing"

// NewDatabase returns the address of an empty database that ends with the test.
func NewDatabase(t testing.TB) string { return cluster.Database(t) }
