package ticket

import (
	"errors"

	"github.com/anteroom/anteroom/channel"
)

// Errors of the Desk's verbs, besides those of the store.
var (
	// ErrReceiveOnly says that the conversation's channel cannot send and that
	// no sending channel was named or is paired with it.
	ErrReceiveOnly = errors.New("ticket: the channel only receives; name a channel to send by")
	// ErrWindowClosed says that the network lets no message into the
	// conversation any more until the customer does something in it.
	ErrWindowClosed = errors.New("ticket: the conversation is closed for messages until the customer writes again")
	// ErrInactive says that the channel is switched off.
	ErrInactive = errors.New("ticket: the channel is switched off")
	// ErrTooLate says that a message is no longer pending.
	ErrTooLate = errors.New("ticket: too late, the message is no longer pending")
	// ErrBusy says that other writers were faster again and again. Nothing was
	// changed; the same call can be made again.
	ErrBusy = errors.New("ticket: too many writers at once; try again")
	// ErrState says that the verb does not fit the state of the thing.
	ErrState = errors.New("ticket: not possible in this state")
	// ErrNotAble says that the channel cannot do what is asked.
	ErrNotAble = errors.New("ticket: the channel cannot do this")
	// ErrNoRecipient says that there is nobody to send to.
	ErrNoRecipient = errors.New("ticket: there is no recipient")
)

func badField(field, format string, args ...any) error {
	return channel.BadField(field, format, args...)
}
