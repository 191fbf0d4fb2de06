package ticket

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// tracer looks for a person, and says what of a thing is theirs. All functions
// but trace are pure. What is theirs is what wiping would change.
type tracer struct {
	view     *deskView
	found    Traces
	contacts map[ContactID]bool
	own      map[ConversationID]bool // the person's alone
	shared   map[ConversationID]bool
	tickets  map[TicketID]bool
	messages map[MessageID]bool // all of those that are wiped
	items    map[ItemID]bool
	unread   []*Item                  // held, and nobody knows from whom
	seen     map[ConversationID]int64 // revisions of the person's conversations
	looked   map[TicketID]int64       // revisions of the person's tickets
	search   int
	left     bool // something changed since it was looked at, and waits for the next pass
}

func (d *Desk) trace(ctx context.Context, p Person) (*tracer, error) {
	dump, ok := d.store.(Dumper)
	if !ok {
		return nil, fmt.Errorf("ticket: erase: the store is no Dumper: %w", errors.ErrUnsupported)
	}
	if p.Contact == "" && len(p.Identities) == 0 {
		return nil, fmt.Errorf("ticket: erase: a person without contact and address: %w", ErrNotFound)
	}
	s := &tracer{view: d.view(), contacts: map[ContactID]bool{}, own: map[ConversationID]bool{}, shared: map[ConversationID]bool{},
		tickets: map[TicketID]bool{}, messages: map[MessageID]bool{}, items: map[ItemID]bool{},
		seen: map[ConversationID]int64{}, looked: map[TicketID]int64{}, search: d.cfg.Limits.Search}
	for _, id := range p.Identities {
		if strings.TrimSpace(id.Address) != "" {
			s.found.Identities = append(s.found.Identities, id)
		}
	}
	if p.Contact != "" {
		s.contacts[p.Contact] = true
	}
	// Each pass may find addresses by which the next finds more contacts.
	for before := -1; before < len(s.contacts)+len(s.found.Identities); {
		before = len(s.contacts) + len(s.found.Identities)
		if err := eachDumped(ctx, dump, TableContacts, s.contactPage); err != nil {
			return nil, err
		}
	}
	for _, t := range []struct {
		table Table
		page  func(*Changes) error
	}{
		{TableContacts, s.contactTraces}, {TableConversations, s.conversationPage}, {TableTickets, s.ticketPage}, {TableMessages, s.messagePage},
		{TableItems, s.itemPage}, {TableDecisions, s.decisionPage}, {TableWorks, s.workPage}, {TableKeys, s.keyPage}, {TableCounters, s.counterPage}, {TableRecords, s.recordPage},
	} {
		if err := eachDumped(ctx, dump, t.table, t.page); err != nil {
			return nil, err
		}
	}
	for _, i := range s.unread {
		names, err := d.rawNames(ctx, s, i)
		if err != nil {
			return nil, err
		}
		if names {
			s.found.Unread = append(s.found.Unread, i.ID)
		}
	}
	return s, nil
}

// rawNames reports whether the raw form of an item names the person.
func (d *Desk) rawNames(ctx context.Context, s *tracer, i *Item) (bool, error) {
	body, err := d.body(ctx, i.Raw)
	if errors.Is(err, ErrNotFound) {
		return false, nil // it went meanwhile
	}
	if err != nil {
		return false, err
	}
	r, err := body.Open()
	if errors.Is(err, ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("ticket: read what is held: %w", err)
	}
	defer r.Close()
	return s.namedIn(r)
}

// is reports whether an address, on a channel, is the person's.
func (s *tracer) is(ch channel.ID, address string) bool {
	if address == "" {
		return false
	}
	scheme, key := s.view.scheme(ch), addressKey(address)
	return slices.ContainsFunc(s.found.Identities, func(i Identity) bool {
		return addressKey(i.Address) == key && (scheme == "unknown" || i.Scheme == scheme || i.Scheme == "")
	})
}

