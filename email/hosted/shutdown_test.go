package hosted

import (
	"context"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

// ended waits for Serve to return.
func ended(t *testing.T, r *rig) <-chan error {
	t.Helper()
	done := make(chan error, 1)
	go func() { done <- r.stop() }()
	return done
}

func TestIdleConnectionsEndAtOnce(t *testing.T) {
	t.Parallel()
	r := start(t, &Server{TLS: testTLS(), Limits: Limits{Grace: time.Hour, Pregreet: time.Minute}})
	waiting := r.dial() // not even greeted
	r2 := start(t, &Server{TLS: testTLS(), Limits: Limits{Grace: time.Hour}})
	peers := []*peer{r2.dial(), r2.hello(), r2.hello().startTLS()}
	peers[0].expect(220)
	peers[1].envelope()
	peers[1].do("RSET", 250)
	require.NoError(t, r.stop())
	require.NoError(t, r2.stop())
	waiting.closed()
	for _, p := range peers {
		require.Equal(t, []int{421}, p.closed())
	}
	_, err := net.Dial("tcp", r2.addr)
	require.Error(t, err)
}

func TestTransactionUnderWayFinishes(t *testing.T) {
	t.Parallel()
	for _, chunked := range []bool{false, true} {
		entered, goOn := make(chan struct{}), make(chan struct{})
		var recorder recorder
		sink := channel.SinkFunc(func(ctx context.Context, items ...*channel.Item) error {
			entered <- struct{}{}
			<-goOn
			if err := ctx.Err(); err != nil {
				return err // a commit must not see the end of Serve's context
			}
			return recorder.Accept(ctx, items...)
		})
		r := start(t, &Server{Limits: Limits{Grace: time.Hour}})
		r.mailbox("support", sink)
		committing, sending := r.hello(), r.hello()
		committing.envelope("support@help.example")
		if chunked {
			committing.send("BDAT " + "127 LAST\r\n" + (msg("1") + msg("1"))[:127])
		} else {
			committing.do("DATA", 354)
			committing.send(msg("1") + ".\r\n")
		}
		sending.envelope("support@help.example")
		sending.do("DATA", 354)
		sending.send("Subject: still coming\r\n")
		<-entered
		done := ended(t, r)
		require.Eventually(t, func() bool {
			c, err := net.Dial("tcp", r.addr)
			if err == nil {
				c.Close()
			}
			return err != nil
		}, patience, time.Millisecond, "nobody new is let in")
		goOn <- struct{}{}
		committing.expect(250)
		require.Equal(t, []int{421}, committing.closed())
		sending.send("\r\nand here\r\n.\r\n")
		<-entered
		goOn <- struct{}{}
		sending.expect(250)
		require.NoError(t, <-done)
		require.Len(t, recorder.got(), 2)
	}
}

func TestWhatHangsIsCutOffAfterTheGrace(t *testing.T) {
	t.Parallel()
	for _, lmtp := range []bool{false, true} {
		entered := make(chan struct{}, 1)
		sink := channel.SinkFunc(func(ctx context.Context, _ ...*channel.Item) error {
			entered <- struct{}{}
			<-ctx.Done()
			return ctx.Err()
		})
		r := startProtocol(t, &Server{Limits: Limits{Grace: 50 * time.Millisecond}}, lmtp)
		r.mailbox("support", sink)
		hello := func() *peer {
			p := r.dial()
			p.expect(220)
			p.do(map[bool]string{false: "EHLO", true: "LHLO"}[lmtp]+" client.example", 250)
			p.envelope("support@help.example")
			return p
		}
		silent, chunks, stuck := hello(), hello(), hello()
		silent.do("DATA", 354)
		silent.send("Subject: and then nothing\r\n")
		chunks.chunk("Subject: half\r\n", false, 250)
		stuck.do("DATA", 354)
		stuck.send(msg("1") + ".\r\n")
		<-entered
		require.NoError(t, r.stop())
		for _, p := range []*peer{silent, chunks, stuck} {
			require.NotContains(t, p.closed(), 250)
		}
	}
}

func TestServeReportsABrokenListener(t *testing.T) {
	t.Parallel()
	s := &Server{Domain: "help.example"}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(t, err)
	require.NoError(t, l.Close())
	require.ErrorContains(t, s.Serve(context.Background(), l), "hosted: accept")

	s.Addr = "256.0.0.1:1"
	require.ErrorContains(t, s.ListenAndServe(context.Background()), "hosted: listen")

	s.Addr = "127.0.0.1:0"
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if err := s.ListenAndServe(ctx); err != nil {
		require.ErrorIs(t, err, context.Canceled)
	}
	require.False(t, s.listening())
}

func TestLMTPOverAUnixSocket(t *testing.T) {
	t.Parallel()
	s := &Server{Domain: "help.example"}
	path := filepath.Join(t.TempDir(), "lmtp.sock")
	l, err := net.Listen("unix", path)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.ServeLMTP(ctx, l) }()
	r := &rig{Server: s, t: t}
	var sink recorder
	_, off := r.mailbox("support", &sink)
	c, err := net.Dial("unix", path)
	require.NoError(t, err)
	p := newPeer(t, c)
	p.expect(220)
	p.do("EHLO client.example", 500)
	p.do("LHLO client.example", 250)
	code, _ := p.mail(msg("1"), "support@help.example")
	require.Equal(t, 250, code)
	require.Empty(t, sink.got()[0].Message.Received.RemoteIP)
	require.NoError(t, c.Close())
	cancel()
	require.NoError(t, <-done)
	off()
}
