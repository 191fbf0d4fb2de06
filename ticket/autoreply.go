package ticket

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
)

type channelID = channel.ID

// autoReplyCase is what the decision on an automatic reply looks at.
type autoReplyCase struct {
	message  *Message
	ticket   *Ticket
	settings Settings
	caps     Caps
	counts   []capRule
	ours     bool   // the sender, or who answers are to go to, is an address of ours
	address  string // to answer to
	// gone is what is remembered of that address, if it is undeliverable.
	gone    *Undeliverable
	replies bool // we answered this ticket before, or it is not its first message
}

// decideAutoReply is pure: whether to answer, and why (RFC 3834).
func decideAutoReply(c autoReplyCase) (bool, trace) {
	var why trace
	m := c.message
	stop := func(rule, detail string) (bool, trace) {
		why.add(rule, "no", detail)
		return false, why
	}
	switch {
	case !c.settings.AutoReply.On:
		return stop("setting", "auto reply is off for this channel")
	case c.settings.Inactive:
		return stop("setting", "the channel is switched off")
	case m.Imported:
		return stop("imported", "the message was imported, backfilled or released")
	case m.CreatedAt.Sub(m.At) > c.caps.MaxAge:
		return stop("age", "the message was "+m.CreatedAt.Sub(m.At).Round(time.Hour).String()+" old on arrival")
	case m.Direction != In:
		return stop("direction", "the message is not a customer's")
	case m.Automatic.Is():
		return stop("automatic", string(m.Automatic.Kind)+": "+m.Automatic.Reason)
	case m.Envelope.NullPath:
		return stop("null_path", "the reverse-path is empty (RFC 3834 section 2)")
	case m.Quiet != "":
		return stop("quiet", m.Quiet)
	case c.ours:
		return stop("own_address", "the sender is an address of ours")
	case m.Unverified:
		return stop("unverified", "the sender takes no part in the conversation")
	case m.Auth.DMARC == "fail":
		return stop("dmarc", "the sender may be forged")
	case c.ticket == nil:
		return stop("ticket", "there is no ticket")
	case c.replies:
		return stop("once", "the message is not the first of its ticket")
	case !plausibleMail(c.address):
		return stop("address", "there is no address to answer to")
	}
	if c.gone != nil {
		return stop(string(WarnUndeliverable), "mail to the address came back: "+c.gone.Detail)
	}
	why.add("sender", "ok", "written by a person, as far as can be told")
	if r, yes := reached(c.counts); yes {
		return stop(r.rule, fmt.Sprintf("%d already", r.used))
	}
	why.add("caps", "ok", "")
	return true, why
}

// autoReply decides on the automatic reply to a message and, in the same
// commit as the counters, puts it in the outbox.
func (d *Desk) autoReply(ctx context.Context, w *Work) error {
	var counters []string
	var asked string // the address whose standing is read
	want := func() Want {
		wt := Want{Follow: true, Messages: []MessageID{w.Message}, Counters: counters}
		if asked != "" {
			wt.standing(asked)
		}
		return wt
	}
	_, err := d.decide(ctx, Actor{Kind: ActorSystem}, want, func(u *unit) error {
		u.done(w)
		m := u.snap.Messages[w.Message]
		if m == nil || !m.RedactedAt.IsZero() {
			return nil
		}
		v := d.view()
		t := u.snap.Tickets[m.Ticket]
		conv := u.snap.Conversations[m.Conversation]
		if conv == nil {
			return nil
		}
		c := autoReplyCase{message: m, ticket: t, settings: v.settings(m.Channel, m.Via), caps: d.cfg.Caps,
			address: v.replyAddress(m), ours: v.ours(m.From.Address)}
		for _, p := range m.ReplyTo {
			c.ours = c.ours || v.ours(p.Address)
		}
		if t != nil {
			c.counts = d.cfg.Caps.replies(m.Channel, c.address, t.ID, u.now)
			c.replies = t.MessageCount > 1 && !firstOf(m, t)
		}
		if counters == nil && len(c.counts) > 0 || asked != c.address {
			counters, asked = names(c.counts), c.address
			return errAgain // now with the counters, and what is known of the address
		}
		if un, ok := u.undeliverable(c.address); ok {
			c.gone = &un
		}
		c.counts = counted(c.counts, u.snap.Counters)
		yes, why := decideAutoReply(c)
		outcome := "no"
		if yes {
			outcome = "sent"
			reply := d.composeAutoReply(u, m, t, conv, c.settings)
			why.add("outbox", "pending", string(reply.ID))
			for _, k := range c.counts {
				u.c.Counts = append(u.c.Counts, k.count)
			}
		}
		last := why[len(why)-1]
		u.event(Event{Type: EventAutoReply, Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID,
			Data: map[string]string{"outcome": outcome, "rule": last.Rule}})
		u.explain(Decision{Kind: "auto_reply", Ticket: m.Ticket, Conversation: m.Conversation, Message: m.ID, Outcome: outcome, Steps: why})
		return nil
	})
	return err
}

// firstOf reports whether m is the message that opened t.
func firstOf(m *Message, t *Ticket) bool { return m.CreatedAt.Equal(t.CreatedAt) }

// composeAutoReply puts the automatic reply in the outbox.
func (d *Desk) composeAutoReply(u *unit, m *Message, t *Ticket, conv *Conversation, s Settings) *Message {
	v := d.view()
	fill := strings.NewReplacer(
		"{{ticket.number}}", itoa(t.Number),
		"{{customer.name}}", clean(m.From.Name, 100),
		"{{subject}}", clean(m.Subject, 200),
	)
	subject := clean(fill.Replace(s.AutoReply.Subject), d.cfg.Limits.Subject)
	if subject == "" {
		subject = clean("Auto: "+m.Subject, 120)
	}
	by, system := v.sender(conv)
	from := v.channels[by]
	out := &Message{
		ID: MessageID(newID()), Conversation: conv.ID, Ticket: t.ID, Channel: by, Direction: Out, Auto: channel.AutoReplied,
		To: []channel.Party{{Name: m.From.Name, Address: v.replyAddress(m)}}, Subject: subject, Text: fill.Replace(s.AutoReply.Body),
		References: conv.References, ThreadID: conv.ThreadID, System: system, CreatedAt: u.now, At: u.now, State: StatePending,
	}
	if from != nil {
		out.From = channel.Party{Name: from.info.Name, Address: from.info.Address}
	}
	out.Search = searchText(out, d.cfg.Limits.Search)
	u.enqueue(out)
	conv.MessageCount++
	u.editConversation(conv)
	u.editTicket(t).MessageCount++
	return out
}
