package hosted

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/emersion/go-smtp"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

// The tests of this file hold the traps of go-smtp shut. Each fails without its
// remedy.

func TestMessageThatTimesOutIsNotReadAsCommands(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		limits Limits
	}{
		{"idle within the message", Limits{DataIdle: 50 * time.Millisecond}},
		{"message takes too long", Limits{Data: 50 * time.Millisecond}},
		{"message comes too slowly", Limits{DataGrace: 50 * time.Millisecond, DataRate: 1 << 20}},
		{"connection is too old", Limits{Lifetime: 200 * time.Millisecond}},
	} {
		for _, sealed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, tls %v", tc.name, sealed), func(t *testing.T) {
				t.Parallel()
				r, sink := support(t, &Server{Limits: tc.limits, TLS: testTLS()})
				p := r.hello()
				if sealed {
					p = p.startTLS()
				}
				p.envelope("support@help.example")
				p.do("DATA", 354)
				p.send("Subject: long\r\n\r\nThe attacker wrote:\r\n")
				p.expect(451)
				p.try("MAIL FROM:<ceo@bank.example>\r\nRCPT TO:<support@help.example>\r\nDATA\r\n" + msg("forged") + ".\r\n")
				require.Subset(t, []int{421}, p.closed())
				require.Empty(t, sink.got())
			})
		}
	}
}

func TestChunkThatIsCutOffIsNotAMessage(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		tls  bool
		end  func(p *peer)
	}{
		{"connection half closed", false, func(p *peer) { p.closeWrite() }},
		{"tls connection ended with close_notify", true, func(p *peer) { p.closeWrite() }},
		{"tls connection cut below", true, func(p *peer) {
			p.conn.(*tls.Conn).NetConn().(interface{ CloseWrite() error }).CloseWrite()
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, sink := support(t, &Server{TLS: testTLS()})
			p := r.hello()
			if tc.tls {
				p = p.startTLS()
			}
			p.envelope("support@help.example")
			p.send("BDAT 1000 LAST\r\n" + msg("half"))
			tc.end(p)
			p.expect(451)
			p.closed()
			require.Empty(t, sink.got())
		})
	}
}

func TestWholeMessageBeforeTheEndIsTaken(t *testing.T) {
	t.Parallel()
	long := msg("1") + strings.Repeat("All of it is here.\r\n", 500)
	bdat := fmt.Sprintf("BDAT %d LAST\r\n", len(long))
	for _, tc := range []struct {
		name, data string
		tls        bool
	}{
		{"data, quit, half close", "DATA\r\n" + long + ".\r\nQUIT\r\n", false},
		{"chunk, quit, half close", bdat + long + "QUIT\r\n", false},
		{"chunk in tls and nothing after it", bdat + long, true},
		{"chunk in tls with quit in one record", bdat + long + "QUIT\r\n", true},
		{"chunk in tls with a short command in one record", bdat + long + "N", true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, sink := support(t, &Server{TLS: testTLS()})
			p := r.hello()
			if tc.tls {
				p = p.startTLS()
			}
			p.envelope("support@help.example")
			p.send(tc.data)
			if !tc.tls {
				p.closeWrite()
			}
			if strings.HasPrefix(tc.data, "DATA") {
				p.expect(354)
			}
			p.expect(250)
			require.Len(t, sink.got(), 1)
			require.Equal(t, long, sink.got()[0].raw)
		})
	}
}

func TestCommandsSentOnAheadAfterAChunkAreObeyed(t *testing.T) {
	t.Parallel()
	for _, sealed := range []bool{false, true} {
		r, sink := support(t, &Server{TLS: testTLS()})
		p := r.hello()
		if sealed {
			p = p.startTLS()
		}
		p.envelope("support@help.example")
		long := msg("1") + strings.Repeat("All of it is here.\r\n", 500)
		p.send(fmt.Sprintf("BDAT %d LAST\r\n%sMAIL FROM:<a@b.example>\r\nRCPT TO:<support@help.example>\r\nBDAT %d LAST\r\n%sQUIT\r\nNOOP\r\n",
			len(long), long, len(msg("2")), msg("2")))
		require.Equal(t, []int{250, 250, 250, 250, 221}, p.closed())
		require.Len(t, sink.got(), 2)
		require.Equal(t, long, sink.got()[0].raw)
		require.Equal(t, msg("2"), sink.got()[1].raw)
	}
}

