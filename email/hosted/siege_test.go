package hosted

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/textproto"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
)

// The siege: all attackers at once, from siegeHosts addresses with siegeConns
// connections each, against the limits of siegeLimits.
const (
	siegeConns = 16 // some over ConnectionsPerIP
	// honestSenders bring mail meanwhile, from an address each, one message a
	// connection.
	honestSenders = 20
	// siegeRoom is for as many connections as the attackers may have, 10 from an
	// address, and some more.
	siegeRoom = 200
)

// siegeLimits are the defaults with less patience and less room.
var siegeLimits = Limits{
	Hello: 2 * time.Second, Idle: 2 * time.Second, DataIdle: time.Second, DataGrace: 2 * time.Second,
	Data: 10 * time.Second, Lifetime: 20 * time.Second, Pregreet: 20 * time.Millisecond,
	ConnectionRate: -1, Connections: siegeRoom, Grace: time.Second, UnknownDelay: 50 * time.Millisecond,
	MessageBytes: 12 << 20, MemoryBytes: 64 << 10, Discard: 1 << 20, ParseBytes: 8 << 20,
}

// What the server may hold at most under the siege, in bytes of live heap.
const (
	// siegeConn is for one connection: its buffers and go-smtp's (8 + 2x4 KiB), a
	// copy buffer and what was read ahead (32 + 40 KiB), TLS (48 KiB).
	siegeConn = 8<<10 + 8<<10 + 72<<10 + 48<<10
	// siegeMail is for one message that is small enough to be in memory, in a
	// buffer that doubles as it grows, or to be read without waiting.
	siegeMail = 2*64<<10 + 4*freeParse
	// siegeParse is for all larger ones that are being understood: of each byte
	// that counts there are the text, what is new in it, the HTML, and lines.
	siegeParse = 6 * 8 << 20
	siegeHeap  = siegeRoom*(siegeConn+siegeMail) + siegeParse
)

// attacker begins on a new connection and does harm until it fails.
type attacker struct {
	net.Conn
	r *textproto.Reader
}

func (a *attacker) say(format string, args ...any) error {
	_, err := fmt.Fprintf(a, format, args...)
	return err
}

// ask says a line and returns the code of the answer.
func (a *attacker) ask(format string, args ...any) (int, error) {
	if err := a.say(format+"\r\n", args...); err != nil {
		return 0, err
	}
	return a.answer()
}

func (a *attacker) answer() (int, error) {
	code, _, err := a.r.ReadResponse(0)
	return code, err
}

// drip sends byte by byte.
func (a *attacker) drip(text string) error {
	for i := range len(text) {
		if _, err := a.Write([]byte{text[i]}); err != nil {
			return err
		}
		time.Sleep(50 * time.Millisecond)
	}
	return nil
}

func (a *attacker) envelope() error {
	for _, line := range []string{"MAIL FROM:<evil@attacker.example>", "RCPT TO:<support@help.example>"} {
		if code, err := a.ask("%s", line); err != nil || code != 250 {
			return errors.Join(err, fmt.Errorf("%d", code))
		}
	}
	return nil
}

// data sends a message with its final dot.
func (a *attacker) data(raw []byte) error {
	if err := a.envelope(); err != nil {
		return err
	}
	if _, err := a.ask("DATA"); err != nil {
		return err
	}
	if _, err := a.Write(raw); err != nil {
		return err
	}
	code, err := a.answer()
	if err == nil && code != 250 {
		err = fmt.Errorf("answer %d", code)
	}
	return err
}

