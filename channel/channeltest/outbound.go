package channeltest

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/anteroom/anteroom/channel"
)

// Fault is how one send goes wrong. The zero value is no fault, so that a
// script can let a send pass.
type Fault struct {
	// Err is what Send returns, a *channel.SendError as a rule. Nothing
	// arrives, unless Arrives.
	Err error
	// Early makes the fault happen before Handed is called.
	Early bool
	// Arrives lets the message arrive all the same: accepted, and the answer
	// lost. It has no effect with Early.
	Arrives bool
	// Panic makes Send panic.
	Panic bool
	// Hang makes Send block until its context ends; it then returns Err, or
	// else an outcome that fits: not sent if Early, unknown otherwise.
	Hang bool
	// Refused are recipients that the network refuses for good, Deferred those
	// that it does not take now. The others get the message; with Deferred the
	// send ends as not sent, its receipt naming who got it.
	Refused, Deferred []string
}

// Fail sets what happens to the next sends of the box, one fault each, after
// those already set.
func (n *Network) Fail(address string, faults ...Fault) {
	n.at(address, func(b *box) { b.faults = append(b.faults, faults...) })
}

// FailDo sets the errors of the next calls of Do of the box; nil lets one pass.
func (n *Network) FailDo(address string, errs ...error) {
	n.at(address, func(b *box) { b.actions = append(b.actions, errs...) })
}

// FailInterpret sets the errors of the next calls of Interpret of the box.
func (n *Network) FailInterpret(address string, errs ...error) {
	n.at(address, func(b *box) { b.readings = append(b.readings, errs...) })
}

// AnswerFind sets what the next calls of Find of the box answer, whatever was
// sent.
func (n *Network) AnswerFind(address string, answers ...channel.Found) {
	n.at(address, func(b *box) { b.answers = append(b.answers, answers...) })
}

// SetFindings sets what Check of the box returns; none means that all is well.
func (n *Network) SetFindings(address string, findings ...channel.Finding) {
	n.at(address, func(b *box) { b.findings = slices.Clone(findings) })
}

// Sent returns what arrived from the box, oldest first.
func (n *Network) Sent(address string) []Sent {
	var sent []Sent
	n.at(address, func(b *box) { sent = slices.Clone(b.sent) })
	return sent
}

// WaitSent blocks until at least count messages arrived from the box and
// returns them all.
func (n *Network) WaitSent(ctx context.Context, address string, count int) ([]Sent, error) {
	err := n.wait(ctx, func() bool { b := n.boxes[address]; return b != nil && len(b.sent) >= count })
	sent := n.Sent(address)
	if err != nil {
		return sent, fmt.Errorf("channeltest: wait for %d messages from %s, %d came: %w", count, address, len(sent), err)
	}
	return sent, nil
}

// Done returns the actions of the box that succeeded, oldest first.
func (n *Network) Done(address string) []channel.Action {
	var done []channel.Action
	n.at(address, func(b *box) { done = slices.Clone(b.done) })
	return done
}

type sends struct{ m *memory }

// Send implements [channel.Sender].
func (s sends) Send(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
	if err := ctx.Err(); err != nil {
		return channel.Receipt{}, &channel.SendError{Outcome: channel.NotSent, Code: "cancelled", Reason: "cancelled before it was sent", Err: err}
	}
	if limit := s.m.conf.MaxText; limit > 0 && utf8.RuneCountInString(out.Text) > limit {
		return channel.Receipt{}, &channel.SendError{Outcome: channel.Rejected, Code: "too_long", Reason: fmt.Sprintf("the text is longer than %d characters", limit)}
	}
	recipients := s.recipients(out)
	if len(recipients) == 0 {
		return channel.Receipt{}, &channel.SendError{Outcome: channel.Rejected, Code: "no_recipient", Reason: "there is nobody to send it to"}
	}
	var f Fault
	s.m.network.at(s.m.conf.Address, func(b *box) {
		if len(b.faults) > 0 {
			f, b.faults = b.faults[0], b.faults[1:]
		}
	})
	if f.Early {
		if err := f.happen(ctx, channel.NotSent); err != nil {
			return channel.Receipt{}, err
		}
	}
	if out.Refused != nil {
		for _, d := range deliveries(recipients, f) {
			if d.State != channel.DeliverySent {
				d.PutOff = d.State == channel.DeliveryPending
				out.Refused(d)
			}
		}
	}
	if out.Handed != nil {
		if err := out.Handed(ctx); err != nil {
			return channel.Receipt{}, &channel.SendError{Outcome: channel.NotSent, Code: "not_handed", Reason: "the message was withheld", Err: err}
		}
	}
	if f.Early {
		return s.arrive(out, recipients, Fault{}), nil
	}
	if f.Arrives {
		s.arrive(out, recipients, f)
	}
	if err := f.happen(ctx, channel.Unknown); err != nil {
		return channel.Receipt{}, err
	}
	receipt := s.arrive(out, recipients, f)
	if len(f.Deferred) > 0 {
		return receipt, &channel.SendError{Outcome: channel.NotSent, Code: "deferred", Reason: "some recipients are not taken now"}
	}
	return receipt, nil
}

