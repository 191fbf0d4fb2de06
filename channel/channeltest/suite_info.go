package channeltest

import (
	"encoding/json"
	"maps"
	"reflect"
	"slices"

	"github.com/anteroom/anteroom/channel"
)

func mapValues(m map[string]string) []string { return slices.Collect(maps.Values(m)) }

func harnessFits(b *bench) {
	ch := b.open()
	_, receives := ch.(channel.Receiver)
	_, sends := ch.(channel.Sender)
	_, does := ch.(channel.Doer)
	if in := b.h.Deliver != nil || b.h.Put != nil; in != receives {
		b.Errorf("the channel is a Receiver: %t; the harness has Deliver or Put: %t", receives, in)
	}
	if b.h.Deliver != nil && b.h.Put != nil {
		b.Error("the harness has both Deliver and Put")
	}
	if out := b.h.Outbound != nil && b.h.Arrived != nil; out != sends {
		b.Errorf("the channel is a Sender: %t; the harness has Outbound and Arrived: %t", sends, out)
	}
	if b.h.Action.Verb != "" && !does {
		b.Error("the harness has an Action, but the channel is no Doer")
	}
}

func infoIsStable(b *bench) {
	ch := b.open()
	info := ch.Info()
	acct := b.h.Account
	if info.ID != acct.ID {
		b.Errorf("Info().ID is %q, the account's is %q", info.ID, acct.ID)
	}
	if info.Kind != acct.Kind || info.Kind != b.h.Connector.Kind() || info.Kind == "" {
		b.Errorf("the kinds of Info (%q), account (%q) and connector (%q) must be one", info.Kind, acct.Kind, b.h.Connector.Kind())
	}
	if info.Address == "" {
		b.Error("Info().Address is empty: agents and customers need to know it")
	}
	if info.Scheme == "" {
		b.Error("Info().Scheme is empty: without it a customer's address names no contact")
	}
	if info.MaxText < 0 {
		b.Errorf("Info().MaxText is %d", info.MaxText)
	}
	if again := ch.Info(); !reflect.DeepEqual(info, again) {
		b.Errorf("Info changed: first %+v, then %+v", info, again)
	}
	for _, list := range [][]string{info.Aliases, info.Domains} {
		for i := range list {
			list[i] = "changed by the caller"
		}
	}
	for _, list := range [][]string{ch.Info().Aliases, ch.Info().Domains} {
		if slices.Contains(list, "changed by the caller") {
			b.Error("Info hands out its own slices: a caller's change shows in the next answer")
		}
	}
}

func infoTellsAbilities(b *bench) {
	ch := b.open()
	info := ch.Info()
	_, receives := ch.(channel.Receiver)
	_, sends := ch.(channel.Sender)
	_, does := ch.(channel.Doer)
	for _, c := range []struct {
		field, method string
		says, has     bool
	}{
		// A paired account takes in what is forwarded to another channel.
		{"CanReceive", "Receive", info.CanReceive, receives || b.h.Account.ReceivesVia != ""},
		{"CanSend", "Send", info.CanSend, sends},
		{"Can is not empty", "Do", len(info.Can) > 0, does},
	} {
		if c.says != c.has {
			b.Errorf("%s: %t, but the type has a method %s: %t; abilities are found by type, so both must agree", c.field, c.says, c.method, c.has)
		}
	}
	if info.CanStart && !sends {
		b.Error("CanStart is set, but the channel does not send")
	}
}

func refusesBrokenConfig(b *bench) {
	for _, config := range []string{"{", `"text"`, "[1]"} {
		acct := b.h.Account
		acct.Config = json.RawMessage(config)
		ch, err := b.h.Connector.Open(b.ctx, acct, b.env())
		if err == nil {
			b.Errorf("Open accepted the configuration %q and returned a %T", config, ch)
		}
		b.noteError("an error of Open", err)
	}
}

func opensAgain(b *bench) {
	first := b.open().Info()
	if second := b.open().Info(); !reflect.DeepEqual(first, second) {
		b.Errorf("the same account opened twice says %+v and %+v", first, second)
	}
	r, ok := b.open().(channel.Receiver)
	if !ok || b.h.Deliver == nil && b.h.Put == nil {
		return
	}
	// As after an edit of the channel: the old opening still receives while
	// the new one begins.
	older, newer := &probe{}, &probe{}
	stop := b.receive(r, older)
	b.take(older, 0)
	b.await(older, 1)
	later := b.receiver()
	b.receive(later, newer)
	stop()
	b.take(newer, 1)
	b.await(newer, 1)
}
