package emailtest_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/email/emailtest"
)

// imapClient speaks raw IMAP.
type imapClient struct {
	t    *testing.T
	conn net.Conn
	r    *bufio.Reader
	n    int
}

func dialIMAP(t *testing.T, srv *emailtest.IMAP) *imapClient {
	t.Helper()
	conn, err := net.Dial("tcp", srv.Addr())
	require.NoError(t, err)
	t.Cleanup(func() { conn.Close() })
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	c := &imapClient{t: t, conn: conn, r: bufio.NewReader(conn)}
	require.True(t, strings.HasPrefix(c.line(), "* OK "))
	return c
}

func (c *imapClient) line() string {
	c.t.Helper()
	s, err := c.r.ReadString('\n')
	require.NoError(c.t, err)
	return strings.TrimRight(s, "\r\n")
}

// do sends a command and returns all of the answer.
func (c *imapClient) do(command string) string {
	c.t.Helper()
	c.n++
	tag := fmt.Sprintf("a%d", c.n)
	_, err := fmt.Fprintf(c.conn, "%s %s\r\n", tag, command)
	require.NoError(c.t, err)
	var b strings.Builder
	for {
		s := c.line()
		b.WriteString(s + "\n")
		if strings.HasPrefix(s, tag+" ") {
			return b.String()
		}
	}
}

func letter(n int) []byte {
	return fmt.Appendf(nil, "From: a@c.example\r\nMessage-ID: <m%d@c.example>\r\nSubject: %d\r\n\r\nbody %d\r\n", n, n, n)
}

func TestIMAPServesAFolder(t *testing.T) {
	t.Parallel()
	srv := emailtest.NewIMAP(t, emailtest.IMAPWithUser("u", `p"w\d`))
	at := time.Date(2026, 11, 20, 10, 0, 0, 0, time.UTC)
	for n := range 3 {
		require.EqualValues(t, n+1, srv.Add("INBOX", letter(n), at.AddDate(0, 0, n)))
	}
	c := dialIMAP(t, srv)
	require.Contains(t, c.do(`LOGIN u wrong`), "NO [AUTHENTICATIONFAILED]")
	require.Contains(t, c.do(`EXAMINE INBOX`), "NO log in first")
	require.Contains(t, c.do(`LOGIN u "p\"w\\d"`), "OK ")
	require.Contains(t, c.do(`LIST "" "*"`), `* LIST (\HasNoChildren \Sent) "/" "Sent"`)
	require.Contains(t, c.do(`EXAMINE INBOX`), "* 3 EXISTS")
	require.Contains(t, c.do(`UID SEARCH UID 2:*`), "* SEARCH 2 3\n")
	require.Contains(t, c.do(`UID SEARCH UID 99:*`), "* SEARCH 3\n", "RFC 9051 section 6.4.9")
	require.Contains(t, c.do(`UID SEARCH RETURN (ALL) UID 1:* SINCE 21-Nov-2026`), `* ESEARCH (TAG "a8") UID ALL 2,3`)
	require.Contains(t, c.do(`UID SEARCH HEADER Message-ID "<m1@c.example>"`), "* SEARCH 2\n")
	got := c.do(`UID FETCH 1 (UID RFC822.SIZE INTERNALDATE BODY.PEEK[HEADER.FIELDS ("Subject")] BODY.PEEK[]<5.10>)`)
	require.Contains(t, got, "* 1 FETCH (UID 1 RFC822.SIZE ")
	require.Contains(t, got, `INTERNALDATE "20-Nov-2026 10:00:00 +0000"`)
	require.Contains(t, got, "BODY[HEADER.FIELDS (\"Subject\")] {14}\nSubject: 0\n\n BODY[]<5> {10}\n a@c.examp)\n")
	require.Contains(t, c.do(`UID STORE 1 +FLAGS.SILENT (\Seen)`), "NO the folder is open for reading only")
	require.Contains(t, c.do(`SELECT INBOX`), "[READ-WRITE]")
	require.Contains(t, c.do(`UID STORE 1:2 +FLAGS.SILENT (\Deleted)`), "OK")
	require.Contains(t, c.do(`UID COPY 1 Nowhere`), "NO [TRYCREATE]")
	require.Contains(t, c.do(`UID MOVE 3 Archive`), "* 3 EXPUNGE")
	require.Contains(t, c.do(`UID EXPUNGE 2`), "* 2 EXPUNGE")
	require.Len(t, srv.Mails("INBOX"), 1)
	require.Len(t, srv.Mails("Archive"), 1)
	_, err := fmt.Fprintf(c.conn, "x APPEND Sent (\\Seen) {%d}\r\n", len(letter(7)))
	require.NoError(t, err)
	require.Equal(t, "+ go on", c.line())
	_, err = fmt.Fprintf(c.conn, "%s\r\n", letter(7))
	require.NoError(t, err)
	require.Contains(t, c.line(), "x OK [APPENDUID")
	require.Equal(t, letter(7), srv.Mails("Sent")[0].Raw)
	require.Equal(t, []string{`\Seen`}, srv.Mails("Sent")[0].Flags)
	require.NotContains(t, strings.Join(srv.Commands(), "\n"), `p"w`)
}

