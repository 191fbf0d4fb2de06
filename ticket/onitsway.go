package ticket

import (
	"maps"
	"slices"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Some networks do not tell to which conversation a message on our side belongs,
// only to which group of conversations: a comment to a post. While a message is on
// its way in one of the group, something new there may be it. A counter for each
// group says how many are. It moves in the commits that change the messages'
// states, so that it is right whatever crashes.

// sendingFor is how long a counter that nobody touches is remembered.
const sendingFor = 90 * 24 * time.Hour

func sendingCounter(ch channel.ID, group string) string { return "sending:" + string(ch) + ":" + group }

// sendingIn returns the counter that counts a message now, or "".
func (m *Message) sendingIn() string {
	if m.Direction != Out || m.Group == "" || m.State != StateSending && m.State != StateUncertain {
		return ""
	}
	return sendingCounter(m.Channel, m.Group)
}

// readSending notes which of the messages that were read are counted.
func (u *unit) readSending() {
	for id, m := range u.snap.Messages {
		if c := m.sendingIn(); c != "" {
			u.sending[id] = c
		}
	}
}

// countSending adds to the changes what they do to the counters.
func (u *unit) countSending() {
	delta := map[string]int64{}
	for _, m := range u.c.Messages {
		before, after := u.sending[m.ID], m.sendingIn()
		if before == after {
			continue
		}
		if before != "" {
			delta[before]--
		}
		if after != "" {
			delta[after]++
		}
	}
	for _, name := range slices.Sorted(maps.Keys(delta)) {
		if n := delta[name]; n != 0 {
			u.c.Counts = append(u.c.Counts, Count{Name: name, Add: n, Expires: u.now.Add(sendingFor)})
		}
	}
}

// mayBeOurs reports whether something that was written on our side may be a
// message on its way, in whichever conversation of its group.
func (u *unit) mayBeOurs(a *arrival) bool {
	m := a.item.Message
	return m.Group == "" || u.snap.Counters[sendingCounter(a.item.Channel, m.Group)] > 0
}