func (s *tracer) contactPage(c *Changes) error {
	for _, v := range c.Contacts {
		theirs := s.contacts[v.ID] || v.MergedInto != "" && s.contacts[v.MergedInto]
		for _, i := range v.Identities {
			theirs = theirs || slices.ContainsFunc(s.found.Identities, func(of Identity) bool {
				return addressKey(of.Address) == addressKey(i.Address) && (of.Scheme == i.Scheme || of.Scheme == "")
			})
		}
		if !theirs {
			continue
		}
		s.contacts[v.ID] = true
		if v.MergedInto != "" {
			s.contacts[v.MergedInto] = true
		}
		for _, i := range v.Identities {
			if !slices.Contains(s.found.Identities, i) {
				s.found.Identities = append(s.found.Identities, i)
			}
		}
	}
	return nil
}

func wipesContact(c *Contact) bool { return c.Name != "" || c.Identities != nil || c.Fields != nil }

func (s *tracer) contactTraces(c *Changes) error {
	for _, v := range c.Contacts {
		if s.contacts[v.ID] && wipesContact(v) {
			s.found.Contacts = append(s.found.Contacts, v.ID)
		}
	}
	return nil
}

func (s *tracer) conversationPage(c *Changes) error {
	for _, v := range c.Conversations {
		theirs, others := v.Contact != "" && s.contacts[v.Contact], v.Contact != "" && !s.contacts[v.Contact]
		for _, p := range v.Participants {
			if s.is(v.Channel, p.Address) {
				theirs = true
			} else {
				others = true
			}
		}
		switch {
		case theirs && others:
			s.shared[v.ID] = true
			if !reflect.DeepEqual(s.wipeConversation(v), v) {
				s.found.Shared = append(s.found.Shared, v.ID)
			}
		case theirs:
			s.own[v.ID], s.seen[v.ID] = true, v.Revision
			s.found.Conversations = append(s.found.Conversations, v.ID)
		}
	}
	return nil
}

// wipeConversation returns what is left of a conversation.
func (s *tracer) wipeConversation(c *Conversation) *Conversation {
	v := *c
	if s.contacts[v.Contact] {
		v.Contact = ""
	}
	v.Participants = without(v.Participants, func(p Participant) bool { return s.is(v.Channel, p.Address) })
	if s.own[v.ID] {
		v.Key, v.ThreadID, v.Subject, v.Context, v.Participants, v.References = "", "", "", "", nil, nil
		v.Assignee, v.Previous, v.LastIncoming = "", "", ""
		v.WaitingSince, v.QueuedAt = time.Time{}, time.Time{}
	}
	return &v
}

// without returns what is left of a list, the list itself if that is all.
func without[T any](list []T, is func(T) bool) []T {
	if !slices.ContainsFunc(list, is) {
		return list
	}
	left := slices.DeleteFunc(slices.Clone(list), is)
	if len(left) == 0 {
		return nil
	}
	return left
}

// ownTicket reports whether a ticket is about the person's conversations alone.
func (s *tracer) ownTicket(t *Ticket) bool {
	return s.tickets[t.ID]
}

func (s *tracer) wipesTicket(t *Ticket) bool {
	return s.contacts[t.Contact] || s.ownTicket(t) && (t.Subject != "" || t.Tags != nil || t.Fields != nil || t.DeletedAt.IsZero())
}

func (s *tracer) ticketPage(c *Changes) error {
	for _, t := range c.Tickets {
		own := s.own[t.Conversation]
		for _, id := range t.Conversations {
			own = own && s.own[id]
		}
		if own {
			s.tickets[t.ID], s.looked[t.ID] = true, t.Revision
		}
		if s.wipesTicket(t) {
			s.found.Tickets = append(s.found.Tickets, t.ID)
		}
	}
	return nil
}

// whole reports whether a message loses its content.
func (s *tracer) whole(m *Message) bool {
	return s.own[m.Conversation] || m.Contact != "" && s.contacts[m.Contact] || m.Direction == In && s.is(m.Channel, m.From.Address)
}

