package ticket

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// News about a message may come before the message: a receipt before the answer
// to the send, an edit before what it edits. They are then kept, as work, until
// the message is known or Update.Wait is over.

// maxWatermark is how many messages back the news of a conversation reach.
const maxWatermark = 100

// receiptWait is the Update.Wait of a receipt that says none.
const receiptWait = 10 * time.Minute

// waitOf is how long the news of an item are kept.
func waitOf(it *channel.Item) time.Duration {
	up := it.Update
	if receipt := up.Kind == channel.UpdateDelivered || up.Kind == channel.UpdateRead; receipt && up.Wait == 0 && it.Message == nil {
		return receiptWait
	}
	return up.Wait
}

// readConversation finds the messages that an update means by its conversation:
// those that its watermark covers, those that are on their way out, and those
// of which nobody knows whether they left.
func (d *Desk) readConversation(ctx context.Context, a *arrival) error {
	up := a.item.Update
	if up == nil || up.Conversation == "" || up.Before.IsZero() && up.Kind != channel.UpdateEcho {
		return nil
	}
	key := conversationKey(a.item.Channel, up.Conversation)
	snap, err := d.store.Snapshot(ctx, Want{Keys: []Key{key}})
	if err != nil {
		return fmt.Errorf("ticket: read conversation: %w", err)
	}
	ref, ok := snap.Refs[key]
	if !ok {
		return nil
	}
	ms, _, err := d.store.Messages(ctx, MessageFilter{Conversation: ConversationID(ref.ID), NewestFirst: true}, Page{Limit: maxWatermark})
	if err != nil {
		return fmt.Errorf("ticket: read conversation: %w", err)
	}
	a.before, a.unsettled, a.uncertain = nil, nil, nil
	for _, m := range ms {
		if m.Direction != Out {
			continue
		}
		// The network's time of a message is before we had its answer.
		at := m.SentAt
		if !m.TriedAt.IsZero() && (at.IsZero() || m.TriedAt.Before(at)) {
			at = m.TriedAt
		}
		switch covered := !up.Before.IsZero() && !at.After(up.Before); {
		case m.State == StateSending && (covered || up.Kind == channel.UpdateEcho):
			a.unsettled = append(a.unsettled, m.ID)
		case m.State == StateUncertain && up.Kind == channel.UpdateEcho:
			a.uncertain = append(a.uncertain, m.ID)
		case m.State == StateUncertain && covered:
			a.unsettled = append(a.unsettled, m.ID) // somebody will say what became of it
		case covered && !m.SentAt.IsZero():
			a.before = append(a.before, m.ID)
		}
	}
	return nil
}

// await keeps news whose message is not known yet. ok is false if nothing is to
// be waited for.
func (u *unit) await(a *arrival) (result, bool) {
	up := a.item.Update
	arrived := u.now
	if rec := u.snap.Items[a.record]; rec != nil {
		arrived = rec.ReceivedAt
	}
	age := u.now.Sub(arrived)
	if age >= waitOf(a.item) || a.released {
		return result{}, false
	}
	came := false
	if ref, ok := u.snap.Refs[itemKey(a.item.Channel, up.Item)]; ok && up.Item != "" {
		it := u.snap.Items[ItemID(ref.ID)]
		came = it == nil || it.Disposition != DisposedWaiting
		if came && (it == nil || it.Message == "") {
			return result{}, false // it came, and became no message
		}
	}
	if a.item.Message != nil && (age >= up.Grace || !u.mayBeOurs(a)) && !u.onItsWay(a) {
		// It is no message of ours that is on its way. It may be something in a
		// conversation that begins only now.
		if begins := a.item.Ignored != "" && up.Item != "" && !came && !u.begun(a); !begins {
			return result{}, false
		}
	}
	return u.keep(a, age), true
}

// onItsWay reports whether a message is being sent that the news may be about.
func (u *unit) onItsWay(a *arrival) bool {
	for _, id := range a.unsettled {
		if m := u.snap.Messages[id]; m != nil && (m.State == StateSending || m.State == StateUncertain) {
			return true
		}
	}
	return false
}

// keep records that the item waits, and when it is looked at again: soon at
// first, then at growing distances.
func (u *unit) keep(a *arrival, age time.Duration) result {
	r := u.record(a, result{disposition: DisposedWaiting}, func(i *Item) {
		i.Raw, i.Held = u.keepRaw(a), u.hold(a)
	})
	u.c.Bodies = append(u.c.Bodies, a.raw.bodies...)
	pause := min(max(age/2, 500*time.Millisecond), 10*time.Minute, waitOf(a.item)-age)
	u.addWork(&Work{Kind: WorkInterpret, Channel: a.item.Channel, Item: a.record, NotBefore: u.now.Add(pause)})
	return r
}

// sameText reports whether a message reads as what was seen on the network.
func sameText(m *Message, seen string) bool {
	return seen != "" && strings.Join(strings.Fields(m.Text), " ") == strings.Join(strings.Fields(seen), " ")
}
