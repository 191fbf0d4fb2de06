package channeltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/anteroom/anteroom/channel"
)

// memory is one opening of an in-memory channel.
type memory struct {
	network  *Network
	conf     MemoryAccount
	env      channel.Env
	info     channel.Info
	forwards []channel.Forward
}

// withAbilities returns m as a type that has exactly the methods of what m can
// do, since abilities are found by type assertion.
func (m *memory) withAbilities() channel.Channel {
	var (
		in   = receives{m}
		out  = sends{m}
		do   = does{m}
		read = interprets{m}
		fwd  = forwards{m}
	)
	switch c := m.conf; {
	case c.SendOnly:
		return struct {
			*memory
			sends
		}{m, out}
	case c.ReceiveOnly && c.Mail && c.Raw:
		return struct {
			*memory
			receives
			interprets
			forwards
		}{m, in, read, fwd}
	case c.ReceiveOnly && c.Mail:
		return struct {
			*memory
			receives
			forwards
		}{m, in, fwd}
	case c.ReceiveOnly && c.Raw:
		return struct {
			*memory
			receives
			interprets
		}{m, in, read}
	case c.ReceiveOnly:
		return struct {
			*memory
			receives
		}{m, in}
	case c.Mail && c.Raw:
		return struct {
			*memory
			receives
			sends
			interprets
		}{m, in, out, read}
	case c.Mail:
		return struct {
			*memory
			receives
			sends
		}{m, in, out}
	case c.Raw:
		return struct {
			*memory
			receives
			sends
			does
			interprets
		}{m, in, out, do, read}
	}
	return struct {
		*memory
		receives
		sends
		does
	}{m, in, out, do}
}

// Info implements [channel.Channel]. The slices are the caller's own.
func (m *memory) Info() channel.Info {
	i := m.info
	i.Aliases, i.Domains, i.Can = slices.Clone(i.Aliases), slices.Clone(i.Domains), slices.Clone(i.Can)
	return i
}

// Check implements [channel.Checker].
// Close gives the address up, as when the account is removed.
func (m *memory) Close() error {
	n := m.network
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.boxes[m.conf.Address]; b != nil && b.memory == m {
		b.memory = nil
		n.notify()
	}
	return nil
}

func (m *memory) Check(context.Context) []channel.Finding {
	findings := []channel.Finding{{Code: "connect", Severity: channel.SeverityOK, Text: "The network answers."}}
	m.network.at(m.conf.Address, func(b *box) {
		if len(b.findings) > 0 {
			findings = slices.Clone(b.findings)
		}
	})
	return findings
}

type does struct{ m *memory }

// Do implements [channel.Doer].
func (d does) Do(ctx context.Context, act channel.Action) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if !slices.Contains(d.m.info.Can, act.Verb) {
		return channel.BadField("verb", "%q is nothing that the channel can do", act.Verb)
	}
	var err error
	d.m.network.at(d.m.conf.Address, func(b *box) {
		if len(b.actions) > 0 {
			err, b.actions = b.actions[0], b.actions[1:]
		}
		if err == nil {
			b.done = append(b.done, act)
		}
	})
	return err
}

type forwards struct{ m *memory }

// ForwardAddress implements [channel.Forwardee].
func (f forwards) ForwardAddress(token string) string {
	local, domain, _ := strings.Cut(f.m.conf.Address, "@")
	return local + "+" + token + "@" + domain
}

type interprets struct{ m *memory }

// Interpret implements [channel.Interpreter].
func (i interprets) Interpret(ctx context.Context, raw *channel.Item) ([]*channel.Item, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var fault error
	i.m.network.at(i.m.conf.Address, func(b *box) {
		if len(b.readings) > 0 {
			fault, b.readings = b.readings[0], b.readings[1:]
		}
	})
	if fault != nil {
		return nil, fault
	}
	p, err := channel.ReadBody(raw.Raw, 64<<20)
	if err != nil {
		return nil, fmt.Errorf("channeltest: read raw item: %w", err)
	}
	msg, err := decode(p)
	if err != nil {
		return nil, err
	}
	if len(raw.Keys) == 0 {
		return nil, errors.New("channeltest: interpret: the item has no key")
	}
	it := *raw
	it.Raw, it.Message = nil, msg
	it.Keys = []channel.Key{"understood:" + raw.Keys[0]}
	return []*channel.Item{&it}, nil
}

// wire is the raw form of a message in this network.
type wire struct {
	Message channel.Message
	Files   [][]byte // the bodies of the attachments
}

func encode(msg channel.Message) (channel.Bytes, error) {
	w := wire{Message: msg}
	w.Message.Attachments = slices.Clone(msg.Attachments)
	for i, a := range msg.Attachments {
		p, err := channel.ReadBody(a.Body, 64<<20)
		if err != nil {
			return nil, fmt.Errorf("channeltest: read attachment: %w", err)
		}
		w.Files = append(w.Files, p)
		w.Message.Attachments[i].Body = nil
	}
	return json.Marshal(w)
}

func decode(p []byte) (*channel.Message, error) {
	var w wire
	if err := json.Unmarshal(p, &w); err != nil {
		return nil, fmt.Errorf("channeltest: decode message: %w", err)
	}
	for i, f := range w.Files {
		if i < len(w.Message.Attachments) {
			w.Message.Attachments[i].Body = channel.Bytes(f)
		}
	}
	return &w.Message, nil
}
