package account

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// outgoing is how one kind of sender wants its mails made.
type outgoing struct {
	from     string // envelope sender; empty is the null reverse-path
	compose  email.ComposeOptions
	reports  Reports
	outbound *channel.Outbound
}

// mailer sends mails through one server; accounts and relays share it.
type mailer struct {
	link  link
	login login
	// report is told how the server is: an error, or nil once it let us in.
	report func(*failure)
}

// open connects and logs in.
func (m mailer) open(ctx context.Context) (*session, *failure) {
	s, f := m.link.open(ctx)
	if f != nil {
		return nil, f
	}
	if f := s.authenticate(m.login); f != nil {
		s.close()
		return nil, f
	}
	return s, nil
}

// send sends one mail.
func (m mailer) send(ctx context.Context, o outgoing) (channel.Receipt, error) {
	to, sub, messageID, err := prepare(o)
	if err != nil {
		return channel.Receipt{}, err
	}
	if len(to) == 0 {
		return channel.Receipt{ExternalIDs: []string{messageID}, Detail: "every recipient has it already"}, nil
	}
	s, f := m.open(ctx)
	if f != nil {
		m.report(f)
		return channel.Receipt{}, f.sendError()
	}
	m.report(nil)
	res, f := s.submit(sub)
	if f != nil {
		if f.reply != nil || f.rejected {
			s.quit()
		} else {
			s.close()
		}
		if f.authorization {
			m.report(f)
		}
		return receiptOfFailure(to, res, f, messageID), f.sendError()
	}
	s.quit()
	return receiptOfSuccess(to, res, messageID)
}

// prepare composes the mail once, to learn whether it can be sent at all and
// what the server must be told beforehand. The bytes are not kept: composing
// again gives the same ones, and a mail may be large.
func prepare(o outgoing) ([]recipient, submission, string, error) {
	to, err := recipientsOf(o.outbound)
	if err != nil {
		return nil, submission{}, "", unsendable(err)
	}
	from := o.from
	if from != "" {
		if from, err = wireAddress(from); err != nil {
			return nil, submission{}, "", unsendable(channel.BadField("from", "%q %s", oneLine(o.from, nil), err))
		}
	}
	look := newSurvey()
	messageID, err := email.Compose(look, o.outbound, o.compose)
	if err != nil {
		return nil, submission{}, "", unsendable(err)
	}
	_ = look.finish()
	sub := submission{
		from: from, size: look.written, eightBit: look.bodyUTF8, utf8: look.headerUTF8 || !isASCII(from),
		dsn:    o.outbound.Automatic == channel.ByPerson,
		notify: notifyOf(o.reports),
		envid:  envelopeID(o.outbound),
		handed: o.outbound.Handed,
		write: func(w io.Writer) error {
			_, err := email.Compose(w, o.outbound, o.compose)
			return err
		},
	}
	if tell := o.outbound.Refused; tell != nil {
		sub.refused = func(res result) {
			for _, d := range refusals(to, res) {
				d.PutOff = d.State == channel.DeliveryPending
				tell(d)
			}
		}
	}
	for _, r := range to {
		sub.to = append(sub.to, r.wire)
		sub.utf8 = sub.utf8 || !isASCII(r.wire)
	}
	return to, sub, messageID, nil
}

// envelopeID names the message in delivery reports; RFC 3461 section 4.4 allows
// 100 characters.
func envelopeID(out *channel.Outbound) string {
	id := out.Token
	if id == "" {
		id = out.ID
	}
	if len(xtext(id)) > 100 {
		return ""
	}
	return id
}

// unsendable classifies an error from before the network: a bad value stays
// bad, anything else (an attachment that cannot be read now) may pass.
func unsendable(err error) error {
	if field, ok := errors.AsType[*channel.FieldError](err); ok {
		return &channel.SendError{
			Outcome: channel.Rejected, Code: "invalid", Reason: oneLine(field.Error(), nil), Err: field,
		}
	}
	return &channel.SendError{
		Outcome: channel.NotSent, Code: "content", Reason: "the mail could not be composed",
		Err: fmt.Errorf("account: compose: %w", err),
	}
}

// refusals returns the deliveries that the server decided before the content.
func refusals(to []recipient, res result) []channel.Delivery {
	var out []channel.Delivery
	for i, r := range to {
		switch res.verdicts[i] {
		case denied:
			out = append(out, channel.Delivery{
				Recipient: r.address, State: channel.DeliveryFailed, Detail: res.details[i], Undeliverable: res.gone[i],
			})
		case postponed:
			out = append(out, channel.Delivery{Recipient: r.address, State: channel.DeliveryPending, Detail: res.details[i]})
		}
	}
	return out
}

// receiptOfFailure says what is known about each recipient although the message
// was not taken. Of those whose mail may have left nothing is known.
func receiptOfFailure(to []recipient, res result, f *failure, messageID string) channel.Receipt {
	rec := channel.Receipt{Detail: f.text}
	switch f.outcome() {
	case channel.Rejected:
		for i, r := range to {
			d := channel.Delivery{Recipient: r.address, State: channel.DeliveryFailed, Detail: f.text}
			if res.verdicts[i] == denied {
				d.Detail, d.Undeliverable = res.details[i], res.gone[i]
			}
			rec.Deliveries = append(rec.Deliveries, d)
		}
		return rec
	case channel.Unknown:
		rec.ExternalIDs = []string{messageID}
	}
	rec.Deliveries = refusals(to, res)
	return rec
}

// receiptOfSuccess lists every recipient. Where some were only put off, the
// error makes the engine try again for those.
func receiptOfSuccess(to []recipient, res result, messageID string) (channel.Receipt, error) {
	rec := channel.Receipt{ExternalIDs: []string{messageID}, Detail: res.text, Deliveries: refusals(to, res)}
	var later *channel.SendError
	for i, r := range to {
		switch res.verdicts[i] {
		case accepted:
			rec.Deliveries = append(rec.Deliveries, channel.Delivery{
				Recipient: r.address, State: channel.DeliverySent, Detail: res.text,
			})
		case postponed:
			if later == nil {
				later = &channel.SendError{
					Outcome: channel.NotSent, Code: res.codes[i],
					Reason: oneLine("not yet accepted for "+r.address+": "+res.details[i], nil),
				}
			}
		}
	}
	if later != nil {
		return rec, later
	}
	return rec, nil
}
