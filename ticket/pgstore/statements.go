package pgstore

import (
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5"
)

// statement is one of those that a commit consists of. Its arguments are the
// portal and an array for each column: texts, then bigints, then byteas.
type statement struct {
	sql                string
	texts, ints, bytes int
	inOrder            bool // its rows stand in the order of the commit
	late               bool // it runs under the lock of the portal's row
}

// Statements of a commit, in the order in which they run.
const (
	holdLeases = iota
	releaseKeys
	claimKeys
	insertContacts
	updateContacts
	insertConversations
	updateConversations
	updateTickets
	insertMessages
	updateMessages
	moveWords
	dropWords
	insertWords
	insertItems
	doneWorks
	insertWorks
	updateWorks
	deleteRecords
	insertRecords
	updateRecords
	dropBodies
	insertBodies
	dropDecisions
	insertDecisions
	// The lock of the portal's row is taken here.
	insertTickets
	insertEvents
	absentRecords // seen only once others have committed
	addLedger
	updateItems
	makeCounters
	addCounters
	forgetCounters
	countStatements
)

// statements are the SQL texts for one schema. They never change.
type statements struct {
	schema     string // quoted, with a dot
	commit     [countStatements]statement
	portalID   string
	makePortal string
	lockPortal string
	settings   string
}

// in puts the schema into a text in which it is called "anteroom".
func (s *statements) in(sql string) string { return strings.ReplaceAll(sql, "anteroom.", s.schema) }

// entity describes a table of entities: its columns in the order of arguments,
// id being the first and doc the second. A "?" marks what is NULL when empty,
// the zero of bigints being noTime; "!" what is a boolean.
type entity struct {
	what, table string
	texts, ints []string
}

var (
	contacts      = entity{"contact", "contacts", []string{"id", "doc"}, nil}
	conversations = entity{"conversation", "conversations",
		[]string{"id", "doc", "channel?", "contact?", "ticket?", "queue?", "assignee?"}, []string{"waiting?", "updated"}}
	tickets = entity{"ticket", "tickets",
		[]string{"id", "doc", "status", "queue?", "assignee?", "channel?", "contact?", "conversation?"},
		[]string{"rank", "waiting?", "updated", "deleted!"}}
	messages = entity{"message", "messages", []string{"id", "doc", "ticket?", "conversation?"}, nil}
	items    = entity{"item", "items", []string{"id", "doc", "channel", "day", "disposition", "cause", "message?"}, nil}
	works    = entity{"work", "works", []string{"id", "doc", "lane", "owner"}, []string{"not_before", "lease", "due", "parked!", "attempts"}}
)

// noTime stands for NULL among bigints.
const noTime = -1 << 63

// columns returns the names and, for the row n, the expressions.
func (e entity) columns() (names, exprs []string) {
	for _, c := range e.texts {
		name, nullable := strings.CutSuffix(c, "?")
		expr := "n." + name
		if nullable {
			expr = "nullif(" + expr + ", '')"
		}
		names, exprs = append(names, name), append(exprs, expr)
	}
	for _, c := range e.ints {
		expr := "n." + strings.TrimRight(c, "?!")
		switch {
		case strings.HasSuffix(c, "?"):
			expr = fmt.Sprintf("nullif(%s, (%d))", expr, noTime)
		case strings.HasSuffix(c, "!"):
			expr = "(" + expr + " <> 0)"
		}
		names, exprs = append(names, strings.TrimRight(c, "?!")), append(exprs, expr)
	}
	return names, exprs
}

// unnest returns the names, and the row source n, of arrays from the second
// argument on.
func unnest(texts, ints, bytes []string) (names []string, source string) {
	var args []string
	for _, group := range []struct {
		typ   string
		names []string
	}{{"text", texts}, {"bigint", ints}, {"bytea", bytes}} {
		for _, name := range group.names {
			args = append(args, fmt.Sprintf("$%d::%s[]", len(args)+2, group.typ))
			names = append(names, strings.TrimRight(name, "?!"))
		}
	}
	names = append(names, "ord")
	return names, fmt.Sprintf("unnest(%s) WITH ORDINALITY AS n(%s)", strings.Join(args, ", "), strings.Join(names, ", "))
}

