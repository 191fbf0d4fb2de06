package account

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// smallMail is the largest mail that is fetched together with others.
const smallMail = chunk / 4

// take takes mails in, in order, and returns how many of them are done.
func (r *receiver) take(c *imapConn, uids []uint32) (int, *failure) {
	infos, err := c.describe(uids)
	if err != nil {
		return 0, c.failed(stageMail, err)
	}
	if f := c.surelyGone(uids, infos); f != nil {
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
			if bodies, err = c.fetch(numbers); err != nil {
				return done(group[0].uid), c.failed(stageMail, err)
			}
			fetched := slices.DeleteFunc(slices.Clone(group), func(m mailInfo) bool { return bodies[m.uid] == nil })
			if f := c.surelyGone(numbers, fetched); f != nil {
				return done(group[0].uid), f
			}
		}
		for _, m := range group {
			b, here := bodies[m.uid]
			var f *failure
			switch {
			case m.size > r.pace.Mail:
				f = r.takeNote(c, m)
			case !here:
				continue // it has gone meanwhile
			case len(b) >= chunk:
				f = r.takeLarge(c, m, b)
			default:
				f = r.accept(c.ctx, m, channel.Bytes(b), "")
			}
			if f != nil {
				return done(m.uid), f
			}
		}
		infos = infos[len(group):]
	}
	return len(uids), nil
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

// surelyGone returns a failure if a mail that was not answered is still there:
// some servers leave out what they cannot read.
func (c *imapConn) surelyGone(asked []uint32, answered []mailInfo) *failure {
	if len(asked) == len(answered) {
		return nil
	}
	there, err := c.list(asked[0], asked[len(asked)-1], time.Time{})
	if err != nil {
		return c.failed(stageMail, err)
	}
	for _, u := range asked {
		if slices.Contains(there, u) && !slices.ContainsFunc(answered, func(m mailInfo) bool { return m.uid == u }) {
			return &failure{stage: stageMail, code: "poison", text: "the server lists a mail and does not hand it out"}
		}
	}
	return nil
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
		if r.m.conf.IMAP.After != afterLeave {
			r.cur.taken(m.uid)
		}
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
