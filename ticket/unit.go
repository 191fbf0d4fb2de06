package ticket

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
)

// unit is one decision in the making: what was read, and what is to change. The
// functions that decide work on a unit alone: no I/O, no clock. Entities are
// changed in place after edit; a later step of the same unit sees what an
// earlier one did.
type unit struct {
	now   time.Time
	snap  *Snapshot
	c     Changes
	by    Actor
	wakes map[string]bool // lanes with new work

	claimed map[Key]bool
	before  map[TicketID]Ticket // as read, of edited tickets
	convs   map[ConversationID]Conversation
	edited  map[any]bool
	// queuesRead says that the snapshot holds all queues.
	queuesRead bool
	// limit bounds an agent's load for this unit's automatic assignment.
	limit map[routing.AgentID]int
	// referred are the bodies in Blobs that what was read refers to, by the
	// entity's id; kept and freed are those that the changes refer to more, and
	// less.
	referred    map[any][]BodyID
	kept, freed []BodyID
	// sending are the counters that count the messages that were read.
	sending map[MessageID]string
	// asks are addresses whose standing must be read to decide.
	asks []string
}

func newUnit(now time.Time, snap *Snapshot, by Actor) *unit {
	u := &unit{
		now: now, snap: snap, by: by, c: Changes{At: now},
		wakes: map[string]bool{}, claimed: map[Key]bool{},
		before: map[TicketID]Ticket{}, convs: map[ConversationID]Conversation{},
		edited: map[any]bool{}, limit: map[routing.AgentID]int{}, referred: map[any][]BodyID{},
		sending: map[MessageID]string{},
	}
	u.readReferences()
	u.readSending()
	return u
}

// claim makes key stand for ref. A key that is taken already, in the store or
// in this unit, is left alone; the key must have been wanted, else taking it
// twice is a conflict that reading again does not show.
func (u *unit) claim(key Key, kind RefKind, id string) {
	if _, taken := u.snap.Refs[key]; taken {
		return
	}
	ref := Ref{Kind: kind, ID: id}
	u.snap.Refs[key] = ref
	u.claimed[key] = true
	u.c.Claims = append(u.c.Claims, KeyClaim{Key: key, Ref: ref})
}

func (u *unit) release(key Key) {
	delete(u.snap.Refs, key)
	u.c.Releases = append(u.c.Releases, key)
}

// editTicket marks t as changed by this unit.
func (u *unit) editTicket(t *Ticket) *Ticket {
	if _, ok := u.before[t.ID]; !ok {
		old := Ticket{}
		if t.Revision > 0 {
			old = *t
		}
		u.before[t.ID] = old
		u.c.Tickets = append(u.c.Tickets, t)
		u.snap.Tickets[t.ID] = t
	}
	t.UpdatedAt = u.now
	return t
}

// editConversation marks c as changed by this unit.
func (u *unit) editConversation(c *Conversation) *Conversation {
	if _, ok := u.convs[c.ID]; !ok {
		old := Conversation{}
		if c.Revision > 0 {
			old = *c
		}
		u.convs[c.ID] = old
		u.c.Conversations = append(u.c.Conversations, c)
		u.snap.Conversations[c.ID] = c
	}
	c.UpdatedAt = u.now
	return c
}

func (u *unit) editMessage(m *Message) *Message {
	if !u.edited[m.ID] {
		u.edited[m.ID] = true
		u.c.Messages = append(u.c.Messages, m)
		u.snap.Messages[m.ID] = m
	}
	m.UpdatedAt = u.now
	return m
}

func (u *unit) editContact(c *Contact) *Contact {
	if !u.edited[c.ID] {
		u.edited[c.ID] = true
		u.c.Contacts = append(u.c.Contacts, c)
		u.snap.Contacts[c.ID] = c
	}
	c.UpdatedAt = u.now
	return c
}

func (u *unit) editItem(i *Item) {
	if !u.edited[i.ID] {
		u.edited[i.ID] = true
		u.c.Items = append(u.c.Items, i)
		u.snap.Items[i.ID] = i
	}
}

// addWork adds work, or puts back work that was claimed, with its revision.
func (u *unit) addWork(w *Work) {
	if w.ID == "" {
		w.ID = WorkID(newID())
	}
	if w.CreatedAt.IsZero() {
		w.CreatedAt = u.now
	}
	if w.NotBefore.IsZero() {
		w.NotBefore = u.now
	}
	u.c.Works = append(u.c.Works, w)
	u.wakes[w.Lane] = true
}

func (u *unit) done(w *Work) {
	u.c.Done = append(u.c.Done, Done{ID: w.ID, Revision: w.Revision})
}

