package account

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// smallMail is the largest mail that is fetched together with others.
const smallMail = chunk / 4

// take takes mails in, in order, and returns how many of them are done.
func (r *receiver) take(c *imapConn, uids []uint32) (int, *failure) {
	// A time that the library cannot read breaks off the connection. It is
	// done without before the mail is given up.
	withTime := len(uids) > 1 || r.blamed[uids[0]] < 2*blameFetch
	infos, f := r.describe(c, uids, withTime)
	if f != nil {
		return 0, f
	}
	infos = slices.DeleteFunc(infos, func(m mailInfo) bool { return !r.cur.wants(m) })
	done := func(uid uint32) int { // how many of uids come before uid
		i, _ := slices.BinarySearch(uids, uid)
		return i
	}
	for len(infos) > 0 {
		group := groupOf(infos)
		bodies := map[uint32][]byte{}
		if group[0].size <= r.pace.Mail {
			numbers := make([]uint32, len(group))
			for i, m := range group {
				numbers[i] = m.uid
			}
			if bodies, f = r.fetch(c, numbers); f != nil {
				return done(group[0].uid), f
			}
		}
		if f, m := r.takeGroup(c, group, bodies); f != nil {
			return done(m.uid), f
		}
		infos = infos[len(group):]
	}
	return len(uids), nil
}

// takeGroup takes in mails of which as much was fetched as fits in one chunk. It
// returns the first that failed.
func (r *receiver) takeGroup(c *imapConn, group []mailInfo, bodies map[uint32][]byte) (*failure, mailInfo) {
	var whole []mailInfo
	flush := func() (*failure, mailInfo) {
		n, f := r.acceptAll(c.ctx, whole, bodies)
		if f != nil {
			return f, whole[n]
		}
		whole = whole[:0]
		return nil, mailInfo{}
	}
	for _, m := range group {
		b, here := bodies[m.uid]
		if !here && m.size <= r.pace.Mail {
			continue // it has gone meanwhile
		}
		if r.surelyWhole(m, b) {
			whole = append(whole, m)
			continue
		}
		if f, first := flush(); f != nil {
			return f, first
		}
		if f := r.takeOne(c, m, b); f != nil {
			return f, m
		}
	}
	return flush()
}

// surelyWhole reports whether b is all of a mail.
func (r *receiver) surelyWhole(m mailInfo, b []byte) bool {
	return m.size <= r.pace.Mail && len(b) > 0 && len(b) < chunk && (int64(len(b)) >= m.size || r.estimates >= sureEstimates)
}

// groupOf returns the first mails that are fetched with one command.
func groupOf(infos []mailInfo) []mailInfo {
	var sum int64
	for i, m := range infos {
		if sum += m.size; m.size > smallMail || sum > maxGroup {
			return infos[:max(i, 1)]
		}
	}
	return infos
}

// sureEstimates is after how many mails that were shorter than the server said
// its sizes are known to be estimates, as Exchange's are.
const sureEstimates = 3

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
	case int64(len(b)) < m.size && r.estimates < sureEstimates:
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
	return r.accept(c.ctx, m, channel.Bytes(b), "")
}

// describe returns size and time of mails that are still there. What is not
// answered is asked for once more: the library takes news of a mail's flags,
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
			return slices.ContainsFunc(infos, func(m mailInfo) bool { return m.uid == u })
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

// fetch returns the first chunk of mails that are still there, as describe does.
func (r *receiver) fetch(c *imapConn, uids []uint32) (map[uint32][]byte, *failure) {
	out := map[uint32][]byte{}
	left := uids
	for range 2 {
		bodies, err := c.fetch(left)
		if err != nil {
			return nil, c.failed(stageMail, err)
		}
		maps.Copy(out, bodies)
		var f *failure
		if left, f = c.unanswered(left, func(u uint32) bool { return bodies[u] != nil }); f != nil {
			return nil, f
		}
		if len(left) == 0 {
			return out, nil
		}
	}
	return nil, notHandedOut()
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
func (r *receiver) context(m mailInfo) email.Context {
	address := r.m.conf.Address
	at := m.at
	if now := r.m.env.Now(); at.IsZero() || at.After(now) {
		at = now
	}
	return email.Context{
		Channel: r.m.info.ID, Own: email.Own{Addresses: []string{address}},
		Envelope: channel.Envelope{To: address, Transport: "imap"},
		At:       at, Imported: r.cur.imported(m),
	}
}

// acceptAll has mails committed at once, and each alone if that fails: then one
// of them may be the cause. It returns how many are done.
func (r *receiver) acceptAll(ctx context.Context, mails []mailInfo, bodies map[uint32][]byte) (int, *failure) {
	if len(mails) > 1 && r.commitAll(ctx, mails, bodies) == nil {
		return len(mails), nil
	}
	for i, m := range mails {
		if f := r.accept(ctx, m, channel.Bytes(bodies[m.uid]), ""); f != nil {
			return i, f
		}
	}
	return len(mails), nil
}

func (r *receiver) commitAll(ctx context.Context, mails []mailInfo, bodies map[uint32][]byte) error {
	ctx, cancel := r.commit(ctx)
	defer cancel()
	err := guarded(func() error {
		items := make([]*channel.Item, len(mails))
		for i, m := range mails {
			raw := channel.Bytes(bodies[m.uid])
			mail, err := email.Read(raw)
			if err != nil {
				return err
			}
			items[i] = email.Item(raw, mail, r.context(m))
		}
		return r.sink.Accept(ctx, items...)
	})
	if err != nil {
		return err
	}
	for _, m := range mails {
		r.tookIn(m)
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
// alone could be given again to another mail by a server that lost its index.
func (r *receiver) accept(ctx context.Context, m mailInfo, raw channel.Body, defect string) *failure {
	ectx := r.context(m)
	if defect != "" {
		ectx.Key = r.key(m.uid)
	}
	return r.commitItem(ctx, m, func() (*channel.Item, error) {
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
