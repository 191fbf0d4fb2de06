package ticket

import (
	"slices"
	"strconv"

	"github.com/anteroom/anteroom/channel"
)

// update applies news about a message. ok is false when the message is not
// known, or the news are not about somebody it was sent to.
func (u *unit) update(a *arrival, rules intakeRules) (result, bool) {
	up := a.item.Update
	receipt := up.Kind == channel.UpdateDelivered || up.Kind == channel.UpdateRead
	if receipt && waitOf(a.item) > 0 && u.onItsWay(a) {
		return u.await(a) // it may be about that one too
	}
	// What is recorded is the newest that a watermark changed, or the first
	// that is named. Receipts are about all that they name.
	var hit *Message
	for _, id := range a.before {
		if m := u.snap.Messages[id]; m != nil && u.apply(m, a, rules) && hit == nil {
			hit = m
		}
	}
	for _, m := range u.targets(a) {
		if hit != nil && !receipt {
			break
		}
		if u.apply(m, a, rules) && hit == nil {
			hit = m
		}
	}
	if hit == nil {
		return result{}, false
	}
	u.acted(a, hit)
	return u.record(a, result{disposition: DisposedApplied, cause: channel.Cause(up.Kind), message: hit.ID}, func(i *Item) {
		if !repeats(up.Kind) {
			i.Raw = u.keepRaw(a)
			return
		}
		u.dropRaw(i)
	}), true
}

// repeats reports whether news hold what was written, of which nothing must be
// left when their message is deleted.
func repeats(k channel.UpdateKind) bool {
	return k == channel.UpdateEdit || k == channel.UpdateEcho
}

// acted notes in the conversation that the customer did something.
func (u *unit) acted(a *arrival, m *Message) {
	up := a.item.Update
	if up.Kind != channel.UpdateReaction || up.Conversation == "" || up.Text == "" || a.item.At.IsZero() {
		return
	}
	if c := u.snap.Conversations[m.Conversation]; c != nil && a.item.At.After(c.LastActAt) {
		u.editConversation(c).LastActAt = a.item.At
	}
}

// targets are the messages that an update names, best evidence first.
func (u *unit) targets(a *arrival) []*Message {
	var out []*Message
	add := func(m *Message) {
		if m != nil && !slices.Contains(out, m) {
			out = append(out, m)
		}
	}
	for _, id := range a.verified {
		add(u.snap.Messages[id])
	}
	for _, id := range a.item.Update.IDs {
		if ref, ok := u.snap.Refs[externalKey(a.item.Channel, id)]; ok && ref.Kind == RefMessage {
			add(u.snap.Messages[MessageID(ref.ID)])
		}
	}
	if len(out) == 0 && a.item.Update.Kind == channel.UpdateEcho {
		for _, id := range a.uncertain {
			if m := u.snap.Messages[id]; m != nil && m.State == StateUncertain && sameText(m, a.item.Update.Text) {
				add(m)
			}
		}
		out = out[:min(len(out), 1)]
	}
	return out
}

// apply changes the message as the update says. It reports false when the
// update does not fit the message: a bounce for somebody it was never sent to
// is somebody else's, or forged.
func (u *unit) apply(m *Message, a *arrival, rules intakeRules) bool {
	up, at := a.item.Update, a.item.At
	switch up.Kind {
	case channel.UpdateBounce, channel.UpdateDelayed, channel.UpdateRelayed, channel.UpdateDelivered, channel.UpdateRead, channel.UpdateComplaint:
		if m.Direction != Out {
			return false
		}
		return u.applyReport(m, a, rules)
	case channel.UpdateEdit, channel.UpdateRemove, channel.UpdateReaction, channel.UpdateHide, channel.UpdateUnhide:
		if !m.RedactedAt.IsZero() {
			return true // what was deleted here stays so
		}
	}
	switch up.Kind {
	case channel.UpdateEdit:
		if !m.EditedAt.IsZero() && at.Before(m.EditedAt) {
			return true // a later one came before
		}
		u.editMessage(m)
		m.EditedAt = at
		m.Text, m.NewText = up.Text, ""
		m.Search = searchAgain(m, rules.limits.Search)
		u.event(Event{Type: EventMessageEdited, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID})
		return true
	case channel.UpdateRemove:
		u.redact(m, Actor{Kind: ActorCustomer})
		return true
	case channel.UpdateReaction:
		u.editMessage(m)
		if m.react(Reaction{By: up.From.Address, Text: clean(up.Text, 100), At: at.UnixMilli()}) {
			u.event(Event{Type: EventMessageReaction, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID, Channel: m.Channel})
		}
		return true
	case channel.UpdateHide, channel.UpdateUnhide:
		if !at.IsZero() && at.Before(m.HiddenAt) {
			return true // a later one came before
		}
		u.editMessage(m)
		m.Hidden, m.HiddenAt = up.Kind == channel.UpdateHide, at
		u.event(Event{Type: EventMessageEdited, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID, Channel: m.Channel,
			Data: map[string]string{"hidden": strconv.FormatBool(m.Hidden)}})
		return true
	case channel.UpdateEcho:
		return u.applyEcho(m, up)
	}
	return false
}

