package account

import (
	"errors"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// maxAfter is with how many mails something is done at once: command lines stay
// short (RFC 2683 section 3.2.1.5).
const maxAfter = 500

// errNotOffered says that the server has no safe way to do what is asked.
var errNotOffered = errors.New("the server offers no safe way to do it")

// errReplaced says that the folder is another than the one whose mails are meant.
var errReplaced = errors.New("the folder was replaced by another")

// errItself says that a folder is its own target, under a name of the other kind.
var errItself = errors.New("they would be moved to the folder that they are in")

// after does what the configuration wants with mails that were taken in. It
// opens the folder for writing, and the caller has to open it for reading again
// whatever comes of it: after a failure none is open. Doing it again does no harm.
func (c *imapConn) after(folder string, validity uint32, action string, uids []uint32) error {
	target, moves := strings.CutPrefix(action, afterMove)
	if moves && sameFolder(target, folder) {
		return errItself
	}
	if err := c.enter(folder, validity); err != nil {
		return err
	}
	switch {
	case moves:
		return c.move(folder, validity, target, uids)
	case action == afterDelete:
		return c.remove(uidSet(uids))
	}
	return c.mark(uidSet(uids), imap.FlagSeen)
}

// enter opens a folder for writing, if it is the one that is meant.
func (c *imapConn) enter(folder string, validity uint32) error {
	st, err := c.choose(folder, false)
	if err == nil && st.validity != validity {
		err = errReplaced
	}
	return err
}

func (c *imapConn) mark(set imap.UIDSet, flag imap.Flag) error {
	return c.guard(c.pace.Fetch, maxAnswer, func() error {
		return c.client.Store(set, &imap.StoreFlags{Op: imap.StoreFlagsAdd, Silent: true, Flags: []imap.Flag{flag}}, nil).Close()
	})
}
