package emailtest

import (
	"context"
	"errors"
	"sync"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// Message is one mail that a fake took in.
type Message struct {
	From string   // reverse-path; empty is the null one
	To   []string // accepted recipients, in order
	// MailParams and RcptParams are what stood behind the addresses, such as
	// "SIZE=120 SMTPUTF8"; RcptParams is parallel to To.
	MailParams string
	RcptParams []string

	Hello string // the name in EHLO
	User  string // who had logged in
	TLS   bool

	Raw []byte // content without dot-stuffing and final dot

	once sync.Once
	mail *email.Mail
	err  error
}

// Mail returns the content as package email understands it.
func (m *Message) Mail() (*email.Mail, error) {
	m.once.Do(func() { m.mail, m.err = email.Read(channel.Bytes(m.Raw)) })
	return m.mail, m.err
}

// inbox keeps what came and hands it out in order.
type inbox struct {
	mu      sync.Mutex
	all     []*Message
	next    int
	changed chan struct{}
}

func newInbox() *inbox { return &inbox{changed: make(chan struct{})} }

func (b *inbox) put(m *Message) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.all = append(b.all, m)
	close(b.changed)
	b.changed = make(chan struct{})
}

func (b *inbox) messages() []*Message {
	b.mu.Lock()
	defer b.mu.Unlock()
	return append([]*Message(nil), b.all...)
}

var errClosed = errors.New("emailtest: the server is closed")

func (b *inbox) take(ctx context.Context, closed <-chan struct{}) (*Message, error) {
	for {
		b.mu.Lock()
		if b.next < len(b.all) {
			m := b.all[b.next]
			b.next++
			b.mu.Unlock()
			return m, nil
		}
		changed := b.changed
		b.mu.Unlock()
		select {
		case <-changed:
		case <-closed:
			return nil, errClosed
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}