func (u *unit) event(e Event) {
	e.ID, e.At = newID(), u.now
	if e.Actor == (Actor{}) {
		e.Actor = u.by
	}
	if e.Actor == (Actor{}) {
		e.Actor = Actor{Kind: ActorHost}
	}
	u.c.Events = append(u.c.Events, &e)
}

func (u *unit) explain(d Decision) {
	d.ID, d.At = newID(), u.now
	u.c.Decisions = append(u.c.Decisions, &d)
}

// loadCounter is the counter of an agent's active tickets and conversations.
func loadCounter(a routing.AgentID) string { return "load:" + string(a) }

func ticketOwner(t *Ticket) routing.AgentID {
	if t.ID == "" || !t.Status.Active() || !t.DeletedAt.IsZero() {
		return ""
	}
	return t.Assignee
}

func conversationOwner(c *Conversation) routing.AgentID {
	if c.Ticket != "" {
		return ""
	}
	return c.Assignee
}

// finish completes the changes: agents' loads follow ownership, and queues are
// looked at again when capacity was freed or something new waits, and references
// to bodies, and messages on their way, are counted. It is the only place that does any of it. Where
// capacity was freed it needs the queues as they are now, of which this node's
// view may not know yet: errQueues says so.
func (u *unit) finish() error {
	load := map[routing.AgentID]int64{}
	queues := map[routing.QueueID]bool{}
	move := func(from, to routing.AgentID) {
		if from == to {
			return
		}
		if from != "" {
			load[from]--
		}
		if to != "" {
			load[to]++
		}
	}
	waits := func(before, after Assignment) {
		if !after.WaitingSince.IsZero() && after.Queue != "" &&
			(before.WaitingSince.IsZero() || before.Queue != after.Queue) {
			queues[after.Queue] = true
		}
	}
	for _, t := range u.c.Tickets {
		old := u.before[t.ID]
		move(ticketOwner(&old), ticketOwner(t))
		waits(old.Assignment, t.Assignment)
	}
	for _, c := range u.c.Conversations {
		old := u.convs[c.ID]
		move(conversationOwner(&old), conversationOwner(c))
		if c.Ticket == "" {
			waits(old.Assignment, c.Assignment)
		}
	}
	for _, a := range slices.Sorted(maps.Keys(load)) {
		n := load[a]
		if n == 0 {
			continue
		}
		count := Count{Name: loadCounter(a), Add: n}
		if n > 0 {
			count.Max = int64(u.limit[a])
		} else {
			of, err := u.queuesOf(a)
			if err != nil {
				return err
			}
			for _, q := range of {
				queues[q] = true
			}
		}
		u.c.Counts = append(u.c.Counts, count)
	}
	for _, q := range slices.Sorted(maps.Keys(queues)) {
		u.addWork(&Work{Kind: WorkAssign, Queue: q})
	}
	u.countReferences()
	u.countSending()
	return nil
}

// queuesOf are the queues that an agent is in, by id, as the snapshot has them.
func (u *unit) queuesOf(a routing.AgentID) ([]routing.QueueID, error) {
	if !u.queuesRead {
		return nil, errQueues
	}
	all, err := decodeRecords[routing.Queue](u.snap, recordQueue)
	if err != nil {
		return nil, err
	}
	var out []routing.QueueID
	for _, q := range all {
		if slices.Contains(q.Agents, a) {
			out = append(out, q.ID)
		}
	}
	slices.Sort(out)
	return out, nil
}

// maxTries bounds how often a decision is made anew after losing a race. Those
// of one desk that have lost go one at a time, so only other nodes and newcomers
// can win against them again.
const maxTries = 30

// turnWait is how long a decision that lost a race waits for its turn. One that
// takes longer, since a host's policy or Blobs do, holds up the others no more
// than that.
const turnWait = 500 * time.Millisecond

// decide is how everything is written: read, decide purely, commit; a lost race
// is read and decided again. It returns the unit that was committed. want may
// be called more than once. If decide returns errNothing, nothing is written
// and decide's unit returned. Who loses maxTries races gets ErrBusy.
func (d *Desk) decide(ctx context.Context, by Actor, want func() Want, decide func(u *unit) error) (*unit, error) {
	return d.decideWithin(ctx, maxTries, by, want, decide)
}

