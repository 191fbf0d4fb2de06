package ticket_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

func from(address string) channel.Party {
	return channel.Party{Name: name(address), Address: address}
}

func TestOneItemOverManyPathsAtOnceIsOneMessage(t *testing.T) {
	inOffice(t, func(c *ticket.Config) { c.Timing.Poll = time.Second }, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{Queue: "support", AutoReply: ticket.AutoReply{On: true, Body: "Got it"}})
		other, err := ticket.New(o.cfg)
		require.NoError(t, err)
		m := channel.Message{From: from("mai@customer.example"), Subject: "Hi", Text: "x", ExternalID: "m1@customer.example"}
		byPush := &channel.Item{Channel: ch.ID, Keys: []channel.Key{"push:1", "content:1"}, Message: &m}
		byPoll := &channel.Item{Channel: ch.ID, Keys: []channel.Key{"poll:9", "content:1"}, Message: &m}
		var wg sync.WaitGroup
		for i := range 40 {
			wg.Go(func() {
				d, it := o.desk, byPush
				if i%2 == 0 {
					d = other
				}
				if i%3 == 0 {
					it = byPoll
				}
				require.NoError(t, d.Accept(o.ctx, it))
			})
		}
		wg.Wait()
		time.Sleep(5 * time.Second)
		require.Len(t, o.net.Sent(box), 1, "one auto reply")
		require.Equal(t, 2, o.only().MessageCount)
		l := o.ledger()
		require.EqualValues(t, 1, l.Messages)
		require.EqualValues(t, 39, l.Duplicates)
	})
}

func TestABatchIsTakenWholeOrNotAtAll(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{})
		good := &channel.Item{Channel: ch.ID, Keys: []channel.Key{"1"}, Message: &channel.Message{From: from("a@c.example"), Text: "x"}}
		bad := &channel.Item{Channel: "nobody", Keys: []channel.Key{"2"}, Message: &channel.Message{}}
		err := o.desk.Accept(o.ctx, good, bad)
		require.ErrorIs(t, err, channel.ErrRejected)
		require.Empty(t, o.tickets())
		require.ErrorIs(t, o.desk.Accept(o.ctx, &channel.Item{Channel: ch.ID}), channel.ErrRejected, "an item without key")
		require.NoError(t, o.desk.Accept(o.ctx, good))
		require.Len(t, o.tickets(), 1)
	})
}

func TestConcurrentFirstMessagesOfAConversationMakeOneTicket(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{Queue: "support"})
		var wg sync.WaitGroup
		for i := range 30 {
			wg.Go(func() {
				require.NoError(t, o.desk.Accept(o.ctx, &channel.Item{Channel: ch.ID, Keys: []channel.Key{channel.Key(rune('a' + i))},
					Message: &channel.Message{From: from("psid1"), Conversation: "psid1", Text: "x"}}))
			})
		}
		wg.Wait()
		require.Equal(t, 30, o.only().MessageCount)
	})
}

func TestAStoreInTroubleAcknowledgesNothing(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		it := o.net.Item(box, channel.Message{From: from("a@c.example"), Text: "x"})
		for _, op := range []string{"snapshot", "commit", "committed"} {
			o.back.Fail(func(at string) error {
				if at == op {
					return errors.New("disk full")
				}
				return nil
			})
			require.Error(t, o.net.Deliver(o.ctx, box, it), op)
		}
		o.back.Fail(nil)
		// The last commit happened though it failed to say so: delivered
		// again, it is a duplicate.
		require.NoError(t, o.net.Deliver(o.ctx, box, it))
		require.Equal(t, 1, o.only().MessageCount)
		require.EqualValues(t, 1, o.ledger().Duplicates)
	})
}

func TestAPoisonItemIsQuarantinedAndTheChannelGoesOn(t *testing.T) {
	inOffice(t, func(c *ticket.Config) {
		c.Return.Func = func(r ticket.ReturnCase) ticket.ReturnAction {
			if r.SubjectChanged {
				panic("poison")
			}
			return ticket.Join
		}
	}, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{})
		msg := channel.Message{From: from("psid1"), Subject: "One", Text: "x"}
		o.deliver("page", msg)
		msg.Subject = "Two"
		o.deliver("page", msg)
		msg.Subject = "One"
		o.deliver("page", msg)
		require.Equal(t, 2, o.only().MessageCount)
		l := o.ledger()
		require.EqualValues(t, 3, l.Received)
		require.Equal(t, map[channel.Cause]int64{channel.CausePoison: 1}, l.Quarantined)
	})
}

