package ticket

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"slices"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// A probe is a mail that a channel sends to its own address, to see that it
// comes in again: by itself, and through the mailbox to which it is forwarded.
// It is never a message. What is known of it stands in a record of the channel,
// so that any node may send it and any may receive it.

const (
	// probeAgain is how long a probe is awaited before another one is sent.
	probeAgain = 5 * time.Minute
	// probeFresh is how long a probe that came answers further checks.
	probeFresh = time.Minute
	// probeLate is after how long of waiting a way counts as broken.
	probeLate = 10 * time.Minute
	// probePoll is how often it is looked whether a probe has come.
	probePoll = 250 * time.Millisecond
)

// probeRecord is what is known of a channel's probes. A way is the id of the
// channel by whose door a probe came.
type probeRecord struct {
	ID     string    `json:"id"`     // the last one
	Before string    `json:"before"` // the one before it, which may come late
	SentAt time.Time `json:"sent_at"`
	// Arrived is when one came last, by way.
	Arrived map[channel.ID]time.Time `json:"arrived,omitempty"`
	// Waiting is since when one is awaited, by way.
	Waiting map[channel.ID]time.Time `json:"waiting,omitempty"`
}

func probeRef(id channel.ID) RecordRef { return RecordRef{recordProbe, string(id)} }

func readProbe(snap *Snapshot, id channel.ID) probeRecord {
	var p probeRecord
	if rec := snap.Records[probeRef(id)]; rec != nil && json.Unmarshal(rec.Doc, &p) != nil {
		p = probeRecord{} // a probe more does no harm
	}
	return p
}

// came reports whether a probe has come by a way since the last one was sent.
func (p probeRecord) came(way channel.ID) bool {
	return !p.SentAt.IsZero() && !p.Arrived[way].Before(p.SentAt)
}

// probe takes in a probe that came back.
func (u *unit) probe(a *arrival) result {
	it := a.item
	rec := readProbe(u.snap, it.Channel)
	if a.probe == "" || a.probe != rec.ID && a.probe != rec.Before {
		return u.record(a, result{disposition: DisposedIgnored, cause: channel.CauseUnmatched}, func(i *Item) {
			i.Detail = "a probe that this channel did not send"
		})
	}
	way := it.Via
	if way == "" {
		way = it.Channel
	}
	if rec.Arrived == nil {
		rec.Arrived = map[channel.ID]time.Time{}
	}
	rec.Arrived[way] = u.now
	delete(rec.Waiting, way)
	if doc, err := json.Marshal(rec); err == nil { // plain values
		u.replaceRecord(probeRef(it.Channel), doc)
	}
	return u.record(a, result{disposition: DisposedApplied, cause: "probe"}, func(i *Item) { i.Detail = "" })
}

// replaceRecord writes a record, which other items of the unit may have
// written before.
func (u *unit) replaceRecord(ref RecordRef, doc []byte) {
	rec := &Record{Kind: ref.Kind, ID: ref.ID, Doc: doc}
	if old := u.snap.Records[ref]; old != nil {
		rec.Revision = old.Revision
	}
	u.snap.Records[ref] = rec
	same := func(r *Record) bool { return r.Kind == ref.Kind && r.ID == ref.ID }
	u.c.Records = append(slices.DeleteFunc(u.c.Records, same), rec)
}

// waysOf returns by which doors a probe of a channel is to come in.
func waysOf(c *Channel) []channel.ID {
	var ways []channel.ID
	if c.SelfAddressed {
		ways = append(ways, c.ID)
	}
	if c.ReceivesVia != "" && c.ForwardAddress != "" {
		ways = append(ways, c.ReceivesVia)
	}
	return ways
}

// checkProbe sends a probe, unless one is under way, and waits for it.
func (d *Desk) checkProbe(ctx context.Context, c *Channel, s channel.Sender) ([]channel.Finding, error) {
	ways := waysOf(c)
	if len(ways) == 0 || d.cfg.Timing.Probe < 0 || c.Settings.Inactive || !c.CanSend {
		return nil, nil
	}
	rec, send, err := d.beginProbe(ctx, c, ways)
	if err != nil {
		return nil, err
	}
	if send {
		if se := d.sendProbe(ctx, c, s, rec); se != nil && se.Outcome != channel.Unknown {
			if err := d.dropProbe(ctx, c.ID, rec); err != nil {
				d.log.Warn("forget a probe", "channel", c.ID, slog.Any("error", err))
			}
			fix := se.Fix
			if fix == "" {
				fix = "Check again later."
			}
			return []channel.Finding{{
				Code: "probe_not_sent", Severity: channel.SeverityWarning, Fix: fix,
				Text: "No mail could be sent to " + c.Address + " to see that it comes in again: " + clean(se.Reason, 300),
			}}, nil
		}
	}
	if rec, err = d.awaitProbe(ctx, c.ID, ways); err != nil {
		return nil, err
	}
	var out []channel.Finding
	for _, way := range ways {
		out = append(out, d.probeFinding(c, rec, way))
	}
	return out, nil
}

