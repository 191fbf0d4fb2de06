package account

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/emersion/go-imap/v2"
)

// maxHead is how much of a mail's header is compared.
const maxHead = 64 << 10

// move uses MOVE where it is offered. Elsewhere each step waits for the one
// before: the library's own way deletes before it knows that the copy was made.
func (c *imapConn) move(folder string, validity uint32, target string, uids []uint32) error {
	var can, plus bool
	if err := c.guard(c.pace.Command, maxIdle, func() error {
		caps := c.client.Caps()
		can, plus = caps.Has(imap.CapMove), caps.Has(imap.CapUIDPlus)
		return nil
	}); err != nil {
		return err
	}
	set := uidSet(uids)
	switch {
	case can:
		return c.guard(c.pace.Fetch, maxAnswer, func() error {
			_, err := c.client.Move(set, target).Wait()
			return err
		})
	case !plus:
		// A plain EXPUNGE would remove what others have marked as deleted.
		return errors.Join(errNotOffered, c.mark(set, "$AnteroomTaken"))
	}
	doubt := !c.moved
	c.moved = false
	rest := uids
	if doubt {
		// An earlier try may have ended between the copy and the removal.
		there, err := c.copied(folder, validity, target, uids)
		if err != nil {
			return err
		}
		rest = slices.DeleteFunc(slices.Clone(uids), func(u uint32) bool { return slices.Contains(there, u) })
	}
	if len(rest) > 0 {
		if err := c.guard(c.pace.Fetch, maxAnswer, func() error {
			_, err := c.client.Copy(uidSet(rest), target).Wait()
			return err
		}); err != nil {
			return err
		}
	}
	if err := c.remove(set); err != nil {
		return err
	}
	// Behind a full batch there may be one that was tried before, too.
	c.moved = !doubt || len(uids) < maxAfter
	return nil
}

// mailPrint tells which mails may be the same, without reading all of them.
type mailPrint struct {
	head [sha256.Size]byte
	size int64
}

// copied returns those of uids of which a copy stands in the target, byte by
// byte. Each copy counts for one of them. The folder stays open for writing.
func (c *imapConn) copied(folder string, validity uint32, target string, uids []uint32) ([]uint32, error) {
	prints, ids, err := c.prints(uids)
	if err != nil || len(prints) == 0 {
		return nil, err // or all have gone
	}
	st, err := c.examine(target)
	if isAnswer(err) {
		return nil, c.enter(folder, validity) // the copy will say why
	} else if err != nil {
		return nil, err
	}
	alike, digests := map[uint32][]uint32{}, map[uint32][sha256.Size]byte{}
	for u, p := range prints {
		hits, err := c.alike(p, ids[u])
		if err != nil {
			return nil, err
		}
		if st.validity == validity {
			// It may be the same folder under another name, and a mail is
			// no copy of itself.
			hits = slices.DeleteFunc(hits, func(h uint32) bool { return slices.Contains(uids, h) })
		}
		alike[u] = hits
		for _, h := range hits {
			if _, ok := digests[h]; !ok {
				if digests[h], err = c.digest(h); err != nil {
					return nil, err
				}
			}
		}
	}
	if err := c.enter(folder, validity); err != nil {
		return nil, err
	}
	var there []uint32
	for u, hits := range alike {
		if len(hits) == 0 {
			continue
		}
		sum, err := c.digest(u)
		if err != nil {
			return nil, err
		}
		if i := slices.IndexFunc(hits, func(h uint32) bool { d, free := digests[h]; return free && d == sum }); i >= 0 {
			there = append(there, u)
			delete(digests, hits[i])
		}
	}
	return there, nil
}

// alike returns the mails of the open folder that may be the one of a print,
// which has a Message-ID or "".
func (c *imapConn) alike(p mailPrint, id string) ([]uint32, error) {
	criteria := &imap.SearchCriteria{Larger: p.size - 1, Smaller: p.size + 1}
	if id != "" {
		criteria = &imap.SearchCriteria{Header: []imap.SearchCriteriaHeaderField{{Key: "Message-ID", Value: id}}}
	}
	hits, err := c.search(criteria)
	if e, ok := errors.AsType[*imap.Error](err); ok && !passes(e) {
		return nil, nil // it has no such search: rather a second copy than none
	}
	if err != nil || len(hits) == 0 {
		return nil, err
	}
	prints, _, err := c.prints(hits[max(0, len(hits)-maxHits):])
	maps.DeleteFunc(prints, func(_ uint32, other mailPrint) bool { return other != p })
	return slices.Collect(maps.Keys(prints)), err
}

// errOverlong says that a mail does not end.
var errOverlong = errors.New("a mail to be compared is too long")

// digest reads a mail and returns what its content hashes to. Only mails that
// were taken in are compared with others of their size.
func (c *imapConn) digest(uid uint32) (sum [sha256.Size]byte, err error) {
	h := sha256.New()
	for offset := int64(0); ; offset += chunk {
		if offset > c.pace.Mail {
			return sum, fmt.Errorf("%w: it has more than %d bytes", errOverlong, c.pace.Mail)
		}
		b, err := c.fetchFrom(uid, offset)
		if err != nil {
			return sum, err
		}
		h.Write(b)
		if len(b) < chunk {
			return [sha256.Size]byte(h.Sum(nil)), nil
		}
	}
}

// prints returns what tells mails of the open folder from others, and their
// Message-IDs as far as a search can carry them. What has gone is left out.
func (c *imapConn) prints(uids []uint32) (map[uint32]mailPrint, map[uint32]string, error) {
	infos, err := c.describe(uids, false)
	if err != nil || len(infos) == 0 {
		return nil, nil, err
	}
	sizes := make(map[uint32]int64, len(infos))
	for _, m := range infos {
		sizes[m.uid] = m.size
	}
	prints, ids := map[uint32]mailPrint{}, map[uint32]string{}
	section := &imap.FetchItemBodySection{Peek: true, Specifier: imap.PartSpecifierHeader, Partial: &imap.SectionPartial{Size: maxHead}}
	for some := range slices.Chunk(uids, maxFlight/maxHead) {
		if err := c.sections(some, section, func(u uint32, b []byte) {
			if size, ok := sizes[u]; ok {
				prints[u] = mailPrint{sha256.Sum256(b), size}
				ids[u] = searchableID(b)
			}
		}); err != nil {
			return nil, nil, err
		}
	}
	return prints, ids, nil
}

// searchableID returns the Message-ID of a header if it stands on one line.
func searchableID(head []byte) string {
	const name = "message-id:"
	for line := range bytes.Lines(head) {
		if len(line) < len(name) || !strings.EqualFold(string(line[:len(name)]), name) {
			continue
		}
		id := strings.TrimSpace(string(line[len(name):]))
		if len(id) > 900 || strings.ContainsFunc(id, func(r rune) bool { return r <= ' ' || r >= 0x7f }) {
			return ""
		}
		return id
	}
	return ""
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