func TestAQuarantinedItemCanBeReleasedOnce(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support", AutoReply: ticket.AutoReply{On: true, Body: "Got it"}})
		it := o.net.Item(box, channel.Message{From: from("a@c.example"), Subject: "Held", Text: "x",
			Attachments: []channel.Attachment{{Name: "a.txt", Type: "text/plain", Size: 3, Body: channel.Bytes("abc")}}})
		it.Quarantined, it.Raw = "policy", channel.Bytes("raw")
		require.NoError(t, o.net.Deliver(o.ctx, box, it))
		require.NoError(t, o.net.Deliver(o.ctx, box, it))
		o.settle()
		require.Empty(t, o.tickets())
		items, _, err := o.desk.Quarantine(o.ctx, ticket.Page{})
		require.NoError(t, err)
		require.Len(t, items, 1)

		got, err := o.desk.Release(o.ctx, ticket.Agent("an"), items[0].ID)
		require.NoError(t, err)
		require.Equal(t, ticket.DisposedMessage, got.Disposition)
		_, err = o.desk.Release(o.ctx, ticket.Agent("an"), items[0].ID)
		require.ErrorIs(t, err, ticket.ErrState)
		o.settle()
		tk := o.only()
		require.Equal(t, "Held", tk.Subject)
		m := o.timeline(tk.ID)[0]
		require.Len(t, m.Attachments, 1)
		a, r, err := o.desk.OpenAttachment(o.ctx, m.Attachments[0].ID)
		require.NoError(t, err)
		require.Equal(t, "a.txt", a.Name)
		require.NoError(t, r.Close())
		require.Empty(t, o.net.Sent(box), "nothing automatic is sent for what was released")
		require.NoError(t, o.net.Deliver(o.ctx, box, it), "it stays known")
		l := o.ledger()
		require.EqualValues(t, 1, l.Received)
		require.EqualValues(t, 1, l.Messages)
		require.EqualValues(t, 2, l.Duplicates)
	})
}

func TestEveryDispositionIsInTheLedger(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{})
		item := func(key string) *channel.Item {
			return &channel.Item{Channel: ch.ID, Keys: []channel.Key{channel.Key(key)}, Raw: channel.Bytes("raw " + key)}
		}
		message, ignored, notice, probe, orphan, unmatched := item("m"), item("i"), item("n"), item("p"), item("u"), item("b")
		message.Message = &channel.Message{From: from("a@c.example"), Text: "x"}
		ignored.Ignored = "loop"
		notice.Notice = &channel.Notice{Finding: channel.Finding{Code: "forward_confirmation", Text: "Confirm", Data: map[string]string{"code": "123456"}}}
		probe.Probe = "token"
		orphan.Update = &channel.Update{Kind: channel.UpdateRead, IDs: []string{"nobody"}, Wait: -1}
		unmatched.Update = &channel.Update{Kind: channel.UpdateBounce}
		unmatched.Message = &channel.Message{From: from("mailer-daemon@c.example"), Automatic: channel.Automatic{Kind: channel.AutomaticBounce}}
		require.NoError(t, o.desk.Accept(o.ctx, message, ignored, notice, probe, orphan, unmatched))
		l := o.ledger()
		require.Equal(t, ticket.Ledger{Received: 6, Messages: 1, Notices: 1,
			Ignored: map[channel.Cause]int64{"loop": 1, "unmatched": 2}, Quarantined: map[channel.Cause]int64{"unmatched": 1}}, l)
		findings, err := o.desk.Check(o.ctx, ch.ID)
		require.NoError(t, err)
		var codes []string
		for _, f := range findings {
			codes = append(codes, f.Code)
		}
		require.Contains(t, codes, "forward_confirmation", "a notice is a finding of its channel")
		require.Len(t, o.tickets(), 1)
	})
}

func TestWhatIsInterpretedLater(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: "page", Raw: true}, ticket.Settings{Queue: "support"})
		o.net.FailInterpret("page", errors.New("network down"), errors.New("network down"))
		o.deliver("page", channel.Message{From: from("psid1"), Text: "x"})
		time.Sleep(10 * time.Minute)
		require.Equal(t, 1, o.only().MessageCount)
		l := o.ledger()
		require.EqualValues(t, 1, l.Received)
		require.EqualValues(t, 1, l.Messages)
	})
}

func TestWhatIsNeverUnderstoodIsQuarantined(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: "page", Raw: true}, ticket.Settings{})
		for range 100 {
			o.net.FailInterpret("page", errors.New("no sense"))
		}
		o.deliver("page", channel.Message{From: from("psid1"), Text: "x"})
		time.Sleep(48 * time.Hour)
		require.Equal(t, map[channel.Cause]int64{channel.CausePoison: 1}, o.ledger().Quarantined)
	})
}

