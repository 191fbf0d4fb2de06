package email_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

const plainHeader = "From: Ann <ann@example.com>\r\nTo: support@help.example\r\nSubject: S\r\nDate: Mon, 4 Nov 2024 10:30:00 +0700\r\nMessage-ID: <m@example.com>\r\n"

func read(t testing.TB, raw string) *email.Mail {
	t.Helper()
	m, err := email.Read(channel.Bytes(raw))
	require.NoError(t, err)
	checkMail(t, channel.Bytes(raw), m)
	return m
}

func TestNestedMultipartsAreBounded(t *testing.T) {
	t.Parallel()
	for _, depth := range []int{email.MaxDepth, email.MaxDepth + 1, 5000} {
		var b strings.Builder
		b.WriteString(plainHeader)
		for i := range depth {
			fmt.Fprintf(&b, "Content-Type: multipart/mixed; boundary=b%d\r\n\r\n--b%d\r\n", i, i)
		}
		b.WriteString("Content-Type: text/plain\r\n\r\nHello\r\n")
		m := read(t, b.String())
		if depth <= email.MaxDepth {
			require.Equal(t, "Hello", m.Text)
			continue
		}
		require.Len(t, m.Attachments, 1)
		require.Contains(t, strings.Join(m.Defects, "\n"), "nested deeper")
	}
}

func TestManyPartsAreBounded(t *testing.T) {
	t.Parallel()
	raw := plainHeader + "Content-Type: multipart/mixed; boundary=b\r\n\r\n" + strings.Repeat("--b\r\nContent-Type: a/b\r\n\r\nx\r\n", 20_000)
	m := read(t, raw)
	require.Len(t, m.Attachments, email.MaxParts)
	require.Contains(t, strings.Join(m.Defects, "\n"), "more than 1000 parts")
}

func TestLongTextIsCutWithADefect(t *testing.T) {
	t.Parallel()
	m := read(t, plainHeader+"\r\n"+strings.Repeat("chào bạn\r\n", 120_000))
	require.LessOrEqual(t, len(m.Text), email.MaxText)
	require.Equal(t, []string{"text over the limit: the end was cut off"}, m.Defects)

	part := "--b\r\nContent-Type: text/plain\r\n\r\n" + strings.Repeat("x", 500<<10) + "\r\n"
	m = read(t, plainHeader+"Content-Type: multipart/mixed; boundary=b\r\n\r\n"+strings.Repeat(part, 20))
	require.LessOrEqual(t, len(m.Text), email.MaxTextTotal+100)
}

func TestALargeAttachmentIsNotHeldInMemory(t *testing.T) { //nolint:paralleltest // it measures the heap
	raw := &generated{head: plainHeader + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee\r\n--b\r\nContent-Type: application/pdf; name=big.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n",
		line: strings.Repeat("QUJD", 19) + "\r\n", lines: 1 << 16, tail: "--b--\r\n"}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	m, err := email.Read(raw)
	runtime.ReadMemStats(&after)
	require.NoError(t, err)
	require.Len(t, m.Attachments, 1)
	require.EqualValues(t, 57<<16, m.Attachments[0].Size)
	require.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(1<<20), "5 MB of mail")
}

// generated is a large mail that exists only while it is read.
type generated struct {
	head, line, tail string
	lines            int
}

func (g *generated) Size() int64 {
	return int64(len(g.head) + len(g.line)*g.lines + len(g.tail))
}

func (g *generated) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(strings.NewReader(g.head), &repeated{line: g.line, left: g.lines * len(g.line)}, strings.NewReader(g.tail))), nil
}

type repeated struct {
	line string
	left int
	off  int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), r.left)], r.line[r.off:])
	r.off = (r.off + n) % len(r.line)
	r.left -= n
	return n, nil
}

var errDisk = errors.New("disk on fire")

// brokenBody fails after some bytes.
type brokenBody struct{ channel.Bytes }

func (b brokenBody) Open() (io.ReadCloser, error) {
	return io.NopCloser(io.MultiReader(bytes.NewReader(b.Bytes), failingReader{})), nil
}

type failingReader struct{}

func (failingReader) Read([]byte) (int, error) { return 0, errDisk }

func TestAnErrorOfReadingIsReturnedBesideWhatWasRead(t *testing.T) {
	t.Parallel()
	m, err := email.Read(brokenBody{channel.Bytes(plainHeader + "\r\nHello\r\n")})
	require.ErrorIs(t, err, errDisk)
	require.Equal(t, "S", m.Subject)
	m, err = email.Read(nil)
	require.Error(t, err)
	require.NotNil(t, m)
	m, err = email.Read(failingBody{})
	require.ErrorIs(t, err, errBroken)
	require.NotNil(t, m)
}

