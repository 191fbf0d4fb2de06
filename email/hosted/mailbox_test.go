package hosted

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

func TestMailboxConfigIsCheckedAndNormalised(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		local, domain string
		want, field   string
	}{
		{"support", "", `{"local_part":"support"}`, ""},
		{" Support.Team-2_x ", "", `{"local_part":"support.team-2_x"}`, ""},
		{"s", "Help.Example.", `{"local_part":"s","domain":"help.example"}`, ""},
		{"s", "münchen.example", `{"local_part":"s","domain":"xn--mnchen-3ya.example"}`, ""},
		{strings.Repeat("a", 64), "", `{"local_part":"` + strings.Repeat("a", 64) + `"}`, ""},
		{"", "", "", "local_part"},
		{"   ", "", "", "local_part"},
		{strings.Repeat("a", 65), "", "", "local_part"},
		{"support+vip", "", "", "local_part"},
		{"support@help.example", "", "", "local_part"},
		{".support", "", "", "local_part"},
		{"support.", "", "", "local_part"},
		{"-support", "", "", "local_part"},
		{"sup..port", "", "", "local_part"},
		{"sup port", "", "", "local_part"},
		{"sup\r\nport", "", "", "local_part"},
		{"hỗtrợ", "", "", "local_part"},
		{"postmaster", "", "", "local_part"},
		{"ABUSE", "", "", "local_part"},
		{"mailer-daemon", "", "", "local_part"},
		{"no-reply", "", "", "local_part"},
		{"NoReply", "", "", "local_part"},
		{"do_not_reply", "", "", "local_part"},
		{"bounces", "", "", "local_part"},
		{"fwd-abc", "", "", "local_part"},
		{"s", "no domain", "", "domain"},
		{"s", "a..b", "", "domain"},
		{"s", "-a.example", "", "domain"},
		{"s", "[127.0.0.1]", "", "domain"},
		{"s", strings.Repeat("a", 64) + ".example", "", "domain"},
	} {
		a, err := Mailbox{LocalPart: tc.local, Domain: tc.domain, Name: "Support"}.Account()
		if tc.field != "" {
			var fe *channel.FieldError
			require.ErrorAs(t, err, &fe, tc.local)
			require.Equal(t, tc.field, fe.Field, tc.local)
			continue
		}
		require.NoError(t, err, tc.local)
		require.JSONEq(t, tc.want, string(a.Config))
		require.Equal(t, Kind, a.Kind)
		require.Equal(t, "Support", a.Name)
		require.True(t, a.Credentials.Empty())
	}
}

func open(t *testing.T, s *Server, portal string, a channel.Account) (channel.Channel, error) {
	t.Helper()
	return s.Open(context.Background(), a, channel.Env{Portal: portal})
}

func TestOpenSaysWhatTheMailboxIs(t *testing.T) {
	t.Parallel()
	s := &Server{Domain: "Help.Example", Domains: map[string]string{"shop": "mail.shop.example"}}
	a := acct(t, "c1", Mailbox{LocalPart: "Support", Name: "Support team"})
	ch, err := open(t, s, "shop", a)
	require.NoError(t, err)
	require.Equal(t, channel.Info{
		ID: "c1", Kind: "email.hosted", Name: "Support team",
		Address: "support@mail.shop.example", Domains: []string{"mail.shop.example"},
		Scheme: "mailto", CanReceive: true, Mail: true,
	}, ch.Info())
	require.Equal(t, "fwd-abc123@mail.shop.example", ch.(channel.Forwardee).ForwardAddress("abc123"))
	_, sends := ch.(channel.Sender)
	require.False(t, sends, "receive only")

	ch, err = open(t, s, "other", a)
	require.NoError(t, err)
	require.Equal(t, "support@help.example", ch.Info().Address)
}

func TestOpenRefusesBadAccounts(t *testing.T) {
	t.Parallel()
	s := &Server{Domain: "help.example", Domains: map[string]string{"shop": "mail.shop.example"}}
	for _, tc := range []struct {
		name, portal, field string
		a                   channel.Account
	}{
		{"another portal's domain", "main", "domain", channel.Account{Config: []byte(`{"local_part":"a","domain":"mail.shop.example"}`)}},
		{"the common domain from a portal with its own", "shop", "domain", channel.Account{Config: []byte(`{"local_part":"a","domain":"help.example"}`)}},
		{"a reserved name past Account", "main", "local_part", channel.Account{Config: []byte(`{"local_part":"postmaster"}`)}},
		{"no configuration", "main", "", channel.Account{}},
		{"another kind", "main", "", channel.Account{Kind: "email.gmail", Config: []byte(`{"local_part":"a"}`)}},
	} {
		_, err := open(t, s, tc.portal, tc.a)
		require.Error(t, err, tc.name)
		if tc.field != "" {
			var fe *channel.FieldError
			require.ErrorAs(t, err, &fe, tc.name)
			require.Equal(t, tc.field, fe.Field, tc.name)
		}
	}
	_, err := open(t, &Server{}, "main", acct(t, "a", Mailbox{LocalPart: "a"}))
	require.ErrorContains(t, err, "domain")
	_, err = open(t, s, "main", acct(t, "a", Mailbox{LocalPart: "a", Domain: "own.example"}))
	require.NoError(t, err, "a domain that is nobody else's may be named")
}

