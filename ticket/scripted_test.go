package ticket_test

import (
	"context"
	"encoding/json"

	"github.com/anteroom/anteroom/channel"
)

// scripted is a connector whose channels are made by a function.
type scripted struct {
	open func(acct channel.Account, env channel.Env) (channel.Channel, error)
}

func (c *scripted) Kind() channel.Kind { return "scripted" }

func (c *scripted) Open(_ context.Context, acct channel.Account, env channel.Env) (channel.Channel, error) {
	return c.open(acct, env)
}

type scriptedConfig struct{ Address string }

func (c scriptedConfig) Account() (channel.Account, error) {
	b, err := json.Marshal(c)
	return channel.Account{Kind: "scripted", Name: c.Address, Config: b}, err
}

// scriptedChannel calls its functions.
type scriptedChannel struct {
	info    channel.Info
	receive func(ctx context.Context, sink channel.Sink) error
	send    func(ctx context.Context, out *channel.Outbound) (channel.Receipt, error)
	find    func(ctx context.Context, out *channel.Outbound) (channel.Receipt, channel.Found, error)
}

func (c *scriptedChannel) Info() channel.Info { return c.info }

func (c *scriptedChannel) Receive(ctx context.Context, sink channel.Sink) error {
	if c.receive == nil {
		<-ctx.Done()
		return nil
	}
	return c.receive(ctx, sink)
}

func (c *scriptedChannel) Send(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
	return c.send(ctx, out)
}

func (c *scriptedChannel) Find(ctx context.Context, out *channel.Outbound) (channel.Receipt, channel.Found, error) {
	return c.find(ctx, out)
}

func scriptedInfo(acct channel.Account) channel.Info {
	return channel.Info{ID: acct.ID, Kind: acct.Kind, Name: acct.Name, Address: acct.Name, Scheme: "mailto", Mail: true, CanReceive: true, CanSend: true, CanStart: true}
}

// finds is a find whose result is always the same.
func finds(r channel.Found) func(context.Context, *channel.Outbound) (channel.Receipt, channel.Found, error) {
	return func(context.Context, *channel.Outbound) (channel.Receipt, channel.Found, error) {
		return channel.Receipt{}, r, nil
	}
}
