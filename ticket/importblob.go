package ticket

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
)

// blob puts a blob, whose chunks follow.
func (im *importer) blob(b *exportedBlob) error {
	if b.ID == "" || b.Size < 0 {
		return im.bad("a blob without id or size")
	}
	if im.cfg.Blobs == nil {
		return im.bad("a blob in an export that says it holds none")
	}
	if im.rows > 0 {
		// What was taken ends before the blob.
		im.line--
		err := im.flush()
		im.line++
		if err != nil {
			return err
		}
	}
	begin := im.line
	chunks := &blobChunks{im: im, left: b.Size}
	if begin <= im.mark.Lines {
		if _, err := io.Copy(io.Discard, chunks); err != nil {
			return err
		}
	} else {
		err := im.put(b, chunks)
		switch {
		case chunks.err != nil:
			return chunks.err
		case err != nil:
			return fmt.Errorf("ticket: import: blob %s: %w", b.ID, err)
		}
		im.first = begin
		if err := im.flush(); err != nil {
			return err
		}
	}
	im.moved.Blobs++
	im.moved.BlobBytes += b.Size
	return nil
}

// body completes a body by its chunks, if they follow.
func (im *importer) body(b *exportedBody) (err error) {
	switch {
	case b.Size == 0 && b.Data == nil:
		b.Data = []byte{}
	case b.Size == 0:
	case b.Size < 0 || b.Data != nil:
		return im.bad("a body of size %d with %d bytes", b.Size, len(b.Data))
	case b.Size > importBody:
		return im.bad("a body of %d bytes, of at most %d", b.Size, importBody)
	default:
		b.Data, err = io.ReadAll(&blobChunks{im: im, left: b.Size})
	}
	return err
}

// put puts a blob, unless it is there: as an import left it that ended before it
// noted that, or since the portal goes on using these Blobs. One with other content
// is somebody else's and stays as it is.
func (im *importer) put(b *exportedBlob, chunks *blobChunks) error {
	there, err := im.cfg.Blobs.Open(im.ctx, b.ID)
	if errors.Is(err, ErrNotFound) {
		n, err := im.cfg.Blobs.Put(im.ctx, b.ID, chunks)
		if err == nil && n != b.Size {
			err = fmt.Errorf("%d bytes of %d", n, b.Size)
		}
		return err
	}
	if err != nil {
		return err
	}
	defer there.Close()
	theirs, ours := sha256.New(), sha256.New()
	if _, err := io.Copy(theirs, there); err != nil {
		return err
	}
	if _, err := io.Copy(ours, chunks); err != nil {
		return err
	}
	if !bytes.Equal(theirs.Sum(nil), ours.Sum(nil)) {
		return fmt.Errorf("it is there with other content: %w", ErrNotEmpty)
	}
	return nil
}

// blobChunks reads the chunks of one blob or body.
type blobChunks struct {
	im    *importer
	left  int64
	chunk []byte
	err   error
}

func (b *blobChunks) Read(p []byte) (int, error) {
	for len(b.chunk) == 0 {
		if b.err != nil {
			return 0, b.err
		}
		if b.left == 0 {
			return 0, io.EOF
		}
		b.err = b.more()
	}
	n := copy(p, b.chunk)
	b.chunk = b.chunk[n:]
	return n, nil
}

func (b *blobChunks) more() error {
	line, err := b.im.next()
	if err != nil {
		return err
	}
	var v exported
	if err := decodeLine(line, &v); err != nil {
		return b.im.bad("%v", err)
	}
	if len(v.Chunk) == 0 || int64(len(v.Chunk)) > b.left {
		return b.im.bad("it is no chunk, or one that is too long, where a blob has %d bytes to come", b.left)
	}
	_, _ = b.im.sum.Write(line) // never fails
	b.chunk, b.left = v.Chunk, b.left-int64(len(v.Chunk))
	return nil
}