// attacks are what attackers do after EHLO, again and again.
func attacks() map[string]func(a *attacker) error {
	lots := strings.Repeat("x", 10_000)
	all := map[string]func(a *attacker) error{
		"silence":              func(a *attacker) error { _, err := a.answer(); return err },
		"slow command":         func(a *attacker) error { return a.drip("NOOP " + lots) },
		"slow message":         func(a *attacker) error { _ = a.envelope(); _, _ = a.ask("DATA"); return a.drip(lots) },
		"slow chunk":           func(a *attacker) error { _ = a.envelope(); _ = a.say("BDAT 10000\r\n"); return a.drip(lots) },
		"slow handshake":       func(a *attacker) error { _, _ = a.ask("STARTTLS"); return a.drip("\x16\x03\x01\x20\x00" + lots) },
		"slow after handshake": func(a *attacker) error { return a.secure(func(b *attacker) error { return b.drip("EHLO " + lots) }) },
		"probing": func(a *attacker) error {
			_ = a.say("MAIL FROM:<>\r\n")
			return a.say("%s", strings.Repeat("RCPT TO:<who@help.example>\r\n", 50))
		},
		"no more than noise": func(a *attacker) error { return a.say("%s", strings.Repeat("NOOP\r\nRSET\r\nFROB\r\n", 500)) },
		"endless command":    func(a *attacker) error { return a.say("NOOP %s\r\n", lots) },
		"injection before TLS": func(a *attacker) error {
			if err := a.say("STARTTLS\r\nMAIL FROM:<evil@attacker.example>\r\nRCPT TO:<support@help.example>\r\nDATA\r\n%s.\r\n", msg("injected")); err != nil {
				return err
			}
			_, err := a.answer()
			return errors.Join(err, a.Close())
		},
		"smuggling": func(a *attacker) error {
			return a.data([]byte(msg("smuggler") + "\n.\r\nMAIL FROM:<evil@attacker.example>\r\nRCPT TO:<support@help.example>\r\nDATA\r\n" + msg("smuggled") + "\r.\r\n" + "\r\n.\r\n"))
		},
		"cut chunk": func(a *attacker) error {
			if err := a.envelope(); err != nil {
				return err
			}
			return errors.Join(a.say("BDAT 1000 LAST\r\n%s", msg("cut")), a.Close())
		},
		"huge chunk": func(a *attacker) error {
			if err := a.envelope(); err != nil {
				return err
			}
			if err := a.say("BDAT 4294967295 LAST\r\n"); err != nil {
				return err
			}
			return a.flood(lots)
		},
		"endless message": func(a *attacker) error {
			if err := a.envelope(); err != nil {
				return err
			}
			_, _ = a.ask("DATA")
			return a.flood(strings.Repeat(strings.Repeat("y", 78)+"\r\n", 100))
		},
		"endless line": func(a *attacker) error {
			if err := a.envelope(); err != nil {
				return err
			}
			_, _ = a.ask("DATA")
			return a.flood(lots)
		},
	}
	for name, raw := range bombs() {
		bomb := []byte(raw + ".\r\n") // one for all, since only the server's memory counts
		all[name] = func(a *attacker) error { return a.data(bomb) }
	}
	return all
}

func (a *attacker) flood(text string) error {
	b := []byte(text)
	for {
		if _, err := a.Write(b); err != nil {
			return err
		}
	}
}

func (a *attacker) secure(then func(b *attacker) error) error {
	if _, err := a.ask("STARTTLS"); err != nil {
		return err
	}
	c := tls.Client(a.Conn, &tls.Config{InsecureSkipVerify: true})
	if err := c.Handshake(); err != nil {
		return err
	}
	return then(&attacker{c, textproto.NewReader(bufio.NewReader(c))})
}

// from connects from one of the many addresses that are this machine.
func from(ctx context.Context, addr, ip string) (*attacker, error) {
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(ip)}, Timeout: patience}
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(30 * time.Second))
	a := &attacker{c, textproto.NewReader(bufio.NewReader(c))}
	code, err := a.answer()
	if err == nil && code == 220 {
		code, err = a.ask("EHLO client.example")
	}
	if err == nil && code != 250 {
		err = fmt.Errorf("answer %d", code)
	}
	if err != nil {
		c.Close()
	}
	return a, err
}

// census is a sink that counts whose mail came.
type census struct {
	mu   sync.Mutex
	seen map[string]int
}

func (s *census) Accept(_ context.Context, items ...*channel.Item) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, it := range items {
		s.seen[it.Message.ExternalID]++
	}
	return nil
}