// maxReactions is how many people's reactions to one message are kept.
const maxReactions = 100

// react keeps somebody's latest reaction. It reports whether it is news.
func (m *Message) react(r Reaction) bool {
	for i := range m.Reactions {
		if old := &m.Reactions[i]; old.By == r.By {
			if r.At < old.At || *old == r {
				return false
			}
			*old = r
			return true
		}
	}
	if len(m.Reactions) >= maxReactions {
		return false
	}
	m.Reactions = append(m.Reactions, r)
	return true
}

// applyEcho notes that a message of ours was seen on the network, and what it is
// called there.
func (u *unit) applyEcho(m *Message, up *channel.Update) bool {
	if m.Direction != Out {
		return false
	}
	u.editMessage(m)
	part := ""
	if len(up.Recipients) > 0 {
		part = up.Recipients[0].Address
	}
	for i := range m.Deliveries {
		del := &m.Deliveries[i]
		if part != "" && addressKey(del.Recipient) != addressKey(part) || part == "" && len(m.Deliveries) != 1 {
			continue
		}
		if len(up.IDs) > 0 && del.ExternalID == "" {
			del.ExternalID = up.IDs[0]
		}
		if advances(del.State, channel.DeliverySent) {
			del.State = channel.DeliverySent
		}
	}
	for _, id := range up.IDs {
		if id != "" && !slices.Contains(m.ExternalIDs, id) && len(m.ExternalIDs) < maxEvidence {
			m.ExternalIDs = append(m.ExternalIDs, id)
			u.claim(externalKey(m.Channel, id), RefMessage, string(m.ID))
		}
	}
	if m.State != StateUncertain && m.State != StateSending {
		return true
	}
	if len(m.Deliveries) > 1 && anyPending(m) {
		return true // only a part of it was seen
	}
	u.advancePending(m, channel.DeliverySent)
	u.setState(m, deriveState(m.Deliveries, StateSent), "seen on the network")
	m.SentAt = u.now
	return true
}

// deliveryRank orders the states of a delivery; it only ever moves up.
var deliveryRank = map[channel.DeliveryState]int{
	channel.DeliveryPending: 0, channel.DeliverySent: 1, channel.DeliveryDelivered: 2, channel.DeliveryRead: 3,
	channel.DeliveryBounced: 4, channel.DeliveryFailed: 4,
}

func advances(from, to channel.DeliveryState) bool { return deliveryRank[to] > deliveryRank[from] }

// deriveState is the state of a message whose deliveries are known: bad news
// about anybody counts most, else the least that all have reached.
func deriveState(ds []channel.Delivery, otherwise OutState) OutState {
	if len(ds) == 0 {
		return otherwise
	}
	least := ds[0].State
	for _, d := range ds {
		switch d.State {
		case channel.DeliveryBounced:
			return StateBounced
		case channel.DeliveryFailed:
			least = channel.DeliveryFailed
		}
		if least != channel.DeliveryFailed && deliveryRank[d.State] < deliveryRank[least] {
			least = d.State
		}
	}
	switch least {
	case channel.DeliverySent:
		return StateSent
	case channel.DeliveryDelivered:
		return StateDelivered
	case channel.DeliveryRead:
		return StateRead
	case channel.DeliveryFailed:
		return StateFailed
	}
	return otherwise
}

// setState moves an outgoing message to a state and says so in the feed.
func (u *unit) setState(m *Message, s OutState, detail string) {
	u.editMessage(m)
	m.StateDetail = clean(detail, 500)
	if m.State == s {
		return
	}
	m.State = s
	by := u.by
	if by.Kind == ActorCustomer { // a report that came in, and no doing of the customer's
		by = Actor{Kind: ActorSystem}
	}
	u.event(Event{Type: EventMessageState, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID, Channel: m.Channel,
		Agent: m.Agent, Actor: by, Data: map[string]string{"state": string(s)}})
}
