package ticket

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"slices"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// arrival is an item on its way in.
type arrival struct {
	item *channel.Item
	dups []Key
	// verified are the messages of ours that the item's tokens name, in the
	// order of the evidence.
	verified []MessageID
	self     MessageID // the message of ours that it is itself, by its own id
	// answersNotice says that a token of a notice to an agent came back.
	answersNotice bool
	// probe is the id of the probe of ours that the item is.
	probe string
	// before are the messages that an update's watermark means.
	before []MessageID
	raw    storedRaw
	// record is the id under which the item is kept. A release and an
	// interpretation name an existing one.
	record   ItemID
	existing bool
	released bool
	// poisoned is set when deciding on the item panicked.
	poisoned string
	// inactive says that the channel is off and its source keeps nothing.
	inactive bool
	// unsettled are messages on their way out in the update's conversation,
	// and uncertain those of which nobody knows whether they left.
	unsettled, uncertain []MessageID
	// standing are addresses of which is read whether they are undeliverable.
	standing []string
}

// storedRaw is where an item's bodies were put.
type storedRaw struct {
	ref         BodyRef
	inline      []byte
	attachments []Attachment
	bodies      []StoredBody // of attachments with a body of their own
	put         []BodyID     // what was put into Blobs for this arrival
}

func (r *storedRaw) note(ref BodyRef) {
	if ref.Blob {
		r.put = append(r.put, ref.ID)
	}
}

var _ channel.Sink = (*Desk)(nil)

// Accept commits items, in their order; see channel.Sink. Nil means that all are
// durable. A duplicate is a success. It is how channels deliver, and how a host
// injects. Items of one call go into one commit as long as that wins its races
// against other writers, and into several where it does not. After an error the
// first ones may be committed; offered again, they are duplicates.
//
// Errors: channel.ErrInactive while the channel is off, unless it is one that
// ignores what comes then (Info.Fleeting); an error wrapping channel.ErrRejected for an item that can never be taken (an unknown channel,
// no key), and any other for a store in trouble, which is temporary.
func (d *Desk) Accept(ctx context.Context, items ...*channel.Item) error {
	began := d.now()
	arrivals := make([]*arrival, 0, len(items))
	for _, it := range items {
		a, err := d.arrive(it)
		if err != nil {
			return err
		}
		arrivals = append(arrivals, a)
	}
	err := d.take(ctx, arrivals, began, nil)
	d.noteAccept(ctx, items, err)
	return err
}

// arrive checks an item and prepares what its decision reads.
func (d *Desk) arrive(it *channel.Item) (*arrival, error) {
	if it == nil || len(it.Keys) == 0 {
		return nil, fmt.Errorf("ticket: accept: item without key: %w", channel.ErrRejected)
	}
	a := &arrival{item: it, record: ItemID(newID())}
	v := d.view()
	for _, id := range []channel.ID{it.Channel, it.Via} {
		if id == "" && id != it.Channel {
			continue
		}
		c, ok := v.channels[id]
		if !ok {
			return nil, fmt.Errorf("ticket: accept: no channel %q: %w", id, channel.ErrRejected)
		}
		switch {
		case c.settings.Inactive && c.info.Fleeting && !it.Imported:
			a.inactive = true
		case c.settings.Inactive:
			return nil, fmt.Errorf("ticket: accept for %s: %w", id, channel.ErrInactive)
		}
	}
	if it.Raw != nil && it.Raw.Size() > d.cfg.Limits.Body {
		return nil, fmt.Errorf("ticket: accept: body of %d bytes is over Limits.Body: %w", it.Raw.Size(), channel.ErrRejected)
	}
	d.identify(a)
	return a, nil
}

func itemKey(ch channel.ID, k channel.Key) Key { return NewKey("item", string(ch), string(k)) }

// maxEvidence bounds how many tokens and ids of one item are looked up.
const maxEvidence = 50

// identify prepares what an item is known by, and what of ours it names.
func (d *Desk) identify(a *arrival) {
	a.item = d.cfg.Limits.bounded(a.item)
	kind := "item"
	if a.inactive {
		kind = "inactive" // so that it can come in later
	}
	for _, k := range a.item.Keys {
		a.dups = append(a.dups, NewKey(kind, string(a.item.Channel), string(k)))
	}
	if id, ok := d.ring.verify(tokenOfProbe, a.item.Probe); ok {
		a.probe = string(id)
	}
	var tokens []string
	if up := a.item.Update; up != nil {
		tokens = append(tokens, up.Tokens...)
	}
	if m := a.item.Message; m != nil {
		tokens = append(tokens, m.Evidence.Tokens...)
		a.self, _ = d.ring.verify(tokenOfMessage, m.Evidence.Self)
	}
	for _, t := range tokens[:min(len(tokens), maxEvidence)] {
		if id, ok := d.ring.verify(tokenOfMessage, t); ok {
			a.verified = append(a.verified, id)
		} else if _, ok := d.ring.verify(tokenOfNotice, t); ok {
			a.answersNotice = true
		}
	}
}

