-- Times are microseconds since 1970, in UTC; the zero time is -62135596800000000.
-- doc is the entity as JSON. Columns beside it hold what lists, filters and
-- preconditions need, NULL where the entity has nothing.

CREATE TABLE portals (
    id      INTEGER PRIMARY KEY,
    name    TEXT    NOT NULL UNIQUE,
    event   INTEGER NOT NULL DEFAULT 0, -- the last cursor
    number  INTEGER NOT NULL DEFAULT 0, -- the last ticket's
    message INTEGER NOT NULL DEFAULT 0  -- the last message's place, see messages.place
) STRICT;

CREATE TABLE keys (
    portal INTEGER NOT NULL,
    key    BLOB    NOT NULL,
    kind   TEXT    NOT NULL,
    ref    TEXT    NOT NULL,
    PRIMARY KEY (portal, key)
) STRICT, WITHOUT ROWID;

CREATE TABLE counters (
    portal  INTEGER NOT NULL,
    name    TEXT    NOT NULL,
    value   INTEGER NOT NULL,
    expires INTEGER,
    PRIMARY KEY (portal, name)
) STRICT, WITHOUT ROWID;
CREATE INDEX counters_expires ON counters (portal, expires) WHERE expires IS NOT NULL;

CREATE TABLE contacts (
    portal INTEGER NOT NULL,
    id     TEXT    NOT NULL,
    rev    INTEGER NOT NULL,
    doc    TEXT    NOT NULL,
    PRIMARY KEY (portal, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE conversations (
    portal   INTEGER NOT NULL,
    id       TEXT    NOT NULL,
    rev      INTEGER NOT NULL,
    channel  TEXT,
    contact  TEXT,
    ticket   TEXT,
    queue    TEXT,
    assignee TEXT,
    waiting  INTEGER,
    updated  INTEGER NOT NULL,
    doc      TEXT    NOT NULL,
    UNIQUE (portal, id)
) STRICT;
CREATE INDEX conversations_updated  ON conversations (portal, updated, id);
CREATE INDEX conversations_channel  ON conversations (portal, channel, id);
CREATE INDEX conversations_contact  ON conversations (portal, contact, id)  WHERE contact IS NOT NULL;
CREATE INDEX conversations_ticket   ON conversations (portal, ticket, id)   WHERE ticket IS NOT NULL;
CREATE INDEX conversations_lone     ON conversations (portal, id)           WHERE ticket IS NULL;
CREATE INDEX conversations_queue    ON conversations (portal, queue, id)    WHERE queue IS NOT NULL;
CREATE INDEX conversations_assignee ON conversations (portal, assignee, id) WHERE assignee IS NOT NULL;
CREATE INDEX conversations_waiting  ON conversations (portal, queue, waiting, id) WHERE waiting IS NOT NULL AND ticket IS NULL;

CREATE TABLE tickets (
    portal   INTEGER NOT NULL,
    id       TEXT    NOT NULL,
    rev      INTEGER NOT NULL,
    number   INTEGER NOT NULL,
    status   INTEGER NOT NULL, -- 1 open, 2 pending, 3 solved, 4 closed, 5 another; the word is in doc
    queue    TEXT,
    assignee TEXT,
    channel  TEXT,
    contact  TEXT,
    waiting  INTEGER,          -- NULL also when deleted
    updated  INTEGER NOT NULL,
    deleted  INTEGER NOT NULL, -- 0 or 1
    doc      TEXT    NOT NULL,
    UNIQUE (portal, id),
    UNIQUE (portal, number)
) STRICT;
CREATE INDEX tickets_status         ON tickets (portal, status, id)                 WHERE deleted = 0;
CREATE INDEX tickets_status_updated ON tickets (portal, status, updated, id)        WHERE deleted = 0;
CREATE INDEX tickets_queue          ON tickets (portal, queue, status, id)          WHERE deleted = 0 AND queue IS NOT NULL;
CREATE INDEX tickets_queue_updated  ON tickets (portal, queue, status, updated, id) WHERE deleted = 0 AND queue IS NOT NULL;
CREATE INDEX tickets_assignee       ON tickets (portal, assignee, status, id)       WHERE deleted = 0 AND assignee IS NOT NULL;
CREATE INDEX tickets_channel        ON tickets (portal, channel, status, id)        WHERE deleted = 0;
CREATE INDEX tickets_contact        ON tickets (portal, contact, id)                WHERE deleted = 0 AND contact IS NOT NULL;
CREATE INDEX tickets_waiting        ON tickets (portal, queue, waiting, id)         WHERE waiting IS NOT NULL;

CREATE TABLE messages (
    -- portal << 40 | running number within the portal: one portal's are a range
    place        INTEGER PRIMARY KEY,
    portal       INTEGER NOT NULL,
    id           TEXT    NOT NULL,
    rev          INTEGER NOT NULL,
    ticket       TEXT,
    conversation TEXT,
    doc          TEXT    NOT NULL,
    UNIQUE (portal, id)
) STRICT;
CREATE INDEX messages_ticket       ON messages (portal, ticket, id)       WHERE ticket IS NOT NULL;
CREATE INDEX messages_conversation ON messages (portal, conversation, id) WHERE conversation IS NOT NULL;

-- The folded text of messages, by place. Every code point above U+007F is part of
-- a word, as ticket.Fold has left only letters and digits.
CREATE VIRTUAL TABLE search USING fts5 (
    text, content = '', contentless_delete = 1, detail = none, tokenize = 'ascii'
);

CREATE TABLE items (
    portal      INTEGER NOT NULL,
    id          TEXT    NOT NULL,
    rev         INTEGER NOT NULL,
    channel     TEXT    NOT NULL,
    day         TEXT    NOT NULL,
    disposition TEXT    NOT NULL,
    cause       TEXT    NOT NULL,
    message     TEXT,
    doc         TEXT    NOT NULL,
    UNIQUE (portal, id)
) STRICT;
CREATE INDEX items_channel             ON items (portal, channel, id);
CREATE INDEX items_disposition         ON items (portal, disposition, id);
CREATE INDEX items_channel_disposition ON items (portal, channel, disposition, id);
CREATE INDEX items_message             ON items (portal, message, id) WHERE message IS NOT NULL;

-- The count of items, kept with them.
CREATE TABLE ledger (
    portal      INTEGER NOT NULL,
    day         TEXT    NOT NULL,
    channel     TEXT    NOT NULL,
    disposition TEXT    NOT NULL,
    cause       TEXT    NOT NULL,
    count       INTEGER NOT NULL,
    PRIMARY KEY (portal, day, channel, disposition, cause)
) STRICT, WITHOUT ROWID;

-- owner, attempts, lease and rev change with every claim; doc then does not.
CREATE TABLE works (
    portal     INTEGER NOT NULL,
    id         TEXT    NOT NULL,
    rev        INTEGER NOT NULL,
    lane       TEXT    NOT NULL,
    not_before INTEGER NOT NULL,
    lease      INTEGER NOT NULL,
    due        INTEGER NOT NULL, -- the later of the two
    parked     INTEGER NOT NULL, -- 0 or 1
    owner      TEXT    NOT NULL,
    attempts   INTEGER NOT NULL,
    doc        TEXT    NOT NULL,
    PRIMARY KEY (portal, id)
) STRICT, WITHOUT ROWID;
CREATE INDEX works_order ON works (portal, lane, not_before, id) WHERE parked = 0;
CREATE INDEX works_due   ON works (portal, lane, due, id)        WHERE parked = 0;

CREATE TABLE leases (
    portal INTEGER NOT NULL,
    name   TEXT    NOT NULL,
    owner  TEXT    NOT NULL,
    until  INTEGER NOT NULL,
    PRIMARY KEY (portal, name)
) STRICT, WITHOUT ROWID;

CREATE TABLE records (
    portal INTEGER NOT NULL,
    kind   TEXT    NOT NULL,
    id     TEXT    NOT NULL,
    rev    INTEGER NOT NULL,
    doc    BLOB    NOT NULL,
    PRIMARY KEY (portal, kind, id)
) STRICT, WITHOUT ROWID;

CREATE TABLE bodies (
    portal INTEGER NOT NULL,
    id     TEXT    NOT NULL,
    data   BLOB    NOT NULL,
    UNIQUE (portal, id)
) STRICT;

CREATE TABLE events (
    portal INTEGER NOT NULL,
    cursor INTEGER NOT NULL,
    ticket TEXT,
    doc    TEXT    NOT NULL,
    PRIMARY KEY (portal, cursor)
) STRICT, WITHOUT ROWID;
CREATE INDEX events_ticket ON events (portal, ticket, cursor) WHERE ticket IS NOT NULL;

CREATE TABLE decisions (
    portal       INTEGER NOT NULL,
    id           TEXT    NOT NULL,
    ticket       TEXT,
    conversation TEXT,
    message      TEXT,
    doc          TEXT    NOT NULL,
    UNIQUE (portal, id)
) STRICT;
CREATE INDEX decisions_ticket       ON decisions (portal, ticket, id)       WHERE ticket IS NOT NULL;
CREATE INDEX decisions_conversation ON decisions (portal, conversation, id) WHERE conversation IS NOT NULL;
CREATE INDEX decisions_message      ON decisions (portal, message, id)      WHERE message IS NOT NULL;
