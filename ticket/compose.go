package ticket

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
)

// Opening is a conversation that we start: writing first.
type Opening struct {
	Channel channel.ID
	By      routing.AgentID
	To      []channel.Party // at least one
	Cc, Bcc []channel.Party
	Subject string // required for mail that is sent
	Text    string
	HTML    string
	// Send sends the message; without it only the conversation and its ticket
	// are made.
	Send        bool
	Attachments []channel.Attachment
	SendAt      time.Time
	Undo        *time.Duration
}

// Opened is what Start made. Message is nil if nothing was sent.
type Opened struct {
	Conversation *Conversation
	Ticket       *Ticket
	Message      *Message
}

// Start writes first: it makes a conversation and a ticket that belongs to the
// agent, and sends the message if asked to.
//
// Errors: ErrNotFound, ErrReceiveOnly, ErrInactive, ErrNotAble when the channel
// may not write first, *channel.FieldError.
func (d *Desk) Start(ctx context.Context, o Opening) (*Opened, error) {
	v := d.view()
	cv := v.channels[o.Channel]
	switch {
	case cv == nil:
		return nil, badField("channel", "there is no channel %q", o.Channel)
	case !cv.sends:
		return nil, fmt.Errorf("channel %q: %w", o.Channel, ErrReceiveOnly)
	case cv.settings.Inactive:
		return nil, fmt.Errorf("channel %q: %w", o.Channel, ErrInactive)
	case !cv.info.CanStart || cv.settings.NoWriteFirst:
		return nil, fmt.Errorf("write first on channel %q: %w", o.Channel, ErrNotAble)
	case len(o.To) == 0:
		return nil, badField("to", "must name at least one recipient")
	}
	draft := Draft{By: o.By, Text: o.Text, HTML: o.HTML, To: o.To, Cc: o.Cc, Bcc: o.Bcc, Subject: o.Subject,
		Attachments: o.Attachments, SendAt: o.SendAt, Undo: o.Undo}
	if !o.Send {
		draft.Text = "-" // nothing is sent, so nothing need be written
	}
	if err := d.checkDraft(draft); err != nil {
		return nil, err
	}
	if o.Send && cv.info.Mail && strings.TrimSpace(o.Subject) == "" {
		return nil, badField("subject", "must not be empty when the first mail is sent")
	}
	if err := checkParties(cv.info, "to", o.To, "cc", o.Cc, "bcc", o.Bcc); err != nil {
		return nil, err
	}
	files, bodies, err := d.keepFiles(ctx, o.Attachments)
	if err != nil {
		return nil, err
	}
	scheme := v.scheme(o.Channel)
	key := contactKey(scheme, o.To[0].Address)
	out := &Opened{}
	_, err = d.decide(ctx, Agent(o.By), func() Want {
		w := Want{Keys: []Key{key}, Follow: true}
		if o.Send && cv.info.Mail {
			w.standing(addressesOf(o.To, o.Cc, o.Bcc)...)
		}
		return w
	}, func(u *unit) error {
		contact := u.contact(scheme, o.To[0])
		c := &Conversation{ID: ConversationID(newID()), Channel: o.Channel, Contact: contact.ID, Subject: strings.TrimSpace(o.Subject), CreatedAt: u.now}
		for _, p := range uniqueParties(o.To, o.Cc, o.Bcc) {
			c.Participants = append(c.Participants, Participant{Party: p})
		}
		t := &Ticket{
			ID: TicketID(newID()), Subject: c.Subject, Status: Pending, Priority: Normal, Channel: o.Channel, Conversation: c.ID,
			Conversations: []ConversationID{c.ID}, Contact: contact.ID, CreatedAt: u.now,
			Assignment: Assignment{Queue: cv.settings.Queue, Assignee: o.By},
		}
		c.Ticket = t.ID
		u.editConversation(c)
		u.editTicket(t)
		u.event(Event{Type: EventConversation, Conversation: c.ID, Channel: o.Channel})
		u.event(Event{Type: EventTicketCreated, Ticket: t.ID, Conversation: c.ID, Channel: o.Channel, Agent: o.By})
		out.Conversation, out.Ticket, out.Message = c, t, nil
		if !o.Send {
			return nil
		}
		m, err := d.composeReply(u, c, t, nil, draft, files)
		if err != nil {
			return err
		}
		u.c.Bodies = append(u.c.Bodies, bodies...)
		out.Message = m
		return nil
	})
	if err != nil || !o.Send {
		d.dropFiles(ctx, files, err)
	}
	if err != nil {
		return nil, err
	}
	return out, nil
}

