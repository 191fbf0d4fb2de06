package ticket_test

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/memstore"
)

var mai = ticket.Person{Identities: []ticket.Identity{{Scheme: "mailto", Address: "mai@c.example"}}} //nolint:gochecknoglobals // never changed

// everything is all that the store and Blobs hold, as text.
func (o *office) everything() string {
	o.t.Helper()
	d, ok := o.cfg.Store.(ticket.Dumper)
	require.True(o.t, ok)
	var b strings.Builder
	for _, table := range []ticket.Table{ticket.TableRecords, ticket.TableContacts, ticket.TableConversations, ticket.TableTickets, ticket.TableBodies,
		ticket.TableMessages, ticket.TableItems, ticket.TableDecisions, ticket.TableWorks, ticket.TableCounters, ticket.TableEvents} {
		p := ticket.Page{Limit: 500}
		for {
			c, next, err := d.Dump(o.ctx, table, p)
			require.NoError(o.t, err)
			doc, err := json.Marshal(c)
			require.NoError(o.t, err)
			b.Write(doc)
			for _, i := range c.Items {
				b.Write(i.Held)
			}
			for _, body := range c.Bodies {
				b.Write(body.Data)
			}
			for _, r := range c.Records {
				b.Write(r.Doc)
			}
			if next == "" {
				break
			}
			p.After = next
		}
	}
	if o.cfg.Blobs != nil {
		for _, id := range o.blobs() {
			r, err := o.cfg.Blobs.Open(o.ctx, id)
			require.NoError(o.t, err)
			_, err = io.Copy(&b, r)
			require.NoError(o.t, err)
		}
	}
	return strings.ToLower(b.String())
}

// erased looks for traces in everything.
func (o *office) erased(traces ...string) {
	o.t.Helper()
	all := o.everything()
	for _, trace := range traces {
		if i := strings.Index(all, trace); i >= 0 {
			o.t.Errorf("%q is left: ...%s...", trace, all[max(0, i-300):min(len(all), i+100)])
		}
	}
}

// wrote has mai write, be answered, be held, and be in others' mail.
func (o *office) wrote() {
	o.mailbox(box, ticket.Settings{Queue: "support", AutoReply: ticket.AutoReply{On: true, Body: "Dear {{customer.name}}"}, NotifyAgent: true})
	for _, n := range []string{"first", "second"} {
		it := o.net.Item(box, channel.Message{From: channel.Party{Name: "Mai Zebra", Address: "Mai+x@c.example"}, Subject: "Zebra " + n, Text: "zebra words"})
		it.Raw = channel.Bytes("the zebra raw form")
		it.Message.Attachments = []channel.Attachment{{Name: "zebra.txt", Size: 30, Body: channel.Bytes(strings.Repeat("zebra", 5))}}
		require.NoError(o.t, o.net.Deliver(o.ctx, box, it))
		o.settle()
	}
	it := o.net.Item(box, channel.Message{From: channel.Party{Name: "Mai Zebra", Address: "mai@c.example"}, Subject: "Zebra held", Text: "zebra"})
	it.Quarantined, it.Raw, it.Detail = "policy", channel.Bytes("a zebra raw form of what is held"), "mai@c.example is not liked"
	require.NoError(o.t, o.net.Deliver(o.ctx, box, it))
	o.settle()
	ts := o.tickets()
	o.net.Fail(box, channeltest.Fault{Refused: []string{"Mai+x@c.example"}})
	o.reply(ts[0].ID, "an answer with zebra")
	time.Sleep(time.Minute)
	o.reply(ts[1].ID, "a pending zebra")
	_, err := o.desk.Note(o.ctx, "an", ts[0].ID, "a note on the zebra")
	require.NoError(o.t, err)
	o.write(box, "quy@c.example", "Other", "other words")
	// Quy's own, with mai in copy; the mail is Quy's.
	it = o.net.Item(box, channel.Message{From: channel.Party{Name: "Quy", Address: "quy@c.example"}, Cc: []channel.Party{{Name: "Mai Zebra", Address: "mai@c.example"}},
		Subject: "Together", Text: "together words"})
	it.Raw = channel.Bytes("what quy sent stays as quy sent it")
	require.NoError(o.t, o.net.Deliver(o.ctx, box, it))
	o.settle()
}

