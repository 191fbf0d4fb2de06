package ticket

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// recordParked lists parked work by its id, in the commit that parks it.
const recordParked RecordKind = "parked"

// ParkedWork is an automatic reply or a notice that failed again and again, was
// given up, and waits for a person. LastError says why; Message, Ticket and
// Agent say what it is about.
type ParkedWork struct {
	Work
	Since time.Time // when it was given up
}

// parkedAt is the document of a recordParked.
type parkedAt struct {
	Since time.Time `json:"since"`
}

func parkedRef(id WorkID) RecordRef { return RecordRef{recordParked, string(id)} }

// park gives work up, and notes that.
func (u *unit) park(w *Work) error {
	w.Parked = true
	u.addWork(w)
	u.event(Event{Type: EventWorkParked, Ticket: w.Ticket, Conversation: w.Conversation, Message: w.Message, Agent: w.Agent, Channel: w.Channel,
		Data: map[string]string{"kind": string(w.Kind), "work": string(w.ID)}})
	return u.putRecord(parkedRef(w.ID), parkedAt{Since: u.now})
}

// Parked lists the work that was given up, what was given up first in front.
// Error: ErrBadCursor.
func (d *Desk) Parked(ctx context.Context, p Page) ([]ParkedWork, Next, error) {
	snap, err := d.store.Snapshot(ctx, Want{Kinds: []RecordKind{recordParked}})
	if err != nil {
		return nil, "", fmt.Errorf("ticket: read parked work: %w", err)
	}
	var all []ParkedWork
	for ref, rec := range snap.Records {
		var at parkedAt
		if err := json.Unmarshal(rec.Doc, &at); err != nil {
			return nil, "", fmt.Errorf("ticket: read parked work %q: %w", ref.ID, err)
		}
		all = append(all, ParkedWork{Work: Work{ID: WorkID(ref.ID)}, Since: at.Since})
	}
	slices.SortFunc(all, func(a, b ParkedWork) int { return cmp.Or(a.Since.Compare(b.Since), cmp.Compare(a.ID, b.ID)) })
	if p.After != "" {
		at, id, err := parsePlace(p.After)
		if err != nil {
			return nil, "", err
		}
		all = slices.DeleteFunc(all, func(w ParkedWork) bool { return cmp.Or(w.Since.Compare(at), cmp.Compare(w.ID, id)) <= 0 })
	}
	var next Next
	if n := p.Size(); len(all) > n {
		all = all[:n]
		next = placeAfter(all[n-1])
	}
	want := Want{}
	for _, w := range all {
		want.Works = append(want.Works, w.ID)
	}
	if snap, err = d.store.Snapshot(ctx, want); err != nil {
		return nil, "", fmt.Errorf("ticket: read parked work: %w", err)
	}
	out := all[:0]
	for _, w := range all {
		if work := snap.Works[w.ID]; work != nil && work.Parked {
			out = append(out, ParkedWork{Work: *work, Since: w.Since})
		}
	}
	return out, next, nil
}

func placeAfter(w ParkedWork) Next {
	return Next("parked " + w.Since.Format(time.RFC3339Nano) + " " + string(w.ID))
}

func parsePlace(n Next) (at time.Time, id WorkID, err error) {
	var when, what string
	if _, err := fmt.Sscanf(string(n), "parked %s %s", &when, &what); err != nil {
		return at, "", fmt.Errorf("ticket: parked work: %w", ErrBadCursor)
	}
	if at, err = time.Parse(time.RFC3339Nano, when); err != nil {
		return at, "", fmt.Errorf("ticket: parked work: %w", ErrBadCursor)
	}
	return at, WorkID(what), nil
}

// Retry has parked work tried again, at once and as often as at first. Errors:
// ErrNotFound, also for work that was done since; ErrState when it is not
// parked.
func (d *Desk) Retry(ctx context.Context, by Actor, id WorkID) error {
	_, err := d.decide(ctx, by, func() Want {
		return Want{Works: []WorkID{id}, Records: []RecordRef{parkedRef(id)}}
	}, func(u *unit) error {
		w := u.snap.Works[id]
		switch {
		case w == nil:
			return fmt.Errorf("work %q: %w", id, ErrNotFound)
		case !w.Parked:
			return fmt.Errorf("work %q is not parked: %w", id, ErrState)
		}
		w.Parked, w.Attempts, w.NotBefore = false, 0, u.now
		w.Owner, w.LeaseUntil = "", time.Time{}
		u.addWork(w)
		u.dropRecord(parkedRef(id))
		u.event(Event{Type: EventWorkRetried, Ticket: w.Ticket, Conversation: w.Conversation, Message: w.Message, Agent: w.Agent, Channel: w.Channel,
			Data: map[string]string{"kind": string(w.Kind), "work": string(w.ID)}})
		return nil
	})
	return err
}
