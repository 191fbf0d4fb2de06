package ticket_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

// page connects a chat and takes in a first message of psid1, with id m1.
func page(o *office) (*ticket.Channel, *ticket.Ticket) {
	ch := o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{Queue: "support"})
	o.deliver("page", channel.Message{From: from("psid1"), Text: "How much is it?"})
	return ch, o.only()
}

func (o *office) news(ch *ticket.Channel, key channel.Key, up channel.Update) {
	o.t.Helper()
	o.accept(&channel.Item{Channel: ch.ID, Keys: []channel.Key{key}, At: time.Now(), Update: &up})
}

func (o *office) accept(items ...*channel.Item) {
	o.t.Helper()
	require.NoError(o.t, o.desk.Accept(o.ctx, items...))
	o.settle()
}

func TestAReceiptThatComesBeforeTheAnswerToTheSendIsApplied(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch, tk := page(o)
		o.news(ch, "d", channel.Update{Kind: channel.UpdateDelivered, IDs: []string{"s2"}, Wait: time.Hour})
		require.EqualValues(t, 1, o.ledger().Waiting)
		m := o.reply(tk.ID, "20")
		time.Sleep(10 * time.Minute)
		require.Equal(t, ticket.StateDelivered, o.message(m.ID).State)
		l := o.ledger()
		require.EqualValues(t, 1, l.Applied)
		require.Zero(t, l.Waiting)
	})
}

func TestNewsOfNothingKnownAreUnmatchedInTheEnd(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch, _ := page(o)
		for _, it := range []struct {
			key  channel.Key
			item channel.Key
		}{{"e1", ""}, {"e2", "left-out"}} {
			if it.item != "" {
				o.accept(&channel.Item{Channel: ch.ID, Keys: []channel.Key{it.item}, Ignored: channel.CauseRule})
			}
			o.news(ch, it.key, channel.Update{Kind: channel.UpdateEdit, IDs: []string{"never"}, Text: "x", Wait: time.Hour, Item: it.item})
		}
		l := o.ledger()
		require.EqualValues(t, 1, l.Waiting, "what was left out is not waited for")
		require.EqualValues(t, 1, l.Ignored[channel.CauseUnmatched])
		time.Sleep(time.Hour)
		l = o.ledger()
		require.Zero(t, l.Waiting)
		require.EqualValues(t, 2, l.Ignored[channel.CauseUnmatched])
		o.news(ch, "e1", channel.Update{Kind: channel.UpdateEdit, IDs: []string{"never"}, Text: "x", Wait: time.Hour})
		require.EqualValues(t, 1, o.ledger().Duplicates)
	})
}

func TestTheLastEditAndReactionCountWhateverTheirOrder(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch, tk := page(o)
		at := func(minute int) time.Time { return time.Date(2026, 1, 1, 0, minute, 0, 0, time.UTC) }
		for i, n := range []int{2, 3, 1} {
			text := []string{"second", "third", "first"}[i]
			o.accept(
				&channel.Item{Channel: ch.ID, Keys: []channel.Key{channel.Key("e" + text)}, At: at(n), Update: &channel.Update{Kind: channel.UpdateEdit, IDs: []string{"m1"}, Text: text}},
				&channel.Item{Channel: ch.ID, Keys: []channel.Key{channel.Key("r" + text)}, At: at(n), Update: &channel.Update{Kind: channel.UpdateReaction, IDs: []string{"m1"}, Text: text, From: from("psid1")}},
			)
		}
		m := o.timeline(tk.ID)[0]
		require.Equal(t, "third", m.Text)
		require.Equal(t, []ticket.Reaction{{By: "psid1", Text: "third", At: at(3).UnixMilli()}}, m.Reactions)
		o.news(ch, "h", channel.Update{Kind: channel.UpdateHide, IDs: []string{"m1"}})
		require.True(t, o.message(m.ID).Hidden)
		o.news(ch, "x", channel.Update{Kind: channel.UpdateRemove, IDs: []string{"m1"}})
		require.Empty(t, o.message(m.ID).Text)
	})
}

