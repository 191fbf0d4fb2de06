package channeltest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"

	"github.com/anteroom/anteroom/channel"
)

// KindMemory is the kind of the in-memory channels.
const KindMemory channel.Kind = "memory"

// ErrNotReceiving is returned by [Network.Deliver] when no channel receives at
// the address.
var ErrNotReceiving = errors.New("channeltest: nobody receives there")

// MemoryAccount is the configuration of an in-memory channel. Only Address is
// required; otherwise the channel receives, sends and behaves like a chat.
type MemoryAccount struct {
	Address string   `json:"address"` // what customers write to, one channel each in a network
	Name    string   `json:"-"`       // display name; empty means Address
	Aliases []string `json:"aliases,omitempty"`
	Domains []string `json:"domains,omitempty"`
	// Mail makes the channel behave like mail: subject, recipients, threads by
	// evidence, no conversation key, able to write first. Otherwise the
	// customer's address is the conversation's key and the channel is a
	// [channel.Doer].
	Mail bool `json:"mail,omitempty"`
	// ReceiveOnly and SendOnly take the other ability away. Mail that only
	// receives is a [channel.Forwardee].
	ReceiveOnly bool `json:"receive_only,omitempty"`
	SendOnly    bool `json:"send_only,omitempty"`
	// Raw commits items raw and makes the channel a [channel.Interpreter].
	Raw       bool `json:"raw,omitempty"`
	Exclusive bool `json:"exclusive,omitempty"` // as in [channel.Info]
	// SelfAddressed is as in [channel.Info]; the test is what brings it back.
	SelfAddressed bool `json:"self_addressed,omitempty"`
	MaxText       int  `json:"max_text,omitempty"` // as in [channel.Info]; longer texts are rejected
	// Password is kept as the credential "password". Nothing asks for it.
	Password    string     `json:"-"`
	ReceivesVia channel.ID `json:"-"` // as in [channel.Account]
}

// Account implements [channel.Config].
func (a MemoryAccount) Account() (channel.Account, error) {
	if err := a.validate(); err != nil {
		return channel.Account{}, err
	}
	config, err := json.Marshal(a)
	if err != nil {
		return channel.Account{}, fmt.Errorf("channeltest: encode account: %w", err)
	}
	acct := channel.Account{Kind: KindMemory, Name: a.Name, Config: config, ReceivesVia: a.ReceivesVia}
	if acct.Name == "" {
		acct.Name = a.Address
	}
	if a.Password != "" {
		acct.Credentials = channel.NewCredentials(map[string]string{"password": a.Password})
	}
	return acct, nil
}

func (a MemoryAccount) validate() error {
	switch {
	case a.Address == "":
		return channel.BadField("address", "is empty")
	case a.Mail && !strings.Contains(a.Address, "@"):
		return channel.BadField("address", "is no mail address")
	case a.ReceiveOnly && a.SendOnly:
		return channel.BadField("send_only", "cannot stand beside receive_only")
	case a.MaxText < 0:
		return channel.BadField("max_text", "is negative")
	}
	return nil
}

// Network is the far side of in-memory channels, with customers who write and
// read, and faults. It is also the connector that opens the channels. Make one
// with [NewNetwork]. All methods are safe for concurrent use.
//
// Methods that take a box mean the channel's address.
type Network struct {
	mu      sync.Mutex
	boxes   map[string]*box
	nextID  int
	changed chan struct{} // closed and replaced when anything changes
}

// box is the far side of one address.
type box struct {
	portal string
	memory *memory // the latest opening
	// sessions are the running calls of Receive, the latest last.
	sessions []*session
	sent     []Sent
	done     []channel.Action
	faults   []Fault
	actions  []error // what the next calls of Do return
	readings []error // what the next calls of Interpret return
	answers  []channel.Found
	findings []channel.Finding
}

// NewNetwork returns a network without channels.
func NewNetwork() *Network {
	return &Network{boxes: map[string]*box{}, changed: make(chan struct{})}
}

// Kind returns [KindMemory].
func (n *Network) Kind() channel.Kind { return KindMemory }

// Open implements [channel.Connector]. An address that another account has is a
// [*channel.FieldError].
func (n *Network) Open(_ context.Context, acct channel.Account, env channel.Env) (channel.Channel, error) {
	if acct.Kind != KindMemory {
		return nil, channel.BadField("kind", "is %q, not %q", acct.Kind, KindMemory)
	}
	var conf MemoryAccount
	if err := json.Unmarshal(acct.Config, &conf); err != nil {
		return nil, fmt.Errorf("channeltest: decode account: %w", err)
	}
	if err := conf.validate(); err != nil {
		return nil, err
	}
	m := &memory{network: n, conf: conf, env: env, info: conf.info(acct), forwards: slices.Clone(acct.Forwards)}

	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.boxes[conf.Address]
	if b == nil {
		b = &box{}
		n.boxes[conf.Address] = b
	} else if b.memory != nil && (b.portal != env.Portal || b.memory.info.ID != acct.ID) {
		taken := &channel.FieldError{Field: "address", Problem: conf.Address + " is taken"}
		if b.portal == env.Portal {
			taken.Owner = b.memory.info.ID
		}
		return nil, taken
	}
	b.portal, b.memory = env.Portal, m
	n.notify()
	return m.withAbilities(), nil
}

func (a MemoryAccount) info(acct channel.Account) channel.Info {
	info := channel.Info{
		ID: acct.ID, Kind: KindMemory, Name: acct.Name,
		Address: a.Address, Aliases: a.Aliases, Domains: a.Domains,
		Scheme:     "memory",
		CanReceive: !a.SendOnly || acct.ReceivesVia != "",
		CanSend:    !a.ReceiveOnly,
		Exclusive:  a.Exclusive, SelfAddressed: a.SelfAddressed,
		Mail:    a.Mail,
		MaxText: a.MaxText,
	}
	if a.Mail {
		info.Scheme = "mailto"
		info.CanStart = info.CanSend
	} else if !a.SendOnly && !a.ReceiveOnly {
		info.Can = []channel.Verb{channel.VerbLike, channel.VerbUnlike, channel.VerbTyping, channel.VerbSeen, channel.VerbWithdraw}
	}
	return info
}

// at runs do on the box under the lock. Scripting a box before its channel is
// opened is fine.
func (n *Network) at(address string, do func(b *box)) {
	n.mu.Lock()
	defer n.mu.Unlock()
	b := n.boxes[address]
	if b == nil {
		b = &box{}
		n.boxes[address] = b
	}
	do(b)
	n.notify()
}

// notify wakes everybody who waits. The caller holds the lock.
func (n *Network) notify() {
	close(n.changed)
	n.changed = make(chan struct{})
}

// wait blocks until ready says so, asking again after each change. ready is
// called under the lock.
func (n *Network) wait(ctx context.Context, ready func() bool) error {
	for {
		n.mu.Lock()
		ok, changed := ready(), n.changed
		n.mu.Unlock()
		if ok {
			return nil
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
		}
	}
}
