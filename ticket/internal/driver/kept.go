package driver

import (
	"bytes"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// encoder is an encoder with what it writes to.
type encoder struct {
	b bytes.Buffer
	e *json.Encoder
}

// maxKept is the largest buffer, in bytes, that is kept for the next document.
const maxKept = 128 << 10

var encoders = sync.Pool{New: func() any {
	e := &encoder{}
	e.e = json.NewEncoder(&e.b)
	e.e.SetEscapeHTML(false)
	return e
}}

// Encode returns v as a document. encoding/json escapes U+0000.
func Encode(v any) (string, error) {
	e, ok := encoders.Get().(*encoder)
	if !ok {
		return "", errors.New("no encoder")
	}
	defer func() {
		if e.b.Cap() <= maxKept {
			e.b.Reset()
			encoders.Put(e)
		}
	}()
	// An encoder is done for after an error in writing, which a buffer has not;
	// an error of v leaves it as it was.
	if err := e.e.Encode(v); err != nil {
		return "", err
	}
	return string(bytes.TrimSuffix(e.b.Bytes(), []byte("\n"))), nil
}

// Decode reads a document that Encode made.
func Decode[V any](doc []byte) (*V, error) {
	v := new(V)
	return v, json.Unmarshal(doc, v)
}

// utc brings times into the form in which they are kept.
func utc(times ...*time.Time) {
	for _, t := range times {
		*t = t.UTC().Truncate(time.Microsecond)
	}
}

// Micros returns t as a column: microseconds since 1970. The zero time is a
// number like any other.
func Micros(t time.Time) int64 { return t.UnixMicro() }

// FromMicros is the inverse of Micros, in UTC.
func FromMicros(n int64) time.Time {
	if t := time.UnixMicro(n).UTC(); !t.IsZero() {
		return t
	}
	return time.Time{}
}

// ContactDoc returns the document of a contact, its times in UTC and cut to the
// microsecond. v is left as it is.
func ContactDoc(v *ticket.Contact) (string, error) {
	c := *v
	utc(&c.CreatedAt, &c.UpdatedAt)
	return Encode(&c)
}

// ConversationDoc returns the document of a conversation, its times in UTC and cut to the
// microsecond. v is left as it is.
func ConversationDoc(v *ticket.Conversation) (string, error) {
	c := *v
	utc(&c.WaitingSince, &c.QueuedAt, &c.ClosedAt, &c.LastCustomerAt, &c.Since, &c.LastActAt, &c.CreatedAt, &c.UpdatedAt)
	return Encode(&c)
}

// TicketDoc returns the document of a ticket, its times in UTC and cut to the
// microsecond. v is left as it is.
func TicketDoc(v *ticket.Ticket) (string, error) {
	c := *v
	utc(&c.WaitingSince, &c.QueuedAt, &c.LastCustomerAt, &c.FirstReplyAt, &c.CreatedAt, &c.UpdatedAt, &c.SolvedAt, &c.ClosedAt, &c.DeletedAt)
	return Encode(&c)
}

// MessageDoc returns the document of a message, its times in UTC and cut to the
// microsecond. v is left as it is.
func MessageDoc(v *ticket.Message) (string, error) {
	c := *v
	utc(&c.NotBefore, &c.FirstTryAt, &c.TriedAt, &c.SentAt, &c.EditedAt, &c.HiddenAt, &c.RedactedAt, &c.At, &c.CreatedAt, &c.UpdatedAt)
	c.Warnings = slices.Clone(v.Warnings)
	for i := range c.Warnings {
		utc(&c.Warnings[i].Since)
	}
	return Encode(&c)
}

// ItemDoc returns the document of an item, its times in UTC and cut to the
// microsecond. v is left as it is.
func ItemDoc(v *ticket.Item) (string, error) {
	c := *v
	utc(&c.ReceivedAt)
	return Encode(&c)
}

// WorkDoc returns the document of a work, its times in UTC and cut to the
// microsecond. v is left as it is.
func WorkDoc(v *ticket.Work) (string, error) {
	c := *v
	utc(&c.NotBefore, &c.LeaseUntil, &c.CreatedAt, &c.ParkedAt)
	return Encode(&c)
}

// EventDoc returns the document of an event, its times in UTC and cut to the
// microsecond. v is left as it is.
func EventDoc(v *ticket.Event) (string, error) {
	c := *v
	utc(&c.At)
	return Encode(&c)
}

// DecisionDoc returns the document of a decision, its times in UTC and cut to the
// microsecond. v is left as it is.
func DecisionDoc(v *ticket.Decision) (string, error) {
	c := *v
	utc(&c.At)
	return Encode(&c)
}
