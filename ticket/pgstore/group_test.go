package pgstore

import (
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/anteroom/anteroom/ticket"
)

// A pooler that loses the server says so in an error of the database's form,
// and by then the transaction may be done.
func TestATransactionOfWhichNobodyKnowsIsNotWrittenAgain(t *testing.T) {
	t.Parallel()
	b := open(t, cluster.Database(t))
	t.Cleanup(func() { require.NoError(t, b.Close()) })
	s := b.Portal("main")
	require.NoError(t, s.Commit(t.Context(), &ticket.Changes{Events: []*ticket.Event{{ID: "0"}}}))
	id := b.ids["main"]
	_, err := b.pool.Exec(t.Context(), b.sql.in(`CREATE FUNCTION lost() RETURNS trigger LANGUAGE plpgsql AS
		$$ BEGIN IF NEW.id = 'x' THEN RAISE 'server conn crashed?' USING ERRCODE = '08P01'; END IF; RETURN NEW; END $$;
		CREATE TRIGGER lost BEFORE INSERT ON anteroom.contacts FOR EACH ROW EXECUTE FUNCTION lost()`))
	require.NoError(t, err)
	var batch []*request
	for _, contact := range []ticket.ContactID{"x", "y"} {
		p, err := prepare(id, &ticket.Changes{Contacts: []*ticket.Contact{{ID: contact}}})
		require.NoError(t, err)
		batch = append(batch, &request{prepared: p, ctx: t.Context(), done: make(chan struct{})})
	}
	b.group("main", id).write(batch)
	for _, r := range batch {
		require.ErrorContains(t, r.err, "server conn crashed?")
		require.NotErrorIs(t, r.err, ticket.ErrConflict)
	}
}
