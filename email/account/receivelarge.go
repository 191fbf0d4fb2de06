package account

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/anteroom/anteroom/channel"
)

// takeLarge takes in a mail of which more than the first chunk is to come.
func (r *receiver) takeLarge(c *imapConn, m mailInfo, first []byte) *failure {
	// It must not end before Discard, and a keeper cannot hang on it: what
	// takes long is the server, which has deadlines.
	s, err := newSpool(context.WithoutCancel(c.ctx), r.sink, r.pace.SpoolDir)
	if err != nil {
		return r.stored("a mail could not be kept", err)
	}
	defer s.Discard()
	var size int64
	for part := first; len(part) > 0; {
		if size += int64(len(part)); size > r.pace.Mail {
			m.size = size
			return r.takeNote(c, m)
		}
		if _, err := s.Write(part); errors.Is(err, channel.ErrRejected) {
			return r.takeNote(c, m)
		} else if err != nil {
			return r.stored("a mail could not be kept", err)
		}
		if len(part) < chunk && (size >= m.size || r.estimates >= sureEstimates) {
			break
		}
		if part, err = c.fetchFrom(m.uid, size); err != nil {
			return c.failed(stageMail, err)
		}
	}
	// Else it may have been deleted while it came.
	if f := c.stillThere(m.uid); f != nil {
		return f
	}
	raw, err := s.Finish()
	if err != nil {
		return r.stored("a mail could not be kept", err)
	}
	return r.accept(c.ctx, m, raw, nil, "")
}

// stillThere returns a failure if a mail has gone: what came of it may not be all.
func (c *imapConn) stillThere(uid uint32) *failure {
	there, err := c.describe([]uint32{uid}, false)
	if err != nil {
		return c.failed(stageMail, err)
	}
	if len(there) == 0 {
		return &failure{stage: stageMail, code: "poison", text: "a mail was deleted by another client while it was fetched"}
	}
	return nil
}

// noteFields are the header fields of a mail that is too large to be taken in.
func noteFields() []string {
	return []string{
		"From", "Sender", "Reply-To", "To", "Cc", "Subject", "Date", "Message-ID", "In-Reply-To", "References",
		"Auto-Submitted", "Precedence", "List-Id", "Received", "X-Loop",
	}
}

// takeNote takes in what matters of a mail that is too large.
func (r *receiver) takeNote(c *imapConn, m mailInfo) *failure {
	header, err := c.headerFields(m.uid, noteFields())
	if err != nil {
		return c.failed(stageMail, err)
	}
	text := fmt.Sprintf("This mail has about %d bytes, more than is taken in. It is in the folder %s of %s.",
		m.size, oneLine(r.cur.Folder, nil), r.m.conf.Address)
	var b bytes.Buffer
	b.Write(bytes.TrimRight(header, "\r\n"))
	b.WriteString("\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n" + text + "\r\n")
	pending := len(r.cur.Pending)
	f := r.accept(c.ctx, m, channel.Bytes(b.Bytes()), nil, "too large to be taken in whole")
	r.cur.Pending = r.cur.Pending[:min(pending, len(r.cur.Pending))] // the mail itself must stay
	return f
}

// newSpool returns a place for a large mail: the sink's own if it has one.
func newSpool(ctx context.Context, sink channel.Sink, dir string) (channel.KeptBody, error) {
	if k, ok := sink.(channel.BodyKeeper); ok {
		b, err := k.KeepBody(ctx)
		if err == nil || !errors.Is(err, errors.ErrUnsupported) {
			return b, err
		}
	}
	f, err := os.CreateTemp(dir, "anteroom-mail-*")
	if err != nil {
		return nil, fmt.Errorf("account: make spool: %w", err)
	}
	return &spoolFile{f: f}, nil
}

// spoolFile is a mail in a file of its own, for one goroutine.
type spoolFile struct {
	f    *os.File
	size int64
}

// Write adds to the mail.
func (s *spoolFile) Write(p []byte) (int, error) {
	n, err := s.f.Write(p)
	s.size += int64(n)
	return n, err
}

// Finish returns the mail. The file need not be durable: it is gone once the
// sink has taken it.
func (s *spoolFile) Finish() (channel.Body, error) { return s, nil }

// Discard removes the file.
func (s *spoolFile) Discard() {
	_ = s.f.Close()
	_ = os.Remove(s.f.Name())
}

// Size returns the number of bytes.
func (s *spoolFile) Size() int64 { return s.size }

// Open returns a reader from the start.
func (s *spoolFile) Open() (io.ReadCloser, error) {
	return sectionCloser{io.NewSectionReader(s.f, 0, s.size)}, nil
}

type sectionCloser struct{ *io.SectionReader }

// Close does nothing: the file is closed when the mail is discarded.
func (sectionCloser) Close() error { return nil }
