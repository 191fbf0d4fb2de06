package channeltest

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/anteroom/anteroom/channel"
)

// with returns a copy of out with another Handed.
func with(out *channel.Outbound, handed func(context.Context) error) *channel.Outbound {
	o := *out
	o.Handed = handed
	return &o
}

func nothing(context.Context) error { return nil }

func TestEachCheckFindsBrokenSenders(t *testing.T) {
	t.Parallel()
	stuck := hanging(t)
	const (
		once    = "a message arrives once, and is handed once before"
		withhld = "a message that may not be handed over does not leave"
		ends    = "a send whose context has ended returns and sends nothing"
		lost    = "a lost answer is an unknown outcome"
		looks   = "find never denies what was sent nor affirms what was not"
	)
	type (
		receipt = channel.Receipt
		message = channel.Outbound
	)
	for _, c := range []struct {
		name, check string
		mutant      mutant
	}{
		{"never hands over", once, mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			return sends{m}.Send(ctx, with(out, nothing))
		}}},
		{"hands over twice", once, mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			if err := out.Handed(ctx); err != nil {
				return receipt{}, err
			}
			return sends{m}.Send(ctx, out)
		}}},
		{"hands over afterwards", once, mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			r, err := sends{m}.Send(ctx, with(out, nothing))
			_ = out.Handed(ctx)
			return r, err
		}}},
		{"sends twice", once, mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			if _, err := (sends{m}).Send(ctx, out); err != nil {
				return receipt{}, err
			}
			return sends{m}.Send(ctx, with(out, nothing))
		}}},
		{"pretends to send", once, mutant{send: func(_ *memory, ctx context.Context, out *message) (receipt, error) {
			return receipt{}, out.Handed(ctx)
		}}},
		{"sends what was withheld", withhld, mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			err := out.Handed(ctx)
			r, serr := sends{m}.Send(ctx, with(out, nothing))
			if err != nil {
				return r, &channel.SendError{Outcome: channel.NotSent, Err: err}
			}
			return r, serr
		}}},
		{"calls what was withheld unknown", withhld, mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			r, err := sends{m}.Send(ctx, out)
			if err != nil {
				return r, &channel.SendError{Outcome: channel.Unknown, Err: err}
			}
			return r, nil
		}}},
		{"hides why it was withheld", withhld, mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			r, err := sends{m}.Send(ctx, out)
			if err != nil {
				return r, &channel.SendError{Outcome: channel.NotSent}
			}
			return r, nil
		}}},
		{"returns plain errors", withhld, mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			r, err := sends{m}.Send(ctx, out)
			if err != nil {
				return r, errors.New("no")
			}
			return r, nil
		}}},
		{"tells the text in its errors", withhld, mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			r, err := sends{m}.Send(ctx, out)
			if err != nil {
				return r, &channel.SendError{Outcome: channel.NotSent, Reason: "could not send " + out.Text, Err: err}
			}
			return r, nil
		}}},
		{"ignores its context", ends, mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			return sends{m}.Send(context.WithoutCancel(ctx), out)
		}}},
		{"hangs", ends, mutant{send: func(_ *memory, _ context.Context, _ *message) (receipt, error) {
			stuck()
			return receipt{}, nil
		}}},
		{"calls unknown what was never handed over", ends, mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			if ctx.Err() != nil {
				return receipt{}, &channel.SendError{Outcome: channel.Unknown}
			}
			return sends{m}.Send(ctx, out)
		}}},
		{"changes the message", "a send leaves the message as it was", mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			out.Text += "\n-- \nSignature"
			return sends{m}.Send(ctx, out)
		}}},
		{"fails under load", "sends at once each arrive once", mutant{send: func() func(*memory, context.Context, *message) (receipt, error) {
			var calls atomic.Int64
			return func(m *memory, ctx context.Context, out *message) (receipt, error) {
				if calls.Add(1) == 3 {
					return receipt{}, &channel.SendError{Outcome: channel.NotSent}
				}
				return sends{m}.Send(ctx, out)
			}
		}()}},
		{"sends to all again", "recipients who have it are not sent to again", mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			o := *out
			o.Taken = nil
			return sends{m}.Send(ctx, &o)
		}}},
		{"calls a lost answer not sent", lost, mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			r, err := sends{m}.Send(ctx, out)
			if err != nil {
				return r, &channel.SendError{Outcome: channel.NotSent}
			}
			return r, nil
		}}},
		{"resends after a lost answer", lost, mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			r, err := sends{m}.Send(ctx, out)
			if err != nil {
				_, _ = sends{m}.Send(ctx, with(out, nothing))
			}
			return r, err
		}}},
		{"calls a refusal temporary", "a refusal is a final outcome", mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			r, err := sends{m}.Send(ctx, out)
			if err != nil {
				return r, &channel.SendError{Outcome: channel.NotSent}
			}
			return r, nil
		}}},
		{"calls an outage final", "a network that is down leaves the message not sent", mutant{send: func(m *memory, ctx context.Context, out *message) (receipt, error) {
			r, err := sends{m}.Send(ctx, out)
			if err != nil {
				return r, &channel.SendError{Outcome: channel.Rejected}
			}
			return r, nil
		}}},
		{"finds everything", looks, mutant{find: func(*memory, context.Context, *message) (receipt, channel.Found, error) {
			return receipt{}, channel.FoundYes, nil
		}}},
		{"finds nothing", looks, mutant{find: func(*memory, context.Context, *message) (receipt, channel.Found, error) {
			return receipt{}, channel.FoundNo, nil
		}}},
		{"finds any message", looks, mutant{find: func(m *memory, _ context.Context, _ *message) (receipt, channel.Found, error) {
			if len(m.network.Sent(m.conf.Address)) > 0 {
				return receipt{}, channel.FoundYes, nil
			}
			return receipt{}, channel.FoundNo, nil
		}}},
		{"denies after a lost answer", lost, mutant{find: func(*memory, context.Context, *message) (receipt, channel.Found, error) {
			return receipt{}, channel.FoundNo, nil
		}}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			found(t, c.check, c.mutant, false)
		})
	}
}