func TestARemovalThatComesFirstIsAppliedAfterwards(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch, tk := page(o)
		o.news(ch, "x", channel.Update{Kind: channel.UpdateRemove, IDs: []string{"later"}, Wait: time.Hour})
		o.deliver("page", channel.Message{From: from("psid1"), ExternalID: "later", Text: "secret"})
		time.Sleep(time.Minute)
		ms := o.timeline(tk.ID)
		require.Len(t, ms, 2)
		require.Empty(t, ms[1].Text)
		require.False(t, ms[1].RedactedAt.IsZero())
	})
}

func TestAnEchoTeachesTheIDOfWhatIsUncertain(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch, tk := page(o)
		o.net.Fail("page", channeltest.Fault{Arrives: true, Err: &channel.SendError{Outcome: channel.Unknown}})
		o.net.AnswerFind("page", channel.FoundUnknown)
		m := o.reply(tk.ID, "It is  20\nin all")
		time.Sleep(time.Minute)
		require.Equal(t, ticket.StateUncertain, o.message(m.ID).State)
		echo := func(key channel.Key, text string) *channel.Item {
			return &channel.Item{Channel: ch.ID, Keys: []channel.Key{key},
				Update:  &channel.Update{Kind: channel.UpdateEcho, IDs: []string{string(key)}, Conversation: "psid1", Text: text, Wait: time.Hour},
				Message: &channel.Message{Direction: channel.Out, Conversation: "psid1", To: []channel.Party{from("psid1")}, ExternalID: string(key), Text: text}}
		}
		o.accept(echo("c1", "something else"))
		require.Equal(t, ticket.StateUncertain, o.message(m.ID).State)
		require.Len(t, o.timeline(tk.ID), 3, "somebody wrote it elsewhere")
		o.accept(echo("c2", "It is 20 in all"))
		require.Len(t, o.timeline(tk.ID), 3)
		require.Equal(t, ticket.StateSent, o.message(m.ID).State)
		require.Contains(t, o.message(m.ID).ExternalIDs, "c2")
		o.news(ch, "d", channel.Update{Kind: channel.UpdateDelivered, IDs: []string{"c2"}})
		require.Equal(t, ticket.StateDelivered, o.message(m.ID).State)
	})
}

func TestAnEchoWithoutATokenWaitsForWhatIsOnItsWay(t *testing.T) {
	for _, lost := range []bool{false, true} {
		name := "the answer comes"
		if lost {
			name = "the answer is lost"
		}
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			conn := &scripted{open: func(acct channel.Account, _ channel.Env) (channel.Channel, error) {
				c := &scriptedChannel{info: scriptedInfo(acct)}
				c.info.Mail, c.info.Scheme = false, "chat"
				c.send = func(ctx context.Context, out *channel.Outbound) (channel.Receipt, error) {
					if err := out.Handed(ctx); err != nil {
						return channel.Receipt{}, err
					}
					<-release
					if lost {
						return channel.Receipt{}, &channel.SendError{Outcome: channel.Unknown}
					}
					return channel.Receipt{ExternalIDs: []string{"c9"}}, nil
				}
				c.find = func(context.Context, *channel.Outbound) (channel.Receipt, channel.Found, error) {
					return channel.Receipt{}, channel.FoundUnknown, nil
				}
				return c, nil
			}}
			inOffice(t, func(c *ticket.Config) { c.Connectors, c.Undo = []channel.Connector{conn}, -1 }, func(o *office) {
				release = make(chan struct{}) // of this bubble
				ch, err := o.desk.Connect(o.ctx, scriptedConfig{"page"}, ticket.Settings{})
				require.NoError(t, err)
				o.accept(&channel.Item{Channel: ch.ID, Keys: []channel.Key{"m"}, Message: &channel.Message{From: from("psid1"), Conversation: "c", ExternalID: "m", Text: "?"}})
				m := o.reply(o.only().ID, "20")
				o.settle()
				require.Equal(t, ticket.StateSending, o.message(m.ID).State)
				o.accept(&channel.Item{Channel: ch.ID, Keys: []channel.Key{"c9"}, Ignored: channel.CauseRule,
					Update:  &channel.Update{Kind: channel.UpdateEcho, IDs: []string{"c9"}, Conversation: "c", Text: "20", Wait: time.Hour},
					Message: &channel.Message{Direction: channel.Out, Conversation: "c", To: []channel.Party{from("psid1")}, ExternalID: "c9", Text: "20"}})
				require.EqualValues(t, 1, o.ledger().Waiting)
				close(release)
				time.Sleep(time.Minute)
				require.Equal(t, ticket.StateSent, o.message(m.ID).State)
				require.Len(t, o.timeline(o.only().ID), 2)
				require.EqualValues(t, 1, o.ledger().Applied)
			})
		})
	}
}

