package main

import (
	"context"
	"errors"
	"fmt"
	"net/smtp"
	"net/textproto"
	"strings"
	"sync"
	"time"

	"github.com/anteroom/anteroom/email/emailtest"
)

// The shop's own domain, at a provider elsewhere.
const (
	shopDomain   = "vinashop.example"
	shopAddress  = "help@" + shopDomain
	shopPassword = "kept by the provider"
)

// postOffice is the Internet of the demo: who takes mail for which domain, the
// provider of the shop, and the relay next to the portal. All speak SMTP.
type postOffice struct {
	submission *emailtest.SMTP // where the shop's mail account sends, after a login
	relay      *emailtest.SMTP // for what the portal itself sends
	mailboxes  *emailtest.SMTP // the provider's server for incoming mail

	mu      sync.Mutex
	hosts   map[string]string // address of the server by domain
	servers []*emailtest.SMTP // of customers
	forward string            // where the provider forwards the shop's mail
	arrived int
}

func openPostOffice() (p *postOffice, err error) {
	p = &postOffice{hosts: map[string]string{}}
	defer func() {
		if err != nil {
			p.close()
		}
	}()
	if p.submission, err = emailtest.StartSMTP(emailtest.WithHostname("smtp."+shopDomain), emailtest.WithUser(shopAddress, shopPassword)); err != nil {
		return nil, err
	}
	if p.mailboxes, err = emailtest.StartSMTP(emailtest.WithHostname("mx." + shopDomain)); err != nil {
		return nil, err
	}
	if p.relay, err = emailtest.StartSMTP(emailtest.WithHostname("relay.localhost")); err != nil {
		return nil, err
	}
	p.add(shopDomain, p.mailboxes.Addr())
	return p, nil
}

func (p *postOffice) close() {
	for _, s := range append(p.servers, p.submission, p.mailboxes, p.relay) {
		if s != nil {
			s.Close()
		}
	}
}

// add says where mail for a domain goes.
func (p *postOffice) add(domain, addr string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.hosts[domain] = addr
}

func (p *postOffice) forwardTo(address string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.forward = address
}

// customerServer starts the mail server of a customer's domain.
func (p *postOffice) customerServer(domain string, unknown ...string) error {
	s, err := emailtest.StartSMTP(emailtest.WithHostname("mx." + domain))
	if err != nil {
		return err
	}
	for _, u := range unknown {
		s.Fault(emailtest.Fault{At: emailtest.AtRcpt, Recipient: u, Reply: "550 5.1.1 no such user here"})
	}
	p.servers = append(p.servers, s)
	p.add(domain, s.Addr())
	return nil
}

// deliver brings a mail to the server of its recipient's domain.
func (p *postOffice) deliver(from, to string, raw []byte) error {
	_, domain, _ := strings.Cut(to, "@")
	p.mu.Lock()
	addr, ok := p.hosts[domain]
	p.mu.Unlock()
	if !ok {
		return &textproto.Error{Code: 550, Msg: "5.1.2 no such domain"}
	}
	return smtp.SendMail(addr, nil, from, []string{to}, raw)
}

// run has every server pass on what it takes, until ctx ends; arrived is told
// of each mail that reached a customer.
func (p *postOffice) run(ctx context.Context, playing *sync.WaitGroup, arrived func(ctx context.Context, to string, m *emailtest.Message)) {
	each := func(s *emailtest.SMTP, f func(m *emailtest.Message)) {
		playing.Go(func() {
			for {
				m, err := s.Next(ctx)
				if err != nil {
					return
				}
				f(m)
			}
		})
	}
	each(p.submission, p.passOn)
	each(p.relay, p.passOn)
	each(p.mailboxes, func(m *emailtest.Message) {
		p.mu.Lock()
		to := p.forward
		p.mu.Unlock()
		_ = p.deliver(m.From, to, m.Raw) // shows as a mail that is missing
	})
	for _, s := range p.servers {
		each(s, func(m *emailtest.Message) {
			p.mu.Lock()
			p.arrived += len(m.To)
			p.mu.Unlock()
			for _, to := range m.To {
				arrived(ctx, to, m)
			}
		})
	}
}

// passOn delivers a mail that was handed in; what is refused for good comes
// back to its sender as a bounce (RFC 3464).
func (p *postOffice) passOn(m *emailtest.Message) {
	for _, to := range m.To {
		err := p.deliver(m.From, to, m.Raw)
		var refused *textproto.Error
		if errors.As(err, &refused) && refused.Code >= 500 && m.From != "" {
			_ = p.deliver("", m.From, bounce(m.From, to, refused, m.Raw))
		}
	}
}

func (p *postOffice) arrivals() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.arrived
}

func bounce(sender, failed string, why *textproto.Error, raw []byte) []byte {
	head, _, _ := strings.Cut(string(raw), "\r\n\r\n")
	status, diagnostic, _ := strings.Cut(why.Msg, " ")
	return crlf(fmt.Sprintf(`From: Mail Delivery System <MAILER-DAEMON@%[1]s>
To: %[2]s
Subject: Undelivered Mail Returned to Sender
Date: %[3]s
Message-ID: <bounce.%[4]d@%[1]s>
Auto-Submitted: auto-replied
MIME-Version: 1.0
Content-Type: multipart/report; report-type=delivery-status; boundary="b"

--b
Content-Type: text/plain; charset=utf-8

I could not deliver your mail to <%[5]s>: %[7]s

--b
Content-Type: message/delivery-status

Reporting-MTA: dns; mx.%[1]s

Final-Recipient: rfc822; %[5]s
Action: failed
Status: %[6]s
Diagnostic-Code: smtp; %[8]d %[6]s %[7]s

--b
Content-Type: text/rfc822-headers

%[9]s
--b--
`, shopDomain, sender, time.Now().Format(time.RFC1123Z), time.Now().UnixNano(), failed, status, diagnostic, why.Code, head))
}

// crlf gives a text the line ends of mail.
func crlf(s string) []byte {
	return []byte(strings.ReplaceAll(strings.ReplaceAll(s, "\r\n", "\n"), "\n", "\r\n"))
}