// decideWithin is decide that gets ErrBusy after losing that many races.
func (d *Desk) decideWithin(ctx context.Context, races int, by Actor, want func() Want, decide func(u *unit) error) (*unit, error) {
	queues, turn, lost, reads := false, false, 0, 0
	defer func() {
		if turn {
			<-d.losers
		}
	}()
	for {
		if d.retired.Load() && ctx.Value(drainKey{}) == nil {
			return nil, ErrRetired
		}
		now := d.now()
		w := want()
		w.Now = now
		if queues && !slices.Contains(w.Kinds, recordQueue) {
			w.Kinds = append(slices.Clip(w.Kinds), recordQueue)
		}
		snap, err := d.store.Snapshot(ctx, w)
		if err != nil {
			return nil, fmt.Errorf("ticket: read: %w", err)
		}
		u := newUnit(now, snap, by)
		u.queuesRead = slices.Contains(w.Kinds, recordQueue)
		if err = decide(u); err == nil {
			err = u.finish()
		}
		switch {
		case errors.Is(err, errNothing):
			return u, nil
		case errors.Is(err, errPoison):
			continue // one more item is known to be poison: that is progress
		case errors.Is(err, errQueues):
			queues = true
			continue
		case errors.Is(err, errAgain):
			if reads++; reads == maxTries {
				return nil, ErrBusy
			}
			continue
		case err != nil:
			return nil, err
		}
		err = d.commit(ctx, &u.c)
		if err == nil {
			d.committed(ctx, u)
			return u, nil
		}
		lost++
		switch raced := errors.Is(err, ErrConflict) || errors.Is(err, ErrLimit); {
		case errors.Is(err, ErrRetired), errors.Is(err, ErrImporting):
			return nil, err
		case !raced:
			return nil, fmt.Errorf("ticket: commit: %w", errors.Join(err, errMaybeCommitted))
		case errors.Is(err, ErrNotHeld):
			return nil, fmt.Errorf("ticket: commit: %w", err) // it is another node's to decide
		case lost >= races:
			return nil, fmt.Errorf("ticket: commit: %w (%v)", ErrBusy, err) //nolint:errorlint // ErrConflict is for what reading again does not mend
		case errors.Is(err, ErrLimit):
			if err := d.checkBodies(ctx, u.kept); err != nil {
				return nil, err
			}
		}
		if lost == 1 {
			if turn, err = d.awaitTurn(ctx); err != nil {
				return nil, err
			}
			continue
		}
		// Full jitter keeps nodes that met once from meeting again.
		if err := sleep(ctx, rand.N(time.Millisecond<<min(lost, 7))); err != nil {
			return nil, err
		}
	}
}

// awaitTurn waits until no other decision of this desk decides anew, or for
// turnWait. It reports whether this one now holds the turn.
func (d *Desk) awaitTurn(ctx context.Context) (bool, error) {
	timer := time.NewTimer(turnWait)
	defer timer.Stop()
	select {
	case d.losers <- struct{}{}:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
	}
}

var (
	// errNothing is returned by a decision that changes nothing.
	errNothing = errors.New("ticket: nothing to change")
	// errAgain is returned by a decision that needs what was not read.
	errAgain = errors.New("ticket: read more")
	// errQueues is returned by finish where the queues were not read.
	errQueues = errors.New("ticket: read the queues")
	// errPoison is returned by a decision that found an item to be poison.
	errPoison = errors.New("ticket: decide again without the poison")
	// errMaybeCommitted is joined to the error of a commit that may have
	// happened all the same.
	errMaybeCommitted = errors.New("it may have been committed")
)

// committed tells whoever waits for events or work of this node, and removes
// what was redacted.
func (d *Desk) committed(ctx context.Context, u *unit) {
	if j, ok := d.store.(Joiner); !ok || !j.Joined(ctx) {
		d.collectAll(ctx, u.freed)
	}
	if len(u.c.Events) > 0 {
		d.feed.broadcast()
	}
	for lane := range u.wakes {
		d.wake(lane)
	}
}

func sleep(ctx context.Context, t time.Duration) error {
	timer := time.NewTimer(t)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// clean returns one line of s: control characters become blanks, the ends are
// trimmed, and it is cut to at most limit code points.
func clean(s string, limit int) string {
	out := make([]rune, 0, min(len(s), limit))
	blank := true
	for _, r := range s {
		if r < 0x20 || r == 0x7f || r == 0x85 || r == 0x2028 || r == 0x2029 {
			r = ' '
		}
		if r == ' ' && blank {
			continue
		}
		blank = r == ' '
		out = append(out, r)
		if len(out) == limit {
			break
		}
	}
	if n := len(out); n > 0 && out[n-1] == ' ' {
		out = out[:n-1]
	}
	return string(out)
}

// uniqueParties joins lists, without repeated and empty addresses.
func uniqueParties(lists ...[]channel.Party) []channel.Party {
	var out []channel.Party
	seen := map[string]bool{}
	for _, l := range lists {
		for _, p := range l {
			a := addressKey(p.Address)
			if a == "" || seen[a] {
				continue
			}
			seen[a] = true
			out = append(out, p)
		}
	}
	return out
}
