package account

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/emersion/go-imap/v2"
	"github.com/emersion/go-imap/v2/imapclient"
)

// chunk is how much of a mail one command asks for: what a slow line carries
// within the library's deadline for a literal, which is 5 min for the whole.
const chunk = 1 << 20

const (
	// maxListed bounds how many mails may be named at once.
	maxListed = 4 << 20
	// maxSpan is over how many UIDs one SEARCH goes, as far as the server has
	// said which it has given: an answer has up to 11 bytes for each.
	maxSpan = 1 << 20
)

var errTooMany = fmt.Errorf("the server lists more than %d mails", maxListed)

// folderState is what a server says when a folder is opened.
type folderState struct {
	validity uint32
	next     uint32 // 0 if the server does not say
}

// folderInfo is one folder of an account.
type folderInfo struct {
	name string
	use  []string // special uses in lower case, with the backslash
}

// allFolders is the pattern of all names.
const allFolders = "*"

// folders lists the folders that match a pattern, with special uses where the
// server knows them. The library breaks off at a name that it cannot decode.
func (c *imapConn) folders(pattern string) ([]folderInfo, error) {
	return c.listFolders(pattern, false)
}

// specialFolders lists the folders with special uses, and maybe others.
func (c *imapConn) specialFolders() ([]folderInfo, error) { return c.listFolders(allFolders, true) }

func (c *imapConn) listFolders(pattern string, special bool) ([]folderInfo, error) {
	var out []folderInfo
	err := c.guard(c.pace.Command, maxIdle, func() error {
		var opts *imap.ListOptions
		if caps := c.client.Caps(); caps.Has(imap.CapSpecialUse) && caps.Has(imap.CapListExtended) {
			opts = &imap.ListOptions{ReturnSpecialUse: true, SelectSpecialUse: special}
		}
		list, err := c.client.List("", pattern, opts).Collect()
		for _, d := range list {
			f := folderInfo{name: d.Mailbox}
			for _, a := range d.Attrs {
				f.use = append(f.use, strings.ToLower(string(a)))
			}
			if !slices.Contains(f.use, `\noselect`) && !slices.Contains(f.use, `\nonexistent`) {
				out = append(out, f)
			}
		}
		return err
	})
	return out, err
}

// examine opens a folder so that nothing in it can change by what we do.
func (c *imapConn) examine(folder string) (folderState, error) { return c.choose(folder, true) }

func (c *imapConn) choose(folder string, readOnly bool) (folderState, error) {
	var st folderState
	c.next = 0
	err := c.guard(c.pace.Command, maxIdle, func() error {
		d, err := c.client.Select(folder, &imap.SelectOptions{ReadOnly: readOnly}).Wait()
		if err == nil {
			st = folderState{d.UIDValidity, uint32(d.UIDNext)}
			c.next = st.next
		}
		return err
	})
	return st, err
}

// list returns the UIDs from one to another (0: to the last) in order. A time
// limits them to what the server received on its day, a day before, or later.
func (c *imapConn) list(from, to uint32, since time.Time) ([]uint32, error) {
	end := to
	if end == 0 {
		end = c.next // what came later is listed last
	}
	var out []uint32
	for end > from && end-from >= maxSpan {
		part, err := c.listed(from, from+maxSpan-1, since)
		if out = append(out, part...); err == nil && len(out) > maxListed {
			err = errTooMany
		}
		if err != nil {
			return nil, err
		}
		from += maxSpan
	}
	part, err := c.listed(from, to, since)
	return append(out, part...), err
}

// listed is list by one command.
func (c *imapConn) listed(from, to uint32, since time.Time) ([]uint32, error) {
	var set imap.UIDSet
	set.AddRange(imap.UID(from), imap.UID(to))
	criteria := &imap.SearchCriteria{UID: []imap.UIDSet{set}}
	if !since.IsZero() {
		criteria.Since = since.AddDate(0, 0, -1) // the server's day may be another
	}
	found, err := c.search(criteria)
	// A server answers n:* with its last mail though that is below n (RFC 9051
	// section 6.4.9).
	return slices.DeleteFunc(found, func(u uint32) bool { return u < from || to != 0 && u > to }), err
}

// search returns the UIDs of the mails that fit, in order.
func (c *imapConn) search(criteria *imap.SearchCriteria) ([]uint32, error) {
	var out []uint32
	err := c.guard(c.pace.Fetch, maxAnswer, func() error {
		var opts *imap.SearchOptions
		if c.client.Caps().Has(imap.CapESearch) {
			opts = &imap.SearchOptions{ReturnAll: true}
		}
		d, err := c.client.UIDSearch(criteria, opts).Wait()
		if err != nil {
			return err
		}
		found, _ := d.All.(imap.UIDSet)
		var count int64
		for _, r := range found {
			if r.Stop < r.Start || r.Start == 0 {
				return errors.New("the server lists mails that cannot be")
			}
			if count += int64(r.Stop) - int64(r.Start) + 1; count > maxListed {
				return errTooMany
			}
		}
		for _, r := range found {
			for u := uint64(r.Start); u <= uint64(r.Stop); u++ {
				out = append(out, uint32(u))
			}
		}
		return nil
	})
	slices.Sort(out)
	return slices.Compact(out), err
}

// mailInfo is what is known of a mail before it is fetched.
type mailInfo struct {
	uid  uint32
	size int64     // an estimate, on some servers
	at   time.Time // received by the server
}

