package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// moveWait is how long an export waits for the leases of processes that crashed.
const moveWait = 3 * time.Minute

// move exports, imports or reinstates the portal, and ends.
func move(ctx context.Context, o options, log *slog.Logger, stdin io.Reader, stdout io.Writer) error {
	backend, blobs, err := openStore(ctx, o)
	if err != nil {
		return err
	}
	defer func() { _ = backend.Close() }()
	store := backend.Portal(o.portal)
	var moved *ticket.Moved
	switch {
	case o.reinstate:
		return ticket.Reinstate(ctx, store, time.Now())
	case o.exportTo != "":
		if err := retire(ctx, store, log); err != nil {
			return err
		}
		moved, err = toFile(o.exportTo, stdout, func(w io.Writer) (*ticket.Moved, error) {
			return ticket.Export(ctx, ticket.ExportConfig{Store: store, Blobs: blobs}, w)
		})
	default:
		moved, err = fromFile(o.importFrom, stdin, func(r io.Reader) (*ticket.Moved, error) {
			return ticket.Import(ctx, ticket.ImportConfig{Store: store, Blobs: blobs}, r)
		})
	}
	if err != nil {
		return err
	}
	for _, id := range moved.Missing {
		log.Warn("a body is missing in -blobs", "body", id)
	}
	log.Info("moved", "tickets", moved.Rows[ticket.TableTickets], "messages", moved.Rows[ticket.TableMessages],
		"blobs", moved.Blobs, "bytes", moved.BlobBytes, "automatic_dropped", moved.Dropped)
	return nil
}

// retire retires the portal, waiting for what processes that ended badly left.
func retire(ctx context.Context, store ticket.Store, log *slog.Logger) error {
	for ends := time.Now().Add(moveWait); ; {
		err := ticket.Retire(ctx, store, time.Now())
		if !errors.Is(err, ticket.ErrInUse) || time.Now().After(ends) {
			return err
		}
		log.Info("waiting", "for", err)
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(2 * time.Second):
		}
	}
}

// toFile has f write a file, which is there when it is whole; "-" is standard
// output.
func toFile(path string, stdout io.Writer, f func(io.Writer) (*ticket.Moved, error)) (*ticket.Moved, error) {
	if path == "-" {
		return f(stdout)
	}
	file, err := os.OpenFile(path+".part", os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, fmt.Errorf("-export: %w", err)
	}
	moved, err := f(file)
	if err == nil {
		err = file.Sync()
	}
	if end := file.Close(); err == nil {
		err = end
	}
	if err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		_ = os.Remove(file.Name())
		return nil, fmt.Errorf("-export: %w", err)
	}
	return moved, nil
}

func fromFile(path string, stdin io.Reader, f func(io.Reader) (*ticket.Moved, error)) (*ticket.Moved, error) {
	if path == "-" {
		return f(stdin)
	}
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("-import: %w", err)
	}
	defer func() { _ = file.Close() }()
	return f(file)
}
