// Package channeltest helps to test channels, and what is built on them.
//
// # The contract
//
// [Run] checks that a channel keeps the contract of package channel. The
// channel's author plays the far side through a [Harness]:
//
//	func TestContract(t *testing.T) {
//		channeltest.Run(t, func(t testing.TB) channeltest.Harness {
//			far := startFarSide(t) // stopped by t.Cleanup
//			return channeltest.Harness{
//				Connector: &pigeon.Connector{Loft: far.Address()}, Account: account,
//				Deliver:  far.Deliver,  // or Put, if the channel fetches
//				Outbound: message, Arrived: far.Arrived,
//			}
//		})
//	}
//
// # An in-memory channel
//
// [NewNetwork] makes a network with channels of all abilities, on which a test
// plays the customers and the faults:
//
//	net := channeltest.NewNetwork()                    // a channel.Connector
//	conf := channeltest.MemoryAccount{Address: "help@example.com", Mail: true}
//	... // the engine opens and runs it
//	net.Write(ctx, "help@example.com", channel.Message{From: ann, Subject: "Hi", Text: "..."})
//	sent, err := net.WaitSent(ctx, "help@example.com", 1)
//	net.Reply(ctx, sent[0], "Thanks")
//	net.Fail("help@example.com", channeltest.Fault{Arrives: true, Err: lost})
//
// # Sinks
//
// [RecordingSink] remembers and knows duplicates; [FailingSink],
// [PanickingSink] and [BlockingSink] go wrong on purpose.
package channeltest
