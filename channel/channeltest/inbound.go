package channeltest

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// redelivery is how long a customer's network waits before it delivers again.
const redelivery = 2 * time.Millisecond

// Item returns msg as the network will deliver it to the box: with an external
// id unless it has one, keys made of that, the recipient, and for chats the
// conversation. Deliver it as often as the test wants; its keys stay.
func (n *Network) Item(address string, msg channel.Message) *channel.Item {
	n.mu.Lock()
	if msg.ExternalID == "" {
		n.nextID++
		msg.ExternalID = fmt.Sprintf("m%d", n.nextID)
	}
	b, _ := n.resolve(address)
	mail := b != nil && b.memory.conf.Mail
	n.mu.Unlock()
	if mail && !strings.Contains(msg.ExternalID, "@") {
		msg.ExternalID += "@customers.example"
	}
	if len(msg.To) == 0 {
		msg.To = []channel.Party{{Address: address}}
	}
	if !mail && msg.Conversation == "" {
		msg.Conversation = msg.From.Address
	}
	for _, s := range []*string{&msg.From.Name, &msg.Subject, &msg.Text, &msg.NewText, &msg.HTML, &msg.Context, &msg.Payload} {
		*s = strings.ReplaceAll(strings.ToValidUTF8(*s, "\uFFFD"), "\x00", "")
	}
	return &channel.Item{Keys: []channel.Key{channel.Key("id:" + msg.ExternalID)}, Message: &msg}
}

// Write delivers msg to the box as a customer's network does: again and again
// until the channel acknowledges it, waiting for one that receives. It returns
// the item as it was delivered. The error is that of ctx, or wraps
// [channel.ErrRejected] when the channel refused the message for good.
func (n *Network) Write(ctx context.Context, address string, msg channel.Message) (*channel.Item, error) {
	receiving := func() bool { return n.receiver(address) != nil }
	if err := n.wait(ctx, receiving); err != nil {
		return nil, fmt.Errorf("channeltest: write to %s: %w", address, err)
	}
	item := n.Item(address, msg)
	for {
		err := n.Deliver(ctx, address, item)
		if err == nil || errors.Is(err, channel.ErrRejected) {
			return item, err
		}
		select {
		case <-ctx.Done():
			return item, fmt.Errorf("channeltest: write to %s: %w; last: %w", address, ctx.Err(), err)
		case <-time.After(redelivery):
		}
		if err := n.wait(ctx, receiving); err != nil {
			return item, fmt.Errorf("channeltest: write to %s: %w", address, err)
		}
	}
}

// Reply writes a customer's answer to a message that the box sent, from its
// first recipient, as the network at hand does: for mail with the evidence that
// a mail client and a reply address leave, otherwise in the same conversation.
func (n *Network) Reply(ctx context.Context, s Sent, text string) (*channel.Item, error) {
	return n.Write(ctx, s.Box, s.Answer(text))
}

// Deliver delivers the items to the box once, in one call of Accept, and
// returns its error: nil means acknowledged. Items without a channel get that of
// the box; for an address of a [channel.Forwardee] they get the forwarding
// account's, and Via. The error is [ErrNotReceiving] if nobody receives there.
// When the box's channel was opened as raw, messages arrive uninterpreted.
func (n *Network) Deliver(ctx context.Context, address string, items ...*channel.Item) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	s, paired := n.join(address)
	if s == nil {
		return fmt.Errorf("%w: %s", ErrNotReceiving, address)
	}
	defer s.commits.Done()
	own := make([]*channel.Item, len(items))
	for i, it := range items {
		copied, err := s.m.incoming(it, paired)
		if err != nil {
			return err
		}
		own[i] = copied
	}
	return s.accept(own)
}

// incoming returns a copy of it as the channel hands it to its sink.
func (m *memory) incoming(it *channel.Item, paired channel.ID) (*channel.Item, error) {
	own := *it
	own.Keys = slices.Clone(it.Keys)
	if own.Channel == "" {
		own.Channel = m.info.ID
		if paired != "" {
			own.Channel, own.Via = paired, m.info.ID
		}
	}
	if own.At.IsZero() {
		own.At = m.env.Now()
	}
	if it.Message == nil {
		return &own, nil
	}
	msg := *it.Message
	own.Message = &msg
	if own.Raw == nil {
		raw, err := encode(msg)
		if err != nil {
			return nil, err
		}
		own.Raw = raw
	}
	if m.conf.Raw {
		own.Message = nil
		for i, k := range own.Keys {
			own.Keys[i] = "raw:" + k
		}
	}
	return &own, nil
}