func TestPartsHaveIDsAndReceiptsOfTheirOwn(t *testing.T) {
	conn := &scripted{open: func(acct channel.Account, _ channel.Env) (channel.Channel, error) {
		c := &scriptedChannel{info: scriptedInfo(acct)}
		c.info.Mail, c.info.Scheme = false, "chat"
		c.send = func(_ context.Context, out *channel.Outbound) (channel.Receipt, error) {
			one := channel.Delivery{Recipient: "psid1", State: channel.DeliverySent, ExternalID: "p1"}
			if len(out.Taken) == 0 {
				two := channel.Delivery{Recipient: "psid1 (2)", State: channel.DeliveryPending}
				return channel.Receipt{ExternalIDs: []string{"p1"}, Deliveries: []channel.Delivery{one, two}}, &channel.SendError{Outcome: channel.NotSent}
			}
			two := channel.Delivery{Recipient: "psid1 (2)", State: channel.DeliverySent, ExternalID: "p2"}
			return channel.Receipt{ExternalIDs: []string{"p2"}, Deliveries: []channel.Delivery{two}, Address: "psid1-elsewhere"}, nil
		}
		return c, nil
	}}
	inOffice(t, func(c *ticket.Config) { c.Connectors, c.Undo = []channel.Connector{conn}, -1 }, func(o *office) {
		ch, err := o.desk.Connect(o.ctx, scriptedConfig{"page"}, ticket.Settings{})
		require.NoError(t, err)
		o.accept(&channel.Item{Channel: ch.ID, Keys: []channel.Key{"m"}, Message: &channel.Message{From: from("psid1"), Conversation: "c", ExternalID: "m", Text: "?"}})
		m := o.reply(o.only().ID, "a long one")
		o.settle()
		o.news(ch, "d1", channel.Update{Kind: channel.UpdateDelivered, IDs: []string{"p1"}})
		require.Equal(t, ticket.StatePending, o.message(m.ID).State, "the second part is still tried")
		time.Sleep(time.Hour)
		require.Equal(t, ticket.StateSent, o.message(m.ID).State)
		o.news(ch, "d2", channel.Update{Kind: channel.UpdateDelivered, IDs: []string{"p1", "p2"}})
		require.Equal(t, ticket.StateDelivered, o.message(m.ID).State)
		contacts, err := o.desk.Contacts(o.ctx, o.only().Contact)
		require.NoError(t, err)
		require.Len(t, contacts[o.only().Contact].Identities, 2, "the network told another address")
		o.accept(&channel.Item{Channel: ch.ID, Keys: []channel.Key{"n"}, Message: &channel.Message{From: from("psid1-elsewhere"), Conversation: "other", ExternalID: "n", Text: "me again"}})
		require.Equal(t, o.tickets()[0].Contact, o.tickets()[1].Contact)
	})
}

