package account

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/emersion/go-imap/v2"

	"github.com/anteroom/anteroom/channel"
)

// receivingMailbox is an account with IMAP.
type receivingMailbox struct {
	*mailbox
	link imapLink
}

var _ channel.Receiver = (*receivingMailbox)(nil)

// maxRefusals is after how many refused logins a person is asked.
const maxRefusals = 3

// Receive takes in what comes to the folder, until ctx ends; then it returns
// nil. Everything else is an outage, reported and tried again.
func (m *receivingMailbox) Receive(ctx context.Context, sink channel.Sink) error {
	r := &receiver{m: m, sink: sink, pace: m.link.pace, width: 1, blamed: map[uint32]int{}}
	defer r.tries.Wait()
	r.status(channel.Status{State: channel.StateConnecting})
	failures, refusals := 0, 0
	for ctx.Err() == nil {
		r.progress = false
		began := time.Now()
		f := r.session(ctx)
		if ctx.Err() != nil || f == nil {
			continue
		}
		if r.progress {
			// A server that breaks off again and again is not to be
			// stormed, even if each time something comes of it.
			failures, refusals = min(failures, maxQuick), 0
		}
		if time.Since(began) >= r.pace.RetryMax {
			failures = 0
		}
		failures++
		pause := retryPause(r.pace, failures)
		st := channel.Status{State: channel.StateDegraded, Reason: f.text}
		if f.authorization {
			if refusals++; refusals >= maxRefusals {
				pause = r.pace.Refused
				st.State = channel.StateNeedsAuthorization
			}
		}
		st.NextTry = m.env.Now().Add(pause)
		r.status(st)
		m.env.Log.LogAttrs(ctx, slog.LevelInfo, "account: receiving was interrupted",
			slog.String("code", f.code), slog.String("reason", f.text), slog.Duration("pause", pause))
		rest(ctx, pause)
	}
	return nil
}

// maxIdleNews is how much news without mail is looked into at once.
const maxIdleNews = 5

// maxQuick is how often the pause doubles after sessions in which the folder
// could be looked at.
const maxQuick = 3

// retryPause doubles from RetryMin to RetryMax and varies by a quarter, so that
// many accounts do not come back in step.
func retryPause(pace Receiving, failures int) time.Duration {
	p := pace.RetryMin
	for range failures - 1 {
		if p *= 2; p >= pace.RetryMax {
			break
		}
	}
	p = min(p, pace.RetryMax)
	return p - p/4 + rand.N(p/2+1)
}

