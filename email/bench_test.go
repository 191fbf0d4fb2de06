//go:build unix

package email_test

import (
	"bytes"
	"io"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/emersion/go-message"
	_ "github.com/emersion/go-message/charset" // the bound decodes charsets too
	"github.com/emersion/go-message/mail"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/email"
)

// BenchmarkRead takes mails apart, and the same mails with go-message alone: its
// walk over the parts, all bodies decoded, texts to UTF-8, and the fields that
// every mail's row needs. The bound makes no text of HTML, looks for no quotes,
// and hashes nothing. Both take turns, and the processor time of the process is
// what counts, so that a busy machine is busy for both; bound-ratio is how many
// times longer Read and Item take.
func BenchmarkRead(b *testing.B) {
	for _, m := range benchMails() {
		b.Run(m.name, func(b *testing.B) {
			raw := channel.Bytes(m.raw)
			require.NoError(b, readBound(raw))
			var own, bound cost
			turn := max(1, 2_000_000/len(raw))
			b.SetBytes(raw.Size())
			b.ResetTimer()
			for left := b.N; left > 0; left -= turn {
				n := min(left, turn)
				bound.measure(b, n, func() error { return readBound(raw) })
				own.measure(b, n, func() error {
					m, err := email.Read(raw)
					email.Item(raw, m, email.Context{Channel: "c1", Own: ours})
					return err
				})
			}
			b.ReportMetric(0, "ns/op") // of both together: means nothing
			b.ReportMetric(float64(own.time)/float64(bound.time), "bound-ratio")
			own.report(b, "")
			bound.report(b, "bound-")
		})
	}
}

// cost is what one side took.
type cost struct {
	n              int
	time           time.Duration
	bytes, mallocs uint64
}

func (c *cost) measure(b *testing.B, n int, f func() error) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	from := processorTime(b)
	for range n {
		if err := f(); err != nil {
			b.Fatal(err)
		}
	}
	c.time += processorTime(b) - from
	runtime.ReadMemStats(&after)
	c.n += n
	c.bytes += after.TotalAlloc - before.TotalAlloc
	c.mallocs += after.Mallocs - before.Mallocs
}

// processorTime is what the process used so far, the garbage collector included.
func processorTime(b *testing.B) time.Duration {
	var r syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &r); err != nil {
		b.Fatal(err)
	}
	return time.Duration(r.Utime.Nano() + r.Stime.Nano())
}

func (c *cost) report(b *testing.B, prefix string) {
	b.ReportMetric(float64(c.time.Nanoseconds())/float64(c.n), prefix+"ns/mail")
	b.ReportMetric(float64(c.bytes)/float64(c.n), prefix+"B/mail")
	b.ReportMetric(float64(c.mallocs)/float64(c.n), prefix+"allocs/mail")
}

// readBound is the bound of BenchmarkRead.
func readBound(raw []byte) error {
	e, err := message.Read(bytes.NewReader(raw))
	if err != nil {
		return err
	}
	h := mail.Header{Header: e.Header}
	for _, name := range []string{"From", "To", "Cc", "Reply-To"} {
		if _, err := h.AddressList(name); err != nil {
			return err
		}
	}
	if _, err := h.Subject(); err != nil {
		return err
	}
	if _, err := h.MessageID(); err != nil {
		return err
	}
	if _, err := h.MsgIDList("References"); err != nil {
		return err
	}
	if _, err := h.Date(); err != nil {
		return err
	}
	return e.Walk(func(_ []int, part *message.Entity, err error) error {
		if err != nil {
			return err
		}
		typ, _, err := part.Header.ContentType()
		switch {
		case err != nil || strings.HasPrefix(typ, "multipart/"):
			return err
		case strings.HasPrefix(typ, "text/"):
			_, err = io.ReadAll(part.Body)
		default:
			_, err = io.Copy(io.Discard, part.Body)
		}
		return err
	})
}

func TestTheMailsOfTheBenchmarkAreWhatTheySay(t *testing.T) {
	t.Parallel()
	for _, b := range benchMails() {
		m, err := email.Read(channel.Bytes(b.raw))
		require.NoError(t, err)
		require.Empty(t, m.Defects, b.name)
		require.NoError(t, readBound(b.raw), b.name)
		require.InDelta(t, b.size, len(b.raw), float64(b.size)/10, b.name)
		require.Equal(t, b.quoted, m.NewText != m.Text, b.name)
	}
}
