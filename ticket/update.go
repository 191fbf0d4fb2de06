package ticket

import (
	"slices"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// update applies news about a message. ok is false when the message is not
// known, or the news are not about somebody it was sent to.
func (u *unit) update(a *arrival) (result, bool) {
	up := a.item.Update
	if r, ok := u.applyWatermark(a); ok {
		return r, true
	}
	for _, m := range u.targets(a) {
		if !u.apply(m, up) {
			continue
		}
		return u.record(a, result{disposition: DisposedApplied, cause: channel.Cause(up.Kind), message: m.ID}, func(i *Item) {
			i.Raw = u.keepRaw(a)
		}), true
	}
	return result{}, false
}

// applyWatermark applies an update to everything up to a time. It is recorded
// with the newest message that it changed.
func (u *unit) applyWatermark(a *arrival) (result, bool) {
	var newest *Message
	for _, id := range a.before {
		if m := u.snap.Messages[id]; m != nil && u.apply(m, a.item.Update) && newest == nil {
			newest = m
		}
	}
	if newest == nil {
		return result{}, false
	}
	return u.record(a, result{disposition: DisposedApplied, cause: channel.Cause(a.item.Update.Kind), message: newest.ID}, func(i *Item) {
		i.Raw = u.keepRaw(a)
	}), true
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
	return out
}

// apply changes the message as the update says. It reports false when the
// update does not fit the message: a bounce for somebody it was never sent to
// is somebody else's, or forged.
func (u *unit) apply(m *Message, up *channel.Update) bool {
	switch up.Kind {
	case channel.UpdateBounce, channel.UpdateDelayed, channel.UpdateDelivered, channel.UpdateRead, channel.UpdateComplaint:
		if m.Direction != Out {
			return false
		}
		return u.applyReport(m, up)
	case channel.UpdateEdit, channel.UpdateRemove, channel.UpdateReaction:
		if !m.RedactedAt.IsZero() {
			return true // what was deleted here stays so
		}
	}
	switch up.Kind {
	case channel.UpdateEdit:
		u.editMessage(m)
		m.Text, m.NewText = up.Text, ""
		m.Search = searchText(m, len(up.Text)+1024)
		u.event(Event{Type: EventMessageEdited, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID})
		return true
	case channel.UpdateRemove:
		u.redact(m, Actor{Kind: ActorCustomer})
		return true
	case channel.UpdateEcho, channel.UpdateReaction:
		u.editMessage(m)
		if up.Kind == channel.UpdateEcho && m.Direction == Out && (m.State == StateUncertain || m.State == StateSending) {
			u.setState(m, StateSent, "seen on the network")
			m.SentAt = u.now
		}
		return true
	}
	return false
}

// applyReport applies what a delivery report says of each recipient.
func (u *unit) applyReport(m *Message, up *channel.Update) bool {
	state, ok := map[channel.UpdateKind]channel.DeliveryState{
		channel.UpdateBounce:    channel.DeliveryBounced,
		channel.UpdateDelivered: channel.DeliveryDelivered,
		channel.UpdateRead:      channel.DeliveryRead,
	}[up.Kind]
	touched := false
	for i := range m.Deliveries {
		del := &m.Deliveries[i]
		st, found := statusFor(up.Recipients, del.Recipient)
		if !found && len(up.Recipients) > 0 || !found && len(m.Deliveries) != 1 {
			continue
		}
		touched = true
		if ok && advances(del.State, state) {
			del.State = state
		}
		if line := clean(strings.TrimSpace(st.Status+" "+st.Diagnostic), 300); line != "" && state != channel.DeliveryRead {
			del.Detail = line
		}
	}
	if !touched {
		return false
	}
	u.editMessage(m)
	if ok {
		// A message that is still being retried for others keeps its state.
		if m.State != StatePending && m.State != StateSending {
			detail := ""
			for _, del := range m.Deliveries {
				if del.State == state && del.Detail != "" {
					detail = del.Recipient + ": " + del.Detail
					break
				}
			}
			u.setState(m, deriveState(m.Deliveries, m.State), detail)
		}
	} else {
		u.event(Event{Type: EventMessageState, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID,
			Actor: Actor{Kind: ActorSystem}, Data: map[string]string{"state": string(m.State), "news": string(up.Kind)}})
	}
	return true
}

func statusFor(list []channel.RecipientStatus, address string) (channel.RecipientStatus, bool) {
	k := addressKey(address)
	for _, s := range list {
		if addressKey(s.Address) == k || s.Original != "" && addressKey(s.Original) == k {
			return s, true
		}
	}
	return channel.RecipientStatus{}, false
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
