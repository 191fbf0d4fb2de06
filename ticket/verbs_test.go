package ticket_test

import (
	"cmp"
	"context"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/ticket"
)

func TestAStaleRevisionConflicts(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		high := ticket.High
		got, err := o.desk.UpdateTicket(o.ctx, ticket.Agent("an"), tk.ID, ticket.TicketPatch{Priority: &high, Revision: tk.Revision})
		require.NoError(t, err)
		require.Greater(t, got.Revision, tk.Revision)
		_, err = o.desk.UpdateTicket(o.ctx, ticket.Agent("bo"), tk.ID, ticket.TicketPatch{Priority: &high, Revision: tk.Revision})
		require.ErrorIs(t, err, ticket.ErrConflict)
	})
}

func TestBadValuesNameTheField(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		long := strings.Repeat("x", 2<<20)
		crlf := "a\r\nBcc: x@y.example"
		status, prio := ticket.Status("odd"), ticket.Priority("odd")
		tags := []string{"a\x00"}
		patch := func(p ticket.TicketPatch) func() error {
			return func() error { _, err := o.desk.UpdateTicket(o.ctx, ticket.Actor{}, tk.ID, p); return err }
		}
		reply := func(d ticket.Draft) func() error {
			return func() error { _, err := o.desk.Reply(o.ctx, tk.ID, d); return err }
		}
		party := func(a string) []channel.Party { return []channel.Party{{Address: a}} }
		tests := map[string]struct {
			field string
			call  func() error
		}{
			"status":            {"status", patch(ticket.TicketPatch{Status: &status})},
			"priority":          {"priority", patch(ticket.TicketPatch{Priority: &prio})},
			"tags":              {"tags", patch(ticket.TicketPatch{Tags: &tags})},
			"subject":           {"subject", patch(ticket.TicketPatch{Subject: &crlf})},
			"unknown agent":     {"agent", reply(ticket.Draft{By: "nobody", Text: "x"})},
			"no text":           {"text", reply(ticket.Draft{By: "an", Text: " \n"})},
			"long text":         {"text", reply(ticket.Draft{By: "an", Text: long})},
			"NUL":               {"html", reply(ticket.Draft{By: "an", HTML: "a\x00"})},
			"not UTF-8":         {"text", reply(ticket.Draft{By: "an", Text: "a\xff"})},
			"header injection":  {"subject", reply(ticket.Draft{By: "an", Text: "x", Subject: crlf})},
			"address injection": {"to[0]", reply(ticket.Draft{By: "an", Text: "x", To: party(crlf)})},
			"no address":        {"cc[0]", reply(ticket.Draft{By: "an", Text: "x", To: party("a@b.example"), Cc: party("nobody")})},
			"name injection":    {"to[0]", reply(ticket.Draft{By: "an", Text: "x", To: []channel.Party{{Name: crlf, Address: "a@b.example"}}})},
			"many recipients":   {"to", reply(ticket.Draft{By: "an", Text: "x", To: make([]channel.Party, 101)})},
			"file name":         {"attachments[0].name", reply(ticket.Draft{By: "an", Text: "x", Attachments: []channel.Attachment{{Name: "../x", Body: channel.Bytes("x")}}})},
			"far future":        {"send_at", reply(ticket.Draft{By: "an", Text: "x", SendAt: time.Now().Add(9999 * time.Hour)})},
			"unknown channel":   {"via", reply(ticket.Draft{By: "an", Text: "x", Via: "nope"})},
			"assign":            {"agent", func() error { _, err := o.desk.Assign(o.ctx, ticket.Actor{}, tk.ID, "nobody"); return err }},
			"move":              {"queue", func() error { _, err := o.desk.Move(o.ctx, ticket.Actor{}, tk.ID, "nowhere"); return err }},
			"note":              {"text", func() error { _, err := o.desk.Note(o.ctx, "an", tk.ID, ""); return err }},
		}
		for name, tt := range tests {
			var bad *channel.FieldError
			require.ErrorAs(t, tt.call(), &bad, name)
			require.Equal(t, tt.field, bad.Field, name)
		}
		require.Equal(t, 1, o.only().MessageCount)
	})
}

