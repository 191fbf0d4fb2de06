package ticket_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

// withBlobs keeps every body of more than ten bytes in blobs.
func withBlobs(c *ticket.Config) {
	c.Blobs = memstore.NewBlobs()
	c.Limits.InlineBody = 10
}

// blobs lists what is in Blobs.
func (o *office) blobs() (ids []ticket.BodyID) {
	o.t.Helper()
	require.NoError(o.t, o.cfg.Blobs.List(o.ctx, func(id ticket.BodyID, _ int64, _ time.Time) bool {
		ids = append(ids, id)
		return true
	}))
	return ids
}

func (o *office) put(id ticket.BodyID) {
	o.t.Helper()
	_, err := o.cfg.Blobs.Put(o.ctx, id, strings.NewReader("nobody's content"))
	require.NoError(o.t, err)
}

// mark returns the part of the ids that is the portal's own.
func mark(id ticket.BodyID) string {
	m, _, _ := strings.Cut(string(id), "-")
	return m + "-"
}

func TestBodiesThatNothingRefersToAreCollectedAndOthersAreNot(t *testing.T) {
	inOffice(t, withBlobs, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		deliver := func(n string, change func(it *channel.Item)) {
			it := o.net.Item(box, mail("mai@c.example", n))
			it.Raw = channel.Bytes("the raw form of " + n)
			change(it)
			require.NoError(t, o.net.Deliver(o.ctx, box, it))
			o.settle()
		}
		deliver("a", func(*channel.Item) {})
		deliver("b", func(it *channel.Item) { it.Quarantined = "policy" })
		deliver("c", func(it *channel.Item) {
			it.Quarantined = "policy"
			it.Message.Attachments = []channel.Attachment{{Name: "f", Size: 30, Body: channel.Bytes(strings.Repeat("f", 30))}}
		})
		deliver("d", func(it *channel.Item) { it.Message, it.Ignored = nil, channel.CauseLoop })
		kept := o.blobs()
		require.Len(t, kept, 4, "three raw forms and a file; of what is ignored nothing is kept")

		ours := ticket.BodyID(mark(kept[0]) + "orphan")
		fresh := ticket.BodyID(mark(kept[0]) + "fresh")
		foreign := ticket.BodyID("019ca000-0000-7000-8000-000000000001")
		o.put(ours)
		o.put(foreign)
		time.Sleep(20 * time.Hour)
		require.Contains(t, o.blobs(), ours, "it is younger than Timing.OrphanAge")
		o.put(fresh)
		time.Sleep(12 * time.Hour)
		require.ElementsMatch(t, append([]ticket.BodyID{fresh, foreign}, kept...), o.blobs())
		time.Sleep(30 * time.Hour)
		require.ElementsMatch(t, append([]ticket.BodyID{foreign}, kept...), o.blobs())

		// What is released is a message's, and can still be read.
		held, _, err := o.desk.Quarantine(o.ctx, ticket.Page{})
		require.NoError(t, err)
		require.Len(t, held, 2)
		for _, i := range held {
			_, err := o.desk.Release(o.ctx, ticket.Actor{}, i.ID)
			require.NoError(t, err)
		}
		time.Sleep(72 * time.Hour)
		require.ElementsMatch(t, append([]ticket.BodyID{foreign}, kept...), o.blobs())
		for _, tk := range o.tickets() {
			for _, m := range o.timeline(tk.ID) {
				raw, err := o.desk.Raw(o.ctx, m.ID)
				require.NoError(t, err)
				_, err = channel.ReadBody(raw, 1000)
				require.NoError(t, err)
			}
			require.NoError(t, o.desk.DeleteTicket(o.ctx, ticket.Actor{}, tk.ID))
		}
		require.Equal(t, []ticket.BodyID{foreign}, o.blobs(), "what is deleted goes at once")
	})
}