func rest(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// receiver is one call of Receive.
type receiver struct {
	m    *receivingMailbox
	sink channel.Sink
	pace Receiving

	cur    cursor
	loaded bool
	// seen are the UIDs near the cursor that are known; nil until the first look.
	seen map[uint32]bool
	// width is how many mails are taken in at a time: one after a failure, so
	// that the mail is found which is the cause.
	width int
	// blamed is how much single mails have failed.
	blamed map[uint32]int
	// note says why IMAP.After could not be done the last time.
	note string
	// estimates counts mails that were shorter than the server said.
	estimates int
	// taken counts mails that were looked at.
	taken int
	// done says that IMAP.After was done since the cursor was saved.
	done bool
	// trying says that sending is being tried again, by one of tries.
	trying atomic.Bool
	tries  sync.WaitGroup
	// progress says that the folder was looked at in this session.
	progress bool
}

func (r *receiver) status(st channel.Status) {
	r.m.board.put(r.m.env, receiving, st)
}

func (r *receiver) live(ctx context.Context) {
	r.progress = true
	r.retrySending(ctx)
	r.status(channel.Status{State: channel.StateLive, LastSeen: r.m.env.Now(), Reason: r.note})
}

// retrySending sees whether sending works again after a failure. The message
// that failed may have been cancelled, and nothing else would tell.
func (r *receiver) retrySending(ctx context.Context) {
	m := r.m.mailbox
	if !m.board.stale(sending, m.env.Now()) || !r.trying.CompareAndSwap(false, true) {
		return
	}
	r.tries.Go(func() {
		defer r.trying.Store(false)
		_, f := m.mailer.check(ctx, m.conf.Address)
		m.report(f)
	})
}

// session is one connection, from greeting to failure. It returns nil only when
// ctx has ended.
func (r *receiver) session(ctx context.Context) *failure {
	c, f := r.m.link.open(ctx)
	if f != nil {
		return f
	}
	// In the end without a farewell: it may have died, or ctx has ended.
	defer c.close()
	folder, f := c.resolve(r.m.conf.IMAP.Folder)
	if f != nil {
		return f
	}
	idles := c.idles()
	idleNews := 0 // how often in a row the server said that there was something, and nothing was
	for look := true; ctx.Err() == nil; {
		if look {
			if f := r.locate(c, folder); f != nil {
				return f
			}
		}
		before := r.taken
		if f := r.sync(c, folder); f != nil {
			return f
		}
		if r.taken > before {
			idleNews = 0
		}
		if idleNews > maxIdleNews {
			// Some servers tell anew how many mails there are whatever they
			// are asked.
			rest(ctx, min(r.pace.RetryMin<<min(idleNews-maxIdleNews, 10), r.pace.Poll))
		}
		began := time.Now()
		if !idles {
			rest(ctx, r.pace.Poll-r.pace.Poll/5+rand.N(2*r.pace.Poll/5+1))
			look = true
			continue
		}
		err := c.idle(r.pace.Idle)
		if _, refused := errors.AsType[*imap.Error](err); refused {
			idles = false // offered, but not meant
			continue
		}
		if err != nil {
			return c.failed(stageMail, err)
		}
		r.live(c.ctx)
		// Without a word from the server the folder is opened anew, which
		// shows whether it still is the same.
		if look = time.Since(began) >= r.pace.Idle; look {
			idleNews = 0
		}
		idleNews++
	}
	return nil
}

// locate opens the folder and finds where to go on.
func (r *receiver) locate(c *imapConn, folder string) *failure {
	st, err := c.examine(folder)
	if err != nil {
		return c.folderFailure(folder, err)
	}
	if st.validity == 0 {
		return &failure{stage: stageMail, code: "folder", text: "the server gives the folder no UIDVALIDITY, so that mails cannot be told apart"}
	}
	if !r.loaded {
		ctx, cancel := r.commit(c.ctx)
		defer cancel()
		state, err := r.m.env.LoadState(ctx)
		if err != nil {
			return r.stored("the cursor could not be loaded", err)
		}
		r.cur, _ = loadCursor(state, r.m.conf)
		r.loaded = true
	}
	why, f := r.outdated(c, st)
	if f != nil || why == "" {
		return f
	}
	last := st.next - 1
	if st.next == 0 {
		uids, err := c.list(1, 0, time.Time{})
		if err != nil {
			return c.failed(stageMail, err)
		}
		last = 0
		if len(uids) > 0 {
			last = uids[len(uids)-1]
		}
	}
	next := firstCursor(*r.m.conf.IMAP, st, last, r.m.env.Now().UTC().Truncate(time.Second))
	if r.cur.Validity != 0 {
		next = r.cur.renumbered(st, last)
		r.m.env.Log.LogAttrs(c.ctx, slog.LevelWarn, "account: the folder is looked through again",
			slog.String("why", why), slog.Time("since", next.Since))
	}
	next.Address, next.Login = r.m.conf.Address, loginOf(r.m.conf)
	old := r.cur
	r.cur = next
	if f := r.save(c.ctx); f != nil {
		r.cur = old
		return f
	}
	r.seen, r.width = nil, 1
	clear(r.blamed)
	return nil
}

// outdated returns why the cursor says nothing about the folder, empty if it does.
func (r *receiver) outdated(c *imapConn, st folderState) (string, *failure) {
	switch {
	case r.cur.Validity == 0:
		return "it was never read", nil
	case r.cur.Validity != st.validity:
		return "it was renumbered", nil
	case r.cur.Login != loginOf(r.m.conf):
		// Small numbers are common, and may mean another folder by now.
		return "the server or the user is another", nil
	case st.next == 0 || r.cur.UID < st.next:
		return "", nil
	}
	// It gives numbers anew that it has given before, such as after a backup
	// was put back; or it does not know its next number.
	above, err := c.list(st.next, 0, time.Time{})
	if err != nil {
		return "", c.failed(stageMail, err)
	}
	if len(above) > 0 {
		return "", nil
	}
	return "its numbers begin again", nil
}

// folderFailure says that a folder cannot be opened.
func (c *imapConn) folderFailure(folder string, err error) *failure {
	f := c.failed(stageMail, err)
	if e, ok := errors.AsType[*imap.Error](err); ok {
		f.code = "folder"
		f.text = "the folder " + oneLine(folder, nil) + " cannot be opened: " + f.text
		f.fix = "Choose one of the account's folders."
		if passes(e) {
			f.fix = "The server is in trouble. It is tried again by itself."
		}
	}
	return f
}

// resolve finds the folder that the configuration means.
func (c *imapConn) resolve(folder string) (string, *failure) {
	if folder == "INBOX" {
		return folder, nil
	}
	use, list := strings.ToLower(folder), c.specialFolders
	if !strings.HasPrefix(use, `\`) {
		list = func() ([]folderInfo, error) { return c.folders(folder) }
	}
	all, err := list()
	if err != nil {
		return "", c.failed(stageMail, err)
	}
	for _, f := range all {
		if f.name != folder && !(strings.HasPrefix(use, `\`) && slices.Contains(f.use, use)) {
			continue
		}
		if bad := f.unfit(); bad != "" {
			return "", &failure{
				stage: stageMail, code: "folder", fix: "Choose another folder, such as INBOX.",
				text: "the folder " + oneLine(f.name, nil) + " is the server's " + bad + ", which is not what customers write to",
			}
		}
		return f.name, nil
	}
	return "", &failure{
		stage: stageMail, code: "folder", fix: "Choose one of the account's folders.",
		text: "there is no folder " + oneLine(folder, nil),
	}
}

// unfit returns the special use for which a folder is never read, or "".
func (f folderInfo) unfit() string {
	for _, use := range []string{`\sent`, `\drafts`, `\trash`, `\all`} {
		if slices.Contains(f.use, use) {
			return use
		}
	}
	return ""
}

// commit returns a context for what must not be broken off with ctx.
func (r *receiver) commit(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(context.WithoutCancel(ctx), r.pace.Commit)
}

// save keeps the cursor.
func (r *receiver) save(ctx context.Context) *failure {
	ctx, cancel := r.commit(ctx)
	defer cancel()
	if err := r.m.env.SaveState(ctx, r.cur.encode()); err != nil {
		return r.stored("the cursor could not be saved", err)
	}
	return nil
}

// stored is a failure on our side of things.
func (r *receiver) stored(text string, err error) *failure {
	return &failure{stage: stageMail, code: "store", text: text + ": " + oneLine(err.Error(), nil), err: err}
}
