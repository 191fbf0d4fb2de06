package ticket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"time"

	"github.com/anteroom/anteroom/channel"
)

const (
	// recordErasure is an erasure that has begun and not ended.
	recordErasure RecordKind = "erasure"
	// CauseErased is the cause of an ignored item that was held, and was erased
	// with the person who wrote it.
	CauseErased channel.Cause = "erased"
	// erasePasses bounds how often Erase looks for what came meanwhile.
	erasePasses = 5
	// eraseAgain is the pause before an erasure goes on that had to wait.
	eraseAgain = 10 * time.Second
)

// Person says who is to be erased: a contact, addresses, or both. All contacts
// that have one of the addresses, and those that were merged with them, are the
// same person, with all their addresses.
type Person struct {
	Contact    ContactID  `json:"contact,omitempty"`
	Identities []Identity `json:"identities,omitempty"`
}

// Traces lists what the portal holds of a person; see [Desk.Traces].
type Traces struct {
	Contacts   []ContactID
	Identities []Identity
	// Conversations are the person's alone. Shared are those in which others take
	// part too.
	Conversations, Shared []ConversationID
	Tickets               []TicketID
	// Messages lose their content: those that the person wrote, and all of the
	// person's own conversations. Mentions are others' messages that name the person among those who
	// wrote, read or reacted, and lose that.
	Messages, Mentions []MessageID
	Items              []ItemID
	Works              []WorkID
	Decisions          []string
	Keys               []Key
	Counters           []string // their names hold addresses
	Bodies             []BodyID
	Undeliverable      []string // addresses that are remembered so
	// Kept are the messages of shared conversations whose content stays, since
	// others wrote it or got it too. Their text and raw form may name the person; what
	// should go all the same is for [Desk.DeleteMessage].
	Kept []MessageID
	// Unread are held items of which the channel could make nothing, so that nobody
	// knows who wrote them, and whose raw form names one of the addresses, also as URLs, JSON,
	// HTML and quoted-printable write it; in base64 it is not seen. Erase leaves
	// them: see [Desk.RawItem], and [Desk.Discard] for those that are the person's.
	// Once they are read, as most are that only wait, they are the person's or another's.
	Unread []ItemID
}

// Empty reports whether there is no trace that Erase removes.
func (t *Traces) Empty() bool {
	return len(t.Contacts)+len(t.Conversations)+len(t.Shared)+len(t.Tickets)+len(t.Messages)+len(t.Mentions)+len(t.Items)+
		len(t.Works)+len(t.Decisions)+len(t.Keys)+len(t.Counters)+len(t.Bodies)+len(t.Undeliverable) == 0
}

// Traces lists what the portal holds of a person: before [Desk.Erase] as a
// preview, after it as proof. It changes nothing. It reads through the whole portal,
// since that is what makes it a proof: minutes at a million tickets, in memory for
// the person's own. It may be called while the desk runs.
//
// What it cannot see: what is only said in others' messages. What nobody could
// read yet (waiting, or poison in quarantine) is listed as Unread.
//
// Errors: errors.ErrUnsupported if the store is no [Dumper]; ErrNotFound for a
// Person without contact and address.
func (d *Desk) Traces(ctx context.Context, p Person) (*Traces, error) {
	s, err := d.trace(ctx, p)
	if err != nil {
		return nil, err
	}
	return &s.found, nil
}

