package ticket

import (
	"context"
	"fmt"
	"slices"

	"github.com/anteroom/anteroom/channel"
)

// Check diagnoses a channel: what it finds itself, and what the desk finds in
// its settings. It may take as long as the channel's own time limits. Error:
// ErrNotFound.
//
// A channel that sends and in which nothing is wrong so far sends a probe to its
// own address if that is to come in again, directly (Info.SelfAddressed) or through
// the mailbox to which it is forwarded. Check waits for it for Timing.Probe;
// a later Check tells whether it has come. The findings' codes are
//
//	probe, forward                        it came in directly, or through the forwarding
//	probe_pending, forward_pending        it has not come in yet
//	probe_not_found, forward_not_working  none has come in for ten minutes
//	probe_not_sent                        it could not be sent
func (d *Desk) Check(ctx context.Context, id channel.ID) ([]channel.Finding, error) {
	return d.check(ctx, id, true)
}

// CheckConnection is Check without the probe: nothing is sent. It suits a look
// that nobody asked for.
func (d *Desk) CheckConnection(ctx context.Context, id channel.ID) ([]channel.Finding, error) {
	return d.check(ctx, id, false)
}

func (d *Desk) check(ctx context.Context, id channel.ID, probe bool) ([]channel.Finding, error) {
	c, err := d.Channel(ctx, id)
	if err != nil {
		return nil, err
	}
	d.mu.Lock()
	o := d.channels[id]
	d.mu.Unlock()
	if o == nil {
		return nil, fmt.Errorf("channel %q: %w", id, ErrNotFound)
	}
	var out []channel.Finding
	if o.openErr != nil {
		out = append(out, channel.Finding{Code: "open", Severity: channel.SeverityError, Text: o.openErr.Error(), Fix: "Correct the channel's configuration."})
	}
	if ck, ok := o.ch.(channel.Checker); ok {
		out = append(out, ck.Check(ctx)...)
	}
	if s, ok := o.ch.(channel.Sender); ok && probe && !slices.ContainsFunc(out, func(f channel.Finding) bool { return f.Severity == channel.SeverityError }) {
		probed, err := d.checkProbe(ctx, c, s)
		if err != nil {
			return nil, err
		}
		out = append(out, probed...)
	}
	out = append(out, d.checkDesk(c)...)
	notices, _, err := d.store.Items(ctx, ItemFilter{Channel: id, Disposition: DisposedNotice}, Page{Limit: 10})
	if err != nil {
		return nil, fmt.Errorf("ticket: read notices: %w", err)
	}
	proved := d.lastProof(ctx, id)
	for _, n := range notices {
		if n.Finding.Code == channel.CodeForwardingConfirmation && n.ReceivedAt.Before(proved) {
			continue // it was confirmed, or need not be
		}
		out = append(out, n.Finding)
	}
	if len(out) == 0 {
		out = append(out, channel.Finding{Code: "ok", Severity: channel.SeverityOK, Text: "Nothing wrong was found."})
	}
	return out, nil
}

// checkDesk finds what is wrong with a channel's settings.
func (d *Desk) checkDesk(c *Channel) []channel.Finding {
	var out []channel.Finding
	warn := func(code, text, fix string) {
		out = append(out, channel.Finding{Code: code, Severity: channel.SeverityWarning, Text: text, Fix: fix})
	}
	s := c.Settings
	v := d.view()
	if s.Inactive {
		warn("inactive", "The channel is switched off.", "Switch it on.")
	}
	if q, ok := v.queues[s.Queue]; c.CanReceive && c.ReceivesVia == "" {
		switch {
		case s.Queue == "":
			warn("no_queue", "The channel has no queue, so its tickets are given to nobody.", "Choose a queue.")
		case !ok:
			warn("no_queue", fmt.Sprintf("There is no queue %q.", s.Queue), "Choose another queue.")
		case len(q.Agents) == 0:
			warn("queue_empty", fmt.Sprintf("Queue %q has no agents.", s.Queue), "Add agents to it.")
		}
	}
	if d.cfg.System == nil {
		if s.AutoReply.On && !c.CanSend {
			warn("no_relay", "Auto replies of this mailbox are kept pending: there is no system sender.", "Configure a relay (Config.System).")
		}
		if s.NotifyAgent {
			warn("no_relay", "Agents are not notified by email: there is no system sender.", "Configure a relay (Config.System).")
		}
	}
	if c.ReceivesVia != "" && c.ForwardAddress == "" {
		warn("pair_broken", "The hosted mailbox that this account forwards to is gone.", "Choose another hosted mailbox.")
	}
	return out
}
