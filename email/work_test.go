package email_test

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/iotest"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// counted counts how often and how far a mail is read.
type counted struct {
	channel.Bytes
	opens int
	read  int64
}

func (c *counted) Open() (io.ReadCloser, error) {
	c.opens++
	return io.NopCloser(io.TeeReader(bytes.NewReader(c.Bytes), c)), nil
}

func (c *counted) Write(p []byte) (int, error) {
	c.read += int64(len(p))
	return len(p), nil
}

func TestAMailIsReadOnce(t *testing.T) {
	t.Parallel()
	for _, b := range benchMails() {
		raw := &counted{Bytes: b.raw}
		m, err := email.Read(raw)
		require.NoError(t, err)
		email.Item(raw, m, email.Context{Own: ours})
		require.Equal(t, 1, raw.opens, b.name)
		require.EqualValues(t, len(b.raw), raw.read, b.name)
	}
}

func TestTwentyLargeMailsAtOnceNeedLittleMemory(t *testing.T) { //nolint:paralleltest // it measures the heap
	raw := &generated{head: plainHeader + "Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee\r\n--b\r\nContent-Type: application/pdf; name=big.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n",
		line: strings.Repeat("QUJD", 19) + "\r\n", lines: 1 << 14, tail: "--b--\r\n"}
	sum := allocated(func() {
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if m, err := email.Read(raw); err != nil || len(m.Attachments) != 1 {
					t.Errorf("read: %v", err)
				}
			})
		}
		wg.Wait()
	})
	require.Less(t, sum, uint64(20*256<<10), "25 MB of mail")
}

func TestHostileMarkupCostsNoMoreThanItsLength(t *testing.T) { //nolint:paralleltest // it measures the heap
	for _, piece := range []string{
		"<", "</", "<!--", "<!", "<?", "&", "&#", "&amp", "<p a=/ a=/>", "<p a", "<a href='", "<br/>", "<script><!--<script>", "<script></script>", "<title>", "<title></title>", "<xmp>&</xmp>", "<plaintext>",
		"<blockquote>", "<blockquote><br>", "<p>\u00a0", "<div style=display:none>", "<a href=http://x>y", "</a>", "<pre>\n", "\x00", "\u200b", "<td>x", "<li>", "<img alt=&lt;>", "<p class='a b c d'>",
	} {
		one := strings.Repeat(piece, 20_000/len(piece))
		cost := func(s string) uint64 {
			return allocated(func() {
				email.TextFromHTML(s)
				if _, err := email.Read(channel.Bytes(plainHeader + "Content-Type: text/html\r\n\r\n" + s)); err != nil {
					t.Error(err)
				}
			})
		}
		cost(one) // fills the pools
		require.Less(t, cost(strings.Repeat(one, 8)), 12*cost(one)+1<<19, "%q", piece)
	}
}

// allocated returns how many bytes f allocates.
func allocated(f func()) uint64 {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	f()
	runtime.ReadMemStats(&after)
	return after.TotalAlloc - before.TotalAlloc
}

// slow is a mail that comes in small pieces.
type slow struct {
	channel.Bytes
	pieces func(io.Reader) io.Reader
}

func (s slow) Open() (io.ReadCloser, error) {
	return io.NopCloser(s.pieces(bytes.NewReader(s.Bytes))), nil
}

func TestHowTheBytesArriveChangesNothing(t *testing.T) {
	t.Parallel()
	var mails [][]byte
	for _, f := range tortureFiles(t) {
		raw, err := os.ReadFile(f)
		require.NoError(t, err)
		mails = append(mails, raw)
	}
	for _, b := range benchMails() {
		if len(b.raw) < 100_000 {
			mails = append(mails, b.raw, bytes.ReplaceAll(b.raw, []byte("\r"), nil), bytes.ReplaceAll(b.raw, []byte("\n"), nil))
		}
	}
	for _, raw := range mails {
		want, err := email.Read(channel.Bytes(raw))
		require.NoError(t, err)
		for _, pieces := range []func(io.Reader) io.Reader{iotest.OneByteReader, iotest.HalfReader, iotest.DataErrReader} {
			got, err := email.Read(slow{raw, pieces})
			require.NoError(t, err)
			require.Equal(t, want, got)
		}
	}
}

func TestCopiesOfALongTextHaveOneContentKey(t *testing.T) {
	t.Parallel()
	text := strings.Repeat("line\r\n\r\n"+strings.Repeat("long ", 2000)+"\r\n", 12)
	head := plainHeader + "Content-Type: text/plain; charset=utf-8\r\n"
	one := read(t, head+"\r\n"+text)
	for name, raw := range map[string]string{
		"LF":       strings.ReplaceAll(head+"\r\n"+text, "\r\n", "\n"),
		"base64":   head + "Content-Transfer-Encoding: base64\r\n\r\n" + base64.StdEncoding.EncodeToString([]byte(text)),
		"quoted":   head + "Content-Transfer-Encoding: quoted-printable\r\n\r\n" + quoted(text),
		"line end": head + "\r\n" + text + "\r\n\r\n",
	} {
		require.Equal(t, one.ContentKey, read(t, raw).ContentKey, name)
	}
	require.NotEqual(t, one.ContentKey, read(t, head+"\r\n"+strings.Replace(text, "long long", "long  long", 1)).ContentKey)
}

func TestATextThatIsAFileHasTheSumOfAllItsBytes(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 1, 5000, email.MaxText - 1, email.MaxText, email.MaxText + 1, 2 * email.MaxText} {
		csv := strings.Repeat("a;b\r\n", size/5+1)[:size]
		m := read(t, plainHeader+"Content-Type: multipart/mixed; boundary=b\r\n\r\n--b\r\n\r\nsee\r\n--b\r\nContent-Type: text/csv; name=a.csv\r\n\r\n"+csv+"\r\n--b--\r\n")
		require.Len(t, m.Attachments, 1)
		sum := sha256.Sum256([]byte(csv))
		require.Equal(t, hex.EncodeToString(sum[:]), m.Attachments[0].SHA256, size)
	}
}
