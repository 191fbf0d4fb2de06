package hosted

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

// portalSink is a sink as an engine gives it: one equal value for each channel.
type portalSink struct{ *recorder }

func TestRecipientsOfOnePortalAreOneCall(t *testing.T) {
	t.Parallel()
	var main, shop recorder
	r := start(t, &Server{Domains: map[string]string{"shop": "shop.example"}})
	r.mailbox("support", portalSink{&main})
	r.mailbox("billing", portalSink{&main})
	r.receive("shop", acct(t, "s1", Mailbox{LocalPart: "support"}), portalSink{&shop})
	p := r.hello()
	code, _ := p.mail(msg("1"), "support@help.example", "support@shop.example", "billing@help.example", "support+again@help.example")
	require.Equal(t, 250, code)
	require.Equal(t, 1, main.calls)
	require.Equal(t, 1, shop.calls)
	got := main.got()
	require.Len(t, got, 2)
	require.Equal(t, channel.ID("support"), got[0].Channel)
	require.Equal(t, "support+again@help.example", got[0].Message.Received.To, "an address with a tag goes first")
	require.Equal(t, channel.ID("billing"), got[1].Channel)
	require.Equal(t, channel.ID("s1"), shop.got()[0].Channel)
}

func TestSinksThatCannotBeComparedHaveACallEach(t *testing.T) {
	t.Parallel()
	var sink recorder
	r := start(t, &Server{})
	r.mailbox("support", channel.SinkFunc(sink.Accept))
	r.mailbox("billing", channel.SinkFunc(sink.Accept))
	code, _ := r.hello().mail(msg("1"), "support@help.example", "billing@help.example")
	require.Equal(t, 250, code)
	require.Equal(t, 2, sink.calls)
}

func TestFailureOfOnePortalHasTheSenderTryAgainAndNothingIsDoubled(t *testing.T) {
	t.Parallel()
	var fail atomic.Bool
	fail.Store(true)
	var main recorder
	shop := recorder{fail: func([]*channel.Item) error {
		if fail.Load() {
			return errors.New("store down")
		}
		return nil
	}}
	r := start(t, &Server{Domains: map[string]string{"shop": "shop.example"}})
	r.mailbox("support", portalSink{&main})
	r.receive("shop", acct(t, "s1", Mailbox{LocalPart: "support"}), portalSink{&shop})
	p := r.hello()
	to := []string{"support@help.example", "support@shop.example"}
	code, _ := p.mail(msg("1"), to...)
	require.Equal(t, 451, code)
	fail.Store(false)
	code, _ = r.hello().mail("Received: from elsewhere\r\n"+msg("1"), to...)
	require.Equal(t, 250, code)
	require.Len(t, main.got(), 1, "the second delivery carries the same key")
	require.Len(t, shop.got(), 1)
}

func TestAnswersOfSeveralSinksAreJoined(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		a, b error
		code int
	}{
		{nil, channel.ErrRejected, 550},
		{channel.ErrRejected, errors.New("down"), 451},
		{channel.ErrInactive, channel.ErrRejected, 450},
		{channel.ErrInactive, errors.New("down"), 451},
	} {
		r := start(t, &Server{})
		r.mailbox("support", &recorder{fail: func([]*channel.Item) error { return tc.a }})
		r.mailbox("billing", &recorder{fail: func([]*channel.Item) error { return tc.b }})
		code, _ := r.hello().mail(msg("1"), "support@help.example", "billing@help.example")
		require.Equal(t, tc.code, code, "%v, %v", tc.a, tc.b)
	}
}

func TestMailboxThatIsOffIsTemporaryAndOneThatIsGoneIsFinal(t *testing.T) {
	t.Parallel()
	var sink recorder
	r := start(t, &Server{Limits: Limits{UnknownDelay: -1}})
	a := acct(t, "support", Mailbox{LocalPart: "support"})
	ch, err := open(t, r.Server, "main", a)
	require.NoError(t, err)
	p := r.hello()
	rcpt := func() int {
		t.Helper()
		p.do("RSET", 250)
		p.do("MAIL FROM:<jane@customer.example>", 250)
		p.send("RCPT TO:<support@help.example>\r\n")
		code, _, err := p.answer()
		require.NoError(t, err)
		return code
	}
	require.Equal(t, 450, rcpt(), "opened, not receiving")
	b, off := r.receive("main", a, &sink)
	require.Equal(t, 250, rcpt())
	b2, off2 := r.receive("main", a, &sink)
	off()
	require.Equal(t, 250, rcpt(), "opened again: no gap")
	require.NoError(t, b.Close())
	require.NoError(t, ch.(io.Closer).Close())
	require.Equal(t, 250, rcpt(), "the earlier openings count no more")

	require.Equal(t, 250, rcpt())
	off2()
	p.do("DATA", 354)
	p.do(msg("1")+".", 450)
	require.Equal(t, 450, rcpt(), "switched off")
	require.NoError(t, b2.Close())
	require.Equal(t, 451, rcpt(), "nobody can say whether the domain has other mailboxes")
	r.mailbox("billing", &sink)
	require.Equal(t, 550, rcpt())
	require.Empty(t, sink.got())
}

