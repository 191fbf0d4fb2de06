-- Made in the schema that the store is opened with, which is first in the
-- search_path while this runs.
--
-- Times are microseconds since 1970, in UTC; the zero time is -62135596800000000.
-- doc is the entity as JSON; it is text, since JSON of PostgreSQL cannot hold
-- U+0000. Columns beside it hold what lists, filters and preconditions need, NULL
-- where the entity has nothing. Text is ordered by its bytes.

CREATE TABLE portals (
    id     bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name   text   COLLATE "C" NOT NULL UNIQUE,
    event  bigint NOT NULL DEFAULT 0, -- the last cursor
    number bigint NOT NULL DEFAULT 0  -- the last ticket's
) WITH (fillfactor = 20);

CREATE TABLE keys (
    portal bigint NOT NULL,
    key    bytea  NOT NULL,
    kind   text   COLLATE "C" NOT NULL,
    ref    text   COLLATE "C" NOT NULL,
    PRIMARY KEY (portal, key)
);

CREATE TABLE counters (
    portal  bigint NOT NULL,
    name    text   COLLATE "C" NOT NULL,
    value   bigint NOT NULL,
    expires bigint,
    PRIMARY KEY (portal, name)
) WITH (fillfactor = 50);
CREATE INDEX counters_expires ON counters (portal, expires) WHERE expires IS NOT NULL;

CREATE TABLE contacts (
    portal bigint NOT NULL,
    id     text   COLLATE "C" NOT NULL,
    rev    bigint NOT NULL,
    doc    text   COLLATE "C" NOT NULL,
    PRIMARY KEY (portal, id)
);

CREATE TABLE conversations (
    portal   bigint NOT NULL,
    id       text   COLLATE "C" NOT NULL,
    rev      bigint NOT NULL,
    channel  text   COLLATE "C",
    contact  text   COLLATE "C",
    ticket   text   COLLATE "C",
    queue    text   COLLATE "C",
    assignee text   COLLATE "C",
    waiting  bigint,
    updated  bigint NOT NULL,
    doc      text   COLLATE "C" NOT NULL,
    PRIMARY KEY (portal, id)
);
CREATE INDEX conversations_updated  ON conversations (portal, updated, id);
CREATE INDEX conversations_channel  ON conversations (portal, channel, id);
CREATE INDEX conversations_contact  ON conversations (portal, contact, id)  WHERE contact IS NOT NULL;
CREATE INDEX conversations_ticket   ON conversations (portal, ticket, id)   WHERE ticket IS NOT NULL;
CREATE INDEX conversations_lone     ON conversations (portal, id)           WHERE ticket IS NULL;
CREATE INDEX conversations_queue    ON conversations (portal, queue, id)    WHERE queue IS NOT NULL;
CREATE INDEX conversations_assignee ON conversations (portal, assignee, id) WHERE assignee IS NOT NULL;
CREATE INDEX conversations_waiting  ON conversations (portal, queue, waiting, id) WHERE waiting IS NOT NULL AND ticket IS NULL;

