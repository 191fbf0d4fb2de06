package hosted

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"
)

// undot is RFC 5321 section 4.5.2 written down as plainly as it can be: lines
// end with CR LF and nothing else, a line that is a dot is the end, and of any
// other that begins with a dot the dot is taken away.
func undot(stream string) (message, rest string, ended bool) {
	for {
		line, after, found := strings.Cut(stream, "\r\n")
		switch {
		case !found:
			return message, "", false
		case line == ".":
			return message, after, true
		}
		message += strings.TrimPrefix(line, ".") + "\r\n"
		stream = after
	}
}

// oddStreams are messages in which a careless reader sees the end somewhere
// else.
func oddStreams() []string {
	var all []string
	for _, end := range []string{
		"\r\n.\r\n", "\n.\n", "\n.\r\n", "\r\n.\n", "\r.\r", "\r\n.\r", "\n.\r", "\r.\n", "\r.\r\n", "\n\r.\r\n", "\n\r.\n\r", "\r\n.\n\r",
		"\r\r\n.\r\n", "\r\r\n.\r\r\n", "\r\n.\r\r\n", "\r\n.\r.\r\n", "\r\r.\r\r\n", "\r\n.\r\r.\r\n", "\r\n..\r\n", "\r\n..\r\r\n", "\r\n.\r\n.", "\r\n.\n.\r\n",
		"\r\n\x00.\r\n", "\r\n.\x00\r\n", "\r\x00\n.\r\n", "\r\n.\r\x00\n", "\x00\r\n.\r\n", "\r\n .\r\n", "\r\n. \r\n", "\r\n\t.\r\n",
		"\x85.\x85", "\xe2\x80\xa8.\xe2\x80\xa8", "\r\n\xef\xbb\xbf.\r\n", "\v.\v", "\f.\f", "\r\n.\u2028\r\n",
	} {
		all = append(all, end, "text"+end+"after", end+end)
	}
	return append(all, "", ".", ".\r", ".\r\n", "\r\n", "\r", "\n", "..\r\n.\r\n", ".\r\r\n.\r\n", ".\n.\r\n.\r\n")
}

// readMessage reads a message with buffers of the given size.
func readMessage(c *conn, size int) (string, error) {
	var got bytes.Buffer
	buf := make([]byte, size)
	for {
		n, err := message{c}.Read(buf)
		got.Write(buf[:n])
		if errors.Is(err, io.EOF) {
			return got.String(), nil
		}
		if err != nil {
			return got.String(), err
		}
	}
}

// checkMessage reads stream as a message and compares with the plain reading of
// the RFC, and with what go-smtp is made to see.
func checkMessage(t testing.TB, stream string, source io.Reader, size int) {
	want, rest, ended := undot(stream)
	l := Limits{}.withDefaults()
	c := script{}.wrap(source, &l)
	_, err := c.Write([]byte("354 Go ahead\r\n"))
	require.NoError(t, err)
	got, err := readMessage(c, size)
	if !ended {
		require.ErrorIs(t, err, io.ErrUnexpectedEOF, "%q", stream)
		require.True(t, c.broken())
		_, err = c.Read(make([]byte, 10))
		require.Error(t, err, "go-smtp sees no end either")
		return
	}
	require.NoError(t, err, "%q", stream)
	require.Equal(t, want, got, "%q", stream)
	seen := make([]byte, 10)
	n, err := c.Read(seen)
	require.NoError(t, err)
	require.Equal(t, ".\r\n", string(seen[:n]), "all that go-smtp sees is an end")
	// What follows is for the next command, all of it.
	c.feed = feed{unit: unitChunk, left: int64(len(rest)) + 1}
	left, err := io.ReadAll(c)
	require.NoError(t, err)
	require.Equal(t, rest, string(left), "%q", stream)
}

func TestMessageEndsWhereTheRFCSays(t *testing.T) {
	t.Parallel()
	for _, stream := range oddStreams() {
		for _, tail := range []string{"", "\r\n.\r\n", "x\r\n.\r\nNOOP\r\n"} {
			s := stream + tail
			for _, size := range []int{2, 3, 5, 64} {
				checkMessage(t, s, strings.NewReader(s), size)
				checkMessage(t, s, iotest.OneByteReader(strings.NewReader(s)), size)
				checkMessage(t, s, iotest.HalfReader(strings.NewReader(s)), size)
				checkMessage(t, s, iotest.DataErrReader(strings.NewReader(s)), size)
			}
		}
	}
}

// FuzzMessage shows for any bytes that our end of the message is that of the
// RFC, and that the message is what was sent without the stuffed dots.
func FuzzMessage(f *testing.F) {
	for _, s := range oddStreams() {
		f.Add([]byte(s+"\r\n.\r\nNOOP\r\n"), 7, false)
	}
	f.Fuzz(func(t *testing.T, data []byte, size int, slow bool) {
		if size < 2 || size > 1<<16 {
			size = 2
		}
		source := io.Reader(bytes.NewReader(data))
		if slow {
			source = iotest.HalfReader(source)
		}
		checkMessage(t, string(data), source, size)
	})
}

