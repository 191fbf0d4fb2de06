package sqlitestore

import (
	"errors"
	"fmt"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
	"github.com/anteroom/anteroom/ticket/internal/scaletest"
)

// applied is what a commit does in its transaction.
func applied(t *testing.T, c *ticket.Changes) func(tx *tx) error {
	t.Helper()
	r, err := prepare(c)
	require.NoError(t, err)
	return func(tx *tx) error {
		s, err := tx.portal("main")
		if err != nil {
			return err
		}
		return r.write(tx, s)
	}
}

// A mail's commit has fewer rows than a statement takes, and these have more.
const togetherMails = 2*maxRows + 3

func TestCommitsOfOneTransactionShareStatementsAndLoseNoRow(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var applies []func(*tx) error
	for i := range togetherMails {
		applies = append(applies, applied(t, scaletest.Intake(int64(i))))
	}
	all := batch("main", applies...)
	b.writer.write(all)
	for _, r := range all {
		require.NoError(t, r.err)
	}
	require.Equal(t, togetherMails, count(t, b, "tickets", "number BETWEEN 1 AND 19"))
	for _, table := range []string{"contacts", "conversations", "messages", "items", "works", "bodies", "decisions", "search"} {
		require.Equal(t, togetherMails, count(t, b, table, "true"), table)
	}
	require.Equal(t, 2*togetherMails, count(t, b, "keys", "true"))
	require.Equal(t, 3*togetherMails, count(t, b, "events", "true"))
	require.Equal(t, 1, count(t, b, "ledger", fmt.Sprintf("count = %d", togetherMails)))
}

func TestOneOfManyThatShareStatementsFailsAlone(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(c, other *ticket.Changes){
		"a key":      func(c, other *ticket.Changes) { c.Claims[0].Key = other.Claims[0].Key },
		"an entity":  func(c, other *ticket.Changes) { c.Messages[0].ID = other.Messages[0].ID },
		"a decision": func(c, other *ticket.Changes) { c.Decisions[0].ID = other.Decisions[0].ID },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			var applies []func(*tx) error
			for i := range togetherMails {
				c := scaletest.Intake(int64(i))
				if i == 7 {
					spoil(c, scaletest.Intake(3))
				}
				applies = append(applies, applied(t, c))
			}
			all := batch("main", applies...)
			b.writer.write(all)
			for i, r := range all {
				require.Equal(t, i == 7, errors.Is(r.err, ticket.ErrConflict), "%d: %v", i, r.err)
			}
			require.Equal(t, togetherMails-1, count(t, b, "tickets", "true"))
			require.Equal(t, togetherMails-1, count(t, b, "search", "true"))
			require.Equal(t, 3*(togetherMails-1), count(t, b, "events", "true"))
		})
	}
}

func TestACommitSeesWhatAnotherOfItsTransactionHasInserted(t *testing.T) {
	t.Parallel()
	b := setup(t)
	first, second := scaletest.Intake(1), scaletest.Intake(1)
	edited := *second.Messages[0]
	edited.Revision, edited.Subject, edited.Search = 1, "edited", "another text"
	item := *second.Items[0]
	item.Revision, item.Disposition = 1, ticket.DisposedIgnored
	gone := second.Works[0]
	all := batch("main", applied(t, first), applied(t, &ticket.Changes{
		At: second.At, Releases: []ticket.Key{second.Claims[0].Key}, Messages: []*ticket.Message{&edited}, Items: []*ticket.Item{&item},
		Done: []ticket.Done{{ID: gone.ID, Revision: 1}}, DropBodies: []ticket.BodyID{second.Bodies[0].ID},
	}))
	b.writer.write(all)
	require.NoError(t, all[0].err)
	require.NoError(t, all[1].err)
	require.Equal(t, 1, count(t, b, "messages", "rev = 2 AND doc LIKE '%edited%'"))
	require.Equal(t, 1, count(t, b, "search", "search MATCH 'another'"))
	require.Zero(t, count(t, b, "search", "search MATCH 'parcel'"))
	require.Equal(t, 1, count(t, b, "ledger", "count = 1 AND disposition = 'ignored'"))
	require.Equal(t, 1, count(t, b, "keys", "true"))
	require.Zero(t, count(t, b, "works", "true")+count(t, b, "bodies", "true"))
}

// openHold is the lease under which all desks write.
var openHold = ticket.Hold{Lease: "portal", Owner: "open"}

// leased takes a lease in a transaction.
func leased(name, owner string, now, until int64) func(*tx) error {
	return func(tx *tx) error {
		s, err := tx.portal("main")
		if err == nil {
			_, err = tx.lease(s, name, owner, now, until)
		}
		return err
	}
}

func TestCommitsUnderOneLeaseShareStatements(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const commits = maxRows - 1
	waiting := 0
	applies := []func(*tx) error{leased(openHold.Lease, openHold.Owner, 1, 2)}
	for i := range commits {
		c := scaletest.Intake(int64(i))
		c.Holds = []ticket.Hold{openHold}
		applies = append(applies, applied(t, c))
	}
	all := batch("main", append(applies, func(tx *tx) error {
		waiting = len(tx.pendingOf(sqls.contacts.insert).args) / sqls.contacts.insert.columns
		return nil
	})...)
	b.writer.write(all)
	for _, r := range all {
		require.NoError(t, r.err)
	}
	require.Equal(t, commits, waiting, "nothing was asked that inserts what waits")
	require.Equal(t, commits, count(t, b, "contacts", "true"))
}

func TestALeaseThatIsTakenBetweenCommitsOfATransactionCounts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	var applies []func(*tx) error
	for i := range 4 {
		c := scaletest.Intake(int64(i))
		c.Holds = []ticket.Hold{openHold}
		applies = append(applies, applied(t, c))
	}
	all := batch("main", applies[0], leased(openHold.Lease, openHold.Owner, 1, 2), applies[1], leased(openHold.Lease, "retired", 3, 9), applies[2],
		leased(openHold.Lease, "retired", 4, 4), leased(openHold.Lease, openHold.Owner, 5, 6), applies[3])
	b.writer.write(all)
	for i, r := range all {
		require.Equal(t, i == 0 || i == 4, errors.Is(r.err, ticket.ErrNotHeld), "%d: %v", i, r.err)
	}
	require.Equal(t, 2, count(t, b, "tickets", "number BETWEEN 1 AND 2"))
}

// What has no precondition fails nothing when it is too early.
func TestWhatIsRemovedWithoutAPreconditionIsRemovedInOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := scaletest.Intake(1)
	all := batch("main", applied(t, c), applied(t, &ticket.Changes{Releases: []ticket.Key{c.Claims[0].Key}}),
		applied(t, scaletest.Intake(2)), applied(t, &ticket.Changes{DropBodies: []ticket.BodyID{scaletest.Intake(2).Bodies[0].ID}}))
	b.writer.write(all)
	for _, r := range all {
		require.NoError(t, r.err)
	}
	require.Equal(t, 3, count(t, b, "keys", "true"))
	require.Equal(t, 1, count(t, b, "bodies", "true"))
}

// count counts the rows of a table of which something holds.
func count(t *testing.T, b *Backend, table, where string) (n int) {
	t.Helper()
	require.NoError(t, b.read(t.Context(), func(c *conn) error {
		_, err := c.one("SELECT count(*) FROM "+table+" WHERE "+where, nil, &n)
		return err
	}))
	return n
}
