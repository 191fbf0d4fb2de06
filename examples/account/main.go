// Account takes in what customers write to a mailbox that you have anywhere,
// prints it, and answers the first mail of each ticket. It is the shortest program
// with a mail account.
//
//	ADDRESS=help@example.com PASSWORD=... go run ./examples/account
//	ADDRESS=... PASSWORD=... SMTP=smtp.example.com IMAP=imap.example.com go run ./examples/account
//	go run ./examples/account -demo
//
// At first it checks the account in both directions and prints what it finds,
// with what to do about it. With -demo it speaks to servers in memory.
package main

import (
	"context"
	"crypto/rand"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

func main() {
	acts := flag.Bool("demo", false, "use servers in memory, and customers that write")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	say := func(line string) { fmt.Fprintln(os.Stdout, line) }
	mailbox := account.Account{
		Address: os.Getenv("ADDRESS"), Password: os.Getenv("PASSWORD"),
		SMTP: account.Server{Host: os.Getenv("SMTP")},
		IMAP: &account.IMAP{Server: account.Server{Host: os.Getenv("IMAP")}},
	}
	if known, ok := account.Presets(mailbox.Address); ok && mailbox.SMTP.Host == "" {
		mailbox.SMTP, mailbox.IMAP.Server = known.SMTP, known.IMAP
		say(known.Provider + ": " + known.Hint)
	}
	connector := account.Connector{}
	if *acts {
		var end func()
		mailbox, connector, end = demo(ctx, say)
		defer end()
	}
	if err := run(ctx, connector, mailbox, say); err != nil {
		log.Fatal(err) //nolint:gocritic // nothing is left to be stopped
	}
}

// run receives and answers until ctx ends, and says what happens.
func run(ctx context.Context, connector account.Connector, mailbox account.Account, say func(string)) error {
	key := make([]byte, 32) // seals the password; this store forgets it anyway
	_, _ = rand.Read(key)   // it never fails
	desk, err := ticket.New(ticket.Config{Store: memstore.New().Portal("main"), Connectors: []channel.Connector{connector}, Key: key, Undo: time.Second})
	if err != nil {
		return err
	}
	if err := desk.PutAgent(ctx, routing.Agent{ID: "an", Name: "An"}); err != nil {
		return err
	}
	if err := desk.PutQueue(ctx, routing.Queue{ID: "mail", Name: "Mail", Agents: []routing.AgentID{"an"}}); err != nil {
		return err
	}
	ch, err := desk.Connect(ctx, mailbox, ticket.Settings{Queue: "mail"})
	if err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- desk.Run(ctx) }()
	go answer(ctx, desk, say)
	findings, err := desk.Check(ctx, ch.ID)
	if err != nil && ctx.Err() == nil {
		return err
	}
	for _, f := range findings {
		say(strings.TrimSpace(fmt.Sprintf("%s: %s %s", f.Severity, f.Text, f.Fix)))
	}
	return <-done
}

// answer prints what comes, and answers what opens a ticket.
func answer(ctx context.Context, desk *ticket.Desk, say func(string)) {
	for e, err := range desk.Follow(ctx, 0) {
		if err != nil {
			return
		}
		switch e.Type {
		case ticket.EventChannelStatus:
			say("the account is " + e.Data["state"])
		case ticket.EventMessageReceived:
			if m, err := desk.Message(ctx, e.Message); err == nil {
				say(m.From.String() + ": " + m.Subject)
			}
		case ticket.EventTicketCreated:
			m, err := desk.Reply(ctx, e.Ticket, ticket.Draft{By: "an", Text: "Thank you, we are on it."})
			if err != nil {
				say("not answered: " + err.Error())
				continue
			}
			say("answering " + m.To[0].String())
		}
	}
}
