package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// takeSingle takes one mail in, with nothing else under way, so that what fails
// is this mail's.
func (r *receiver) takeSingle(c *imapConn, uid uint32) *failure {
	a := r.newAhead(c, []uint32{uid}, 1)
	// A time that the library cannot read breaks off the connection. It is
	// done without before the mail is given up.
	a.sizes = r.blamed[uid] >= 2*blameFetch
	b := a.fetch(r.estimated())
	<-b.read
	if b.f != nil {
		return b.f
	}
	_, f := r.takeBatch(c, b)
	return f
}

// takeOne takes one mail in, of which b is the first chunk.
func (r *receiver) takeOne(c *imapConn, m mailInfo, b []byte) *failure {
	switch {
	case m.size > r.pace.Mail:
		return r.takeNote(c, m)
	case len(b) >= chunk:
		return r.takeLarge(c, m, b)
	case len(b) == 0 && m.size > 0:
		// Some servers do that with what they cannot read.
		return &failure{stage: stageMail, code: "poison", text: fmt.Sprintf("the server hands out nothing of a mail of %d bytes", m.size)}
	case int64(len(b)) < m.size && !r.estimated():
		// Either it hands out less at a time than it is asked for, or its
		// sizes are estimates.
		more, err := c.fetchFrom(m.uid, int64(len(b)))
		if err != nil {
			return c.failed(stageMail, err)
		}
		if len(more) > 0 {
			return r.takeLarge(c, m, b)
		}
		r.estimates++
	}
	return r.accept(c.ctx, m, channel.Bytes(b), nil, "")
}

// describe returns size and time of mails that are still there, in order. What is
// not answered is asked for once more: the library takes news of a mail's flags,
// which another client has changed, for the answer.
func (r *receiver) describe(c *imapConn, uids []uint32, withTime bool) ([]mailInfo, *failure) {
	var out []mailInfo
	left := uids
	for range 2 {
		infos, err := c.describe(left, withTime)
		if err != nil {
			return nil, c.failed(stageMail, err)
		}
		out = append(out, infos...)
		var f *failure
		if left, f = c.unanswered(left, func(u uint32) bool {
			_, ok := slices.BinarySearchFunc(infos, u, func(m mailInfo, u uint32) int { return cmp.Compare(m.uid, u) })
			return ok
		}); f != nil {
			return nil, f
		}
		if len(left) == 0 {
			slices.SortFunc(out, func(a, b mailInfo) int { return cmp.Compare(a.uid, b.uid) })
			return out, nil
		}
	}
	return nil, notHandedOut()
}

// fetch hands the first chunk of each mail that is still there to each, as
// describe does, in the order in which the server sends them.
func (r *receiver) fetch(c *imapConn, uids []uint32, each func(uid uint32, body []byte)) *failure {
	left := uids
	for range 2 {
		answered := make(map[uint32]bool, len(left))
		if err := c.fetch(left, func(uid uint32, body []byte) {
			answered[uid] = true
			each(uid, body)
		}); err != nil {
			return c.failed(stageMail, err)
		}
		var f *failure
		if left, f = c.unanswered(left, func(u uint32) bool { return answered[u] }); f != nil {
			return f
		}
		if len(left) == 0 {
			return nil
		}
	}
	return notHandedOut()
}

func notHandedOut() *failure {
	return &failure{stage: stageMail, code: "poison", text: "the server lists a mail and does not hand it out"}
}

// unanswered returns which of the mails that were asked for were not answered
// though they are still there.
func (c *imapConn) unanswered(asked []uint32, answered func(uint32) bool) ([]uint32, *failure) {
	left := slices.DeleteFunc(slices.Clone(asked), answered)
	if len(left) == 0 {
		return nil, nil
	}
	there, err := c.list(left[0], left[len(left)-1], time.Time{})
	if err != nil {
		return nil, c.failed(stageMail, err)
	}
	return slices.DeleteFunc(left, func(u uint32) bool { return !slices.Contains(there, u) }), nil
}

// context says what the mail's item must know besides the mail.
func (r *receiver) context(cur cursor, m mailInfo) email.Context {
	address := r.m.conf.Address
	at := m.at
	if now := r.m.env.Now(); at.IsZero() || at.After(now) {
		at = now
	}
	return email.Context{
		Channel: r.m.info.ID, Own: email.Own{Addresses: []string{address}},
		Envelope: channel.Envelope{To: address, Transport: "imap"},
		At:       at, Imported: cur.imported(m),
	}
}

