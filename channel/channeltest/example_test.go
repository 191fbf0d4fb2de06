package channeltest_test

import (
	"context"
	"fmt"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
)

// A customer writes, and the channel's sink fails the first time. The network
// delivers again, as mail servers do.
func ExampleNetwork() {
	ctx, cancel := context.WithCancel(context.Background())
	network := channeltest.NewNetwork()
	acct, err := channeltest.MemoryAccount{Address: "help@example.com", Mail: true}.Account()
	if err != nil {
		fmt.Println(err)
	}
	acct.ID = "support"
	ch, err := network.Open(ctx, acct, env())
	if err != nil {
		fmt.Println(err)
	}
	sink := &channeltest.RecordingSink{}
	ended := make(chan error)
	go func() {
		ended <- ch.(channel.Receiver).Receive(ctx, channeltest.FailingSink(1, fmt.Errorf("store is down"), sink))
	}()

	_, err = network.Write(ctx, "help@example.com", channel.Message{
		From: channel.Party{Address: "ann@customer.example"}, Subject: "Hello", Text: "Is anybody there?",
	})
	fmt.Println("acknowledged:", err == nil)
	fmt.Println("taken:", len(sink.Items()))
	cancel()
	fmt.Println("ended:", <-ended)
	// Output:
	// acknowledged: true
	// taken: 1
	// ended: <nil>
}