// session is one running call of Receive.
type session struct {
	m       *memory
	ctx     context.Context
	sink    channel.Sink
	broken  chan error
	commits sync.WaitGroup
}

type receives struct{ m *memory }

// Receive implements [channel.Receiver]. When ctx ends it takes nothing new and
// waits for the commits that are under way.
func (r receives) Receive(ctx context.Context, sink channel.Sink) error {
	s := &session{m: r.m, ctx: ctx, sink: sink, broken: make(chan error, 1)}
	r.m.env.Report(channel.Status{State: channel.StateLive, LastSeen: r.m.env.Now()})
	address := r.m.conf.Address
	r.m.network.at(address, func(b *box) { b.sessions = append(b.sessions, s) })
	var err error
	select {
	case <-ctx.Done():
	case err = <-s.broken:
	}
	r.m.network.at(address, func(b *box) {
		b.sessions = slices.DeleteFunc(b.sessions, func(o *session) bool { return o == s })
	})
	s.commits.Wait()
	return err
}

// accept hands the items to the sink; a panic there is an error like others.
func (s *session) accept(items []*channel.Item) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("channeltest: the sink panicked: %v", r)
		}
		status := channel.Status{State: channel.StateLive, LastSeen: s.m.env.Now()}
		if err != nil && !errors.Is(err, channel.ErrRejected) {
			status.State, status.Reason = channel.StateDegraded, "an item was not accepted and will come again"
			s.m.env.Log.Warn("item not accepted", "items", len(items), "error", err)
		}
		s.m.env.Report(status)
	}()
	// The commit outlives the end of receiving: its result decides.
	return s.sink.Accept(context.WithoutCancel(s.ctx), items...)
}

// join returns the session that takes the next delivery, which the caller must
// mark as done, and the forwarding account when the address is that of a pair.
func (n *Network) join(address string) (*session, channel.ID) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b, paired := n.resolve(address)
	if b == nil || len(b.sessions) == 0 {
		return nil, ""
	}
	s := b.sessions[len(b.sessions)-1]
	s.commits.Add(1)
	return s, paired
}

// receiver returns the session that would take the next delivery. The caller
// holds the lock.
func (n *Network) receiver(address string) *session {
	b, _ := n.resolve(address)
	if b == nil || len(b.sessions) == 0 {
		return nil
	}
	return b.sessions[len(b.sessions)-1]
}

// resolve finds the box of an address, be it the forwarding address of a pair.
func (n *Network) resolve(address string) (*box, channel.ID) {
	if b := n.boxes[address]; b != nil && b.memory != nil {
		return b, ""
	}
	for _, b := range n.boxes {
		if b.memory == nil || !b.memory.conf.Mail || !b.memory.conf.ReceiveOnly {
			continue
		}
		for _, f := range b.memory.forwards {
			if address == (forwards{b.memory}).ForwardAddress(f.Token) {
				return b, f.Channel
			}
		}
	}
	return nil, ""
}

// Receivers returns how many calls of Receive are running for the box.
func (n *Network) Receivers(address string) int {
	n.mu.Lock()
	defer n.mu.Unlock()
	if b := n.boxes[address]; b != nil {
		return len(b.sessions)
	}
	return 0
}

// WaitReceiving blocks until exactly so many calls of Receive are running for
// the box.
func (n *Network) WaitReceiving(ctx context.Context, address string, receivers int) error {
	return n.wait(ctx, func() bool {
		b := n.boxes[address]
		return b == nil && receivers == 0 || b != nil && len(b.sessions) == receivers
	})
}

// Break makes the latest Receive of the box return err, as when going on is
// useless. It does nothing if none is running.
func (n *Network) Break(address string, err error) {
	n.at(address, func(b *box) {
		if len(b.sessions) == 0 {
			return
		}
		select {
		case b.sessions[len(b.sessions)-1].broken <- err:
		default:
		}
	})
}

// Report makes the box's channel report the status.
func (n *Network) Report(address string, s channel.Status) {
	var report func(channel.Status)
	n.at(address, func(b *box) {
		if b.memory != nil {
			report = b.memory.env.Report
		}
	})
	if report != nil {
		report(s)
	}
}
