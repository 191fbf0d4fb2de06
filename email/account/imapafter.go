package account

import (
	"errors"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// errNotOffered says that the server has no safe way to do what is asked.
var errNotOffered = errors.New("the server offers no safe way to do it")

// errReplaced says that the folder is another than the one whose mails are meant.
var errReplaced = errors.New("the folder was replaced by another")

// after does what the configuration wants with mails that were taken in. It
// opens the folder for writing, and the caller has to open it for reading again
// whatever comes of it: after a failure none is open. Doing it again does no harm.
func (c *imapConn) after(folder string, validity uint32, action string, uids []uint32) error {
	st, err := c.choose(folder, false)
	if err != nil {
		return err
	}
	if st.validity != validity {
		return errReplaced
	}
	set := uidSet(uids)
	target, moves := strings.CutPrefix(action, afterMove)
	switch {
	case moves:
		return c.move(set, target)
	case action == afterDelete:
		return c.remove(set)
	}
	return c.mark(set, imap.FlagSeen)
}

func (c *imapConn) mark(set imap.UIDSet, flag imap.Flag) error {
	return c.guard(c.pace.Fetch, maxAnswer, func() error {
		return c.client.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{flag}}, nil).Close()
	})
}

// move uses MOVE where it is offered. Elsewhere each step waits for the one
// before: the library's own way deletes before it knows that the copy was made.
func (c *imapConn) move(set imap.UIDSet, target string) error {
	var can, plus bool
	if err := c.guard(c.pace.Command, maxIdle, func() error {
		caps := c.client.Caps()
		can, plus = caps.Has(imap.CapMove), caps.Has(imap.CapUIDPlus)
		return nil
	}); err != nil {
		return err
	}
	if can {
		return c.guard(c.pace.Fetch, maxAnswer, func() error {
			_, err := c.client.Move(set, target).Wait()
			return err
		})
	}
	if !plus {
		// A plain EXPUNGE would remove what others have marked as deleted.
		return errors.Join(errNotOffered, c.mark(set, "$AnteroomTaken"))
	}
	if err := c.guard(c.pace.Fetch, maxAnswer, func() error {
		_, err := c.client.Copy(set, target).Wait()
		return err
	}); err != nil {
		return err
	}
	return c.remove(set)
}

// remove deletes these mails and no others.
func (c *imapConn) remove(set imap.UIDSet) error {
	if err := c.mark(set, imap.FlagDeleted); err != nil {
		return err
	}
	return c.guard(c.pace.Fetch, maxAnswer, func() error {
		if !c.client.Caps().Has(imap.CapUIDPlus) {
			return nil // whoever expunges next removes them
		}
		return c.client.UIDExpunge(set).Close()
	})
}

// movesSafely reports whether move does more than to leave a mark.
func (c *imapConn) movesSafely() bool {
	can := false
	_ = c.guard(c.pace.Command, maxIdle, func() error {
		caps := c.client.Caps()
		can = caps.Has(imap.CapMove) || caps.Has(imap.CapUIDPlus)
		return nil
	})
	return can
}