func TestABodyIsNotCollectedForTheTimeItTookToArrive(t *testing.T) {
	inOffice(t, withBlobs, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		it := o.net.Item(box, mail("mai@c.example", "slow"))
		it.Raw = slowBody{text: strings.Repeat("slow ", 10), pause: 10 * time.Hour}
		require.NoError(t, o.net.Deliver(o.ctx, box, it))
		raw, err := o.desk.Raw(o.ctx, o.timeline(o.only().ID)[0].ID)
		require.NoError(t, err)
		got, err := channel.ReadBody(raw, 1000)
		require.NoError(t, err)
		require.Equal(t, strings.Repeat("slow ", 10), string(got))
	})
}

// slowBody pauses before each ten bytes.
type slowBody struct {
	text  string
	pause time.Duration
}

func (b slowBody) Size() int64 { return int64(len(b.text)) }

func (b slowBody) Open() (io.ReadCloser, error) {
	r := strings.NewReader(b.text)
	return io.NopCloser(readerOf(func(p []byte) (int, error) {
		time.Sleep(b.pause)
		return r.Read(p[:min(len(p), 10)])
	})), nil
}

type readerOf func(p []byte) (int, error)

func (f readerOf) Read(p []byte) (int, error) { return f(p) }

// lateStore commits after a random pause, during which nobody knows of it.
type lateStore struct {
	ticket.Store
	pause func() time.Duration
}

func (s lateStore) Commit(ctx context.Context, c *ticket.Changes) error {
	if len(c.Items)+len(c.Messages) > 0 {
		time.Sleep(s.pause())
	}
	return s.Store.Commit(ctx, c)
}

// faultyBlobs fail at random, before or after having done it.
type faultyBlobs struct {
	ticket.Blobs
	fail func(op string) error
}

func (b faultyBlobs) Put(ctx context.Context, id ticket.BodyID, r io.Reader) (int64, error) {
	n, err := b.Blobs.Put(ctx, id, r)
	return n, errors.Join(err, b.fail("put"))
}

func (b faultyBlobs) Delete(ctx context.Context, id ticket.BodyID) error {
	if err := b.fail("delete"); err != nil {
		return err
	}
	return errors.Join(b.Blobs.Delete(ctx, id), b.fail("deleted"))
}

