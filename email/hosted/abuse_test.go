package hosted

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// drip sends a string byte by byte, each well within every wait between two
// reads, until the server closes. It returns what the server answered.
func (p *peer) drip(s string) []int {
	p.t.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for i := range len(s) {
			p.conn.SetWriteDeadline(time.Now().Add(patience))
			if _, err := p.conn.Write([]byte{s[i]}); err != nil {
				return
			}
			time.Sleep(5 * time.Millisecond)
		}
	}()
	codes := p.closed()
	p.conn.Close()
	<-ended
	return codes
}

func TestSlowBytesEndTheConnection(t *testing.T) {
	t.Parallel()
	const short = 100 * time.Millisecond
	drops := strings.Repeat("x", 2000) // ten seconds
	for _, tc := range []struct {
		name   string
		limits Limits
		begin  func(p *peer) *peer
		drops  string
		codes  []int
	}{
		{"in the first command", Limits{Hello: short}, func(p *peer) *peer { return p }, "EHLO " + drops, []int{421}},
		{"in a command", Limits{Idle: short}, func(p *peer) *peer { p.do("EHLO x", 250); return p }, "NOOP " + drops, []int{421}},
		{"in a command under TLS", Limits{Idle: short}, func(p *peer) *peer { p.do("EHLO x", 250); return p.startTLS() }, "NOOP " + drops, []int{421}},
		{"in the handshake", Limits{Hello: short}, func(p *peer) *peer {
			p.do("EHLO x", 250)
			p.do("STARTTLS", 220)
			return p
		}, "\x16\x03\x01\x20\x00" + drops, nil},
		{"in the command after the handshake", Limits{Hello: short}, func(p *peer) *peer {
			p.do("EHLO x", 250)
			p.do("STARTTLS", 220)
			c := tls.Client(p.conn, &tls.Config{InsecureSkipVerify: true})
			require.NoError(p.t, c.Handshake())
			return newPeer(p.t, c)
		}, "EHLO " + drops, []int{421}},
		{"in a message", Limits{DataGrace: short}, func(p *peer) *peer {
			p.do("EHLO x", 250)
			p.envelope("support@help.example")
			p.do("DATA", 354)
			return p
		}, drops, []int{451, 421}},
		{"in a chunk", Limits{DataGrace: short}, func(p *peer) *peer {
			p.do("EHLO x", 250)
			p.envelope("support@help.example")
			p.send("BDAT 2000 LAST\r\n")
			return p
		}, drops, []int{451, 421}},
		{"between chunks", Limits{DataGrace: short}, func(p *peer) *peer {
			p.do("EHLO x", 250)
			p.envelope("support@help.example")
			p.chunk("x", false, 250)
			return p
		}, "BDAT " + drops, []int{421}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, sink := support(t, &Server{TLS: testTLS(), Limits: tc.limits})
			p := r.dial()
			p.expect(220)
			codes := tc.begin(p).drip(tc.drops)
			require.Subset(t, tc.codes, codes)
			require.Empty(t, sink.got())
		})
	}
}

// pipes is a listener of connections without any buffer between the ends.
type pipes struct {
	conns  chan net.Conn
	closed context.Context
	close  context.CancelFunc
}

func (p pipes) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.closed.Done():
		return nil, net.ErrClosed
	}
}
func (p pipes) Close() error { p.close(); return nil }
func (pipes) Addr() net.Addr { return &net.UnixAddr{Name: "pipe"} }

func TestPeerThatReadsNothingIsCutOff(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Domain: "help.example", Limits: Limits{Pregreet: -1, Lifetime: time.Hour}}
		l := pipes{conns: make(chan net.Conn)}
		l.closed, l.close = context.WithCancel(context.Background())
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- s.Serve(ctx, l) }()
		here, there := net.Pipe()
		l.conns <- there
		time.Sleep(30 * time.Minute)
		_, err := here.Read(make([]byte, 100))
		require.Error(t, err, "the greeting was given up")
		stop()
		require.NoError(t, <-done)
	})
}