CREATE TABLE tickets (
    portal       bigint   NOT NULL,
    id           text     COLLATE "C" NOT NULL,
    rev          bigint   NOT NULL,
    number       bigint   NOT NULL,
    rank         smallint NOT NULL, -- of the status: 1 open, 2 pending, 3 solved, 4 closed, 5 another
    status       text     COLLATE "C" NOT NULL,
    queue        text     COLLATE "C",
    assignee     text     COLLATE "C",
    channel      text     COLLATE "C",
    contact      text     COLLATE "C",
    conversation text     COLLATE "C",
    waiting      bigint,            -- NULL also when deleted
    updated      bigint   NOT NULL,
    deleted      boolean  NOT NULL,
    doc          text     COLLATE "C" NOT NULL,
    PRIMARY KEY (portal, id)
);
CREATE UNIQUE INDEX tickets_number  ON tickets (portal, number);
CREATE INDEX tickets_rank           ON tickets (portal, rank, id)                 WHERE NOT deleted;
CREATE INDEX tickets_rank_updated   ON tickets (portal, rank, updated, id)        WHERE NOT deleted;
CREATE INDEX tickets_queue          ON tickets (portal, queue, rank, id)          WHERE NOT deleted AND queue IS NOT NULL;
CREATE INDEX tickets_queue_updated  ON tickets (portal, queue, rank, updated, id) WHERE NOT deleted AND queue IS NOT NULL;
CREATE INDEX tickets_assignee       ON tickets (portal, assignee, rank, id)       WHERE NOT deleted AND assignee IS NOT NULL;
CREATE INDEX tickets_channel        ON tickets (portal, channel, rank, id)        WHERE NOT deleted;
CREATE INDEX tickets_contact        ON tickets (portal, contact, id)              WHERE NOT deleted AND contact IS NOT NULL;
CREATE INDEX tickets_waiting        ON tickets (portal, queue, waiting, id)       WHERE waiting IS NOT NULL;

CREATE TABLE messages (
    portal       bigint NOT NULL,
    id           text   COLLATE "C" NOT NULL,
    rev          bigint NOT NULL,
    ticket       text   COLLATE "C",
    conversation text   COLLATE "C",
    doc          text   COLLATE "C" NOT NULL,
    PRIMARY KEY (portal, id)
);
CREATE INDEX messages_ticket       ON messages (portal, ticket, id)       WHERE ticket IS NOT NULL;
CREATE INDEX messages_conversation ON messages (portal, conversation, id) WHERE conversation IS NOT NULL;

-- The words of messages, as ticket.Fold made them, in a form in which an index
-- answers for one portal, and for its newest tickets alone. Each word stands
-- there as "a<portal> <word>" for all tickets, "b<portal>.<first 4 characters of
-- the ticket's id> <word>" and the same with "c" and 5 characters. As ids begin
-- with the time, that is about 50 days and 3 days of tickets.
CREATE TABLE words (
    portal  bigint   NOT NULL,
    message text     COLLATE "C" NOT NULL,
    ticket  text     COLLATE "C",
    words   tsvector NOT NULL,
    PRIMARY KEY (portal, message)
);
CREATE INDEX words_words ON words USING gin (words) WITH (gin_pending_list_limit = 1024);

CREATE TABLE items (
    portal      bigint NOT NULL,
    id          text   COLLATE "C" NOT NULL,
    rev         bigint NOT NULL,
    channel     text   COLLATE "C" NOT NULL,
    day         text   COLLATE "C" NOT NULL,
    disposition text   COLLATE "C" NOT NULL,
    cause       text   COLLATE "C" NOT NULL,
    message     text   COLLATE "C",
    doc         text   COLLATE "C" NOT NULL,
    PRIMARY KEY (portal, id)
);
CREATE INDEX items_channel             ON items (portal, channel, id);
CREATE INDEX items_disposition         ON items (portal, disposition, id);
CREATE INDEX items_channel_disposition ON items (portal, channel, disposition, id);
CREATE INDEX items_message             ON items (portal, message, id) WHERE message IS NOT NULL;

-- The count of items, kept with them.
CREATE TABLE ledger (
    portal      bigint NOT NULL,
    day         text   COLLATE "C" NOT NULL,
    channel     text   COLLATE "C" NOT NULL,
    disposition text   COLLATE "C" NOT NULL,
    cause       text   COLLATE "C" NOT NULL,
    count       bigint NOT NULL,
    PRIMARY KEY (portal, day, channel, disposition, cause)
) WITH (fillfactor = 50);

