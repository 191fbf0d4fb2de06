package main

import (
	"context"
	"fmt"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/hosted"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// domain is that of the portal's mailboxes.
const domain = "help.example.com"

// agentCount is how many agents the portal has.
const agentCount = 40

func agents() []routing.Agent {
	out := make([]routing.Agent, agentCount)
	for i := range out {
		id := fmt.Sprintf("agent-%02d", i+1)
		out[i] = routing.Agent{ID: routing.AgentID(id), Name: "Agent " + id[6:]}
	}
	return out
}

// queues returns one queue for each language, and two for all: one large, one in
// which there is hardly anything.
func queues() []routing.Queue {
	var ids []routing.AgentID
	for _, a := range agents() {
		ids = append(ids, a.ID)
	}
	out := []routing.Queue{{ID: "billing", Name: "Billing", Agents: ids[30:38]}, {ID: "legal", Name: "Legal", Agents: ids[38:]}}
	for i := range languages {
		q := queueOf(&languages[i])
		out = append(out, routing.Queue{ID: q, Name: string(q), Agents: ids[10*i : 10*i+10]})
	}
	for i := range out {
		// Nobody is online, so what waits goes on waiting when a Desk runs.
		out[i].PreferOnline, out[i].WhenNoneOnline = true, routing.Wait
	}
	return out
}

// configure makes sure that the portal has its agents, queues and mailboxes, and
// returns the latter by language.
func configure(ctx context.Context, s ticket.Store) (boxes [len(languages)]mailbox, err error) {
	desk, err := ticket.New(ticket.Config{Store: s, Connectors: []channel.Connector{&hosted.Server{Domain: domain}}})
	if err != nil {
		return boxes, err
	}
	for _, a := range agents() {
		if err := desk.PutAgent(ctx, a); err != nil {
			return boxes, err
		}
	}
	for _, q := range queues() {
		if err := desk.PutQueue(ctx, q); err != nil {
			return boxes, err
		}
	}
	have, err := desk.Channels(ctx)
	if err != nil {
		return boxes, err
	}
	for i := range languages {
		l := &languages[i]
		address := l.mailbox + "@" + domain
		boxes[i].address = address
		for _, c := range have {
			if c.Address == address {
				boxes[i].id = c.ID
			}
		}
		if boxes[i].id != "" {
			continue
		}
		c, err := desk.Connect(ctx, hosted.Mailbox{LocalPart: l.mailbox}, ticket.Settings{Queue: queueOf(l)})
		if err != nil {
			return boxes, err
		}
		boxes[i].id = c.ID
	}
	return boxes, nil
}
