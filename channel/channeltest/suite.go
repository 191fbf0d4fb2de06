package channeltest

import (
	"context"
	"testing"
	"time"

	"github.com/anteroom/anteroom/channel"
)

// Harness is a channel under test, and its far side as the channel's author
// plays it. What a channel cannot do needs no part of the harness; a part for
// an ability that the opened channel lacks, or an ability without its part, is
// a failure.
type Harness struct {
	// Connector and Account open the channel. The suite opens the account
	// more than once, as the engine does after a restart, and attaches to a
	// [channel.Attacher]. The account's credentials should hold a secret of at
	// least 8 characters that occurs nowhere else: the suite looks for it in
	// all that is written.
	Connector channel.Connector
	Account   channel.Account

	// Deliver is for channels to which the source delivers (SMTP, webhooks):
	// it delivers thing number n once, over the network, and returns nil
	// exactly if the source was told that it is taken. It is called
	// concurrently, and again after a refusal; limits on connections should
	// leave room for a dozen at once. The same n is the same thing; each thing
	// becomes one item.
	Deliver func(ctx context.Context, n int) error
	// Put is for channels that fetch (IMAP, an API that is polled): it makes
	// thing number n be there to be fetched. The channel under test should
	// poll and retry within tens of milliseconds. Numbers ascend and are put
	// once each; each thing becomes one item.
	Put func(ctx context.Context, n int) error

	// Outbound returns message number n, ready to be sent but for Handed. The
	// text should be some words that occur nowhere else.
	Outbound func(n int) *channel.Outbound
	// Arrived returns how often message number n arrived at the far end.
	Arrived func(ctx context.Context, n int) (int, error)

	// LoseAnswer, Refuse and Down, each optional, say what the far end does
	// from now on with messages: take them and break off without an answer,
	// refuse them for good, or not take them at all for now.
	LoseAnswer, Refuse, Down func(ctx context.Context) error

	// Action, optional, is something that the channel can do.
	Action channel.Action

	// Patience is how long the suite waits for what must happen before it
	// calls it missing; 0 means 10 seconds. Nothing good waits that long.
	Patience time.Duration
}

// Run checks that a channel keeps the contract of package channel. Each check
// is a subtest, whose name is a sentence of the contract, with a harness of its
// own from start; start registers its cleanup with t. Checks of abilities that
// the channel does not have are skipped.
func Run(t *testing.T, start func(t testing.TB) Harness) {
	t.Helper()
	for _, c := range checks() {
		t.Run(c.name, func(t *testing.T) { c.run(newBench(t, start)) })
	}
}

// check is one sentence of the contract.
type check struct {
	name string
	run  func(b *bench)
}

func checks() []check {
	return []check{
		// Who it is.
		{"the harness has a part for each ability", harnessFits},
		{"info is that of the account and does not change", infoIsStable},
		{"info says what the type can do", infoTellsAbilities},
		{"a broken configuration is refused", refusesBrokenConfig},
		{"the same account can be opened again", opensAgain},

		// In.
		{"what is delivered reaches the sink and is acknowledged", delivers},
		{"items are well formed", itemsAreWellFormed},
		{"it reports that it is live", reportsLive},
		{"what the sink does not accept is not acknowledged and comes again with the same key", comesAgain},
		{"a panic of the sink is an error like others", survivesPanic},
		{"what is rejected for good does not stop what follows", passesRejected},
		{"a second delivery carries the same key", deliversTwice},
		{"deliveries at once each arrive", deliversAtOnce},
		{"receive ends with its context, without an error", receiveEnds},
		{"nothing is acknowledged after receive has ended", acknowledgesNothingAfterwards},
		{"a commit under way when receive ends may finish", commitFinishes},
		{"a commit that fails after receive has ended is not acknowledged", lateFailureComesAgain},
		{"what was not accepted comes again after a restart", comesAgainAfterRestart},
		{"what was interpreted has the raw item's channel and keys of its own", interpretsRaw},

		{"each pair has a forwarding address of its own", forwardsApart},

		// Out.
		{"a message arrives once, and is handed once before", sendsOnce},
		{"a message that may not be handed over does not leave", withholds},
		{"a send whose context has ended returns and sends nothing", sendEnds},
		{"a send leaves the message as it was", leavesOutbound},
		{"sends at once each arrive once", sendsAtOnce},
		{"recipients who have it are not sent to again", sparesTaken},
		{"a lost answer is an unknown outcome", lostAnswerIsUnknown},
		{"a refusal is a final outcome", refusalIsFinal},
		{"a network that is down leaves the message not sent", downIsNotSent},
		{"find never denies what was sent nor affirms what was not", finds},

		// The rest.
		{"actions are those it lists", doesWhatItLists},
		{"a check finds something, in time", checksItself},
		{"no secret is written anywhere", keepsSecrets},
	}
}