// Erase removes all that [Desk.Traces] lists, and returns that list. Afterwards
// Traces lists nothing.
//
// What was the person's alone goes: name and addresses, messages in and out and
// notes in their conversations, with raw forms, attachments and blobs, what search found them by,
// held and quarantined items, pending answers (cancelled), decisions with their
// traces, keys and counters made of their addresses. What stays is who did what when, by
// ids that say nothing any more: emptied messages, tickets as deleted, events
// (which never hold content), counts in the ledger, and the hashes by which what
// came once is known: else the next look at the mailbox would bring it back.
// In conversations with others only the person's own messages lose their content;
// from the others' the person is taken out of senders and recipients, and the text stays.
// When the person writes again, they are somebody new.
//
// It can be called again, and then does what is left. An erasure that a crash
// cut off is completed by the next Run, or the next call with the same Person.
// While a message of the person's is being sent it does what it can and returns
// ErrBusy: Run does the rest as soon as that has ended.
//
// What is erased cannot be read by any query from the commit on. A blob whose
// removal a crash cut off is an orphan, which goes with the next sweep. Files of
// databases keep old bytes longer: see the packages of the stores. Backups and what
// left the portal (sent mail, webhooks, an export) are the host's to look after.
func (d *Desk) Erase(ctx context.Context, by Actor, p Person) (*Traces, error) {
	s, err := d.trace(ctx, p)
	if err != nil {
		return nil, err
	}
	all := s.found
	if all.Empty() {
		return &all, d.endErasure(ctx, p)
	}
	if err := d.beginErasure(ctx, p); err != nil {
		return nil, err
	}
	for range erasePasses {
		busy, err := d.eraseTraces(ctx, by, s)
		if err != nil {
			return nil, err
		}
		// What came meanwhile is looked for by the same addresses, which the
		// contact may not have any more.
		s, err = d.trace(ctx, Person{Contact: p.Contact, Identities: all.Identities})
		if err != nil {
			return nil, err
		}
		if s.found.Empty() {
			return &all, d.endErasure(ctx, p)
		}
		if busy {
			break
		}
	}
	select {
	case d.erasures <- struct{}{}: // the rest is done as soon as it can be
	default:
	}
	return &all, fmt.Errorf("ticket: erase: not all could be removed now: %w", ErrBusy)
}

func erasureRef(p Person) (RecordRef, []byte, error) {
	doc, err := json.Marshal(p)
	if err != nil {
		return RecordRef{}, nil, fmt.Errorf("ticket: erase: %w", err)
	}
	k := NewKey("erasure", string(doc))
	return RecordRef{recordErasure, fmt.Sprintf("%x", k[:16])}, doc, nil
}

// beginErasure notes that there is something to complete.
func (d *Desk) beginErasure(ctx context.Context, p Person) error {
	ref, doc, err := erasureRef(p)
	if err != nil {
		return err
	}
	_, err = d.decide(ctx, Actor{Kind: ActorHost}, func() Want { return Want{Records: []RecordRef{ref}} }, func(u *unit) error {
		if u.snap.Records[ref] != nil {
			return errNothing
		}
		u.c.Records = append(u.c.Records, &Record{Kind: ref.Kind, ID: ref.ID, Doc: doc})
		return nil
	})
	return err
}

func (d *Desk) endErasure(ctx context.Context, p Person) error {
	ref, _, err := erasureRef(p)
	if err != nil {
		return err
	}
	_, err = d.decide(ctx, Actor{Kind: ActorHost}, func() Want { return Want{Records: []RecordRef{ref}} }, func(u *unit) error {
		if u.snap.Records[ref] == nil {
			return errNothing
		}
		u.dropRecord(ref)
		return nil
	})
	return err
}

// completeErasures ends what a crash cut off, and what had to wait for a message
// on its way.
func (d *Desk) completeErasures(ctx context.Context) {
	for try := 1; ; try++ {
		err := d.erasePending(ctx)
		if errors.Is(err, errors.ErrUnsupported) {
			return
		}
		if err == nil {
			try = 0
			select {
			case <-ctx.Done():
				return
			case <-d.erasures:
			}
			if sleep(ctx, eraseAgain) != nil {
				return
			}
			continue
		}
		if ctx.Err() == nil {
			d.log.Warn("complete an erasure", slog.Any("error", err))
		}
		if sleep(ctx, backoff(try, 10*time.Second, 10*time.Minute)) != nil {
			return
		}
	}
}