func TestEachCheckFindsOtherFaults(t *testing.T) {
	t.Parallel()
	stuck := hanging(t)
	const (
		stable    = "info is that of the account and does not change"
		abilities = "info says what the type can do"
		secrets   = "no secret is written anywhere"
		diagnosis = "a check finds something, in time"
		reading   = "what was interpreted has the raw item's channel and keys of its own"
		fits      = "the harness has a part for each ability"
	)
	infoWith := func(f func(i *channel.Info)) func(*memory) channel.Info {
		return func(m *memory) channel.Info { i := m.Info(); f(&i); return i }
	}
	findings := func(f ...channel.Finding) func(*memory, context.Context) []channel.Finding {
		return func(*memory, context.Context) []channel.Finding { return f }
	}
	reads := func(f func(it *channel.Item)) func(*memory, context.Context, *channel.Item) ([]*channel.Item, error) {
		return func(m *memory, ctx context.Context, raw *channel.Item) ([]*channel.Item, error) {
			items, err := interprets{m}.Interpret(ctx, raw)
			for _, it := range items {
				f(it)
			}
			return items, err
		}
	}
	var calls atomic.Int64
	for _, c := range []struct {
		name, check string
		mutant      mutant
	}{
		{"has another id", stable, mutant{info: infoWith(func(i *channel.Info) { i.ID = "other" })}},
		{"has another kind", stable, mutant{info: infoWith(func(i *channel.Info) { i.Kind = "other" })}},
		{"has no address", stable, mutant{info: infoWith(func(i *channel.Info) { i.Address = "" })}},
		{"has no scheme", stable, mutant{info: infoWith(func(i *channel.Info) { i.Scheme = "" })}},
		{"changes its mind", stable, mutant{info: infoWith(func(i *channel.Info) { i.Name = fmt.Sprint(calls.Add(1)) })}},
		{"hands out its own slices", stable, mutant{info: func(m *memory) channel.Info { return m.info }}},
		{"denies that it sends", abilities, mutant{info: infoWith(func(i *channel.Info) { i.CanSend = false })}},
		{"denies that it receives", abilities, mutant{info: infoWith(func(i *channel.Info) { i.CanReceive = false })}},
		{"denies its actions", abilities, mutant{info: infoWith(func(i *channel.Info) { i.Can = nil })}},
		{"opens anything", "a broken configuration is refused", mutant{open: func(channel.Account) error { return nil }}},
		{"opens once", "the same account can be opened again", mutant{open: func() func(channel.Account) error {
			var opened atomic.Bool
			return func(channel.Account) error {
				if opened.Swap(true) {
					return errors.New("it is open")
				}
				return nil
			}
		}()}},
		{"does anything", "actions are those it lists", mutant{do: func(*memory, context.Context, channel.Action) error { return nil }}},
		{"does nothing", "actions are those it lists", mutant{do: func(*memory, context.Context, channel.Action) error { return errors.New("no") }}},
		{"finds nothing wrong nor right", diagnosis, mutant{check: findings()}},
		{"finds something without a name", diagnosis, mutant{check: findings(channel.Finding{Severity: channel.SeverityOK, Text: "well"})}},
		{"diagnoses for ever", diagnosis, mutant{check: func(*memory, context.Context) []channel.Finding { stuck(); return nil }}},
		{"interprets with the raw item's keys", reading, mutant{read: reads(func(it *channel.Item) { it.Keys = []channel.Key{"raw:id:m1"} })}},
		{"interprets with new keys", reading, mutant{read: reads(func(it *channel.Item) { it.Keys = []channel.Key{channel.Key(fmt.Sprint(calls.Add(1)))} })}},
		{"interprets for another channel", reading, mutant{read: reads(func(it *channel.Item) { it.Channel = "other" })}},
		{"has no harness to receive", fits, mutant{harness: func(h *Harness) { h.Deliver = nil }}},
		{"has no harness to send", fits, mutant{harness: func(h *Harness) { h.Outbound = nil }}},
		{"tells its secret in findings", secrets, mutant{check: findings(channel.Finding{Code: "login", Severity: channel.SeverityError, Text: "login with " + testSecret})}},
		{"tells its secret in reports", secrets, mutant{receive: func(m *memory, ctx context.Context, sink channel.Sink) error {
			m.env.Report(channel.Status{State: channel.StateDegraded, Reason: "no login with " + testSecret})
			return receives{m}.Receive(ctx, sink)
		}}},
		{"tells its secret in errors", secrets, mutant{send: func(m *memory, ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
			r, err := sends{m}.Send(ctx, out)
			if err != nil {
				return r, &channel.SendError{Outcome: channel.NotSent, Err: fmt.Errorf("AUTH %s: %w", testSecret, err)}
			}
			return r, nil
		}}},
		{"tells its secret in the log, in base64", secrets, mutant{send: func(m *memory, ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
			m.env.Log.Debug("smtp", "command", fmt.Appendf(nil, "\x00ann\x00%s", testSecret))
			return sends{m}.Send(ctx, out)
		}}},
		{"tells its secret in the log, quoted", secrets, mutant{send: func(m *memory, ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
			m.env.Log.Debug("smtp", "command", "AUTH "+testSecret)
			return sends{m}.Send(ctx, out)
		}}},
		{"tells its secret in info", secrets, mutant{info: infoWith(func(i *channel.Info) { i.Name = testSecret })}},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			found(t, c.check, c.mutant, c.check == reading)
		})
	}
}
