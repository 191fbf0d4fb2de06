//go:build unix

package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/textproto"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/stretchr/testify/require"
)

// thread is a conversation as its customer sees it.
type thread struct {
	from, to string   // the customer, and the envelope's recipient
	ids      []string // of the mails so far
}

// sentMail is a mail that a customer has written. The flags are what the customer
// knows.
type sentMail struct {
	thread *thread
	raw    []byte
	file   []byte // the attachment's content, if it has one
	acked  bool   // 250 was read, and not forgotten
	tries  int
}

func (l *sentMail) sum() [sha256.Size]byte { return sha256.Sum256(l.raw) }

// sender is one connection's worth of customers: it makes one delivery after
// another, sometimes two at once.
type sender struct {
	s       *site
	n       int
	rnd     *rand.Rand
	threads []*thread
	letters []*sentMail
}

func newSender(s *site, n int) *sender {
	return &sender{s: s, n: n, rnd: rand.New(rand.NewPCG(s.seed, uint64(n)))}
}

// write writes the next mail of a thread.
func (x *sender) write(t *thread, size int, refs ...string) *sentMail {
	n := len(x.letters)
	id := fmt.Sprintf("%d.%d.%d@%s", x.n, n, x.rnd.Uint32(), strings.SplitN(t.from, "@", 2)[1])
	var b bytes.Buffer
	header := func(name, value string) { fmt.Fprintf(&b, "%s: %s\r\n", name, value) }
	header("From", "Khach <"+t.from+">")
	header("To", map[bool]string{true: "help@shop.example", false: x.s.mailbox}[t.to == x.s.forward])
	header("Subject", fmt.Sprintf("Mail %d.%d", x.n, n))
	header("Date", time.Now().UTC().Format(time.RFC1123Z))
	header("Message-ID", "<"+id+">")
	if len(refs) > 0 {
		header("In-Reply-To", "<"+refs[len(refs)-1]+">")
		header("References", "<"+strings.Join(refs, "> <")+">")
	}
	header("MIME-Version", "1.0")
	l := &sentMail{thread: t}
	body := fmt.Sprintf("Chao shop, day la thu %d.%d\r\n.\r\n..va dau cham o dau dong\r\n", x.n, n)
	if size == 0 {
		header("Content-Type", "text/plain; charset=utf-8")
		b.WriteString("\r\n" + body)
	} else {
		l.file = make([]byte, size)
		for i := range l.file {
			l.file[i] = byte(x.rnd.Uint32())
		}
		header("Content-Type", `multipart/mixed; boundary="b0"`)
		b.WriteString("\r\n--b0\r\nContent-Type: text/plain\r\n\r\n" + body + "\r\n--b0\r\nContent-Type: application/octet-stream; name=\"anh.bin\"\r\n")
		b.WriteString("Content-Disposition: attachment; filename=\"anh.bin\"\r\nContent-Transfer-Encoding: base64\r\n\r\n")
		for text := base64.StdEncoding.EncodeToString(l.file); text != ""; {
			n := min(76, len(text))
			b.WriteString(text[:n] + "\r\n")
			text = text[n:]
		}
		b.WriteString("--b0--\r\n")
	}
	l.raw = b.Bytes()
	t.ids = append(t.ids, id)
	x.letters = append(x.letters, l)
	return l
}

func (x *sender) newThread() *thread {
	n := len(x.threads)
	t := &thread{from: fmt.Sprintf("khach@k%d-%d.example", x.n, n), to: x.s.mailbox}
	if x.rnd.IntN(2) == 0 {
		t.to = x.s.forward
	}
	x.threads = append(x.threads, t)
	return t
}