func TestSmugglingFormsOverTheWire(t *testing.T) {
	t.Parallel()
	const injected = "MAIL FROM:<ceo@bank.example>\r\nRCPT TO:<support@help.example>\r\nDATA\r\nSubject: forged\r\n\r\nforged\r\n"
	for i, odd := range oddStreams() {
		if _, _, ended := undot("x" + odd + "\r\n"); ended || odd == "." || odd == ".\r" {
			continue // an end as it should be, or one with the line after it
		}
		t.Run(fmt.Sprintf("%d %q", i, odd), func(t *testing.T) {
			t.Parallel()
			for _, strict := range []bool{false, true} {
				r, sink := support(t, &Server{RefuseBareNewlines: strict})
				p := r.hello()
				p.envelope("support@help.example")
				p.do("DATA", 354)
				stream := msg("1") + "one" + odd + injected + ".\r\n"
				p.send(stream)
				code, text, err := p.answer()
				require.NoError(t, err)
				p.do("NOOP", 250) // exactly one answer came
				want, _, ended := undot(stream)
				require.True(t, ended)
				bare := strings.ContainsAny(strings.ReplaceAll(want, "\r\n", ""), "\r\n")
				if strict && bare || strings.Contains(want, "\x00") {
					require.Equal(t, 550, code, text)
					require.Empty(t, sink.got())
					continue
				}
				require.Equal(t, 250, code, text)
				require.Len(t, sink.got(), 1)
				require.Equal(t, want, sink.got()[0].raw)
			}
		})
	}
}

func TestMailThatEndsWithOneCRTooManyIsTaken(t *testing.T) {
	t.Parallel()
	r, sink := support(t, &Server{})
	p := r.hello()
	p.envelope("support@help.example")
	p.do("DATA", 354)
	p.do(msg("1")+"the last line\r\r\n.", 250)
	require.Equal(t, msg("1")+"the last line\r\r\n", sink.got()[0].raw)
	p.do("NOOP", 250)
}

func TestLineThatIsTooLongIsRefusedForGood(t *testing.T) {
	t.Parallel()
	for _, lmtp := range []bool{false, true} {
		var sink recorder
		r := startProtocol(t, &Server{Limits: Limits{DataLine: 1000}}, lmtp)
		r.mailbox("support", &sink)
		p := r.dial()
		p.expect(220)
		p.do(map[bool]string{false: "EHLO", true: "LHLO"}[lmtp]+" client.example", 250)
		line := strings.Repeat("x", 998)
		code, text := p.mail(msg("1")+line+"\r\n."+line+"\r\n", "support@help.example")
		require.Equal(t, 250, code, text)
		for _, long := range []string{"x" + line + "\r\n", line + line + line, strings.Repeat(line, 1000) + "\r\nmore\r\n"} {
			p.envelope("support@help.example")
			p.do("DATA", 354)
			p.send(msg("2") + long + "\r\n..\r\nMAIL FROM:<>\r\n.\r\n")
			text := p.expect(554)
			require.Contains(t, text, "5.6.0")
			require.Contains(t, text, "1000")
		}
		code, text = p.mail(msg("3"), "support@help.example")
		require.Equal(t, 250, code, "the session is in step: "+text)
		require.Len(t, sink.got(), 2)
	}
}

func TestRefusedMessageIsReadOnOnlySoFar(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		send func(p *peer, n int)
	}{
		{"data", func(p *peer, n int) {
			p.do("DATA", 354)
			p.try(msg("1") + strings.Repeat("All of it is here.\r\n", n/20) + ".\r\n")
		}},
		{"chunk", func(p *peer, n int) {
			p.try(fmt.Sprintf("BDAT %d LAST\r\n", n) + strings.Repeat("x", n))
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			r, sink := support(t, &Server{Limits: Limits{MessageBytes: 10_000, Discard: 50_000}})
			p := r.hello()
			p.envelope("support@help.example")
			tc.send(p, 50_000)
			p.expect(552)
			p.envelope("support@help.example")
			tc.send(p, 200_000)
			p.expect(552)
			require.Subset(t, []int{421}, p.closed())
			require.Empty(t, sink.got())
		})
	}
}

func TestChunkOfUnknownLengthEndsTheConnection(t *testing.T) {
	t.Parallel()
	for _, command := range []string{"BDAT", "BDAT ", "BDAT x", "BDAT 3 4", "BDAT -1", "BDAT 99999999999 LAST", "BDAT\t5", "BDAT 5 LAST x"} {
		t.Run(command, func(t *testing.T) {
			t.Parallel()
			r, sink := support(t, &Server{})
			p := r.hello()
			p.envelope("support@help.example")
			p.try(command + "\r\nRSET\r\nMAIL FROM:<>\r\nRCPT TO:<support@help.example>\r\nDATA\r\n" + msg("1") + ".\r\n")
			codes := p.closed()
			require.Len(t, codes, 1, "what follows may be the chunk")
			require.Contains(t, []int{500, 501}, codes[0])
			require.Empty(t, sink.got())
		})
	}
}