// wipeMessage returns what is left of a message.
func (s *tracer) wipeMessage(m *Message, search int) *Message {
	v := *m
	if s.whole(m) {
		v = Message{ID: m.ID, Conversation: m.Conversation, Ticket: m.Ticket, Channel: m.Channel, Via: m.Via, Direction: m.Direction, Agent: m.Agent,
			Automatic: channel.Automatic{Kind: m.Automatic.Kind}, Imported: m.Imported, Hidden: m.Hidden, EditedAt: m.EditedAt, State: m.State, Auto: m.Auto,
			How: m.How, System: m.System, Work: m.Work, NotBefore: m.NotBefore, Attempts: m.Attempts, FirstTryAt: m.FirstTryAt, TriedAt: m.TriedAt,
			Held: m.Held, SentAt: m.SentAt, RedactedAt: m.RedactedAt, RedactedBy: m.RedactedBy, At: m.At, CreatedAt: m.CreatedAt, UpdatedAt: m.UpdatedAt,
			Revision: m.Revision}
		return &v
	}
	theirs := func(p channel.Party) bool { return s.is(v.Channel, p.Address) }
	if theirs(v.From) {
		v.From = channel.Party{}
	}
	v.ReplyTo, v.To, v.Cc, v.Bcc = without(v.ReplyTo, theirs), without(v.To, theirs), without(v.Cc, theirs), without(v.Bcc, theirs)
	v.Deliveries = without(v.Deliveries, func(d channel.Delivery) bool { return s.is(v.Channel, d.Recipient) })
	v.Reactions = without(v.Reactions, func(r Reaction) bool { return s.is(v.Channel, r.By) })
	v.Warnings = without(v.Warnings, func(w Warning) bool { return s.is(v.Channel, w.Recipient) })
	if s.is(v.Channel, v.Envelope.From) {
		v.Envelope.From = ""
	}
	if s.named(v.StateDetail) {
		v.StateDetail = ""
	}
	if v.RedactedAt.IsZero() {
		v.Search = searchText(&v, search)
	}
	return &v
}

func (s *tracer) messagePage(c *Changes) error {
	for _, m := range c.Messages {
		whole := s.whole(m)
		if whole {
			s.messages[m.ID] = true
		} else if s.shared[m.Conversation] && m.RedactedAt.IsZero() {
			s.found.Kept = append(s.found.Kept, m.ID)
		}
		if sameBut(m, s.wipeMessage(m, s.search)) {
			continue
		}
		if !whole {
			s.found.Mentions = append(s.found.Mentions, m.ID)
			continue
		}
		s.found.Messages = append(s.found.Messages, m.ID)
		s.found.Bodies = append(append(s.found.Bodies, inlineBodies(m)...), m.references()...)
	}
	return nil
}

// ofHeld returns what an item holds that was understood, nil if nothing was.
func ofHeld(i *Item) *held {
	var h held
	if len(i.Held) == 0 || json.Unmarshal(i.Held, &h) != nil || h.Message == nil {
		return nil
	}
	return &h
}

// heldFrom reports whether what an item holds was written by the person.
func (s *tracer) heldFrom(i *Item) bool {
	h := ofHeld(i)
	return h != nil && s.is(i.Channel, h.Message.From.Address)
}

func (s *tracer) theirItem(i *Item) bool {
	return i.Message != "" && s.messages[i.Message] || s.heldFrom(i)
}

// wipeItem returns what is left of an item: of the person's that it came, and
// what became of it; of others' all but the person.
func (s *tracer) wipeItem(i *Item) *Item {
	v := *i
	if !s.theirItem(i) {
		if s.named(v.Detail) {
			v.Detail = ""
		}
		v.Held = s.wipeHeld(i)
		return &v
	}
	if v.Disposition == DisposedQuarantined || v.Disposition == DisposedWaiting {
		v.Disposition, v.Cause = DisposedIgnored, CauseErased
	}
	v.Held, v.Detail, v.Raw, v.Finding = nil, "", BodyRef{}, channel.Finding{}
	return &v
}

