package ticket_test

import (
	"errors"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

// heldMail is a mail that its channel wants held, with a file.
func (o *office) heldMail() *channel.Item {
	o.t.Helper()
	it := o.net.Item(box, channel.Message{From: from("mai@c.example"), Text: "zebra"})
	it.Quarantined, it.Detail, it.Raw = "policy", "a zebra is not liked", channel.Bytes("the zebra raw form")
	it.Message.Attachments = []channel.Attachment{{Name: "zebra.txt", Size: 30, Body: channel.Bytes(strings.Repeat("zebra", 6))}}
	return it
}

func (o *office) held() []*ticket.Item {
	o.t.Helper()
	items, _, err := o.desk.Quarantine(o.ctx, ticket.Page{})
	require.NoError(o.t, err)
	return items
}

func TestWhatIsDiscardedIsGoneAndStaysKnown(t *testing.T) {
	for name, change := range map[string]func(*ticket.Config){"in the store": nil, "in Blobs": withBlobs} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, change, func(o *office) {
				ch := o.mailbox(box, ticket.Settings{Queue: "support", AutoReply: ticket.AutoReply{On: true, Body: "We have it"}})
				it := o.heldMail()
				require.NoError(t, o.net.Deliver(o.ctx, box, it))
				id, received := o.held()[0].ID, o.ledger().Received
				raw, err := o.desk.RawItem(o.ctx, id)
				require.NoError(t, err)
				body, err := channel.ReadBody(raw, 1<<20)
				require.NoError(t, err)
				require.Equal(t, "the zebra raw form", string(body))

				time.Sleep(time.Minute)
				got, err := o.desk.Discard(o.ctx, ticket.Agent("an"), id)
				require.NoError(t, err)
				require.Equal(t, ticket.DisposedIgnored, got.Disposition)
				require.Equal(t, ticket.CauseDiscarded, got.Cause)
				require.Empty(t, o.held())
				_, err = o.desk.RawItem(o.ctx, id)
				require.ErrorIs(t, err, ticket.ErrNotFound)
				o.erased("zebra", "mai@")
				l := o.ledger()
				require.Equal(t, received, l.Received)
				require.Empty(t, l.Quarantined)
				require.Equal(t, map[channel.Cause]int64{ticket.CauseDiscarded: 1}, l.Ignored)
				es := o.events()
				last := es[len(es)-1]
				require.Equal(t, ticket.EventItemDiscarded, last.Type)
				require.Equal(t, ticket.Agent("an"), last.Actor)
				require.Equal(t, time.Now().UTC().Truncate(time.Microsecond), last.At)
				require.Equal(t, map[string]string{"item": string(id), "was": "quarantined", "cause": "policy"}, last.Data)

				again, err := o.desk.Discard(o.ctx, ticket.Agent("bo"), id)
				require.NoError(t, err)
				require.Equal(t, got, again)
				require.Len(t, o.events(), len(es), "it was discarded once")
				_, err = o.desk.Release(o.ctx, ticket.Agent("an"), id)
				require.ErrorIs(t, err, ticket.ErrState)
				require.NoError(t, o.net.Deliver(o.ctx, box, it))
				l.Duplicates++
				require.Equal(t, l, o.ledger(), "its source may send it again")
				require.Empty(t, o.tickets())

				o.write(box, "quy@c.example", "Subject", "text")
				require.NoError(t, o.net.Deliver(o.ctx, box, o.heldMail()))
				released := o.held()[0].ID
				_, err = o.desk.Release(o.ctx, ticket.Agent("an"), released)
				require.NoError(t, err)
				_, err = o.desk.Discard(o.ctx, ticket.Agent("an"), released)
				require.ErrorIs(t, err, ticket.ErrState, "it is a message")
				_, err = o.desk.RawItem(o.ctx, released)
				require.ErrorIs(t, err, ticket.ErrNotFound)
				require.Contains(t, o.everything(), "zebra")

				require.NoError(t, o.net.Deliver(o.ctx, box, o.heldMail()))
				require.NoError(t, o.desk.Disconnect(o.ctx, ch.ID))
				_, err = o.desk.Discard(o.ctx, ticket.Agent("an"), o.held()[0].ID)
				require.NoError(t, err, "of a channel that was removed, too")
			})
		})
	}
}

func TestADiscardWhoseAnswerWasLostCanBeRepeated(t *testing.T) {
	inOffice(t, withBlobs, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		require.NoError(t, o.net.Deliver(o.ctx, box, o.heldMail()))
		id := o.held()[0].ID
		for _, at := range []string{"commit", "committed"} {
			done := false
			o.back.Fail(func(op string) error {
				if op == at && !done {
					done = true
					return errors.New("the store is down")
				}
				return nil
			})
			_, err := o.desk.Discard(o.ctx, ticket.Agent("an"), id)
			require.ErrorContains(t, err, "the store is down", at)
		}
		o.back.Fail(nil)
		got, err := o.desk.Discard(o.ctx, ticket.Agent("an"), id)
		require.NoError(t, err)
		require.Equal(t, ticket.CauseDiscarded, got.Cause)
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		require.Empty(t, o.blobs(), "the sweep finds what the lost answer left")
		o.ledger()
	})
}

