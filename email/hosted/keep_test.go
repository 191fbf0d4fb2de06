package hosted

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

// keeper is a sink that keeps bodies as they arrive.
type keeper struct {
	recorder
	begin  error // of KeepBody
	write  error // of Write, after failAt bytes
	failAt int
	finish error // of Finish
	panics bool  // in Write

	mu   sync.Mutex
	kept []*keptMail
}

type keptMail struct {
	k         *keeper
	data      bytes.Buffer
	finished  bool
	discarded int
}

func (k *keeper) KeepBody(context.Context) (channel.KeptBody, error) {
	if k.begin != nil {
		return nil, k.begin
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	m := &keptMail{k: k}
	k.kept = append(k.kept, m)
	return m, nil
}

func (m *keptMail) Write(p []byte) (int, error) {
	if m.k.panics {
		panic("boom")
	}
	if m.k.write != nil && m.data.Len() >= m.k.failAt {
		return 0, m.k.write
	}
	return m.data.Write(p)
}

func (m *keptMail) Finish() (channel.Body, error) {
	m.finished = true
	return m, m.k.finish
}

func (m *keptMail) Discard()    { m.discarded++ }
func (m *keptMail) Size() int64 { return int64(m.data.Len()) }
func (m *keptMail) Open() (io.ReadCloser, error) {
	if !m.finished || m.discarded > 0 {
		return nil, errors.New("read at the wrong time")
	}
	return channel.Bytes(m.data.Bytes()).Open()
}

// only returns the one body that was begun, after it was discarded.
func (k *keeper) only(t testing.TB) *keptMail {
	t.Helper()
	k.mu.Lock()
	defer k.mu.Unlock()
	require.Len(t, k.kept, 1)
	require.Equal(t, 1, k.kept[0].discarded, "Discard is always called")
	return k.kept[0]
}

// startKeeping starts a server that cannot make a spool file.
func startKeeping(t *testing.T, l Limits, sink channel.Sink) *rig {
	t.Helper()
	if l.MemoryBytes == 0 {
		l.MemoryBytes = 1000
	}
	r := start(t, &Server{Limits: l})
	dir := r.SpoolDir
	r.SpoolDir = filepath.Join(dir, "there is no such folder")
	t.Cleanup(func() { r.SpoolDir = dir })
	r.mailbox("support", sink)
	return r
}

var bigMail = msg("big") + strings.Repeat("All of it is here.\r\n..and dots\r\n", 8000)

func TestLargeMailGoesToTheSinkWhileItArrives(t *testing.T) {
	t.Parallel()
	for _, chunked := range []bool{false, true} {
		var sink keeper
		r := startKeeping(t, Limits{}, &sink)
		p := r.hello()
		p.envelope("support@help.example")
		want := strings.ReplaceAll(bigMail, "\r\n..", "\r\n.")
		if chunked {
			want = bigMail
			p.chunk(bigMail[:100_000], false, 250)
			p.chunk(bigMail[100_000:], true, 250)
		} else {
			p.do("DATA", 354)
			p.do(bigMail+".", 250)
		}
		p.do("NOOP", 250)
		got := sink.got()
		require.Len(t, got, 1)
		require.Equal(t, want, got[0].raw)
		kept := sink.only(t)
		require.Equal(t, want, kept.data.String(), "every byte was written once")
		require.Same(t, kept, got[0].Raw, "the item has the sink's own body")
	}
}

func TestSmallMailIsNotKeptApart(t *testing.T) {
	t.Parallel()
	var sink keeper
	r := startKeeping(t, Limits{}, &sink)
	code, _ := r.hello().mail(msg("1"), "support@help.example")
	require.Equal(t, 250, code)
	require.Empty(t, sink.kept)
	require.Equal(t, msg("1"), sink.got()[0].raw)
}

func TestSinkThatKeepsNothingAheadGetsASpooledMail(t *testing.T) {
	t.Parallel()
	sink := keeper{begin: fmt.Errorf("no blobs: %w", errors.ErrUnsupported)}
	r := start(t, &Server{Limits: Limits{MemoryBytes: 1000}})
	r.mailbox("support", &sink)
	code, _ := r.hello().mail(msg("big")+strings.Repeat("x\r\n", 1000), "support@help.example")
	require.Equal(t, 250, code)
	require.Len(t, sink.got(), 1)
}

func TestOtherPortalsReadWhatTheFirstHasKept(t *testing.T) {
	t.Parallel()
	var plain recorder
	var first, second keeper
	r := startKeeping(t, Limits{}, &first)
	r.receive("plain", acct(t, "plain", Mailbox{LocalPart: "plain"}), &plain)
	r.receive("other", acct(t, "other", Mailbox{LocalPart: "other"}), &second)
	p := r.hello()
	p.envelope("plain@help.example", "support@help.example", "other@help.example")
	p.do("DATA", 354)
	p.do(bigMail+".", 250)
	p.do("NOOP", 250)
	want := strings.ReplaceAll(bigMail, "\r\n..", "\r\n.")
	require.Equal(t, want, first.only(t).data.String())
	require.Empty(t, second.kept)
	for _, sink := range []*recorder{&plain, &first.recorder, &second.recorder} {
		require.Len(t, sink.got(), 1)
		require.Equal(t, want, sink.got()[0].raw)
	}
}

func TestFailureToKeepIsTemporaryAndLeavesNothing(t *testing.T) {
	t.Parallel()
	full := fmt.Errorf("write: %w", syscall.ENOSPC)
	for _, tc := range []struct {
		name string
		sink *keeper
		code int
	}{
		{"cannot begin", &keeper{begin: errors.New("read only")}, 451},
		{"no space to begin", &keeper{begin: full}, 452},
		{"disk full at once", &keeper{write: full}, 452},
		{"disk full later", &keeper{write: full, failAt: 100_000}, 452},
		{"i/o error", &keeper{write: syscall.EIO, failAt: 100_000}, 451},
		{"cannot be synced", &keeper{finish: syscall.EIO}, 451},
		{"disk full when synced", &keeper{finish: full}, 452},
		{"never to be taken", &keeper{write: fmt.Errorf("too large: %w", channel.ErrRejected)}, 550},
		{"panics", &keeper{panics: true}, 451},
		{"accept fails", &keeper{recorder: recorder{fail: func([]*channel.Item) error { return errors.New("store is down") }}}, 451},
		{"accept refuses", &keeper{recorder: recorder{fail: func([]*channel.Item) error { return channel.ErrRejected }}}, 550},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			for _, chunked := range []bool{false, true} {
				tc.sink.kept = nil
				r := startKeeping(t, Limits{}, tc.sink)
				p := r.hello()
				p.envelope("support@help.example")
				if chunked {
					p.chunk(bigMail, true, tc.code)
				} else {
					p.do("DATA", 354)
					p.do(bigMail+".", tc.code)
				}
				if !chunked {
					p.do("NOOP", 250) // in step
				}
				require.NoError(t, r.stop())
				require.Empty(t, tc.sink.got())
				if tc.sink.begin == nil {
					tc.sink.only(t)
				}
			}
		})
	}
}

