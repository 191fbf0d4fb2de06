package channel

import (
	"context"
	"io"
)

// BodyKeeper is a [Sink] that can keep the raw form of an item while it still
// arrives, so that a large one is written once and not held elsewhere before.
// Channels find it by assertion.
type BodyKeeper interface {
	Sink
	// KeepBody begins to keep a body. ctx must not end before Finish or
	// Discard has returned, or the keeping fails. An error that is
	// errors.ErrUnsupported says that this sink keeps nothing ahead of
	// Accept: the channel then holds the content itself. Any other is
	// temporary.
	KeepBody(ctx context.Context) (KeptBody, error)
}

// KeptBody is a body that is being kept. It is for one goroutine at a time.
type KeptBody interface {
	// Write adds to the body. An error that is ErrRejected says that the
	// body can never be taken, such as one that is too large; any other is
	// temporary.
	io.Writer
	// Finish returns the body once it is durable. Nothing may be written
	// after it. The body is for the Raw of items that Accept is called with;
	// a sink that did not keep it reads it like any other.
	Finish() (Body, error)
	// Discard removes what was written unless an accepted item refers to it.
	// It must be called in the end, whatever happened, and not while an
	// Accept with the body runs. The body must not be read after it. Calling
	// it again does nothing.
	Discard()
}
