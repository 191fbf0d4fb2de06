package ticket_test

import (
	"context"
	"fmt"
	"log"
	"os"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/hosted"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// A contact center with a mailbox of its own, an SMTP server on which mail for
// it arrives, an account by which it answers, and a database file.
func Example() {
	ctx := context.Background()
	key, password := []byte(os.Getenv("ANTEROOM_KEY")), os.Getenv("SMTP_PASSWORD")
	check := func(err error) {
		if err != nil {
			log.Fatal(err)
		}
	}

	db, err := sqlitestore.Open("anteroom.db")
	check(err)
	mx := &hosted.Server{Domain: "help.example.com"}
	desk, err := ticket.New(ticket.Config{
		Store: db.Portal("main"), Key: key, Connectors: []channel.Connector{mx, account.Connector{}},
	})
	check(err)
	check(desk.PutAgent(ctx, routing.Agent{ID: "an", Name: "An", Email: "an@example.com"}))
	check(desk.PutQueue(ctx, routing.Queue{ID: "support", Name: "Support", Agents: []routing.AgentID{"an"}}))
	settings := ticket.Settings{Queue: "support", PreferOnline: true}
	mailbox, err := desk.Ensure(ctx, hosted.Mailbox{LocalPart: "support"}, settings)
	check(err)
	_, err = desk.Ensure(ctx, account.Account{ // it sends, and forwards what it gets to the mailbox
		Address: "support@example.com", Password: password, SMTP: account.Server{Host: "smtp.example.com"}, ForwardedTo: mailbox.ID,
	}, settings)
	check(err)

	go func() { check(mx.ListenAndServe(ctx)) }()
	go func() { check(desk.Run(ctx)) }()
	for event, err := range desk.Follow(ctx, 0) {
		check(err)
		if event.Type == ticket.EventAssigned {
			_, err := desk.Reply(ctx, event.Ticket, ticket.Draft{By: event.Agent, Text: "We are on it.", Key: event.ID})
			check(err)
		}
	}
}

// Cancel has exactly one answer: the message will never be sent, or it was too
// late.
func ExampleDesk_Cancel() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	network := channeltest.NewNetwork() // customers and channels in memory
	desk, err := ticket.New(ticket.Config{Store: memstore.New().Portal("main"), Connectors: []channel.Connector{network}})
	if err != nil {
		log.Fatal(err)
	}
	go func() { _ = desk.Run(ctx) }()
	_ = desk.PutAgent(ctx, routing.Agent{ID: "an", Name: "An"})
	_, err = desk.Connect(ctx, channeltest.MemoryAccount{Address: "help@example.com", Mail: true}, ticket.Settings{})
	if err != nil {
		log.Fatal(err)
	}
	_, err = network.Write(ctx, "help@example.com", channel.Message{From: channel.Party{Address: "mai@example.net"}, Subject: "Hello", Text: "Are you there?"})
	if err != nil {
		log.Fatal(err)
	}
	tickets, _, err := desk.Tickets(ctx, ticket.TicketFilter{}, ticket.Page{})
	if err != nil {
		log.Fatal(err)
	}
	msg, err := desk.Reply(ctx, tickets[0].ID, ticket.Draft{By: "an", Text: "Yse"})
	if err != nil {
		log.Fatal(err)
	}
	answer, err := desk.Cancel(ctx, ticket.Agent("an"), msg.ID)
	fmt.Println(tickets[0].Subject, msg.State, answer.Cancelled, err)
	// Output: Hello pending true <nil>
}
