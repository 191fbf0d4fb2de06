package sqlitestore

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// encode returns v as it is kept. U+0000 is escaped by encoding/json.
func encode(v any) (string, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return "", err
	}
	return string(bytes.TrimSuffix(b.Bytes(), []byte("\n"))), nil
}

func decode[V any](doc []byte) (*V, error) {
	v := new(V)
	return v, json.Unmarshal(doc, v)
}

// utc brings times into the form in which they are kept.
func utc(times ...*time.Time) {
	for _, t := range times {
		*t = t.UTC().Truncate(time.Microsecond)
	}
}

// micros returns t as a column. The zero time is a number like any other.
func micros(t time.Time) int64 { return t.UnixMicro() }

// since returns t as a column, NULL for the zero time.
func since(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UnixMicro()
}

func fromMicros(n int64) time.Time {
	if t := time.UnixMicro(n).UTC(); !t.IsZero() {
		return t
	}
	return time.Time{}
}

// null returns s as a column, NULL if it is empty.
func null[S ~string](s S) any {
	if s == "" {
		return nil
	}
	return string(s)
}

func flag(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// The kept forms of entities: shallow copies with their times in order.

func contactDoc(v *ticket.Contact) (string, error) {
	c := *v
	utc(&c.CreatedAt, &c.UpdatedAt)
	return encode(&c)
}

func conversationDoc(v *ticket.Conversation) (string, error) {
	c := *v
	utc(&c.WaitingSince, &c.QueuedAt, &c.LastCustomerAt, &c.CreatedAt, &c.UpdatedAt)
	return encode(&c)
}

func ticketDoc(v *ticket.Ticket) (string, error) {
	c := *v
	utc(&c.WaitingSince, &c.QueuedAt, &c.LastCustomerAt, &c.FirstReplyAt, &c.CreatedAt, &c.UpdatedAt, &c.SolvedAt, &c.ClosedAt, &c.DeletedAt)
	return encode(&c)
}

func messageDoc(v *ticket.Message) (string, error) {
	c := *v
	utc(&c.NotBefore, &c.FirstTryAt, &c.SentAt, &c.RedactedAt, &c.At, &c.CreatedAt, &c.UpdatedAt)
	return encode(&c)
}

func itemDoc(v *ticket.Item) (string, error) {
	c := *v
	utc(&c.ReceivedAt)
	return encode(&c)
}

func workDoc(v *ticket.Work) (string, error) {
	c := *v
	utc(&c.NotBefore, &c.LeaseUntil, &c.CreatedAt)
	return encode(&c)
}

func eventDoc(v *ticket.Event) (string, error) {
	c := *v
	utc(&c.At)
	return encode(&c)
}

func decisionDoc(v *ticket.Decision) (string, error) {
	c := *v
	utc(&c.At)
	return encode(&c)
}