func TestUnknownIdsAreNotFound(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		d, ctx, by := o.desk, o.ctx, ticket.Agent("an")
		errs := map[string]error{}
		_, errs["ticket"] = d.Ticket(ctx, "x")
		_, errs["conversation"] = d.Conversation(ctx, "x")
		_, errs["message"] = d.Message(ctx, "x")
		_, errs["cancel"] = d.Cancel(ctx, by, "x")
		_, errs["edit"] = d.Edit(ctx, by, "x", ticket.Edit{})
		_, errs["resolve"] = d.Resolve(ctx, by, "x", ticket.AsSent)
		_, errs["reply"] = d.Reply(ctx, "x", ticket.Draft{By: "an", Text: "x"})
		_, errs["status"] = d.SetStatus(ctx, by, "x", ticket.Open)
		_, errs["assign"] = d.Assign(ctx, by, "x", "an")
		_, errs["note"] = d.Note(ctx, "an", "x", "x")
		_, errs["make"] = d.MakeTicket(ctx, by, "x")
		errs["delete"] = d.DeleteTicket(ctx, by, "x")
		_, errs["delete message"] = d.DeleteMessage(ctx, by, "x")
		_, errs["raw"] = d.Raw(ctx, "x")
		_, _, errs["attachment"] = d.OpenAttachment(ctx, "x.0")
		_, errs["explain"] = d.Explain(ctx, "x")
		_, errs["release"] = d.Release(ctx, by, "x")
		_, errs["discard"] = d.Discard(ctx, by, "x")
		_, errs["raw item"] = d.RawItem(ctx, "x")
		_, errs["channel"] = d.Channel(ctx, "x")
		_, errs["check"] = d.Check(ctx, "x")
		errs["act"] = d.Act(ctx, by, "x", channel.VerbLike)
		for name, err := range errs {
			require.ErrorIs(t, err, ticket.ErrNotFound, name)
		}
	})
}

func TestNotesStatusAndEvents(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		_, err := o.desk.Note(o.ctx, "an", tk.ID, "Call back")
		require.NoError(t, err)
		_, err = o.desk.SetStatus(o.ctx, ticket.Agent("an"), tk.ID, ticket.Solved)
		require.NoError(t, err)
		got, err := o.desk.Ticket(o.ctx, tk.ID)
		require.NoError(t, err)
		require.False(t, got.SolvedAt.IsZero())
		require.Equal(t, ticket.Note, o.timeline(tk.ID)[1].Direction)
		es := o.events()
		last := es[len(es)-1]
		require.Equal(t, ticket.EventTicketUpdated, last.Type)
		require.Equal(t, ticket.Agent("an"), last.Actor)
		require.Equal(t, "solved", last.Data["status"])
		for _, e := range es {
			for _, v := range e.Data {
				require.NotContains(t, v, "Question", "events carry no content")
				require.NotContains(t, v, "Call back")
			}
		}
	})
}

func TestFollowSkipsNothingAndResumes(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		ctx, cancel := context.WithCancel(o.ctx)
		var seen []int64
		done := make(chan struct{})
		go func() {
			defer close(done)
			for e, err := range o.desk.Follow(ctx, 0) {
				if err != nil {
					return
				}
				seen = append(seen, e.Cursor)
			}
		}()
		ticketIn(o)
		o.settle()
		cancel()
		<-done
		n := len(o.events())
		require.Len(t, seen, n)
		for e, err := range o.desk.Follow(o.ctx, seen[n-3]) {
			require.NoError(t, err)
			require.Equal(t, seen[n-2], e.Cursor)
			break
		}
	})
}

