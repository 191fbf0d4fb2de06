-- The orders of lists that 0001 has no index for.
CREATE INDEX tickets_assignee_updated ON tickets (portal, assignee, status, updated, id) WHERE deleted = 0 AND assignee IS NOT NULL;
CREATE INDEX tickets_channel_updated  ON tickets (portal, channel, status, updated, id)  WHERE deleted = 0;

-- Tickets without an agent that are not open are few among many. Open ones are
-- few in any case, so intake does not write these.
CREATE INDEX tickets_unowned               ON tickets (portal, status, id)                 WHERE deleted = 0 AND assignee IS NULL AND status > 1;
CREATE INDEX tickets_unowned_updated       ON tickets (portal, status, updated, id)        WHERE deleted = 0 AND assignee IS NULL AND status > 1;
CREATE INDEX tickets_unowned_queue         ON tickets (portal, queue, status, id)          WHERE deleted = 0 AND assignee IS NULL AND status > 1 AND queue IS NOT NULL;
CREATE INDEX tickets_unowned_queue_updated ON tickets (portal, queue, status, updated, id) WHERE deleted = 0 AND assignee IS NULL AND status > 1 AND queue IS NOT NULL;
