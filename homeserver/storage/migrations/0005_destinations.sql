-- Each server that something was ever queued for: what it is owed, when it may be served
-- and by whom, and how it fails.
CREATE TABLE destinations (
    server_name TEXT PRIMARY KEY,
    queued BIGINT NOT NULL DEFAULT 0,   -- entries that nothing has come of yet
    due_ts BIGINT,                      -- when whoever comes may serve it: after its
                                        -- back-off, or its holder's lease; null where
                                        -- nothing is owed
    holder TEXT,                        -- the process that serves it now
    failures BIGINT NOT NULL DEFAULT 0, -- in a row
    last_error TEXT,                    -- why the last attempt was in vain, if it was
    earliest_ts BIGINT NOT NULL DEFAULT 0,  -- no sign of life makes it due before this
    at_once INTEGER NOT NULL DEFAULT 0, -- 1: after the attempt that runs, try once more
    refused BIGINT NOT NULL DEFAULT 0,  -- transactions that it would not have
    dropped BIGINT NOT NULL DEFAULT 0   -- EDUs that were stale before they went
);
CREATE INDEX destinations_due ON destinations (due_ts) WHERE due_ts IS NOT NULL;

-- A transaction that its destination would not have is kept, and not owed any more.
ALTER TABLE outbound_transactions ADD COLUMN refused_ts BIGINT;
DROP INDEX outbound_transactions_owed;
CREATE UNIQUE INDEX outbound_transactions_owed
    ON outbound_transactions (destination)
    WHERE delivered_ts IS NULL AND refused_ts IS NULL;

-- The length is in bytes. An entry of nothing but EDUs that mean nothing after a while
-- has their number, and is dropped then.
ALTER TABLE outbound_entries ADD COLUMN length BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbound_entries ADD COLUMN queued_ts BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbound_entries ADD COLUMN ephemeral BIGINT NOT NULL DEFAULT 0;
ALTER TABLE outbound_entries ADD COLUMN dropped_ts BIGINT;
UPDATE outbound_entries SET length = LENGTH(pdus) + LENGTH(edus);
DROP INDEX outbound_entries_waiting;
CREATE INDEX outbound_entries_waiting
    ON outbound_entries (destination, id, length)
    WHERE txn_id IS NULL AND dropped_ts IS NULL;
CREATE INDEX outbound_entries_ephemeral
    ON outbound_entries (destination, queued_ts)
    WHERE txn_id IS NULL AND dropped_ts IS NULL AND ephemeral > 0;
CREATE INDEX outbound_entries_cut
    ON outbound_entries (destination, txn_id) WHERE txn_id IS NOT NULL;

INSERT INTO destinations (server_name, queued, due_ts)
    SELECT e.destination, COUNT(*), 0 FROM outbound_entries e
    WHERE e.txn_id IS NULL OR EXISTS (
        SELECT 1 FROM outbound_transactions t
        WHERE t.destination = e.destination AND t.txn_id = e.txn_id
        AND t.delivered_ts IS NULL
    )
    GROUP BY e.destination;
UPDATE destinations SET
    failures = COALESCE((
        SELECT b.failures FROM back_offs b WHERE b.destination = destinations.server_name
    ), 0),
    due_ts = COALESCE((
        SELECT b.next_attempt_ts FROM back_offs b WHERE b.destination = destinations.server_name
    ), 0),
    last_error = (
        SELECT t.last_error FROM outbound_transactions t
        WHERE t.destination = destinations.server_name AND t.delivered_ts IS NULL
    );
DROP TABLE back_offs;