// run sends until ctx ends.
func (x *sender) run(ctx context.Context) {
	for ctx.Err() == nil {
		size := 0
		if x.rnd.IntN(12) == 0 {
			size = 300_000 + x.rnd.IntN(100_000)
		}
		var unanswered []*sentMail
		for _, l := range x.letters {
			if !l.acked {
				unanswered = append(unanswered, l)
			}
		}
		switch n := x.rnd.IntN(20); {
		case len(unanswered) > 0 && n < 8:
			x.deliver(ctx, unanswered[x.rnd.IntN(len(unanswered))])
		case len(x.threads) == 0 || n < 11:
			x.deliver(ctx, x.write(x.newThread(), size))
		case n < 13: // the first mail of a thread and its second, at once
			t := x.newThread()
			first := x.write(t, 0)
			x.deliver(ctx, first, x.write(t, size, t.ids[0]))
		case n < 14: // one mail over two connections at once
			l := x.write(x.newThread(), size)
			x.deliver(ctx, l, l)
		default:
			t := x.threads[x.rnd.IntN(len(x.threads))]
			x.deliver(ctx, x.write(t, size, t.ids...))
		}
		linger(ctx, time.Duration(x.rnd.IntN(250))*time.Millisecond)
	}
}

// deliver delivers mails, each over a connection of its own, and notes what was
// answered. Some customers forget the answer, or do not wait for it.
func (x *sender) deliver(ctx context.Context, letters ...*sentMail) {
	_, addr, ok := x.s.up(ctx)
	if !ok {
		return
	}
	got := make([]bool, len(letters))
	var both sync.WaitGroup
	for i, l := range letters {
		l.tries++
		how := x.rnd.IntN(12)
		both.Go(func() {
			code, err := submit(addr, l, how == 0)
			switch {
			case err == nil && code == 250:
				got[i] = how != 1
			case code >= 500:
				x.s.t.Errorf("a mail was refused for good: %v", err)
			}
		})
	}
	both.Wait()
	for i, l := range letters {
		l.acked = l.acked || got[i]
	}
}

var errLeft = errors.New("the customer did not wait for the answer")

