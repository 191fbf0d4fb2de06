package account_test

import (
	"context"
	"testing"
	"time"

	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

func TestAnAccountWithIMAPKeepsTheContractOfAChannel(t *testing.T) {
	t.Parallel()
	keepsTheContract(t, func(t testing.TB) imapServer {
		return fakeIMAP{emailtest.NewIMAP(t, emailtest.IMAPWithTLS(), emailtest.IMAPWithUser(address, password))}
	})
}

func TestAnAccountOnDovecotKeepsTheContractOfAChannel(t *testing.T) {
	t.Parallel()
	keepsTheContract(t, func(t testing.TB) imapServer { return startDovecot(t) })
}

func keepsTheContract(t *testing.T, start func(t testing.TB) imapServer) {
	channeltest.Run(t, func(t testing.TB) channeltest.Harness {
		in := start(t)
		h := sendingHarness(t, emailtest.NewSMTP(t, emailtest.WithUser(address, password)), account.None, &account.IMAP{
			Server: account.Server{Host: in.Host(), Port: in.Port(), Security: account.TLS}, FirstSync: "all",
		})
		h.Connector, h.Patience = account.Connector{TLS: in.ClientTLS(), Receiving: pace()}, patience
		h.Put = func(_ context.Context, n int) error {
			in.Put(t, "INBOX", letter(n), time.Now())
			return nil
		}
		return h
	})
}
