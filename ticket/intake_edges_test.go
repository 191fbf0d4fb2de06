package ticket_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

func TestTwoMailsWrittenElsewhereToOnePersonAreTaken(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		for i := range 2 {
			o.deliver(box, channel.Message{Direction: channel.Out, From: from(box), To: []channel.Party{{Address: "a@c.example"}},
				Subject: "Offer", Text: "x", ExternalID: fmt.Sprintf("o%d@c", i)})
		}
		require.EqualValues(t, 2, o.ledger().Messages)
	})
}

func TestOneThingByARawPathAndAnUnderstoodPathIsOneMessage(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.connect(channeltest.MemoryAccount{Address: "page", Raw: true}, ticket.Settings{})
		o.deliver("page", channel.Message{From: from("psid1"), Text: "x", ExternalID: "mid1"})
		require.Equal(t, 1, o.only().MessageCount)
		// The same by backfill, understood at once, with the understood key.
		require.NoError(t, o.desk.Accept(o.ctx, &channel.Item{Channel: ch.ID, Keys: []channel.Key{"understood:raw:id:mid1"},
			Message: &channel.Message{From: from("psid1"), Conversation: "psid1", Text: "x", ExternalID: "mid1"}}))
		o.settle()
		require.Equal(t, 1, o.only().MessageCount)
	})
}

func TestOneThingByAnUnderstoodPathAndARawPathIsOneMessage(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.connect(channeltest.MemoryAccount{Address: "page", Raw: true}, ticket.Settings{})
		require.NoError(t, o.desk.Accept(o.ctx, &channel.Item{Channel: ch.ID, Keys: []channel.Key{"understood:raw:id:mid1"},
			Message: &channel.Message{From: from("psid1"), Conversation: "psid1", Text: "x", ExternalID: "mid1"}}))
		o.deliver("page", channel.Message{From: from("psid1"), Text: "x", ExternalID: "mid1"})
		o.settle()
		require.Equal(t, 1, o.only().MessageCount)
	})
}

func TestFilesOfWhatIsInterpretedLaterAreKept(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: "page", Raw: true}, ticket.Settings{})
		o.deliver("page", channel.Message{From: from("psid1"), Text: "x", Attachments: []channel.Attachment{
			{Name: "a.txt", Type: "text/plain", Size: 3, Body: channel.Bytes("abc")}}})
		m := o.timeline(o.only().ID)[0]
		require.Len(t, m.Attachments, 1)
		_, r, err := o.desk.OpenAttachment(o.ctx, m.Attachments[0].ID)
		require.NoError(t, err)
		require.NoError(t, r.Close())
	})
}

func TestABodyOutlivesACommitThatFailedToSaySo(t *testing.T) {
	blobs := &countingBlobs{data: map[ticket.BodyID][]byte{}}
	inOffice(t, func(c *ticket.Config) { c.Blobs, c.Limits.InlineBody = blobs, 10 }, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		it := o.net.Item(box, channel.Message{From: from("a@c.example"), Text: "x"})
		it.Raw = channel.Bytes("0123456789abcdef")
		o.back.Fail(func(op string) error {
			if op == "committed" {
				return errors.New("connection lost")
			}
			return nil
		})
		require.Error(t, o.net.Deliver(o.ctx, box, it))
		o.back.Fail(nil)
		require.NoError(t, o.net.Deliver(o.ctx, box, it))
		raw, err := o.desk.Raw(o.ctx, o.timeline(o.only().ID)[0].ID)
		require.NoError(t, err)
		b, err := channel.ReadBody(raw, 100)
		require.NoError(t, err)
		require.Equal(t, "0123456789abcdef", string(b))
	})
}

func TestOurOwnMessageInTheSentFolderIsNotASecondMessage(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		answered(o)
		o.deliver(box, o.net.Sent(box)[0].Echo())
		require.EqualValues(t, 1, o.ledger().Messages, "only the customer's")
		cs, _, err := o.desk.Conversations(o.ctx, ticket.ConversationFilter{}, ticket.Page{})
		require.NoError(t, err)
		require.Len(t, cs, 1)
	})
}

func TestIgnoredItemsLeaveNoBlobs(t *testing.T) {
	blobs := &countingBlobs{data: map[ticket.BodyID][]byte{}}
	inOffice(t, func(c *ticket.Config) { c.Blobs, c.Limits.InlineBody = blobs, 10 }, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{})
		require.NoError(t, o.desk.Accept(o.ctx, &channel.Item{Channel: ch.ID, Keys: []channel.Key{"k"}, Ignored: "rule", Raw: channel.Bytes(strings.Repeat("x", 100))}))
		require.Empty(t, blobs.data)
	})
}

func TestWhatTheNetworkRemovedIsRemovedFromBlobs(t *testing.T) {
	blobs := &countingBlobs{data: map[ticket.BodyID][]byte{}}
	inOffice(t, func(c *ticket.Config) { c.Blobs, c.Limits.InlineBody = blobs, 10 }, func(o *office) {
		ch := o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{})
		o.deliver("page", channel.Message{From: from("psid1"), Text: strings.Repeat("secret", 100), ExternalID: "mid1"})
		require.Len(t, blobs.data, 1)
		require.NoError(t, o.desk.Accept(o.ctx, &channel.Item{Channel: ch.ID, Keys: []channel.Key{"k"}, Update: &channel.Update{Kind: channel.UpdateRemove, IDs: []string{"mid1"}}}))
		require.Empty(t, blobs.data)
	})
}

