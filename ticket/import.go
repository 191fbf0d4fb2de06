package ticket

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"time"
)

const (
	// importRows and importBytes bound what one commit of an import holds.
	importRows  = 200
	importBytes = 1 << 20
)

// ErrNotEmpty says that a portal is not empty: nothing can be imported into it.
var ErrNotEmpty = errors.New("ticket: the portal is not empty")

// ErrBadExport says that a stream is no export, or one that was damaged or cut off.
var ErrBadExport = errors.New("ticket: bad export")

// ImportConfig says where [Import] imports to.
type ImportConfig struct {
	// Store is that of the portal, which must be empty. It may be any Store.
	Store Store
	// Blobs are those of the portal. They are required if the export holds blobs,
	// and else must be those that the portal has used.
	Blobs Blobs
	// Search bounds the text that a message is found by, in bytes; default 32 KB.
	// Give Limits.Search if the desk has another.
	Search int
	// Now is the clock; default time.Now.
	Now func() time.Time
}

// Import makes a portal of what [Export] wrote. Nobody is notified of anything,
// nothing is sent, and no desk can run on the portal until it is whole: [New] says
// ErrImporting. It commits as it reads, 200 rows or 1 MB at a time, and notes in the
// same commits how far it is. So an import that ended early, for whatever reason,
// is resumed by importing the same stream again from its beginning; if it was whole
// after all, that does nothing, and counts nothing.
//
// The stream is checked line by line, and at the end as a whole, by its
// checksum. An error that wraps ErrBadExport names the line; what had come in
// until then stays, and the portal cannot be used: import a good copy of the same
// export, or begin anew with another portal's name.
//
// Other errors: ErrNotEmpty, also for a blob that is there with other content; those
// of the store and of Blobs.
func Import(ctx context.Context, cfg ImportConfig, r io.Reader) (*Moved, error) {
	if cfg.Store == nil {
		return nil, errors.New("ticket: import: Store is required")
	}
	orDefault(&cfg.Search, 32<<10)
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	im := &importer{ctx: ctx, cfg: cfg, in: bufio.NewReaderSize(r, 64<<10), sum: sha256.New(), moved: &Moved{Rows: map[Table]int{}}}
	if err := im.run(); err != nil {
		return nil, err
	}
	return im.moved, nil
}

// importing is the document of importingRef.
type importing struct {
	Export string `json:"export"` // its id
	Lines  int    `json:"lines"`  // how many are in
}

// importer reads lines and commits them.
type importer struct {
	ctx   context.Context
	cfg   ImportConfig
	in    *bufio.Reader
	sum   hash.Hash
	line  int // that was read last, from 1
	moved *Moved

	mark     importing
	revision int64 // of its record
	number   int64 // of the last ticket
	cursor   int64 // of the last event

	c     Changes
	rows  int
	bytes int
	first int // line of c
}

func (im *importer) bad(format string, args ...any) error {
	return fmt.Errorf("ticket: import: line %d: %s: %w", im.line, fmt.Sprintf(format, args...), ErrBadExport)
}

// next returns the next line, without its line feed. Errors of reading are those
// of the source; an end is ErrBadExport, since the last line is the stream's.
func (im *importer) next() ([]byte, error) {
	var long []byte
	for {
		part, err := im.in.ReadSlice('\n')
		switch {
		case errors.Is(err, bufio.ErrBufferFull) && len(long)+len(part) <= exportLine:
			long = append(long, part...)
			continue
		case errors.Is(err, bufio.ErrBufferFull):
			im.line++
			return nil, im.bad("it is longer than %d bytes", exportLine)
		case errors.Is(err, io.EOF):
			im.line++
			return nil, im.bad("the export is cut off")
		case err != nil:
			return nil, fmt.Errorf("ticket: import: read: %w", err)
		}
		im.line++
		if long != nil {
			part = append(long, part...)
		}
		return part, nil
	}
}

// decodeLine reads a line strictly: what is not known would be lost.
func decodeLine(line []byte, v any) error {
	d := json.NewDecoder(bytes.NewReader(line))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return err
	}
	if d.More() {
		return errors.New("more than one object")
	}
	return nil
}

func (im *importer) run() error {
	head, err := im.head()
	if err != nil {
		return err
	}
	if done, err := im.begin(head); err != nil || done {
		return err
	}
	for {
		line, err := im.next()
		if err != nil {
			return err
		}
		var v exported
		if err := decodeLine(line, &v); err != nil {
			return im.bad("%v", err)
		}
		if v.End != nil {
			return im.end(v.End)
		}
		_, _ = im.sum.Write(line) // never fails
		size := len(line)
		if v.Body != nil {
			err = im.body(v.Body)
			size += len(v.Body.Data)
		}
		switch {
		case err != nil:
		case v.Blob != nil:
			err = im.blob(v.Blob)
		default:
			err = im.take(&v, size)
		}
		if err != nil {
			return err
		}
		if im.rows >= importRows || im.bytes >= importBytes {
			if err := im.flush(); err != nil {
				return err
			}
		}
	}
}

