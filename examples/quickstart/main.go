// Quickstart takes mail in and prints the tickets that are made of it:
//
//	go run ./examples/quickstart
//	swaks --server localhost:2525 --to support@help.example.com
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"net"
	"os"
	"os/signal"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/hosted"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	l, err := net.Listen("tcp", "localhost:2525")
	if err == nil {
		err = run(ctx, l, os.Stdout)
	}
	if err != nil {
		log.Fatal(err)
	}
}

// run serves one mailbox on l until ctx ends.
func run(ctx context.Context, l net.Listener, out io.Writer) error {
	mx := &hosted.Server{Domain: "help.example.com"}
	desk, err := ticket.New(ticket.Config{Store: memstore.New().Portal("main"), Connectors: []channel.Connector{mx}})
	if err != nil {
		return err
	}
	if _, err := desk.Connect(ctx, hosted.Mailbox{LocalPart: "support"}, ticket.Settings{}); err != nil {
		return err
	}
	go desk.Run(ctx)
	go mx.Serve(ctx, l)
	for e, err := range desk.Follow(ctx, 0) {
		if err != nil {
			return err
		}
		if e.Type != ticket.EventTicketCreated {
			continue
		}
		if t, err := desk.Ticket(ctx, e.Ticket); err == nil {
			fmt.Fprintf(out, "#%d %s\n", t.Number, t.Subject)
		}
	}
	return nil
}
