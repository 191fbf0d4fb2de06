// Page takes in what customers write on a Facebook Page, prints it, and answers
// the first message of each ticket. It is the shortest program with a Page.
//
//	FACEBOOK_APP_ID=... FACEBOOK_APP_SECRET=... FACEBOOK_VERIFY_TOKEN=... \
//	PAGE_ID=... PAGE_TOKEN=... go run ./examples/page
//
// Facebook must reach it by https at the address that is set in the app's
// settings, Webhooks, Page; a tunnel to port 8080 will do for a try.
package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	app := &facebook.App{ID: os.Getenv("FACEBOOK_APP_ID"), Secrets: []string{os.Getenv("FACEBOOK_APP_SECRET")}, VerifyToken: os.Getenv("FACEBOOK_VERIFY_TOKEN")}
	page := facebook.Page{ID: os.Getenv("PAGE_ID"), Token: os.Getenv("PAGE_TOKEN"), Rules: facebook.Rules{Messages: true, Posts: facebook.Everything}}
	if err := run(ctx, app, page, "127.0.0.1:8080", func(line string) { fmt.Fprintln(os.Stdout, line) }); err != nil {
		log.Fatal(err) //nolint:gocritic // nothing is left to be stopped
	}
}

// run serves the webhook until ctx ends, and says what happens.
func run(ctx context.Context, app *facebook.App, page facebook.Page, addr string, say func(string)) error {
	key := make([]byte, 32) // seals the token; this store forgets it anyway
	_, _ = rand.Read(key)   // it never fails
	desk, err := ticket.New(ticket.Config{Store: memstore.New().Portal("main"), Connectors: []channel.Connector{app}, Key: key, Undo: time.Second})
	if err != nil {
		return err
	}
	if err := desk.PutAgent(ctx, routing.Agent{ID: "an", Name: "An"}); err != nil {
		return err
	}
	if err := desk.PutQueue(ctx, routing.Queue{ID: "page", Name: "Page", Agents: []routing.AgentID{"an"}}); err != nil {
		return err
	}
	if _, err := desk.Connect(ctx, page, ticket.Settings{Queue: "page"}); err != nil {
		return err
	}
	done := make(chan error, 1)
	go func() { done <- desk.Run(ctx) }()
	server := &http.Server{Addr: addr, Handler: app.Webhook(), ReadHeaderTimeout: 10 * time.Second}
	go func() { <-ctx.Done(); _ = server.Close() }()
	go answer(ctx, desk, say)
	if err := server.ListenAndServe(); ctx.Err() == nil {
		return err
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
		case ticket.EventMessageReceived:
			if m, err := desk.Message(ctx, e.Message); err == nil {
				say(m.From.String() + ": " + m.Text)
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
