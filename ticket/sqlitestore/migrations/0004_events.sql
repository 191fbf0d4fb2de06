-- Events by their place, as messages are: a row beside its key made the table's
-- upper pages as large as the rows, and it four levels deeper than it need be.
CREATE TABLE events_by_place (
    place  INTEGER PRIMARY KEY, -- portal << 40 | cursor: one portal's are a range
    ticket TEXT,
    doc    TEXT NOT NULL
) STRICT;
INSERT INTO events_by_place (place, ticket, doc) SELECT portal << 40 | cursor, ticket, doc FROM events ORDER BY portal, cursor;
DROP TABLE events;
ALTER TABLE events_by_place RENAME TO events;
-- Each entry ends with the place, so the events of a ticket are in order.
CREATE INDEX events_ticket ON events (ticket) WHERE ticket IS NOT NULL;
