package ticket

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// recordParked lists parked work in the order in which it was given up. A record
// is written once, in the commit that parks the work, and dropped in the one that
// changes it next.
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

// parkedTime has one length, and sorts as the times do.
const parkedTime = "2006-01-02T15:04:05.000000Z"

// parkedRef is that of work that is parked: the time, a blank, and its id.
func parkedRef(w *Work) RecordRef {
	return RecordRef{recordParked, w.ParkedAt.UTC().Format(parkedTime) + " " + string(w.ID)}
}

// parkedID returns the work that a recordParked is about.
func parkedID(record string) (id WorkID, ok bool) {
	when, what, _ := strings.Cut(record, " ")
	_, err := time.Parse(parkedTime, when)
	return WorkID(what), err == nil && len(when) == len(parkedTime) && what != ""
}

// park gives work up, and notes that.
func (u *unit) park(w *Work) error {
	w.Parked, w.ParkedAt = true, u.now
	u.addWork(w)
	u.event(Event{Type: EventWorkParked, Ticket: w.Ticket, Conversation: w.Conversation, Message: w.Message, Agent: w.Agent, Channel: w.Channel,
		Data: map[string]string{"kind": string(w.Kind), "work": string(w.ID)}})
	return u.putRecord(parkedRef(w), parkedAt{Since: u.now})
}

// unpark takes work from the list, if it is parked. That nobody else does is held
// by the revision of the work, which changes in the same commit.
func (u *unit) unpark(w *Work) {
	if w.Parked {
		ref := parkedRef(w)
		u.c.Records = append(u.c.Records, &Record{Kind: ref.Kind, ID: ref.ID, Revision: 1})
		w.Parked, w.ParkedAt = false, time.Time{}
	}
}

// Parked lists the work that was given up, what was given up first in front. It
// reads no more than the page. Error: ErrBadCursor.
func (d *Desk) Parked(ctx context.Context, p Page) ([]ParkedWork, Next, error) {
	after, err := parsePlace(p.After)
	if err != nil {
		return nil, "", err
	}
	snap, err := d.store.Snapshot(ctx, Want{Range: RecordRange{Kind: recordParked, After: after, Limit: p.Size() + 1}})
	if err != nil {
		return nil, "", fmt.Errorf("ticket: read parked work: %w", err)
	}
	var ids []string
	for ref := range snap.Records {
		ids = append(ids, ref.ID)
	}
	slices.Sort(ids)
	var next Next
	if n := p.Size(); len(ids) > n {
		ids = ids[:n]
		next = Next(parkedPlace + ids[n-1])
	}
	want := Want{}
	for _, id := range ids {
		work, _ := parkedID(id)
		want.Works = append(want.Works, work)
	}
	works, err := d.store.Snapshot(ctx, want)
	if err != nil {
		return nil, "", fmt.Errorf("ticket: read parked work: %w", err)
	}
	var out []ParkedWork
	for i, id := range ids {
		w := works.Works[want.Works[i]]
		if w == nil || !w.Parked || parkedRef(w).ID != id {
			continue // it was tried again meanwhile
		}
		var at parkedAt
		if err := json.Unmarshal(snap.Records[RecordRef{recordParked, id}].Doc, &at); err != nil {
			return nil, "", fmt.Errorf("ticket: read parked work %q: %w", w.ID, err)
		}
		out = append(out, ParkedWork{Work: *w, Since: at.Since})
	}
	return out, next, nil
}

// parkedPlace begins the cursors of Parked. What follows is the id of a record.
const parkedPlace = "parked "

func parsePlace(n Next) (record string, err error) {
	if n == "" {
		return "", nil
	}
	record, begun := strings.CutPrefix(string(n), parkedPlace)
	if _, ok := parkedID(record); !ok || !begun {
		return "", fmt.Errorf("ticket: parked work: %w", ErrBadCursor)
	}
	return record, nil
}

// Retry has parked work tried again, at once and as often as at first. Errors:
// ErrNotFound, also for work that was done since; ErrState when it is not
// parked.
func (d *Desk) Retry(ctx context.Context, by Actor, id WorkID) error {
	_, err := d.decide(ctx, by, func() Want {
		return Want{Works: []WorkID{id}}
	}, func(u *unit) error {
		w := u.snap.Works[id]
		switch {
		case w == nil:
			return fmt.Errorf("work %q: %w", id, ErrNotFound)
		case !w.Parked:
			return fmt.Errorf("work %q is not parked: %w", id, ErrState)
		}
		u.unpark(w)
		w.Attempts, w.NotBefore = 0, u.now
		w.Owner, w.LeaseUntil = "", time.Time{}
		u.addWork(w)
		u.event(Event{Type: EventWorkRetried, Ticket: w.Ticket, Conversation: w.Conversation, Message: w.Message, Agent: w.Agent, Channel: w.Channel,
			Data: map[string]string{"kind": string(w.Kind), "work": string(w.ID)}})
		return nil
	})
	return err
}