func (im *importer) head() (h exportedHead, err error) {
	line, err := im.next()
	if err != nil {
		return h, err
	}
	if err := decodeLine(line, &h); err != nil || h.Format != exportFormat || h.ID == "" {
		return h, im.bad("it is not the beginning of an export")
	}
	if h.Version != exportVersion {
		return h, im.bad("version %d is not known, only %d", h.Version, exportVersion)
	}
	if h.Blobs && im.cfg.Blobs == nil {
		return h, errors.New("ticket: import: the export holds blobs, and ImportConfig.Blobs is nil")
	}
	_, _ = im.sum.Write(line) // never fails
	return h, nil
}

// begin finds out how far an earlier import came, or that the portal is empty.
// It reports whether the export is in already.
func (im *importer) begin(h exportedHead) (done bool, err error) {
	s := im.cfg.Store
	snap, err := s.Snapshot(im.ctx, Want{Records: []RecordRef{importingRef(), importedRef()}})
	if err != nil {
		return false, fmt.Errorf("ticket: import: %w", err)
	}
	for _, ref := range []RecordRef{importingRef(), importedRef()} {
		rec := snap.Records[ref]
		if rec == nil {
			continue
		}
		if err := json.Unmarshal(rec.Doc, &im.mark); err != nil {
			return false, fmt.Errorf("ticket: import: read how far it is: %w", err)
		}
		if im.mark.Export != h.ID {
			return false, fmt.Errorf("ticket: import: another export came in, or a part of it: %w", ErrNotEmpty)
		}
		im.revision = rec.Revision
		return ref == importedRef(), nil
	}
	empty, err := isEmpty(im.ctx, s)
	if err != nil {
		return false, fmt.Errorf("ticket: import: %w", err)
	}
	if !empty {
		return false, fmt.Errorf("ticket: import: %w", ErrNotEmpty)
	}
	im.mark = importing{Export: h.ID, Lines: im.line}
	im.first = im.line
	return false, im.flush()
}

// isEmpty looks at what every portal that was ever used has some of.
func isEmpty(ctx context.Context, s Store) (bool, error) {
	snap, err := s.Snapshot(ctx, Want{Kinds: []RecordKind{
		recordChannel, recordQueue, recordAgent, recordPresence, recordAssigned, recordKeyRing, recordState, recordParked, recordWebhook, recordWebhookCursor, recordMove,
	}})
	if err != nil || len(snap.Records) > 0 {
		return false, err
	}
	events, err := s.Events(ctx, EventFilter{}, 1)
	if err != nil || len(events) > 0 {
		return false, err
	}
	items, _, err := s.Items(ctx, ItemFilter{}, Page{Limit: 1})
	if err != nil || len(items) > 0 {
		return false, err
	}
	conversations, _, err := s.Conversations(ctx, ConversationFilter{}, Page{Limit: 1})
	return len(conversations) == 0, err
}

// take adds a line to what is committed next.
func (im *importer) take(v *exported, size int) error {
	t, err := im.add(v)
	if err != nil {
		return err
	}
	im.moved.Rows[t]++
	if im.line <= im.mark.Lines { // it is in already
		im.c = Changes{}
		return nil
	}
	if im.rows == 0 {
		im.first = im.line
	}
	im.rows++
	im.bytes += size
	return nil
}

