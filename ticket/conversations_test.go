package ticket_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// onPage is an office whose Page makes no tickets of messages, and whose only
// agent of the queue takes two at once.
func onPage(t *testing.T, f func(o *office)) {
	t.Helper()
	inOffice(t, nil, func(o *office) {
		require.NoError(t, o.desk.PutAgent(o.ctx, routing.Agent{ID: "an", Capacity: 2}))
		require.NoError(t, o.desk.PutQueue(o.ctx, routing.Queue{ID: "support", Agents: []routing.AgentID{"an"}}))
		o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{Queue: "support"})
		f(o)
	})
}

// says has a person of the Page write.
func (o *office) says(who, text string) { o.deliver("page", aside(who, text)) }

func aside(who, text string) channel.Message {
	return channel.Message{From: from(who), Conversation: who, Text: text, NoTicket: true}
}

// conversation returns that of a person of the Page.
func (o *office) conversation(who string) *ticket.Conversation {
	o.t.Helper()
	cs, _, err := o.desk.Conversations(o.ctx, ticket.ConversationFilter{}, ticket.Page{})
	require.NoError(o.t, err)
	for _, c := range cs {
		if c.Key == who {
			return c
		}
	}
	require.Fail(o.t, "no conversation of "+who)
	return nil
}

func (o *office) load(id routing.AgentID) int {
	o.t.Helper()
	as, err := o.desk.Agents(o.ctx)
	require.NoError(o.t, err)
	for _, a := range as {
		if a.ID == id {
			return a.Load
		}
	}
	return -1
}

func (o *office) close(id ticket.ConversationID) *ticket.Conversation {
	o.t.Helper()
	c, err := o.desk.CloseConversation(o.ctx, ticket.Agent("an"), id)
	require.NoError(o.t, err)
	o.settle()
	return c
}

// told counts the events of a type.
func (o *office) told(of ticket.EventType) int {
	o.t.Helper()
	n := 0
	for _, e := range o.events() {
		if e.Type == of {
			n++
		}
	}
	return n
}

func TestClosingConversationsMakesRoomForThoseThatWait(t *testing.T) {
	onPage(t, func(o *office) {
		const people = 7
		for i := range people {
			o.says(fmt.Sprint("psid", i), "hello")
		}
		require.Equal(t, 2, o.load("an"))
		for i := range people {
			c := o.conversation(fmt.Sprint("psid", i))
			require.EqualValues(t, "an", c.Assignee, "psid%d has come first of those that waited", i)
			require.Equal(t, min(2, people-i), o.load("an"))
			got := o.close(c.ID)
			require.Empty(t, got.Assignee)
			require.EqualValues(t, "an", got.Previous)
			require.False(t, got.ClosedAt.IsZero())
			require.NoError(t, checkLoads(o.ctx, o.desk))
		}
		require.Zero(t, o.load("an"))
		require.Equal(t, people, o.told(ticket.EventConversationClosed))
	})
}

func TestACustomersNextMessageReopensAClosedConversation(t *testing.T) {
	onPage(t, func(o *office) {
		o.says("psid1", "hello")
		id := o.conversation("psid1").ID
		o.close(id)
		o.close(id) // once more changes nothing
		require.Equal(t, 1, o.told(ticket.EventConversationClosed))

		robot := aside("psid1", "I am away")
		robot.Automatic = channel.Automatic{Kind: channel.AutomaticReply}
		o.deliver("page", robot)
		require.False(t, o.conversation("psid1").ClosedAt.IsZero(), "automatic mail leaves it closed")
		require.Zero(t, o.load("an"))

		o.says("psid1", "one more thing")
		c := o.conversation("psid1")
		require.Equal(t, id, c.ID)
		require.Zero(t, c.ClosedAt)
		require.EqualValues(t, "an", c.Assignee)
		require.Equal(t, 1, o.load("an"))
		require.Equal(t, 1, o.told(ticket.EventConversationReopened))
		o.says("psid1", "and another")
		require.Equal(t, 1, o.told(ticket.EventConversationReopened))
	})
}

func TestAClosedConversationThatIsTakenUpIsWorkAgain(t *testing.T) {
	onPage(t, func(o *office) {
		o.says("psid1", "hello")
		o.says("psid2", "hello")
		c := o.close(o.conversation("psid1").ID)
		_, err := o.desk.AssignConversation(o.ctx, ticket.Actor{}, c.ID, "bo")
		require.NoError(t, err)
		require.Zero(t, o.conversation("psid1").ClosedAt)
		require.Equal(t, 1, o.load("bo"))

		c = o.close(o.conversation("psid2").ID)
		tk, err := o.desk.MakeTicket(o.ctx, ticket.Agent("an"), c.ID)
		require.NoError(t, err)
		require.Zero(t, o.conversation("psid2").ClosedAt)
		o.settle()
		require.EqualValues(t, "an", o.only().Assignee)
		_, err = o.desk.CloseConversation(o.ctx, ticket.Agent("an"), c.ID)
		require.ErrorIs(t, err, ticket.ErrState, "its ticket says it")
		_, err = o.desk.CloseConversation(o.ctx, ticket.Agent("an"), "x")
		require.ErrorIs(t, err, ticket.ErrNotFound)
		require.NoError(t, checkLoads(o.ctx, o.desk))
		require.NoError(t, o.desk.DeleteTicket(o.ctx, ticket.Agent("an"), tk.ID))
		o.says("psid2", "again")
		require.NoError(t, checkLoads(o.ctx, o.desk))
	})
}

func TestAnAnswerUnderWayLeavesThoughItsConversationIsClosed(t *testing.T) {
	onPage(t, func(o *office) {
		o.says("psid1", "hello")
		c := o.conversation("psid1")
		_, err := o.desk.ReplyTo(o.ctx, c.ID, ticket.Draft{By: "an", Text: "Bye"})
		require.NoError(t, err)
		o.close(c.ID)
		time.Sleep(15 * time.Second)
		require.Len(t, o.net.Sent("page"), 1)
		require.False(t, o.conversation("psid1").ClosedAt.IsZero())
	})
}

// What waits may be closed too: it is given to nobody then.
func TestAWaitingConversationThatIsClosedIsGivenToNobody(t *testing.T) {
	onPage(t, func(o *office) {
		for _, who := range []string{"psid1", "psid2", "psid3"} {
			o.says(who, "hello")
		}
		o.close(o.conversation("psid3").ID)
		o.close(o.conversation("psid1").ID)
		require.Empty(t, o.conversation("psid3").Assignee)
		require.Equal(t, 1, o.load("an"))
	})
}