// bombs are mails that cost a careless reader dear.
func bombs() map[string]string {
	nested := func(n int) string {
		var open, end strings.Builder
		for i := range n {
			fmt.Fprintf(&open, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
			fmt.Fprintf(&end, "\r\n--b%d--", n-1-i)
		}
		return open.String() + "\r\nin the middle" + end.String() + "\r\n"
	}
	top, body, _ := strings.Cut(msg("bomb"), "\r\n\r\n")
	top += "\r\n"
	return map[string]string{
		"100k header lines":    top + strings.Repeat("X-A: b\r\n", 100_000) + "\r\n" + body,
		"100k folded lines":    top + "X-A: b\r\n" + strings.Repeat(" c\r\n", 100_000) + "\r\n" + body,
		"a header of 10 MB":    top + "X-A: " + strings.Repeat(strings.Repeat("b", 990)+"\r\n ", 10_000) + "\r\n\r\n" + body,
		"a line of 1 MB":       top + "X-A: " + strings.Repeat("b", 1<<20-100) + "\r\n\r\n" + body,
		"no end of the header": strings.Repeat("X-A: b\r\n", 200_000),
		"10k recipients":       top + "Cc: " + strings.Repeat("<a@b.example>,\r\n ", 10_000) + "z@b.example\r\n\r\n" + body,
		"10k references":       top + "References: " + strings.Repeat("<a@b.example>\r\n ", 10_000) + "\r\n\r\n" + body,
		"10k parts":            top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\n\r\nx\r\n", 10_000) + "--b--\r\n",
		"10k files": top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
			strings.Repeat("--b\r\nContent-Disposition: attachment; filename=x\r\n\r\nx\r\n", 10_000) + "--b--\r\n",
		"5k multiparts in each other": top + nested(5000),
		"5k mails in each other":      top + strings.Repeat("Content-Type: message/rfc822\r\n\r\n", 5000) + body,
		"2 MB of tags":                top + "Content-Type: text/html\r\n\r\n" + strings.Repeat("<p><b><i>\r\n", 200_000),
		"2 MB of quotes":              top + "\r\n" + strings.Repeat(">>>>>>>>\r\n", 200_000),
		"6 texts of 1 MB": top + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" +
			strings.Repeat("--b\r\n\r\n"+strings.Repeat("word word\r\n", 90_000)+"\r\n", 6) + "--b--\r\n",
		"a word that unfolds": top + "Subject: " + strings.Repeat("=?utf-8?q?"+strings.Repeat("=41", 20)+"?=\r\n ", 3000) + "\r\n\r\n" + body,
	}
}

func TestBombsAreTakenAndWhatIsKeptIsBounded(t *testing.T) {
	t.Parallel()
	for name, raw := range bombs() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, sink := support(t, &Server{})
			code, text := r.hello().mail(raw, "support@help.example")
			require.Equal(t, 250, code, text)
			got := sink.got()
			require.Len(t, got, 1)
			require.Len(t, got[0].raw, len(raw))
			m := got[0].Message
			require.NotNil(t, m)
			require.LessOrEqual(t, len(m.Text)+len(m.NewText)+len(m.HTML), 3*email.MaxTextTotal)
			require.LessOrEqual(t, len(m.Attachments), email.MaxParts)
			require.LessOrEqual(t, len(m.Defects), email.MaxDefects)
			require.LessOrEqual(t, len(m.To)+len(m.Cc)+len(m.ReplyTo), 3*email.MaxParties)
			require.LessOrEqual(t, len(m.Subject), email.MaxHeaderBytes)
			require.LessOrEqual(t, len(m.Evidence.IDs), email.MaxIDs+10)
		})
	}
}

func TestChunksAfterDataAreRefusedAndTheSessionStaysInStep(t *testing.T) {
	t.Parallel()
	r, sink := support(t, &Server{})
	p := r.hello()
	code, _ := p.mail(msg("1"), "support@help.example")
	require.Equal(t, 250, code)
	p.chunk("MAIL FROM:<>\r\nRCPT TO:<support@help.example>\r\nDATA\r\n.\r\n", true, 503)
	p.envelope("support@help.example")
	p.chunk(msg("2"), true, 250)
	p.chunk("", true, 503)
	require.Len(t, sink.got(), 2)
}

func TestChunkOfFourGigabytesIsNotWaitedFor(t *testing.T) {
	t.Parallel()
	r, sink := support(t, &Server{Limits: Limits{MessageBytes: 1000, Discard: 100_000}})
	for _, withEnvelope := range []bool{true, false} {
		p := r.hello()
		want := 503
		if withEnvelope {
			p.envelope("support@help.example")
			want = 552
		}
		p.send("BDAT 4294967295 LAST\r\n")
		p.expect(want)
		p.try(strings.Repeat("MAIL FROM:<>\r\n", 100_000))
		require.Subset(t, []int{421}, p.closed())
	}
	require.Empty(t, sink.got())
}