func TestResetWithinChunksDiscardsTheMessageAndEndsTheConnection(t *testing.T) {
	t.Parallel()
	r, sink := support(t, &Server{})
	next := "MAIL FROM:<a@b.example>\r\nRCPT TO:<support@help.example>\r\n" +
		fmt.Sprintf("BDAT %d LAST\r\n%s", len(msg("next")), msg("next"))
	for _, first := range []string{"BDAT 9\r\nSubject: ", "BDAT 9\r\nSubject: BDAT 0\r\n"} {
		for _, reset := range []string{"RSET\r\n", "EHLO again.example\r\n", "QUIT\r\n"} {
			p := r.hello()
			p.envelope("support@help.example")
			p.send(first + reset + next)
			p.closed()
		}
	}
	require.Empty(t, sink.got(), "not even what was sent on ahead, since the results of both could be mixed up")

	m := msg("whole")
	p := r.hello()
	for range 2 {
		p.envelope("support@help.example")
		p.chunk(m[:10], false, 250)
		p.chunk(m[10:], false, 250)
		p.chunk("", true, 250)
	}
	require.Len(t, sink.got(), 1)
	require.Equal(t, m, sink.got()[0].raw)
}

func TestErrorsOfTheSinkBecomeFixedAnswers(t *testing.T) {
	t.Parallel()
	const secret = "pq: connection refused host=10.0.0.5"
	wrap := func(err error) error { return fmt.Errorf("commit %s: %w", secret, err) }
	for _, tc := range []struct {
		name     string
		err      error
		code     int
		enhanced string
	}{
		{"any error is temporary", errors.New(secret), 451, "4.3.0"},
		{"a deadline is temporary", wrap(context.DeadlineExceeded), 451, "4.3.0"},
		{"an error of go-smtp is not let through", &smtp.SMTPError{Code: 554, Message: secret}, 451, "4.3.0"},
		{"a wrapped error of go-smtp is temporary", wrap(&smtp.SMTPError{Code: 451}), 451, "4.3.0"},
		{"rejected is final", wrap(channel.ErrRejected), 550, "5.7.1"},
		{"inactive is temporary", wrap(channel.ErrInactive), 450, "4.2.1"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var fail atomic.Bool
			sink := recorder{fail: func([]*channel.Item) error {
				if fail.Load() {
					return tc.err
				}
				return nil
			}}
			r := start(t, &Server{})
			r.mailbox("support", &sink)
			p := r.hello()
			for _, chunked := range []bool{false, true} {
				send := func(want int) string {
					if chunked {
						p.envelope("support@help.example")
						return p.chunk(msg("2"), true, want)
					}
					code, text := p.mail(msg("1"), "support@help.example")
					require.Equal(t, want, code)
					return text
				}
				fail.Store(true)
				text := send(tc.code)
				require.True(t, strings.HasPrefix(text, tc.enhanced+" "), text)
				require.NotContains(t, text, "pq:")
				fail.Store(false)
				send(250) // the next delivery is taken
			}
			require.Len(t, sink.got(), 2)
		})
	}
}

func TestPanickingSinkIsATemporaryFailure(t *testing.T) {
	t.Parallel()
	var fail atomic.Bool
	sink := recorder{fail: func([]*channel.Item) error {
		if fail.Load() {
			panic("boom with internals")
		}
		return nil
	}}
	for _, lmtp := range []bool{false, true} {
		r := startProtocol(t, &Server{}, lmtp)
		r.mailbox("support", &sink)
		p := r.dial()
		p.expect(220)
		p.do(map[bool]string{false: "EHLO", true: "LHLO"}[lmtp]+" client.example", 250)
		fail.Store(true)
		code, text := p.mail(msg("1"), "support@help.example")
		require.Equal(t, 451, code)
		require.NotContains(t, text, "boom")
		fail.Store(false)
		code, _ = p.mail(msg("1"), "support@help.example")
		require.Equal(t, 250, code, "the connection and the server live on")
	}
}

func TestSecondMailWithinATransactionIsRefused(t *testing.T) {
	t.Parallel()
	r, sink := support(t, &Server{})
	p := r.hello()
	p.envelope("support@help.example")
	p.do("MAIL FROM:<other@customer.example>", 503)
	p.do("DATA", 354)
	p.do(msg("1")+".", 250)
	require.Equal(t, "jane@customer.example", sink.got()[0].Message.Received.From)
	p.do("MAIL FROM:<other@customer.example>", 250)
	p.do("EHLO again.example", 250)
	p.do("MAIL FROM:<other@customer.example>", 250)
}

