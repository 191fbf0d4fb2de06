package account

import (
	"bufio"
	"bytes"
	"io"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"github.com/stretchr/testify/require"
)

// undot is the server's side of RFC 5321 section 4.5.2.
func undot(wire []byte) []byte {
	var out []byte
	for line := range bytes.SplitAfterSeq(wire, []byte("\r\n")) {
		out = append(out, bytes.TrimPrefix(line, []byte("."))...)
	}
	return out
}

// normal is content with every line end as CRLF, the last line ended.
func normal(in []byte) []byte {
	s := strings.NewReplacer("\r\n", "\r\n", "\r", "\r\n", "\n", "\r\n").Replace(string(in))
	if s != "" && !strings.HasSuffix(s, "\r\n") {
		s += "\r\n"
	}
	return []byte(s)
}

func FuzzContentNeverEndsItself(f *testing.F) {
	for _, s := range []string{
		"", ".", "a", ".\r\n", "a\r\n.\r\nMAIL FROM:<x@y>\r\n", "a\n.\nb", "a\r.\rb", "a\r\n.\nb", "a\n.\r\nb", "\r", "..\r\n..", "a\r\r\n.\r\n",
	} {
		f.Add([]byte(s), 3)
	}
	f.Fuzz(func(t *testing.T, in []byte, cut int) {
		var wire bytes.Buffer
		w := newDotWriter(&wire)
		// In two writes, so that state over the border is tested too.
		n := 0
		if len(in) > 0 {
			n = int(uint(cut) % uint(len(in)+1))
		}
		w.Write(in[:n])
		w.Write(in[n:])
		require.NoError(t, w.finish())
		got := wire.Bytes()
		require.NotContains(t, "\r\n"+string(got), "\r\n.\r\n")
		require.NotContains(t, strings.ReplaceAll(string(got), "\r\n", ""), "\r")
		require.NotContains(t, strings.ReplaceAll(string(got), "\r\n", ""), "\n")
		require.Equal(t, string(normal(in)), string(undot(got)))
		require.EqualValues(t, len(normal(in)), w.written)
		look := newSurvey()
		look.Write(in)
		look.finish()
		require.Equal(t, w.written, look.written)
	})
}

func FuzzReply(f *testing.F) {
	for _, s := range []string{
		"250 ok\r\n", "250-a\r\n250 b\r\n", "550 5.1.1 no\n", "250\r\n", "99 x\r\n", "250-a\r\n251 b\r\n", "\r\n", "250_x\r\n", "250-a\r\n",
		"550-5.1.1 a\r\n550 5.1.1 b\r\n", "450 5.1.1 x\r\n", "550 5.1 x\r\n", "550 5..1 x\r\n", "600 x\r\n",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		r, err := readReply(bufio.NewReader(bytes.NewReader(in)))
		if err != nil {
			return
		}
		require.GreaterOrEqual(t, r.code, 200)
		require.Less(t, r.code, 600)
		require.NotEmpty(t, r.lines)
		text := r.text(nil)
		require.True(t, utf8.ValidString(text))
		require.LessOrEqual(t, utf8.RuneCountInString(text), maxReason)
		require.False(t, strings.ContainsFunc(text, unicode.IsControl))
	})
}

func TestReplies(t *testing.T) {
	t.Parallel()
	read := func(s string) (reply, error) { return readReply(bufio.NewReader(strings.NewReader(s))) }
	r, err := read("550-5.1.1 The user\r\n550-5.1.1 does not\r\n550 5.1.1 exist\r\nnext")
	require.NoError(t, err)
	require.Equal(t, "5.1.1", r.enhanced)
	require.Equal(t, "550 5.1.1 The user does not exist", r.text(nil))
	r, err = read("450 5.1.1 lies\r\n")
	require.NoError(t, err)
	require.Empty(t, r.enhanced, "it contradicts the code")
	_, err = read("250 cut off")
	require.ErrorIs(t, err, io.ErrUnexpectedEOF)
	_, err = read("220-a\r\n554 b\r\n")
	require.ErrorIs(t, err, errProtocol)
}

func TestSurvey(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		mail         string
		header, body bool
	}{
		"ASCII":                 {"Subject: x\r\n\r\nbody\r\n", false, false},
		"header":                {"To: ễ@x\r\n\r\nbody\r\n", true, false},
		"body":                  {"Subject: x\r\n\r\nbộdy\r\n", false, true},
		"body after a bare end": {"Subject: x\n\nbộdy\n", false, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newSurvey()
			for _, b := range []byte(c.mail) {
				s.Write([]byte{b})
			}
			require.Equal(t, c.header, s.headerUTF8)
			require.Equal(t, c.body, s.bodyUTF8)
		})
	}
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"localhost", "LOCALHOST.", "127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"} {
		require.True(t, isLoopback(host), host)
	}
	for _, host := range []string{"", "localhost.example.com", "128.0.0.1", "127.0.0.1.example.com", "10.0.0.1", "0.0.0.0"} {
		require.False(t, isLoopback(host), host)
	}
}
