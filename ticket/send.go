package ticket

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// send tries a message once and settles the result. The order of commits is
// what makes sending safe:
//
//	claim ─► message is sending ─► (channel works) ─► work is handed ─► point of no return ─► settle
//
// Whoever finds the work after its lease expired sends again if it was not
// handed; if it was, the message is looked for, and otherwise is uncertain.
func (d *Desk) send(ctx context.Context, w *Work) error {
	s, err := d.sender(w)
	if err != nil {
		return err
	}
	a := d.newAttempt(w)
	if err := a.begin(ctx); err != nil || a.msg == nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timing.SendTimeout)
	defer cancel()
	stop := a.keepLease(ctx, cancel)
	defer stop()

	out, err := d.outbound(ctx, a.msg, w.Attempts)
	switch {
	case err != nil && w.Handed && w.Attempts > maxAttempts:
		stop()
		return a.settleFound(context.WithoutCancel(ctx), channel.Receipt{}, channel.FoundUnknown)
	case err != nil && w.Handed:
		stop()
		return err // what may have left is looked for, as soon as it can be
	case err != nil:
		stop()
		return a.settle(context.WithoutCancel(ctx), channel.Receipt{}, &channel.SendError{Outcome: channel.NotSent, Code: "content", Reason: err.Error(), Err: err})
	}
	out.Handed, out.Refused = a.handed, a.refuse
	if w.Handed {
		receipt, found := a.find(ctx, s, out)
		stop()
		return a.settleFound(context.WithoutCancel(ctx), receipt, found)
	}
	receipt, err := sendSafely(ctx, s, out)
	se := channel.AsSendError(err, a.isHanded())
	if se != nil && se.Outcome == channel.Unknown {
		// The try's own time may be over, and the desk about to stop.
		look, end := context.WithTimeout(context.WithoutCancel(ctx), findTimeout)
		r, found := a.find(look, s, out)
		end()
		if found != channel.FoundUnknown {
			stop()
			r.Deliveries = append(r.Deliveries, refusals(receipt)...)
			return a.settleFound(context.WithoutCancel(ctx), r, found)
		}
	}
	stop()
	return a.settle(context.WithoutCancel(ctx), receipt, se)
}

// refusals is what a receipt says of recipients that the try was not for: those
// do not have a message that is found.
func refusals(r channel.Receipt) []channel.Delivery {
	var out []channel.Delivery
	for _, del := range r.Deliveries {
		if del.State == channel.DeliveryPending {
			del.PutOff = true
		}
		if del.PutOff || del.State == channel.DeliveryFailed {
			out = append(out, del)
		}
	}
	return out
}

// findTimeout bounds the look for a message right after its try.
const findTimeout = 30 * time.Second

// sender returns what the work's message leaves by.
func (d *Desk) sender(w *Work) (channel.Sender, error) {
	if w.Lane == laneSystem {
		if d.cfg.System == nil {
			return nil, errors.New("ticket: there is no system sender")
		}
		return d.cfg.System, nil
	}
	d.mu.Lock()
	o := d.channels[w.Channel]
	d.mu.Unlock()
	if o != nil {
		if s, ok := o.ch.(channel.Sender); ok {
			return s, nil
		}
	}
	return nil, fmt.Errorf("ticket: channel %s does not send", w.Channel)
}

// sendSafely turns a panic of a sender into an error of unknown outcome.
func sendSafely(ctx context.Context, s channel.Sender, out *channel.Outbound) (r channel.Receipt, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = &channel.SendError{Outcome: channel.Unknown, Code: "panic", Reason: "the sender failed"}
		}
	}()
	return s.Send(ctx, out)
}

func (a *attempt) settleFound(ctx context.Context, r channel.Receipt, found channel.Found) error {
	switch found {
	case channel.FoundYes:
		// After a try that reached some, finding the message proves nothing
		// about the others, unless the receipt names them.
		if partlySent(a.msg) && !coversPending(a.msg, r) {
			break
		}
		switch other, err := a.isAnothers(ctx, r); {
		case err != nil:
			return err
		case other:
			r = channel.Receipt{}
		default:
			return a.settle(ctx, r, nil)
		}
	case channel.FoundNo:
		return a.settle(ctx, r, &channel.SendError{Outcome: channel.NotSent, Code: "not_found", Reason: "an earlier try did not send it"})
	}
	return a.settle(ctx, r, &channel.SendError{Outcome: channel.Unknown, Code: "interrupted", Reason: "an earlier try was interrupted after it may have been sent"})
}

