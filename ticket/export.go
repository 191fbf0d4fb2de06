package ticket

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"slices"
	"strings"
	"time"
)

// exportFormat and exportVersion begin each export. A version is raised when an
// older Import would lose something.
const (
	exportFormat  = "anteroom.portal"
	exportVersion = 1
	// exportChunk is how many bytes of a blob, or of a large body, stand in one line.
	exportChunk = 192 << 10
	// exportBody is up to how many bytes a body in the store stands in its own line.
	exportBody = 1 << 20
	// importBody is how many bytes a body in the store has at the most: it is put
	// together in memory, and SQLite and PostgreSQL take no more.
	importBody = 1 << 30
	// exportLine bounds a line, in bytes, far above the largest message.
	exportLine = 64 << 20
)

// exportTables is the order in which tables are exported: what is referred to
// comes first.
func exportTables() []Table {
	return []Table{
		TableRecords, TableContacts, TableConversations, TableTickets, TableBodies, TableMessages,
		TableItems, TableDecisions, TableWorks, TableKeys, TableCounters, TableEvents,
	}
}

// exported is one line of an export. One field is set.
type exported struct {
	Record       *exportedRecord  `json:"record,omitempty"`
	Contact      *Contact         `json:"contact,omitempty"`
	Conversation *Conversation    `json:"conversation,omitempty"`
	Ticket       *Ticket          `json:"ticket,omitempty"`
	Body         *exportedBody    `json:"body,omitempty"`
	Message      *Message         `json:"message,omitempty"`
	Item         *Item            `json:"item,omitempty"`
	Decision     *Decision        `json:"decision,omitempty"`
	Work         *Work            `json:"work,omitempty"`
	Key          *exportedKey     `json:"key,omitempty"`
	Counter      *exportedCounter `json:"counter,omitempty"`
	Event        *Event           `json:"event,omitempty"`
	Blob         *exportedBlob    `json:"blob,omitempty"`
	Chunk        []byte           `json:"chunk,omitempty"`
	End          *exportedEnd     `json:"end,omitempty"`
}

type exportedHead struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	ID      string    `json:"id"` // of this export
	At      time.Time `json:"at"`
	Blobs   bool      `json:"blobs"` // they are in it
}

type exportedRecord struct {
	Kind RecordKind `json:"kind"`
	ID   string     `json:"id"`
	Doc  []byte     `json:"doc"`
}

// exportedBody has its data, or a size and is followed by its chunks.
type exportedBody struct {
	ID   BodyID `json:"id"`
	Data []byte `json:"data,omitempty"`
	Size int64  `json:"size,omitempty"`
}

type exportedKey struct {
	Key  string  `json:"key"` // hexadecimal
	Kind RefKind `json:"kind"`
	ID   string  `json:"id"`
}

type exportedCounter struct {
	Name    string    `json:"name"`
	Value   int64     `json:"value"`
	Expires time.Time `json:"expires,omitzero"`
}

// exportedBlob is followed by its chunks.
type exportedBlob struct {
	ID   BodyID `json:"id"`
	Size int64  `json:"size"`
}

type exportedEnd struct {
	Lines  int    `json:"lines"`  // before this one
	SHA256 string `json:"sha256"` // of them, with their line feeds
}