// beginProbe notes that a probe is sent, and reports whether one is to be.
func (d *Desk) beginProbe(ctx context.Context, c *Channel, ways []channel.ID) (rec probeRecord, send bool, err error) {
	ref := probeRef(c.ID)
	_, err = d.decide(ctx, Actor{Kind: ActorSystem}, func() Want { return Want{Records: []RecordRef{ref}} }, func(u *unit) error {
		rec, send = readProbe(u.snap, c.ID), false
		age, all := u.now.Sub(rec.SentAt), true
		for _, way := range ways {
			all = all && rec.came(way)
		}
		if rec.ID != "" && (age < probeFresh || age < probeAgain && !all) {
			return errNothing
		}
		send = true
		rec.Before, rec.ID, rec.SentAt = rec.ID, newID(), u.now
		waiting := map[channel.ID]time.Time{}
		for _, way := range ways {
			waiting[way] = u.now
			if since := rec.Waiting[way]; !since.IsZero() {
				waiting[way] = since
			}
		}
		rec.Waiting = waiting
		return u.putRecord(ref, rec)
	})
	return rec, send, err
}

// dropProbe forgets a probe that did not leave.
func (d *Desk) dropProbe(ctx context.Context, id channel.ID, rec probeRecord) error {
	ref := probeRef(id)
	_, err := d.decide(context.WithoutCancel(ctx), Actor{Kind: ActorSystem}, func() Want { return Want{Records: []RecordRef{ref}} }, func(u *unit) error {
		now := readProbe(u.snap, id)
		if now.ID != rec.ID {
			return errNothing
		}
		now.SentAt = time.Time{} // the next Check sends one
		return u.putRecord(ref, now)
	})
	return err
}

func (d *Desk) sendProbe(ctx context.Context, c *Channel, s channel.Sender, rec probeRecord) *channel.SendError {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	self := channel.Party{Name: c.Name, Address: c.Address}
	// To oneself, from oneself, by no person: that makes it a probe.
	_, err := sendSafely(ctx, s, &channel.Outbound{
		ID: rec.ID, Channel: c.ID, From: self, To: []channel.Party{self},
		Subject: "Test: does mail to " + c.Address + " come in?",
		Text: "This mail was sent to itself to see that mail to this address comes in.\n" +
			"It becomes no ticket, and can be deleted.\n",
		Token: d.ring.mint(tokenOfProbe, rec.ID), Automatic: channel.AutoGenerated, Date: rec.SentAt, Attempt: 1,
		Handed: func(context.Context) error { return nil },
	})
	return channel.AsSendError(err, false)
}

// awaitProbe waits for Timing.Probe until the probe has come by every way.
func (d *Desk) awaitProbe(ctx context.Context, id channel.ID, ways []channel.ID) (probeRecord, error) {
	for end := d.now().Add(d.cfg.Timing.Probe); ; {
		snap, err := d.store.Snapshot(ctx, Want{Records: []RecordRef{probeRef(id)}})
		if err != nil {
			return probeRecord{}, fmt.Errorf("ticket: read probe: %w", err)
		}
		rec := readProbe(snap, id)
		if !slices.ContainsFunc(ways, func(w channel.ID) bool { return !rec.came(w) }) || !d.now().Before(end) {
			return rec, nil
		}
		if sleep(ctx, probePoll) != nil {
			return rec, nil //nolint:nilerr // what is known by then
		}
	}
}

// lastProof returns when a probe of a channel came last through another one; zero
// if never, or if that cannot be read.
func (d *Desk) lastProof(ctx context.Context, id channel.ID) time.Time {
	snap, err := d.store.Snapshot(ctx, Want{Records: []RecordRef{probeRef(id)}})
	if err != nil {
		return time.Time{}
	}
	var last time.Time
	for way, at := range readProbe(snap, id).Arrived {
		if way != id && at.After(last) {
			last = at
		}
	}
	return last
}

// probeFinding says what a probe has shown of one way.
func (d *Desk) probeFinding(c *Channel, rec probeRecord, way channel.ID) channel.Finding {
	forward := way != c.ID
	f := channel.Finding{Code: "probe", Severity: channel.SeverityOK}
	how := "comes in"
	if forward {
		f.Code, how = "forward", "comes in through the forwarding"
	}
	if rec.came(way) {
		took := max(rec.Arrived[way].Sub(rec.SentAt).Round(100*time.Millisecond), 100*time.Millisecond)
		f.Text = fmt.Sprintf("Mail to %s %s: a probe took %s.", c.Address, how, took)
		return f
	}
	since := rec.Waiting[way]
	f.Text = fmt.Sprintf("A probe to %s was sent and has not come in yet.", c.Address)
	f.Fix = "Check again in a few minutes. Look into the folder for junk mail, too."
	if forward {
		f.Text = fmt.Sprintf("A probe to %s was sent and has not come in through the forwarding yet.", c.Address)
		f.Fix = "If it is not set up yet: at its mail server, forward " + c.Address + " to " + c.ForwardAddress +
			", and confirm with the code that arrives here if it asks for one. Then check again in a few minutes."
	}
	f.Severity, f.Code = channel.SeverityWarning, f.Code+"_pending"
	if age := d.now().Sub(since); !since.IsZero() && age >= probeLate {
		f.Severity = channel.SeverityError
		f.Text = fmt.Sprintf("Probes to %s do not come in: none has in %s.", c.Address, age.Round(time.Minute))
		f.Code, f.Fix = "probe_not_found", "Look whether they are in the folder for junk mail, or whether a rule moves them."
		if forward {
			f.Code = "forward_not_working"
			f.Text = fmt.Sprintf("The forwarding of %s does not work: no probe has come in %s.", c.Address, age.Round(time.Minute))
			f.Fix = "At its mail server, forward " + c.Address + " to " + c.ForwardAddress + " and confirm with the code that arrives here. " +
				"Microsoft 365 forwards to the outside only once an administrator allows it, and some servers do not forward what an account sends to itself."
		}
	}
	return f
}
