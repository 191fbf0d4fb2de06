package ticket

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Undeliverable addresses are remembered: mail to them was refused or came back
// because there is no such recipient. An agent who writes to one is warned, and
// nothing automatic is sent to it. It is forgotten when a message from it comes
// in, when mail to it is reported delivered, or when a person says so.
//
// Besides a record for each there is a key, so that intake learns with the keys
// that it reads anyway whether a sender is among them.

// recordUndeliverable is an Undeliverable, by its address in lower case.
const recordUndeliverable RecordKind = "undeliverable"

const refUndeliverable RefKind = "undeliverable"

// Undeliverable is a mail address that does not exist, as far as is known.
type Undeliverable struct {
	Address string    `json:"address"` // in lower case
	Since   time.Time `json:"since"`
	Detail  string    `json:"detail,omitempty"` // the mail system's words, one line
	// Message is the message that showed it.
	Message MessageID `json:"message,omitempty"`
}

// Warning is something that whoever writes a message should know.
type Warning struct {
	Code      WarningCode `json:"code"`
	Recipient string      `json:"recipient,omitempty"`
	Detail    string      `json:"detail,omitempty"` // one line
	Since     time.Time   `json:"since,omitzero"`
}

// WarningCode says what a [Warning] is about.
type WarningCode string

// WarnUndeliverable warns of a recipient that is [Undeliverable]. The message is
// sent to it all the same.
const WarnUndeliverable WarningCode = "undeliverable"

// plainAddress is the form in which addresses are remembered: their +tag may be
// just what does not exist.
func plainAddress(a string) string { return strings.ToLower(strings.TrimSpace(a)) }

func undeliverableKey(address string) Key { return NewKey("undeliverable", plainAddress(address)) }

func undeliverableRef(address string) RecordRef {
	return RecordRef{recordUndeliverable, plainAddress(address)}
}

// standing adds what is known of addresses to what is read.
func (w *Want) standing(addresses ...string) {
	for _, a := range addresses {
		w.Keys = append(w.Keys, undeliverableKey(a))
		w.Records = append(w.Records, undeliverableRef(a))
	}
}

// undeliverable returns what is remembered of an address whose standing was read.
func (u *unit) undeliverable(address string) (Undeliverable, bool) {
	rec := u.snap.Records[undeliverableRef(address)]
	if rec == nil {
		return Undeliverable{}, false
	}
	var out Undeliverable
	if err := json.Unmarshal(rec.Doc, &out); err != nil {
		return Undeliverable{Address: plainAddress(address)}, true // it is remembered, whatever was said
	}
	return out, true
}

// rememberUndeliverable notes that an address does not exist. Its standing was
// read.
func (u *unit) rememberUndeliverable(m *Message, address, detail string) {
	key := undeliverableKey(address)
	if _, known := u.snap.Refs[key]; known || address == "" {
		return
	}
	a := plainAddress(address)
	if err := u.putRecord(undeliverableRef(a), Undeliverable{Address: a, Since: u.now, Detail: clean(detail, 300), Message: m.ID}); err != nil {
		return // its type marshals
	}
	u.claim(key, refUndeliverable, a)
	u.event(Event{Type: EventAddressUndeliverable, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID, Channel: m.Channel,
		Actor: Actor{Kind: ActorSystem}})
}

// forgetUndeliverable forgets an address whose standing was read. It reports
// whether it was remembered.
func (u *unit) forgetUndeliverable(address string, e Event) bool {
	key := undeliverableKey(address)
	if _, known := u.snap.Refs[key]; !known {
		return false
	}
	u.release(key)
	u.dropRecord(undeliverableRef(address))
	e.Type = EventAddressDeliverable
	u.event(e)
	return true
}

// schemeMail is the name space of mail addresses.
const schemeMail = "mailto"