// ExportConfig says what [Export] exports.
type ExportConfig struct {
	// Store is the portal's, retired by [Retire]. It must be a [Dumper].
	Store Store
	// Blobs are the portal's, to be exported too. nil leaves them where they are,
	// for a portal that goes on using them.
	Blobs Blobs
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Moved says what was exported or imported.
type Moved struct {
	// Rows counts what there is of each table.
	Rows map[Table]int
	// Blobs counts those that were copied, BlobBytes their sizes together.
	Blobs     int
	BlobBytes int64
	// Missing are bodies that something refers to and that Blobs do not have.
	Missing []BodyID
	// Dropped counts what is automatic and had not left: replies and notices.
	Dropped int
}

// Export writes a portal to w, so that [Import] makes the same portal of it on
// any store: with its ids, numbers, events and their cursors, keys, counters, work
// and configuration. [Retire] must have succeeded on the portal, so that
// nothing changes meanwhile, and nothing is sent from both places.
//
// The stream is JSON, one object a line. The first has format, version, id, at,
// blobs. Each other has one field, named for what it holds; a blob, and a body of more
// than 1 MiB, is followed by its chunks (base64); the last is the end, with the number of the lines before and
// their SHA-256. It is written as it is read: memory is bounded by a page of bodies
// (16 of up to Limits.InlineBody, or of Limits.Body where a portal has no Blobs) or of messages (50).
//
// What is under way moves so that nothing is done twice. Work keeps its id and
// what was tried, without its lease: a pending answer is sent by the new place,
// one that may have been handed over is looked for there, or is uncertain and
// waits for a person. News that are held, and what was committed raw, are
// interpreted there as imported. What is automatic and has not been handed over
// is not sent at all (spec: nothing automatic for what is imported): automatic
// replies stand as cancelled, notices are gone. Leases, the marks of orphans, and
// counters that have expired are left out. So are revisions, which begin anew.
//
// Secrets stay as they are in the store: sealed by Config.Key, which the desk
// at the new place needs, as Key or among OldKeys. A portal that runs without a
// key has none that are sealed, and then the stream holds the keys of its tokens
// openly: it is as confidential as the database in any case.
//
// Errors: ErrNotRetired; errors.ErrUnsupported for a store that is no Dumper; those
// of w, of the store and of Blobs. An export that failed is of no use.
func Export(ctx context.Context, cfg ExportConfig, w io.Writer) (*Moved, error) {
	if cfg.Store == nil {
		return nil, errors.New("ticket: export: Store is required")
	}
	d, ok := cfg.Store.(Dumper)
	if !ok {
		return nil, fmt.Errorf("ticket: export: the store is no Dumper: %w", errors.ErrUnsupported)
	}
	snap, err := cfg.Store.Snapshot(ctx, Want{Records: []RecordRef{retiredRef()}})
	if err != nil {
		return nil, fmt.Errorf("ticket: export: %w", err)
	}
	mark, err := readRetired(snap.Records[retiredRef()])
	if err != nil {
		return nil, err
	}
	if !mark.Closed {
		return nil, fmt.Errorf("ticket: export: %w", ErrNotRetired)
	}
	now := time.Now
	if cfg.Now != nil {
		now = cfg.Now
	}
	e := &exporter{ctx: ctx, cfg: cfg, now: now().UTC(), out: bufio.NewWriterSize(w, 64<<10), sum: sha256.New(),
		moved: &Moved{Rows: map[Table]int{}}, dropped: map[WorkID]bool{}}
	e.line(exportedHead{Format: exportFormat, Version: exportVersion, ID: newID(), At: e.now, Blobs: cfg.Blobs != nil})
	for _, t := range exportTables() {
		err := eachDumped(ctx, d, t, func(c *Changes) error {
			if err := e.rows(t, c); err != nil {
				return err
			}
			return e.err
		})
		if err != nil {
			return nil, err
		}
	}
	end := exportedEnd{Lines: e.lines, SHA256: hex.EncodeToString(e.sum.Sum(nil))}
	e.line(exported{End: &end})
	if err := e.out.Flush(); e.err == nil && err != nil {
		e.err = fmt.Errorf("ticket: export: %w", err)
	}
	if e.err != nil {
		return nil, e.err
	}
	return e.moved, nil
}

// exporter writes lines. After an error it writes none.
type exporter struct {
	ctx     context.Context
	cfg     ExportConfig
	now     time.Time
	out     *bufio.Writer
	sum     hash.Hash
	lines   int
	moved   *Moved
	dropped map[WorkID]bool // sends of what is automatic
	err     error
}

func (e *exporter) line(v any) {
	if e.err != nil {
		return
	}
	b, err := json.Marshal(v)
	if err == nil && len(b) >= exportLine {
		err = fmt.Errorf("a line of %d bytes is too long", len(b))
	}
	if err == nil {
		b = append(b, '\n')
		e.lines++
		_, _ = e.sum.Write(b) // never fails
		_, err = e.out.Write(b)
	}
	if err != nil {
		e.err = fmt.Errorf("ticket: export: %w", err)
	}
}

// row writes a line of a table.
func (e *exporter) row(t Table, v exported) {
	e.moved.Rows[t]++
	e.line(v)
}

func (e *exporter) rows(t Table, c *Changes) error {
	for _, r := range c.Records {
		if r.Kind != recordMove {
			e.row(t, exported{Record: &exportedRecord{Kind: r.Kind, ID: r.ID, Doc: r.Doc}})
		}
	}
	for _, v := range c.Contacts {
		e.row(t, exported{Contact: v})
	}
	for _, v := range c.Conversations {
		e.row(t, exported{Conversation: v})
	}
	for _, v := range c.Tickets {
		v.Revision = 0
		e.row(t, exported{Ticket: v})
	}
	for _, b := range c.Bodies {
		e.body(b)
	}
	if err := e.messages(c.Messages); err != nil {
		return err
	}
	for _, v := range c.Items {
		v.Imported = v.Imported || v.Disposition == DisposedWaiting
		e.row(t, exported{Item: v})
	}
	for _, v := range c.Decisions {
		e.row(t, exported{Decision: v})
	}
	e.works(c.Works)
	for _, k := range c.Claims {
		e.row(t, exported{Key: &exportedKey{Key: hex.EncodeToString(k.Key[:]), Kind: k.Ref.Kind, ID: k.Ref.ID}})
	}
	if err := e.counters(c.Counts); err != nil {
		return err
	}
	for _, v := range c.Events {
		e.row(t, exported{Event: v})
	}
	return nil
}

// body writes a body, in pieces where one line would be too long.
func (e *exporter) body(b StoredBody) {
	if len(b.Data) <= exportBody {
		e.row(TableBodies, exported{Body: &exportedBody{ID: b.ID, Data: b.Data}})
		return
	}
	e.row(TableBodies, exported{Body: &exportedBody{ID: b.ID, Size: int64(len(b.Data))}})
	for chunk := range slices.Chunk(b.Data, exportChunk) {
		e.line(exported{Chunk: chunk})
	}
}

// messages cancels what is automatic and was not handed over.
func (e *exporter) messages(list []*Message) error {
	var automatic []WorkID
	for _, m := range list {
		if unsentAutomatic(m) {
			automatic = append(automatic, m.Work)
		}
	}
	var works map[WorkID]*Work
	if len(automatic) > 0 {
		snap, err := e.cfg.Store.Snapshot(e.ctx, Want{Works: automatic})
		if err != nil {
			return fmt.Errorf("ticket: export: %w", err)
		}
		works = snap.Works
	}
	for _, m := range list {
		if unsentAutomatic(m) {
			if w := works[m.Work]; w == nil || !w.Handed {
				e.dropped[m.Work] = true
				e.moved.Dropped++
				m.State, m.StateDetail, m.Work = StateCancelled, "automatic, and not sent before the portal moved", ""
			}
		}
		e.row(TableMessages, exported{Message: m})
	}
	return nil
}

func unsentAutomatic(m *Message) bool {
	return m.Direction == Out && m.Auto != "" && (m.State == StatePending || m.State == StateSending) && !partlySent(m)
}

func (e *exporter) works(list []*Work) {
	for _, w := range list {
		switch {
		case e.dropped[w.ID]:
			continue // counted with its message
		case !w.Parked && !w.Handed && (w.Kind == WorkAutoReply || w.Kind == WorkNotify):
			e.moved.Dropped++
			continue
		}
		w.Owner, w.LeaseUntil = "", time.Time{}
		e.row(TableWorks, exported{Work: w})
	}
}

// counters also writes the blobs, of each of which there is a counter.
func (e *exporter) counters(list []Count) error {
	for _, n := range list {
		if n.Add == 0 || !n.Expires.IsZero() && !n.Expires.After(e.now) {
			continue
		}
		id, body := strings.CutPrefix(n.Name, bodyCounter(""))
		if body && n.Add >= collected {
			continue
		}
		if body && e.cfg.Blobs != nil {
			if err := e.blob(BodyID(id)); err != nil {
				return err
			}
		}
		e.row(TableCounters, exported{Counter: &exportedCounter{Name: n.Name, Value: n.Add, Expires: n.Expires}})
	}
	return nil
}

func (e *exporter) blob(id BodyID) error {
	size, err := blobSize(e.ctx, e.cfg.Blobs, id)
	if errors.Is(err, ErrNotFound) {
		e.moved.Missing = append(e.moved.Missing, id)
		return nil
	}
	if err != nil {
		return fmt.Errorf("ticket: export: blob %s: %w", id, err)
	}
	r, err := e.cfg.Blobs.Open(e.ctx, id)
	if err != nil {
		return fmt.Errorf("ticket: export: blob %s: %w", id, err)
	}
	defer r.Close()
	e.line(exported{Blob: &exportedBlob{ID: id, Size: size}})
	chunk := make([]byte, exportChunk)
	for left := size; left > 0 && e.err == nil; {
		n, err := io.ReadFull(r, chunk[:min(left, exportChunk)])
		if err != nil {
			return fmt.Errorf("ticket: export: blob %s: %w", id, err)
		}
		e.line(exported{Chunk: chunk[:n]})
		left -= int64(n)
	}
	e.moved.Blobs++
	e.moved.BlobBytes += size
	return e.err
}

// blobSize reads through a blob that cannot seek.
func blobSize(ctx context.Context, b Blobs, id BodyID) (int64, error) {
	r, err := b.Open(ctx, id)
	if err != nil {
		return 0, err
	}
	defer r.Close()
	if s, ok := r.(io.Seeker); ok {
		return s.Seek(0, io.SeekEnd)
	}
	return io.Copy(io.Discard, r)
}
