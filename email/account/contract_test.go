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
		acct, err := account.Account{Address: address, Password: password,
			SMTP: account.Server{Host: srv.Host(), Port: srv.Port(), Security: account.TLS}}.Account()
		if err != nil {
			t.Fatal(err)
		}
		acct.ID = "c1"
		fault := func(f emailtest.Fault) func(context.Context) error {
			return func(context.Context) error { srv.Fault(f); return nil }
		}
		const always = 1 << 20
		return channeltest.Harness{
			Connector: account.Connector{TLS: srv.ClientTLS()}, Account: acct,
			Outbound: func(n int) *channel.Outbound {
				out := outbound("mai@c.example")
				out.ID, out.Handed = fmt.Sprint("m", n), nil
				out.Token = fmt.Sprintf("tok3n0123456789abcdefgh%d", n)
				out.Text = fmt.Sprintf("thư số %d", n)
				return out
			},
			Arrived: func(_ context.Context, n int) (int, error) {
				count := 0
				for _, m := range srv.Messages() {
					if strings.Contains(string(m.Raw), fmt.Sprintf("<tok3n0123456789abcdefgh%d@", n)) {
						count++
					}
				}
				return count, nil
			},
			LoseAnswer: fault(emailtest.Fault{At: emailtest.AtAnswer, Drop: true, Times: always}),
			Refuse:     fault(emailtest.Fault{At: emailtest.AtRcpt, Reply: "550 5.1.1 no such user", Times: always}),
			Down:       fault(emailtest.Fault{At: emailtest.AtMail, Reply: "451 4.3.0 later", Times: always}),
		}
	})
}
