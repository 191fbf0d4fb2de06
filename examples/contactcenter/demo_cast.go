package main

import (
	"context"
	"encoding/base64"
	"fmt"
	"mime"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
	"github.com/anteroom/anteroom/email/emailtest"
	"github.com/anteroom/anteroom/ticket"
)

// customer is somebody who writes to the shop.
type customer struct {
	name, address string
	// answer is what an agent will write back.
	answer string
	// away has a robot that answers first, once.
	away bool

	mu    sync.Mutex
	says  []string // what they write next, each after an answer
	awayd bool
}

// nextMail numbers the Message-IDs of customers.
var nextMail = new(atomic.Int64)

// letter is a mail of a customer.
type letter struct {
	from, to, subject, text string
	name                    string
	headers                 []string
	references              []string
	file                    string
	written                 []byte
}

// raw is the mail, the same bytes each time.
func (l *letter) raw() []byte {
	if l.written == nil {
		l.written = l.compose()
	}
	return l.written
}

func (l *letter) compose() []byte {
	_, domain, _ := strings.Cut(l.from, "@")
	id := fmt.Sprintf("%d.%d@%s", time.Now().UnixNano(), nextMail.Add(1), domain)
	var b strings.Builder
	fmt.Fprintf(&b, "From: %s <%s>\nTo: %s\nSubject: %s\n", mime.QEncoding.Encode("utf-8", l.name), l.from, l.to, mime.BEncoding.Encode("utf-8", l.subject))
	fmt.Fprintf(&b, "Date: %s\nMessage-ID: <%s>\nMIME-Version: 1.0\n", time.Now().Format(time.RFC1123Z), id)
	if n := len(l.references); n > 0 {
		fmt.Fprintf(&b, "In-Reply-To: <%s>\nReferences: <%s>\n", l.references[n-1], strings.Join(l.references, ">\n <"))
	}
	for _, h := range l.headers {
		b.WriteString(h + "\n")
	}
	const text = "Content-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: base64\n\n%s\n"
	if l.file == "" {
		fmt.Fprintf(&b, text, base64.StdEncoding.EncodeToString([]byte(l.text)))
		return crlf(b.String())
	}
	b.WriteString("Content-Type: multipart/mixed; boundary=part\n\n--part\n")
	fmt.Fprintf(&b, text, base64.StdEncoding.EncodeToString([]byte(l.text)))
	fmt.Fprintf(&b, "--part\nContent-Type: image/png\nContent-Disposition: attachment; filename=%q\nContent-Transfer-Encoding: base64\n\n%s\n--part--\n", l.file, onePixel)
	return crlf(b.String())
}

// onePixel is a PNG, in base64.
const onePixel = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8BQDwAEhQGAhKmMIQAAAABJRU5ErkJggg=="

// invite makes the customers and their mail servers.
func (d *demo) invite() error {
	d.people = map[string]*customer{}
	for _, c := range []*customer{
		{name: "Lê Minh Châu", address: "chau@hanoi-mail.example",
			answer: "Chào chị Châu,\n\nĐơn hàng 2041 đã rời kho sáng nay và sẽ đến trước 17 giờ.\n",
			says:   []string{"Cảm ơn shop, tôi đã nhận được tin.\n"}},
		{name: "João Conceição", address: "joao@correio.example",
			answer: "Olá João,\n\nsegue o orçamento: 20 cadeiras por R$ 4.980, frete incluído.\n",
			says:   []string{"Perfeito, podem enviar. Obrigado!\n"}},
		{name: "Emma Clarke", address: "emma@post.example", away: true,
			answer: "Dear Emma,\n\nwe are sorry. The right size is on its way, please keep the other one.\n"},
		{name: "Phạm Quốc Đạt", address: "dat@saigon-mail.example",
			answer: "Chào anh Đạt,\n\nhóa đơn đã được gửi lại kèm theo thư này.\n",
			says:   []string{"Tôi thấy rồi, cảm ơn!\n"}},
		{name: "Ghost", address: "ghost@post.example"},
		{name: "Fórum de Lojistas", address: "lista@correio.example"},
	} {
		d.people[c.address] = c
	}
	for _, domain := range []string{"hanoi-mail.example", "correio.example", "post.example", "saigon-mail.example"} {
		if err := d.post.customerServer(domain, "ghost@post.example"); err != nil {
			return err
		}
	}
	return nil
}

// write has a customer's server deliver a letter.
func (d *demo) write(what string, l *letter) {
	if l.name == "" {
		l.name = d.people[l.from].name
	}
	d.table.line(l.name, what, "", "", "")
	if err := d.post.deliver(l.from, l.to, l.raw()); err != nil {
		d.table.line(l.name, "could not deliver: "+err.Error(), "", "", "")
	}
}

// arrived is called for each mail that a customer's server took.
func (d *demo) arrived(ctx context.Context, to string, m *emailtest.Message) {
	c := d.people[to]
	mail, err := m.Mail()
	if c == nil || err != nil {
		return
	}
	if mail.Automatic.Is() {
		d.table.line(c.name, "gets the automatic reply", "", "", "")
		return
	}
	d.table.line(c.name, "gets the answer: "+firstLine(mail.NewText), "", "", "")
	c.mu.Lock()
	defer c.mu.Unlock()
	answer := letter{from: c.address, to: shopAddress, subject: "Re: " + strings.TrimPrefix(mail.Subject, "Re: "), references: chain(mail)}
	if c.away && !c.awayd {
		c.awayd = true
		answer.subject, answer.text = "Automatic reply: "+mail.Subject, "I am out of office until Monday.\n"
		answer.headers = []string{"Auto-Submitted: auto-replied", "X-Auto-Response-Suppress: All"}
		d.write("is away; a robot answers", &answer)
		return
	}
	if len(c.says) == 0 {
		return
	}
	answer.text, c.says = c.says[0]+"\n> "+firstLine(mail.NewText)+"\n", c.says[1:]
	d.think(ctx, 1500*time.Millisecond, func() { d.write("writes back: "+firstLine(answer.text), &answer) })
}

func chain(m *email.Mail) []string {
	return append(append([]string{}, m.References...), m.MessageID)
}

func firstLine(s string) string {
	for line := range strings.SplitSeq(s, "\n") {
		// The salutation says nothing.
		if line = strings.TrimSpace(line); line != "" && !strings.HasSuffix(line, ",") {
			return line
		}
	}
	return ""
}

// agentsAnswer has the agent of a ticket answer it, once, after a while.
func (d *demo) agentsAnswer(ctx context.Context, e *ticket.Event, after time.Duration) {
	t, err := d.desk.Ticket(ctx, e.Ticket)
	if err != nil {
		return
	}
	contacts, err := d.desk.Contacts(ctx, t.Contact)
	if err != nil {
		return
	}
	c := d.people[contacts[t.Contact].Address()]
	if c == nil || c.answer == "" || !t.FirstReplyAt.IsZero() {
		return
	}
	d.think(ctx, after, func() {
		draft := ticket.Draft{By: e.Agent, Text: c.answer}
		if t.Channel == d.sales.ID {
			draft.Via = d.help.ID // that mailbox only receives, and has no pair
		}
		if _, err := d.desk.Reply(ctx, t.ID, draft); err != nil && ctx.Err() == nil {
			d.table.line(string(e.Agent), "could not answer: "+err.Error(), "", "", "")
		}
	})
}

// party is a recipient that an agent names.
func party(c *customer) channel.Party { return channel.Party{Name: c.name, Address: c.address} }