func TestAPersonIsErasedEverywhere(t *testing.T) {
	inOffice(t, withBlobs, func(o *office) {
		o.wrote()
		ledger := o.ledger()
		before := o.everything()
		require.Contains(t, before, "zebra")
		list, err := o.desk.Traces(o.ctx, mai)
		require.NoError(t, err)
		require.Equal(t, before, o.everything(), "a preview changes nothing")
		require.Len(t, list.Contacts, 1)
		require.Len(t, list.Conversations, 2)
		require.Len(t, list.Tickets, 2)
		require.Len(t, list.Shared, 1)
		require.Len(t, list.Mentions, 1)
		require.Len(t, list.Kept, 1)
		require.NotEmpty(t, list.Keys)
		require.NotEmpty(t, list.Counters)
		require.NotEmpty(t, list.Bodies)
		require.NotEmpty(t, list.Works)
		require.NotEmpty(t, list.Undeliverable)
		require.NotEmpty(t, list.Decisions)

		erased, err := o.desk.Erase(o.ctx, ticket.Agent("an"), mai)
		require.NoError(t, err)
		require.Equal(t, list, erased)
		o.erased("zebra", "mai@", "mai+x", "erasure")
		proof, err := o.desk.Traces(o.ctx, mai)
		require.NoError(t, err)
		require.True(t, proof.Empty(), "%+v", proof)
		again, err := o.desk.Erase(o.ctx, ticket.Actor{}, mai)
		require.NoError(t, err)
		require.True(t, again.Empty())
		found, _, err := o.desk.Search(o.ctx, "zebra", ticket.Page{})
		require.NoError(t, err)
		require.Empty(t, found)

		// Others are as they were.
		after := o.everything()
		require.Len(t, o.tickets(), 2)
		for _, text := range []string{"other words", "together words", "quy@c.example"} {
			require.Contains(t, after, text)
		}
		found, _, err = o.desk.Search(o.ctx, "together", ticket.Page{})
		require.NoError(t, err)
		require.Len(t, found, 1)
		now := o.ledger()
		require.Equal(t, ledger.Received, now.Received)
		require.Equal(t, 1, int(now.Ignored[ticket.CauseErased]))

		// What was pending is not sent, and who writes again is somebody new.
		sent := len(o.net.Sent(box))
		time.Sleep(time.Hour)
		synctest.Wait()
		require.Len(t, o.net.Sent(box), sent)
		o.write(box, "mai@c.example", "Hello", "again")
		require.Len(t, o.tickets(), 3)
		agents, err := o.desk.Agents(o.ctx)
		require.NoError(t, err)
		load := 0
		for _, a := range agents {
			load += a.Load
		}
		require.Equal(t, 3, load, "closed tickets load nobody")
	})
}

func TestAnErasureThatACrashCutOffIsCompleted(t *testing.T) {
	inOffice(t, withBlobs, func(o *office) {
		o.wrote()
		o.stop()
		contact, err := o.desk.Traces(o.ctx, mai)
		require.NoError(t, err)
		who := ticket.Person{Contact: contact.Contacts[0]}
		// Each try fails one commit later than the one before.
		crashed := errors.New("the process ends")
		for at := 1; ; at++ {
			n := 0
			o.back.Fail(func(op string) error {
				if op == "commit" {
					if n++; n >= at {
						return crashed
					}
				}
				return nil
			})
			_, err := o.desk.Erase(o.ctx, ticket.Actor{}, who)
			if err == nil {
				break
			}
			require.ErrorIs(t, err, crashed)
			if at%5 == 0 {
				break // the rest is for Run
			}
		}
		o.back.Fail(nil)
		o.open()
		time.Sleep(40 * time.Hour) // bodies that nothing refers to any more are orphans
		o.erased("zebra", "mai@", "mai+x", "erasure")
	})
}

func TestAnErasureWaitsForWhatIsBeingSent(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		o.write(box, "mai@c.example", "Zebra", "zebra")
		o.net.Fail(box, channeltest.Fault{Hang: true, Early: true})
		o.reply(o.only().ID, "a zebra on its way")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		_, err := o.desk.Erase(o.ctx, ticket.Actor{}, mai)
		require.ErrorIs(t, err, ticket.ErrBusy)
		o.stop()
		time.Sleep(time.Hour)
		o.open() // completes it
		time.Sleep(time.Hour)
		synctest.Wait()
		o.erased("zebra", "mai@")
	})
}

func TestWhoIsErasedIsNamed(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		_, err := o.desk.Traces(o.ctx, ticket.Person{})
		require.ErrorIs(t, err, ticket.ErrNotFound)
		list, err := o.desk.Erase(o.ctx, ticket.Actor{}, ticket.Person{Contact: "nobody", Identities: []ticket.Identity{{Scheme: "mailto", Address: " "}}})
		require.NoError(t, err)
		require.True(t, list.Empty())
		cfg := o.cfg
		cfg.Store = struct{ ticket.Store }{memstore.New().Portal("main")}
		d, err := ticket.New(cfg)
		require.NoError(t, err)
		_, err = d.Erase(o.ctx, ticket.Actor{}, mai)
		require.ErrorIs(t, err, errors.ErrUnsupported)
	})
}