// describe returns size and, if it is wanted, time of mails, in order of UID.
// What has gone meanwhile is left out. Envelope and structure are never asked
// for: one that is malformed ends the connection, as does a time.
func (c *imapConn) describe(uids []uint32, withTime bool) ([]mailInfo, error) {
	var out []mailInfo
	err := c.guard(c.pace.Fetch, maxIdle, func() (err error) {
		cmd := c.client.Fetch(uidSet(uids), &imap.FetchOptions{UID: true, RFC822Size: true, InternalDate: withTime})
		defer func() { err = errors.Join(err, cmd.Close()) }()
		for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
			var m mailInfo
			answered := false
			for item := msg.Next(); item != nil; item = msg.Next() {
				switch item := item.(type) {
				case imapclient.FetchItemDataUID:
					m.uid = uint32(item.UID)
				case imapclient.FetchItemDataRFC822Size:
					m.size, answered = item.Size, true
				case imapclient.FetchItemDataInternalDate:
					m.at = item.Time
				}
			}
			// Without a size it is news of the mail's flags, which the library
			// takes for the answer.
			if _, asked := slices.BinarySearch(uids, m.uid); answered && asked {
				out = append(out, m)
			}
		}
		return nil
	})
	slices.SortFunc(out, func(a, b mailInfo) int { return int(int64(a.uid) - int64(b.uid)) })
	return slices.CompactFunc(out, func(a, b mailInfo) bool { return a.uid == b.uid }), err
}

// fetch hands the first chunk of each mail to each as it comes. What has gone is
// left out. The UIDs are in order.
func (c *imapConn) fetch(uids []uint32, each func(uid uint32, body []byte)) error {
	return c.sections(uids, &imap.FetchItemBodySection{Peek: true, Partial: &imap.SectionPartial{Offset: 0, Size: chunk}}, each)
}

// fetchFrom returns the chunk of a mail that begins at offset, nil at its end.
func (c *imapConn) fetchFrom(uid uint32, offset int64) ([]byte, error) {
	var out []byte
	section := &imap.FetchItemBodySection{Peek: true, Partial: &imap.SectionPartial{Offset: offset, Size: chunk}}
	err := c.sections([]uint32{uid}, section, func(_ uint32, b []byte) { out = b })
	return out, err
}

// headerFields returns a header block of some fields of a mail.
func (c *imapConn) headerFields(uid uint32, names []string) ([]byte, error) {
	var out []byte
	section := &imap.FetchItemBodySection{Peek: true, Specifier: imap.PartSpecifierHeader, HeaderFields: names}
	err := c.sections([]uint32{uid}, section, func(_ uint32, b []byte) { out = b })
	return out, err
}

// sections fetches one section of each mail. The bytes are copied away as they
// come, since the connection stands still while one reads.
func (c *imapConn) sections(uids []uint32, section *imap.FetchItemBodySection, each func(uint32, []byte)) error {
	budget := min(int64(len(uids))*chunk, maxFlight) + maxIdle
	return c.guard(c.pace.Fetch, budget, func() (err error) {
		cmd := c.client.Fetch(uidSet(uids), &imap.FetchOptions{UID: true, BodySection: []*imap.FetchItemBodySection{section}})
		// Close drains: without it the reading goroutine may block for ever.
		// If we give up early the connection must go first.
		defer func() {
			if err != nil {
				closeNow(c.raw)
			}
			err = errors.Join(err, cmd.Close())
		}()
		for msg := cmd.Next(); msg != nil; msg = cmd.Next() {
			var uid uint32
			var body []byte
			for item := msg.Next(); item != nil; item = msg.Next() {
				switch item := item.(type) {
				case imapclient.FetchItemDataUID:
					uid = uint32(item.UID)
				case imapclient.FetchItemDataBodySection:
					if item.Literal != nil && item.Literal.Size() > chunk {
						return errBudget
					}
					if body, err = readLiteral(item.Literal); err != nil {
						// Draining would read the literal again, together
						// with the library's own goroutine unless that has
						// ended, as it does now.
						closeNow(c.raw)
						<-c.client.Closed()
						return err
					}
				}
			}
			if _, asked := slices.BinarySearch(uids, uid); asked && body != nil {
				each(uid, body)
			}
		}
		return nil
	})
}

// readLiteral reads all of a literal. A connection that ends within one makes
// it end early without an error, so its length is compared.
func readLiteral(lit imap.LiteralReader) ([]byte, error) {
	if lit == nil {
		return nil, nil // NIL: there is no such section
	}
	b := make([]byte, lit.Size())
	if _, err := io.ReadFull(lit, b); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return nil, err
	}
	// The library goes on once it has seen the end.
	if n, err := lit.Read(make([]byte, 1)); n > 0 || !errors.Is(err, io.EOF) {
		return nil, errors.Join(err, errBudget)
	}
	return b, nil
}

// idles reports whether the server can tell of changes by itself.
func (c *imapConn) idles() bool {
	can := false
	_ = c.guard(c.pace.Command, maxIdle, func() error {
		can = c.client.Caps().Has(imap.CapIdle)
		return nil
	})
	return can
}

// idle waits until something changed or d has passed, and then for the server
// to take note, which shows that it is alive. The library's own timer, of 28
// min, would notice nothing.
func (c *imapConn) idle(d time.Duration) error {
	var cmd *imapclient.IdleCommand
	err := c.guard(c.pace.Command, maxIdle, func() (err error) {
		cmd, err = c.client.Idle()
		return err
	})
	if err != nil {
		return err
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-c.changed:
	case <-t.C:
	case <-c.client.Closed():
	}
	return c.guard(c.pace.Command, maxIdle, func() error {
		if err := cmd.Close(); err != nil {
			return err
		}
		return cmd.Wait()
	})
}

func uidSet(uids []uint32) imap.UIDSet {
	var set imap.UIDSet
	for _, u := range uids {
		set.AddNum(imap.UID(u))
	}
	return set
}