func TestWhatNobodyCouldReadIsDiscardedAndNamesAnErasedPersonNoMore(t *testing.T) {
	inOffice(t, withBlobs, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: crude, Mail: true, Raw: true}, ticket.Settings{})
		for range 20 {
			o.net.FailInterpret(crude, errors.New("cannot be read"))
		}
		take := func(text string) {
			it := o.net.Item(crude, channel.Message{})
			it.Message, it.Raw = nil, channel.Bytes(text)
			require.NoError(t, o.net.Deliver(o.ctx, crude, it))
		}
		take("From: mai@c.example, poison")
		time.Sleep(48 * time.Hour)
		synctest.Wait()
		require.Len(t, o.held(), 1)
		o.net.FailInterpret(crude, &channel.NotNowError{After: 100 * time.Hour})
		take("From: mai@c.example, waiting")
		o.settle()
		require.EqualValues(t, 1, o.ledger().Waiting)

		_, err := o.desk.Erase(o.ctx, ticket.Agent("an"), mai)
		require.NoError(t, err)
		list, err := o.desk.Traces(o.ctx, mai)
		require.NoError(t, err)
		require.Len(t, list.Unread, 2)
		for _, id := range list.Unread {
			_, err := o.desk.Discard(o.ctx, ticket.Agent("an"), id)
			require.NoError(t, err)
		}
		list, err = o.desk.Traces(o.ctx, mai)
		require.NoError(t, err)
		require.Empty(t, list.Unread)
		o.erased("mai@")
		time.Sleep(1000 * time.Hour)
		synctest.Wait()
		require.Empty(t, o.tickets(), "what waited is not interpreted any more")
		l := o.ledger()
		require.Equal(t, map[channel.Cause]int64{ticket.CauseDiscarded: 2}, l.Ignored)
		require.Zero(t, l.Waiting)
		d, ok := o.cfg.Store.(ticket.Dumper)
		require.True(t, ok)
		works, _, err := d.Dump(o.ctx, ticket.TableWorks, ticket.Page{})
		require.NoError(t, err)
		require.Empty(t, works.Works)
	})
}

// meanwhile has f done once, just before the next commit.
func (o *office) meanwhile(f func()) {
	o.t.Helper()
	var done atomic.Bool
	o.back.Fail(func(op string) error {
		if op == "commit" && done.CompareAndSwap(false, true) {
			f()
		}
		return nil
	})
	o.t.Cleanup(func() { require.True(o.t, done.Load()) })
}

func TestOfReleaseAndDiscardAtOnceOneSucceeds(t *testing.T) {
	for name, first := range map[string]bool{"released first": true, "discarded first": false} {
		t.Run(name, func(t *testing.T) {
			inOffice(t, withBlobs, func(o *office) {
				o.mailbox(box, ticket.Settings{})
				require.NoError(t, o.net.Deliver(o.ctx, box, o.heldMail()))
				id := o.held()[0].ID
				release := func() error { _, err := o.desk.Release(o.ctx, ticket.Agent("an"), id); return err }
				discard := func() error { _, err := o.desk.Discard(o.ctx, ticket.Agent("bo"), id); return err }
				win, lose := discard, release
				if first {
					win, lose = release, discard
				}
				o.meanwhile(func() { require.NoError(t, win()) })
				require.ErrorIs(t, lose(), ticket.ErrState)
				l := o.ledger()
				if !first {
					require.EqualValues(t, 1, l.Ignored[ticket.CauseDiscarded])
					require.Empty(t, o.tickets())
					o.erased("zebra")
					return
				}
				require.EqualValues(t, 1, l.Messages)
				m := o.timeline(o.only().ID)[0]
				_, f, err := o.desk.OpenAttachment(o.ctx, m.Attachments[0].ID)
				require.NoError(t, err, "nothing of it went")
				require.NoError(t, f.Close())
			})
		})
	}
}

func TestWhatIsDiscardedWhileItIsInterpretedStaysDiscarded(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: crude, Mail: true, Raw: true}, ticket.Settings{})
		o.net.FailInterpret(crude, &channel.NotNowError{After: time.Hour})
		o.deliver(crude, mail("mai@c.example", "raw"))
		items, _, err := o.cfg.Store.Items(o.ctx, ticket.ItemFilter{Disposition: ticket.DisposedWaiting}, ticket.Page{})
		require.NoError(t, err)
		require.Len(t, items, 1)
		o.meanwhile(func() {
			_, err := o.desk.Discard(o.ctx, ticket.Agent("an"), items[0].ID)
			require.NoError(t, err)
		})
		time.Sleep(100 * time.Hour)
		synctest.Wait()
		require.EqualValues(t, 1, o.ledger().Ignored[ticket.CauseDiscarded])
		require.Empty(t, o.tickets())
		o.erased("mai@")
	})
}
