package ticket_test

import (
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

func TestWhatIsKnownOfAnAddressIsErasedFromWhatOthersWereSentToo(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		o.write(box, "mai@c.example", "Subject", "text")
		tk := o.only()
		send := func(text string) *ticket.Message {
			m, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: text, Cc: []channel.Party{{Address: "quy@c.example"}}})
			require.NoError(t, err)
			time.Sleep(time.Minute)
			synctest.Wait()
			return o.message(m.ID)
		}
		o.net.Fail(box, channeltest.Fault{Refused: []string{"mai@c.example"}})
		require.Contains(t, send("to both").StateDetail, "mai@c.example")
		second := send("and again")
		require.NotEmpty(t, second.Warnings)

		_, err := o.desk.Erase(o.ctx, ticket.Actor{}, mai)
		require.NoError(t, err)
		o.erased("mai@")
		require.Equal(t, "and again", o.message(second.ID).Text, "quy was sent it, too")
		require.Contains(t, o.everything(), "quy@c.example")
	})
}

func TestAPersonIsNotTakenForAnotherWhoseAddressEndsAlike(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{AutoReply: ticket.AutoReply{On: true, Body: "We have it"}})
		o.write(box, "lan@c.example", "Subject", "text")
		time.Sleep(time.Minute)
		first := o.message(o.timeline(o.only().ID)[0].ID)
		o.net.Fail(box, channeltest.Fault{Refused: []string{"lan@c.example"}})
		gone := o.reply(o.only().ID, "an answer")
		time.Sleep(time.Minute)
		synctest.Wait()
		decided := func(id ticket.MessageID) []*ticket.Decision {
			all, err := o.desk.Explain(o.ctx, id)
			require.NoError(t, err)
			return all
		}
		before, why := decided(first.ID), decided(gone.ID)
		require.NotEmpty(t, why)
		for _, other := range []string{"an@c.example", "lan@c.exam", "lan@c.example.org"} {
			list, err := o.desk.Erase(o.ctx, ticket.Actor{}, ticket.Person{Identities: []ticket.Identity{{Scheme: "mailto", Address: other}}})
			require.NoError(t, err)
			require.True(t, list.Empty(), "%s: %+v", other, list)
		}
		require.Equal(t, before, decided(first.ID))
		require.Equal(t, why, decided(gone.ID))
	})
}

func TestWhoJoinsWhileAPersonIsErasedKeepsWhatIsTheirs(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		o.write(box, "mai@c.example", "Zebra", "zebra")
		tk := o.only()
		var done atomic.Bool
		var joined *ticket.Message
		o.back.Fail(func(op string) error {
			if op != "commit" || !done.CompareAndSwap(false, true) {
				return nil
			}
			// Traces have been looked for, and nothing has been removed.
			m, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "to quy as well", Cc: []channel.Party{{Name: "Quy", Address: "quy@c.example"}}})
			joined = m
			return err
		})
		_, err := o.desk.Erase(o.ctx, ticket.Actor{}, mai)
		o.back.Fail(nil)
		require.NoError(t, err)
		require.True(t, done.Load())
		time.Sleep(time.Minute)
		synctest.Wait()
		o.erased("mai@")
		conv, err := o.desk.Conversation(o.ctx, joined.Conversation)
		require.NoError(t, err)
		require.Len(t, conv.Participants, 1, "quy is told the rest, too")
		left, err := o.desk.Ticket(o.ctx, tk.ID)
		require.NoError(t, err)
		require.True(t, left.DeletedAt.IsZero(), "it is about quy by now")
		require.Equal(t, "to quy as well", o.message(joined.ID).Text)
	})
}

// It names the person nowhere but by the contact.
func TestWhatIsWrittenOfAPersonWhileTheyAreErasedGoesToo(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		o.write(box, "mai@c.example", "Zebra", "zebra")
		tk := o.only()
		var done atomic.Bool
		o.back.Fail(func(op string) error {
			if op != "commit" || !done.CompareAndSwap(false, true) {
				return nil
			}
			// Traces have been looked for, and nothing has been removed.
			_, err := o.desk.Note(o.ctx, "an", tk.ID, "a note on the zebra")
			return err
		})
		_, err := o.desk.Erase(o.ctx, ticket.Actor{}, mai)
		o.back.Fail(nil)
		require.NoError(t, err)
		require.True(t, done.Load())
		o.erased("zebra", "mai@")
	})
}

func TestWhatIsHeldOfOthersNamesAnErasedPersonNoMore(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		it := o.net.Item(box, channel.Message{From: channel.Party{Address: "quy@c.example"}, Subject: "Held", Text: "what quy wrote",
			Cc: []channel.Party{{Name: "Mai", Address: "mai@c.example"}}})
		it.Quarantined, it.Raw, it.Detail = "policy", channel.Bytes("what quy sent stays as quy sent it"), "mai@c.example is not liked"
		require.NoError(t, o.net.Deliver(o.ctx, box, it))
		o.settle()
		list, err := o.desk.Erase(o.ctx, ticket.Actor{}, mai)
		require.NoError(t, err)
		require.Len(t, list.Items, 1)
		o.erased("mai@")
		held, _, err := o.desk.Quarantine(o.ctx, ticket.Page{})
		require.NoError(t, err)
		require.Len(t, held, 1, "it is quy's")
		_, err = o.desk.Release(o.ctx, ticket.Actor{}, held[0].ID)
		require.NoError(t, err)
		require.Equal(t, "what quy wrote", o.timeline(o.only().ID)[0].Text)
	})
}

func TestWhatNobodyCouldReadIsListedWhereItNamesAPerson(t *testing.T) {
	inOffice(t, withBlobs, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: crude, Mail: true, Raw: true}, ticket.Settings{})
		o.net.FailInterpret(crude, &channel.NotNowError{After: time.Hour})
		for _, raw := range []string{"From: Mai@c.example", "From: <lan-mai@c.example>.", strings.Repeat("From quy ", 100_000) + "mai@c.example",
			"Von „mai@c.example“", "From \x93mai@c.example\x94", "From ừmai@c.example", "To mai@c.example.ừ"} {
			it := o.net.Item(crude, mail("mai@c.example", "raw"))
			it.Message, it.Raw = nil, channel.Bytes(raw)
			it.Keys = []channel.Key{channel.Key(raw[:16])}
			require.NoError(t, o.net.Deliver(o.ctx, crude, it))
		}
		o.settle()
		list, err := o.desk.Traces(o.ctx, mai)
		require.NoError(t, err)
		require.Len(t, list.Unread, 4)
		require.True(t, list.Empty(), "nobody knows whose it is")
	})
}

func TestAnErasureThatHadToWaitGoesOnByItself(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		o.write(box, "mai@c.example", "Zebra", "zebra")
		o.net.Fail(box, channeltest.Fault{Hang: true, Early: true})
		o.reply(o.only().ID, "a zebra on its way")
		time.Sleep(20 * time.Second)
		synctest.Wait()
		_, err := o.desk.Erase(o.ctx, ticket.Actor{}, mai)
		require.ErrorIs(t, err, ticket.ErrBusy)
		time.Sleep(time.Hour)
		synctest.Wait()
		o.erased("zebra", "mai@", "erasure")
	})
}