func TestBoundariesAcrossBufferEnds(t *testing.T) {
	t.Parallel()
	// The line end before a boundary may be cut by any buffer.
	for pad := 64<<10 - 140; pad < 64<<10; pad++ {
		body := strings.Repeat("x", pad)
		raw := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: a/b\r\n\r\n" + body + "\r\n--b\r\n\r\ntext\r\n--b--\r\n"
		m, err := email.Read(channel.Bytes(raw))
		require.NoError(t, err)
		require.Len(t, m.Attachments, 1, pad)
		require.EqualValues(t, pad, m.Attachments[0].Size)
		require.Equal(t, "text", m.Text)
		require.Equal(t, body, raw[m.Attachments[0].Window.Offset:][:m.Attachments[0].Window.Length])
	}
}

func TestCopiesOfOneMailHaveOneContentKey(t *testing.T) {
	t.Parallel()
	body := "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\nContent-Type: text/plain; charset=utf-8\r\n\r\nchào\r\nbạn\r\n--b\r\nContent-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nUERG\r\n--b--\r\n"
	one := read(t, plainHeader+body)
	for name, raw := range map[string]string{
		"trace headers": "Return-Path: <x@y>\r\nReceived: from a by b\r\nDelivered-To: x\r\nX-Forwarded-For: a b\r\nARC-Seal: i=1\r\n" + plainHeader + body,
		"LF":            strings.ReplaceAll(plainHeader+body, "\r\n", "\n"),
		"folded":        strings.Replace(plainHeader, "Subject: S", "Subject:\r\n S", 1) + body,
		"encoded word":  strings.Replace(plainHeader, "Subject: S", "Subject: =?utf-8?q?S?=", 1) + body,
		"date form":     strings.Replace(plainHeader, "10:30:00 +0700", "03:30:00 +0000", 1) + body,
		"recoded":       plainHeader + strings.Replace(body, "charset=utf-8\r\n\r\nchào\r\nbạn", "charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nch=C3=A0o\r\nb=E1=BA=A1n", 1),
		"last line end": plainHeader + body + "\r\n\r\n",
	} {
		require.Equal(t, one.ContentKey, read(t, raw).ContentKey, name)
	}
	for name, raw := range map[string]string{
		"text":    plainHeader + strings.Replace(body, "bạn", "ban", 1),
		"file":    plainHeader + strings.Replace(body, "UERG", "UERH", 1),
		"subject": strings.Replace(plainHeader, "Subject: S", "Subject: T", 1) + body,
		"from":    strings.Replace(plainHeader, "ann@", "eve@", 1) + body,
		"id":      strings.Replace(plainHeader, "<m@", "<n@", 1) + body,
	} {
		require.NotEqual(t, one.ContentKey, read(t, raw).ContentKey, name)
	}
	require.True(t, strings.HasPrefix(string(one.ContentKey), "content:"))
}

func TestEqualMailsOfARobotWithoutIDAndDateAreTwo(t *testing.T) {
	t.Parallel()
	a := read(t, "Received: from a; Mon, 4 Nov 2024 10:30:00 +0700\r\nFrom: robot@example.com\r\n\r\nalarm\r\n")
	b := read(t, "Received: from a; Mon, 4 Nov 2024 10:31:00 +0700\r\nFrom: robot@example.com\r\n\r\nalarm\r\n")
	require.NotEqual(t, a.ContentKey, b.ContentKey)
	require.True(t, strings.HasPrefix(string(a.ContentKey), "raw:"))
}

func TestHeaderGetValuesAndHasIgnoreCase(t *testing.T) {
	t.Parallel()
	m := read(t, "X-A: 1\r\nx-a: 2\r\n"+plainHeader+"\r\n")
	require.Equal(t, "1", m.Header.Get("x-A"))
	require.Equal(t, []string{"1", "2"}, m.Header.Values("X-a"))
	require.True(t, m.Header.Has("message-id"))
	require.False(t, m.Header.Has("nothing"))
	require.Empty(t, m.Header.Get("nothing"))
}

func TestWindowsOfBrokenBase64ReadAsMeasured(t *testing.T) {
	t.Parallel()
	m := read(t, plainHeader+"Content-Type: application/pdf\r\nContent-Transfer-Encoding: base64\r\n\r\nUE!RG\r\n=\r\nfooter\r\n")
	require.Len(t, m.Attachments, 1)
	require.EqualValues(t, 3, m.Attachments[0].Size)
}
