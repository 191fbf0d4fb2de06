package ticket_test

import (
	"context"
	"encoding/json"

	"github.com/anteroom/anteroom/channel"
)

type customConnector struct {
	open func(acct channel.Account, env channel.Env) (channel.Channel, error)
}

func (c *customConnector) Kind() channel.Kind { return "edge" }

func (c *customConnector) Open(_ context.Context, acct channel.Account, env channel.Env) (channel.Channel, error) {
	return c.open(acct, env)
}

type customConfig struct{ Address string }

func (c customConfig) Account() (channel.Account, error) {
	b, err := json.Marshal(c)
	return channel.Account{Kind: "edge", Name: c.Address, Config: b}, err
}

type customChannel struct {
	info channel.Info
	send func(ctx context.Context, out *channel.Outbound) (channel.Receipt, error)
	find func() channel.Found
}

func (c *customChannel) Info() channel.Info { return c.info }

func (c *customChannel) Receive(ctx context.Context, _ channel.Sink) error {
	<-ctx.Done()
	return nil
}

func (c *customChannel) Send(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
	return c.send(ctx, out)
}

func (c *customChannel) Find(context.Context, *channel.Outbound) (channel.Receipt, channel.Found, error) {
	return channel.Receipt{}, c.find(), nil
}

func customInfo(acct channel.Account) channel.Info {
	return channel.Info{ID: acct.ID, Kind: acct.Kind, Name: acct.Name, Address: acct.Name, Scheme: "mailto", Mail: true, CanReceive: true, CanSend: true, CanStart: true}
}