// stillPending returns the message and its work if the message can be taken
// back: it is pending, or a try of it ended, unnoticed, before the point of no
// return. Else it returns ErrTooLate.
func (u *unit) stillPending(id MessageID) (*Message, *Work, error) {
	m := u.snap.Messages[id]
	if m == nil || m.Direction != Out {
		return nil, nil, fmt.Errorf("message %q: %w", id, ErrNotFound)
	}
	w := u.snap.Works[sendWorkID(id)]
	switch {
	case w == nil:
	case m.State == StatePending && !w.Handed:
		return m, w, nil
	case m.State == StateSending && !w.Handed && !u.now.Before(w.LeaseUntil):
		return m, w, nil
	}
	return m, w, ErrTooLate
}

func wantOutgoing(id MessageID) func() Want {
	return func() Want {
		return Want{Messages: []MessageID{id}, Works: []WorkID{sendWorkID(id), copyWorkID(id)}}
	}
}

// partlySent reports whether some recipients have the message already, while
// others are still tried: it cannot be taken back, nor be given another text.
func partlySent(m *Message) bool {
	for _, d := range m.Deliveries {
		if d.State != channel.DeliveryPending && d.State != channel.DeliveryFailed {
			return true
		}
	}
	return false
}

// Cancelled is the answer to Cancel: either the message will never be sent, or
// it was too late, and State says how far it is.
type Cancelled struct {
	Cancelled bool
	State     OutState
}

// Cancel takes back a pending message; one that some recipients have already
// cannot be. There is exactly one answer, for every
// interleaving with the sender, over restarts and nodes. Cancelled stays so; too
// late may not, when the try under way then ends without having sent anything. Error: ErrNotFound.
func (d *Desk) Cancel(ctx context.Context, by Actor, id MessageID) (Cancelled, error) {
	var out Cancelled
	_, err := d.decide(ctx, by, wantOutgoing(id), func(u *unit) error {
		m, w, err := u.stillPending(id)
		if m == nil {
			return err
		}
		if err != nil || partlySent(m) {
			out = Cancelled{Cancelled: m.State == StateCancelled, State: m.State}
			return errNothing
		}
		u.done(w)
		m.Work = ""
		u.setState(m, StateCancelled, "")
		out = Cancelled{Cancelled: true, State: StateCancelled}
		return nil
	})
	return out, err
}

// Edit changes a pending message; nil fields stay.
type Edit struct {
	Text, HTML, Subject *string
	SendAt              *time.Time // in the past: now
}