func TestWhatARuleLeavesOutJoinsAConversationThatHadBegun(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch, tk := page(o)
		item := func(key channel.Key, conversation string, at time.Time) *channel.Item {
			return &channel.Item{Channel: ch.ID, Keys: []channel.Key{key}, At: at, Ignored: channel.CauseRule,
				Message: &channel.Message{From: from(conversation), Conversation: conversation, ExternalID: string(key), Text: "thanks"}}
		}
		o.accept(item("a", "psid1", time.Now()), item("b", "psid1", time.Now().Add(-time.Hour)), item("c", "psid2", time.Now()))
		require.Len(t, o.timeline(tk.ID), 2, "it joined")
		require.EqualValues(t, 2, o.ledger().Ignored[channel.CauseRule], "written before the conversation began, or elsewhere")
		require.Equal(t, tk.ID, o.only().ID)
	})
}

func TestWhatARuleLeavesOutWaitsForTheItemThatBeginsItsConversation(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch, _ := page(o)
		answer := func(key, begins channel.Key, conversation string) *channel.Item {
			return &channel.Item{Channel: ch.ID, Keys: []channel.Key{key}, At: time.Now(), Ignored: channel.CauseRule,
				Update:  &channel.Update{Kind: channel.UpdateEcho, IDs: []string{string(key)}, Conversation: conversation, Wait: time.Hour, Item: begins},
				Message: &channel.Message{Direction: channel.Out, Conversation: conversation, ExternalID: string(key), To: []channel.Party{from("psid2")}, Text: "20"}}
		}
		o.accept(answer("a1", "top", "thread"), answer("a2", "never", "elsewhere"), answer("a3", "", "anywhere"))
		l := o.ledger()
		require.EqualValues(t, 2, l.Waiting)
		require.EqualValues(t, 1, l.Ignored[channel.CauseRule])
		o.accept(&channel.Item{Channel: ch.ID, Keys: []channel.Key{"top"}, At: time.Now().Add(-time.Minute),
			Message: &channel.Message{From: from("psid2"), Conversation: "thread", ExternalID: "top", Text: "?"}})
		time.Sleep(2 * time.Hour)
		require.Len(t, o.timeline(o.tickets()[0].ID), 2)
		require.EqualValues(t, 2, o.ledger().Ignored[channel.CauseRule])
	})
}

func TestANetworkThatIsDownForLongMakesNoItemPoison(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: "page", Raw: true}, ticket.Settings{})
		for range 100 {
			o.net.FailInterpret("page", &channel.NotNowError{After: time.Minute, Err: errors.New("down")})
		}
		o.deliver("page", channel.Message{From: from("psid1"), Text: "x"})
		time.Sleep(2 * time.Hour)
		require.EqualValues(t, 1, o.ledger().Waiting)
		time.Sleep(24 * time.Hour)
		require.EqualValues(t, 1, o.ledger().Messages)
	})
}

func TestWhatOurSideWritesCanMakeATicket(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{Queue: "support"})
		for i, own := range []bool{false, true} {
			key := string(rune('a' + i))
			o.accept(&channel.Item{Channel: ch.ID, Keys: []channel.Key{channel.Key(key)}, Message: &channel.Message{Direction: channel.Out, OwnTicket: own,
				Conversation: key, To: []channel.Party{from("psid1")}, ExternalID: key, Text: "Our sale begins"}})
		}
		require.Equal(t, "Our sale begins", o.only().Subject)
		require.False(t, o.only().WaitingSince.IsZero() && o.only().Assignee == "")
	})
}

