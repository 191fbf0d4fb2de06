package hosted

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// delivery is one message on its way from the spool to the sinks.
type delivery struct {
	session *session
	tx      *transaction
	id      string
	spool   spool
}

func newDelivery(s *session, tx *transaction) *delivery {
	var id [10]byte
	rand.Read(id[:])
	server := s.run.server
	d := &delivery{
		session: s, tx: tx, id: hex.EncodeToString(id[:]),
		spool: spool{
			dir: server.SpoolDir, limits: s.run.limits,
			used: &server.spooled, strict: server.RefuseBareNewlines,
		},
	}
	d.spool.keep = d.keep
	return d
}

// keep has the first sink that can keep the message while it arrives. The others
// read it there.
func (d *delivery) keep() (channel.KeptBody, error) {
	for _, r := range d.tx.rcpts {
		if k, ok := d.session.run.server.sinkOf(r.target).(channel.BodyKeeper); ok {
			return k.KeepBody(d.session.run.work)
		}
	}
	return nil, errors.ErrUnsupported
}

// close gives the spool back. No sink may read the message any more.
func (d *delivery) close() {
	d.spool.close()
	d.session.run.deliveries.Done()
}

// parcel is what goes to one channel, however many recipients led there.
type parcel struct {
	portal  string
	box     *box
	sink    channel.Sink
	context email.Context
	rcpts   []int
}

// deliver has the message committed and returns an answer for each recipient,
// nil for taken. Each says by itself that it takes its channel, or those of one
// sink are committed in one call.
func (d *delivery) deliver(each bool) []*smtp.SMTPError {
	ctx, cancel := context.WithTimeout(d.session.run.work, d.session.run.limits.Commit)
	defer cancel()
	status := make([]*smtp.SMTPError, len(d.tx.rcpts))
	set := func(rcpts []int, s *smtp.SMTPError) {
		for _, i := range rcpts {
			status[i] = s
		}
	}
	fail := func(s *smtp.SMTPError) []*smtp.SMTPError {
		for i := range status {
			status[i] = s
		}
		return status
	}
	server := d.session.run.server
	parsing, err := server.parsing.take(ctx, network(d.session.remote), d.spool.Size())
	if err != nil {
		d.log(slog.LevelWarn, "hosted: too many large messages at a time", "error", err)
		return fail(replyTryLater())
	}
	defer server.parsing.give(parsing)
	mail, err := email.Read(d.spool.body())
	if err != nil {
		d.log(slog.LevelWarn, "hosted: message could not be read back", "error", err)
		return fail(replyTryLater())
	}
	if mail.Received >= d.session.run.limits.Received {
		d.log(slog.LevelInfo, "hosted: mail loop refused")
		return fail(replyLoop())
	}
	var open []*parcel
	for _, p := range d.parcels(mail) {
		if p.sink = d.session.run.server.sinkOf(target{reg: d.tx.rcpts[p.rcpts[0]].target.reg}); p.sink == nil {
			set(p.rcpts, replyInactive())
			continue
		}
		open = append(open, p)
	}
	for len(open) > 0 {
		group := open[:1:1]
		var rest []*parcel
		for _, p := range open[1:] {
			if !each && p.portal == group[0].portal && same(p.sink, group[0].sink) {
				group = append(group, p)
			} else {
				rest = append(rest, p)
			}
		}
		open = rest
		answer := replyTo(d.commit(mail, group))
		for _, p := range group {
			set(p.rcpts, answer)
			if answer == nil {
				d.session.run.server.seen(p.box)
			}
		}
	}
	return status
}

// parcels finds the channel of each recipient. Where several lead to one, the
// envelope goes before the headers, and an address with a tag before one
// without, since the tag may be a token.
func (d *delivery) parcels(mail *email.Mail) []*parcel {
	var out []*parcel
	for i, r := range d.tx.rcpts {
		box, forward := r.target.box, r.target.forward
		inferred := false
		if forward == nil {
			forward = box.pairing(mail, d.tx.envelope)
			inferred = forward != nil
		}
		ctx := email.Context{
			Channel: box.account.id, ViaInferred: inferred,
			Envelope: d.tx.envelope, Own: box.own(forward), At: d.session.run.server.now(),
		}
		ctx.Envelope.To = r.given
		if forward != nil {
			ctx.Channel, ctx.Via = forward.Channel, box.account.id
		}
		p := &parcel{portal: box.account.portal, box: box, context: ctx, rcpts: []int{i}}
		merged := false
		for _, q := range out {
			if q.portal != p.portal || q.context.Channel != ctx.Channel {
				continue
			}
			merged = true
			if better(ctx, q.context) {
				q.box, q.context = p.box, ctx
				q.rcpts = append([]int{i}, q.rcpts...)
			} else {
				q.rcpts = append(q.rcpts, i)
			}
			break
		}
		if !merged {
			out = append(out, p)
		}
	}
	return out
}

func better(a, b email.Context) bool {
	if a.ViaInferred != b.ViaInferred {
		return b.ViaInferred
	}
	return strings.Contains(a.Envelope.To, "+") && !strings.Contains(b.Envelope.To, "+")
}

// commit has the parcels of one sink accepted together.
func (d *delivery) commit(mail *email.Mail, group []*parcel) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("hosted: sink panicked: %s", panicText(p))
		}
		if err != nil {
			d.log(slog.LevelWarn, "hosted: message not accepted", "portal", group[0].portal, "error", err)
		}
	}()
	items := make([]*channel.Item, len(group))
	for i, p := range group {
		items[i] = email.Item(d.spool.body(), mail, p.context)
	}
	ctx, cancel := context.WithTimeout(d.session.run.work, d.session.run.limits.Commit)
	defer cancel()
	if err := group[0].sink.Accept(ctx, items...); err != nil {
		return err
	}
	d.session.run.server.log().LogAttrs(ctx, slog.LevelDebug, "hosted: message accepted",
		slog.String("id", d.id), slog.String("portal", group[0].portal),
		slog.Int64("bytes", d.spool.Size()), slog.Int("items", len(items)))
	return nil
}

func (d *delivery) log(level slog.Level, text string, args ...any) {
	args = append(args, "id", d.id, "remote", d.tx.envelope.RemoteIP, "bytes", d.spool.Size())
	d.session.run.server.log().Log(d.session.run.work, level, text, args...) //nolint:sloglint // the texts are constants of this file
}

// same reports whether two sinks are one. Sinks that cannot be compared, such as
// funcs, never are.
func same(a, b channel.Sink) bool {
	return reflect.ValueOf(a).Comparable() && reflect.ValueOf(b).Comparable() && a == b
}
