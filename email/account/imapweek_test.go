package account_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"runtime"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email/account"
	"github.com/anteroom/anteroom/email/emailtest"
)

// station is an account with the default pace, in a bubble of synctest with its
// server. It remembers little.
type station struct {
	srv    *emailtest.IMAP
	cancel context.CancelFunc
	done   chan error

	mu      sync.Mutex
	state   []byte
	last    channel.Status
	arrived []time.Time // by the number of the letter
	doubled int
}

func newStation(t *testing.T, letters int) *station {
	t.Helper()
	srv, err := emailtest.StartIMAP(emailtest.IMAPInMemory(), emailtest.IMAPWithUser(address, password))
	require.NoError(t, err)
	s := &station{srv: srv, done: make(chan error, 1), arrived: make([]time.Time, letters)}
	acct, err := account.Account{
		Address: address, Password: password, SMTP: account.Server{Host: "127.0.0.1", Security: account.None},
		IMAP: &account.IMAP{Server: account.Server{Host: srv.Host(), Port: srv.Port(), Security: account.None}, FirstSync: "all", After: "delete"},
	}.Account()
	require.NoError(t, err)
	acct.ID = "c1"
	ch, err := account.Connector{}.Open(t.Context(), acct, channel.Env{
		Portal: "main", Now: time.Now, Dial: srv.Dial, Log: slog.New(slog.DiscardHandler),
		Report: func(st channel.Status) {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.last = st
		},
		LoadState: func(context.Context) ([]byte, error) { return nil, nil },
		SaveState: func(_ context.Context, b []byte) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			s.state = bytes.Clone(b)
			return nil
		},
	})
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	s.cancel = cancel
	go func() { s.done <- ch.(channel.Receiver).Receive(ctx, channel.SinkFunc(s.accept)) }()
	return s
}

func (s *station) accept(_ context.Context, items ...*channel.Item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range items {
		var n int
		if _, err := fmt.Sscanf(it.Message.Subject, "letter %d", &n); err != nil {
			return err
		}
		if !s.arrived[n].IsZero() {
			s.doubled++
			continue
		}
		s.arrived[n] = time.Now()
	}
	return nil
}

// when returns when a letter arrived, and the zero time before.
func (s *station) when(n int) time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.arrived[n]
}

func (s *station) end(t *testing.T) {
	t.Helper()
	s.cancel()
	require.NoError(t, <-s.done)
	s.srv.Close()
}

func TestADeadConnectionIsReplacedWithinItsDeadline(t *testing.T) {
	t.Parallel()
	// One IDLE, the wait for its end, and the first pause with its variation.
	const deadline = 5*time.Minute + 30*time.Second + 1250*time.Millisecond
	for name, die := range map[string]func(srv *emailtest.IMAP){
		"it is deaf and never answers again": func(srv *emailtest.IMAP) {
			srv.Deafen(true)
			srv.Fault(emailtest.Fault{At: emailtest.AtDone, Hang: true, Times: 1})
		},
		"it is deaf and answers": func(srv *emailtest.IMAP) { srv.Deafen(true) },
		"it dies when it is looked at": func(srv *emailtest.IMAP) {
			srv.Deafen(true)
			srv.Fault(emailtest.Fault{At: emailtest.AtSelect, Hang: true, Times: 1})
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStation(t, 1)
				defer s.end(t)
				synctest.Wait()
				require.Equal(t, 1, s.srv.Idling())
				time.Sleep(time.Second)
				die(s.srv)
				died := time.Now()
				s.srv.Add("INBOX", letter(0), died)
				time.Sleep(deadline)
				synctest.Wait()
				require.False(t, s.when(0).IsZero(), "the mail has come within %v", deadline)
			})
		})
	}
}

// TestAWeekOfReconnectsLeavesNothingBehind breaks the connection some thousand times,
// in each of several ways, and compares what is on the heap after the first day
// and after the seventh.
func TestAWeekOfReconnectsLeavesNothingBehind(t *testing.T) { //nolint:paralleltest // it measures the heap
	const slots = 7 * 24 * 6 // of ten minutes
	var heap [7]uint64
	connections := 0
	synctest.Test(t, func(t *testing.T) {
		s := newStation(t, slots)
		for n := range slots {
			s.trouble(n % 7)
			s.srv.Add("INBOX", letter(n), time.Now())
			time.Sleep(3 * time.Minute)
			s.srv.Disconnect()
			time.Sleep(7 * time.Minute)
			s.srv.Deafen(false)
			if (n+1)%(slots/7) != 0 {
				continue
			}
			s.srv.Heal()
			time.Sleep(20 * time.Minute) // the longest pause, and an IDLE
			synctest.Wait()
			s.srv.Forget()
			require.Empty(t, s.srv.Mails("INBOX"))
			heap[(n+1)/(slots/7)-1] = live()
		}
		for n := range slots {
			require.False(t, s.when(n).IsZero(), "letter %d", n)
		}
		require.Equal(t, channel.StateLive, s.last.State)
		connections = s.srv.Connections()
		s.end(t)
	}) // which fails while a goroutine is left
	t.Logf("%d connections; live heap by day in KB: %v", connections, inKB(heap[:]))
	require.Greater(t, connections, slots)
	require.Less(t, float64(heap[6]), 1.1*float64(heap[0]))
}

// trouble is one of the ways in which a server fails.
func (s *station) trouble(kind int) {
	switch kind {
	case 0:
		s.srv.Deafen(true)
		s.srv.Fault(emailtest.Fault{At: emailtest.AtDone, Hang: true, Times: 1})
	case 1:
		s.srv.Fault(emailtest.Fault{At: emailtest.AtLogin, Reply: "NO [UNAVAILABLE] later", Times: 3})
		s.srv.Disconnect()
	case 2:
		s.srv.Fault(emailtest.Fault{At: emailtest.AtLiteral, Bytes: 20, Drop: true, Times: 1})
	case 3:
		s.srv.Fault(emailtest.Fault{At: emailtest.AtFetch, Hang: true, Times: 1})
	case 4:
		s.srv.Renumber("INBOX")
	case 5:
		s.srv.Fault(emailtest.Fault{At: emailtest.AtConnect, Drop: true, Times: 2})
		s.srv.Disconnect()
	}
}

func live() uint64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.GC() // what has finalizers, and what pools hold
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func inKB(bytes []uint64) []uint64 {
	var out []uint64
	for _, b := range bytes {
		out = append(out, b>>10)
	}
	return out
}