func TestAChannelWhoseSourceKeepsNothingIgnoresWhileItIsOff(t *testing.T) {
	conn := &scripted{open: func(acct channel.Account, _ channel.Env) (channel.Channel, error) {
		c := &backfilling{scriptedChannel: scriptedChannel{info: scriptedInfo(acct)}}
		c.info.Mail, c.info.Scheme, c.info.Fleeting = false, "chat", true
		return c, nil
	}}
	inOffice(t, func(c *ticket.Config) { c.Connectors = []channel.Connector{conn} }, func(o *office) {
		ch, err := o.desk.Connect(o.ctx, scriptedConfig{"page"}, ticket.Settings{Inactive: true})
		require.NoError(t, err)
		item := &channel.Item{Channel: ch.ID, Keys: []channel.Key{"m"}, Message: &channel.Message{From: from("psid1"), Conversation: "c", ExternalID: "m", Text: "?"}}
		o.accept(item)
		o.accept(item)
		l := o.ledger()
		require.EqualValues(t, 1, l.Ignored[channel.CauseInactive])
		require.EqualValues(t, 1, l.Duplicates)
		require.ErrorIs(t, o.desk.Backfill(o.ctx, ch.ID, time.Now()), ticket.ErrInactive)
		_, err = o.desk.Update(o.ctx, ch.ID, ticket.ChannelPatch{Settings: &ticket.Settings{}})
		require.NoError(t, err)
		require.NoError(t, o.desk.Backfill(o.ctx, ch.ID, time.Now()))
		require.True(t, o.timeline(o.only().ID)[0].Imported)
		require.NoError(t, o.desk.Backfill(o.ctx, ch.ID, time.Now()))
		require.Len(t, o.timeline(o.only().ID), 1)
	})
}

// backfilling still shows one message, and closes a day after the last act.
type backfilling struct{ scriptedChannel }

func (b *backfilling) Backfill(ctx context.Context, _ time.Time, sink channel.Sink) error {
	return sink.Accept(ctx, &channel.Item{Channel: b.info.ID, Keys: []channel.Key{"m"}, At: time.Now(),
		Message: &channel.Message{From: from("psid1"), Conversation: "c", ExternalID: "m", Text: "?"}})
}

func (*backfilling) SendableUntil(_ string, lastAct time.Time) (time.Time, bool) {
	return lastAct.Add(24 * time.Hour), true
}

func TestAClosedConversationIsRefusedAtOnceAndAReactionOpensIt(t *testing.T) {
	conn := &scripted{open: func(acct channel.Account, _ channel.Env) (channel.Channel, error) {
		c := &backfilling{scriptedChannel: scriptedChannel{info: scriptedInfo(acct)}}
		c.info.Mail, c.info.Scheme = false, "chat"
		return c, nil
	}}
	inOffice(t, func(c *ticket.Config) { c.Connectors = []channel.Connector{conn} }, func(o *office) {
		ch, err := o.desk.Connect(o.ctx, scriptedConfig{"page"}, ticket.Settings{})
		require.NoError(t, err)
		require.NoError(t, o.desk.Backfill(o.ctx, ch.ID, time.Time{}))
		tk := o.only()
		until, closes, err := o.desk.SendableUntil(o.ctx, tk.Conversation)
		require.NoError(t, err)
		require.True(t, closes)
		require.WithinDuration(t, time.Now().Add(24*time.Hour), until, time.Minute)
		time.Sleep(25 * time.Hour)
		_, err = o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "late"})
		require.ErrorIs(t, err, ticket.ErrWindowClosed)
		o.news(ch, "r", channel.Update{Kind: channel.UpdateReaction, IDs: []string{"m"}, Conversation: "c", Text: "love", From: from("psid1")})
		_, err = o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "late", SendAt: time.Now().Add(30 * time.Hour)})
		require.ErrorIs(t, err, ticket.ErrWindowClosed, "it will be closed by then")
		m := o.reply(tk.ID, "in time")
		require.Equal(t, []string{"m"}, m.References, "what it answers")
	})
}