func TestKeysOutliveADeletedTicket(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		it := o.net.Item(box, channel.Message{From: from("a@c.example"), Subject: "Secret", Text: "my secret"})
		it.Raw = channel.Bytes("my secret raw")
		require.NoError(t, o.net.Deliver(o.ctx, box, it))
		o.settle()
		tk := o.only()
		msg := o.timeline(tk.ID)[0]
		require.NoError(t, o.desk.DeleteTicket(o.ctx, ticket.Agent("an"), tk.ID))
		_, err := o.desk.Ticket(o.ctx, tk.ID)
		require.ErrorIs(t, err, ticket.ErrNotFound)
		require.Empty(t, o.tickets())
		got := o.message(msg.ID)
		require.Empty(t, got.Text+got.Subject)
		require.Equal(t, "agent:an", got.RedactedBy)
		_, err = o.desk.Raw(o.ctx, msg.ID)
		require.ErrorIs(t, err, ticket.ErrNotFound)
		agents, err := o.desk.Agents(o.ctx)
		require.NoError(t, err)
		require.Zero(t, agents[0].Load+agents[1].Load, "nobody owns it any more")
		found, _, err := o.desk.Search(o.ctx, "secret", ticket.Page{})
		require.NoError(t, err)
		require.Empty(t, found)

		require.NoError(t, o.net.Deliver(o.ctx, box, it))
		require.Empty(t, o.tickets(), "the item does not come in again")
	})
}

func TestLargeBodiesGoToBlobsAndOrphansAreRemoved(t *testing.T) {
	blobs := &countingBlobs{data: map[ticket.BodyID][]byte{}}
	inOffice(t, func(c *ticket.Config) { c.Blobs, c.Limits.InlineBody = blobs, 10 }, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		it := o.net.Item(box, channel.Message{From: from("a@c.example"), Text: "x",
			Attachments: []channel.Attachment{{Name: "w", Size: 5, Window: &channel.Window{Offset: 2, Length: 5}}}})
		it.Raw = channel.Bytes("0123456789abcdef")
		o.back.Fail(func(op string) error {
			if op == "commit" {
				return ticket.ErrConflict
			}
			return nil
		})
		require.Error(t, o.net.Deliver(o.ctx, box, it))
		require.Empty(t, blobs.data, "what was surely not committed is removed")
		o.back.Fail(nil)
		require.NoError(t, o.net.Deliver(o.ctx, box, it))
		require.NoError(t, o.net.Deliver(o.ctx, box, it))
		require.Len(t, blobs.data, 1, "a duplicate keeps nothing")
		m := o.timeline(o.only().ID)[0]
		raw, err := o.desk.Raw(o.ctx, m.ID)
		require.NoError(t, err)
		b, err := channel.ReadBody(raw, 100)
		require.NoError(t, err)
		require.Equal(t, "0123456789abcdef", string(b))
		_, r, err := o.desk.OpenAttachment(o.ctx, m.Attachments[0].ID)
		require.NoError(t, err)
		defer r.Close()
		win := make([]byte, 10)
		n, _ := r.Read(win)
		require.Equal(t, "23456", string(win[:n]))
	})
}

func TestAnInactiveChannelTakesAndSendsNothing(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.mailbox(box, ticket.Settings{Queue: "support"})
		o.write(box, "a@c.example", "Hi", "x")
		m := o.reply(o.only().ID, "Answer")
		off := ch.Settings
		off.Inactive = true
		got, err := o.desk.Update(o.ctx, ch.ID, ticket.ChannelPatch{Settings: &off})
		require.NoError(t, err)
		require.Equal(t, channel.StateInactive, got.Status.State)
		o.settle()
		require.ErrorIs(t, o.net.Deliver(o.ctx, box, o.net.Item(box, channel.Message{From: from("a@c.example")})), channeltest.ErrNotReceiving)
		require.ErrorIs(t, o.desk.Accept(o.ctx, &channel.Item{Channel: ch.ID, Keys: []channel.Key{"k"}, Ignored: "x"}), channel.ErrInactive)
		time.Sleep(time.Hour)
		require.Equal(t, ticket.StatePending, o.message(m.ID).State, "what is pending is held")
		_, err = o.desk.Reply(o.ctx, o.only().ID, ticket.Draft{By: "an", Text: "x"})
		require.ErrorIs(t, err, ticket.ErrInactive)

		_, err = o.desk.Update(o.ctx, ch.ID, ticket.ChannelPatch{Settings: &ch.Settings})
		require.NoError(t, err)
		o.settle()
		require.Len(t, o.net.Sent(box), 1)
		o.write(box, "b@c.example", "Hi", "x")
		require.Len(t, o.tickets(), 2)
	})
}

// countingBlobs is the least Blobs there can be.
type countingBlobs struct {
	mu   sync.Mutex
	data map[ticket.BodyID][]byte
}

func (b *countingBlobs) Put(_ context.Context, id ticket.BodyID, r io.Reader) (int64, error) {
	data, err := io.ReadAll(r)
	b.mu.Lock()
	defer b.mu.Unlock()
	b.data[id] = data
	return int64(len(data)), err
}

func (b *countingBlobs) Open(_ context.Context, id ticket.BodyID) (io.ReadCloser, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return io.NopCloser(bytes.NewReader(b.data[id])), nil
}

func (b *countingBlobs) Delete(_ context.Context, id ticket.BodyID) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.data, id)
	return nil
}

// List lists nothing: the sweep, which begins at random, has nothing to do.
func (*countingBlobs) List(context.Context, func(ticket.BodyID, int64, time.Time) bool) error {
	return nil
}
