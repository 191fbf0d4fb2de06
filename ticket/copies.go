package ticket

import (
	"context"
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Copies of what was sent are kept by channels that are a channel.Filer: in the
// Sent folder of a mailbox, say. That is work of its own, written in the commit
// that says that the message was sent, and done on a lane of its own, so that a
// server that hangs there holds up no message.

// maxCopyTries is how often a copy is tried before it is given up: for about
// three hours with the default pauses.
const maxCopyTries = 12

const copiesPrefix = "copies:"

// copiesLane is where copies of a channel's messages wait.
func copiesLane(ch channel.ID) string { return copiesPrefix + string(ch) }

func copyWorkID(m MessageID) WorkID { return WorkID("copy-" + string(m)) }

// copyPause is how long to wait before a copy of m is made, below 0 for never. A
// provider that keeps copies by itself is first, and its copy is found.
func (d *Desk) copyPause(m *Message) time.Duration {
	if c := d.view().channels[m.Channel]; c == nil || !c.files || m.System {
		return -1
	}
	return max(d.cfg.Timing.Copy, 0)
}

// copyLater has a copy kept of a message that has left, once.
func (u *unit) copyLater(m *Message, pause time.Duration) {
	id := copyWorkID(m.ID)
	if pause < 0 || !partlySent(m) || u.snap.Works[id] != nil {
		return
	}
	u.addWork(&Work{ID: id, Kind: WorkCopy, Lane: copiesLane(m.Channel), Channel: m.Channel, Message: m.ID, Ticket: m.Ticket,
		Conversation: m.Conversation, NotBefore: u.now.Add(pause)})
}

// keepCopy has the channel keep a copy of a message that was sent. It changes
// nothing of the message; that it was given up is explained with it.
func (d *Desk) keepCopy(ctx context.Context, w *Work) error {
	settle := func(w Work, decide func(u *unit) error) error {
		_, err := d.decide(ctx, Actor{Kind: ActorSystem}, func() Want { return Want{} }, func(u *unit) error {
			u.done(&w)
			return decide(u)
		})
		return err
	}
	nothing := func(*unit) error { return nil }
	d.mu.Lock()
	o := d.channels[w.Channel]
	d.mu.Unlock()
	if o == nil || o.ch == nil {
		return fmt.Errorf("ticket: no channel %s to keep a copy with", w.Channel)
	}
	filer, ok := o.ch.(channel.Filer)
	if !ok {
		return settle(*w, nothing) // no longer
	}
	snap, err := d.store.Snapshot(ctx, Want{Messages: []MessageID{w.Message}})
	if err != nil {
		return fmt.Errorf("ticket: read message: %w", err)
	}
	m := snap.Messages[w.Message]
	if m == nil || !m.RedactedAt.IsZero() {
		return settle(*w, nothing)
	}
	a := d.newAttempt(w)
	limited, cancel := context.WithTimeout(ctx, d.cfg.Timing.SendTimeout)
	defer cancel()
	stop := a.keepLease(limited, cancel)
	defer stop()
	out, err := d.outbound(limited, m, w.Attempts)
	if err == nil {
		err = d.fileSafely(limited, filer, out)
	}
	stop()
	a.mu.Lock()
	now := a.work
	a.mu.Unlock()
	if err == nil {
		return settle(now, nothing)
	}
	if ctx.Err() != nil {
		return ctx.Err() // the desk stops: the next look finds what there is
	}
	se := channel.AsSendError(err, false)
	if se.Outcome != channel.Rejected && w.Attempts < maxCopyTries {
		_, err := d.decide(ctx, Actor{Kind: ActorSystem}, func() Want { return Want{} }, func(u *unit) error {
			again := now
			again.Owner, again.LeaseUntil = "", time.Time{}
			again.NotBefore = u.now.Add(max(backoff(w.Attempts, d.cfg.Timing.RetryMin, d.cfg.Timing.RetryMax), se.After))
			again.LastError = clean(se.Reason, 300)
			u.addWork(&again)
			return nil
		})
		return err
	}
	d.log.Info("copy of a message", "message", w.Message, "code", se.Code, "attempts", w.Attempts)
	return settle(now, func(u *unit) error {
		u.explain(Decision{Kind: "copy", Ticket: w.Ticket, Conversation: w.Conversation, Message: w.Message, Outcome: "given_up",
			Steps: []Step{{Rule: "attempt " + itoa(int64(w.Attempts)), Outcome: "no", Detail: clean(strings.TrimSpace(se.Reason+" "+se.Fix), 300)}}})
		u.event(Event{Type: EventMessageCopy, Ticket: w.Ticket, Conversation: w.Conversation, Message: w.Message, Channel: w.Channel,
			Data: map[string]string{"outcome": "given_up", "code": clean(se.Code, 50)}})
		return nil
	})
}

// fileSafely turns a panic of a channel into an error.
func (d *Desk) fileSafely(ctx context.Context, f channel.Filer, out *channel.Outbound) (err error) {
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("keeping a copy panicked", "channel", out.Channel, "panic", p, "stack", string(debug.Stack()))
			err = &channel.SendError{Outcome: channel.NotSent, Code: "panic", Reason: "the channel failed on it"}
		}
	}()
	return f.File(ctx, out)
}