-- owner, attempts, lease and rev change with every claim; doc then does not.
CREATE TABLE works (
    portal     bigint  NOT NULL,
    id         text    COLLATE "C" NOT NULL,
    rev        bigint  NOT NULL,
    lane       text    COLLATE "C" NOT NULL,
    not_before bigint  NOT NULL,
    lease      bigint  NOT NULL,
    due        bigint  NOT NULL, -- the later of the two
    parked     boolean NOT NULL,
    owner      text    COLLATE "C" NOT NULL,
    attempts   bigint  NOT NULL,
    doc        text    COLLATE "C" NOT NULL,
    PRIMARY KEY (portal, id)
) WITH (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
CREATE INDEX works_order ON works (portal, lane, not_before, id) WHERE NOT parked;
CREATE INDEX works_due   ON works (portal, lane, due, id)        WHERE NOT parked;

CREATE TABLE leases (
    portal bigint NOT NULL,
    name   text   COLLATE "C" NOT NULL,
    owner  text   COLLATE "C" NOT NULL,
    until  bigint NOT NULL,
    PRIMARY KEY (portal, name)
) WITH (fillfactor = 50);

CREATE TABLE records (
    portal bigint NOT NULL,
    kind   text   COLLATE "C" NOT NULL,
    id     text   COLLATE "C" NOT NULL,
    rev    bigint NOT NULL,
    doc    bytea  NOT NULL,
    PRIMARY KEY (portal, kind, id)
) WITH (fillfactor = 70);

CREATE TABLE bodies (
    portal bigint NOT NULL,
    id     text   COLLATE "C" NOT NULL,
    data   bytea  NOT NULL,
    PRIMARY KEY (portal, id)
);
-- Mail is base64 for the most part, at which compression is wasted.
ALTER TABLE bodies ALTER COLUMN data SET STORAGE EXTERNAL;

CREATE TABLE events (
    portal bigint NOT NULL,
    cursor bigint NOT NULL,
    ticket text   COLLATE "C",
    doc    text   COLLATE "C" NOT NULL,
    PRIMARY KEY (portal, cursor)
);
CREATE INDEX events_ticket ON events (portal, ticket, cursor) WHERE ticket IS NOT NULL;

CREATE TABLE decisions (
    portal       bigint NOT NULL,
    id           text   COLLATE "C" NOT NULL,
    ticket       text   COLLATE "C",
    conversation text   COLLATE "C",
    message      text   COLLATE "C",
    doc          text   COLLATE "C" NOT NULL,
    PRIMARY KEY (portal, id)
);
CREATE INDEX decisions_ticket       ON decisions (portal, ticket, id)       WHERE ticket IS NOT NULL;
CREATE INDEX decisions_conversation ON decisions (portal, conversation, id) WHERE conversation IS NOT NULL;
CREATE INDEX decisions_message      ON decisions (portal, message, id)      WHERE message IS NOT NULL;

-- refuse ends a transaction whose precondition does not hold. The statements of
-- a commit are sent at once, so that they must see for themselves. AR001 is a
-- conflict, AR002 a counter's limit; the detail names what it was about.
CREATE FUNCTION refuse(code text, what text, ids text[]) RETURNS bigint LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%', what USING ERRCODE = code, DETAIL = array_to_json(ids)::text;
END $$;

-- moved_words returns the words of a message that goes to another ticket.
CREATE FUNCTION moved_words(words tsvector, ticket text) RETURNS tsvector LANGUAGE sql IMMUTABLE AS $$
    SELECT coalesce(array_to_tsvector(array_agg(t) FILTER (WHERE t IS NOT NULL)), ''::tsvector)
    FROM unnest(tsvector_to_array(words)) AS w(w),
    LATERAL (SELECT split_part(w, ' ', 2) AS word, substr(split_part(w, ' ', 1), 2) AS portal) AS p,
    LATERAL (VALUES (w), ('b' || portal || '.' || left(ticket, 4) || ' ' || word), ('c' || portal || '.' || left(ticket, 5) || ' ' || word)) AS v(t)
    WHERE w LIKE 'a%'
$$;