// heardFrom forgets that the sender of a message is undeliverable.
func (u *unit) heardFrom(a *arrival, m *Message) {
	address := m.From.Address
	if _, known := u.snap.Refs[undeliverableKey(address)]; !known || m.Imported {
		return
	}
	if u.asked(a, address) {
		u.forgetUndeliverable(address, Event{Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID, Channel: m.Channel})
	}
}

// standingBy takes from a report what it says of a recipient's address.
func (u *unit) standingBy(m *Message, a *arrival, del *channel.Delivery, kind channel.UpdateKind, st channel.RecipientStatus) {
	switch {
	case kind == channel.UpdateBounce && st.Undeliverable:
		del.Undeliverable = true
		if u.asked(a, del.Recipient) {
			u.rememberUndeliverable(m, del.Recipient, strings.TrimSpace(st.Status+" "+st.Diagnostic))
		}
	case kind == channel.UpdateDelivered || kind == channel.UpdateRead:
		if u.asked(a, del.Recipient) {
			u.forgetUndeliverable(del.Recipient, Event{Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID, Channel: m.Channel})
		}
	}
}

// asked reports whether the standing of an address was read; if not, it will be.
func (u *unit) asked(a *arrival, address string) bool {
	if slices.Contains(a.standing, address) {
		return true
	}
	u.asks = append(u.asks, address)
	return false
}

// learn takes from deliveries of a message which addresses do not exist. Their
// standing was read.
func (u *unit) learn(m *Message, ds []channel.Delivery) {
	for _, d := range ds {
		if d.Undeliverable && d.State != channel.DeliverySent {
			u.rememberUndeliverable(m, d.Recipient, d.Detail)
		}
	}
}

// gone are the recipients of deliveries that do not exist.
func gone(ds []channel.Delivery) []string {
	var out []string
	for _, d := range ds {
		if d.Undeliverable {
			out = append(out, d.Recipient)
		}
	}
	return out
}

// warn notes on a message which of its recipients are undeliverable. Their
// standing was read.
func (u *unit) warn(m *Message) {
	for _, p := range uniqueParties(m.To, m.Cc, m.Bcc) {
		if un, ok := u.undeliverable(p.Address); ok {
			m.Warnings = append(m.Warnings, Warning{Code: WarnUndeliverable, Recipient: p.Address, Detail: un.Detail, Since: un.Since})
		}
	}
}

// addressesOf are the addresses of parties.
func addressesOf(lists ...[]channel.Party) []string {
	var out []string
	for _, p := range uniqueParties(lists...) {
		out = append(out, p.Address)
	}
	return out
}

// Undeliverable returns what is remembered of mail addresses: of those given, or
// of all there are, in the order of the addresses. One that is not among the
// result is not known to be undeliverable. All of them are read at once: there
// are at most as many as addresses that were ever written to.
func (d *Desk) Undeliverable(ctx context.Context, addresses ...string) ([]Undeliverable, error) {
	var w Want
	for _, a := range addresses {
		w.Records = append(w.Records, undeliverableRef(a))
	}
	if len(addresses) == 0 {
		w.Kinds = []RecordKind{recordUndeliverable}
	}
	snap, err := d.store.Snapshot(ctx, w)
	if err != nil {
		return nil, fmt.Errorf("ticket: read undeliverable addresses: %w", err)
	}
	out, err := decodeRecords[Undeliverable](snap, recordUndeliverable)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(out, func(a, b Undeliverable) int { return cmp.Compare(a.Address, b.Address) })
	return out, nil
}

// ForgetUndeliverable forgets that an address is undeliverable. Error: ErrNotFound.
func (d *Desk) ForgetUndeliverable(ctx context.Context, by Actor, address string) error {
	_, err := d.decide(ctx, by, func() Want {
		var w Want
		w.standing(address)
		return w
	}, func(u *unit) error {
		if !u.forgetUndeliverable(address, Event{}) {
			return fmt.Errorf("address %q is not undeliverable: %w", address, ErrNotFound)
		}
		return nil
	})
	return err
}
