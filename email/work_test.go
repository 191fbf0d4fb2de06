package email_test

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"sync"
	"testing"

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
		line: strings.Repeat("QUJD", 19) + "\r\n", lines: 1 << 16, tail: "--b--\r\n"}
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
	require.Less(t, sum, uint64(20*256<<10), "100 MB of mail")
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
