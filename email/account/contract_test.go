package account_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/channel/channeltest"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

func TestAnAccountKeepsTheContractOfAChannel(t *testing.T) {
	t.Parallel()
	channeltest.Run(t, func(t testing.TB) channeltest.Harness {
		srv := emailtest.NewSMTP(t, emailtest.WithTLS(), emailtest.WithUser(address, password))
		fault := func(f emailtest.Fault) func(context.Context) error {
			f.Times = 1 << 20 // always
			return func(context.Context) error { srv.Fault(f); return nil }
		}
		h := sendingHarness(t, srv, account.TLS, nil)
		h.Connector = account.Connector{TLS: srv.ClientTLS()}
		h.LoseAnswer = fault(emailtest.Fault{At: emailtest.AtAnswer, Drop: true})
		h.Refuse = fault(emailtest.Fault{At: emailtest.AtRcpt, Reply: "550 5.1.1 no such user"})
		h.Down = fault(emailtest.Fault{At: emailtest.AtMail, Reply: "451 4.3.0 later"})
		return h
	})
}

// sendingHarness has what shows that an account sends through srv.
func sendingHarness(t testing.TB, srv *emailtest.SMTP, security account.Security, in *account.IMAP) channeltest.Harness {
	t.Helper()
	acct, err := account.Account{
		Address: address, Password: password, IMAP: in,
		SMTP: account.Server{Host: srv.Host(), Port: srv.Port(), Security: security},
	}.Account()
	if err != nil {
		t.Fatal(err)
	}
	acct.ID = "c1"
	token := func(n int) string { return fmt.Sprintf("tok3n0123456789abcdefgh%d", n) }
	return channeltest.Harness{
		Account: acct,
		Outbound: func(n int) *channel.Outbound {
			out := outbound("mai@c.example")
			out.ID, out.Handed = fmt.Sprint("m", n), nil
			out.Token, out.Text = token(n), fmt.Sprintf("thư số %d", n)
			return out
		},
		Arrived: func(_ context.Context, n int) (int, error) {
			count := 0
			for _, m := range srv.Messages() {
				if strings.Contains(string(m.Raw), "<"+token(n)+"@") {
					count++
				}
			}
			return count, nil
		},
	}
}