func TestMessageThatIsNotTakenIsNotKept(t *testing.T) {
	t.Parallel()
	received := strings.Repeat("Received: from a.example by b.example; Sun, 22 Nov 2026 10:00:00 +0000\r\n", 100)
	for _, tc := range []struct {
		name     string
		limits   Limits
		raw      string
		finished bool
		code     int
	}{
		{"NUL", Limits{}, bigMail + "\x00\r\n.\r\n", false, 550},
		{"endless line", Limits{DataLine: 1000}, bigMail + strings.Repeat("x", 2000) + "\r\n.\r\n", false, 554},
		{"too large", Limits{MessageBytes: 50_000}, bigMail + ".\r\n", false, 552},
		{"spool is full", Limits{SpoolBytes: 50_000}, bigMail + ".\r\n", false, 452},
		{"loop", Limits{}, received + bigMail + ".\r\n", true, 554},
		{"too slow", Limits{DataIdle: 50 * time.Millisecond}, bigMail, false, 451},
		{"cut off", Limits{}, bigMail, false, 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			var sink keeper
			r := startKeeping(t, tc.limits, &sink)
			p := r.hello()
			p.envelope("support@help.example")
			p.do("DATA", 354)
			p.send(tc.raw)
			if tc.code != 0 {
				p.expect(tc.code)
			} else {
				p.closeWrite()
			}
			p.conn.Close()
			require.NoError(t, r.stop())
			require.Empty(t, sink.got())
			require.Equal(t, tc.finished, sink.only(t).finished)
		})
	}
	t.Run("chunks that are reset", func(t *testing.T) {
		t.Parallel()
		var sink keeper
		r := startKeeping(t, Limits{}, &sink)
		p := r.hello()
		p.envelope("support@help.example")
		p.chunk(bigMail, false, 250)
		p.do("RSET", 250)
		p.closed()
		require.NoError(t, r.stop())
		require.False(t, sink.only(t).finished)
	})
}
