package account_test

import (
	"context"
	"fmt"
	"net"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

// The engine does what stands here; a host only gives it the Account.
func Example() {
	srv, err := emailtest.StartSMTP(emailtest.WithTLS(), emailtest.WithUser("help@shop.test", "secret"))
	if err != nil {
		panic(err)
	}
	defer srv.Close()
	saved, err := account.Account{
		Address: "help@shop.test", Password: "secret",
		SMTP: account.Server{Host: srv.Host(), Port: srv.Port(), Security: account.TLS},
	}.Account()
	if err != nil {
		panic(err)
	}
	ctx := context.Background()
	ch, err := account.Connector{TLS: srv.ClientTLS()}.Open(ctx, saved, channel.Env{
		Now: time.Now, Report: func(s channel.Status) { fmt.Println(s.State) }, Dial: (&net.Dialer{}).DialContext,
	})
	if err != nil {
		panic(err)
	}
	fmt.Println(ch.(channel.Checker).Check(ctx)[0].Code)

	srv.Fault(emailtest.Fault{At: emailtest.AtRcpt, Recipient: "gone@example.com", Reply: "550 5.1.1 no such user"})
	receipt, err := ch.(channel.Sender).Send(ctx, &channel.Outbound{
		To:      []channel.Party{{Address: "an@example.com"}, {Address: "gone@example.com"}},
		Subject: "Hello", Text: "Your order is on its way.", Token: "0123456789abcdefghij", Date: time.Now(),
	})
	for _, d := range receipt.Deliveries {
		fmt.Println(d.Recipient, d.State)
	}
	fmt.Println(err, len(srv.Messages()))
	// Output:
	// live
	// ok
	// live
	// gone@example.com failed
	// an@example.com sent
	// <nil> 1
}

// The portal's own sender, for automatic replies and notices.
func ExampleNewRelay() {
	srv, err := emailtest.StartSMTP()
	if err != nil {
		panic(err)
	}
	defer srv.Close()
	relay := account.NewRelay(srv.Addr(), account.RelayOptions{})
	_, err = relay.Send(context.Background(), &channel.Outbound{
		From: channel.Party{Address: "support@portal.test"}, To: []channel.Party{{Address: "an@example.com"}},
		Subject: "Auto: Hello", Text: "We have your message.", Token: "0123456789abcdefghij",
		Date: time.Now(), Automatic: channel.AutoReplied,
	})
	fmt.Printf("%v <%s>\n", err, srv.Messages()[0].From)
	// Output: <nil> <>
}
