package account_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

func TestAnAccountWithIMAPKeepsTheContractOfAChannel(t *testing.T) {
	t.Parallel()
	keepsTheContract(t, func(t testing.TB) (imapServer, account.Security) {
		return fakeIMAP{emailtest.NewIMAP(t, emailtest.IMAPWithTLS(), emailtest.IMAPWithUser(address, password))}, account.TLS
	})
}

func TestAnAccountOnDovecotKeepsTheContractOfAChannel(t *testing.T) {
	t.Parallel()
	keepsTheContract(t, func(t testing.TB) (imapServer, account.Security) { return startDovecot(t), account.TLS })
}

func keepsTheContract(t *testing.T, start func(t testing.TB) (imapServer, account.Security)) {
	channeltest.Run(t, func(t testing.TB) channeltest.Harness {
		in, security := start(t)
		out := emailtest.NewSMTP(t, emailtest.WithUser(address, password))
		acct, err := account.Account{
			Address: address, Password: password,
			SMTP: account.Server{Host: out.Host(), Port: out.Port(), Security: account.None},
			IMAP: &account.IMAP{Server: account.Server{Host: in.Host(), Port: in.Port(), Security: security}, FirstSync: "all"},
		}.Account()
		if err != nil {
			t.Fatal(err)
		}
		acct.ID = "c1"
		return channeltest.Harness{
			Connector: account.Connector{TLS: in.ClientTLS(), Receiving: pace()}, Account: acct, Patience: patience,
			Put: func(_ context.Context, n int) error {
				in.Put(t, "INBOX", letter(n), time.Now())
				return nil
			},
			Outbound: func(n int) *channel.Outbound {
				o := outbound("mai@c.example")
				o.ID, o.Handed = fmt.Sprint("m", n), nil
				o.Token = fmt.Sprintf("tok3n0123456789abcdefgh%d", n)
				o.Text = fmt.Sprintf("thư số %d", n)
				return o
			},
			Arrived: func(_ context.Context, n int) (int, error) {
				count := 0
				for _, m := range out.Messages() {
					if strings.Contains(string(m.Raw), fmt.Sprintf("<tok3n0123456789abcdefgh%d@", n)) {
						count++
					}
				}
				return count, nil
			},
		}
	})
}
