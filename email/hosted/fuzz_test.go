package hosted

import (
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"
)

// FuzzSession sends bytes as a peer would and closes its half. Whatever they
// are, the server answers and ends the connection, and has acknowledged exactly
// the messages that the sink took.
func FuzzSession(f *testing.F) {
	var sink recorder
	r := start(f, &Server{Limits: Limits{
		ConnectionRate: -1, ConnectionsPerIP: -1, UnknownDelay: -1, MessageBytes: 1 << 16, MemoryBytes: 1 << 10,
	}})
	r.mailbox("support", &sink, acme)
	const begin = "EHLO c.example\r\nMAIL FROM:<jane@customer.example>\r\nRCPT TO:<support@help.example>\r\n"
	for _, seed := range []string{
		begin + "DATA\r\n" + msg("1") + ".\r\nQUIT\r\n",
		begin + fmt.Sprintf("BDAT %d LAST\r\n%s", len(msg("2")), msg("2")) + "NOOP\r\n",
		begin + "BDAT 4\r\nabcdBDAT 0 LAST\r\nRSET\r\n",
		begin + "BDAT 400 LAST\r\nabcd",
		begin + "BDAT 0\r\nRSET\r\n" + begin + "BDAT 1 LAST\r\nx",
		begin + "MAIL FROM:<>\r\nDATA\r\n..\r\n\n.\nMAIL FROM:<>\r\n\r\n.\r\n",
		"EHLO\r\nHELO x\r\nLHLO y\r\nVRFY z\r\nSTARTTLS\r\n\x16\x03\x01",
		"EHLO x\r\nMAIL FROM:<a@b> SIZE=99999999999 BODY=8BITMIME SMTPUTF8\r\nRCPT TO:<fwd-k7q2m9x4k7q2m9x4@help.example> NOTIFY=NEVER\r\n",
		"\x00\xff\r\r\n\n" + strings.Repeat("A", 5000),
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		before := sink.accepted()
		c, err := net.Dial("tcp", r.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(patience))
		go func() {
			c.Write(data) // the server may close first
			c.(*net.TCPConn).CloseWrite()
		}()
		answers, err := io.ReadAll(c)
		if ne := net.Error(nil); errors.As(err, &ne) && ne.Timeout() {
			t.Fatalf("the connection did not end; answers %q", answers)
		}
		if err != nil {
			return // reset: the last answers are lost
		}
		if acked := strings.Count(string(answers), "OK: queued as "); acked != sink.accepted()-before {
			t.Fatalf("%d acknowledged, %d taken; answers %q", acked, sink.accepted()-before, answers)
		}
	})
}

func (r *recorder) accepted() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.calls
}