// isAnothers reports whether what was found is known as another message: one
// that says the same.
func (a *attempt) isAnothers(ctx context.Context, r channel.Receipt) (bool, error) {
	w := Want{}
	for _, id := range r.ExternalIDs {
		w.Keys = append(w.Keys, externalKey(a.msg.Channel, id))
	}
	snap, err := a.desk.store.Snapshot(ctx, w)
	if err != nil {
		return false, fmt.Errorf("ticket: read what was found: %w", err)
	}
	for _, ref := range snap.Refs {
		if ref.Kind == RefMessage && ref.ID != string(a.msg.ID) {
			return true, nil
		}
	}
	return false, nil
}

// coversPending reports whether a receipt speaks of every pending recipient.
func coversPending(m *Message, r channel.Receipt) bool {
	told := map[string]bool{}
	for _, o := range r.Deliveries {
		told[addressKey(o.Recipient)] = true
	}
	return !slices.ContainsFunc(m.Deliveries, func(d channel.Delivery) bool {
		return d.State == channel.DeliveryPending && !told[addressKey(d.Recipient)]
	})
}

// settle commits the result of a try. An error of unknown outcome is looked
// into first, where the channel can.
func (a *attempt) settle(ctx context.Context, r channel.Receipt, se *channel.SendError) error {
	d := a.desk
	a.mu.Lock()
	w := a.work
	a.mu.Unlock()
	var state OutState
	// The store may be in trouble; what happened on the network is not to be
	// forgotten for that. Losing it leaves the message to be looked for.
	err := d.persist(ctx, func(ctx context.Context) error {
		_, err := d.decide(ctx, Actor{Kind: ActorSystem}, func() Want {
			wt := wantOutgoing(w.Message)()
			wt.Follow = true
			wt.standing(gone(r.Deliveries)...)
			for _, id := range r.ExternalIDs {
				wt.Keys = append(wt.Keys, externalKey(a.msg.Channel, id))
			}
			if r.ThreadID != "" {
				wt.Keys = append(wt.Keys, threadKey(a.msg.Channel, r.ThreadID))
			}
			if r.Address != "" {
				wt.Keys = append(wt.Keys, contactKey(d.view().scheme(a.msg.Channel), r.Address))
			}
			return wt
		}, func(u *unit) error {
			m := u.snap.Messages[w.Message]
			cur := u.snap.Works[w.ID]
			if m == nil || cur == nil || cur.Revision != w.Revision {
				return ErrConflict
			}
			u.settled(m, &w, r, se, d.cfg.Timing, d.copyPause(m))
			if d.view().scheme(m.Channel) == schemeMail {
				u.learn(m, r.Deliveries)
			}
			u.claimIDs(m, r, d.ring.mint(tokenOfMessage, string(m.ID)))
			if c := u.snap.Conversations[m.Conversation]; c != nil && se == nil {
				u.sentInto(c, m, r)
				u.learnAddress(c, d.view().scheme(m.Channel), r.Address)
			}
			state = m.State
			return nil
		})
		return err
	})
	if err != nil {
		return err
	}
	if f := d.cfg.Observer.Sent; f != nil {
		f(ctx, w.Channel, w.Message, state, d.now().Sub(a.began))
	}
	if se != nil {
		d.log.Info("send", "message", w.Message, "outcome", se.Outcome.String(), "code", se.Code, "state", string(state))
	}
	return nil
}

// persist tries a commit again while the store is in trouble, for a while.
func (d *Desk) persist(ctx context.Context, commit func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Timing.Drain)
	defer cancel()
	for try := 1; ; try++ {
		err := commit(ctx)
		if err == nil || errors.Is(err, ErrConflict) {
			return err
		}
		if sleep(ctx, backoff(try, 50*time.Millisecond, 2*time.Second)) != nil {
			return err
		}
	}
}