// submit delivers a mail by SMTP, and returns the code of the last answer.
func submit(addr string, l *sentMail, leave bool) (int, error) {
	conn, err := net.DialTimeout("tcp", addr, 10*time.Second)
	if err != nil {
		return 0, err
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	c := textproto.NewConn(conn)
	if code, _, err := c.ReadResponse(220); err != nil {
		return code, err
	}
	for _, step := range []struct {
		line string
		want int
	}{{"EHLO customer.example", 250}, {"MAIL FROM:<" + l.thread.from + ">", 250}, {"RCPT TO:<" + l.thread.to + ">", 250}, {"DATA", 354}} {
		if err := c.PrintfLine("%s", step.line); err != nil {
			return 0, err
		}
		if code, _, err := c.ReadResponse(step.want); err != nil {
			return code, err
		}
	}
	w := c.DotWriter()
	if _, err := w.Write(l.raw); err != nil {
		return 0, err
	}
	if err := w.Close(); err != nil {
		return 0, err
	}
	if leave {
		return 0, errLeft
	}
	code, _, err := c.ReadResponse(250)
	return code, err
}

// finish delivers what has no answer yet. The program is up and stays up.
func (x *sender) finish() {
	x.s.t.Helper()
	for _, l := range x.letters {
		if l.acked {
			continue
		}
		code, err := submit(x.s.smtp, l, false)
		require.NoError(x.s.t, err)
		require.Equal(x.s.t, 250, code)
		l.acked = true
	}
}

// reply is an agent's answer, which the agent asks for under one key until it
// is taken.
type reply struct {
	ticket, key string
	file        []byte
	id          string // of the message, once it was taken
}

// answerer writes answers to whatever ticket.
type answerer struct {
	s       *site
	name    string
	channel string // whose tickets are answered; empty: all that are not apart
	rnd     *rand.Rand
	replies []*reply
}

func (a *answerer) run(ctx context.Context) {
	for ctx.Err() == nil {
		linger(ctx, time.Duration(a.rnd.IntN(150))*time.Millisecond)
		if n := len(a.replies); n > 0 && (a.replies[n-1].id == "" || a.rnd.IntN(6) == 0) {
			a.ask(ctx, a.replies[n-1]) // again, whether it was answered or not
			continue
		}
		status, out, err := a.s.call(ctx, "GET", "/api/tickets?limit=50&channel="+a.channel, nil)
		if err != nil || status != 200 {
			continue
		}
		tickets, _ := out["tickets"].([]any)
		if a.channel == "" {
			tickets = slices.DeleteFunc(tickets, func(k any) bool { return slices.Contains(a.s.apart, text(k, "channel")) })
		}
		if len(tickets) == 0 {
			continue
		}
		w := &reply{ticket: text(tickets[a.rnd.IntN(len(tickets))], "id"), key: fmt.Sprintf("%s-%d", a.name, len(a.replies))}
		if a.channel == "" && a.rnd.IntN(10) == 0 {
			w.file = bytes.Repeat([]byte{byte(a.rnd.Uint32())}, 300_000)
		}
		a.replies = append(a.replies, w)
		a.ask(ctx, w)
	}
}

// ask asks for an answer to be sent, and reports whether it was taken.
func (a *answerer) ask(ctx context.Context, w *reply) bool {
	body := object{"agent": "an", "text": "answer " + w.key + ".", "key": w.key}
	if w.file != nil {
		body["attachments"] = []object{{"name": "tra-loi.bin", "type": "application/octet-stream", "content_base64": base64.StdEncoding.EncodeToString(w.file)}}
	}
	status, out, err := a.s.call(ctx, "POST", "/api/tickets/"+w.ticket+"/replies", body)
	switch {
	case err != nil || status >= 500 || status == 409:
		return false
	case status != 202:
		a.s.t.Errorf("answer %s: %d %v", w.key, status, out)
	case w.id != "" && w.id != text(out, "id"):
		a.s.t.Errorf("answer %s is message %s, and then %s", w.key, w.id, text(out, "id"))
	}
	w.id = text(out, "id")
	return status == 202
}

func (a *answerer) finish() {
	a.s.t.Helper()
	for _, w := range a.replies {
		require.True(a.s.t, a.ask(a.s.t.Context(), w), "answer %s", w.key)
	}
}

// follower follows the feed of events over all crashes.
type follower struct {
	s    *site
	seen []object
}

func (f *follower) run(ctx context.Context) {
	for ctx.Err() == nil {
		if !f.read(ctx) {
			linger(ctx, 20*time.Millisecond)
		}
	}
}

// read reads what comes next, and reports whether there was something.
func (f *follower) read(ctx context.Context) bool {
	status, out, err := f.s.call(ctx, "GET", fmt.Sprintf("/api/events?limit=200&after=%d", len(f.seen)), nil)
	events, _ := out["events"].([]any)
	for _, e := range events {
		o, _ := e.(object)
		f.seen = append(f.seen, o)
	}
	return err == nil && status == 200 && len(events) > 0
}

// finish goes on to the last event.
func (f *follower) finish(last int) {
	f.s.t.Helper()
	for len(f.seen) < last {
		require.True(f.s.t, f.read(f.s.t.Context()), "%d of %d events are there", len(f.seen), last)
	}
}

// customersAnswer lets some customers answer the mail that they got last.
func (s *site) customersAnswer(senders []*sender) {
	s.t.Helper()
	last := map[string]string{} // Message-IDs by recipient
	for _, m := range s.taken() {
		mail, err := m.Mail()
		require.NoError(s.t, err)
		last[m.To[0]] = mail.MessageID
	}
	for _, x := range senders {
		for _, t := range x.threads[:min(3, len(x.threads))] {
			if id := last[t.from]; id != "" {
				l := x.write(t, 0, id)
				code, err := submit(s.smtp, l, false)
				require.NoError(s.t, err)
				require.Equal(s.t, 250, code)
				l.acked = true
			}
		}
	}
}