// Edit changes a message while it is pending. Errors: ErrTooLate, ErrNotFound,
// *channel.FieldError.
func (d *Desk) Edit(ctx context.Context, by Actor, id MessageID, e Edit) (*Message, error) {
	if err := d.checkContent(e.Text, e.HTML, e.Subject); err != nil {
		return nil, err
	}
	if e.SendAt != nil && e.SendAt.Sub(d.now()) > 366*24*time.Hour {
		return nil, badField("send_at", "must be within a year")
	}
	var out *Message
	_, err := d.decide(ctx, by, wantOutgoing(id), func(u *unit) error {
		m, w, err := u.stillPending(id)
		if err != nil {
			return err
		}
		if partlySent(m) && (e.Text != nil || e.HTML != nil || e.Subject != nil) || !m.RedactedAt.IsZero() {
			return ErrTooLate
		}
		set := func(p *string, v *string) {
			if v != nil {
				*p = *v
			}
		}
		u.editMessage(m)
		set(&m.Text, e.Text)
		set(&m.HTML, e.HTML)
		set(&m.Subject, e.Subject)
		if strings.TrimSpace(m.Text) == "" && strings.TrimSpace(m.HTML) == "" && len(m.Attachments) == 0 {
			return badField("text", "must not be empty")
		}
		if e.Subject != nil && strings.TrimSpace(*e.Subject) == "" && d.mail(m.Channel) {
			return badField("subject", "must not be empty")
		}
		if e.SendAt != nil {
			m.NotBefore = e.SendAt.UTC().Truncate(time.Microsecond)
			if m.NotBefore.Before(u.now) {
				m.NotBefore = u.now
			}
		}
		u.setState(m, StatePending, m.StateDetail)
		m.Search = searchText(m, d.cfg.Limits.Search)
		// Writing the work anew takes it from whoever may have claimed it.
		w.NotBefore, w.Owner, w.LeaseUntil = m.NotBefore, "", time.Time{}
		u.addWork(w)
		u.event(Event{Type: EventMessageEdited, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID, Channel: m.Channel})
		out = m
		return nil
	})
	return out, err
}

func (d *Desk) mail(ch channel.ID) bool {
	c := d.view().channels[ch]
	return c != nil && c.info.Mail
}

// SendNow ends the undo window of a pending message. Errors: ErrTooLate,
// ErrNotFound.
func (d *Desk) SendNow(ctx context.Context, by Actor, id MessageID) (*Message, error) {
	var past time.Time
	return d.Edit(ctx, by, id, Edit{SendAt: &past})
}

// Resolution is what a person says of an uncertain message.
type Resolution string

// Resolutions.
const (
	AsSent   Resolution = "sent"
	AsFailed Resolution = "failed"
	AsResend Resolution = "resend" // send it again, knowing that it may arrive twice
)

// Resolve settles an uncertain message. Errors: ErrState when it is not
// uncertain, ErrNotFound, *channel.FieldError.
func (d *Desk) Resolve(ctx context.Context, by Actor, id MessageID, as Resolution) (*Message, error) {
	switch as {
	case AsSent, AsFailed, AsResend:
	default:
		return nil, badField("as", "must be %q, %q or %q", AsSent, AsFailed, AsResend)
	}
	var out *Message
	_, err := d.decide(ctx, by, wantOutgoing(id), func(u *unit) error {
		m := u.snap.Messages[id]
		if m == nil {
			return fmt.Errorf("message %q: %w", id, ErrNotFound)
		}
		if m.State != StateUncertain || as == AsResend && !m.RedactedAt.IsZero() {
			return fmt.Errorf("message %q is %s: %w", id, m.State, ErrState)
		}
		out = m
		switch as {
		case AsSent:
			m.SentAt = u.now
			if se := putOff(m); se != nil {
				// Not to these, as is known; they are tried again.
				u.setState(m, StatePending, se.Reason)
				m.NotBefore, m.FirstTryAt, m.TriedAt, m.Held = u.now, time.Time{}, time.Time{}, 0
				u.addSend(m)
				return nil //nolint:nilerr // it says whom the network put off
			}
			u.advancePending(m, channel.DeliverySent)
			u.setState(m, StateSent, "a person says that it was sent")
			u.copyLater(m, d.copyPause(m))
		case AsFailed:
			u.advancePending(m, channel.DeliveryFailed)
			u.setState(m, StateFailed, "a person says that it was not sent")
		case AsResend:
			u.setState(m, StatePending, "")
			m.NotBefore, m.FirstTryAt, m.TriedAt, m.Held = u.now, time.Time{}, time.Time{}, 0
			u.addSend(m)
		}
		return nil
	})
	return out, err
}

// advancePending moves the deliveries that are pending.
func (u *unit) advancePending(m *Message, to channel.DeliveryState) {
	for i := range m.Deliveries {
		if m.Deliveries[i].State == channel.DeliveryPending {
			m.Deliveries[i].State, m.Deliveries[i].PutOff = to, false
		}
	}
}
