// Package bucket keeps large bodies in an object store: Amazon S3 and what
// speaks its protocol, Google Cloud Storage, Azure Blob Storage. It is a
// [ticket.Blobs] over gocloud.dev/blob. The host opens the bucket with the
// driver that it wants, and only that driver's client becomes part of its
// program:
//
//	import _ "gocloud.dev/blob/s3blob"
//
//	b, err := blob.OpenBucket(ctx, "s3://mail?region=eu-central-1")
//	...
//	b = blob.PrefixedBucket(b, "anteroom/") // takes the other over: this one is to be closed
//	defer b.Close()
//	cfg.Blobs = bucket.New(b)
//
// # Durability
//
// [Bucket.Put] returns when the object store has confirmed the whole object;
// S3, Cloud Storage and Azure confirm what is durable. The file driver of
// gocloud.dev confirms what is not: it calls no fsync, and a loss of power can
// take what it had confirmed. Package dirblob is for folders. A Put that failed
// has left what was there before, unless only the confirmation was lost.
//
// # Keys
//
// The key of an object is the body's id, which has 1 to 128 lower-case letters,
// digits, '-' and '_' and begins with a letter or digit. So no id leads out of
// the bucket's prefix, and none is changed on the way by a driver's escaping.
// Objects with other keys are not listed and not touched. The bucket must not
// remove objects by itself (expiry), and needs no versions.
//
// # Errors
//
// Methods fail with the context's error when it ended, with an error wrapping
// [ticket.ErrNotFound] where that is documented, and else with the driver's, which
// the engine takes as temporary.
//
// # Concurrency
//
// All methods are safe for concurrent use. Nothing is held in memory but the
// part that is on its way, which is as large as the driver says (5 MB for S3).
package bucket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"gocloud.dev/blob"
	"gocloud.dev/gcerrors"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/bodies"
)

// Bucket is a [ticket.Blobs] in a bucket. Make one with [New].
type Bucket struct {
	b *blob.Bucket
}

var _ ticket.Blobs = (*Bucket)(nil)

// New returns the blobs in b. The caller closes b, when nothing uses the blobs
// any more. Many portals may share a bucket: the ids of their bodies differ.
// Objects that are not the portals' need a prefix of their own, see
// [blob.PrefixedBucket].
func New(b *blob.Bucket) *Bucket { return &Bucket{b: b} }

// ErrID says that an id cannot be the key of an object.
var ErrID = errors.New("bucket: an id has 1 to 128 lower-case letters, digits, '-' and '_', and begins with a letter or digit")

// failed returns the error of an attempt, that of the context if it ended.
func failed(ctx context.Context, what string, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	return fmt.Errorf("bucket: %s: %w", what, err)
}

// Put stores what r yields as one object. Putting an id again replaces it at
// once. An id that cannot be a key is refused with [ErrID].
func (b *Bucket) Put(ctx context.Context, id ticket.BodyID, r io.Reader) (size int64, err error) {
	if !bodies.ValidID(string(id)) {
		return 0, ErrID
	}
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	// A writer is given up by ending its context before it is closed.
	writing, giveUp := context.WithCancel(ctx)
	defer giveUp()
	w, err := b.b.NewWriter(writing, string(id), &blob.WriterOptions{
		ContentType: "application/octet-stream", // nothing is to be guessed of a body, nor shown
	})
	if err != nil {
		return 0, failed(ctx, "put", err)
	}
	size, err = copyTo(ctx, w, r)
	if err != nil {
		giveUp()
		_ = w.Close()
		return 0, failed(ctx, "put", err)
	}
	if err := w.Close(); err != nil {
		return 0, failed(ctx, "put", err)
	}
	return size, nil
}

// copyTo copies until r ends or the context does.
func copyTo(ctx context.Context, w io.Writer, r io.Reader) (int64, error) {
	// The wrapping also hides the writer's ReadFrom, with which some drivers ask
	// for a buffer of their own beside the upload's.
	n, err := io.Copy(struct{ io.Writer }{w}, bodies.Reader(ctx, r))
	if err == nil {
		err = ctx.Err()
	}
	return n, err
}

// Open returns a reader of an object, which can seek: what is skipped is not
// fetched. It returns an error wrapping [ticket.ErrNotFound] when there is none.
// The context must last as long as the reader is used.
func (b *Bucket) Open(ctx context.Context, id ticket.BodyID) (io.ReadCloser, error) {
	if !bodies.ValidID(string(id)) {
		return nil, fmt.Errorf("bucket: open: %w", ticket.ErrNotFound) // since it was never put
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	r, err := b.b.NewReader(ctx, string(id), nil)
	if gcerrors.Code(err) == gcerrors.NotFound {
		err = ticket.ErrNotFound
	}
	if err != nil {
		return nil, failed(ctx, "open", err)
	}
	return r, nil
}

// Delete removes an object; an absent one is fine.
func (b *Bucket) Delete(ctx context.Context, id ticket.BodyID) error {
	if !bodies.ValidID(string(id)) {
		return nil
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	err := b.b.Delete(ctx, string(id))
	if err == nil || gcerrors.Code(err) == gcerrors.NotFound {
		return nil
	}
	return failed(ctx, "delete", err)
}

// List calls f for each object whose key is an id, in the order of ids, page by
// page. at is the object store's time of the object. Of objects that come or go
// meanwhile each may be listed or not.
func (b *Bucket) List(ctx context.Context, f func(id ticket.BodyID, size int64, at time.Time) bool) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	objects := b.b.List(nil)
	for {
		o, err := objects.Next(ctx)
		switch {
		case errors.Is(err, io.EOF):
			return nil
		case err != nil:
			return failed(ctx, "list", err)
		}
		if o.IsDir || !bodies.ValidID(o.Key) {
			continue
		}
		if err := ctx.Err(); err != nil {
			return err
		}
		if !f(ticket.BodyID(o.Key), o.Size, o.ModTime.UTC()) {
			return nil
		}
	}
}
