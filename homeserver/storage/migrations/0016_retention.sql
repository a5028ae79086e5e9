-- How far counting and pruning have come: one row, which is held by the endpoint that
-- does either.
CREATE TABLE retention (
    length BIGINT NOT NULL,         -- about what the transactions that were counted take
                                    -- on the disk, in bytes
    received_id BIGINT NOT NULL,    -- received ones were counted up to this ID,
    delivered_ts BIGINT NOT NULL,   -- delivered ones up to this time,
    rejected_ts BIGINT NOT NULL,    -- rejected ones up to this one,
    dropped_ts BIGINT NOT NULL,     -- and dropped ones up to this one
    pruned_id BIGINT NOT NULL       -- received ones up to this ID have lost their
                                    -- content, or are gone; the others of them keep
                                    -- their reply
);
INSERT INTO retention
    (length, received_id, delivered_ts, rejected_ts, dropped_ts, pruned_id)
    VALUES (0, 0, 0, 0, 0, 0);

-- To find the oldest of those that something has come of.
CREATE INDEX outbound_transactions_delivered ON outbound_transactions (delivered_ts)
    WHERE delivered_ts IS NOT NULL;
CREATE INDEX outbound_transactions_rejected ON outbound_transactions (rejected_ts)
    WHERE rejected_ts IS NOT NULL;
CREATE INDEX outbound_transactions_dropped ON outbound_transactions (dropped_ts)
    WHERE dropped_ts IS NOT NULL;
CREATE INDEX outbound_entries_dropped ON outbound_entries (dropped_ts)
    WHERE dropped_ts IS NOT NULL AND txn_id IS NULL;
