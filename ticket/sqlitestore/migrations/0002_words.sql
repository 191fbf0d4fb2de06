-- The words of the search index, one row for each message that has one. It holds
-- nothing of its own.
CREATE VIRTUAL TABLE words USING fts5vocab (search, instance);
