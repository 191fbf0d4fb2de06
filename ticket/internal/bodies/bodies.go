// Package bodies holds what implementations of ticket.Blobs have in common.
package bodies

import (
	"context"
	"io"
)

// maxID bounds ids, far above a UUID and below what file systems and object stores
// take.
const maxID = 128

// ValidID reports whether an id can be the name of a file and of an object as it is:
// it has 1 to 128 lower-case letters, digits, '-' and '_', and begins with a letter or
// digit. That leaves no way out of a folder, and no two ids in one file, also where
// letter case does not count.
func ValidID(id string) bool {
	if id == "" || len(id) > maxID {
		return false
	}
	for i := range len(id) {
		switch c := id[i]; {
		case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		case (c == '-' || c == '_') && i > 0:
		default:
			return false
		}
	}
	return true
}

// Reader returns a reader that ends with ctx, by its error.
func Reader(ctx context.Context, r io.Reader) io.Reader { return &reader{ctx, r} }

type reader struct {
	ctx context.Context
	r   io.Reader
}

func (r *reader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}
