package hosted

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"sync"
	"sync/atomic"

	"github.com/emersion/go-smtp"

	"github.com/anteroom/anteroom/channel"
)

var (
	errSpool     = errors.New("hosted: spool failed")
	errSpoolFull = errors.New("hosted: spool is full")
)

// spool holds one message: in memory, and once it is large where the sink keeps
// it, or in a file if the sink cannot. It is a [channel.Body], of what is in memory
// or in the file.
type spool struct {
	dir    string
	limits *Limits
	used   *atomic.Int64 // over all messages
	strict bool          // refuse bare CR and LF
	// keep begins to keep a large message, or returns errors.ErrUnsupported.
	keep func() (channel.KeptBody, error)

	memory   bytes.Buffer
	kept     channel.KeptBody // nil, or it has all of the message
	finished channel.Body     // of kept
	file     *os.File
	path     string // empty once the name is gone
	size     int64
	reserved int64
	ended    bool // the message was read to its end
	nul      bool
	scan     newlineScan
}

var copyBuffers = sync.Pool{New: func() any { return new([32 << 10]byte) }}

func getCopyBuffer() *[32 << 10]byte {
	buf, ok := copyBuffers.Get().(*[32 << 10]byte)
	if !ok {
		buf = new([32 << 10]byte)
	}
	return buf
}

// fill reads r to its end. Whatever error it returns, close must be called.
func (sp *spool) fill(r io.Reader) error {
	buf := getCopyBuffer()
	defer copyBuffers.Put(buf)
	for {
		n, err := r.Read(buf[:])
		if n > 0 {
			if werr := sp.write(buf[:n]); werr != nil {
				return werr
			}
		}
		if err == io.EOF {
			return sp.finish()
		}
		if err != nil {
			return err
		}
	}
}

func (sp *spool) write(p []byte) error {
	if sp.size+int64(len(p)) > sp.limits.MessageBytes {
		return smtp.ErrDataTooLarge
	}
	if sp.used.Add(int64(len(p))) > sp.limits.SpoolBytes {
		sp.used.Add(-int64(len(p)))
		return errSpoolFull
	}
	sp.reserved += int64(len(p))
	sp.size += int64(len(p))
	sp.nul = sp.nul || bytes.IndexByte(p, 0) >= 0
	if sp.strict {
		sp.scan.write(p)
	}
	if sp.file == nil && sp.kept == nil {
		if sp.size <= sp.limits.MemoryBytes {
			sp.memory.Write(p)
			return nil
		}
		if err := sp.open(); err != nil {
			return err
		}
		if err := sp.put(sp.memory.Bytes()); err != nil {
			return err
		}
		sp.memory = bytes.Buffer{}
	}
	return sp.put(p)
}

// put writes to what open has opened.
func (sp *spool) put(p []byte) error {
	w := io.Writer(sp.kept)
	if sp.kept == nil {
		w = sp.file
	}
	if _, err := w.Write(p); err != nil {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	return nil
}

// open begins the place of a large message.
func (sp *spool) open() error {
	kept, err := sp.keep()
	if err == nil {
		sp.kept = kept
		return nil
	}
	if !errors.Is(err, errors.ErrUnsupported) {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	dir := sp.dir
	if dir == "" {
		dir = os.TempDir()
	}
	if sp.limits.FreeDisk > 0 {
		if free, known := freeDisk(dir); known && free < float64(sp.limits.FreeDisk)/100 {
			return errSpoolFull
		}
	}
	f, err := os.CreateTemp(dir, "hosted-*.eml")
	if err != nil {
		return fmt.Errorf("%w: %w", errSpool, err)
	}
	sp.file, sp.path = f, f.Name()
	// Where the system allows it the name goes at once, so that not even a
	// crash leaves a file behind.
	if os.Remove(sp.path) == nil {
		sp.path = ""
	}
	return nil
}

func (sp *spool) finish() error {
	sp.ended = true
	sp.scan.end()
	switch {
	case sp.nul:
		return replyNUL()
	case sp.strict && sp.scan.bare:
		return replyBareNewline()
	}
	if sp.kept != nil {
		var err error
		if sp.finished, err = sp.kept.Finish(); err != nil {
			return fmt.Errorf("%w: %w", errSpool, err)
		}
	}
	return nil
}

// body returns the message, which was read to its end.
func (sp *spool) body() channel.Body {
	if sp.finished != nil {
		return sp.finished
	}
	return sp
}

// Size returns the number of bytes.
func (sp *spool) Size() int64 { return sp.size }

// Open returns a reader that can also seek. Readers are independent.
func (sp *spool) Open() (io.ReadCloser, error) {
	if sp.file == nil {
		return memoryReader{bytes.NewReader(sp.memory.Bytes())}, nil
	}
	return fileReader{io.NewSectionReader(sp.file, 0, sp.size)}, nil
}

// close gives everything back.
func (sp *spool) close() {
	if sp.kept != nil {
		sp.kept.Discard()
	}
	if sp.file != nil {
		_ = sp.file.Close()
		if sp.path != "" {
			_ = os.Remove(sp.path)
		}
	}
	sp.used.Add(-sp.reserved)
	sp.reserved = 0
}

type memoryReader struct{ *bytes.Reader }

func (memoryReader) Close() error { return nil }

type fileReader struct{ *io.SectionReader }

func (fileReader) Close() error { return nil }

// newlineScan looks for what RFC 5321 section 2.3.8 forbids: CR without LF and
// LF without CR.
type newlineScan struct {
	bare bool
	cr   bool // the last byte was CR
}

func (s *newlineScan) write(p []byte) {
	for len(p) > 0 && !s.bare {
		if s.cr {
			s.cr = false
			if p[0] != '\n' {
				s.bare = true
				return
			}
			p = p[1:]
			continue
		}
		i := bytes.IndexAny(p, "\r\n")
		if i < 0 {
			return
		}
		if p[i] == '\n' {
			s.bare = true
			return
		}
		s.cr = true
		p = p[i+1:]
	}
}

func (s *newlineScan) end() { s.bare = s.bare || s.cr }
