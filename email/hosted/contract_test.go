package hosted

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/emersion/go-smtp"

	"github.com/anteroom/anteroom/channel/channeltest"
)

func TestAMailboxKeepsTheContractOfAChannel(t *testing.T) {
	t.Parallel()
	channeltest.Run(t, func(t testing.TB) channeltest.Harness {
		s := &Server{Limits: Limits{Pregreet: -1, ConnectionsPerIP: 400, ConnectionRate: 1 << 20}}
		r := start(t, s)
		mailbox := acct(t, "support", Mailbox{LocalPart: "support"})
		return channeltest.Harness{
			Connector: s, Account: mailbox,
			Deliver: func(ctx context.Context, n int) error {
				conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", r.addr)
				if err != nil {
					return err
				}
				c := smtp.NewClient(conn)
				defer func() { _ = c.Close() }()
				mail := strings.NewReader(fmt.Sprintf("Message-ID: <%d@c.example>\r\nFrom: mai@c.example\r\nSubject: %d\r\n\r\nxin chào\r\n", n, n))
				return c.SendMail("mai@c.example", []string{"support@help.example"}, mail)
			},
		}
	})
}
