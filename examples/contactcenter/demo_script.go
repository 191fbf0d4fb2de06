package main

import (
	"context"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/routing"
	"github.com/anteroom/anteroom/ticket"
)

// script is what happens in the morning, besides what follows from it. It
// takes some 25 seconds.
func (d *demo) script(ctx context.Context) {
	duplicate := &letter{from: "dat@saigon-mail.example", to: shopAddress, subject: "Xin lại hóa đơn tháng 10", text: "Chào shop,\n\nTôi cần lại hóa đơn tháng 10.\n"}
	steps := []struct {
		after time.Duration
		do    func()
	}{
		{300 * time.Millisecond, func() { d.present(ctx, "an", routing.Online) }},
		{time.Second, func() {
			d.write("writes to "+shopAddress, &letter{from: "chau@hanoi-mail.example", to: shopAddress,
				subject: "Đơn hàng 2041 giao trễ", text: "Chào shop,\n\nĐơn hàng 2041 của tôi ở đâu? Tôi đặt từ thứ Hai.\n"})
		}},
		{1500 * time.Millisecond, func() {
			d.write("writes to the sales mailbox", &letter{from: "joao@correio.example", to: d.sales.Address,
				subject: "Orçamento para 20 cadeiras", text: "Olá,\n\npreciso de 20 cadeiras até o fim do mês. Quanto custa?\n"})
		}},
		{1500 * time.Millisecond, func() {
			d.write("writes, with a photo", &letter{from: "emma@post.example", to: shopAddress,
				subject: "Wrong size delivered", text: "Hello,\n\nI ordered size M and got XL, see the photo.\n", file: "label.png"})
		}},
		{1500 * time.Millisecond, func() { d.present(ctx, "carla", routing.Online) }},
		{1500 * time.Millisecond, func() {
			d.write("posts to a mailing list we are on", &letter{from: "lista@correio.example", to: d.support.Address,
				subject: "[lojistas] Feira de novembro", text: "Inscrições abertas.\n",
				headers: []string{"List-Id: <lojistas.correio.example>", "Precedence: list", "List-Unsubscribe: <mailto:sair@correio.example>"}})
		}},
		{1500 * time.Millisecond, func() { d.present(ctx, "binh", routing.Online) }},
		{1500 * time.Millisecond, d.comments},
		{2500 * time.Millisecond, d.messages},
		{1200 * time.Millisecond, func() { d.write("asks for an invoice", duplicate) }},
		{800 * time.Millisecond, func() { d.write("has the mail delivered again: the 250 was lost", duplicate) }},
		{1500 * time.Millisecond, func() { d.writeFirst(ctx, "an", d.people["ghost@post.example"]) }},
		{1500 * time.Millisecond, func() { d.changeMind(ctx, "an") }},
		{2 * time.Second, func() {
			d.table.line("Somebody", "forges a bounce of a mail we never sent", "", "", "")
			_ = d.post.deliver("", d.support.Address, bounce(d.support.Address, "nobody@post.example",
				&refusal, []byte("Message-ID: <made-up@"+shopDomain+">\r\nSubject: You won\r\n\r\n")))
		}},
		{1500 * time.Millisecond, func() { d.solveAndReturn(ctx) }},
	}
	for _, s := range steps {
		if !d.pause(ctx, s.after) {
			return
		}
		s.do()
	}
}

func (d *demo) present(ctx context.Context, a routing.AgentID, state routing.PresenceState) {
	if err := d.desk.SetPresence(ctx, a, state, 0); err != nil && ctx.Err() == nil {
		d.table.line(string(a), "presence: "+err.Error(), "", "", "")
	}
}

// writeFirst has an agent start a conversation with an address that is wrong.
func (d *demo) writeFirst(ctx context.Context, by routing.AgentID, to *customer) {
	_, err := d.desk.Start(ctx, ticket.Opening{Channel: d.help.ID, By: by, To: []channel.Party{party(to)},
		Subject: "Your voucher", Text: "Hello,\n\nthank you for your patience, a voucher is attached to your account.\n", Send: true})
	if err != nil && ctx.Err() == nil {
		d.table.line(string(by), "could not write first: "+err.Error(), "", "", "")
	}
}

// changeMind has an agent answer, and take it back while the clock runs.
func (d *demo) changeMind(ctx context.Context, by routing.AgentID) {
	id := d.ticketOf(ctx, "Wrong size delivered")
	m, err := d.desk.Reply(ctx, id, ticket.Draft{By: by, Text: "This was meant for somebody else.\n"})
	if err != nil {
		return
	}
	d.think(ctx, time.Second, func() { _, _ = d.desk.Cancel(ctx, ticket.Agent(by), m.ID) })
}

// solveAndReturn solves a ticket, and then its customer writes again.
func (d *demo) solveAndReturn(ctx context.Context) {
	id := d.ticketOf(ctx, "Đơn hàng 2041 giao trễ")
	if _, err := d.desk.SetStatus(ctx, ticket.Agent("an"), id, ticket.Solved); err != nil {
		return
	}
	var refs []string
	messages, _, err := d.desk.Timeline(ctx, ticket.MessageFilter{Ticket: id}, ticket.Page{})
	if err != nil {
		return
	}
	for _, m := range messages {
		if m.Direction == ticket.Out && m.Auto == "" && len(m.ExternalIDs) > 0 {
			refs = []string{m.ExternalIDs[0]}
		}
	}
	d.think(ctx, 1500*time.Millisecond, func() {
		d.write("writes once more, in the same thread", &letter{from: "chau@hanoi-mail.example", to: shopAddress,
			subject: "Re: Đơn hàng 2041 giao trễ", text: "Hộp bị móp một góc, shop đổi giúp tôi nhé.\n", references: refs})
	})
}

func (d *demo) ticketOf(ctx context.Context, subject string) ticket.TicketID {
	found, _, err := d.desk.Search(ctx, subject, ticket.Page{Limit: 1})
	if err != nil || len(found) == 0 {
		return ""
	}
	return found[0].ID
}
