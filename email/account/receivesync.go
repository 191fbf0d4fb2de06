package account

import (
	"errors"
	"log/slog"
	"math"
	"slices"
	"time"
)

const (
	// lookBack is how far below the cursor mails are looked for that a server
	// shows late: clusters are known to give a lower UID after a higher one.
	lookBack = 64
	// maxBlame is how much blame a mail takes before the one behind it is
	// tried: a failure to fetch it weighs 4, and one of the store, which is
	// most likely not the mail's, 1.
	maxBlame   = 12
	blameFetch = 4
	blameStore = 1
	// maxAsideTries is how often a mail is tried that was set aside.
	maxAsideTries = 8
)

// sync takes in everything that is new.
func (r *receiver) sync(c *imapConn, folder string) *failure {
	if f := r.retryAside(c); f != nil {
		return f
	}
	for {
		uids, f := r.look(c)
		if f != nil {
			return f
		}
		if len(uids) == 0 {
			break
		}
		if f := r.takeAll(c, folder, uids); f != nil {
			return f
		}
	}
	waited := len(r.cur.Pending)
	if f := r.runAfter(c, folder); f != nil {
		return f
	}
	now := r.m.env.Now().UTC().Truncate(time.Second)
	r.cur.UID = max(r.cur.UID, r.cur.History)
	// What was done with mails is not to be done again after a restart, when
	// somebody may have undone it.
	r.done = r.done || len(r.cur.Pending) < waited
	if r.done || now.Sub(r.cur.CaughtUp) >= time.Hour {
		r.cur.CaughtUp = now
		if f := r.save(c.ctx); f != nil {
			return f
		}
		r.done = false
	}
	r.live(c.ctx)
	return nil
}

// look returns the UIDs behind the cursor. Those that turned up before it are
// set aside, to be taken in next.
func (r *receiver) look(c *imapConn) ([]uint32, *failure) {
	if r.cur.UID == math.MaxUint32 {
		return nil, nil // no number is left until the folder gets new ones
	}
	var history []uint32
	from := r.cur.UID + 1
	if r.cur.UID < r.cur.History {
		var err error
		if history, err = c.list(from, r.cur.History, r.cur.Since); err != nil {
			return nil, c.failed(stageMail, err)
		}
		from = r.cur.History + 1
	}
	low := uint32(1)
	if from > lookBack {
		low = from - lookBack
	}
	if len(history) > 0 || r.cur.UID < r.cur.History {
		low = from
	}
	found, err := c.list(low, 0, time.Time{})
	if err != nil {
		return nil, c.failed(stageMail, err)
	}
	known := r.seen
	r.seen = make(map[uint32]bool, len(found))
	var late, fresh []uint32
	for _, u := range found {
		r.seen[u] = true
		switch {
		case u >= from:
			fresh = append(fresh, u)
		case known != nil && !known[u] && u > r.cur.History && !r.isAside(u):
			late = append(late, u)
		}
	}
	if len(late) > 0 {
		if !r.cur.setAside(late, r.m.env.Now().Add(-asidePause(0))) {
			return nil, tooManyAside()
		}
		if f := r.save(c.ctx); f != nil {
			return nil, f
		}
		if f := r.retryAside(c); f != nil {
			return nil, f
		}
	}
	return append(history, fresh...), nil
}

func (r *receiver) isAside(uid uint32) bool {
	return slices.ContainsFunc(r.cur.Aside, func(a aside) bool { return a.UID == uid })
}

func tooManyAside() *failure {
	return &failure{stage: stageMail, code: "poison", text: "too many mails cannot be taken in; receiving waits until some can"}
}