// given returns the CTE n of those arrays.
func given(texts, ints, bytes []string) string {
	names, source := unnest(texts, ints, bytes)
	return "n AS MATERIALIZED (SELECT " + strings.Join(names, ", ") + " FROM " + source + ")"
}

// from returns only the row source.
func from(texts, ints []string) string {
	_, source := unnest(texts, ints, nil)
	return source
}

// refuse returns the end of a statement whose CTE d must have as many rows as n.
func refuse(what, id string) string {
	return fmt.Sprintf(` SELECT anteroom.refuse('AR001', '%s', array(SELECT %s FROM n EXCEPT ALL SELECT %s FROM d))
		WHERE (SELECT count(*) FROM d) <> (SELECT count(*) FROM n)`, what, id, id)
}

// insert is for entities that must not exist. more are further columns and
// their expressions.
func (e entity) insert(more ...[2]string) statement {
	names, exprs := e.columns()
	for _, m := range more {
		names, exprs = append(names, m[0]), append(exprs, m[1])
	}
	return statement{texts: len(e.texts), ints: len(e.ints), sql: fmt.Sprintf(
		`WITH %s, d AS (INSERT INTO anteroom.%s (portal, rev, %s) SELECT $1::bigint, 1, %s FROM n ORDER BY n.ord
		ON CONFLICT DO NOTHING RETURNING id)`, given(e.texts, e.ints, nil), e.table, strings.Join(names, ", "), strings.Join(exprs, ", ")) + refuse(e.what, "id")}
}

// update is for entities that must have the revision of the last argument.
func (e entity) update() statement {
	names, exprs := e.columns()
	set := make([]string, 0, len(names))
	for i, name := range names {
		if name != "id" {
			set = append(set, name+" = "+exprs[i])
		}
	}
	ints := append(slices.Clone(e.ints), "rev")
	return statement{texts: len(e.texts), ints: len(ints), sql: fmt.Sprintf(
		`WITH %s, d AS (UPDATE anteroom.%s t SET rev = t.rev + 1, %s FROM n WHERE t.portal = $1 AND t.id = n.id AND t.rev = n.rev RETURNING t.id)`,
		given(e.texts, ints, nil), e.table, strings.Join(set, ", ")) + refuse(e.what, "id")}
}

