package channel

import (
	"errors"
	"fmt"
)

var (
	// ErrRejected is wrapped by errors from Accept that are final: the item
	// will never be taken, and its source may tell so to the sender.
	ErrRejected = errors.New("rejected")
	// ErrInactive is returned by Accept while the channel is switched off and
	// its source should keep what it has.
	ErrInactive = errors.New("channel is inactive")
)

// FieldError is a bad value in a configuration or a call.
type FieldError struct {
	Field   string // as the caller named it: "local_part", "smtp.port"
	Problem string // what is wrong and what to do
}

func (e *FieldError) Error() string { return e.Field + ": " + e.Problem }

// BadField returns a [*FieldError].
func BadField(field, format string, args ...any) error {
	return &FieldError{Field: field, Problem: fmt.Sprintf(format, args...)}
}
