package hosted_test

import (
	"context"
	"fmt"
	"net"
	"strings"

	"github.com/emersion/go-smtp"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/hosted"
)

// A host runs the server; the engine opens the mailboxes and receives. Here both
// are played by hand.
func Example() {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		fmt.Println(err)
		return
	}
	mx := &hosted.Server{Domain: "help.example.com"}
	served := make(chan error, 1)
	go func() { served <- mx.Serve(ctx, l) }()

	acct, err := hosted.Mailbox{LocalPart: "Support", Name: "Support"}.Account()
	if err != nil {
		fmt.Println(err)
		return
	}
	acct.ID = "c1"
	ready := make(chan channel.Status, 9)
	ch, err := mx.Open(ctx, acct, channel.Env{Portal: "main", Report: func(s channel.Status) { ready <- s }})
	if err != nil {
		fmt.Println(err)
		return
	}
	received := make(chan error, 1)
	go func() {
		received <- ch.(channel.Receiver).Receive(ctx, channel.SinkFunc(func(_ context.Context, items ...*channel.Item) error {
			for _, it := range items {
				fmt.Printf("%s: %q from %s\n", it.Channel, it.Message.Subject, it.Message.From.Address)
			}
			return nil // committed: the sender is told 250
		}))
	}()
	<-ready

	client, err := smtp.Dial(l.Addr().String())
	if err != nil {
		fmt.Println(err)
		return
	}
	err = client.SendMail("jane@customer.example", []string{ch.Info().Address}, strings.NewReader(
		"From: jane@customer.example\r\nTo: support@help.example.com\r\nSubject: Where is my order?\r\n\r\nIt is late.\r\n"))
	fmt.Println("sent:", err)

	client.Close()
	cancel()
	fmt.Println(<-received, <-served)
	// Output:
	// c1: "Where is my order?" from jane@customer.example
	// sent: <nil>
	// <nil> <nil>
}

func ExampleMailbox() {
	_, err := hosted.Mailbox{LocalPart: "postmaster"}.Account()
	fmt.Println(err)
	// Output: local_part: is reserved: choose another
}
