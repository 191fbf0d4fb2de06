package account_test

import (
	"strconv"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

func TestReportsOfDeliveryAreAskedForWhereTheAccountWantsThem(t *testing.T) {
	t.Parallel()
	w := setup(t)
	w.conf.Reports = account.ReportAll
	ch := w.open(t)
	out := outbound("an@example.com")
	_, err := ch.Send(t.Context(), out)
	require.NoError(t, err)
	out.Automatic = channel.AutoReplied
	_, err = ch.Send(t.Context(), out)
	require.NoError(t, err)
	got := w.srv.Messages()
	require.Equal(t, "NOTIFY=SUCCESS,FAILURE,DELAY ORCPT=rfc822;an@example.com", got[0].RcptParams[0])
	require.Empty(t, got[1].RcptParams[0])

	w.conf.Reports = "some"
	_, err = w.conf.Account()
	require.ErrorContains(t, err, "reports")
}

// A Postfix passes a mail on to one Dovecot and its reports to another, where the
// account finds them.
func TestAReportOfDeliveryComesBackFromPostfix(t *testing.T) {
	t.Parallel()
	theirs := emailtest.StartDovecot(t, emailtest.DovecotOptions{User: "a@one.example", Password: password, LMTP: true})
	own := emailtest.StartDovecot(t, emailtest.DovecotOptions{User: address, Password: password, LMTP: true})
	refuses := emailtest.NewSMTP(t)
	refuses.Fault(emailtest.Fault{At: emailtest.AtRcpt, Reply: "550 5.1.1 no such user"})
	p := emailtest.StartPostfix(t, emailtest.PostfixOptions{NextHop: theirs.LMTPAddr(), LMTP: true, Main: map[string]string{
		"transport_maps": "inline:{ {shop.test = lmtp:inet:" + own.LMTPAddr() + "} {two.example = smtp:[127.0.0.1]:" + strconv.Itoa(refuses.Port()) + "} {three.example = discard:} }",
	}})
	b := newInboxAt(t, own, account.TLS)
	b.conf.IMAP.FirstSync, b.conf.IMAP.Sent = "none", "none"
	b.receive(t)
	b.until(t, "live", is(channel.StateLive))

	sender := setup(t)
	sender.conf = account.Account{Address: address, Auth: account.AuthNone, Reports: account.ReportAll,
		SMTP: account.Server{Host: p.Host(), Port: p.Port(), Security: account.None}}
	out := outbound("an+x@one.example", "b@two.example", "c@three.example")
	rec, err := sender.open(t).Send(t.Context(), out)
	require.NoError(t, err)
	require.Equal(t, map[string]channel.DeliveryState{
		"an+x@one.example": channel.DeliverySent, "b@two.example": channel.DeliverySent, "c@three.example": channel.DeliverySent,
	}, stateOf(rec))

	said := map[string]channel.UpdateKind{}
	for n := 1; len(said) < 3; n++ {
		for _, it := range b.wait(t, n) {
			require.NotNil(t, it.Update, "%+v", it.Message)
			require.Contains(t, it.Update.Tokens, out.Token)
			for _, r := range it.Update.Recipients {
				kind := r.Kind
				if kind == "" {
					kind = it.Update.Kind
				}
				said[r.Original] = kind // as it was asked for, decoded
			}
		}
	}
	require.Equal(t, map[string]channel.UpdateKind{
		// Postfix says so of what another server took that sends no reports.
		"an+x@one.example": channel.UpdateRelayed,
		"b@two.example":    channel.UpdateBounce, "c@three.example": channel.UpdateDelivered,
	}, said)
	require.Equal(t, 1, theirs.Count(t, "INBOX"))
}