func TestManyPortalsAndDomainsShareTheServer(t *testing.T) {
	t.Parallel()
	s := &Server{Domains: map[string]string{}}
	for i := range 20 {
		s.Domains[fmt.Sprintf("p%d", i)] = fmt.Sprintf("d%d.example", i)
	}
	r := start(t, s)
	sinks := make([]recorder, 20)
	for i := range sinks {
		for _, local := range []string{"support", "billing"} {
			r.receive(fmt.Sprintf("p%d", i), acct(t, local, Mailbox{LocalPart: local}), portalSink{&sinks[i]})
		}
	}
	p := r.hello()
	for i := range sinks {
		code, _ := p.mail(msg(fmt.Sprint(i)), fmt.Sprintf("billing@D%d.example", i))
		require.Equal(t, 250, code)
	}
	for i := range sinks {
		require.Len(t, sinks[i].got(), 1)
		require.Equal(t, channel.ID("billing"), sinks[i].got()[0].Channel)
	}
}

func TestLMTPAnswersForEachRecipient(t *testing.T) {
	t.Parallel()
	var good recorder
	r := startProtocol(t, &Server{}, true)
	fail := func(err error) channel.Sink {
		return &recorder{fail: func([]*channel.Item) error { return err }}
	}
	r.mailbox("good", &good)
	r.mailbox("down", fail(errors.New("pq: secret")))
	r.mailbox("off", fail(channel.ErrInactive))
	r.mailbox("never", fail(fmt.Errorf("policy: %w", channel.ErrRejected)))
	p := r.dial()
	p.expect(220)
	p.do("LHLO mta.example", 250)
	p.do("MAIL FROM:<jane@customer.example>", 250)
	for _, to := range []string{"good", "down", "good", "off", "never", "good+tag"} {
		p.do("RCPT TO:<"+to+"@help.example>", 250)
	}
	p.do("RCPT TO:<nobody@help.example>", 550)
	p.do("DATA", 354)
	p.send(msg("1") + ".\r\n")
	for _, code := range []int{250, 451, 250, 450, 550, 250} {
		require.NotContains(t, p.expect(code), "secret")
	}
	require.Len(t, good.got(), 1)
	require.Equal(t, "lmtp", good.got()[0].Message.Received.Transport)

	p.envelope("good@help.example", "off@help.example")
	p.send(fmt.Sprintf("BDAT %d LAST\r\n%s", len(msg("2")), msg("2")))
	p.expect(250)
	p.expect(450)
	p.envelope("good@help.example", "off@help.example")
	p.send("BDAT 1000 LAST\r\nSubject: half\r\n")
	p.closeWrite()
	p.expect(451)
	p.expect(451)
	p.closed()
	require.Len(t, good.got(), 2)
}

func TestLargeMailIsSpooledAndReadMoreThanOnce(t *testing.T) {
	t.Parallel()
	var reads atomic.Int32
	sink := recorder{fail: func(items []*channel.Item) error {
		a, err := items[0].Raw.Open()
		if err != nil {
			return err
		}
		defer a.Close()
		b, err := items[0].Raw.Open()
		if err != nil {
			return err
		}
		defer b.Close()
		if _, err := io.CopyN(io.Discard, a, 100); err != nil {
			return err
		}
		all, err := io.ReadAll(b)
		if err != nil || int64(len(all)) != items[0].Raw.Size() {
			return fmt.Errorf("read %d of %d: %w", len(all), items[0].Raw.Size(), err)
		}
		reads.Add(1)
		return nil
	}}
	r := start(t, &Server{Limits: Limits{MemoryBytes: 10_000}})
	r.mailbox("support", &sink)
	p := r.hello()
	for _, n := range []int{10, 100, 1000, 20_000} {
		raw := msg(fmt.Sprint(n)) + strings.Repeat("All of it is here.\r\n", n)
		code, _ := p.mail(raw, "support@help.example")
		require.Equal(t, 250, code)
		got := sink.got()
		require.Equal(t, raw, got[len(got)-1].raw)
	}
	require.EqualValues(t, 4, reads.Load())
}

func TestLogHoldsNoAddressAndNoContent(t *testing.T) {
	t.Parallel()
	var log lockedBuffer
	r := start(t, &Server{
		Log:    slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Limits: Limits{MessageBytes: 5000, UnknownDelay: -1, Grace: -1},
	})
	r.mailbox("support", &recorder{})
	r.mailbox("down", &recorder{fail: func([]*channel.Item) error { return errors.New("store is down") }}, acme)
	p := r.hello()
	p.mail(msg("1"), "support@help.example")
	p.mail(msg("2"), "down@help.example")
	p.mail(msg("3")+strings.Repeat("Private words.\r\n", 500), "support@help.example")
	p.do("MAIL FROM:<jane@customer.example>", 250)
	p.do("RCPT TO:<private@help.example>", 550)
	p.send("DATA with content\r\n")
	require.NoError(t, r.stop())
	got := log.String()
	require.Contains(t, got, "store is down")
	require.Contains(t, got, "message accepted")
	for _, private := range []string{"jane", "Order", "Where is it", "Private", "private@", acme.Token, "with content"} {
		require.NotContains(t, got, private)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}
