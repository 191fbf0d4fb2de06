// Package routingtest runs the properties that every routing policy must have
// on a policy, be it a host's own.
//
//	func TestMyPolicy(t *testing.T) {
//		routingtest.Run(t, myPolicy)
//	}
//
// The properties are checked on a few hundred generated snapshots, always the
// same ones, and on small simulations. A policy that is unfair on purpose, say
// because it returns work to whoever had it, names what it leaves out:
//
//	routingtest.Run(t, sticky, routingtest.Fair)
package routingtest

import (
	"fmt"
	"slices"
	"testing"

	"github.com/anteroom/anteroom/routing"
)

// Property is a sentence that is true of a good policy.
type Property string

// The properties, in the order in which they are checked.
const (
	Decides       Property = "decides exactly one of agent, queue and wait, without panic"
	Explains      Property = "gives a reason for people"
	QueueOnly     Property = "gives work to agents of the queue only"
	Capacity      Property = "keeps within capacity"
	Skills        Property = "demands every skill of the queue"
	OnlineFirst   Property = "prefers agents who are online"
	WaitsOffline  Property = "waits when none is online and the queue says wait"
	AnyAgent      Property = "gives work to some agent when none is online and the queue says any"
	Prompt        Property = "never waits while an online agent has room"
	OverflowsOnly Property = "moves work to the overflow queue only, and only when that is due"
	OverflowsDue  Property = "moves waiting work when the overflow is due"
	Wakes         Property = "asks to be woken when the overflow falls due"
	Pure          Property = "answers the same for the same snapshot and seed"
	Untouched     Property = "leaves the snapshot as it was"
	Concurrent    Property = "answers the same when asked concurrently"
	Fair          Property = "shares work among equal agents"
)

// Violation is a property that a policy does not have, and how that shows.
type Violation struct {
	Property Property
	Detail   string // the situation, what was decided and what was due
}

// String returns the violation as one sentence.
func (v Violation) String() string { return fmt.Sprintf("not so: %s: %s", v.Property, v.Detail) }

// Run checks each property in a subtest of its own, apart from the ones given
// in except, which show as skipped.
func Run(t *testing.T, p routing.Policy, except ...Property) {
	t.Helper()
	for _, pr := range properties() {
		t.Run(string(pr.name), func(t *testing.T) {
			if slices.Contains(except, pr.name) {
				t.Skip("left out by the caller")
			}
			if detail := pr.check(p); detail != "" {
				t.Error(Violation{pr.name, detail})
			}
		})
	}
}

// Check returns the properties that p does not have, apart from the ones given
// in except: none for a good policy. It is Run without a test.
func Check(p routing.Policy, except ...Property) []Violation {
	var out []Violation
	for _, pr := range properties() {
		if slices.Contains(except, pr.name) {
			continue
		}
		if detail := pr.check(p); detail != "" {
			out = append(out, Violation{pr.name, detail})
		}
	}
	return out
}

// property checks one sentence; an empty answer means that it is true.
type property struct {
	name  Property
	check func(p routing.Policy) string
}

func properties() []property {
	return []property{
		{Decides, each(decidesOne)},
		{Explains, each(explains)},
		{QueueOnly, each(queueOnly)},
		{Capacity, each(capacity)},
		{Skills, each(skills)},
		{OnlineFirst, each(onlineFirst)},
		{WaitsOffline, each(waitsOffline)},
		{AnyAgent, each(anyAgent)},
		{Prompt, each(prompt)},
		{OverflowsOnly, each(overflowsOnly)},
		{OverflowsDue, each(overflowsDue)},
		{Wakes, each(wakes)},
		{Pure, pure},
		{Untouched, untouched},
		{Concurrent, concurrent},
		{Fair, fair},
	}
}
