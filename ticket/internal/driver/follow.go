package driver

import "github.com/anteroom/anteroom/ticket"

// Source reads the entities of a portal as they are at one point in time. A
// result of nil means that there is no such thing; an id may be empty.
type Source interface {
	Ref(key ticket.Key) (ref ticket.Ref, found bool, err error)
	Contact(id ticket.ContactID) (*ticket.Contact, error)
	Conversation(id ticket.ConversationID) (*ticket.Conversation, error)
	Ticket(id ticket.TicketID) (*ticket.Ticket, error)
	Message(id ticket.MessageID) (*ticket.Message, error)
	Item(id ticket.ItemID) (*ticket.Item, error)
}

// Follow reads into s what w wants of src: the keys, contacts, conversations,
// tickets, messages and items, and what those lead to if w.Follow is set. The
// rest of w is the store's.
func Follow(s *ticket.Snapshot, w *ticket.Want, src Source) error {
	f := follower{s: s, src: src, on: w.Follow}
	for _, k := range w.Keys {
		f.key(k)
	}
	for _, id := range w.Contacts {
		f.contact(id)
	}
	for _, id := range w.Conversations {
		f.conversation(id)
	}
	for _, id := range w.Tickets {
		f.ticket(id)
	}
	for _, id := range w.Messages {
		f.message(id)
	}
	for _, id := range w.Items {
		f.item(id)
	}
	return f.err
}

// follower fills a snapshot. What is in it already is not read again, which also
// ends the following of circles. After an error it does nothing.
type follower struct {
	s   *ticket.Snapshot
	src Source
	on  bool
	err error
}

func (f *follower) key(k ticket.Key) {
	if f.err != nil {
		return
	}
	ref, found, err := f.src.Ref(k)
	if f.err = err; err != nil || !found {
		return
	}
	f.s.Refs[k] = ref
	if !f.on {
		return
	}
	switch ref.Kind {
	case ticket.RefContact:
		f.contact(ticket.ContactID(ref.ID))
	case ticket.RefConversation:
		f.conversation(ticket.ConversationID(ref.ID))
	case ticket.RefTicket:
		f.ticket(ticket.TicketID(ref.ID))
	case ticket.RefMessage:
		f.message(ticket.MessageID(ref.ID))
	case ticket.RefItem:
		f.item(ticket.ItemID(ref.ID))
	}
}

// read adds an entity to those of its kind. It returns nil if there is none, or
// nothing new.
func read[K ~string, V any](f *follower, have map[K]*V, get func(K) (*V, error), id K) *V {
	if f.err != nil || id == "" || have[id] != nil {
		return nil
	}
	v, err := get(id)
	if f.err = err; err != nil || v == nil {
		return nil
	}
	have[id] = v
	return v
}

func (f *follower) contact(id ticket.ContactID) { read(f, f.s.Contacts, f.src.Contact, id) }

func (f *follower) conversation(id ticket.ConversationID) {
	if v := read(f, f.s.Conversations, f.src.Conversation, id); v != nil && f.on {
		f.ticket(v.Ticket)
		f.contact(v.Contact)
	}
}

func (f *follower) ticket(id ticket.TicketID) {
	if v := read(f, f.s.Tickets, f.src.Ticket, id); v != nil && f.on {
		f.conversation(v.Conversation)
	}
}

func (f *follower) message(id ticket.MessageID) {
	if v := read(f, f.s.Messages, f.src.Message, id); v != nil && f.on {
		f.conversation(v.Conversation)
	}
}

func (f *follower) item(id ticket.ItemID) { read(f, f.s.Items, f.src.Item, id) }
