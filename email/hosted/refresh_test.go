package hosted

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

func TestPortalIsAskedBeforeARecipientIsRefused(t *testing.T) {
	t.Parallel()
	var sink recorder
	var calls atomic.Int32
	r := start(t, &Server{Domains: map[string]string{"shop": "shop.example"}, Limits: Limits{RefreshEvery: -1, UnknownDelay: -1}})
	made := make(chan string, 1)
	detach := r.Attach("main", func(context.Context) error {
		calls.Add(1)
		select {
		case local := <-made:
			r.mailbox(local, &sink)
		default:
		}
		return nil
	})
	defer detach()
	defer r.Attach("shop", func(context.Context) error { return errors.New("not asked") })()

	p := r.hello()
	p.do("MAIL FROM:<jane@customer.example>", 250)
	p.do("RCPT TO:<support@help.example>", 550)
	made <- "support" // another node makes it
	p.do("RCPT TO:<support@help.example>", 250)
	n := calls.Load()
	p.do("RCPT TO:<support@help.example>", 250)
	require.Equal(t, n, calls.Load(), "who is known is not asked for")
	p.do("RCPT TO:<nobody@shop.example>", 451)
}

func TestLookupThatFailsIsTemporary(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		refresh func(context.Context) error
	}{
		{"error", func(context.Context) error { return errors.New("pq: secret") }},
		{"panic", func(context.Context) error { panic("secret") }},
		{"hangs", func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r := start(t, &Server{Limits: Limits{Refresh: 50 * time.Millisecond}})
			r.mailbox("billing", &recorder{})
			detach := r.Attach("main", tc.refresh)
			p := r.hello()
			p.do("MAIL FROM:<jane@customer.example>", 250)
			require.NotContains(t, p.do("RCPT TO:<support@help.example>", 451), "secret")
			p.do("RCPT TO:<billing@help.example>", 250)
			detach()
			p.do("RCPT TO:<support@help.example>", 550)
		})
	}
}

func TestNobodyIsRefusedForGoodWhileAPortalOfTheDomainIsNotRunning(t *testing.T) {
	t.Parallel()
	r := start(t, &Server{
		Domains: map[string]string{"shop": "shop.example", "store": "shop.example"},
		Limits:  Limits{RefreshEvery: -1, UnknownDelay: -1},
	})
	ok := func(context.Context) error { return nil }
	p := r.hello()
	p.do("MAIL FROM:<jane@customer.example>", 250)
	p.do("RCPT TO:<x@help.example>", 451)
	p.do("RCPT TO:<x@shop.example>", 451)
	p.do("RCPT TO:<x@elsewhere.example>", 550)
	defer r.Attach("main", ok)()
	p.do("RCPT TO:<x@help.example>", 550)
	defer r.Attach("shop", ok)()
	p.do("RCPT TO:<x@shop.example>", 451)
	detach := r.Attach("store", ok)
	p.do("RCPT TO:<x@shop.example>", 550)
	detach()
	detach()
	p.do("RCPT TO:<x@shop.example>", 451)
}

func TestRefreshIsSharedAndNeverOlderThanTheQuestion(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		s := &Server{Domain: "help.example"}
		began, running := 0, 0
		gate := make(chan struct{})
		detach := s.Attach("main", func(context.Context) error {
			began++
			running++
			if running > 1 {
				t.Error("refreshes overlap")
			}
			<-gate
			running--
			return nil
		})
		var wg sync.WaitGroup
		ask := func() {
			wg.Go(func() {
				if _, found, err := s.resolve(t.Context(), "x", "help.example"); found || err != nil {
					t.Error(found, err)
				}
			})
		}
		ask()
		synctest.Wait()
		for range 50 {
			ask()
		}
		synctest.Wait()
		require.Equal(t, 1, began)
		close(gate)
		wg.Wait()
		require.Equal(t, 2, began, "those who asked after the first began share a second")
		detach()
		_, _, err := s.resolve(t.Context(), "x", "help.example")
		require.ErrorIs(t, err, errNotReady)
	})
}

func TestRefreshesKeepADistance(t *testing.T) {
	t.Parallel()
	s := &Server{Domain: "help.example", Limits: Limits{RefreshEvery: time.Hour, Refresh: 20 * time.Millisecond}}
	var calls atomic.Int32
	detach := s.Attach("main", func(context.Context) error { calls.Add(1); return nil })
	_, _, err := s.resolve(context.Background(), "x", "help.example")
	require.NoError(t, err)
	_, _, err = s.resolve(context.Background(), "x", "help.example")
	require.Error(t, err, "better later than wrong")
	require.EqualValues(t, 1, calls.Load())
	detach()
}