// takeAll takes mails in, in order. One that fails again and again is held
// back, and set aside once a later one has shown that it alone is the cause.
func (r *receiver) takeAll(c *imapConn, folder string, uids []uint32) *failure {
	var held []uint32
	for len(uids) > 0 {
		if r.width > 1 && len(uids) > 1 {
			n, f := r.stream(c, folder, uids)
			if f != nil {
				r.width = 1
				return f
			}
			uids = uids[n:]
			continue
		}
		if len(uids) > 1 && r.blamed[uids[0]] >= maxBlame {
			held = append(held, uids[0])
			uids = uids[1:]
			continue
		}
		if f := r.takeSingle(c, uids[0]); f != nil {
			if c.ctx.Err() == nil {
				r.blame(uids[0], f)
			}
			r.width = 1
			return f
		}
		if len(held) > 0 {
			r.m.env.Log.LogAttrs(c.ctx, slog.LevelWarn, "account: mails that cannot be taken in are set aside", slog.Any("uids", held))
			if !r.cur.setAside(held, r.m.env.Now()) {
				return tooManyAside()
			}
			held = nil
			clear(r.blamed)
		}
		r.cur.UID = max(r.cur.UID, uids[0])
		delete(r.blamed, uids[0])
		if f := r.save(c.ctx); f != nil {
			return f
		}
		r.live(c.ctx)
		uids = uids[1:]
		r.taken++
		r.width = min(2*r.width, maxWidth)
		waited := len(r.cur.Pending)
		if f := r.runAfter(c, folder); f != nil {
			return f
		}
		r.done = r.done || len(r.cur.Pending) < waited
	}
	return nil
}

// blame counts a failure against a mail.
func (r *receiver) blame(uid uint32, f *failure) {
	weight := blameFetch
	if f.code == "store" {
		weight = blameStore
	}
	r.blamed[uid] += weight
}

// retryAside tries the mails set aside whose time has come. The try is noted
// before, since it may end the connection or the process.
func (r *receiver) retryAside(c *imapConn) *failure {
	for i := 0; i < len(r.cur.Aside); {
		a := &r.cur.Aside[i]
		now := r.m.env.Now()
		if now.Before(a.Next) {
			i++
			continue
		}
		a.Tries++
		a.Next = now.Add(asidePause(a.Tries))
		uid, last := a.UID, a.Tries >= maxAsideTries
		if f := r.save(c.ctx); f != nil {
			return f
		}
		var f *failure
		if last {
			f = r.giveUp(c, uid)
		} else {
			f = r.takeSingle(c, uid)
		}
		if f != nil {
			if slices.Contains([]string{"store", "poison", "imap_no", "imap_bad"}, f.code) {
				i++ // the connection is well
				continue
			}
			return f
		}
		r.cur.Aside = slices.Delete(r.cur.Aside, i, i+1)
		if f := r.save(c.ctx); f != nil {
			return f
		}
	}
	return nil
}

// runAfter does what is to be done with mails once they are taken in. That it
// fails is no reason to stop: they are kept in mind, and the status says so. A
// failure means that the folder is no longer open, or is another.
func (r *receiver) runAfter(c *imapConn, folder string) *failure {
	action := r.m.conf.IMAP.After
	if action == afterLeave {
		r.cur.Pending = nil
	}
	for len(r.cur.Pending) > 0 {
		n := min(len(r.cur.Pending), maxAfter)
		err := c.after(folder, r.cur.Validity, action, r.cur.Pending[:n])
		st, reopened := c.examine(folder)
		if reopened != nil {
			return c.folderFailure(folder, reopened)
		}
		if st.validity != r.cur.Validity {
			return &failure{stage: stageMail, code: "renumbered", text: "the folder was replaced by another while it was read"}
		}
		switch {
		case err == nil:
			r.note = ""
		case errors.Is(err, errNotOffered):
			r.note = "mails are taken in, but not moved: " + errNotOffered.Error()
		case errors.Is(err, errItself):
			r.note = "mails are taken in, but not moved: " + errItself.Error()
		case errors.Is(err, errOverlong):
			r.note = "mails are taken in, but not moved: " + err.Error()
			return nil
		default:
			text := c.failed(stageMail, err).text
			r.m.env.Log.LogAttrs(c.ctx, slog.LevelWarn, "account: mails could not be marked, moved or deleted", slog.String("reason", text))
			r.note = "mails are taken in, but not marked, moved or deleted: " + text
			return nil
		}
		r.cur.Pending = slices.Delete(r.cur.Pending, 0, n)
	}
	return nil
}