// togetherTries is how often arrivals that are decided on together lose a race
// before they are taken apart.
const togetherTries = 3

// take decides on arrivals and commits, in their order. All that came together
// are in one commit, unless that loses its races: who changes much loses
// against those who change little, for as long as there are any. Then the first
// half goes alone, and so on down to single ones. After an error some may be
// committed, the first ones.
//
// also, if set, adds to the commit, which then stays one.
func (d *Desk) take(ctx context.Context, arrivals []*arrival, began time.Time, also func(u *unit) error) error {
	all, most := len(arrivals), len(arrivals)
	for {
		part, races := arrivals[:min(most, len(arrivals))], maxTries
		if len(part) > 1 && also == nil {
			races = togetherTries
		}
		switch err := d.takeTogether(ctx, part, races, began, also); {
		case errors.Is(err, ErrBusy) && races < maxTries:
			most = (len(part) + 1) / 2
			continue
		case err != nil:
			d.giveUp(ctx, arrivals, err)
			if done := all - len(arrivals); done > 0 {
				err = fmt.Errorf("ticket: accept: %d of %d are committed: %w", done, all, err)
			}
			return err
		}
		if arrivals = arrivals[len(part):]; len(arrivals) == 0 {
			return nil
		}
	}
}

// giveUp removes what was put into Blobs for arrivals that could not be
// committed.
func (d *Desk) giveUp(ctx context.Context, arrivals []*arrival, err error) {
	// A commit that failed to say so may have happened; what it refers to must
	// stay.
	maybe := errors.Is(err, errMaybeCommitted)
	if ids := giveBack(arrivals, unused(arrivals, nil), maybe); maybe {
		d.collectAll(ctx, ids)
	} else {
		d.deleteBlobs(ctx, ids)
	}
}

// takeTogether decides on arrivals and commits them, all or none. ErrBusy says
// that they lost that many races. After an error it can be called again with any
// of them.
func (d *Desk) takeTogether(ctx context.Context, arrivals []*arrival, races int, began time.Time, also func(u *unit) error) error {
	for _, a := range arrivals {
		if err := d.readConversation(ctx, a); err != nil {
			return err
		}
	}
	want := func() Want {
		w := Want{Follow: true}
		for _, a := range arrivals {
			d.wantArrival(&w, a)
		}
		return w
	}
	var results []result
	u, err := d.decideWithin(ctx, races, Actor{Kind: ActorCustomer}, want, func(u *unit) error {
		results = results[:0]
		for _, a := range arrivals {
			if u.isCommitted(a) {
				// A store called it a conflict, though it was done. Deciding once
				// more would be about the same item.
				return fmt.Errorf("ticket: accept: %w", errMaybeCommitted)
			}
			if u.isDuplicate(a) {
				results = append(results, u.duplicate(a))
				continue
			}
			if err := d.keepBodies(ctx, a); err != nil {
				return err
			}
			r, err := d.decideArrival(u, a)
			if err != nil {
				return err
			}
			if len(u.asks) > 0 {
				a.standing = append(a.standing, u.asks...)
				return errAgain
			}
			results = append(results, r)
		}
		if also != nil {
			return also(u)
		}
		return nil
	})
	if err != nil {
		return err
	}
	d.deleteBlobs(ctx, giveBack(arrivals, unused(arrivals, u), false))
	if f := d.cfg.Observer.Accepted; f != nil {
		for i, r := range results {
			f(ctx, arrivals[i].item.Channel, r.disposition, r.cause, d.now().Sub(began))
		}
	}
	return nil
}

// decideArrival runs the pure decision. A panic in it makes the item poison:
// it is quarantined with its raw form, and the channel goes on.
func (d *Desk) decideArrival(u *unit, a *arrival) (r result, err error) {
	if a.poisoned != "" {
		return u.quarantine(a, channel.CausePoison, a.poisoned), nil
	}
	defer func() {
		if p := recover(); p != nil {
			d.log.Error("deciding on an item panicked", "channel", a.item.Channel, "panic", p, "stack", string(debug.Stack()))
			a.poisoned = "the engine failed on it"
			// The unit may hold half a decision: begin again without it.
			err = errPoison
		}
	}()
	return u.intake(a, d.intakeRules()), nil
}

func (d *Desk) intakeRules() intakeRules {
	return intakeRules{view: d.view(), ret: d.cfg.Return, strangers: d.cfg.Strangers, limits: d.cfg.Limits, log: d.log}
}