// add checks a line and adds what it holds to im.c.
func (im *importer) add(v *exported) (t Table, err error) {
	n := 0
	set := func(is bool, table Table) bool {
		if is {
			n, t = n+1, table
		}
		return is
	}
	c, id := &im.c, ""
	if set(v.Record != nil, TableRecords) {
		id = v.Record.ID
		if v.Record.Kind == recordMove || v.Record.Kind == "" {
			return "", im.bad("a record of kind %q", v.Record.Kind)
		}
		c.Records = append(c.Records, &Record{Kind: v.Record.Kind, ID: id, Doc: append([]byte{}, v.Record.Doc...)})
	}
	if set(v.Contact != nil, TableContacts) {
		id = string(v.Contact.ID)
		c.Contacts = append(c.Contacts, v.Contact)
	}
	if set(v.Conversation != nil, TableConversations) {
		id = string(v.Conversation.ID)
		c.Conversations = append(c.Conversations, v.Conversation)
	}
	if set(v.Ticket != nil, TableTickets) {
		if id = string(v.Ticket.ID); v.Ticket.Number != im.number+1 {
			return "", im.bad("ticket number %d after %d", v.Ticket.Number, im.number)
		}
		im.number++
		v.Ticket.Revision = 0
		c.Tickets = append(c.Tickets, v.Ticket)
	}
	if set(v.Body != nil, TableBodies) {
		id = string(v.Body.ID)
		c.Bodies = append(c.Bodies, StoredBody{ID: v.Body.ID, Data: v.Body.Data})
	}
	if set(v.Message != nil, TableMessages) {
		id = string(v.Message.ID)
		if v.Message.RedactedAt.IsZero() {
			v.Message.Search = searchText(v.Message, im.cfg.Search)
		}
		c.Messages = append(c.Messages, v.Message)
	}
	if set(v.Item != nil, TableItems) {
		if id = string(v.Item.ID); v.Item.Disposition == DisposedWaiting && !v.Item.Imported {
			return "", im.bad("item %s waits and is not imported", id)
		}
		c.Items = append(c.Items, v.Item)
	}
	if set(v.Decision != nil, TableDecisions) {
		id = v.Decision.ID
		c.Decisions = append(c.Decisions, v.Decision)
	}
	if set(v.Work != nil, TableWorks) {
		if id = string(v.Work.ID); !v.Work.Parked && !v.Work.Handed && (v.Work.Kind == WorkAutoReply || v.Work.Kind == WorkNotify) {
			return "", im.bad("work of kind %s, which is not imported", v.Work.Kind)
		}
		v.Work.Owner, v.Work.LeaseUntil = "", time.Time{}
		c.Works = append(c.Works, v.Work)
	}
	if set(v.Key != nil, TableKeys) {
		id = v.Key.ID
		k := KeyClaim{Ref: Ref{Kind: v.Key.Kind, ID: id}}
		b, err := hex.DecodeString(v.Key.Key)
		if err != nil || len(b) != len(k.Key) {
			return "", im.bad("a key is %d hexadecimal digits", 2*len(k.Key))
		}
		copy(k.Key[:], b)
		c.Claims = append(c.Claims, k)
	}
	if set(v.Counter != nil, TableCounters) {
		if id = v.Counter.Name; v.Counter.Value <= 0 {
			return "", im.bad("counter %q is %d", id, v.Counter.Value)
		}
		c.Counts = append(c.Counts, Count{Name: id, Add: v.Counter.Value, Expires: v.Counter.Expires})
	}
	if set(v.Event != nil, TableEvents) {
		if id = v.Event.ID; v.Event.Cursor != im.cursor+1 {
			return "", im.bad("event %d after %d", v.Event.Cursor, im.cursor)
		}
		im.cursor++
		c.Events = append(c.Events, v.Event)
	}
	switch {
	case v.Chunk != nil:
		return "", im.bad("a chunk of no blob")
	case n != 1:
		return "", im.bad("it holds %d things, not one", n)
	case id == "":
		return "", im.bad("there is no id")
	}
	return t, nil
}

// flush commits what was taken, and how far that is.
func (im *importer) flush() error {
	if im.line < im.mark.Lines {
		return nil
	}
	numbers := make([]int64, len(im.c.Tickets))
	for i, t := range im.c.Tickets {
		numbers[i] = t.Number
	}
	cursors := make([]int64, len(im.c.Events))
	for i, e := range im.c.Events {
		cursors[i] = e.Cursor
	}
	im.mark.Lines = im.line
	doc, err := json.Marshal(im.mark)
	if err != nil {
		return fmt.Errorf("ticket: import: %w", err)
	}
	mark := &Record{Kind: recordMove, ID: importingRef().ID, Doc: doc, Revision: im.revision}
	if err := im.commit(mark); err != nil {
		return err
	}
	im.revision = mark.Revision
	for i, t := range im.c.Tickets {
		if t.Number != numbers[i] {
			return fmt.Errorf("ticket: import: the store gave ticket %s number %d, not %d", t.ID, t.Number, numbers[i])
		}
	}
	for i, e := range im.c.Events {
		if e.Cursor != cursors[i] {
			return fmt.Errorf("ticket: import: the store gave event %s cursor %d, not %d", e.ID, e.Cursor, cursors[i])
		}
	}
	im.c, im.rows, im.bytes, im.first = Changes{}, 0, 0, im.line+1
	return nil
}

// commit commits what was taken, with the mark.
func (im *importer) commit(mark *Record) error {
	im.c.At = im.cfg.Now().UTC()
	im.c.Records = append(im.c.Records, mark)
	err := im.cfg.Store.Commit(im.ctx, &im.c)
	switch {
	case errors.Is(err, ErrConflict):
		// Something is there twice; or another import of the same stream goes on.
		return fmt.Errorf("ticket: import: lines %d to %d: %w", im.first, im.line, err)
	case err != nil:
		return fmt.Errorf("ticket: import: commit: %w", err)
	}
	return nil
}

// end commits the rest and opens the portal.
func (im *importer) end(e *exportedEnd) error {
	if e.Lines != im.line-1 || e.SHA256 != hex.EncodeToString(im.sum.Sum(nil)) {
		return im.bad("the checksum of what came before is another")
	}
	if _, err := im.in.ReadByte(); !errors.Is(err, io.EOF) {
		return im.bad("there is more after the end")
	}
	if im.mark.Lines >= im.line {
		return im.bad("an earlier import came farther than this export")
	}
	im.line-- // the lines of c
	if im.rows > 0 {
		if err := im.flush(); err != nil {
			return err
		}
	}
	doc, err := json.Marshal(im.mark)
	if err != nil {
		return fmt.Errorf("ticket: import: %w", err)
	}
	im.c = Changes{Records: []*Record{{Kind: recordMove, ID: importedRef().ID, Doc: doc}}}
	return im.commit(&Record{Kind: recordMove, ID: importingRef().ID, Revision: im.revision})
}
