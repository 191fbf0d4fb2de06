package ticket

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// attempt is one try at sending a message. The work's revision moves with each
// of its commits.
type attempt struct {
	desk  *Desk
	msg   *Message
	began time.Time

	// turn is held by the one commit under way; mu guards what follows.
	turn chan struct{}
	mu   sync.Mutex
	work Work
	lost bool // another worker may have taken over
	// refused are the recipients that the network does not take now.
	refused []channel.Delivery
	// caps are counted with the point of no return; full says that one of them
	// was at its bound then.
	caps []capRule
	full bool
}

func (d *Desk) newAttempt(w *Work) *attempt {
	return &attempt{desk: d, work: *w, began: d.now(), turn: make(chan struct{}, 1)}
}

func (a *attempt) isHanded() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.work.Handed
}

// begin commits that the message is being sent. If it was cancelled or settled
// meanwhile, the work is dropped and a.msg stays nil.
func (a *attempt) begin(ctx context.Context) error {
	w := a.work
	var msg *Message
	var again Work
	_, err := a.desk.decide(ctx, Actor{Kind: ActorSystem}, wantOutgoing(w.Message), func(u *unit) error {
		m := u.snap.Messages[w.Message]
		msg = nil
		if m == nil || m.State != StatePending && m.State != StateSending {
			u.done(&w)
			return nil
		}
		if !m.RedactedAt.IsZero() && !w.Handed && partlySent(m) {
			u.done(&w)
			m.Work = ""
			u.advancePending(m, channel.DeliveryFailed)
			u.setState(m, StateFailed, "deleted before all had it")
			return nil
		}
		if !m.RedactedAt.IsZero() && !w.Handed {
			u.done(&w) // deleted before it left
			m.Work = ""
			u.setState(m, StateCancelled, "deleted")
			return nil
		}
		if !w.Handed {
			m.tried(&w, u.now)
		}
		// The work's revision must be ours still, in the same commit.
		cur := u.snap.Works[w.ID]
		if cur == nil || cur.Revision != w.Revision {
			return ErrConflict
		}
		m.Attempts = w.Attempts
		if !w.Handed {
			for i := range m.Deliveries {
				m.Deliveries[i].PutOff = false
			}
		}
		u.setState(m, StateSending, "")
		again = w
		u.addWork(&again)
		msg = m
		return nil
	})
	if err != nil {
		return err
	}
	if msg != nil {
		a.work, a.msg = again, msg
	}
	return nil
}

// tried notes the beginning of a try. What was due and not tried, since its
// channel was off or no node ran, is no time of trying.
func (m *Message) tried(w *Work, now time.Time) {
	if m.FirstTryAt.IsZero() {
		m.FirstTryAt = now
	} else {
		due := w.NotBefore
		if m.TriedAt.After(due) {
			due = m.TriedAt
		}
		m.Held += max(now.Sub(due), 0)
	}
	m.TriedAt = now
}

// refuse notes what the network says of a recipient that it does not take now.
// It is kept by handed.
func (a *attempt) refuse(d channel.Delivery) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = append(a.refused, d)
}

// handed marks the point of no return. It fails when the lease was lost, and
// when a cap is reached.
func (a *attempt) handed(ctx context.Context) error {
	var counts []Count
	a.mu.Lock()
	refused := a.refused
	a.mu.Unlock()
	if len(refused) > 0 && a.msg != nil {
		return a.handedWithout(ctx, refused)
	}
	if !a.isHanded() {
		counts = a.counts(1)
	}
	return a.putWork(ctx, func(w *Work) { w.Handed = true }, counts...)
}

