package ticket

import (
	"cmp"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// reportedState is the state of a delivery of which news of a kind tell, empty
// where they change nothing.
func reportedState(k channel.UpdateKind) channel.DeliveryState {
	switch k {
	case channel.UpdateBounce:
		return channel.DeliveryBounced
	case channel.UpdateDelivered:
		return channel.DeliveryDelivered
	case channel.UpdateRead:
		return channel.DeliveryRead
	}
	return ""
}

// applyReport applies what a delivery report says of each recipient.
func (u *unit) applyReport(m *Message, a *arrival, rules intakeRules) bool {
	up := a.item.Update
	mail := rules.view.scheme(m.Channel) == schemeMail
	told, strangers := reported(up, m.Deliveries)
	if !mail {
		strangers = nil // a part of something else
	} else if len(told) == 0 && len(m.Deliveries) == 1 && len(strangers) > 0 && ofDelivery(up.Kind) {
		told[0], strangers = his(up, strangers), nil
	}
	touched, changes, news := false, false, false
	detail := ""
	for i := range m.Deliveries {
		del := &m.Deliveries[i]
		st, found := told[i]
		if !found && (len(up.Recipients) > 0 || len(m.Deliveries) != 1 && !covers(up, del)) {
			continue
		}
		touched = true
		kind := up.Kind
		if st.Kind != "" {
			kind = st.Kind
		}
		state := reportedState(kind)
		if state != "" && advances(del.State, state) {
			del.State, del.PutOff = state, false
		}
		changes, news = changes || state != "", news || state == ""
		if mail {
			u.standingBy(m, a, del, kind, st)
		}
		if line := clean(strings.TrimSpace(st.Status+" "+st.Diagnostic), 300); line != "" && kind != channel.UpdateRead {
			del.Detail = line
		}
		if detail == "" && state != "" && del.State == state && kind == up.Kind && del.Detail != "" {
			detail = del.Recipient + ": " + del.Detail
		}
	}
	if !touched && len(strangers) == 0 {
		return false
	}
	u.editMessage(m)
	// A message that is still being retried for others keeps its state.
	if changes && m.State != StatePending && m.State != StateSending {
		u.setState(m, deriveState(m.Deliveries, m.State), detail)
	}
	if len(strangers) > 0 {
		m.StateDetail = clean(strings.TrimSpace(m.StateDetail+" "+strangerNote(up, strangers)), 500)
	}
	if news || !touched {
		u.event(Event{Type: EventMessageState, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID,
			Actor: Actor{Kind: ActorSystem}, Data: map[string]string{"state": string(m.State), "news": string(up.Kind)}})
	}
	return true
}

// reported sorts what a report says by delivery. The address that we sent to
// stands in Original-Recipient, if the report has it (RFC 3464 section 2.3.1), and
// else only what became of it on the way. What fits nobody comes back apart.
func reported(up *channel.Update, ds []channel.Delivery) (map[int]channel.RecipientStatus, []channel.RecipientStatus) {
	at := make(map[string]int, len(ds))
	for i, d := range ds {
		at[addressKey(d.Recipient)] = i
	}
	told := map[int]channel.RecipientStatus{}
	var rest, strangers []channel.RecipientStatus
	take := func(s channel.RecipientStatus, address string) bool {
		i, ok := at[addressKey(address)]
		if !ok {
			return false
		}
		if other, twice := told[i]; twice {
			s = together(up, other, s)
		}
		told[i] = s
		return true
	}
	for _, s := range up.Recipients {
		if s.Original == "" || !take(s, s.Original) {
			rest = append(rest, s)
		}
	}
	for _, s := range rest {
		if !take(s, s.Address) {
			strangers = append(strangers, s)
		}
	}
	return told, strangers
}

// together is what a report says of a recipient whom it names twice, as where one
// address was turned into several: the worst. He exists if any of them got it.
func together(up *channel.Update, a, b channel.RecipientStatus) channel.RecipientStatus {
	kinds := []channel.UpdateKind{channel.UpdateDelivered, channel.UpdateRelayed, channel.UpdateDelayed, channel.UpdateBounce}
	rank := func(s channel.RecipientStatus) int { return slices.Index(kinds, cmp.Or(s.Kind, up.Kind)) }
	if rank(a) < rank(b) {
		a, b = b, a
	}
	a.Undeliverable = a.Undeliverable && b.Undeliverable
	return a
}

// ofDelivery reports whether news are those of a delivery report.
func ofDelivery(k channel.UpdateKind) bool {
	return k == channel.UpdateBounce || k == channel.UpdateDelayed || k == channel.UpdateRelayed || k == channel.UpdateDelivered
}

// his is what a report about other addresses says of a message's only recipient:
// his address was turned into them on the way.
func his(up *channel.Update, strangers []channel.RecipientStatus) channel.RecipientStatus {
	i := max(0, slices.IndexFunc(strangers, func(s channel.RecipientStatus) bool { return s.Kind == "" || s.Kind == up.Kind }))
	st := strangers[i]
	st.Diagnostic = strings.TrimSpace(st.Diagnostic + " (" + st.Address + ")")
	st.Undeliverable = false // it is that other address which is
	return st
}

// strangerNote says what a report told of addresses that the message was not sent to.
func strangerNote(up *channel.Update, strangers []channel.RecipientStatus) string {
	s := strangers[0]
	kind := up.Kind
	if s.Kind != "" {
		kind = s.Kind
	}
	return strings.TrimSpace("a report of " + s.Address + ", which is none of the recipients, says " + string(kind) + ": " + s.Status + " " + s.Diagnostic)
}

// covers reports whether a receipt without recipients is about a delivery: it
// names its id, or everything up to a time.
func covers(up *channel.Update, del *channel.Delivery) bool {
	return !up.Before.IsZero() || del.ExternalID != "" && slices.Contains(up.IDs, del.ExternalID)
}