// acceptAll has mails committed at once, and each alone if that fails: then one
// of them may be the cause. It returns how many are done.
func (r *receiver) acceptAll(ctx context.Context, mails []*fetched) (int, *failure) {
	unread := slices.ContainsFunc(mails, func(m *fetched) bool { return m.item == nil })
	if len(mails) > 1 && !unread && r.commitAll(ctx, mails) == nil {
		return len(mails), nil
	}
	for i, m := range mails {
		if f := r.accept(ctx, m.mailInfo, channel.Bytes(m.body), m.item, ""); f != nil {
			return i, f
		}
	}
	return len(mails), nil
}

func (r *receiver) commitAll(ctx context.Context, mails []*fetched) error {
	ctx, cancel := r.commit(ctx)
	defer cancel()
	items := make([]*channel.Item, len(mails))
	for i, m := range mails {
		// Tried again it is read again: an item is the sink's once it has it.
		items[i], m.item = m.item, nil
	}
	if err := guarded(func() error { return r.sink.Accept(ctx, items...) }); err != nil {
		return err
	}
	for _, m := range mails {
		r.tookIn(m.mailInfo)
	}
	return nil
}

// tookIn notes that a mail was committed.
func (r *receiver) tookIn(m mailInfo) {
	if r.m.conf.IMAP.After != afterLeave {
		r.cur.taken(m.uid)
	}
}

// accept has one mail committed. What it is known by is its content: a UID
// alone could be given again to another mail by a server that lost its index. If it
// was read before, read is its item.
func (r *receiver) accept(ctx context.Context, m mailInfo, raw channel.Body, read *channel.Item, defect string) *failure {
	ectx := r.context(r.cur, m)
	if defect != "" {
		ectx.Key = r.key(m.uid)
	}
	return r.commitItem(ctx, m, func() (*channel.Item, error) {
		if read != nil {
			return read, nil
		}
		mail, err := email.Read(raw)
		if err != nil {
			return nil, err
		}
		it := email.Item(raw, mail, ectx)
		if defect != "" && it.Message != nil {
			it.Message.Defects = append(it.Message.Defects, defect)
		}
		return it, nil
	})
}

func (r *receiver) key(uid uint32) channel.Key {
	return channel.Key(fmt.Sprintf("imap:%s:%d:%d", r.cur.Folder, r.cur.Validity, uid))
}

// errPanic is a panic of the sink, or of reading a mail.
var errPanic = errors.New("account: panic")

// commitItem makes an item and has it committed. One that is rejected for good
// is passed over and stays where it is.
func (r *receiver) commitItem(ctx context.Context, m mailInfo, item func() (*channel.Item, error)) *failure {
	ctx, cancel := r.commit(ctx)
	defer cancel()
	err := guarded(func() error {
		it, err := item()
		if err != nil {
			return err
		}
		return r.sink.Accept(ctx, it)
	})
	switch {
	case err == nil:
		r.tookIn(m)
	case errors.Is(err, channel.ErrRejected):
		r.m.env.Log.LogAttrs(ctx, slog.LevelWarn, "account: a mail was rejected for good and stays in its folder",
			slog.Uint64("uid", uint64(m.uid)), slog.String("reason", oneLine(err.Error(), nil)))
	default:
		return r.stored("a mail could not be taken in", err)
	}
	return nil
}

func guarded(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			// Its text may hold anything, the mail's content too.
			err = errPanic
		}
	}()
	return f()
}

// giveUp says of a mail that could not be taken in that it is there.
func (r *receiver) giveUp(c *imapConn, uid uint32) *failure {
	m := mailInfo{uid: uid}
	f := r.commitItem(c.ctx, m, func() (*channel.Item, error) {
		return &channel.Item{
			Channel: r.m.info.ID, Keys: []channel.Key{r.key(uid)}, At: r.m.env.Now(), Quarantined: channel.CausePoison,
			Detail: fmt.Sprintf("mail %d of the folder %s could not be taken in; it is still there", uid, oneLine(r.cur.Folder, nil)),
		}, nil
	})
	r.cur.Pending = slices.DeleteFunc(r.cur.Pending, func(u uint32) bool { return u == uid }) // it stays
	return f
}
