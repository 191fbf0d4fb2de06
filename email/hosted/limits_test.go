package hosted

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

func TestEveryLimitHasADefault(t *testing.T) {
	t.Parallel()
	l := Limits{}.withDefaults()
	require.Equal(t, l, l.withDefaults())
	require.NotContains(t, " "+strings.Trim(fmt.Sprint(l), "{}")+" ", " 0 ")
	require.EqualValues(t, 36700160, l.MessageBytes)
	require.Equal(t, 100, l.Recipients)
	require.Equal(t, -1, Limits{Messages: -1}.withDefaults().Messages)
}

func TestConnectionsAreLimited(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		limits Limits
	}{
		{"overall", Limits{Connections: 2}},
		{"by address", Limits{ConnectionsPerIP: 2}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, &Server{Limits: tc.limits})
			a, b := r.hello(), r.hello()
			require.Equal(t, []int{421}, r.dial().closed())
			a.do("QUIT", 221)
			a.closed()
			require.Eventually(t, func() bool {
				code, _, err := r.dial().answer()
				return err == nil && code == 220
			}, patience, 10*time.Millisecond, "a place is free again")
			b.do("NOOP", 250)
		})
	}
	t.Run("by minute", func(t *testing.T) {
		t.Parallel()
		r := start(t, &Server{Limits: Limits{ConnectionRate: 3}})
		for range 3 {
			r.hello().do("QUIT", 221)
		}
		require.Equal(t, []int{421}, r.dial().closed())
	})
	t.Run("not for lmtp", func(t *testing.T) {
		t.Parallel()
		r := startProtocol(t, &Server{Limits: Limits{ConnectionRate: 1, ConnectionsPerIP: 1, Pregreet: time.Hour}}, true)
		for range 5 {
			r.dial().expect(220)
		}
	})
}

func TestGateCountsNetworksAndForgetsThem(t *testing.T) {
	t.Parallel()
	now := time.Unix(1_000_000, 0)
	l := Limits{ConnectionsPerIP: 1, ConnectionRate: 2}.withDefaults()
	g := gate{limits: &l, now: func() time.Time { return now }}
	at := func(ip string) netip.Prefix {
		return network(remoteIP(&net.TCPAddr{IP: net.ParseIP(ip), Port: 1}))
	}
	require.Equal(t, at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff::9"), "one /64 is one peer")
	require.NotEqual(t, at("2001:db8:1:2::1"), at("2001:db8:1:3::1"))
	require.Equal(t, at("::ffff:192.0.2.1"), at("192.0.2.1"))
	require.False(t, network(remoteIP(&net.UnixAddr{Name: "/x"})).IsValid())

	a := at("192.0.2.1")
	require.Empty(t, g.admit(a))
	require.NotEmpty(t, g.admit(a), "one open")
	g.leave(a)
	require.NotEmpty(t, g.admit(a), "two in this minute")
	require.Empty(t, g.admit(at("192.0.2.2")))
	now = now.Add(time.Minute)
	require.Empty(t, g.admit(a))
	g.leave(a)
	g.shun(a)
	now = now.Add(59 * time.Second)
	require.NotEmpty(t, g.admit(a))
	now = now.Add(time.Second)
	require.Empty(t, g.admit(a))
	g.leave(a)

	for i := range maxPeers + 100 {
		p := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}), 32)
		if reason := g.admit(p); reason != "" {
			t.Fatal(reason)
		}
		g.leave(p)
	}
	require.LessOrEqual(t, len(g.callers()), maxPeers)
	require.Equal(t, 1, g.open)
	require.NotNil(t, g.callers()[at("192.0.2.2")], "who is connected is remembered")
}

func (g *gate) callers() map[netip.Prefix]*caller { return g.peers }

func TestUnknownRecipientsAreAnsweredSlowlyAndThenNotAtAll(t *testing.T) {
	t.Parallel()
	r := start(t, &Server{Limits: Limits{Unknown: 6, UnknownDelay: time.Millisecond}})
	r.mailbox("support", &recorder{})
	p := r.hello()
	p.do("MAIL FROM:<jane@customer.example>", 250)
	for i := range 5 {
		p.do(fmt.Sprintf("RCPT TO:<nobody%d@help.example>", i), 550)
	}
	p.send("RCPT TO:<nobody@help.example>\r\nRCPT TO:<support@help.example>\r\nRSET\r\nMAIL FROM:<>\r\n")
	p.expect(421)
	require.Empty(t, p.closed(), "what was sent on ahead is not obeyed")
	require.Equal(t, []int{421}, r.dial().closed(), "the address is kept away for a while")
}

func TestAnswersToUnknownRecipientsTakeTwiceAsLongEachTime(t *testing.T) {
	t.Parallel()
	l := Limits{}.withDefaults()
	for nth, want := range map[int]time.Duration{1: 0, 3: 0, 4: 1, 5: 2, 6: 4, 7: 8, 8: 16, 9: 16, 100: 16} {
		require.Equal(t, want*time.Second, l.slowness(nth), nth)
	}
	l.UnknownDelay = -1
	require.Zero(t, l.slowness(100))
}

