// Package channeltest helps to test channels, and what is built on them.
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