// wantArrival adds what the decision on a reads.
func (d *Desk) wantArrival(w *Want, a *arrival) {
	it := a.item
	w.Keys = append(w.Keys, a.dups...)
	w.Messages = slices.Concat(w.Messages, a.verified, a.before, a.unsettled, a.uncertain)
	if a.self != "" {
		w.Messages = append(w.Messages, a.self)
	}
	w.standing(a.standing...)
	if a.existing {
		w.Items = append(w.Items, a.record)
	}
	if it.Probe != "" {
		w.Records = append(w.Records, probeRef(it.Channel))
	}
	if up := it.Update; up != nil {
		for _, id := range up.IDs[:min(len(up.IDs), maxEvidence)] {
			w.Keys = append(w.Keys, externalKey(it.Channel, id))
		}
		if up.Conversation != "" {
			w.Keys = append(w.Keys, conversationKey(it.Channel, up.Conversation))
		}
		if up.Item != "" {
			w.Keys = append(w.Keys, itemKey(it.Channel, up.Item))
		}
	}
	m := it.Message
	if m == nil {
		return
	}
	if it.Update != nil && m.Group != "" {
		w.Counters = append(w.Counters, sendingCounter(it.Channel, m.Group))
	}
	scheme := d.view().scheme(it.Channel)
	w.Keys = append(w.Keys, contactKey(scheme, m.From.Address))
	if scheme == schemeMail {
		w.Keys = append(w.Keys, undeliverableKey(m.From.Address))
	}
	if m.Direction == channel.Out && len(m.To) > 0 {
		w.Keys = append(w.Keys, contactKey(scheme, m.To[0].Address))
	}
	if m.ExternalID != "" {
		w.Keys = append(w.Keys, externalKey(it.Channel, m.ExternalID))
	}
	w.Keys = append(w.Keys, threadingKeys(it.Channel, m)...)
	for _, p := range refParties(m) {
		w.Keys = append(w.Keys, refKey(it.Channel, m.ExternalID, p))
	}
}

// keepBodies puts the arrival's bodies where they are kept, once: large ones to
// Blobs, durably before the commit that refers to them.
func (d *Desk) keepBodies(ctx context.Context, a *arrival) error {
	if a.raw.ref.ID == "" && a.item.Raw != nil {
		ref, inline, err := d.keepBody(ctx, a.item.Raw)
		if err != nil {
			return err
		}
		a.raw.ref, a.raw.inline = ref, inline
		a.raw.note(ref)
	}
	if a.item.Message == nil || a.raw.attachments != nil {
		return nil
	}
	a.raw.attachments = []Attachment{}
	for _, at := range a.item.Message.Attachments {
		t := Attachment{Name: at.Name, Type: at.Type, Size: at.Size, Inline: at.Inline, ContentID: at.ContentID, Window: at.Window}
		if at.Window == nil && at.Body != nil {
			ref, inline, err := d.keepBody(ctx, at.Body)
			if err != nil {
				return err
			}
			t.Body = ref
			a.raw.note(ref)
			if !ref.Blob {
				a.raw.bodies = append(a.raw.bodies, StoredBody{ID: ref.ID, Data: inline})
			}
		}
		a.raw.attachments = append(a.raw.attachments, t)
	}
	return nil
}

// keepBody stores a large body in Blobs; of a small one it returns the bytes,
// for the commit.
func (d *Desk) keepBody(ctx context.Context, b channel.Body) (BodyRef, []byte, error) {
	if k, ok := b.(*keptBody); ok && k.take(d) {
		return k.ref, nil, nil
	}
	ref := BodyRef{ID: BodyID(newID()), Size: b.Size()}
	if d.cfg.Blobs == nil || b.Size() <= d.cfg.Limits.InlineBody {
		data, err := channel.ReadBody(b, d.cfg.Limits.Body)
		if err != nil {
			return ref, nil, fmt.Errorf("ticket: read body: %w", err)
		}
		return ref, data, nil
	}
	r, err := b.Open()
	if err != nil {
		return ref, nil, fmt.Errorf("ticket: read body: %w", err)
	}
	defer r.Close()
	ref.ID = d.newBlobID()
	n, err := d.cfg.Blobs.Put(ctx, ref.ID, r)
	if err == nil && n != ref.Size {
		err = fmt.Errorf("%d bytes of %d", n, ref.Size)
	}
	if err != nil {
		d.deleteBlobs(ctx, []BodyID{ref.ID}) // it may be there all the same
		return ref, nil, fmt.Errorf("ticket: keep body: %w", err)
	}
	ref.Blob = true
	return ref, nil, nil
}

// unused returns the blobs that were put for arrivals and that the commit does
// not refer to: of duplicates, of what was ignored, all if u is nil.
func unused(arrivals []*arrival, u *unit) (ids []BodyID) {
	var kept map[BodyID]bool
	if u != nil {
		kept = u.references()
	}
	for _, a := range arrivals {
		for _, id := range a.raw.put {
			if !kept[id] {
				ids = append(ids, id)
			}
		}
	}
	return ids
}