func TestEarlyTalkerIsRefused(t *testing.T) {
	t.Parallel()
	r := start(t, &Server{Limits: Limits{Pregreet: 300 * time.Millisecond}})
	r.mailbox("support", &recorder{})
	p := r.dial()
	p.send("EHLO client.example\r\nMAIL FROM:<>\r\nRCPT TO:<support@help.example>\r\n")
	require.Equal(t, []int{554}, p.closed())
	r.hello().do("NOOP", 250)
}

func TestMessageBoundsAreAnswered(t *testing.T) {
	t.Parallel()
	big := msg("big") + strings.Repeat("All of it is here.\r\n", 1000)
	received := strings.Repeat("Received: from a.example by b.example; Sun, 22 Nov 2026 10:00:00 +0000\r\n", 100)
	for _, tc := range []struct {
		name   string
		limits Limits
		raw    string
		code   int
	}{
		{"too large", Limits{MessageBytes: 10_000}, big, 552},
		{"spool is full", Limits{SpoolBytes: 10_000}, big, 452},
		{"disk is full", Limits{MemoryBytes: 1000, FreeDisk: 101}, big, 452},
		{"small mail needs no disk", Limits{FreeDisk: 101}, big, 250},
		{"loop", Limits{}, received + msg("loop"), 554},
		{"long way", Limits{Received: 101}, received + msg("loop"), 250},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, sink := support(t, &Server{Limits: tc.limits})
			p := r.hello()
			for _, chunked := range []bool{false, true} {
				p.envelope("support@help.example")
				if chunked {
					half := len(tc.raw) / 2
					p.send(fmt.Sprintf("BDAT %d\r\n%s", half, tc.raw[:half]))
					if code, _, err := p.answer(); err == nil && code == tc.code && code != 250 {
						break // refused with the first chunk already
					}
					p.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(tc.raw)-half, tc.raw[half:]))
				} else {
					p.do("DATA", 354)
					p.send(tc.raw + ".\r\n")
				}
				code, text, err := p.answer()
				require.NoError(t, err)
				require.Equal(t, tc.code, code, text)
			}
			require.Equal(t, tc.code == 250, len(sink.got()) > 0)
		})
	}
}

func TestSizeIsRefusedBeforeTheMessage(t *testing.T) {
	t.Parallel()
	r := start(t, &Server{Limits: Limits{MessageBytes: 1000, Recipients: 2}})
	r.mailbox("support", &recorder{})
	p := r.hello()
	p.do("MAIL FROM:<jane@customer.example> SIZE=1001", 552)
	p.envelope("support@help.example", "support+a@help.example")
	p.do("RCPT TO:<support+b@help.example>", 452)
}

func TestMessagesOfAConnectionAreLimited(t *testing.T) {
	t.Parallel()
	r := start(t, &Server{Limits: Limits{Messages: 2}})
	r.mailbox("support", &recorder{})
	p := r.hello()
	for i := range 2 {
		code, _ := p.mail(msg(fmt.Sprint(i)), "support@help.example")
		require.Equal(t, 250, code)
	}
	p.do("MAIL FROM:<jane@customer.example>", 421)
	p.closed()
}

func TestSilentConnectionsEnd(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		limits Limits
		hello  bool
	}{
		{"before EHLO", Limits{Hello: 50 * time.Millisecond}, false},
		{"between commands", Limits{Idle: 50 * time.Millisecond}, true},
		{"too old", Limits{Lifetime: 100 * time.Millisecond}, true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, &Server{Limits: tc.limits})
			p := r.dial()
			p.expect(220)
			if tc.hello {
				p.do("EHLO client.example", 250)
			}
			require.Equal(t, []int{421}, p.closed())
		})
	}
}

func TestSpoolFailureIsTemporary(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "gone")
	require.NoError(t, os.Mkdir(dir, 0o700))
	r, _ := support(t, &Server{SpoolDir: dir, Limits: Limits{MemoryBytes: 10, FreeDisk: -1}})
	require.NoError(t, os.Remove(dir))
	p := r.hello()
	code, text := p.mail(msg("1"), "support@help.example")
	require.Equal(t, 451, code)
	require.NotContains(t, text, dir)
	require.NoError(t, os.Mkdir(dir, 0o700))
	code, _ = p.mail(msg("1"), "support@help.example")
	require.Equal(t, 250, code)
}

func TestBareNewlinesAreSeenOverAnySplit(t *testing.T) {
	t.Parallel()
	for text, bare := range map[string]bool{
		"": false, "a": false, "a\r\n": false, "a\r\n\r\nb\r\n": false, "\r\n": false,
		"a\n": true, "\n": true, "a\r": true, "\r": true, "a\rb\r\n": true, "a\r\r\n": true, "a\r\n\n": true, "a\n\r": true,
	} {
		for cut := range len(text) + 1 {
			var s newlineScan
			s.write([]byte(text[:cut]))
			s.write([]byte(text[cut:]))
			s.end()
			require.Equal(t, bare, s.bare, "%q at %d", text, cut)
		}
	}
}

func TestAnswersThatRetryGoBeforeFinalOnes(t *testing.T) {
	t.Parallel()
	require.Equal(t, 451, worse(replyTo(channel.ErrRejected), replyTo(errors.New("x"))).Code)
	require.Equal(t, 451, worse(replyTo(errors.New("x")), replyTo(channel.ErrInactive)).Code)
	require.Equal(t, 450, worse(nil, replyTo(channel.ErrInactive)).Code)
	require.Nil(t, worse(nil, nil))
}