func TestSearch(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		o.write(box, "mai@c.example", "Đơn hàng bị trễ", "Tôi chưa nhận được hàng")
		o.write(box, "joao@c.example", "Pedido não chegou", "Olá")
		for query, want := range map[string]int{"don hang": 1, "ĐƠN": 1, "nao cheg": 1, "hàng pedido": 0, "#2": 1, "mai": 1, `"); DROP TABLE`: 0, "": 0, "c example": 2} {
			got, _, err := o.desk.Search(o.ctx, query, ticket.Page{})
			require.NoError(t, err, query)
			require.Len(t, got, want, query)
		}
	})
}

// sparse is a store whose pages of tickets are empty, so many of them, before the
// others.
type sparse struct {
	ticket.Store
	empty atomic.Int64
}

func (s *sparse) Tickets(ctx context.Context, f ticket.TicketFilter, p ticket.Page) ([]*ticket.Ticket, ticket.Next, error) {
	n, err := strconv.Atoi(cmp.Or(string(p.After), "0"))
	if err != nil || int64(n) < s.empty.Load() {
		return nil, ticket.Next(strconv.Itoa(n + 1)), err
	}
	p.After = ""
	return s.Store.Tickets(ctx, f, p)
}

func TestASearchGoesOnWhereTheStoreFindsNothingAtOnce(t *testing.T) {
	store := &sparse{}
	inOffice(t, func(c *ticket.Config) { store.Store = c.Store; c.Store = store }, func(o *office) {
		o.mailbox(box, ticket.Settings{})
		o.write(box, "mai@c.example", "Order", "late")
		for empty, reads := range map[int64]int{0: 1, 1: 1, 7: 1, 8: 2, 20: 3} {
			store.empty.Store(empty)
			var p ticket.Page
			var found []*ticket.Ticket
			n := 0
			for ; n == 0 || p.After != ""; n++ {
				var err error
				found, p.After, err = o.desk.Search(o.ctx, "late", p)
				require.NoError(t, err)
			}
			require.Len(t, found, 1, empty)
			require.Equal(t, reads, n, "pages of the desk before %d empty ones of the store have ended", empty)
		}
	})
}

func TestActionsAsTheChannelCan(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		o.connect(channeltest.MemoryAccount{Address: "page"}, ticket.Settings{})
		o.deliver("page", channel.Message{From: from("psid1"), Text: "hello"})
		m := o.timeline(o.only().ID)[0]
		require.NoError(t, o.desk.Act(o.ctx, ticket.Agent("an"), m.ID, channel.VerbSeen))
		require.Len(t, o.net.Done("page"), 1)
		require.ErrorIs(t, o.desk.Act(o.ctx, ticket.Agent("an"), m.ID, "explode"), ticket.ErrNotAble)
	})
}

func TestDeletingAPendingMessageCancelsIt(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		m := o.reply(ticketIn(o).ID, "Oops")
		_, err := o.desk.DeleteMessage(o.ctx, ticket.Agent("an"), m.ID)
		require.NoError(t, err)
		time.Sleep(time.Minute)
		require.Empty(t, o.net.Sent(box))
		got := o.message(m.ID)
		require.Equal(t, ticket.StateCancelled, got.State)
		require.Empty(t, got.Text)
		require.False(t, got.RedactedAt.IsZero())
	})
}

func TestAttachmentsOfAReplyArrive(t *testing.T) {
	inOffice(t, nil, func(o *office) {
		tk := ticketIn(o)
		_, err := o.desk.Reply(o.ctx, tk.ID, ticket.Draft{By: "an", Text: "See", Attachments: []channel.Attachment{{Name: "hóa đơn.txt", Type: "text/plain", Body: channel.Bytes("abc")}}})
		require.NoError(t, err)
		o.restart()
		time.Sleep(15 * time.Second)
		sent := o.net.Sent(box)
		require.Len(t, sent, 1)
		require.Equal(t, "hóa đơn.txt", sent[0].Out.Attachments[0].Name)
		b, err := channel.ReadBody(sent[0].Out.Attachments[0].Body, 10)
		require.NoError(t, err)
		require.Equal(t, "abc", string(b))
	})
}