// happen lets the fault happen; nil means that the send goes on.
func (f Fault) happen(ctx context.Context, hung channel.Outcome) error {
	if f.Panic {
		panic("channeltest: a fault that was asked for")
	}
	if f.Hang {
		<-ctx.Done()
		if f.Err == nil {
			return &channel.SendError{Outcome: hung, Code: "timeout", Reason: "the network did not answer", Err: ctx.Err()}
		}
	}
	return f.Err
}

// arrive gives the message to those who get it and returns the receipt.
func (s sends) arrive(out *channel.Outbound, recipients []string, f Fault) channel.Receipt {
	m := s.m
	sent := Sent{Box: m.conf.Address, Out: *out, mail: m.conf.Mail}
	sent.Out.To, sent.Out.Cc, sent.Out.Bcc = slices.Clone(out.To), slices.Clone(out.Cc), slices.Clone(out.Bcc)
	sent.Out.References, sent.Out.Attachments = slices.Clone(out.References), slices.Clone(out.Attachments)
	sent.Out.Handed, sent.Out.Refused = nil, nil
	r := channel.Receipt{Deliveries: deliveries(recipients, f)}
	for _, d := range r.Deliveries {
		if d.State == channel.DeliverySent {
			sent.Recipients = append(sent.Recipients, d.Recipient)
		}
	}
	m.network.at(m.conf.Address, func(b *box) {
		if len(sent.Recipients) == 0 {
			return
		}
		m.network.nextID++
		sent.ExternalID = fmt.Sprintf("s%d", m.network.nextID)
		if m.conf.Mail {
			sent.ExternalID = m.messageID(out)
		}
		b.sent = append(b.sent, sent)
		r.ExternalIDs = []string{sent.ExternalID}
	})
	return r
}

// deliveries is what becomes of each recipient.
func deliveries(recipients []string, f Fault) []channel.Delivery {
	var out []channel.Delivery
	for _, to := range recipients {
		d := channel.Delivery{Recipient: to, State: channel.DeliverySent}
		if contains(f.Refused, to) {
			d.State, d.Detail, d.Undeliverable = channel.DeliveryFailed, "no such customer", true
		} else if contains(f.Deferred, to) {
			d.State, d.Detail = channel.DeliveryPending, "not now"
		}
		out = append(out, d)
	}
	return out
}

// messageID is the same for each try to send a message, as for mail.
func (m *memory) messageID(out *channel.Outbound) string {
	left := out.Token
	if left == "" {
		left = out.ID
	}
	_, domain, _ := strings.Cut(m.conf.Address, "@")
	return left + "@" + domain
}

// recipients returns who is to get the message and has not got it yet.
func (s sends) recipients(out *channel.Outbound) []string {
	named := slices.Concat(out.To, out.Cc, out.Bcc)
	if !s.m.conf.Mail && len(named) == 0 && out.Conversation != "" {
		named = []channel.Party{{Address: out.Conversation}}
	}
	var all []string
	for _, p := range named {
		if !contains(all, p.Address) && !contains(out.Taken, p.Address) {
			all = append(all, p.Address)
		}
	}
	return all
}

func contains(addresses []string, a string) bool {
	return slices.ContainsFunc(addresses, func(b string) bool { return strings.EqualFold(a, b) })
}

// Find implements [channel.Finder]: it looks among what arrived, by the
// engine's id of the message.
func (s sends) Find(ctx context.Context, out *channel.Outbound) (channel.Receipt, channel.Found, error) {
	if err := ctx.Err(); err != nil {
		return channel.Receipt{}, channel.FoundUnknown, err
	}
	var r channel.Receipt
	found := channel.FoundNo
	s.m.network.at(s.m.conf.Address, func(b *box) {
		if len(b.answers) > 0 {
			found, b.answers = b.answers[0], b.answers[1:]
			if found != channel.FoundYes {
				return
			}
		}
		for _, sent := range b.sent {
			if sent.Out.ID != out.ID {
				continue
			}
			found = channel.FoundYes
			if !slices.Contains(r.ExternalIDs, sent.ExternalID) {
				r.ExternalIDs = append(r.ExternalIDs, sent.ExternalID)
			}
			for _, to := range sent.Recipients {
				r.Deliveries = append(r.Deliveries, channel.Delivery{Recipient: to, State: channel.DeliverySent})
			}
		}
	})
	return r, found, nil
}
