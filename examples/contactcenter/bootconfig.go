package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/hosted"
	"github.com/anteroom/anteroom/ticket"
)

// bootConfig is the file of -config: what is to be there at start, in the
// shapes of the API, agents and queues with their id.
type bootConfig struct {
	Agents []struct {
		ID string `json:"id"`
		agentIn
	} `json:"agents"`
	Queues []struct {
		ID string `json:"id"`
		queueIn
	} `json:"queues"`
	Channels []channelIn `json:"channels"`
}

// ensureConfig makes, or changes, what the file names; the rest stays.
func ensureConfig(ctx context.Context, desk *ticket.Desk, l *logins, o options) error {
	data, err := os.ReadFile(o.config)
	if err != nil {
		return fmt.Errorf("read -config: %w", err)
	}
	var cfg bootConfig
	if err := decodeJSON("", bytes.TrimPrefix(data, []byte("\xef\xbb\xbf")), &cfg); err != nil {
		return fmt.Errorf("-config %s: %w", o.config, err)
	}
	for i, in := range cfg.Agents {
		a, err := in.agent(in.ID)
		if err == nil {
			err = desk.PutAgent(ctx, a)
		}
		if err == nil && in.Password != nil {
			err = l.set(ctx, a.ID, *in.Password)
		}
		if err != nil {
			return fmt.Errorf("-config: agents[%d]: %w", i, err)
		}
	}
	for i, in := range cfg.Queues {
		q, err := in.queue(in.ID)
		if err == nil {
			err = desk.PutQueue(ctx, q)
		}
		if err != nil {
			return fmt.Errorf("-config: queues[%d]: %w", i, err)
		}
	}
	for i, in := range cfg.Channels {
		if err := ensureChannel(ctx, desk, o.domain, in); err != nil {
			return fmt.Errorf("-config: channels[%d]: %w", i, err)
		}
	}
	return nil
}

// ensureChannel connects a channel, or changes the one that has its address.
func ensureChannel(ctx context.Context, desk *ticket.Desk, domain string, in channelIn) error {
	channels, err := desk.Channels(ctx)
	if err != nil {
		return err
	}
	name := ""
	setText(&name, in.Name)
	cfg, err := readConfig(in.Kind, name, in.Config)
	if err != nil {
		return err
	}
	address := ""
	switch c := cfg.(type) {
	case hosted.Mailbox:
		address = c.LocalPart + "@" + domain
	case account.Account:
		address = c.Address
		// A file cannot know ids: the mailbox may be named by its address.
		if old := byAddress(channels, string(c.ForwardedTo)); old != nil {
			c.ForwardedTo = old.ID
		}
		cfg = c
	}
	old := byAddress(channels, address)
	if old == nil {
		settings, err := in.Settings.merge(ticket.Settings{})
		if err != nil {
			return err
		}
		_, err = desk.Connect(ctx, cfg, settings)
		return configError(in.Kind, err)
	}
	if string(old.Kind) != in.Kind {
		return badField("kind", "%s is connected as %s", address, old.Kind)
	}
	settings, err := in.Settings.merge(old.Settings)
	if err != nil {
		return err
	}
	_, err = desk.Update(ctx, old.ID, ticket.ChannelPatch{Name: in.Name, Settings: &settings, Config: cfg})
	return configError(in.Kind, err)
}

func byAddress(channels []*ticket.Channel, address string) *ticket.Channel {
	for _, c := range channels {
		if address != "" && strings.EqualFold(c.Address, address) {
			return c
		}
	}
	return nil
}