// settled is the pure part: what a try's result makes of message and work.
func (u *unit) settled(m *Message, w *Work, r channel.Receipt, se *channel.SendError, t Timing, copyPause time.Duration) {
	for _, id := range r.ExternalIDs {
		if id != "" && !slices.Contains(m.ExternalIDs, id) {
			m.ExternalIDs = append(m.ExternalIDs, id)
		}
	}
	if r.ThreadID != "" {
		m.ThreadID = r.ThreadID
	}
	seen := m.State == StateSent || m.State == StateDelivered || m.State == StateRead
	mergeDeliveries(m, r.Deliveries)
	if se == nil {
		se = putOff(m)
	}
	finish := func(s OutState, detail string) {
		u.done(w)
		m.Work = ""
		u.setState(m, s, detail)
		u.copyLater(m, copyPause)
		u.explain(Decision{Kind: "send", Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID, Outcome: string(s),
			Steps: []Step{{Rule: "attempt " + itoa(int64(w.Attempts)), Outcome: string(s), Detail: clean(detail, 300)}}})
	}
	if se == nil {
		u.advancePending(m, channel.DeliverySent)
		m.SentAt = u.now
		state, detail := deriveState(m.Deliveries, StateSent), r.Detail
		for _, del := range m.Deliveries {
			if state == StateFailed && del.State == channel.DeliveryFailed {
				detail = del.Recipient + ": " + del.Detail
			}
		}
		finish(state, detail)
		return
	}
	reason := se.Reason
	if se.Fix != "" {
		reason += " (" + se.Fix + ")"
	}
	switch {
	case seen && len(r.Deliveries) == 0:
		u.advancePending(m, channel.DeliverySent)
		finish(m.State, "seen on the network, though the try ended with: "+reason)
	case se.Outcome == channel.Rejected:
		u.advancePending(m, channel.DeliveryFailed)
		finish(deriveState(m.Deliveries, StateFailed), reason)
	case se.Outcome == channel.Unknown:
		finish(StateUncertain, reason)
	case !anyPending(m):
		finish(deriveState(m.Deliveries, StateFailed), reason)
	case !m.RedactedAt.IsZero() && partlySent(m):
		u.advancePending(m, channel.DeliveryFailed)
		finish(StateFailed, "deleted before all had it")
	case !m.RedactedAt.IsZero():
		finish(StateCancelled, "deleted")
	case u.now.Sub(m.FirstTryAt)-m.Held > t.GiveUp:
		u.advancePending(m, channel.DeliveryFailed)
		finish(StateFailed, "given up: "+reason)
	default:
		pause := max(backoff(w.Attempts, t.RetryMin, t.RetryMax), se.After)
		if se.Authorization {
			pause = max(pause, time.Minute)
		}
		again := *w
		again.Owner, again.LeaseUntil, again.Handed = "", time.Time{}, false
		again.NotBefore = u.now.Add(pause)
		again.LastError = clean(reason, 300)
		u.addWork(&again)
		u.setState(m, StatePending, reason)
	}
}

// putOff is how a try ended that succeeded for all but those whom the network
// put off: it is to be tried again for them. The others have it. Nil if there
// are none.
func putOff(m *Message) *channel.SendError {
	var se *channel.SendError
	for i := range m.Deliveries {
		switch del := &m.Deliveries[i]; {
		case del.State != channel.DeliveryPending:
		case del.PutOff:
			se = &channel.SendError{Outcome: channel.NotSent, Code: "put_off", Reason: "not yet accepted for " + del.Recipient + ": " + del.Detail}
		}
	}
	if se == nil {
		return nil
	}
	for i := range m.Deliveries {
		if del := &m.Deliveries[i]; del.State == channel.DeliveryPending && !del.PutOff {
			del.State = channel.DeliverySent
		}
	}
	return se
}

func anyPending(m *Message) bool {
	for _, d := range m.Deliveries {
		if d.State == channel.DeliveryPending {
			return true
		}
	}
	return len(m.Deliveries) == 0
}

// mergeDeliveries takes over what a receipt says of each recipient.
func mergeDeliveries(m *Message, ds []channel.Delivery) {
	at := map[string][]int{}
	for i, old := range m.Deliveries {
		k := addressKey(old.Recipient)
		at[k] = append(at[k], i)
	}
	for _, d := range ds {
		d.Detail = clean(d.Detail, 300)
		k := addressKey(d.Recipient)
		if len(at[k]) == 0 {
			at[k] = []int{len(m.Deliveries)}
			m.Deliveries = append(m.Deliveries, d)
			continue
		}
		for _, i := range at[k] {
			old := &m.Deliveries[i]
			if d.Detail != "" {
				old.Detail = d.Detail
			}
			if d.ExternalID != "" {
				old.ExternalID = d.ExternalID
			}
			old.PutOff = old.PutOff || d.PutOff
			old.Undeliverable = old.Undeliverable || d.Undeliverable
			if advances(old.State, d.State) {
				old.State = d.State
			}
		}
	}
}

