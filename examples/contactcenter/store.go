package main

import (
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

// openStore opens the database and the place for large bodies.
func openStore(o options) (ticket.Backend, ticket.Blobs, error) {
	return memstore.New(), memstore.NewBlobs(), nil
}