// handedWithout marks the point of no return, and in the same commit whom the try
// is not for: should all else about it be lost, these do not count as sent to.
func (a *attempt) handedWithout(ctx context.Context, refused []channel.Delivery) error {
	return a.inTurn(ctx, func(w *Work) error {
		var next Work
		_, err := a.desk.decide(ctx, Actor{Kind: ActorSystem}, func() Want {
			wt := wantOutgoing(w.Message)()
			wt.standing(gone(refused)...)
			return wt
		}, func(u *unit) error {
			m, cur := u.snap.Messages[w.Message], u.snap.Works[w.ID]
			if m == nil || cur == nil || cur.Revision != w.Revision {
				return ErrConflict
			}
			mergeDeliveries(m, refused)
			u.editMessage(m)
			if a.desk.view().scheme(m.Channel) == schemeMail {
				u.learn(m, refused)
			}
			next = *w
			next.Handed, next.LeaseUntil = true, u.now.Add(a.desk.cfg.Timing.Lease)
			u.addWork(&next)
			return nil
		})
		if err == nil {
			*w = next
		}
		return err
	})
}

// notHanded takes the mark back, of what surely was not sent.
func (a *attempt) notHanded(ctx context.Context) error {
	return a.putWork(ctx, func(w *Work) { w.Handed = false }, a.counts(-1)...)
}

func (a *attempt) counts(add int64) []Count {
	var out []Count
	for _, r := range a.caps {
		c := r.count
		c.Add = add
		if add < 0 {
			c.Max = 0
		}
		out = append(out, c)
	}
	return out
}

// putWork commits a change of the work.
func (a *attempt) putWork(ctx context.Context, change func(*Work), counts ...Count) error {
	return a.inTurn(ctx, func(w *Work) error {
		change(w)
		w.LeaseUntil = a.desk.now().Add(a.desk.cfg.Timing.Lease)
		c := &Changes{At: a.desk.now(), Works: []*Work{w}, Counts: counts}
		if err := a.desk.commit(ctx, c); err != nil {
			return fmt.Errorf("ticket: keep work: %w", err)
		}
		return nil
	})
}

// inTurn has f commit a change of the work, alone and if the lease is still ours.
func (a *attempt) inTurn(ctx context.Context, f func(w *Work) error) error {
	select {
	case a.turn <- struct{}{}:
		defer func() { <-a.turn }()
	case <-ctx.Done():
		return ctx.Err()
	}
	a.mu.Lock()
	lost, next := a.lost, a.work
	a.mu.Unlock()
	if lost {
		return fmt.Errorf("ticket: lease lost: %w", ErrConflict)
	}
	err := f(&next)
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.lost = a.lost || errors.Is(err, ErrConflict)
		a.full = a.full || errors.Is(err, ErrLimit)
		return err
	}
	a.work = next
	return nil
}

// keepLease renews the lease until stop is called. When it cannot be renewed
// and would lapse, cancel ends the try.
func (a *attempt) keepLease(ctx context.Context, cancel context.CancelFunc) (stop func()) {
	ctx, end := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		for sleep(ctx, a.desk.cfg.Timing.Lease/3) == nil {
			limit, end := context.WithTimeout(ctx, a.desk.cfg.Timing.Lease/4)
			err := a.putWork(limit, func(*Work) {})
			end()
			a.mu.Lock()
			lapses := a.work.LeaseUntil
			a.mu.Unlock()
			// Cut off from the store, the try must end before another node
			// may take over.
			if errors.Is(err, ErrConflict) || err != nil && a.desk.now().Add(a.desk.cfg.Timing.Lease/3).After(lapses) {
				cancel()
				return
			}
		}
	})
	return func() { end(); wg.Wait() }
}

// find looks for a message that may have been sent before.
func (a *attempt) find(ctx context.Context, s channel.Sender, out *channel.Outbound) (channel.Receipt, channel.Found) {
	f, ok := s.(channel.Finder)
	if !ok {
		return channel.Receipt{}, channel.FoundUnknown
	}
	r, found, err := f.Find(ctx, out)
	if err != nil {
		a.desk.log.Warn("look for a message", "message", out.ID, slog.Any("error", err))
		return r, channel.FoundUnknown
	}
	return r, found
}