func (d *Desk) erasePending(ctx context.Context) error {
	snap, err := d.store.Snapshot(ctx, Want{Kinds: []RecordKind{recordErasure}})
	if err != nil {
		return fmt.Errorf("ticket: read erasures: %w", err)
	}
	var errs []error
	for _, rec := range snap.Records {
		var p Person
		if err := json.Unmarshal(rec.Doc, &p); err != nil {
			return fmt.Errorf("ticket: read erasure: %w", err)
		}
		_, err := d.Erase(ctx, Actor{Kind: ActorSystem}, p)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// eraseTraces removes what a search has found: conversations and contacts last,
// since by them all else is found again after a crash, or when something is under
// way, which it reports.
func (d *Desk) eraseTraces(ctx context.Context, by Actor, s *tracer) (busy bool, err error) {
	for _, id := range slices.Concat(s.found.Messages, s.found.Mentions) {
		under, err := d.eraseMessage(ctx, by, s, id)
		if err != nil {
			return busy, err
		}
		busy = busy || under
	}
	if err := d.eraseItems(ctx, by, s); err != nil {
		return busy, err
	}
	if err := d.eraseWorks(ctx, by, s, &busy); err != nil || busy {
		return busy, err
	}
	for _, step := range []func(context.Context, Actor, *tracer) error{d.eraseRest, d.eraseTickets, d.eraseConversations} {
		if err := step(ctx, by, s); err != nil || s.left {
			return false, err // the next pass finds what is left by what comes after it
		}
	}
	return false, d.eraseContacts(ctx, by, s)
}

func (d *Desk) eraseMessage(ctx context.Context, by Actor, s *tracer, id MessageID) (busy bool, err error) {
	_, err = d.decide(ctx, by, wantOutgoing(id), func(u *unit) error {
		busy = false
		m := u.snap.Messages[id]
		if m == nil {
			return errNothing
		}
		if w := u.snap.Works[sendWorkID(id)]; w != nil && s.whole(m) {
			if w.Handed || u.now.Before(w.LeaseUntil) {
				busy = true
				return errNothing
			}
			u.done(w)
			m.Work = ""
			u.setState(m, StateCancelled, "")
		}
		wiped := s.wipeMessage(m, d.cfg.Limits.Search)
		if sameBut(m, wiped) && !u.edited[m.ID] {
			return errNothing
		}
		if s.whole(m) {
			u.c.DropBodies = append(u.c.DropBodies, inlineBodies(m)...)
			if wiped.RedactedAt.IsZero() {
				wiped.RedactedAt, wiped.RedactedBy = u.now, string(by.Kind)+":"+by.ID
				u.event(Event{Type: EventMessageRedacted, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID})
			}
		}
		*m = *wiped
		u.editMessage(m)
		return nil
	})
	return busy, err
}

// inlineBodies are the bodies of m that are in the store.
func inlineBodies(m *Message) (ids []BodyID) {
	refs := []BodyRef{m.Raw}
	for _, a := range m.Attachments {
		refs = append(refs, a.Body)
	}
	for _, ref := range refs {
		if ref.ID != "" && !ref.Blob {
			ids = append(ids, ref.ID)
		}
	}
	return ids
}

// sameBut reports whether wiping changed nothing.
func sameBut(a, b *Message) bool {
	x, y := *a, *b
	x.Search, y.Search = "", ""
	return reflect.DeepEqual(x, y)
}

func (d *Desk) eraseItems(ctx context.Context, by Actor, s *tracer) error {
	for ids := range slices.Chunk(s.found.Items, 100) {
		_, err := d.decide(ctx, by, func() Want { return Want{Items: ids} }, func(u *unit) error {
			for _, id := range ids {
				i := u.snap.Items[id]
				if i == nil || !s.wipesItem(i) {
					continue
				}
				if s.theirItem(i) && i.Disposition != DisposedMessage {
					refs := []BodyRef{i.Raw}
					for _, a := range i.heldAttachments() {
						refs = append(refs, a.Body)
					}
					for _, ref := range refs {
						if ref.ID != "" && !ref.Blob {
							u.c.DropBodies = append(u.c.DropBodies, ref.ID)
						}
					}
				}
				*i = *s.wipeItem(i)
				u.editItem(i)
			}
			if len(u.c.Items) == 0 {
				return errNothing
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *Desk) eraseWorks(ctx context.Context, by Actor, s *tracer, busy *bool) error {
	for ids := range slices.Chunk(s.found.Works, 100) {
		_, err := d.decide(ctx, by, func() Want {
			return Want{Works: ids}
		}, func(u *unit) error {
			for _, id := range ids {
				w := u.snap.Works[id]
				switch {
				case w == nil:
				case w.Kind == WorkSend && w.Handed, !w.Parked && u.now.Before(w.LeaseUntil):
					*busy = true
				default:
					u.unpark(w)
					u.done(w)
				}
			}
			if len(u.c.Done) == 0 {
				return errNothing
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eraseRest removes decisions, keys and counters.
func (d *Desk) eraseRest(ctx context.Context, by Actor, s *tracer) error {
	commit := func(add func(u *unit)) error {
		_, err := d.decide(ctx, by, func() Want { return Want{} }, func(u *unit) error { add(u); return nil })
		return err
	}
	for _, a := range s.found.Undeliverable {
		if err := d.ForgetUndeliverable(ctx, by, a); err != nil && !errors.Is(err, ErrNotFound) {
			return err
		}
	}
	for ids := range slices.Chunk(s.found.Decisions, 200) {
		if err := commit(func(u *unit) { u.c.DropDecisions = ids }); err != nil {
			return err
		}
	}
	for keys := range slices.Chunk(s.found.Keys, 200) {
		if err := commit(func(u *unit) { u.c.Releases = keys }); err != nil {
			return err
		}
	}
	// Stores forget a few counters that expired in the commit of others.
	for names := range slices.Chunk(s.found.Counters, 4) {
		err := commit(func(u *unit) {
			for _, n := range names {
				u.c.Counts = append(u.c.Counts, Count{Name: n, Add: -1 << 62, Expires: time.Unix(0, 0)})
			}
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *Desk) eraseTickets(ctx context.Context, by Actor, s *tracer) error {
	for _, id := range s.found.Tickets {
		var of []ConversationID
		_, err := d.decide(ctx, by, func() Want { return Want{Tickets: []TicketID{id}, Conversations: of} }, func(u *unit) error {
			t := u.snap.Tickets[id]
			if t == nil || !s.wipesTicket(t) {
				return errNothing
			}
			if s.tickets[id] && t.Revision != s.looked[id] {
				s.left = true // perhaps by a note, which names nobody
				return errNothing
			}
			wanted := of
			of = append([]ConversationID{t.Conversation}, t.Conversations...)
			if len(wanted) < len(of) {
				return errAgain
			}
			for _, c := range u.snap.Conversations {
				if s.own[c.ID] && c.Revision != s.seen[c.ID] {
					s.left = true // somebody may have joined: the next pass sees
					return errNothing
				}
			}
			u.editTicket(t)
			t.Contact = ""
			if !s.ownTicket(t) {
				return nil
			}
			t.Subject, t.Tags, t.Fields = "", nil, nil
			t.WaitingSince, t.Status = time.Time{}, Closed
			if t.DeletedAt.IsZero() {
				t.DeletedAt = u.now
				u.event(Event{Type: EventTicketDeleted, Ticket: t.ID, Conversation: t.Conversation, Channel: t.Channel})
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

func (d *Desk) eraseConversations(ctx context.Context, by Actor, s *tracer) error {
	for _, id := range slices.Concat(s.found.Conversations, s.found.Shared) {
		_, err := d.decide(ctx, by, func() Want { return Want{Conversations: []ConversationID{id}} }, func(u *unit) error {
			c := u.snap.Conversations[id]
			if c == nil {
				return errNothing
			}
			if s.own[id] && c.Revision != s.seen[id] {
				s.left = true
				return errNothing
			}
			wiped := s.wipeConversation(c)
			if reflect.DeepEqual(wiped, c) {
				return errNothing
			}
			u.editConversation(c) // as it was, for the loads
			updated := c.UpdatedAt
			*c = *wiped
			c.UpdatedAt = updated
			if s.own[id] && c.ClosedAt.IsZero() {
				c.ClosedAt = u.now
			}
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// eraseContacts takes all of them in one commit: by one that is left, others are
// found.
func (d *Desk) eraseContacts(ctx context.Context, by Actor, s *tracer) error {
	ids := s.found.Contacts
	_, err := d.decide(ctx, by, func() Want { return Want{Contacts: ids} }, func(u *unit) error {
		for _, id := range ids {
			if c := u.snap.Contacts[id]; c != nil && wipesContact(c) {
				c.Name, c.Identities, c.Fields = "", nil, nil
				u.editContact(c)
			}
		}
		if len(u.c.Contacts) == 0 {
			return errNothing
		}
		return nil
	})
	return err
}
