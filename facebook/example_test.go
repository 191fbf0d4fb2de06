package facebook_test

import (
	"context"
	"fmt"
	"sync"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

// A comment that asks for the price becomes a ticket, and is answered under the
// comment. With Facebook itself an App has no Graph and no HTTP, a host serves
// app.Webhook() at the address that is set in the app's settings, and Token is what
// the login gave: see App.LoginURL and Finish.
func Example() {
	check := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	defer running.Wait()
	defer stop()

	fb := graphtest.New(graphtest.Options{}) // Facebook in memory
	shop, owner, ann := fb.AddPage("Shop"), fb.AddPerson("Owner"), fb.AddPerson("Ann")

	app := &facebook.App{ID: fb.AppID(), Secrets: []string{fb.AppSecret()}, VerifyToken: "chosen by the host", Graph: fb.URL(), HTTP: fb.Client()}
	desk, err := ticket.New(ticket.Config{
		Store: memstore.New().Portal("main"), Connectors: []channel.Connector{app}, Undo: -1,
		Key: []byte("32 bytes by which tokens are sealed"[:32]),
	})
	check(err)
	check(desk.PutAgent(ctx, routing.Agent{ID: "an", Name: "An"}))
	check(desk.PutQueue(ctx, routing.Queue{ID: "support", Agents: []routing.AgentID{"an"}}))
	_, err = desk.Connect(ctx, facebook.Page{
		ID: shop.ID, Token: owner.PageToken(shop.ID),
		Rules: facebook.Rules{Messages: true, Posts: facebook.Relevant, Comments: true, Keywords: []string{"price"}},
	}, ticket.Settings{Queue: "support", PreferOnline: true})
	check(err)
	running.Go(func() { check(desk.Run(ctx)) })

	check(fb.Subscribe(app.Webhook(), "chosen by the host"))
	running.Go(func() { fb.Run(ctx) })
	check(fb.Wait(ctx, func() bool { return len(fb.Subscribed(shop.ID)) > 0 })) // the desk has seen to it
	post := shop.Post("New shoes")
	ann.Comment(post, "How nice!") // no keyword: left alone
	ann.Comment(post, "What is the price?")

	for event, err := range desk.Follow(ctx, 0) {
		check(err)
		switch {
		case event.Type == ticket.EventAssigned:
			t, err := desk.Ticket(ctx, event.Ticket)
			check(err)
			fmt.Printf("#%d %s: for %s\n", t.Number, t.Subject, t.Assignee)
			_, err = desk.Reply(ctx, t.ID, ticket.Draft{By: t.Assignee, Text: "20 dollars"})
			check(err)
		case event.Type == ticket.EventMessageState && event.Data["state"] == string(ticket.StateSent):
			fmt.Println("under the comment:", fb.Sent()[0].Text)
			return
		}
	}
	// Output:
	// #1 What is the price?: for an
	// under the comment: 20 dollars
}