func TestAnEditDoesNotBringBackWhatWasDeleted(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{})
		o.deliver("page", channel.Message{From: from("psid1"), Text: "secret", ExternalID: "mid1"})
		m := o.timeline(o.only().ID)[0]
		_, err := o.desk.DeleteMessage(o.ctx, ticket.Agent("an"), m.ID)
		require.NoError(t, err)
		require.NoError(t, o.desk.Accept(o.ctx, &channel.Item{Channel: ch.ID, Keys: []channel.Key{"k"}, Update: &channel.Update{Kind: channel.UpdateEdit, IDs: []string{"mid1"}, Text: "secret!"}}))
		require.Empty(t, o.message(m.ID).Text)
	})
}

func TestAReleaseOnARemovedChannelSaysSo(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{})
		it := o.net.Item(box, channel.Message{From: from("a@c.example"), Text: "x"})
		it.Quarantined = "policy"
		require.NoError(t, o.net.Deliver(o.ctx, box, it))
		items, _, err := o.desk.Quarantine(o.ctx, ticket.Page{})
		require.NoError(t, err)
		require.NoError(t, o.desk.Disconnect(o.ctx, ch.ID))
		got, err := o.desk.Release(o.ctx, ticket.Agent("an"), items[0].ID)
		if err == nil {
			require.Equal(t, ticket.DisposedMessage, got.Disposition, got.Detail)
		}
	})
}

func TestWhatCouldNotBeUnderstoodCanBeReplayed(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: "page", Raw: true}, ticket.Settings{})
		for range 19 {
			o.net.FailInterpret("page", errors.New("network down"))
		}
		o.deliver("page", channel.Message{From: from("psid1"), Text: "x"})
		time.Sleep(24 * time.Hour) // an outage of some hours, now over
		if len(o.tickets()) == 1 {
			return
		}
		items, _, err := o.desk.Quarantine(o.ctx, ticket.Page{})
		require.NoError(t, err)
		require.Len(t, items, 1)
		_, err = o.desk.Release(o.ctx, ticket.Agent("an"), items[0].ID)
		require.NoError(t, err)
		time.Sleep(time.Hour)
		require.Len(t, o.tickets(), 1)
	})
}

func TestAReadWatermarkIsApplied(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{})
		o.deliver("page", channel.Message{From: from("psid1"), Text: "x"})
		m := o.reply(o.only().ID, "Answer")
		time.Sleep(time.Minute)
		require.NoError(t, o.desk.Accept(o.ctx, &channel.Item{Channel: ch.ID, Keys: []channel.Key{"r"}, Update: &channel.Update{Kind: channel.UpdateRead, Conversation: "psid1", Before: time.Now()}}))
		require.Equal(t, ticket.StateRead, o.message(m.ID).State)
	})
}

func TestMailWithoutASenderJoinsNothing(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{})
		for i := range 2 {
			m := channel.Message{Subject: fmt.Sprint(i), Text: "x", Evidence: channel.Evidence{IDs: []string{"known@c"}}}
			require.NoError(t, o.desk.Accept(o.ctx, &channel.Item{Channel: ch.ID, Keys: []channel.Key{channel.Key(fmt.Sprint(i))}, Message: &m}))
		}
		require.Len(t, o.tickets(), 2)
	})
}

func TestManyPoisonItemsInOneBatchDoNotStopTheChannel(t *testing.T) {
	inOffice(t, func(c *ticket.Config) {
		c.Return.Func = func(ticket.ReturnCase) ticket.ReturnAction { panic("poison") }
	}, func(o *office) {
		ch := o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{})
		o.deliver("page", channel.Message{From: from("psid1"), Text: "x"})
		var items []*channel.Item
		for i := range 15 {
			items = append(items, &channel.Item{Channel: ch.ID, Keys: []channel.Key{channel.Key(fmt.Sprint(i))}, Message: &channel.Message{From: from("psid1"), Conversation: "psid1", Text: "x"}})
		}
		require.NoError(t, o.desk.Accept(o.ctx, items...))
	})
}

func TestMailsOfOneThreadInOneBatchAreOneTicket(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{})
		var items []*channel.Item
		for i := range 4 {
			m := channel.Message{From: from("mai@c.example"), Subject: "order", Text: "x", ExternalID: fmt.Sprintf("m%d@c.example", i)}
			if i > 0 {
				m.Evidence.IDs = []string{fmt.Sprintf("m%d@c.example", i-1)}
			}
			items = append(items, &channel.Item{Channel: ch.ID, Keys: []channel.Key{channel.Key(fmt.Sprint(i))}, Message: &m})
		}
		again := *items[1]
		require.NoError(t, o.desk.Accept(o.ctx, append(items, &again)...))
		require.Len(t, o.timeline(o.only().ID), 4, "in one conversation, each once")
	})
}
