package driver

import (
	"slices"

	"github.com/anteroom/anteroom/channel"
	"github.com/anteroom/anteroom/ticket"
)

// The documents of entities. Times are in UTC and cut to the microsecond; the
// entity is left as it is. They are what encoding/json makes of it.

// ContactDoc returns the document of a contact.
func ContactDoc(v *ticket.Contact) (string, error) {
	return document(func(o *object) {
		o.text("id", string(v.ID))
		o.textIf("name", v.Name)
		objectsIf(o, "identities", v.Identities, func(o *object, v *ticket.Identity) {
			o.text("scheme", v.Scheme)
			o.text("address", v.Address)
		})
		o.textIf("merged_into", string(v.MergedInto))
		o.dataIf("fields", v.Fields)
		o.time("created_at", v.CreatedAt)
		o.time("updated_at", v.UpdatedAt)
	})
}

// ConversationDoc returns the document of a conversation.
func ConversationDoc(v *ticket.Conversation) (string, error) {
	return document(func(o *object) {
		o.text("id", string(v.ID))
		o.text("channel", string(v.Channel))
		o.textIf("via", string(v.Via))
		o.textIf("key", v.Key)
		o.textIf("thread_id", v.ThreadID)
		o.textIf("contact", string(v.Contact))
		o.textIf("subject", v.Subject)
		o.textIf("context", v.Context)
		o.textIf("group", v.Group)
		objectsIf(o, "participants", v.Participants, func(o *object, v *ticket.Participant) {
			o.party(&v.Party)
			o.flagIf("unverified", v.Unverified)
		})
		wordsIf(o, "references", v.References)
		o.textIf("ticket", string(v.Ticket))
		o.assignment(&v.Assignment)
		o.timeIf("closed_at", v.ClosedAt)
		o.number("message_count", int64(v.MessageCount))
		o.textIf("last_incoming", string(v.LastIncoming))
		o.timeIf("last_customer_at", v.LastCustomerAt)
		o.timeIf("since", v.Since)
		o.timeIf("last_act_at", v.LastActAt)
		o.time("created_at", v.CreatedAt)
		o.time("updated_at", v.UpdatedAt)
	})
}

func (o *object) assignment(v *ticket.Assignment) {
	o.textIf("queue", string(v.Queue))
	o.textIf("assignee", string(v.Assignee))
	o.textIf("previous", string(v.Previous))
	o.timeIf("waiting_since", v.WaitingSince)
	o.timeIf("queued_at", v.QueuedAt)
}

// TicketDoc returns the document of a ticket.
func TicketDoc(v *ticket.Ticket) (string, error) {
	return document(func(o *object) {
		o.text("id", string(v.ID))
		o.number("number", v.Number)
		o.text("subject", v.Subject)
		o.text("status", string(v.Status))
		o.text("priority", string(v.Priority))
		wordsIf(o, "tags", v.Tags)
		o.dataIf("fields", v.Fields)
		o.assignment(&v.Assignment)
		o.text("channel", string(v.Channel))
		o.text("conversation", string(v.Conversation))
		wordsIf(o, "conversations", v.Conversations)
		o.textIf("contact", string(v.Contact))
		o.textIf("merged_into", string(v.MergedInto))
		o.textIf("split_from", string(v.SplitFrom))
		o.textIf("follow_up_of", string(v.FollowUpOf))
		o.flagIf("imported", v.Imported)
		o.number("message_count", int64(v.MessageCount))
		o.timeIf("last_customer_at", v.LastCustomerAt)
		o.timeIf("first_reply_at", v.FirstReplyAt)
		o.time("created_at", v.CreatedAt)
		o.time("updated_at", v.UpdatedAt)
		o.timeIf("solved_at", v.SolvedAt)
		o.timeIf("closed_at", v.ClosedAt)
		o.timeIf("deleted_at", v.DeletedAt)
		o.number("revision", v.Revision)
	})
}

// MessageDoc returns the document of a message.
func MessageDoc(v *ticket.Message) (string, error) {
	return document(func(o *object) {
		o.text("id", string(v.ID))
		o.text("conversation", string(v.Conversation))
		o.textIf("ticket", string(v.Ticket))
		o.text("channel", string(v.Channel))
		o.textIf("via", string(v.Via))
		o.text("direction", string(v.Direction))
		o.textIf("contact", string(v.Contact))
		o.textIf("agent", string(v.Agent))
		o.begin("from")
		o.party(&v.From)
		o.end()
		objectsIf(o, "reply_to", v.ReplyTo, (*object).party)
		objectsIf(o, "to", v.To, (*object).party)
		objectsIf(o, "cc", v.Cc, (*object).party)
		objectsIf(o, "bcc", v.Bcc, (*object).party)
		o.textIf("subject", v.Subject)
		o.textIf("text", v.Text)
		o.textIf("new_text", v.NewText)
		o.textIf("html", v.HTML)
		o.textIf("payload", v.Payload)
		valuesIf(o, "attachments", v.Attachments)
		o.origin(v)
		o.outgoing(v)
		o.timeIf("redacted_at", v.RedactedAt)
		o.textIf("redacted_by", v.RedactedBy)
		o.timeIf("at", v.At)
		o.time("created_at", v.CreatedAt)
		o.time("updated_at", v.UpdatedAt)
	})
}