func TestPostmasterAndAbuseLeadToAMailbox(t *testing.T) {
	t.Parallel()
	var first, second recorder
	r := start(t, &Server{})
	p := r.hello()
	p.do("MAIL FROM:<>", 250)
	p.do("RCPT TO:<postmaster@help.example>", 451)
	p.do("RSET", 250)
	r.mailbox("billing", &first)
	r.mailbox("support", &second)
	for i, addr := range []string{"postmaster@help.example", "ABUSE@Help.Example", "abuse+x@help.example"} {
		code, _ := p.mail(msg(fmt.Sprint(i)), addr)
		require.Equal(t, 250, code, addr)
	}
	require.Len(t, first.got(), 3)
	require.Empty(t, second.got())
	p.do("MAIL FROM:<>", 250)
	p.do("RCPT TO:<postmaster@other.example>", 550)
}

func TestRecipientsThatAreNoAddressesAreRefused(t *testing.T) {
	t.Parallel()
	r := start(t, &Server{Limits: Limits{Unknown: -1, UnknownDelay: -1}})
	r.mailbox("support", &recorder{})
	p := r.hello()
	p.do("MAIL FROM:<jane@customer.example>", 250)
	for _, tc := range []struct {
		to   string
		code int
	}{
		{"<jösé@help.example>", 550},
		{`<"a b"@help.example>`, 501},
		{"<sup\x00port@help.example>", 501},
		{"<support\x1b@help.example>", 501},
		{"<\xff\xfe@help.example>", 501},
		{"<" + strings.Repeat("a", 400) + "@help.example>", 501},
		{"<@relay.example:support@help.example>", 250},
		{"<@help.example:jane@customer.example>", 550},
		{"<support%customer.example@help.example>", 550},
		{"<customer.example!jane@help.example>", 550},
		{"<jane@customer.example@help.example>", 550},
		{"<support@help.example@customer.example>", 550},
		{"<SUPPORT+Tag@HELP.example.>", 250},
		{"<+support@help.example>", 550},
		{"<support@[127.0.0.1]>", 550},
	} {
		p.send("RCPT TO:" + tc.to + "\r\n")
		code, text, err := p.answer()
		require.NoError(t, err)
		require.Equal(t, tc.code, code, "%s: %s", tc.to, text)
	}
}

func TestLongLinesAreTakenInMessagesAndRefusedAsCommands(t *testing.T) {
	t.Parallel()
	r, sink := support(t, &Server{})
	p := r.hello()
	long := msg("1") + strings.Repeat("x", 500_000) + "\r\n"
	code, _ := p.mail(long, "support@help.example")
	require.Equal(t, 250, code)
	p.envelope("support@help.example")
	p.chunk(long, true, 250)
	p.try("NOOP " + strings.Repeat("x", 5000))
	p.expect(500)
	p.closed()
	require.Equal(t, long, sink.got()[0].raw)
}

func TestEndlessCommandsEndTheConnection(t *testing.T) {
	t.Parallel()
	for _, cmd := range []string{"NOOP", "RSET", "EHLO x", "VRFY a", "HELP", "RCPT TO:<a@b.example>"} {
		t.Run(cmd, func(t *testing.T) {
			t.Parallel()
			r := start(t, &Server{Limits: Limits{Replies: 40}})
			r.mailbox("support", &recorder{})
			p := r.hello()
			codes := []int{}
			for range 200 {
				p.try(cmd + "\r\n")
				code, _, err := p.answer()
				if err != nil {
					break
				}
				codes = append(codes, code)
			}
			require.Less(t, len(codes), 60)
			require.Equal(t, 421, codes[len(codes)-1])
		})
	}
}

func TestMessagesForgiveTheCommandsBeforeThem(t *testing.T) {
	t.Parallel()
	r, sink := support(t, &Server{Limits: Limits{Replies: 30}})
	p := r.hello()
	for i := range 30 {
		code, _ := p.mail(msg(fmt.Sprint(i)), "support@help.example")
		require.Equal(t, 250, code)
	}
	require.Len(t, sink.got(), 30)
}

func TestLibraryIsSetUpAsTheReferenceAsks(t *testing.T) {
	t.Parallel()
	s := &Server{Domain: "help.example"}
	r := newRun(context.Background(), s, false)
	defer r.cancel()
	srv := r.smtpServer()
	require.Nil(t, srv.Debug, "it would log whole messages")
	require.Zero(t, srv.ReadTimeout, "the wrapper owns timing")
	require.Zero(t, srv.MaxLineLength, "lines are measured by conn")
	require.False(t, srv.AllowInsecureAuth)
}
