-- What an operator gives up: a transaction with all its entries, or entries that are in
-- none yet. `dropped_by` says by which command; null where an entry was stale.
ALTER TABLE outbound_entries ADD COLUMN dropped_by TEXT;
ALTER TABLE outbound_transactions ADD COLUMN dropped_ts BIGINT;
DROP INDEX outbound_transactions_owed;
CREATE UNIQUE INDEX outbound_transactions_owed
    ON outbound_transactions (destination)
    WHERE delivered_ts IS NULL AND rejected_ts IS NULL AND dropped_ts IS NULL;