// claimIDs makes the message known by the network's ids of it, be it that only a
// part of it left. An id that is our token needs no key.
func (u *unit) claimIDs(m *Message, r channel.Receipt, token string) {
	for _, id := range r.ExternalIDs {
		if id != "" && !strings.HasPrefix(id, token+"@") {
			u.claim(externalKey(m.Channel, id), RefMessage, string(m.ID))
		}
	}
}

// sentInto notes in the conversation what the network calls the message, so
// that later mails refer to it and answers to it find the conversation.
func (u *unit) sentInto(c *Conversation, m *Message, r channel.Receipt) {
	if len(r.ExternalIDs) > 0 {
		u.editConversation(c).References = appendReference(c.References, r.ExternalIDs[0])
	}
	if r.ThreadID != "" && c.ThreadID == "" && c.Channel == m.Channel {
		u.editConversation(c).ThreadID = r.ThreadID
		u.claim(threadKey(m.Channel, r.ThreadID), RefConversation, string(c.ID))
	}
}

// learnAddress gives the conversation's contact one more address, unless that
// is somebody else's.
func (u *unit) learnAddress(c *Conversation, scheme, address string) {
	contact := u.snap.Contacts[c.Contact]
	if address == "" || contact == nil {
		return
	}
	key := contactKey(scheme, address)
	if _, known := u.snap.Refs[key]; known {
		return
	}
	u.claim(key, RefContact, string(contact.ID))
	contact.Identities = append(contact.Identities, Identity{Scheme: scheme, Address: address})
	u.editContact(contact)
}

// outbound returns the message as channels send it.
func (d *Desk) outbound(ctx context.Context, m *Message, attempt int) (*channel.Outbound, error) {
	out := &channel.Outbound{
		ID: string(m.ID), Channel: m.Channel, ThreadID: m.ThreadID,
		From: m.From, ReplyTo: m.ReplyTo, To: m.To, Cc: m.Cc, Bcc: m.Bcc,
		Subject: m.Subject, Text: m.Text, HTML: m.HTML, Signature: m.Signature,
		Token: d.ring.mint(tokenOfMessage, string(m.ID)), References: m.References, Automatic: m.Auto, Date: m.CreatedAt, Attempt: attempt,
		How: m.How,
	}
	for _, del := range m.Deliveries {
		if del.State != channel.DeliveryPending {
			out.Taken = append(out.Taken, del.Recipient)
		}
	}
	snap, err := d.store.Snapshot(ctx, Want{Conversations: []ConversationID{m.Conversation}})
	if err != nil {
		return nil, fmt.Errorf("ticket: read conversation: %w", err)
	}
	if c := snap.Conversations[m.Conversation]; c != nil {
		out.Conversation, out.LastAct = c.Key, c.LastActAt
	}
	for _, a := range m.Attachments {
		body, err := d.body(ctx, a.Body)
		if err != nil {
			return nil, err
		}
		out.Attachments = append(out.Attachments, channel.Attachment{Name: a.Name, Type: a.Type, Size: a.Size, Inline: a.Inline, ContentID: a.ContentID, Body: body})
	}
	return out, nil
}

// body returns stored content.
func (d *Desk) body(ctx context.Context, ref BodyRef) (channel.Body, error) {
	if ref.Blob {
		if d.cfg.Blobs == nil {
			return nil, errors.New("ticket: the body is in Blobs, and Config.Blobs is not set")
		}
		return blobBody{ctx: ctx, blobs: d.cfg.Blobs, ref: ref}, nil
	}
	snap, err := d.store.Snapshot(ctx, Want{Bodies: []BodyID{ref.ID}})
	if err != nil {
		return nil, fmt.Errorf("ticket: read body: %w", err)
	}
	data, ok := snap.Bodies[ref.ID]
	if !ok {
		return nil, fmt.Errorf("body %q: %w", ref.ID, ErrNotFound)
	}
	return channel.Bytes(data), nil
}

// blobBody is content in Blobs, read for one call.
type blobBody struct {
	ctx   context.Context
	blobs Blobs
	ref   BodyRef
}

func (b blobBody) Size() int64 { return b.ref.Size }

func (b blobBody) Open() (io.ReadCloser, error) { return b.blobs.Open(b.ctx, b.ref.ID) }
