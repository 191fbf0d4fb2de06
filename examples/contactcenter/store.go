package main

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"

	"gocloud.dev/blob"
	_ "gocloud.dev/blob/memblob" // mem://, which needs nothing; s3blob, gcsblob and azureblob are added here likewise

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/bucket"
	"github.com/anteroom/anteroom/ticket/dirblob"
	"github.com/anteroom/anteroom/ticket/memstore"
	"github.com/anteroom/anteroom/ticket/pgstore"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// openStore opens the database and the place for large bodies.
func openStore(ctx context.Context, o options) (ticket.Backend, ticket.Blobs, error) {
	scheme, path, _ := strings.Cut(o.store, ":")
	if scheme == "memory" {
		blobs, err := openBlobs(ctx, o, memstore.NewBlobs())
		return memstore.New(), blobs, err
	}
	blobs, err := openBlobs(ctx, o, nil)
	if err != nil {
		return nil, nil, err
	}
	if isPostgres(scheme) {
		var opts []pgstore.Option
		switch o.storeListen {
		case "":
		case "off":
			opts = append(opts, pgstore.Listen(""))
		default:
			opts = append(opts, pgstore.Listen(o.storeListen))
		}
		backend, err := pgstore.Open(ctx, o.store, opts...)
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

// checkBlobs checks -blobs for a store of the given scheme.
func checkBlobs(blobs, store string) error {
	scheme, rest, ok := strings.Cut(blobs, "://")
	driver := map[string]string{"s3": "s3blob", "gs": "gcsblob", "azblob": "azureblob"}[scheme]
	switch {
	case blobs == "":
	case !ok:
		return fmt.Errorf("-blobs %q: give file://DIR or the URL of a bucket", blobs)
	case scheme == "file" && rest == "":
		return fmt.Errorf("-blobs %q: name a folder, as in file:///var/lib/anteroom", blobs)
	case scheme == "file":
	case scheme == "mem" && store != "memory":
		return fmt.Errorf("-blobs mem:// forgets what -store %s refers to", store)
	case blob.DefaultURLMux().ValidBucketScheme(scheme):
	case driver != "":
		return fmt.Errorf("-blobs %s://: the driver is not linked; add the import of gocloud.dev/blob/%s to examples/contactcenter/store.go", scheme, driver)
	default:
		return fmt.Errorf("-blobs %s://: no driver of that name is linked", scheme) // the rest may hold a password
	}
	return nil
}

// openBlobs opens what -blobs names; otherwise it is otherwise, or a folder of
// the data.
func openBlobs(ctx context.Context, o options, otherwise ticket.Blobs) (ticket.Blobs, error) {
	scheme, dir, _ := strings.Cut(o.blobs, "://")
	switch {
	case o.blobs == "" && otherwise != nil:
		return otherwise, nil
	case o.blobs == "":
		dir = filepath.Join(o.data, "blobs")
	case scheme != "file":
		b, err := blob.OpenBucket(ctx, o.blobs)
		if err != nil {
			return nil, fmt.Errorf("-blobs: open %s bucket: %w", scheme, err)
		}
		return bucket.New(b), nil
	}
	blobs, err := dirblob.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("-blobs: %w", err)
	}
	return blobs, nil
}