// TestWhateverFailsTheBodiesThatAreThereAreThoseReferredTo lets two nodes take
// mail in, release, delete and sweep at once. Commits take longer than the age
// from which orphans are collected, and the store and Blobs fail at random.
func TestWhateverFailsTheBodiesThatAreThereAreThoseReferredTo(t *testing.T) {
	for seed := range uint64(faultSeeds) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			var mu sync.Mutex
			rnd := rand.New(rand.NewPCG(seed, 2))
			roll := func(n int) int { mu.Lock(); defer mu.Unlock(); return rnd.IntN(n) }
			calm := false
			fail := func(op string) error {
				mu.Lock()
				defer mu.Unlock()
				if !calm && rnd.IntN(12) == 0 {
					return errors.New("failed at " + op)
				}
				return nil
			}
			inOffice(t, func(c *ticket.Config) {
				withBlobs(c)
				c.Blobs = faultyBlobs{c.Blobs, fail}
				c.Store = lateStore{c.Store, func() time.Duration { return time.Duration(roll(5)) * 40 * time.Second }}
				c.Timing.Sweep, c.Timing.OrphanAge = 30*time.Second, time.Minute
			}, func(o *office) {
				box := o.mailbox(box, ticket.Settings{Queue: "support"}).ID
				other, err := ticket.New(o.cfg)
				require.NoError(t, err)
				ctx, cancel := context.WithCancel(o.ctx)
				done := make(chan error, 1)
				go func() { done <- other.Run(ctx) }()
				desks := []*ticket.Desk{o.desk, other}
				o.back.Fail(fail)
				acked := map[string]string{} // raw by external id
				deleted := map[string]bool{}
				var busy sync.WaitGroup
				for n := range 40 {
					busy.Go(func() {
						time.Sleep(time.Duration(roll(1200)) * time.Second)
						id := fmt.Sprint(n)
						m := mail(fmt.Sprintf("c%d@c.example", n%5), id)
						m.Attachments = []channel.Attachment{{Name: "f", Size: 40, Body: channel.Bytes(strings.Repeat("f", 40))}}
						it := &channel.Item{Channel: box, Keys: []channel.Key{channel.Key("item:" + id)}, Message: &m, Raw: channel.Bytes("the raw form of " + id)}
						if roll(4) == 0 {
							it.Quarantined = "policy"
						}
						for range 8 {
							if err := desks[roll(2)].Accept(o.ctx, it); err == nil {
								mu.Lock()
								acked[id+"@c"] = "the raw form of " + id
								mu.Unlock()
								return
							}
							time.Sleep(time.Duration(roll(90)) * time.Second)
						}
					})
				}
				busy.Go(func() {
					for range 60 {
						time.Sleep(time.Duration(roll(60)) * time.Second)
						d := desks[roll(2)]
						if held, _, err := d.Quarantine(o.ctx, ticket.Page{}); err == nil && len(held) > 0 && roll(2) == 0 {
							_, _ = d.Release(o.ctx, ticket.Actor{}, held[roll(len(held))].ID)
							_, _ = desks[roll(2)].Discard(o.ctx, ticket.Actor{}, held[roll(len(held))].ID)
						}
						if ts, _, err := d.Tickets(o.ctx, ticket.TicketFilter{}, ticket.Page{}); err == nil && len(ts) > 0 && roll(4) == 0 {
							ms, _, err := d.Timeline(o.ctx, ticket.MessageFilter{Ticket: ts[roll(len(ts))].ID}, ticket.Page{})
							if err == nil && len(ms) > 0 {
								m := ms[roll(len(ms))]
								_, _ = d.DeleteMessage(o.ctx, ticket.Actor{}, m.ID)
								mu.Lock()
								deleted[m.ExternalIDs[0]] = true
								mu.Unlock()
							}
						}
					}
				})
				busy.Wait()
				mu.Lock()
				calm = true
				mu.Unlock()
				o.back.Fail(nil)
				time.Sleep(time.Hour)
				cancel()
				require.NoError(t, <-done)
				synctest.Wait()

				want := map[ticket.BodyID]bool{}
				seen := map[string]bool{}
				for _, tk := range o.tickets() {
					for _, m := range o.timeline(tk.ID) {
						ext := m.ExternalIDs[0]
						seen[ext] = true
						if !m.RedactedAt.IsZero() {
							require.True(t, deleted[ext])
							continue
						}
						for _, ref := range []ticket.BodyRef{m.Raw, m.Attachments[0].Body} {
							require.True(t, ref.Blob)
							want[ref.ID] = true
						}
						raw, err := o.desk.Raw(o.ctx, m.ID)
						require.NoError(t, err)
						got, err := channel.ReadBody(raw, 1000)
						require.NoError(t, err, ext)
						require.Equal(t, "the raw form of "+strings.TrimSuffix(ext, "@c"), string(got))
					}
				}
				held, _, err := o.desk.Quarantine(o.ctx, ticket.Page{Limit: 500})
				require.NoError(t, err)
				for _, i := range held {
					want[i.Raw.ID] = true
				}
				files := 0
				for _, id := range o.blobs() {
					if !want[id] {
						files++ // of what is still held; these are not listed by the item
					}
					delete(want, id)
				}
				require.Empty(t, want, "what is referred to is there")
				require.Equal(t, len(held), files, "and nothing else is")
				files += int(o.ledger().Ignored[ticket.CauseDiscarded])
				for id := range acked {
					if !seen[id] {
						files--
					}
				}
				require.GreaterOrEqual(t, files, 0, "what was acknowledged is a message, held, or discarded")
				require.NotEmpty(t, acked)
			})
		})
	}
}