// wipeHeld returns what is left of what an item of another's holds.
func (s *tracer) wipeHeld(i *Item) []byte {
	h := ofHeld(i)
	if h == nil {
		return i.Held
	}
	m, theirs := h.Message, func(p channel.Party) bool { return s.is(i.Channel, p.Address) }
	if !slices.ContainsFunc(slices.Concat(m.To, m.Cc, m.ReplyTo), theirs) && !s.named(h.Detail) {
		return i.Held
	}
	m.To, m.Cc, m.ReplyTo = without(m.To, theirs), without(m.Cc, theirs), without(m.ReplyTo, theirs)
	if s.named(h.Detail) {
		h.Detail = ""
	}
	b, err := json.Marshal(h)
	if err != nil {
		return i.Held // its types marshal
	}
	return b
}

// wipesItem reports whether wiping changes anything.
func (s *tracer) wipesItem(i *Item) bool { return !reflect.DeepEqual(s.wipeItem(i), i) }

func (s *tracer) itemPage(c *Changes) error {
	for _, i := range c.Items {
		theirs := s.theirItem(i)
		if theirs {
			s.items[i.ID] = true
		} else if held := i.Disposition == DisposedWaiting || i.Disposition == DisposedQuarantined; held && !i.Raw.IsZero() && ofHeld(i) == nil {
			unread := *i
			unread.Held = nil
			s.unread = append(s.unread, &unread)
		}
		if !s.wipesItem(i) {
			continue
		}
		s.found.Items = append(s.found.Items, i.ID)
		if theirs && i.Disposition != DisposedMessage && i.Raw.ID != "" {
			s.found.Bodies = append(s.found.Bodies, i.Raw.ID)
		}
	}
	return nil
}

func (s *tracer) decisionPage(c *Changes) error {
	for _, v := range c.Decisions {
		theirs := s.messages[v.Message] || s.own[v.Conversation] || s.tickets[v.Ticket]
		for _, step := range v.Steps {
			theirs = theirs || s.named(step.Detail)
		}
		if theirs {
			s.found.Decisions = append(s.found.Decisions, v.ID)
		}
	}
	return nil
}

func (s *tracer) workPage(c *Changes) error {
	for _, w := range c.Works {
		if s.messages[w.Message] || s.own[w.Conversation] || s.tickets[w.Ticket] || s.items[w.Item] {
			s.found.Works = append(s.found.Works, w.ID)
		}
	}
	return nil
}

// keyPage looks for keys that are made of addresses: those of contacts, and of
// conversations by person, thread and participant. The others are hashes of
// what the network gave, and stay.
func (s *tracer) keyPage(c *Changes) error {
	for _, k := range c.Claims {
		if k.Ref.Kind == RefContact && s.contacts[ContactID(k.Ref.ID)] || k.Ref.Kind == RefConversation && s.own[ConversationID(k.Ref.ID)] {
			s.found.Keys = append(s.found.Keys, k.Key)
		}
	}
	return nil
}

// counterPage looks for counters that are named for an address.
func (s *tracer) counterPage(c *Changes) error {
	for _, n := range c.Counts {
		if n.Add == 0 {
			continue
		}
		if slices.ContainsFunc(s.found.Identities, func(i Identity) bool {
			return strings.Contains(n.Name, ":"+capAddress(i.Address)+":")
		}) {
			s.found.Counters = append(s.found.Counters, n.Name)
		}
	}
	return nil
}

// recordPage looks for addresses that are remembered as undeliverable.
func (s *tracer) recordPage(c *Changes) error {
	for _, r := range c.Records {
		if r.Kind != recordUndeliverable {
			continue
		}
		if slices.ContainsFunc(s.found.Identities, func(i Identity) bool { return addressKey(i.Address) == addressKey(r.ID) }) {
			s.found.Undeliverable = append(s.found.Undeliverable, r.ID)
		}
	}
	return nil
}