func liveHeap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

//nolint:paralleltest // it measures the memory of the process
func TestHonestMailGetsThroughASiege(t *testing.T) {
	hosts, each := siegeHosts, 2
	if testing.Short() {
		hosts, each = min(hosts, 5), 1
	}
	if c, err := from(t.Context(), "127.0.0.1:1", "127.0.0.2"); c == nil && err != nil && strings.Contains(err.Error(), "assign requested") {
		t.Skip("needs a second loopback address, which this system has not")
	}
	sink := &census{seen: map[string]int{}}
	r := start(t, &Server{TLS: testTLS(), Limits: siegeLimits})
	r.mailbox("support", sink)
	kinds := attacks()
	var names []string
	for name := range kinds {
		names = append(names, name)
	}
	before, routines := liveHeap(), runtime.NumGoroutine()

	ctx, lift := context.WithCancel(t.Context())
	var attackers sync.WaitGroup
	var begun, refused atomic.Int64
	for i := range hosts * siegeConns {
		kind, ip := names[i%len(names)], fmt.Sprintf("127.0.1.%d", 1+i%hosts)
		attackers.Go(func() {
			for ctx.Err() == nil {
				a, err := from(ctx, r.addr, ip)
				if err != nil {
					refused.Add(1)
					time.Sleep(300 * time.Millisecond) // or dialling alone fills the machine
					continue
				}
				begun.Add(1)
				cut := context.AfterFunc(ctx, func() { a.Close() })
				for ctx.Err() == nil && kinds[kind](a) == nil {
				}
				cut()
				a.Close()
			}
		})
	}

	var honest sync.WaitGroup
	var delivered atomic.Int64
	peak := uint64(0)
	ended := make(chan struct{})
	for i := range honestSenders {
		honest.Go(func() {
			for k := range each {
				id := fmt.Sprintf("honest-%d-%d", i, k)
				raw := msg(id) + strings.Repeat("All of it is here.\r\n", map[bool]int{true: 10_000}[k == each-1])
				if err := deliver(ctx, r.addr, fmt.Sprintf("127.0.2.%d", 1+i), raw); err != nil {
					t.Errorf("%s: %v", id, err)
					return
				}
				delivered.Add(1)
			}
		})
	}
	go func() { honest.Wait(); close(ended) }()
	for waiting := true; waiting; {
		select {
		case <-ended:
			waiting = false
		case <-time.After(100 * time.Millisecond):
		}
		peak = max(peak, liveHeap())
	}
	lift()
	attackers.Wait()
	require.NoError(t, r.stop())

	t.Logf("%d honest mails among %d connections of attackers and %d refused; live heap %.1f MB at most, of %.1f allowed",
		delivered.Load(), begun.Load(), refused.Load(), float64(peak-min(before, peak))/1e6, float64(siegeHeap)/1e6)
	require.EqualValues(t, honestSenders*each, delivered.Load())
	require.Less(t, peak-min(before, peak), uint64(siegeHeap))
	for i := range honestSenders {
		for k := range each {
			require.NotZero(t, sink.seen[fmt.Sprintf("honest-%d-%d@customer.example", i, k)])
		}
	}
	for _, never := range []string{"injected", "smuggled", "cut"} {
		require.Zero(t, sink.seen[never+"@customer.example"], never)
	}
	require.Eventually(t, func() bool { return runtime.NumGoroutine() <= routines }, patience, 10*time.Millisecond, "goroutines left")
	left := liveHeap()
	require.Less(t, left-min(before, left), uint64(4<<20), "memory left")
}

// deliver sends one mail as a mail server does, which tries again what is
// temporary.
func deliver(ctx context.Context, addr, ip, raw string) (err error) {
	for range 10 {
		var a *attacker
		if a, err = from(ctx, addr, ip); err == nil {
			err = a.data([]byte(raw + ".\r\n"))
			a.Close()
		}
		if err == nil {
			return nil
		}
		time.Sleep(100 * time.Millisecond)
	}
	return err
}
