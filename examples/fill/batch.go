package main

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strconv"
	"time"

	"github.com/google/uuid"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// A ticket is opened at each pace since first: a million take three years.
const pace = 90 * time.Second

var first = time.Date(2023, 1, 2, 0, 0, 0, 0, time.UTC)

// batchSize is how many tickets are made together, in some 25 hours.
const batchSize = 1000

// together is how many batches one commit writes. With more a page of keys is
// written less often, and the tool needs more memory.
const together = 8

// mailbox is a channel of the portal.
type mailbox struct {
	id      channel.ID
	address string
}

// batch makes tickets with all that happened to them, in the
// order of time. It depends on the seed and its number only, so what a store
// lacks can be added at any time.
type batch struct {
	number  int
	rnd     *rand.Rand
	writers [len(languages)]*writer
	boxes   [len(languages)]mailbox // by language
	ids     int                     // made so far
	threads []*thread
	later   []later
	end     time.Time // everything in the batch is before it
	load    map[routing.AgentID]int64
	c       ticket.Changes
}

// later is what will happen to a ticket of the batch, among what happens to
// others.
type later struct {
	at time.Time
	do func(at time.Time)
}

func newBatch(seed uint64, number int, boxes [len(languages)]mailbox) *batch {
	b := &batch{
		number: number, boxes: boxes, load: map[routing.AgentID]int64{},
		rnd: rand.New(rand.NewPCG(seed, uint64(number))), // the same each time
		end: first.Add(time.Duration(number+1) * batchSize * pace),
	}
	for i := range languages {
		b.writers[i] = newWriter(&languages[i], b.rnd)
	}
	return b
}

// batchKey marks a batch that is in the store.
func batchKey(seed uint64, number int) ticket.Key {
	return ticket.NewKey("fill", strconv.FormatUint(seed, 10), strconv.Itoa(number))
}

// changes returns the commit. It is to be called once.
func (b *batch) changes(seed uint64) *ticket.Changes {
	b.c.At = b.end
	b.claim(batchKey(seed, b.number), "fill", strconv.Itoa(b.number))
	for i := range batchSize {
		n := b.number*batchSize + i
		at := first.Add(time.Duration(n) * pace)
		b.until(at)
		b.open(n, at)
	}
	b.until(b.end)
	for _, a := range agents() {
		if n := b.load[a.ID]; n > 0 {
			b.c.Counts = append(b.c.Counts, ticket.Count{Name: "load:" + string(a.ID), Add: n})
		}
	}
	return &b.c
}

// until lets happen what was to happen by a time.
func (b *batch) until(at time.Time) {
	for {
		next := -1
		for i, l := range b.later {
			if !l.at.After(at) && (next < 0 || l.at.Before(b.later[next].at)) {
				next = i
			}
		}
		if next < 0 {
			return
		}
		l := b.later[next]
		b.later = slices.Delete(b.later, next, next+1)
		l.do(l.at)
	}
}

// after lets do happen some time after at: about a mean, and within the batch.
func (b *batch) after(at time.Time, mean time.Duration, do func(at time.Time)) {
	delay := time.Minute + time.Duration(b.rnd.ExpFloat64()*float64(mean))
	if left := b.end.Sub(at); delay >= left {
		delay = time.Duration(b.rnd.Int64N(int64(left)))
	}
	b.later = append(b.later, later{at.Add(delay).Truncate(time.Microsecond), do})
}

func (b *batch) claim(k ticket.Key, kind ticket.RefKind, id string) {
	b.c.Claims = append(b.c.Claims, ticket.KeyClaim{Key: k, Ref: ticket.Ref{Kind: kind, ID: id}})
}

// id returns a UUID of version 7 (RFC 9562) for a time. What follows the time is
// a count, so that what is made together sorts as it was made.
func (b *batch) id(at time.Time) string {
	var u uuid.UUID
	ms := at.UnixMilli()
	for i := range 6 {
		u[i] = byte(ms >> (40 - 8*i))
	}
	b.ids++
	u[6], u[7] = 0x70|byte(b.ids>>16)&0x0f, byte(b.ids>>8)
	random := b.rnd.Uint64()
	for i := range 8 {
		u[8+i] = byte(random >> (8 * i))
	}
	u[8] = 0x80 | byte(b.ids>>2)&0x3f
	u[9] = byte(b.ids<<6) | u[9]&0x3f
	return u.String()
}

func (b *batch) event(e ticket.Event, at time.Time) {
	e.ID, e.At = b.id(at), at
	if e.Actor.Kind == "" {
		e.Actor.Kind = ticket.ActorHost
	}
	b.c.Events = append(b.c.Events, &e)
}

func (b *batch) decide(d ticket.Decision, at time.Time) {
	d.ID, d.At = b.id(at), at
	b.c.Decisions = append(b.c.Decisions, &d)
}

// one returns true once in n times.
func (b *batch) one(n int) bool { return b.rnd.IntN(n) == 0 }

// joined makes batches into one commit. Its claims are in the order of their keys,
// so that a page of keys is found once, and written once.
func joined(seed uint64, numbers []int, boxes [len(languages)]mailbox) *ticket.Changes {
	c := &ticket.Changes{}
	for _, n := range numbers {
		join(c, newBatch(seed, n, boxes).changes(seed))
	}
	slices.SortFunc(c.Claims, func(a, b ticket.KeyClaim) int { return bytes.Compare(a.Key[:], b.Key[:]) })
	return c
}

// join adds a batch to a commit.
func join(c, batch *ticket.Changes) {
	c.At = batch.At
	c.Claims = append(c.Claims, batch.Claims...)
	c.Counts = append(c.Counts, batch.Counts...)
	c.Contacts = append(c.Contacts, batch.Contacts...)
	c.Conversations = append(c.Conversations, batch.Conversations...)
	c.Tickets = append(c.Tickets, batch.Tickets...)
	c.Messages = append(c.Messages, batch.Messages...)
	c.Items = append(c.Items, batch.Items...)
	c.Bodies = append(c.Bodies, batch.Bodies...)
	c.Events = append(c.Events, batch.Events...)
	c.Decisions = append(c.Decisions, batch.Decisions...)
}
