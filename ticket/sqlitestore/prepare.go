package sqlitestore

import (
	"fmt"
	"strings"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/driver"
)

// sqls are the statements of entities. They never change.
var sqls = newStatements()

// prepare makes the rows of c.
func prepare(c *ticket.Changes) (*rows, error) {
	n := len(c.Contacts) + len(c.Conversations) + len(c.Tickets) + len(c.Messages) + len(c.Items) + len(c.Works) + len(c.Bodies) + len(c.Decisions)
	r := &rows{at: c.At, holds: c.Holds, counts: c.Counts, claims: c.Claims, releases: c.Releases,
		steps: make([]step, 0, n), events: make([]event, 0, len(c.Events))}
	for _, add := range []func(*ticket.Changes) error{r.people, r.tickets, r.messages, r.items, r.works, r.others} {
		if err := add(c); err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *rows) people(c *ticket.Changes) error {
	for _, v := range c.Contacts {
		doc, err := driver.ContactDoc(v)
		if err != nil {
			return fmt.Errorf("contact %s: %w", v.ID, err)
		}
		r.entity(sqls.contacts, string(v.ID), v.Revision, doc)
	}
	for _, v := range c.Conversations {
		doc, err := driver.ConversationDoc(v)
		if err != nil {
			return fmt.Errorf("conversation %s: %w", v.ID, err)
		}
		r.entity(sqls.conversations, string(v.ID), v.Revision, doc, null(v.Channel), null(v.Contact), null(v.Ticket),
			null(v.Queue), null(v.Assignee), since(v.WaitingSince), driver.Micros(v.UpdatedAt))
	}
	return nil
}

func (r *rows) tickets(c *ticket.Changes) error {
	for _, v := range c.Tickets {
		doc, err := driver.TicketDoc(v)
		if err != nil {
			return fmt.Errorf("ticket %s: %w", v.ID, err)
		}
		waiting := since(v.WaitingSince)
		if !v.DeletedAt.IsZero() {
			waiting = nil
		}
		st := r.entity(sqls.tickets, string(v.ID), v.Revision, doc, nil, driver.StatusRank(v.Status), null(v.Queue), null(v.Assignee),
			null(v.Channel), null(v.Contact), waiting, driver.Micros(v.UpdatedAt), flag(!v.DeletedAt.IsZero()))
		if v.Revision == 0 {
			st.before = func(_ *tx, s *portalState, args []any) error {
				s.number++
				s.dirty = true
				args[1] = s.number
				return nil
			}
		}
	}
	return nil
}

func (r *rows) messages(c *ticket.Changes) error {
	for _, v := range c.Messages {
		doc, err := driver.MessageDoc(v)
		if err != nil {
			return fmt.Errorf("message %s: %w", v.ID, err)
		}
		st := r.entity(sqls.messages, string(v.ID), v.Revision, doc, nil, null(v.Ticket), null(v.Conversation))
		id, text, redacted := string(v.ID), v.Search, !v.RedactedAt.IsZero()
		if v.Revision == 0 {
			st.before = func(_ *tx, s *portalState, args []any) error {
				s.message++
				s.dirty = true
				args[1] = s.id<<placeBits | s.message
				return nil
			}
			if strings.TrimSpace(text) != "" {
				st.after = func(t *tx, _ *portalState, args []any) error {
					place, _ := args[1].(int64) // set by before
					t.index = append(t.index, indexed{place: place, text: text, fresh: true})
					return nil
				}
			}
		} else if text != "" || redacted {
			st.after = func(t *tx, s *portalState, _ []any) error {
				var place int64
				if _, err := t.one("SELECT place FROM messages WHERE portal = ? AND id = ?", []any{s.id, id}, &place); err != nil {
					return err
				}
				t.index = append(t.index, indexed{place: place, text: text})
				return nil
			}
		}
	}
	return nil
}

func (r *rows) items(c *ticket.Changes) error {
	for _, v := range c.Items {
		doc, err := driver.ItemDoc(v)
		if err != nil {
			return fmt.Errorf("item %s: %w", v.ID, err)
		}
		id, revision := string(v.ID), v.Revision
		day, ch, disposition, cause := v.Day, string(v.Channel), string(v.Disposition), string(v.Cause)
		st := r.entity(sqls.items, id, revision, doc, ch, day, disposition, cause, null(v.Message))
		if revision != 0 {
			st.before = func(t *tx, s *portalState, _ []any) error {
				var day, ch, disposition, cause string
				found, err := t.one("SELECT day, channel, disposition, cause FROM items WHERE portal = ? AND id = ? AND rev = ?",
					[]any{s.id, id, revision}, &day, &ch, &disposition, &cause)
				if err != nil || !found {
					return err // the update that follows finds nothing either
				}
				t.ledger = append(t.ledger, tally{entry{s.id, day, ch, disposition, cause}, -1})
				return nil
			}
		}
		st.after = func(t *tx, s *portalState, _ []any) error {
			t.ledger = append(t.ledger, tally{entry{s.id, day, ch, disposition, cause}, 1})
			return nil
		}
	}
	return nil
}

func (r *rows) works(c *ticket.Changes) error {
	for _, d := range c.Done {
		r.plain("work", string(d.ID), "DELETE FROM works WHERE portal = ? AND id = ? AND rev = ?", string(d.ID), d.Revision)
	}
	for _, v := range c.Works {
		doc, err := driver.WorkDoc(v)
		if err != nil {
			return fmt.Errorf("work %s: %w", v.ID, err)
		}
		notBefore, lease := driver.Micros(v.NotBefore), driver.Micros(v.LeaseUntil)
		r.entity(sqls.works, string(v.ID), v.Revision, doc, v.Lane, notBefore, lease, max(notBefore, lease), flag(v.Parked), v.Owner, v.Attempts)
	}
	return nil
}

// others adds what is not an entity.
func (r *rows) others(c *ticket.Changes) error {
	for _, v := range c.Records {
		kind, doc := string(v.Kind), notNull(v.Doc)
		switch {
		case v.Doc == nil && v.Revision == 0:
			r.steps = append(r.steps, step{
				query: "SELECT ?", args: []any{nil}, before: absentRecord(kind, v.ID),
			})
		case v.Doc == nil:
			r.plain("record", v.ID, "DELETE FROM records WHERE portal = ? AND kind = ? AND id = ? AND rev = ?", kind, v.ID, v.Revision)
		case v.Revision == 0:
			r.plain("record", v.ID, "INSERT INTO records (portal, kind, id, rev, doc) VALUES (?, ?, ?, 1, ?) ON CONFLICT DO NOTHING", kind, v.ID, doc)
		default:
			r.plain("record", v.ID, "UPDATE records SET rev = rev + 1, doc = ?5 WHERE portal = ?1 AND kind = ?2 AND id = ?3 AND rev = ?4",
				kind, v.ID, v.Revision, doc)
		}
	}
	for _, id := range c.DropBodies {
		r.plain("", "", "DELETE FROM bodies WHERE portal = ? AND id = ?", string(id))
	}
	for _, b := range c.Bodies {
		r.row("body", string(b.ID), insertBodies, string(b.ID), notNull(b.Data))
	}
	for _, id := range c.DropDecisions {
		r.plain("", "", "DELETE FROM decisions WHERE portal = ? AND id = ?", id)
	}
	for _, v := range c.Decisions {
		doc, err := driver.DecisionDoc(v)
		if err != nil {
			return fmt.Errorf("decision %s: %w", v.ID, err)
		}
		r.row("decision", v.ID, insertDecisions, v.ID, null(v.Ticket), null(v.Conversation), null(v.Message), doc)
	}
	for _, v := range c.Events {
		doc, err := driver.EventDoc(v)
		if err != nil {
			return fmt.Errorf("event %s: %w", v.ID, err)
		}
		r.events = append(r.events, event{null(v.Ticket), doc})
	}
	return nil
}

// notNull returns b as a column, also if it is nil.
func notNull(b []byte) []byte {
	if b == nil {
		return []byte{}
	}
	return b
}

// absentRecord is the precondition of deleting a record that must not exist.
func absentRecord(kind, id string) func(*tx, *portalState, []any) error {
	return func(t *tx, s *portalState, _ []any) error {
		found, err := t.one("SELECT 1 FROM records WHERE portal = ? AND kind = ? AND id = ?", []any{s.id, kind, id}, new(int))
		if err == nil && found {
			err = fmt.Errorf("record %s: %w", id, ticket.ErrConflict)
		}
		return err
	}
}
