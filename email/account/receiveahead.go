package account

import (
	"slices"
	"sync/atomic"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// Bounds of what is fetched at a time. While a batch is committed, the next one is
// fetched and read, and no more: of small mails at most two batches are held, with
// what was made of them.
const (
	// maxWidth is how many mails are described by one command, so that the
	// command's line stays within 2 KB (RFC 2683 section 3.2.1.5).
	maxWidth = 200
	// maxBatch is how many mails are fetched by one command, and committed at
	// once.
	maxBatch = 100
	// maxGroup is how many bytes of small mails are fetched by one command.
	maxGroup = 2 << 20
	// maxFlight is how many bytes a server may send for such a command whose
	// mails are larger than it said.
	maxFlight = 16 << 20
	// smallMail is the largest mail that is fetched together with others.
	smallMail = chunk / 4
)

// batch is what was fetched by one command.
type batch struct {
	// uids are done once mails are. Those without a mail have gone, or are not
	// wanted.
	uids  []uint32
	mails []*fetched
	// width is how many mails are to be described next.
	width int
	// f says why the mails could not be fetched. Nothing of them counts then.
	f *failure
	// read is closed when nothing is at work on the mails any more.
	read chan struct{}
}

// fetched is a mail of which as much was fetched as fits in one chunk.
type fetched struct {
	mailInfo
	body []byte // nil if it has gone, or is over Receiving.Mail
	// item is what the whole mail was read as, nil if it has to be read yet.
	item *channel.Item
}

// ahead fetches and reads mails while those before are committed. Between start
// and landed the connection is its own, and all else is for the goroutine that
// commits.
type ahead struct {
	r   *receiver // what does not change
	c   *imapConn
	cur cursor // as it was in the beginning

	left   []uint32 // not described yet
	width  int
	sizes  bool       // the times of receipt are not asked for
	window []uint32   // described, and in no batch yet
	known  []mailInfo // those of window that are wanted

	flight chan *batch // not nil while a batch is fetched
	ready  *batch
	over   atomic.Bool // nothing is needed any more
}

func (r *receiver) newAhead(c *imapConn, uids []uint32, width int) *ahead {
	return &ahead{r: r, c: c, cur: r.cur, left: uids, width: width}
}

// start begins to fetch the next batch, if there is one.
func (a *ahead) start() {
	if a.flight != nil || a.ready != nil || len(a.left) == 0 && len(a.window) == 0 {
		return
	}
	flight, estimates := make(chan *batch, 1), a.r.estimated()
	a.flight = flight
	go func() { flight <- a.fetch(estimates) }()
}

// landed waits until the connection is free, and reports whether it is well.
func (a *ahead) landed() bool {
	if a.flight != nil {
		a.ready, a.flight = <-a.flight, nil
	}
	return a.ready == nil || a.ready.f == nil
}

// next returns the next batch, nil at the end.
func (a *ahead) next() *batch {
	a.start()
	a.landed()
	b := a.ready
	a.ready = nil
	if b != nil {
		if b.f != nil {
			a.over.Store(true)
		}
		<-b.read
	}
	return b
}

// drop throws away what was fetched and not committed. If something is under way
// the connection goes with it.
func (a *ahead) drop() {
	a.over.Store(true)
	if a.flight != nil {
		select {
		case a.ready = <-a.flight:
		default:
			closeNow(a.c.raw)
			a.ready = <-a.flight
		}
		a.flight = nil
	}
	if a.ready != nil {
		<-a.ready.read
	}
}

// fetch fetches one batch.
func (a *ahead) fetch(estimates bool) *batch {
	b := &batch{read: make(chan struct{})}
	if len(a.window) == 0 {
		n := min(a.width, len(a.left))
		a.window, a.left = a.left[:n], a.left[n:]
		a.width = min(2*a.width, maxWidth)
		infos, f := a.r.describe(a.c, a.window, !a.sizes)
		if f != nil {
			b.f = f
			close(b.read)
			return b
		}
		a.known = slices.DeleteFunc(infos, func(m mailInfo) bool { return !a.cur.wants(m) })
	}
	b.width = a.width
	group := groupOf(a.known)
	a.known = a.known[len(group):]
	n := len(a.window)
	if len(a.known) > 0 {
		n, _ = slices.BinarySearch(a.window, a.known[0].uid)
	}
	b.uids, a.window = a.window[:n], a.window[n:]
	numbers := make([]uint32, len(group))
	for i, m := range group {
		b.mails = append(b.mails, &fetched{mailInfo: m})
		numbers[i] = m.uid
	}
	if len(group) == 0 || group[0].size > a.r.pace.Mail {
		close(b.read)
		return b
	}
	whole := make(chan *fetched, len(group))
	go func() {
		defer close(b.read)
		for m := range whole {
			if !a.over.Load() {
				m.item = a.r.read(a.cur, m)
			}
		}
	}()
	defer close(whole)
	b.f = a.r.fetch(a.c, numbers, func(uid uint32, body []byte) {
		i, _ := slices.BinarySearch(numbers, uid)
		// Once: a server that hands out a mail twice finds it being read.
		if m := b.mails[i]; m.body == nil {
			m.body = body
			if a.r.whole(m, estimates) {
				whole <- m
			}
		}
	})
	return b
}

// groupOf returns the first mails that are fetched by one command.
func groupOf(infos []mailInfo) []mailInfo {
	var sum int64
	for i, m := range infos {
		if sum += m.size; m.size > smallMail || sum > maxGroup || i == maxBatch {
			return infos[:max(i, 1)]
		}
	}
	return infos
}

// read returns what a whole mail is read as, nil if that fails: then it is read
// again by itself, and what fails is told.
func (r *receiver) read(cur cursor, m *fetched) *channel.Item {
	var it *channel.Item
	err := guarded(func() error {
		raw := channel.Bytes(m.body)
		mail, err := email.Read(raw)
		if err == nil {
			it = email.Item(raw, mail, r.context(cur, m.mailInfo))
		}
		return err
	})
	if err != nil {
		return nil
	}
	return it
}

// stream takes mails in, in order, and returns how many of them are done. While
// a batch is committed the next is fetched, so the cursor follows behind both.
func (r *receiver) stream(c *imapConn, folder string, uids []uint32) (int, *failure) {
	a := r.newAhead(c, uids, r.width)
	defer a.drop()
	done := 0
	for b := a.next(); b != nil; b = a.next() {
		if b.f != nil {
			return done, b.f
		}
		if r.allWhole(b) {
			a.start()
		} // else what is left of the mails comes first
		n, f := r.takeBatch(c, b)
		if n > 0 {
			r.cur.UID = max(r.cur.UID, b.uids[n-1])
			done += n
			if saved := r.save(c.ctx); f == nil {
				f = saved // else what has failed is told; the cursor may lag
			}
		}
		if f != nil {
			return done, f
		}
		for _, u := range b.uids {
			delete(r.blamed, u)
		}
		r.live(c.ctx)
		r.taken += n
		r.width = b.width
		if f := r.finish(a, folder); f != nil {
			return done, f
		}
	}
	return done, nil
}

// finish does what is to be done with mails once they are taken in, for which
// the connection has to be free.
func (r *receiver) finish(a *ahead, folder string) *failure {
	if r.m.conf.IMAP.After == afterLeave {
		r.cur.Pending = nil
		return nil
	}
	if !a.landed() {
		return nil // that failure is told, and these mails are kept in mind
	}
	waited := len(r.cur.Pending)
	f := r.runAfter(a.c, folder)
	r.done = r.done || len(r.cur.Pending) < waited
	return f
}

// takeBatch has the mails of a batch committed, in order, and returns how many
// of its UIDs are done.
func (r *receiver) takeBatch(c *imapConn, b *batch) (int, *failure) {
	f, m := r.takeMails(c, b.mails)
	if f == nil {
		return len(b.uids), nil
	}
	n, _ := slices.BinarySearch(b.uids, m.uid)
	return n, f
}

// takeMails returns the first mail that failed.
func (r *receiver) takeMails(c *imapConn, mails []*fetched) (*failure, *fetched) {
	var whole []*fetched
	flush := func() (*failure, *fetched) {
		n, f := r.acceptAll(c.ctx, whole)
		if f != nil {
			return f, whole[n]
		}
		whole = whole[:0]
		return nil, nil
	}
	for _, m := range mails {
		if m.body == nil && m.size <= r.pace.Mail {
			continue // it has gone meanwhile
		}
		if r.whole(m, r.estimated()) {
			whole = append(whole, m)
			continue
		}
		if f, first := flush(); f != nil {
			return f, first
		}
		if f := r.takeOne(c, m.mailInfo, m.body); f != nil {
			return f, m
		}
	}
	return flush()
}

// allWhole reports whether nothing more has to be fetched for a batch.
func (r *receiver) allWhole(b *batch) bool {
	return !slices.ContainsFunc(b.mails, func(m *fetched) bool {
		gone := m.body == nil && m.size <= r.pace.Mail
		return !gone && !r.whole(m, r.estimated())
	})
}

// whole reports whether the body is surely all of a mail.
func (r *receiver) whole(m *fetched, estimates bool) bool {
	return m.size <= r.pace.Mail && len(m.body) > 0 && len(m.body) < chunk && (int64(len(m.body)) >= m.size || estimates)
}

// sureEstimates is after how many mails that were shorter than the server said
// its sizes are known to be estimates, as Exchange's are.
const sureEstimates = 3

func (r *receiver) estimated() bool { return r.estimates >= sureEstimates }
