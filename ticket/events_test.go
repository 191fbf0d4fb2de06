package ticket_test

import (
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
)

func TestATicketsEventsAreReadApartFromAllOthers(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{Queue: "support"})
		var tickets []ticket.TicketID
		for _, from := range []string{"a@c.example", "b@c.example", "c@c.example"} {
			o.deliver(box, mail(from, "Question"))
			o.settle()
			list, _, err := o.desk.Tickets(o.ctx, ticket.TicketFilter{}, ticket.Page{Limit: 1})
			require.NoError(t, err)
			tickets = append(tickets, list[0].ID)
		}
		for _, status := range []ticket.Status{ticket.Solved, ticket.Open} {
			for _, id := range tickets { // so that their events stand between each other
				_, err := o.desk.SetStatus(o.ctx, ticket.Agent("an"), id, status)
				require.NoError(t, err)
			}
		}
		require.NoError(t, o.desk.DeleteTicket(o.ctx, ticket.Agent("an"), tickets[2]))
		all := o.events()
		for _, id := range tickets {
			var want []*ticket.Event
			for _, e := range all {
				if e.Ticket == id {
					want = append(want, e)
				}
			}
			require.GreaterOrEqual(t, len(want), 4)
			got, err := o.desk.TicketEvents(o.ctx, id, 0, 500)
			require.NoError(t, err)
			require.Equal(t, want, got, "also of a deleted ticket")
			got, err = o.desk.TicketEvents(o.ctx, id, want[1].Cursor, 2)
			require.NoError(t, err)
			require.Equal(t, want[2:4], got)
			got, err = o.desk.TicketEvents(o.ctx, id, want[len(want)-1].Cursor, 2)
			require.NoError(t, err)
			require.Empty(t, got)
		}
		for _, id := range []ticket.TicketID{"", "none"} {
			got, err := o.desk.TicketEvents(o.ctx, id, 0, 500)
			require.NoError(t, err)
			require.Empty(t, got, "not the events of all")
		}
	})
}

func TestTheLastCursorIsFoundWithOneRead(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ticketIn(o)
		reads := 0
		o.settle()
		o.back.Fail(func(op string) error {
			if op == "events" {
				reads++
			}
			return nil
		})
		last, err := o.desk.LastCursor(o.ctx)
		o.back.Fail(nil)
		require.NoError(t, err)
		require.Equal(t, 1, reads)
		require.EqualValues(t, len(o.events()), last)

		_, err = o.desk.SetStatus(o.ctx, ticket.Agent("an"), o.only().ID, ticket.Solved)
		require.NoError(t, err)
		time.Sleep(time.Second)
		for e, err := range o.desk.Follow(o.ctx, last) {
			require.NoError(t, err)
			require.Equal(t, ticket.EventTicketUpdated, e.Type, "what happened since")
			break
		}
	})
}

func TestAnEmptyFeedHasTheCursor0(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		empty := o.cfg
		empty.Store = o.back.Portal("another")
		desk, err := ticket.New(empty)
		require.NoError(t, err)
		last, err := desk.LastCursor(o.ctx)
		require.NoError(t, err)
		require.Zero(t, last)
	})
}

func TestAFollowerThatGoesOnAfterAnErrorMissesNothing(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		last, err := o.desk.LastCursor(o.ctx)
		require.NoError(t, err)
		fails := 0
		o.back.Fail(func(op string) error {
			if op == "events" && fails < 3 {
				fails++
				return errors.New("the database restarts")
			}
			return nil
		})
		var seen, failed int64
		for e, err := range o.desk.Follow(o.ctx, 0) {
			if err != nil {
				require.Nil(t, e)
				failed++
				continue
			}
			seen++
			require.Equal(t, seen, e.Cursor)
			if e.Cursor == last {
				break
			}
		}
		require.EqualValues(t, 3, failed)
	})
}
