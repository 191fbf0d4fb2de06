package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/dirblob"
	"github.com/anteroom/anteroom/ticket/memstore"
	"github.com/anteroom/anteroom/ticket/pgstore"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// openStore opens the database and the place for large bodies.
func openStore(ctx context.Context, o options) (ticket.Backend, ticket.Blobs, error) {
	scheme, path, _ := strings.Cut(o.store, ":")
	if scheme == "memory" {
		blobs, err := openBlobs(o, memstore.NewBlobs())
		return memstore.New(), blobs, err
	}
	blobs, err := openBlobs(o, nil)
	if err != nil {
		return nil, nil, err
	}
	if isPostgres(scheme) {
		backend, err := pgstore.Open(ctx, o.store)
		if err != nil {
			return nil, nil, fmt.Errorf("-store: %w", err)
		}
		return backend, blobs, nil
	}
	path = strings.TrimPrefix(path, "//") // as in a URL
	if path == "" {
		path = filepath.Join(o.data, "anteroom.db")
	}
	backend, err := sqlitestore.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("-store: %w", err)
	}
	return backend, blobs, nil
}

func isPostgres(scheme string) bool { return scheme == "postgres" || scheme == "postgresql" }

// openBlobs opens what -blobs names; otherwise it is otherwise, or a folder of
// the data.
func openBlobs(o options, otherwise ticket.Blobs) (ticket.Blobs, error) {
	dir := strings.TrimPrefix(o.blobs, "file://")
	if dir == "" {
		if otherwise != nil {
			return otherwise, nil
		}
		dir = filepath.Join(o.data, "blobs")
	}
	blobs, err := dirblob.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("-blobs: %w", err)
	}
	return blobs, nil
}
