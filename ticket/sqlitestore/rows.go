package sqlitestore

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/anteroom/anteroom/ticket"
)

// rows is a commit in the form of its rows. They are made by the caller, so that
// the writer spends its time on nothing else. What of it is the caller's is read
// only while the caller waits.
type rows struct {
	at       time.Time
	holds    []ticket.Hold
	releases []ticket.Key
	claims   []ticket.KeyClaim
	steps    []step
	counts   []ticket.Count
	events   []event
}

// event is a row of events but for its cursor. ticket is a string or nil.
type event struct {
	ticket any
	doc    string
}

// step is one statement, which is a query or inserts one row. Its first argument is
// the portal.
type step struct {
	query string
	into  *insertion
	args  []any
	// what and id are of an entity whose precondition fails unless the
	// statement changes exactly one row. Empty: there is no precondition.
	what, id string
	// before and after, if set, run beside the statement.
	before, after func(t *tx, s *portalState, args []any) error
}

// table is a table of entities with revisions.
type table struct {
	what   string
	insert *insertion
	update string
}

// entityTable returns the statements for a table with the given columns between
// id and doc. Their arguments are portal, the columns, doc, rev, id, and for an
// update the revision before.
func entityTable(what, name string, columns ...string) table {
	all := append(slices.Clone(columns), "doc", "rev")
	return table{
		what: what,
		insert: newInsertion(fmt.Sprintf("INSERT INTO %s (portal, %s, id)", name, strings.Join(all, ", ")), len(all)+2,
			" ON CONFLICT (portal, id) DO NOTHING"),
		// The portal stands first among the arguments and last but two in the
		// statement, hence the numbers.
		update: fmt.Sprintf("UPDATE %s SET %s WHERE portal = ?1 AND id = ?%d AND rev = ?%d",
			name, numbered(all), len(all)+2, len(all)+3),
	}
}

// numbered returns "a = ?2, b = ?3".
func numbered(columns []string) string {
	var b strings.Builder
	for i, c := range columns {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "%s = ?%d", c, i+2)
	}
	return b.String()
}

// statements are those of all entities with revisions.
type statements struct {
	contacts, conversations, tickets, messages, items, works table
}

func newStatements() statements {
	s := statements{
		contacts:      entityTable("contact", "contacts"),
		conversations: entityTable("conversation", "conversations", "channel", "contact", "ticket", "queue", "assignee", "waiting", "updated"),
		tickets:       entityTable("ticket", "tickets", "number", "status", "queue", "assignee", "channel", "contact", "waiting", "updated", "deleted"),
		messages:      entityTable("message", "messages", "place", "ticket", "conversation"),
		items:         entityTable("item", "items", "channel", "day", "disposition", "cause", "message"),
		works:         entityTable("work", "works", "lane", "not_before", "lease", "due", "parked", "owner", "attempts"),
	}
	// What the store has given once stays.
	s.tickets.update = strings.Replace(s.tickets.update, "number = ?2, ", "", 1)
	s.messages.update = strings.Replace(s.messages.update, "place = ?2, ", "", 1)
	return s
}

// entity appends the statement for one entity.
func (r *rows) entity(t table, id string, revision int64, doc string, columns ...any) *step {
	args := make([]any, 0, len(columns)+5)
	args = append(args, nil)
	args = append(args, columns...)
	args = append(args, doc, revision+1, id)
	st := step{into: t.insert, what: t.what, id: id}
	if revision != 0 {
		st.into, st.query = nil, t.update
		args = append(args, revision)
	}
	st.args = args
	r.steps = append(r.steps, st)
	return &r.steps[len(r.steps)-1]
}

// row appends the insertion of a row without a revision.
func (r *rows) row(what, id string, into *insertion, args ...any) {
	st := step{into: into, args: make([]any, 1, 1+len(args)), what: what, id: id}
	st.args = append(st.args, args...)
	r.steps = append(r.steps, st)
}

// plain appends a statement without a revision.
func (r *rows) plain(what, id, query string, args ...any) {
	r.steps = append(r.steps, step{query: query, args: append([]any{nil}, args...), what: what, id: id})
}
