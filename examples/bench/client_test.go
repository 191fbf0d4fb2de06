package bench

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// fleet is a number of open connections that bring mail.
type fleet struct {
	b     testing.TB
	conns []*client
}

// client speaks as much SMTP as a mail server does that knows PIPELINING.
type client struct {
	net.Conn
	r *bufio.Reader
}

func dial(b testing.TB, addr string, n int) *fleet {
	f := &fleet{b: b}
	for range n {
		c, err := net.Dial("tcp", addr)
		require.NoError(b, err)
		b.Cleanup(func() { c.Close() })
		x := &client{c, bufio.NewReader(c)}
		require.NoError(b, x.expect("220"))
		_, err = c.Write([]byte("EHLO client.example\r\n"))
		require.NoError(b, err)
		require.NoError(b, x.expect("250"))
		f.conns = append(f.conns, x)
	}
	return f
}

// expect reads one reply, of one line or more.
func (c *client) expect(code string) error {
	for {
		line, err := c.r.ReadSlice('\n')
		if err != nil {
			return err
		}
		if len(line) < 4 || string(line[:3]) != code {
			return fmt.Errorf("got %q, want %s", line, code)
		}
		if line[3] == ' ' {
			return nil
		}
	}
}

// expectAfter says a command and reads its reply.
func (c *client) expectAfter(command, code string) error {
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		return err
	}
	return c.expect(code)
}

// send sends one mail and returns how long the server took from the final dot
// to its answer.
func (c *client) send(from string, mail []byte) (time.Duration, error) {
	_, err := fmt.Fprintf(c, "MAIL FROM:<%s>\r\nRCPT TO:<support@help.example>\r\nDATA\r\n", from)
	if err == nil {
		err = errors.Join(c.expect("250"), c.expect("250"), c.expect("354"))
	}
	if err != nil {
		return 0, err
	}
	if _, err := c.Write(mail); err != nil {
		return 0, err
	}
	began := time.Now()
	err = c.expect("250")
	return time.Since(began), err
}

// tally is what some mails have cost.
type tally struct {
	n     int
	took  time.Duration
	cpu   time.Duration
	bytes uint64
	acks  []time.Duration
}

// run sends n mails over all connections and adds what they cost to t.
func (f *fleet) run(n int, serial *atomic.Int64, compose func(serial int64) []byte, t *tally) {
	f.b.Helper()
	var mu sync.Mutex
	var left atomic.Int64
	left.Store(int64(n))
	cpu, bytes := used()
	began := time.Now()
	var wg sync.WaitGroup
	for _, c := range f.conns {
		wg.Go(func() {
			acks := make([]time.Duration, 0, n/len(f.conns)+1)
			for left.Add(-1) >= 0 {
				k := serial.Add(1)
				d, err := c.send(address(k), compose(k))
				if err != nil {
					f.b.Error(err)
					return
				}
				acks = append(acks, d)
			}
			mu.Lock()
			defer mu.Unlock()
			t.acks = append(t.acks, acks...)
		})
	}
	wg.Wait()
	t.took += time.Since(began)
	t.n += n
	cpu2, bytes2 := used()
	t.cpu += cpu2 - cpu
	t.bytes += bytes2 - bytes
}

func (t *tally) p99() time.Duration {
	slices.Sort(t.acks)
	return t.acks[len(t.acks)*99/100]
}

func address(serial int64) string { return fmt.Sprintf("customer%d@shop.example", serial) }

// used returns the processor time and the bytes allocated so far.
func used() (time.Duration, uint64) {
	var u syscall.Rusage
	_ = syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), allocated()
}

const headers = "From: =?utf-8?q?Nguy=E1=BB=85n_V=C4=83?= An <%s>\r\nTo: Support <support@help.example>\r\n" +
	"Subject: =?utf-8?q?=C4=90=C6=A1n_h=C3=A0ng?= %d\r\nDate: Sun, 01 Mar 2026 12:00:00 +0700\r\n" +
	"Message-ID: <%d@shop.example>\r\nMIME-Version: 1.0\r\n"

// text is a mail of 2 KB of plain text.
func text() func(serial int64) []byte {
	body := strings.Repeat("The parcel has not arrived yet; c\xc3\xb3 th\xe1\xbb\x83 xem gi\xc3\xbap t\xc3\xb4i kh\xc3\xb4ng?\r\n", 28)
	return func(serial int64) []byte {
		return fmt.Appendf(nil, headers+"Content-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\r\n"+
			"Order %d.\r\n%s.\r\n", address(serial), serial, serial, serial, body)
	}
}

// paragraph is the markup that mail programs write around a little text.
const paragraph = `<p class=3D"MsoNormal" style=3D"margin:0cm 0cm 8pt;line-height:107%%;font-=` + "\r\n" +
	`size:11pt;font-family:Calibri,sans-serif"><span lang=3D"EN-US" style=3D"font=` + "\r\n" +
	`-family:&quot;Segoe UI&quot;">The parcel %d has not arrived yet, please look in=` + "\r\n" +
	`to it; th=C3=B4ng tin &amp; <b>h=C3=B3a =C4=91=C6=A1n</b> at <a href=3D"https://shop.example/o/%d">yo=` + "\r\n" +
	`ur shop</a>.<o:p></o:p></span></p>` + "\r\n"

// html is a mail of 30 KB of HTML in quoted-printable, alone or beside its text.
func html(alternative bool) func(serial int64) []byte {
	var page strings.Builder
	page.WriteString("<html><head><style>p.MsoNormal {margin:0cm}</style></head><body lang=3D\"VI\">\r\n")
	for i := 0; page.Len() < 30_000; i++ {
		fmt.Fprintf(&page, paragraph, i, i)
	}
	page.WriteString("</body></html>\r\n")
	const kind = "Content-Type: text/html; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\n"
	plain := strings.Repeat("The parcel has not arrived yet, please look into it.\r\n", 60)
	return func(serial int64) []byte {
		m := fmt.Appendf(nil, headers, address(serial), serial, serial)
		if !alternative {
			return append(append(append(m, kind...), page.String()...), ".\r\n"...)
		}
		m = fmt.Appendf(m, "Content-Type: multipart/alternative; boundary=b%d\r\n\r\n--b%d\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n%s\r\n--b%d\r\n",
			serial, serial, plain, serial)
		m = append(append(m, kind...), page.String()...)
		return fmt.Appendf(m, "--b%d--\r\n.\r\n", serial)
	}
}