func TestHeldNewsThatAreAppliedLeaveNoAttachmentBehind(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch, tk := page(o)
		echo := func(key string) *channel.Item {
			return &channel.Item{Channel: ch.ID, Keys: []channel.Key{channel.Key(key)},
				Update: &channel.Update{Kind: channel.UpdateEcho, IDs: []string{key}, Conversation: "psid1", Text: key, Wait: time.Hour, Grace: 10 * time.Minute},
				Message: &channel.Message{Direction: channel.Out, Conversation: "psid1", To: []channel.Party{from("psid1")}, ExternalID: key, Text: key,
					Attachments: []channel.Attachment{{Name: "a.txt", Type: "text/plain", Size: 3, Body: channel.Bytes("abc")}}}}
		}
		o.accept(echo("s2"), echo("elsewhere"))
		waiting, _, err := o.cfg.Store.Items(o.ctx, ticket.ItemFilter{Disposition: ticket.DisposedWaiting}, ticket.Page{})
		require.NoError(t, err)
		require.Len(t, waiting, 2)
		bodies := map[string]ticket.BodyID{}
		for _, it := range waiting {
			var held struct {
				Keys        []string            `json:"keys"`
				Attachments []ticket.Attachment `json:"attachments"`
			}
			require.NoError(t, json.Unmarshal(it.Held, &held))
			bodies[held.Keys[0]] = held.Attachments[0].Body.ID
		}
		kept := func() map[ticket.BodyID][]byte {
			snap, err := o.cfg.Store.Snapshot(o.ctx, ticket.Want{Bodies: slices.Collect(maps.Values(bodies))})
			require.NoError(t, err)
			return snap.Bodies
		}
		require.Len(t, kept(), 2)
		o.reply(tk.ID, "20")
		time.Sleep(time.Hour)
		l := o.ledger()
		require.EqualValues(t, 1, l.Applied)
		require.EqualValues(t, 2, l.Messages, "the other was written elsewhere")
		require.Equal(t, map[ticket.BodyID][]byte{bodies["elsewhere"]: []byte("abc")}, kept())
	})
}

func TestAMessageThatIsEditedToNothingSearchableIsNotFoundByWhatItWas(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch := o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{Queue: "support"})
		o.accept(&channel.Item{Channel: ch.ID, Keys: []channel.Key{"m"}, Message: &channel.Message{Conversation: "c", ExternalID: "m", Text: "secret"}})
		found, _, err := o.desk.Search(o.ctx, "secret", ticket.Page{})
		require.NoError(t, err)
		require.Len(t, found, 1)
		o.news(ch, "e", channel.Update{Kind: channel.UpdateEdit, IDs: []string{"m"}, Text: "👍"})
		found, _, err = o.desk.Search(o.ctx, "secret", ticket.Page{})
		require.NoError(t, err)
		require.Empty(t, found)
	})
}

func TestAReceiptThatSaysNoWaitIsKeptForAWhile(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ch, tk := page(o)
		o.news(ch, "d", channel.Update{Kind: channel.UpdateDelivered, IDs: []string{"s2"}})
		o.news(ch, "r", channel.Update{Kind: channel.UpdateRead, IDs: []string{"never"}})
		o.news(ch, "n", channel.Update{Kind: channel.UpdateRead, IDs: []string{"never"}, Wait: -1})
		o.news(ch, "e", channel.Update{Kind: channel.UpdateEdit, IDs: []string{"never"}, Text: "x"})
		l := o.ledger()
		require.EqualValues(t, 2, l.Waiting)
		require.EqualValues(t, 2, l.Ignored[channel.CauseUnmatched])
		m := o.reply(tk.ID, "20")
		time.Sleep(9 * time.Minute)
		require.Equal(t, ticket.StateDelivered, o.message(m.ID).State)
		require.EqualValues(t, 1, o.ledger().Waiting)
		time.Sleep(time.Minute)
		l = o.ledger()
		require.Zero(t, l.Waiting)
		require.EqualValues(t, 3, l.Ignored[channel.CauseUnmatched])
	})
}