func TestIMAPTellsWhoIdles(t *testing.T) {
	t.Parallel()
	srv := emailtest.NewIMAP(t)
	c := dialIMAP(t, srv)
	c.do("EXAMINE INBOX")
	fmt.Fprint(c.conn, "i IDLE\r\n")
	require.Equal(t, "+ idling", c.line())
	require.Eventually(t, func() bool { return srv.Idling() == 1 }, 10*time.Second, time.Millisecond)
	srv.Add("INBOX", letter(1), time.Now())
	require.Equal(t, "* 1 EXISTS", c.line())
	srv.Announce("INBOX")
	require.Equal(t, "* 1 EXISTS", c.line())
	srv.Remove("INBOX", 1)
	require.Equal(t, "* 1 EXPUNGE", c.line())
	fmt.Fprint(c.conn, "DONE\r\n")
	require.Equal(t, "i OK done", c.line())
}

func TestIMAPFailsByItsScript(t *testing.T) {
	t.Parallel()
	srv := emailtest.NewIMAP(t)
	srv.Add("INBOX", letter(1), time.Now())
	srv.Add("INBOX", letter(2), time.Now())
	srv.Fault(emailtest.Fault{At: emailtest.AtSearch, Reply: "NO [LIMIT] slow down", Times: 1})
	srv.Fault(emailtest.Fault{At: emailtest.AtFetch, UID: 2, Reply: "NO cannot"})
	srv.Fault(emailtest.Fault{At: emailtest.AtNoop, Untagged: "VANISHED 1:3"})
	srv.Fault(emailtest.Fault{At: emailtest.AtLiteral, Bytes: 4, Drop: true})
	c := dialIMAP(t, srv)
	first := c.do("EXAMINE INBOX")
	require.Contains(t, c.do("UID SEARCH UID 1:*"), "NO [LIMIT] slow down")
	require.Contains(t, c.do("UID SEARCH UID 1:*"), "* SEARCH 1 2")
	require.Contains(t, c.do("UID FETCH 1:2 (UID)"), "NO cannot")
	require.Contains(t, c.do("UID FETCH 1 (UID)"), "OK")
	require.Contains(t, c.do("NOOP"), "* VANISHED 1:3")
	fmt.Fprint(c.conn, "l UID FETCH 1 (BODY.PEEK[])\r\n")
	rest, err := io.ReadAll(c.r)
	require.NoError(t, err)
	require.True(t, strings.HasSuffix(string(rest), "}\r\nFrom"), "%q", rest)
	srv.Heal()
	srv.Renumber("INBOX")
	second := dialIMAP(t, srv).do("EXAMINE INBOX")
	require.Contains(t, first, "[UIDVALIDITY 1000]")
	require.Contains(t, second, "[UIDVALIDITY 2000]")
	srv.Close()
	srv.Close()
}
