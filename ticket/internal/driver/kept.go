package driver

import (
	"bytes"
	"encoding/json"
	"errors"
	"sync"
	"time"
)

// encoder is an encoder with what it writes to.
type encoder struct {
	b bytes.Buffer
	e *json.Encoder
}

// maxKept is the largest buffer, in bytes, that is kept for the next document.
const maxKept = 128 << 10

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.e = json.NewEncoder(&e.b)
	e.e.SetEscapeHTML(false)
	return e
}}

// Encode returns v as a document. encoding/json escapes U+0000.
func Encode(v any) (string, error) {
	e, ok := encoders.Get().(*encoder)
	if !ok {
		return "", errors.New("no encoder")
	}
	defer func() {
		if e.b.Cap() <= maxKept {
			e.b.Reset()
			encoders.Put(e)
		}
	}()
	// An encoder is done for after an error in writing, which a buffer has not;
	// an error of v leaves it as it was.
	if err := e.e.Encode(v); err != nil {
		return "", err
	}
	return string(bytes.TrimSuffix(e.b.Bytes(), []byte("\n"))), nil
}

// Decode reads a document that Encode made.
func Decode[V any](doc []byte) (*V, error) {
	v := new(V)
	return v, json.Unmarshal(doc, v)
}

// Micros returns t as a column: microseconds since 1970. The zero time is a
// number like any other.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// FromMicros is the inverse of Micros, in UTC.
func FromMicros(n int64) time.Time {
	if t := time.UnixMicro(n).UTC(); !t.IsZero() {
		return t
	}
	return time.Time{}
}