func TestAddressBelongsToOneMailbox(t *testing.T) {
	t.Parallel()
	s := &Server{Domain: "help.example"}
	ch, err := open(t, s, "main", acct(t, "c1", Mailbox{LocalPart: "support"}))
	require.NoError(t, err)

	for _, other := range []struct{ portal, id string }{{"main", "c2"}, {"shop", "c1"}} {
		_, err = open(t, s, other.portal, acct(t, other.id, Mailbox{LocalPart: "SUPPORT"}))
		var fe *channel.FieldError
		require.ErrorAs(t, err, &fe)
		require.Equal(t, "local_part", fe.Field)
		require.Contains(t, fe.Problem, "taken")
	}

	_, err = open(t, s, "main", acct(t, "c1", Mailbox{LocalPart: "help"}))
	require.NoError(t, err, "the same account may move")
	_, err = open(t, s, "shop", acct(t, "c9", Mailbox{LocalPart: "support"}))
	require.NoError(t, err, "its old address is free")
	require.NoError(t, ch.(io.Closer).Close())
	_, err = open(t, s, "shop", acct(t, "c8", Mailbox{LocalPart: "help"}))
	require.Error(t, err, "closing an opening that counts no more changes nothing")
}

func TestClosedOpeningGivesWayToTheOneThatStillReceives(t *testing.T) {
	t.Parallel()
	var sink recorder
	r := start(t, &Server{})
	_, off := r.mailbox("support", &sink)
	tried, err := open(t, r.Server, "main", acct(t, "support", Mailbox{LocalPart: "help"}))
	require.NoError(t, err)
	require.NoError(t, tried.(io.Closer).Close())
	code, _ := r.hello().mail(msg("1"), "support@help.example")
	require.Equal(t, 250, code)
	off()
}

func TestCheckTellsWhetherMailCanArrive(t *testing.T) {
	t.Parallel()
	codes := func(ch channel.Channel) (out string) {
		for _, f := range ch.(channel.Checker).Check(context.Background()) {
			out += " " + f.Code + "=" + string(f.Severity)
			require.NotEmpty(t, f.Text)
			require.True(t, f.Severity == channel.SeverityOK || f.Fix != "", f.Code)
		}
		return out
	}
	r := start(t, &Server{TLS: testTLS()})
	b, off := r.mailbox("support", &recorder{})
	require.Equal(t, " listen=ok tls=ok mailbox=ok", codes(b))
	off()
	require.Equal(t, " listen=ok tls=ok mailbox=warning", codes(b))
	require.NoError(t, b.Close())
	require.Equal(t, " listen=ok tls=ok mailbox=error", codes(b))
	require.Error(t, b.Receive(context.Background(), &recorder{}))

	idle, err := open(t, &Server{Domain: "help.example"}, "main", acct(t, "c1", Mailbox{LocalPart: "support"}))
	require.NoError(t, err)
	require.Equal(t, " listen=error tls=warning mailbox=warning", codes(idle))
}

func TestStatusFollowsTheServer(t *testing.T) {
	t.Parallel()
	s := &Server{Domain: "help.example", Limits: Limits{Pregreet: -1}}
	reports := make(chan channel.Status, 10)
	ch, err := s.Open(context.Background(), acct(t, "c1", Mailbox{LocalPart: "support"}),
		channel.Env{Portal: "main", Report: func(st channel.Status) { reports <- st }})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ch.(channel.Receiver).Receive(ctx, &recorder{}) }()
	st := <-reports
	require.Equal(t, channel.StateConnecting, st.State)
	require.NotEmpty(t, st.Reason)
	r := start(t, s)
	require.Equal(t, channel.StateLive, (<-reports).State)
	code, _ := r.hello().mail(msg("1"), "support@help.example")
	require.Equal(t, 250, code)
	st = <-reports
	require.Equal(t, channel.StateLive, st.State)
	require.False(t, st.LastSeen.IsZero())
	require.NoError(t, r.stop())
	require.Equal(t, channel.StateConnecting, (<-reports).State)
	cancel()
	require.NoError(t, <-done)
}
