-- A channel's count over all days. Counting changes no column of it.
CREATE INDEX ledger_channel ON ledger (portal, channel, day);