func newStatements(schema string) *statements {
	s := &statements{schema: pgx.Identifier{schema}.Sanitize() + "."}
	c := &s.commit
	c[holdLeases] = statement{texts: 2, sql: `WITH ` + given([]string{"name", "owner"}, nil, nil) + `,
		d AS (SELECT t.name, t.owner FROM anteroom.leases t JOIN n ON t.name = n.name AND t.owner = n.owner WHERE t.portal = $1 FOR SHARE OF t)` +
		refuse(heldLease, "name || chr(31) || owner")}
	c[releaseKeys] = statement{bytes: 1, sql: `DELETE FROM anteroom.keys WHERE portal = $1 AND key = ANY($2::bytea[])`}
	c[claimKeys] = statement{texts: 2, bytes: 1, sql: `WITH ` + given([]string{"kind", "ref"}, nil, []string{"key"}) + `,
		d AS (INSERT INTO anteroom.keys (portal, key, kind, ref) SELECT $1::bigint, key, kind, ref FROM n ORDER BY n.ord ON CONFLICT DO NOTHING RETURNING key)` +
		refuse("key", "encode(key, 'hex')")}
	c[insertContacts], c[updateContacts] = contacts.insert(), contacts.update()
	c[insertConversations], c[updateConversations] = conversations.insert(), conversations.update()
	c[updateTickets] = tickets.update()
	c[insertTickets] = tickets.insert([2]string{"number", "(SELECT number FROM anteroom.portals WHERE id = $1) - cardinality($2::text[]) + n.ord"})
	c[insertMessages], c[updateMessages] = messages.insert(), messages.update()
	c[moveWords] = statement{texts: 2, sql: `UPDATE anteroom.words t SET ticket = nullif(n.ticket, ''), words = anteroom.moved_words(t.words, nullif(n.ticket, ''))
		FROM ` + from([]string{"id", "ticket"}, nil) + ` WHERE t.portal = $1 AND t.message = n.id AND t.ticket IS DISTINCT FROM nullif(n.ticket, '')`}
	c[dropWords] = statement{texts: 1, sql: `DELETE FROM anteroom.words WHERE portal = $1 AND message = ANY($2::text[])`}
	c[insertWords] = statement{texts: 3, sql: `INSERT INTO anteroom.words (portal, message, ticket, words) SELECT $1::bigint, n.id, nullif(n.ticket, ''), array_to_tsvector(string_to_array(n.words, E'\n')) FROM ` +
		from([]string{"id", "ticket", "words"}, nil)}
	c[insertItems] = items.insert()
	c[updateItems] = itemUpdate()
	c[doneWorks] = statement{texts: 1, ints: 1, sql: `WITH ` + given([]string{"id"}, []string{"rev"}, nil) + `,
		d AS (DELETE FROM anteroom.works t USING n WHERE t.portal = $1 AND t.id = n.id AND t.rev = n.rev RETURNING t.id)` + refuse("work", "id")}
	c[insertWorks], c[updateWorks] = works.insert(), works.update()
	recordStatements(c)
	c[dropBodies] = statement{texts: 1, sql: `DELETE FROM anteroom.bodies WHERE portal = $1 AND id = ANY($2::text[])`}
	c[insertBodies] = statement{texts: 1, bytes: 1, sql: `WITH ` + given([]string{"id"}, nil, []string{"data"}) + `,
		d AS (INSERT INTO anteroom.bodies (portal, id, data) SELECT $1::bigint, id, data FROM n ON CONFLICT DO NOTHING RETURNING id)` + refuse("body", "id")}
	c[dropDecisions] = statement{texts: 1, sql: `DELETE FROM anteroom.decisions WHERE portal = $1 AND id = ANY($2::text[])`}
	c[insertDecisions] = statement{texts: 5, sql: `WITH ` + given([]string{"id", "doc", "ticket", "conversation", "message"}, nil, nil) + `,
		d AS (INSERT INTO anteroom.decisions (portal, id, doc, ticket, conversation, message)
		SELECT $1::bigint, id, doc, nullif(ticket, ''), nullif(conversation, ''), nullif(message, '') FROM n ON CONFLICT DO NOTHING RETURNING id)` + refuse("decision", "id")}
	c[insertEvents] = statement{texts: 2, sql: `INSERT INTO anteroom.events (portal, cursor, ticket, doc)
		SELECT $1::bigint, (SELECT event FROM anteroom.portals WHERE id = $1) - cardinality($2::text[]) + n.ord, nullif(n.ticket, ''), n.doc FROM ` +
		from([]string{"ticket", "doc"}, nil)}
	c[addLedger] = statement{texts: 4, sql: `INSERT INTO anteroom.ledger AS l (portal, day, channel, disposition, cause, count)
		SELECT $1::bigint, day, channel, disposition, cause, count(*) FROM ` + from([]string{"day", "channel", "disposition", "cause"}, nil) + `
		GROUP BY day, channel, disposition, cause ON CONFLICT (portal, day, channel, disposition, cause) DO UPDATE SET count = l.count + excluded.count`}
	c[makeCounters] = statement{texts: 1, sql: `INSERT INTO anteroom.counters (portal, name, value) SELECT $1::bigint, name, 0 FROM unnest($2::text[]) AS n(name) ON CONFLICT DO NOTHING`}
	c[addCounters] = statement{texts: 1, ints: 4, sql: `WITH d AS (UPDATE anteroom.counters t SET
		value = least(greatest((CASE WHEN t.expires <= n.at THEN 0 ELSE t.value END)::numeric + n.add, 0), 9223372036854775807)::bigint,
		expires = coalesce(nullif(n.expires, (-9223372036854775808)), CASE WHEN t.expires <= n.at THEN NULL ELSE t.expires END)
		FROM ` + from([]string{"name"}, []string{"add", "max", "expires", "at"}) + `
		WHERE t.portal = $1 AND t.name = n.name RETURNING t.name, t.value, n.max)
		SELECT anteroom.refuse('AR002', 'counter', array_agg(name)) FROM d WHERE max > 0 AND value > max HAVING count(*) > 0`}
	c[forgetCounters] = statement{ints: 1, sql: `DELETE FROM anteroom.counters WHERE portal = $1 AND name IN
		(SELECT name FROM anteroom.counters WHERE portal = $1 AND expires <= ($2::bigint[])[1] ORDER BY expires LIMIT 8)`}
	for i := range c {
		c[i].sql = s.in(c[i].sql)
		c[i].late = i >= insertTickets
	}
	c[insertTickets].inOrder, c[insertEvents].inOrder = true, true
	s.portalID = s.in("SELECT id FROM anteroom.portals WHERE name = $1::text")
	s.makePortal = s.in("INSERT INTO anteroom.portals (name) VALUES ($1::text) ON CONFLICT DO NOTHING")
	s.lockPortal = s.in("UPDATE anteroom.portals SET event = event + $2::bigint, number = number + $3::bigint WHERE id = $1 RETURNING event, number")
	// Rows are looked up by their keys, however few there were when the statement
	// was planned, and it is planned once.
	s.settings = `SELECT set_config('statement_timeout', $1::text, true), set_config('lock_timeout', '0', true), set_config('plan_cache_mode', 'force_generic_plan', true),
		set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true),
		set_config('jit', 'off', true)`
	return s
}

