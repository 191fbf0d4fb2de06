package channel

import (
	"errors"
	"fmt"
	"time"
)

var (
	// ErrRejected is wrapped by errors from Accept that are final: the item
	// will never be taken, and its source may tell so to the sender.
	ErrRejected = errors.New("rejected")
	// ErrInactive is returned by Accept while the channel is switched off and
	// its source should keep what it has.
	ErrInactive = errors.New("channel is inactive")
)

// NotNowError is returned by Interpret when the network cannot be used at the
// moment, which says nothing about the item: it is tried again, and is not held to
// be poison however often that happens.
type NotNowError struct {
	After time.Duration // at least, before the next try
	Err   error
}

func (e *NotNowError) Error() string {
	if e.Err == nil {
		return "not now"
	}
	return "not now: " + e.Err.Error()
}

func (e *NotNowError) Unwrap() error { return e.Err }

// FieldError is a bad value in a configuration or a call.
type FieldError struct {
	Field   string // as the caller named it: "local_part", "smtp.port"
	Problem string // what is wrong and what to do
	// Owner is the channel of the same portal that has the value already, where
	// that is what is wrong.
	Owner ID
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// BadField returns a [*FieldError].
func BadField(field, format string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}