// origin appends what is known of where a message came from.
func (o *object) origin(v *ticket.Message) {
	if v.Automatic != (channel.Automatic{}) {
		o.value("automatic", v.Automatic)
	}
	o.textIf("quiet", v.Quiet)
	if v.Auth != (channel.Auth{}) {
		o.begin("auth")
		o.textIf("spf", v.Auth.SPF)
		o.textIf("dkim", v.Auth.DKIM)
		o.textIf("dmarc", v.Auth.DMARC)
		o.end()
	}
	wordsIf(o, "defects", v.Defects)
	if e := &v.Envelope; *e != (channel.Envelope{}) {
		o.begin("envelope")
		o.text("From", e.From)
		o.text("To", e.To)
		o.flag("Known", e.Known)
		o.text("RemoteIP", e.RemoteIP)
		o.text("Helo", e.Helo)
		o.flag("TLS", e.TLS)
		o.flag("NullPath", e.NullPath)
		o.flag("SMTPUTF8", e.SMTPUTF8)
		o.text("Transport", e.Transport)
		o.end()
	}
	o.bodyIf("raw", &v.Raw)
	o.flagIf("imported", v.Imported)
	o.flagIf("unverified", v.Unverified)
	o.flagIf("inferred", v.Inferred)
	wordsIf(o, "external_ids", v.ExternalIDs)
	o.textIf("thread_id", v.ThreadID)
	valuesIf(o, "reactions", v.Reactions)
	o.flagIf("hidden", v.Hidden)
	o.timeIf("hidden_at", v.HiddenAt)
	o.timeIf("edited_at", v.EditedAt)
}

// outgoing appends what is set on outgoing messages.
func (o *object) outgoing(v *ticket.Message) {
	o.text("state", string(v.State))
	o.textIf("state_detail", v.StateDetail)
	valuesIf(o, "deliveries", v.Deliveries)
	o.textIf("auto", string(v.Auto))
	if len(v.Warnings) > 0 {
		warnings := slices.Clone(v.Warnings)
		for i := range warnings {
			warnings[i].Since = kept(warnings[i].Since)
		}
		o.value("warnings", warnings)
	}
	if v.Signature != (channel.Signature{}) {
		o.value("signature", v.Signature)
	}
	wordsIf(o, "references", v.References)
	o.textIf("group", v.Group)
	o.textIf("how", string(v.How))
	o.flagIf("system", v.System)
	o.textIf("work", string(v.Work))
	o.timeIf("not_before", v.NotBefore)
	o.numberIf("attempts", int64(v.Attempts))
	o.timeIf("first_try_at", v.FirstTryAt)
	o.timeIf("tried_at", v.TriedAt)
	o.numberIf("held", int64(v.Held))
	o.timeIf("sent_at", v.SentAt)
}

func (o *object) bodyIf(name string, v *ticket.BodyRef) {
	if v.IsZero() {
		return
	}
	o.begin(name)
	o.textIf("id", string(v.ID))
	o.numberIf("size", v.Size)
	o.flagIf("blob", v.Blob)
	o.end()
}

// ItemDoc returns the document of an item.
func ItemDoc(v *ticket.Item) (string, error) {
	return document(func(o *object) {
		o.text("id", string(v.ID))
		o.text("channel", string(v.Channel))
		o.textIf("via", string(v.Via))
		o.text("day", v.Day)
		o.text("disposition", string(v.Disposition))
		o.textIf("cause", string(v.Cause))
		o.textIf("detail", v.Detail)
		o.textIf("message", string(v.Message))
		o.bodyIf("raw", &v.Raw)
		if len(v.Held) > 0 {
			o.value("held", v.Held)
		}
		if f := &v.Finding; f.Code != "" || f.Severity != "" || f.Text != "" || f.Fix != "" || f.Data != nil {
			o.value("finding", f)
		}
		o.flagIf("imported", v.Imported)
		o.time("received_at", v.ReceivedAt)
	})
}

// WorkDoc returns the document of a work.
func WorkDoc(v *ticket.Work) (string, error) {
	c := *v
	c.NotBefore, c.LeaseUntil, c.CreatedAt, c.ParkedAt = kept(c.NotBefore), kept(c.LeaseUntil), kept(c.CreatedAt), kept(c.ParkedAt)
	return Encode(&c)
}

// EventDoc returns the document of an event.
func EventDoc(v *ticket.Event) (string, error) {
	return document(func(o *object) {
		o.number("cursor", v.Cursor)
		o.text("id", v.ID)
		o.text("type", string(v.Type))
		o.time("at", v.At)
		o.begin("actor")
		o.text("kind", string(v.Actor.Kind))
		o.textIf("id", v.Actor.ID)
		o.end()
		o.textIf("ticket", string(v.Ticket))
		o.textIf("conversation", string(v.Conversation))
		o.textIf("message", string(v.Message))
		o.textIf("agent", string(v.Agent))
		o.textIf("channel", string(v.Channel))
		o.dataIf("data", v.Data)
	})
}

// DecisionDoc returns the document of a decision.
func DecisionDoc(v *ticket.Decision) (string, error) {
	return document(func(o *object) {
		o.text("id", v.ID)
		o.text("kind", v.Kind)
		o.textIf("ticket", string(v.Ticket))
		o.textIf("conversation", string(v.Conversation))
		o.textIf("message", string(v.Message))
		o.text("outcome", v.Outcome)
		objectsIf(o, "steps", v.Steps, func(o *object, v *ticket.Step) {
			o.text("rule", v.Rule)
			o.text("outcome", v.Outcome)
			o.textIf("detail", v.Detail)
		})
		o.time("at", v.At)
	})
}