func recordStatements(c *[countStatements]statement) {
	pair := []string{"kind", "id"}
	named := `n.kind || ' ' || n.id`
	refused := ` SELECT anteroom.refuse('AR001', 'record', array(SELECT ` + named + ` FROM n EXCEPT ALL SELECT ` + named + ` FROM d n))
		WHERE (SELECT count(*) FROM d) <> (SELECT count(*) FROM n)`
	c[absentRecords] = statement{texts: 2, sql: `SELECT anteroom.refuse('AR001', 'record', array_agg(` + named + `)) FROM ` + from(pair, nil) + `
		WHERE EXISTS (SELECT 1 FROM anteroom.records t WHERE t.portal = $1 AND t.kind = n.kind AND t.id = n.id) HAVING count(*) > 0`}
	c[deleteRecords] = statement{texts: 2, ints: 1, sql: `WITH ` + given(pair, []string{"rev"}, nil) + `,
		d AS (DELETE FROM anteroom.records t USING n WHERE t.portal = $1 AND t.kind = n.kind AND t.id = n.id AND t.rev = n.rev RETURNING t.kind, t.id)` + refused}
	c[insertRecords] = statement{texts: 2, bytes: 1, sql: `WITH ` + given(pair, nil, []string{"doc"}) + `,
		d AS (INSERT INTO anteroom.records (portal, kind, id, rev, doc) SELECT $1::bigint, kind, id, 1, doc FROM n ORDER BY n.ord ON CONFLICT DO NOTHING RETURNING kind, id)` + refused}
	c[updateRecords] = statement{texts: 2, ints: 1, bytes: 1, sql: `WITH ` + given(pair, []string{"rev"}, []string{"doc"}) + `,
		d AS (UPDATE anteroom.records t SET rev = t.rev + 1, doc = n.doc FROM n
		WHERE t.portal = $1 AND t.kind = n.kind AND t.id = n.id AND t.rev = n.rev RETURNING t.kind, t.id)` + refused}
}

// itemUpdate moves items in the ledger too.
func itemUpdate() statement {
	e := items.update()
	head, tail, _ := strings.Cut(e.sql, ", d AS (")
	e.sql = head + `, o AS MATERIALIZED (SELECT t.id, t.day, t.channel, t.disposition, t.cause FROM anteroom.items t JOIN n ON t.id = n.id AND t.rev = n.rev
		WHERE t.portal = $1 FOR UPDATE OF t),
		l AS (INSERT INTO anteroom.ledger AS l (portal, day, channel, disposition, cause, count)
		SELECT $1::bigint, day, channel, disposition, cause, sum(c) FROM
		(SELECT day, channel, disposition, cause, -1 AS c FROM o UNION ALL SELECT day, channel, disposition, cause, 1 FROM n) AS x
		GROUP BY day, channel, disposition, cause ON CONFLICT (portal, day, channel, disposition, cause) DO UPDATE SET count = l.count + excluded.count), d AS (` + strings.Replace(tail, "FROM n WHERE", "FROM n, o WHERE o.id = n.id AND", 1)
	return e
}
