package memstore

import (
	"maps"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// The clones are deep, and in the form in which a store on disk would give
// things back: times in UTC at microseconds, empty slices and maps nil.

func cloneTime(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

func cloneSlice[T any](s []T) []T {
	if len(s) == 0 {
		return nil
	}
	return append(make([]T, 0, len(s)), s...)
}

func cloneMap(m map[string]string) map[string]string {
	if len(m) == 0 {
		return nil
	}
	c := make(map[string]string, len(m))
	maps.Copy(c, m)
	return c
}

func cloneContact(v *ticket.Contact) *ticket.Contact {
	c := *v
	c.Identities = cloneSlice(v.Identities)
	c.Fields = cloneMap(v.Fields)
	c.CreatedAt = cloneTime(v.CreatedAt)
	c.UpdatedAt = cloneTime(v.UpdatedAt)
	return &c
}

func cloneConversation(v *ticket.Conversation) *ticket.Conversation {
	c := *v
	c.Participants = cloneSlice(v.Participants)
	c.References = cloneSlice(v.References)
	c.WaitingSince, c.QueuedAt = cloneTime(v.WaitingSince), cloneTime(v.QueuedAt)
	c.ClosedAt = cloneTime(v.ClosedAt)
	c.LastCustomerAt = cloneTime(v.LastCustomerAt)
	c.Since, c.LastActAt = cloneTime(v.Since), cloneTime(v.LastActAt)
	c.CreatedAt = cloneTime(v.CreatedAt)
	c.UpdatedAt = cloneTime(v.UpdatedAt)
	return &c
}

func cloneTicket(v *ticket.Ticket) *ticket.Ticket {
	c := *v
	c.Tags = cloneSlice(v.Tags)
	c.Fields = cloneMap(v.Fields)
	c.Conversations = cloneSlice(v.Conversations)
	c.WaitingSince, c.QueuedAt = cloneTime(v.WaitingSince), cloneTime(v.QueuedAt)
	c.LastCustomerAt = cloneTime(v.LastCustomerAt)
	c.FirstReplyAt = cloneTime(v.FirstReplyAt)
	c.CreatedAt = cloneTime(v.CreatedAt)
	c.UpdatedAt = cloneTime(v.UpdatedAt)
	c.SolvedAt = cloneTime(v.SolvedAt)
	c.ClosedAt = cloneTime(v.ClosedAt)
	c.DeletedAt = cloneTime(v.DeletedAt)
	return &c
}

func cloneMessage(v *ticket.Message) *ticket.Message {
	c := *v
	c.ReplyTo = cloneSlice(v.ReplyTo)
	c.To = cloneSlice(v.To)
	c.Cc = cloneSlice(v.Cc)
	c.Bcc = cloneSlice(v.Bcc)
	c.Attachments = cloneSlice(v.Attachments)
	for i, a := range c.Attachments {
		if a.Window != nil {
			w := *a.Window
			c.Attachments[i].Window = &w
		}
	}
	c.Defects = cloneSlice(v.Defects)
	c.ExternalIDs = cloneSlice(v.ExternalIDs)
	c.Deliveries = cloneSlice(v.Deliveries)
	c.Reactions = cloneSlice(v.Reactions)
	c.EditedAt = cloneTime(v.EditedAt)
	c.HiddenAt = cloneTime(v.HiddenAt)
	c.Warnings = cloneSlice(v.Warnings)
	for i := range c.Warnings {
		c.Warnings[i].Since = cloneTime(c.Warnings[i].Since)
	}
	c.References = cloneSlice(v.References)
	c.NotBefore = cloneTime(v.NotBefore)
	c.SentAt, c.FirstTryAt, c.TriedAt = cloneTime(v.SentAt), cloneTime(v.FirstTryAt), cloneTime(v.TriedAt)
	c.RedactedAt = cloneTime(v.RedactedAt)
	c.At = cloneTime(v.At)
	c.CreatedAt = cloneTime(v.CreatedAt)
	c.UpdatedAt = cloneTime(v.UpdatedAt)
	return &c
}

// messageOut is a message as it is given back: the text of the index stays here.
func messageOut(v *ticket.Message) *ticket.Message {
	c := cloneMessage(v)
	c.Search = ""
	return c
}

func cloneItem(v *ticket.Item) *ticket.Item {
	c := *v
	c.Held = cloneSlice(v.Held)
	c.Finding.Data = cloneMap(v.Finding.Data)
	c.ReceivedAt = cloneTime(v.ReceivedAt)
	return &c
}

func cloneWork(v *ticket.Work) *ticket.Work {
	c := *v
	c.NotBefore = cloneTime(v.NotBefore)
	c.LeaseUntil = cloneTime(v.LeaseUntil)
	c.ParkedAt = cloneTime(v.ParkedAt)
	c.CreatedAt = cloneTime(v.CreatedAt)
	return &c
}

func cloneRecord(v *ticket.Record) *ticket.Record {
	c := *v
	c.Doc = append(make([]byte, 0, len(v.Doc)), v.Doc...) // a nil Doc has a meaning
	return &c
}

func cloneEvent(v *ticket.Event) *ticket.Event {
	c := *v
	c.At = cloneTime(v.At)
	c.Data = cloneMap(v.Data)
	return &c
}

func cloneDecision(v *ticket.Decision) *ticket.Decision {
	c := *v
	c.Steps = cloneSlice(v.Steps)
	c.At = cloneTime(v.At)
	return &c
}
