package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/anteroom/anteroom/facebook"
	"github.com/anteroom/anteroom/facebook/graphtest"
	"github.com/anteroom/anteroom/ticket"
)

// demoVerify is the verify token of the demo's app.
const demoVerify = "the demo's verify token"

// shopPage is the shop's Facebook Page and its visitors, on a Facebook that runs on
// this machine.
type shopPage struct {
	fb     *graphtest.Graph
	page   *graphtest.Page
	server *http.Server

	linh, tam, bao *graphtest.Person
}

// openPage starts the Facebook of the demo, and has opts use it.
func openPage(ctx context.Context, opts *options) (*shopPage, error) {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start the demo's Facebook: %w", err)
	}
	p := &shopPage{fb: graphtest.New(graphtest.Options{URL: "http://" + l.Addr().String(), RequireProof: true})}
	p.server = &http.Server{Handler: p.fb, ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = p.server.Serve(l) }() // until close
	p.page = p.fb.AddPage("Vinashop")
	p.linh, p.tam, p.bao = p.fb.AddPerson("Hoàng Mỹ Linh"), p.fb.AddPerson("Đỗ Minh Tâm"), p.fb.AddPerson("Vũ Gia Bảo")
	opts.facebookID, opts.facebookSecret, opts.facebookVerify, opts.facebookGraph = p.fb.AppID(), p.fb.AppSecret(), demoVerify, p.fb.URL()
	return p, nil
}

func (p *shopPage) close() { _ = p.server.Close() }

// connectPage makes the Page a channel: comments that ask for a price become
// tickets, and all messages.
func (d *demo) connectPage(ctx context.Context) (err error) {
	p := d.page
	owner := p.fb.AddPerson("The shop's owner")
	d.pageChannel, err = d.desk.Connect(ctx, facebook.Page{ID: p.page.ID, Name: "Vinashop", Token: owner.PageToken(p.page.ID),
		Rules: facebook.Rules{Messages: true, Posts: facebook.Relevant, Comments: true, Keywords: []string{"giá"}}},
		ticket.Settings{Queue: "support", PreferOnline: true})
	if err != nil {
		return err
	}
	for _, c := range []*customer{
		{name: "Hoàng Mỹ Linh", address: p.linh.AuthorID(p.page.ID), answer: "Dạ ghế này 1.250.000đ, bên em giao trong tuần ạ."},
		{name: "Vũ Gia Bảo", address: p.bao.PSID(p.page.ID), answer: "Dạ còn màu đen ạ, anh cần mấy cái?"},
	} {
		d.people[c.address] = c
	}
	return nil
}

// playPage has Facebook tell the host what happens on the Page, and shows what
// comes back, until ctx ends.
func (d *demo) playPage(ctx context.Context, webhook string) {
	if err := d.page.fb.SubscribeURL(webhook, demoVerify); err != nil {
		d.table.line("Facebook", "could not reach the webhook: "+err.Error(), "", "", "")
		return
	}
	d.playing.Go(func() { d.page.fb.Run(ctx) })
	d.playing.Go(func() {
		shown := 0
		for d.page.fb.Wait(ctx, func() bool { return len(d.page.fb.Sent()) > shown }) == nil {
			for _, s := range d.page.fb.Sent()[shown:] {
				who, where := d.people[s.Recipient], "gets in Messenger: "
				if who == nil { // a comment, of which one asks for something
					who, where = d.people[d.page.linh.AuthorID(d.page.page.ID)], "reads under the comment: "
				}
				d.table.line(who.name, where+firstLine(s.Text), "", "", "")
				shown++
			}
		}
	})
}

// comments has visitors comment on what the shop posts.
func (d *demo) comments() {
	p := d.page
	post := p.page.Post("Ghế gỗ mới về!")
	d.table.line("Vinashop", "posts on its Facebook Page: Ghế gỗ mới về!", "", "", "")
	p.linh.Comment(post, "Giá bao nhiêu vậy shop?")
	d.table.line("Hoàng Mỹ Linh", "comments: Giá bao nhiêu vậy shop?", "", "", "")
	p.tam.Comment(post, "Đẹp quá!")
	d.table.line("Đỗ Minh Tâm", "comments: Đẹp quá! (no keyword: no ticket)", "", "", "")
}

// messages has a customer write in Messenger.
func (d *demo) messages() {
	d.table.line("Vũ Gia Bảo", "writes in Messenger: Shop còn màu đen không?", "", "", "")
	d.page.bao.Write(d.page.page.ID, "Shop còn màu đen không?")
}
