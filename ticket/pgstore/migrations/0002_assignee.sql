-- What nobody has is little of what there is, and is asked for often; so are an
-- agent's tickets by their latest update.
CREATE INDEX tickets_unassigned       ON tickets (portal, rank, id)                    WHERE NOT deleted AND assignee IS NULL;
CREATE INDEX tickets_assignee_updated ON tickets (portal, assignee, rank, updated, id) WHERE NOT deleted AND assignee IS NOT NULL;
