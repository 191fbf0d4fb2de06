package channel

import (
	"bytes"
	"errors"
	"fmt"
	"io"
)

// Body is immutable content that can be read more than once. It must stay
// readable until the call that it was passed to returns.
type Body interface {
	Size() int64 // bytes
	// Open returns a new reader from the start.
	Open() (io.ReadCloser, error)
}

// Bytes is a [Body] in memory.
type Bytes []byte

// Size returns the number of bytes.
func (b Bytes) Size() int64 { return int64(len(b)) }

// Open returns a reader over b.
func (b Bytes) Open() (io.ReadCloser, error) {
	return io.NopCloser(bytes.NewReader(b)), nil
}

// ReadBody returns the whole of b, which must not be larger than limit bytes.
func ReadBody(b Body, limit int64) ([]byte, error) {
	if b == nil {
		return nil, nil
	}
	if n := b.Size(); n > limit {
		return nil, fmt.Errorf("channel: body of %d bytes is over the limit of %d", n, limit)
	}
	if p, ok := b.(Bytes); ok {
		return p, nil
	}
	r, err := b.Open()
	if err != nil {
		return nil, err
	}
	defer r.Close()
	// Room for what it says it has, and for the look at its end.
	buf := bytes.NewBuffer(make([]byte, 0, max(0, b.Size())+bytes.MinRead))
	_, err = buf.ReadFrom(io.LimitReader(r, limit+1))
	if err == nil && int64(buf.Len()) > limit {
		err = fmt.Errorf("channel: body is over the limit of %d bytes", limit)
	}
	return buf.Bytes(), err
}

// Window is a part of a raw body: encoded bytes that hold an attachment.
type Window struct {
	Offset   int64  `json:"offset"`
	Length   int64  `json:"length"`   // encoded bytes
	Encoding string `json:"encoding"` // "base64", "quoted-printable", or "" for none
}

// Open returns a reader over the decoded content of the window in raw. Broken
// base64 is read as far as it makes sense, without an error: foreign bytes are
// skipped and it ends at the padding.
func (w Window) Open(raw Body) (io.ReadCloser, error) {
	if raw == nil || w.Offset < 0 || w.Length < 0 || w.Offset > raw.Size()-w.Length {
		return nil, errors.New("channel: window outside its body")
	}
	r, err := raw.Open()
	if err != nil {
		return nil, err
	}
	if s, ok := r.(io.Seeker); ok {
		_, err = s.Seek(w.Offset, io.SeekStart)
	} else {
		_, err = io.CopyN(io.Discard, r, w.Offset)
	}
	if err != nil {
		r.Close()
		return nil, fmt.Errorf("channel: seek window: %w", err)
	}
	return struct {
		io.Reader
		io.Closer
	}{Decode(io.LimitReader(r, w.Length), w.Encoding), r}, nil
}