func TestLargeMessagesWaitForEachOtherToBeRead(t *testing.T) {
	t.Parallel()
	big := msg("big") + strings.Repeat("All of it is here.\r\n", 3000)
	entered, goOn := make(chan string, 10), make(chan struct{})
	sink := channel.SinkFunc(func(_ context.Context, items ...*channel.Item) error {
		entered <- items[0].Message.Subject
		if items[0].Raw.Size() > freeParse {
			<-goOn
		}
		return nil
	})
	r := start(t, &Server{Limits: Limits{ParseBytes: 100_000}})
	r.mailbox("support", sink)
	send := func(raw string) *peer {
		p := r.hello()
		p.envelope("support@help.example")
		p.do("DATA", 354)
		p.send(raw + ".\r\n")
		return p
	}
	first := send(big)
	<-entered
	second := send(big)
	require.Eventually(t, func() bool {
		r.parsing.mu.Lock()
		defer r.parsing.mu.Unlock()
		return len(r.parsing.waiting) == 1
	}, patience, time.Millisecond)
	send(msg("small")).expect(250)
	require.Equal(t, "Order small", <-entered, "a small one waits for nothing")
	goOn <- struct{}{}
	first.expect(250)
	<-entered
	goOn <- struct{}{}
	second.expect(250)
	require.NoError(t, r.stop())
	require.Zero(t, r.parsing.used)
}

func TestBudgetIsSharedInTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		a, b := netip.MustParsePrefix("192.0.2.1/32"), netip.MustParsePrefix("192.0.2.2/32")
		share := budget{all: 100_000}
		n, err := share.take(t.Context(), a, 1<<40)
		require.NoError(t, err)
		require.EqualValues(t, 100_000, n, "one that is too large for all has it alone")
		free, err := share.take(t.Context(), a, freeParse)
		require.NoError(t, err)
		require.Zero(t, free)

		var mu sync.Mutex
		var order []string
		so := func() []string {
			synctest.Wait()
			mu.Lock()
			defer mu.Unlock()
			return slices.Clone(order)
		}
		for _, w := range []struct {
			name string
			peer netip.Prefix
			size int64
		}{{"a1", a, 90_000}, {"a2", a, 60_000}, {"a3", a, 60_000}, {"b1", b, 60_000}, {"b2", b, 35_000}} {
			go func() {
				n, err := share.take(t.Context(), w.peer, w.size)
				if err != nil {
					return
				}
				mu.Lock()
				order = append(order, w.name)
				mu.Unlock()
				time.Sleep(time.Minute)
				share.give(n)
			}()
			synctest.Wait()
		}
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		_, err = share.take(ctx, b, 90_000)
		require.ErrorIs(t, err, context.DeadlineExceeded)
		share.give(n)
		for range 5 {
			so()
			time.Sleep(61 * time.Second)
		}
		got := so()
		require.Len(t, got, 5)
		require.Equal(t, []string{"a1", "b1"}, got[:2])
		require.ElementsMatch(t, []string{"a2", "b2"}, got[2:4], "b2 fits beside b1, but it is a's turn")
		require.Equal(t, "a3", got[4])
		require.Zero(t, share.used)
		require.Empty(t, share.served)
	})
}

func TestMessageThatWaitsTooLongToBeReadIsTemporary(t *testing.T) {
	t.Parallel()
	r, sink := support(t, &Server{Limits: Limits{ParseBytes: 100_000, Commit: 50 * time.Millisecond}})
	n, err := r.parsing.take(t.Context(), netip.Prefix{}, 100_000)
	require.NoError(t, err)
	code, _ := r.hello().mail(msg("big")+strings.Repeat("All of it is here.\r\n", 3000), "support@help.example")
	require.Equal(t, 451, code)
	r.parsing.give(n)
	require.Empty(t, sink.got())
}

func TestCommitThatTakesTooLongIsTemporary(t *testing.T) {
	t.Parallel()
	sink := channel.SinkFunc(func(ctx context.Context, _ ...*channel.Item) error {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(patience):
			return errors.New("no limit")
		}
	})
	r := start(t, &Server{Limits: Limits{Commit: 20 * time.Millisecond}})
	r.mailbox("support", sink)
	p := r.hello()
	code, _ := p.mail(msg("1"), "support@help.example")
	require.Equal(t, 451, code)
	p.do("NOOP", 250)
}
