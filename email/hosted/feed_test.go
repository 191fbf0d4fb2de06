package hosted

import (
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"github.com/stretchr/testify/require"
)

// script is a socket that has received something already.
type script struct {
	net.Conn
	io.Reader
}

func (s script) Read(p []byte) (int, error)     { return s.Reader.Read(p) }
func (script) Write(p []byte) (int, error)      { return len(p), nil }
func (script) Close() error                     { return nil }
func (script) SetReadDeadline(time.Time) error  { return nil }
func (script) SetWriteDeadline(time.Time) error { return nil }
func (script) SetDeadline(time.Time) error      { return nil }
func (script) RemoteAddr() net.Addr             { return nil }
func (script) wrap(r io.Reader, l *Limits) *conn {
	return newConn(script{Reader: r}, l, nil, 0, func() {})
}

func TestOneCommandOrMessageIsFedAtATime(t *testing.T) {
	t.Parallel()
	units := []string{
		"EHLO client.example\r\n", "MAIL FROM:<>\r\n", "NOOP\n", "\r\n",
		"BDAT 7\r\n", "QUIT\r\nx", "bdat 5 last\r\n", ".\r\n\r\n", "BDAT 0 LAST\r\n", "RSET\r\n",
		"DATA\r\n", "a\r\n..\r\n.x\r\n\n.\n\r.\r\r\n.\r.\r\n\r\n.\r\n", "NOOP\r\n",
		"DATA\r\n", ".\r\n", "NOOP\r\n",
		"DATA\r\n", strings.Repeat("long ", 10_000) + "\r\n.\r\n", "QUIT\r\n",
	}
	all := strings.Join(units, "")
	for i := range units {
		if i > 0 && units[i-1] == "DATA\r\n" {
			units[i] = ".\r\n" // all of a message that go-smtp sees
		}
	}
	for name, r := range map[string]io.Reader{
		"all at once":  strings.NewReader(all),
		"byte by byte": iotest.OneByteReader(strings.NewReader(all)),
		"in halves":    iotest.HalfReader(strings.NewReader(all)),
		"end with it":  iotest.DataErrReader(strings.NewReader(all)),
	} {
		l := Limits{}.withDefaults()
		c := script{}.wrap(r, &l)
		buf := make([]byte, 64<<10)
		for i, want := range units {
			if i > 0 && units[i-1] == "DATA\r\n" {
				_, err := c.Write([]byte("354 Go ahead\r\n"))
				require.NoError(t, err)
			}
			got := ""
			for len(got) < len(want) {
				n, err := c.Read(buf)
				require.NoError(t, err, "%s: %q", name, want)
				got += string(buf[:n])
			}
			require.Equal(t, want, got, name)
			require.False(t, c.broken(), "%s: nothing beyond %q was asked for", name, want)
		}
		_, err := c.Read(buf)
		require.ErrorIs(t, err, io.EOF)
		require.True(t, c.broken())
	}
}

func TestShortReadsGetTheWholeLine(t *testing.T) {
	t.Parallel()
	l := Limits{}.withDefaults()
	c := script{}.wrap(strings.NewReader("BDAT 3\r\nabcNOOP\r\n"), &l)
	got, err := io.ReadAll(iotest.OneByteReader(c))
	require.NoError(t, err)
	require.Equal(t, "BDAT 3\r\nabcNOOP\r\n", string(got))
}

func TestEmptyChunkThatIsNotTheLastEndsTheConnection(t *testing.T) {
	t.Parallel()
	r, _ := support(t, &Server{})
	p := r.hello()
	p.envelope("support@help.example")
	p.send("BDAT 0\r\nRSET\r\n")
	require.Equal(t, []int{421}, p.closed())
}

// go-smtp hands the result of a message whose chunks were reset to the next one
// that comes in chunks, and can then wait for ever.
func TestChunksThatWereResetLeaveNothingBehind(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"RSET", "QUIT", "EHLO x"} {
		for _, chunk := range []string{"BDAT 0\r\n", "BDAT 1\r\nx", "BDAT 0\r\nBDAT 0\r\n"} {
			t.Run(fmt.Sprintf("%s %q", end, chunk), func(t *testing.T) {
				t.Parallel()
				r, sink := support(t, &Server{})
				for range 5 {
					p := r.hello()
					p.envelope("support@help.example")
					p.try(chunk + end + "\r\nMAIL FROM:<>\r\nRCPT TO:<support@help.example>\r\n" +
						fmt.Sprintf("BDAT %d LAST\r\n%s", len(msg("1")), msg("1")))
					p.closed()
				}
				require.Empty(t, sink.got())
			})
		}
	}
}
