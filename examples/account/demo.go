package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log"
	"time"

	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

const (
	demoAddress  = "help@shop.example"
	demoPassword = "secret"
)

// demo starts a mail provider in memory to which customers write. end stops it.
func demo(ctx context.Context, say func(string)) (mailbox account.Account, connector account.Connector, end func()) {
	out, err := emailtest.StartSMTP(emailtest.WithTLS(), emailtest.WithUser(demoAddress, demoPassword))
	if err != nil {
		log.Fatal(err)
	}
	in, err := emailtest.StartIMAP(emailtest.IMAPWithTLS(), emailtest.IMAPWithUser(demoAddress, demoPassword))
	if err != nil {
		log.Fatal(err)
	}
	trusted := x509.NewCertPool()
	trusted.AppendCertsFromPEM(out.CA().PEM())
	trusted.AppendCertsFromPEM(in.CA().PEM())
	go deliver(ctx, out, in, say)
	go write(ctx, in)
	return account.Account{
			Address: demoAddress, Password: demoPassword,
			SMTP: account.Server{Host: out.Host(), Port: out.Port(), Security: account.TLS},
			IMAP: &account.IMAP{Server: account.Server{Host: in.Host(), Port: in.Port(), Security: account.TLS}},
		}, account.Connector{TLS: &tls.Config{RootCAs: trusted}}, func() {
			in.Close()
			out.Close()
		}
}

// deliver brings what was sent where it is to go: to customers, or back.
func deliver(ctx context.Context, out *emailtest.SMTP, in *emailtest.IMAP, say func(string)) {
	for {
		m, err := out.Next(ctx)
		if err != nil {
			return
		}
		for _, to := range m.To {
			if to == demoAddress {
				in.Add("INBOX", m.Raw, time.Now())
				continue
			}
			say(to + " has an answer")
		}
	}
}

// write has customers write, and loses the connection once.
func write(ctx context.Context, in *emailtest.IMAP) {
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-time.After(2 * time.Second):
		}
		in.Add("INBOX", fmt.Appendf(nil, "From: Customer %d <c%d@example.com>\r\nTo: %s\r\nSubject: Question %d\r\nMessage-ID: <q%d@example.com>\r\nDate: %s\r\n\r\nWhere is my order?\r\n",
			n, n, demoAddress, n, n, time.Now().Format(time.RFC1123Z)), time.Now())
		if n == 3 {
			in.Disconnect()
		}
	}
}
