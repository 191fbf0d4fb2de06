package bench

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/emersion/go-message"
	"github.com/emersion/go-message/mail"
	"github.com/emersion/go-smtp"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/sqlitestore"
)

// largeConnections bring large mail at a time.
const largeConnections = 20

// largeFile is the size of the enclosed file, so that the mail is of 5 MB.
const largeFile = 5_000_000 * 57 / 78

// large is a mail of 5 MB: a short text and a file in base64.
func large() func(serial int64) []byte {
	file := make([]byte, largeFile)
	for i := range file {
		file[i] = byte(i*i>>7 ^ i>>3)
	}
	var tail bytes.Buffer
	tail.WriteString("MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary=b1\r\n\r\n--b1\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" +
		"The report is enclosed.\r\n--b1\r\nContent-Type: application/pdf; name=report.pdf\r\n" +
		"Content-Disposition: attachment; filename=report.pdf\r\nContent-Transfer-Encoding: base64\r\n\r\n")
	for line := file; len(line) > 0; {
		n := min(len(line), 57)
		tail.WriteString(base64.StdEncoding.EncodeToString(line[:n]) + "\r\n")
		line = line[n:]
	}
	tail.WriteString("--b1--\r\n.\r\n")
	top, _, _ := strings.Cut(headers, "MIME-Version")
	return func(serial int64) []byte {
		return append(fmt.Appendf(make([]byte, 0, tail.Len()+1024), top, address(serial), serial, serial), tail.Bytes()...)
	}
}

// streaming is the bare server for large mail: the body goes to a file while
// go-message reads it.
type streaming struct {
	backend
	dir string
}

func (s streaming) Data(r io.Reader) (err error) {
	p := &parsed{blob: uuid.Must(uuid.NewV7()).String()}
	path := filepath.Join(s.dir, p.blob)
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	tee := io.TeeReader(r, f)
	if err := p.stream(tee); err != nil {
		return err
	}
	if _, err := io.Copy(io.Discard, tee); err != nil {
		return err
	}
	if p.size, err = f.Seek(0, io.SeekCurrent); err != nil {
		return err
	}
	if err := f.Sync(); err != nil {
		return err
	}
	dir, err := os.Open(s.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	if err := dir.Sync(); err != nil {
		return err
	}
	return s.save(p)
}

// stream reads a mail and decodes its files without keeping them.
func (p *parsed) stream(r io.Reader) error {
	e, err := message.Read(r)
	if err != nil {
		return err
	}
	h := mail.Header{Header: e.Header}
	from, err := h.AddressList("From")
	if err != nil {
		return err
	}
	to, err := h.AddressList("To")
	if err != nil {
		return err
	}
	p.from, p.to = channel.Party{Name: from[0].Name, Address: from[0].Address}, channel.Party{Name: to[0].Name, Address: to[0].Address}
	if p.subject, err = h.Subject(); err != nil {
		return err
	}
	if p.at, err = h.Date(); err != nil {
		return err
	}
	if p.id, err = h.MessageID(); err != nil {
		return err
	}
	parts := e.MultipartReader()
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		kind, params, err := part.Header.ContentType()
		if err != nil {
			return err
		}
		if kind == "text/plain" {
			text, err := io.ReadAll(part.Body)
			if err != nil {
				return err
			}
			p.text = string(text)
			continue
		}
		n, err := io.Copy(io.Discard, part.Body)
		if err != nil {
			return err
		}
		p.enclosed = append(p.enclosed, ticket.Attachment{ID: "a", Name: params["name"], Type: kind, Size: n, Window: &channel.Window{Offset: 1000, Length: n, Encoding: "base64"}})
	}
}

// boundLarge takes large mail with the rows that a Desk writes.
func boundLarge(b testing.TB) string {
	dir := b.TempDir()
	path := filepath.Join(dir, "bound.db")
	store, err := sqlitestore.Open(path) // for its tables
	require.NoError(b, err)
	require.NoError(b, store.Close())
	require.NoError(b, os.Mkdir(filepath.Join(dir, "files"), 0o700))
	g := openGroup(b, path)
	save := func(p *parsed) error {
		r, err := encode(p)
		if err != nil {
			return err
		}
		return g.do(r.write)
	}
	s := smtp.NewServer(smtp.BackendFunc(func(*smtp.Conn) (smtp.Session, error) {
		return streaming{backend{save}, filepath.Join(dir, "files")}, nil
	}))
	l, err := net.Listen("tcp", "127.0.0.1:0")
	require.NoError(b, err)
	go s.Serve(l)
	b.Cleanup(func() { s.Close() })
	return l.Addr().String()
}

// BenchmarkLarge has mails of 5 MB taken by the library and by bound A, whose
// server writes them to files as they come.
func BenchmarkLarge(b *testing.B) {
	var serial atomic.Int64
	var ours, a tally
	compose := large()
	sides := []struct {
		fleet *fleet
		tally *tally
	}{{dial(b, portal(b), largeConnections), &ours}, {dial(b, boundLarge(b), largeConnections), &a}}
	for _, s := range sides {
		s.fleet.run(1, &serial, compose, &tally{})
	}
	b.SetBytes(int64(len(compose(1))))
	b.ResetTimer()
	for left := b.N; left > 0; left -= largeConnections {
		for _, s := range sides {
			s.fleet.run(min(left, largeConnections), &serial, compose, s.tally)
		}
	}
	b.StopTimer()
	b.ReportMetric(a.took.Seconds()/ours.took.Seconds(), "of-A")
	b.ReportMetric(float64(ours.p99())/float64(a.p99()), "p99-of-A")
	b.ReportMetric(float64(ours.cpu)/float64(a.cpu), "cpu-of-A")
	b.ReportMetric(float64(ours.n)/ours.took.Seconds(), "mails/s")
	b.ReportMetric(float64(ours.cpu.Microseconds())/float64(ours.n), "cpu-us/mail")
	b.ReportMetric(float64(ours.bytes)/float64(ours.n), "B/mail")
	b.ReportMetric(0, "ns/op")
}
